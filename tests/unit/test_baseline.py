"""A model against its base model, in words and summed up."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from megdump_ci import baseline, report
from megdump_ci.gates import Bounds
from megdump_ci.judging import drifted
from megdump_ci.report import (
    Baseline,
    ChangeKind,
    Comparison,
    Drift,
    Edit,
    NonFinite,
    ParameterChange,
    Tensor,
    TensorChange,
    Totals,
)
from tests.unit import reports

BASE, MODEL = reports.graph("base.mge", 15), reports.graph("new.mge", 15)
OTHER = msgspec.structs.replace(MODEL, digest="sha256:11")
ALIKE = Totals(alike=16)
WEIGHT = Tensor(name="fc.weight", dtype="float32", shape=[10, 4])


def parameter(**changes: Any) -> ParameterChange:
    """A weight that changed by 28 dB."""
    metrics = msgspec.structs.replace(reports.metrics(0.25), sqnr=28.0, worst=[], histogram=[])
    fields = {"base": WEIGHT, "model": WEIGHT, "metrics": metrics, "max_abs_error": 0.25}
    return ParameterChange(how="changed", name="fc.weight", **{**fields, **changes})


def renamed(what: str = "name") -> TensorChange:
    """A tensor of another name, or with another edit."""
    edits = [Edit(what=what, before="a", after="b")]
    return TensorChange(how="changed", base=WEIGHT, model=WEIGHT, edits=edits)


@pytest.mark.parametrize(
    ("kind", "model", "operators", "parameters", "tensors"),
    [
        ("identical", MODEL, ALIKE, [], []),
        ("equivalent", OTHER, ALIKE, [], [renamed()]),
        ("weights", OTHER, ALIKE, [parameter()], [renamed()]),
        ("structure", OTHER, ALIKE, [parameter(metrics=None)], []),
        ("structure", OTHER, ALIKE, [parameter(base=None)], []),
        ("structure", OTHER, ALIKE, [], [renamed("place")]),
        ("structure", OTHER, ALIKE, [], [TensorChange(how="added", model=WEIGHT)]),
        ("structure", OTHER, Totals(changed=1), [], []),
        ("structure", OTHER, Totals(added=1), [], []),
        ("structure", OTHER, Totals(removed=1), [], []),
    ],
)
def test_how_much_of_a_change_it_is(
    kind: ChangeKind,
    model: Any,
    operators: Totals,
    parameters: list[ParameterChange],
    tensors: list[TensorChange],
) -> None:
    assert baseline.kind(BASE, model, operators, parameters, tensors) == kind


def test_a_parameter_of_another_dtype_is_another_structure() -> None:
    half = msgspec.structs.replace(WEIGHT, dtype="float16")
    assert baseline.kind(BASE, OTHER, ALIKE, [parameter(model=half)], []) == "structure"


def found(change: ChangeKind, **changes: Any) -> Baseline:
    """What was found of two models that are alike but for ``changes``."""
    fields = {"operator_totals": Totals(alike=15), "parameter_totals": ALIKE, **changes}
    return Baseline(change=change, headline="", **{"base": BASE, "model": OTHER, **fields})


@pytest.mark.parametrize(
    ("change", "changes", "said"),
    [
        ("identical", {}, "identical: the same bytes"),
        (
            "equivalent",
            {},
            (
                "same operators and parameters, other bytes: metadata, or names that the engine"
                " made up"
            ),
        ),
        (
            "equivalent",
            {
                "base": msgspec.structs.replace(BASE, format="fbs"),
                "operator_totals": Totals(alike=15, renamed=2),
                "outputs": [renamed(), renamed()],
                "inputs": [renamed()],
            },
            (
                "same operators and parameters, other bytes: format fbs_v2, was fbs; 2 other names"
                " of operators and parameters; 1 input renamed; 2 outputs renamed"
            ),
        ),
        (
            "weights",
            {"parameter_totals": Totals(alike=11, changed=1), "parameters": [parameter()]},
            (
                "other weights: 1 of 12 parameters changed (largest: fc.weight, relative change"
                " 0.04, SQNR 28 dB); 15 operators alike"
            ),
        ),
        (
            "structure",
            {
                "operator_totals": Totals(alike=12, changed=2, added=1),
                "parameter_totals": Totals(alike=3, removed=1),
                "inputs": [renamed("shape")],
                "outputs": [renamed("computed by"), TensorChange(how="removed", base=WEIGHT)],
            },
            (
                "other structure: operators 2 changed, 1 added, 12 alike; parameters 1 removed,"
                " 3 alike; input fc.weight: shape b, was a; output fc.weight removed"
            ),
        ),
    ],
)
def test_the_first_line_says_which_it_is(
    change: ChangeKind, changes: dict[str, Any], said: str
) -> None:
    assert baseline.headline(found(change, **changes)) == said


def test_what_is_not_compatible_is_warned_of() -> None:
    fine = TensorChange(how="added", model=WEIGHT, compatible=True)
    gone = TensorChange(how="removed", base=WEIGHT)
    changed = found("structure", inputs=[renamed("dtype")], outputs=[fine, gone])
    assert baseline.warnings(changed) == [
        "input fc.weight: dtype b, was a: not compatible with the base model",
        "output fc.weight removed: not compatible with the base model",
    ]


def test_the_largest_change_of_a_parameter_is_first() -> None:
    small = parameter(metrics=msgspec.structs.replace(reports.metrics(0.25), sqnr=60.0))
    broken = parameter(non_finite=NonFinite(nan=2, inf=1))
    changes = [small, parameter(), broken, parameter(metrics=None)]
    assert sorted(changes, key=baseline.size) == [changes[2], changes[3], changes[1], small]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "relative change 0.04, SQNR 28 dB"),
        ({"non_finite": NonFinite(nan=2, inf=1)}, "2 NaN and 1 infinite, relative change 0.04,"),
        ({"metrics": None}, "float32 (10, 4) to float32 (10, 4)"),
        ({"metrics": None, "base": None}, "float32 (10, 4)"),
        (
            {"model": msgspec.structs.replace(WEIGHT, dtype="float16")},
            "float32 to float16, relative change 0.04",
        ),
    ],
)
def test_how_much_a_parameter_changed(changes: dict[str, Any], said: str) -> None:
    assert baseline.parameter_text(parameter(**changes)).startswith(said)


def test_a_parameter_without_a_name_is_told_by_what_takes_it() -> None:
    change = parameter(used_by="MatrixMul fc, input 1")
    assert baseline.parameter_name(change) == "fc.weight"
    made_up = msgspec.structs.replace(change, name="const{10,4}[3]")
    assert baseline.parameter_name(made_up) == "const{10,4}[3] of MatrixMul fc, input 1"
    alone = msgspec.structs.replace(made_up, used_by="")
    assert baseline.parameter_name(alone) == "const{10,4}[3]"


def case(index: int, *comparisons: Comparison | None, reason: str = "") -> report.Testcase:
    """A testcase with these comparisons of its outputs."""
    outputs = [
        msgspec.structs.replace(
            reports.output("y", 0, passed=True), against_model=None, against_base=item
        )
        for item in comparisons
    ]
    return report.Testcase(
        index=index, source=None, inputs=[], passed=not reason, reason=reason, outputs=outputs
    )


def comparison(error: Any, **metrics: Any) -> Comparison:
    """One with these metrics."""
    return Comparison(
        passed=True,
        error=error,
        max_abs_error=error,
        metrics=msgspec.structs.replace(reports.metrics(0.25), **metrics),
    )


def test_the_drift_of_an_output_is_that_of_its_worst_testcases() -> None:
    unlike = Comparison(passed=True, reason="shape is (1, 3), expected (1, 2)")
    cases = [
        case(0, comparison(0.1, sqnr=30.0, cosine=0.999)),
        case(1, unlike),
        case(2, comparison(0.3, sqnr=10.0, cosine=0.9, top_k=None)),
        case(3, comparison(0.2, sqnr=-1.0, cosine=0.95)),
    ]
    (drift,) = baseline.drifted([Drift(output="y", base_output="x")], cases)
    assert (drift.output, drift.base_output) == ("y", "x")
    assert drift.errors == [0.1, None, 0.3, 0.2]
    assert (drift.compared, drift.reason) == (3, "shape is (1, 3), expected (1, 2)")
    assert (drift.max_error, drift.testcase) == (0.3, 2)
    assert (drift.cosine, drift.sqnr) == (0.9, -1.0)
    assert drift.worst == cases[2].outputs[0].against_base.metrics  # type: ignore[union-attr]
    assert drift.top_k is not None
    assert (drift.top_k.rows, drift.top_k.top1, drift.top_k.top5) == (2, 2, 0.8)


def test_nan_is_the_worst_drift() -> None:
    cases = [case(0, comparison(0.1)), case(1, comparison("nan")), case(2, comparison("inf"))]
    (drift,) = baseline.drifted([Drift(output="y")], cases)
    assert (drift.max_error, drift.max_abs_error, drift.testcase) == ("nan", "nan", 1)


def test_what_was_not_compared_has_no_drift() -> None:
    cases = [case(0, reason="the base model does not take it")]
    (drift,) = baseline.drifted([Drift(output="y")], cases)
    assert (drift.compared, drift.max_error, drift.errors) == (0, None, [None])
    assert drift.reason == "the base model does not take it"


NONE = Bounds(output="y", maxerr=float("inf"))
NAN = float("nan")


@pytest.mark.parametrize(
    ("before", "after", "passed"),
    [
        ([1, 2], [1e30, -5], True),
        ([1, 2], [NAN, 2], False),
        ([1, 2], [1, np.inf], False),
        ([NAN, np.inf], [NAN, np.inf], True),
        ([NAN, 2], [1, 2], True),
        ([np.inf, 2], [-np.inf, 2], False),
        ([NAN, 2], [2, NAN], False),
    ],
)
def test_without_a_limit_only_values_that_are_no_longer_finite_fail(
    before: list[float], after: list[float], passed: bool
) -> None:
    arrays = np.array(before, np.float32), np.array(after, np.float32)
    found = drifted(*arrays, NONE, limited=False)
    assert found.passed is passed
    assert ("NaN or infinite that were not" in found.reason) is not passed


def test_with_a_limit_it_is_held_to_as_everywhere() -> None:
    bounds = Bounds(output="y", maxerr=0.5)
    one, two = np.ones((1, 2), np.float32), np.full((1, 2), 2, np.float32)
    assert not drifted(one, two, bounds, limited=True).passed
    assert drifted(one, one, bounds, limited=True).passed
    nan = np.full((1, 2), np.nan, np.float32)
    assert not drifted(nan, nan, bounds, limited=True).passed


def test_another_shape_is_a_failure_where_there_is_a_limit() -> None:
    arrays = np.ones((1, 2)), np.ones((1, 3))
    found = [drifted(*arrays, NONE, limited=limited) for limited in (True, False)]
    assert [item.passed for item in found] == [False, True]
    assert [item.error for item in found] == [None, None]
    assert all(item.reason == "shape is (1, 3), expected (1, 2)" for item in found)
