"""Gates over all testcases, warnings where a pass says little, and limits that would pass."""

from __future__ import annotations

import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci import report, scrutiny
from megdump_ci.gates import Gates, Limits
from megdump_ci.report import Metrics, TopK, number
from tests.unit import reports

DEFAULT = Gates(maxerr=Limits(1e-4))


def case(
    index: int = 0, error: float = 0.0, *, same: bool = False, **changes: Any
) -> report.Testcase:
    """A testcase; ``changes`` are those of its output, or else of its comparisons' metrics."""
    found = reports.case(index, error)
    fields = {
        name: changes.pop(name) for name in ("dtype", "constant", "digest") if name in changes
    }
    (output,) = found.outputs
    comparison = output.against_model
    assert comparison is not None
    assert comparison.metrics is not None
    comparison = msgspec.structs.replace(
        comparison, metrics=msgspec.structs.replace(comparison.metrics, **changes)
    )
    output = msgspec.structs.replace(
        output,
        **{"digest": f"output {index}", **fields},
        maxerr=1e-4,
        against_model=comparison,
        against_expected=comparison,
    )
    inputs = [
        msgspec.structs.replace(tensor, digest="input 0" if same else f"input {index}")
        for tensor in found.inputs
    ]
    return msgspec.structs.replace(found, outputs=[output], inputs=inputs)


def warned(testcases: list[report.Testcase], gates: Gates = DEFAULT) -> str:
    """The one warning, or none."""
    found = scrutiny.warnings(testcases, gates)
    assert len(found) <= 1, found
    return "".join(found)


def test_nothing_is_said_of_what_is_well() -> None:
    testcases = [case(0), case(1)]
    assert warned(testcases) == ""
    (gate,) = scrutiny.judged(testcases, DEFAULT)
    assert (gate.name, gate.output, gate.limit, gate.value) == ("maxerr", "logits", 1e-4, 0)
    assert gate.passed
    assert scrutiny.judged([], DEFAULT) == []


def test_the_worst_testcase_is_the_gate_s_value() -> None:
    testcases = [case(0, 1e-6), case(1, 0.5), case(2, 0.25)]
    (gate,) = scrutiny.judged(testcases, DEFAULT)
    assert not gate.passed
    assert (gate.value, gate.testcase) == (0.5, 1)
    nan = case(3, math.nan)
    (gate,) = scrutiny.judged([*testcases, nan], DEFAULT)
    assert (gate.value, gate.testcase) == ("nan", 3)


def test_lower_limits_hold_for_the_lowest() -> None:
    gates = Gates(min_cosine=Limits(0.9), min_sqnr=Limits(None, {"logits": 30.0}))
    testcases = [case(0, 1e-5, cosine=0.95, sqnr=40.0), case(1, 1e-5, cosine=0.5, sqnr=35.0)]
    found = {gate.name: gate for gate in scrutiny.judged(testcases, gates)}
    cosine, sqnr = found["min-cosine"], found["min-sqnr"]
    assert (cosine.passed, cosine.value, cosine.testcase, cosine.own) == (False, 0.5, 1, False)
    assert (sqnr.passed, sqnr.value, sqnr.testcase, sqnr.own) == (True, 35, 1, True)


def test_class_scores_agree_over_all_rows_together() -> None:
    testcases = [
        case(0, 1e-5, top_k=TopK(rows=9, top1=9, top5=1.0)),
        case(1, 1e-5, top_k=TopK(rows=1, top1=0, top5=0.4)),
    ]
    for limit, passed in ((0.9, True), (0.91, False)):
        gates = Gates(top_k_agreement=Limits(limit))
        (gate,) = [g for g in scrutiny.judged(testcases, gates) if g.name == "top-k-agreement"]
        assert gate.passed is passed
        assert gate.value == pytest.approx(0.9)


def test_agreement_that_nothing_can_show_is_missed() -> None:
    testcases = [case(0, 1e-5, top_k=None)]
    for limits, word in (
        (Limits(0.5), "no output looks like class scores"),
        (Limits(None, {"logits": 0.5}), "its shape is not that of class scores"),
    ):
        found = scrutiny.judged(testcases, Gates(top_k_agreement=limits))
        (gate,) = [gate for gate in found if gate.name == "top-k-agreement"]
        assert not gate.passed
        assert word in gate.reason
    # In some testcases only is not enough, and no other limit would be.
    part = [case(1, 1e-5, top_k=TopK(rows=1, top1=1, top5=1.0)), *testcases]
    found = scrutiny.judged(part, Gates(top_k_agreement=Limits(0.5)))
    missed = next(gate for gate in found if gate.name == "top-k-agreement")
    assert not missed.passed
    assert missed.reason.endswith("--top-k-agreement logits=0.5")
    assert scrutiny.passing(part, found) == []


@pytest.mark.parametrize(
    "kind", ["against_lite", "against_python", "model_against_python", "against_expected"]
)
def test_class_scores_agree_with_each_that_they_are_compared_with(kind: str) -> None:
    found = case(0, 1e-5, top_k=TopK(rows=4, top1=4, top5=1.0))
    (output,) = found.outputs
    assert output.against_model is not None
    assert output.against_model.metrics is not None
    metrics = msgspec.structs.replace(
        output.against_model.metrics, top_k=TopK(rows=4, top1=3, top5=1.0)
    )
    other = msgspec.structs.replace(output.against_model, metrics=metrics)
    found = msgspec.structs.replace(
        found, outputs=[msgspec.structs.replace(output, **{kind: other})]
    )
    (gate,) = [
        gate
        for gate in scrutiny.judged([found], Gates(top_k_agreement=Limits(1.0)))
        if gate.name == "top-k-agreement"
    ]
    assert (gate.passed, gate.value) == (False, 0.75)


def test_a_small_output_that_is_quite_wrong_is_warned_of() -> None:
    testcases = [case(0, 1e-6, cosine=0.999, sqnr=40.0), case(1, 9e-5, cosine=0.3, sqnr=2.0)]
    text = warned(testcases)
    assert "logits passes maxerr, but in testcase 1" in text
    assert "0.3" in text
    # Who has gated it has decided; a failure needs no warning; zeros say nothing.
    gated = Gates(min_cosine=Limits(0.2), min_sqnr=Limits(0.0))
    assert warned(testcases, gated) == ""
    assert warned([case(0, 0.5, cosine=0.3, sqnr=2.0)]) == ""
    assert warned([case(0, 1e-6, cosine=0.0, sqnr="-inf")]) == ""
    # One gate does not speak for the other metric.
    assert warned(testcases, Gates(min_cosine=Limits(0.2))) != ""


def test_whole_numbers_that_differ_within_the_tolerance_are_warned_of() -> None:
    assert "whole numbers differ" in warned([case(0, 5e-5, dtype="int32", cosine=1.0, sqnr=80.0)])
    assert warned([case(0, 5e-5, dtype="float32", cosine=1.0, sqnr=80.0)]) == ""
    assert warned([case(0, dtype="int32")]) == ""


def test_an_output_that_is_constant_in_all_testcases_is_warned_of() -> None:
    assert "are equal in every testcase" in warned([case(0, constant=True), case(1, constant=True)])
    assert warned([case(0, constant=True), case(1)]) == ""


def test_an_output_that_does_not_depend_on_its_inputs_is_warned_of() -> None:
    alike = [case(0, digest="one"), case(1, digest="one")]
    assert "the same in all 2 testcases" in warned(alike)
    # Of one input, or of classes, that is no surprise.
    again = warned([case(0, digest="one", same=True), case(1, digest="one", same=True)])
    assert "does not depend" not in again
    whole = [case(index, digest="one", dtype="int32") for index in range(2)]
    assert warned(whole) == ""
    assert warned(alike[:1]) == ""


def test_testcases_with_the_same_inputs_are_warned_of() -> None:
    again = [case(0, same=True), case(1), case(2, same=True)]
    assert warned(again).endswith("check nothing new: testcase 2 those of 0")
    many = [case(index, same=True) for index in range(9)]
    assert warned(many).endswith("4 those of 0, 5 those of 0 and 3 more")
    # What was not looked at is not the same.
    assert warned([reports.case(0), reports.case(1)]) == ""


def test_an_error_that_only_the_file_itself_lets_pass_is_warned_of() -> None:
    found = case(0, 0.003, cosine=1.0, sqnr=80.0)
    (output,) = found.outputs
    right = {"passed": True, "reason": ""}
    comparison = msgspec.structs.replace(output.against_model, **right)
    output = msgspec.structs.replace(
        output, maxerr=0.5, against_model=comparison, against_expected=comparison, **right
    )
    wide = msgspec.structs.replace(found, outputs=[output], passed=True)
    assert "passes by the file's own maxerr, 0.5: its error is 0.003" in warned([wide], Gates())
    # Who gave a limit has decided.
    assert warned([wide], Gates(maxerr=Limits(0.5))) == ""
    assert warned([case(0, 5e-5, cosine=1.0, sqnr=80.0)], Gates()) == ""


@given(st.lists(st.floats(1e-12, 1e6), min_size=1, max_size=4))
def test_the_maxerr_that_is_offered_is_enough_and_not_much_more(errors: list[float]) -> None:
    close = {"cosine": 1.0, "sqnr": 60.0}
    testcases = [case(index, error, **close) for index, error in enumerate(errors)]
    gates = scrutiny.judged(testcases, DEFAULT)
    offered = scrutiny.passing(testcases, gates)
    worst = max(errors)
    if struct.unpack("f", struct.pack("f", worst)) <= struct.unpack("f", struct.pack("f", 1e-4)):
        assert offered == []
    else:
        assert offered[0] == "--maxerr"
        assert worst <= float(offered[1]) <= worst * 1.2


@given(st.floats(scrutiny.COSINE, 1), st.floats(scrutiny.SQNR, 200))
def test_the_lower_limits_that_are_offered_are_enough(cosine: float, sqnr: float) -> None:
    testcases = [case(0, 1e-5, cosine=number(cosine), sqnr=number(sqnr))]
    strict = Gates(min_cosine=Limits(1.0), min_sqnr=Limits(None, {"logits": 300.0}))
    offered = scrutiny.passing(testcases, scrutiny.judged(testcases, strict))
    words = dict(zip(offered[::2], offered[1::2], strict=True))
    name, _, value = words["--min-sqnr"].rpartition("=")
    assert name == "logits"
    assert sqnr - max(abs(sqnr), 1e-300) * 0.2 <= float(value) <= sqnr
    if cosine < 1:
        assert float(words["--min-cosine"]) <= cosine


def test_no_limit_is_offered_where_none_would_help() -> None:
    late = case(0, 0.5)
    (gate,) = scrutiny.judged([late], DEFAULT)
    for broken in (
        msgspec.structs.replace(late, reason="the value in the file is not the one given"),
        msgspec.structs.replace(
            late, outputs=[msgspec.structs.replace(late.outputs[0], reason="dtype is int32")]
        ),
    ):
        assert scrutiny.passing([broken], [gate]) == []
    # What is off by more than a tenth is wrong, and no matter of limits.
    wrong = case(0, 0.5, cosine=0.5, sqnr=3.0)
    assert scrutiny.passing([wrong], scrutiny.judged([wrong], DEFAULT)) == []
    endless = case(0, math.inf)
    assert scrutiny.passing([endless], scrutiny.judged([endless], DEFAULT)) == []


def test_metrics_left_out_are_those_of_equal_arrays() -> None:
    assert msgspec.json.encode(Metrics(size=3)) == b'{"size":3}'


def test_what_is_offered_for_a_packed_file_leaves_its_assertions_alone() -> None:
    asserted = case(0, 0.01, cosine=1.0, sqnr=60.0)
    gates = scrutiny.judged([asserted], Gates())
    assert scrutiny.passing([asserted], gates) == ["--maxerr", "0.01"]
    assert scrutiny.passing([asserted], gates, packed=Limits()) == []
    output = msgspec.structs.replace(
        asserted.outputs[0], assertion=report.Assertion(passed=True, error=0.0)
    )
    late = msgspec.structs.replace(asserted, outputs=[output])
    gates = scrutiny.judged([late], Gates())
    # The file has this limit for this output, and may have wider ones for others.
    assert scrutiny.passing([late], gates, packed=Limits()) == ["--maxerr", "logits=0.01"]
    assert scrutiny.passing([late], gates, packed=Limits(1e-4)) == ["--maxerr", "0.01"]


def test_a_gate_that_the_file_s_assertion_alone_misses_says_so() -> None:
    found = case(0, 0.01, cosine=1.0, sqnr=60.0)
    output = msgspec.structs.replace(found.outputs[0], maxerr=0.5)
    found = msgspec.structs.replace(found, outputs=[output])
    (gate,) = scrutiny.judged([found], Gates(maxerr=Limits(0.5)))
    assert not gate.passed
    assert "by the maxerr that it was packed with" in gate.reason
