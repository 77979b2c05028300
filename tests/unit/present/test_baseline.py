"""What changed from a base model, in a terminal."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.present import baseline, text
from megdump_ci.report import (
    Baseline,
    Drift,
    Edit,
    NonFinite,
    OperatorChange,
    Tensor,
    TensorChange,
    Totals,
)
from tests.unit.pages import BASELINE


def shown(**changes: Any) -> list[str]:
    return [line.plain for line in baseline.lines(msgspec.structs.replace(BASELINE, **changes))]


def test_a_change_is_as_it_was_looked_at() -> None:
    assert shown() == [
        "other structure: 1 operator changed, 1 added; 1 parameter changed",
        "  ~ input data: dtype uint8, was float32",
        "  + output extra added",
        "  ~ ConvolutionForward conv1, was conv0: pad_h 0, was 1",
        "  + Elemwise relu9",
        "  ~ parameter fc.weight: relative change 0.24, SQNR 12.5 dB, max absolute 0.25",
        "  the base model is packed: its graph was taken",
        (
            "drift on 2 testcases: logits (was scores) max error 0.25, cosine 0.98, SQNR 12.5 dB,"
            " top-1 agreement 1 of 1"
        ),
    ]


def nothing(**changes: Any) -> list[str]:
    """A page without changes but for these."""
    none: dict[str, Any] = {
        "inputs": [],
        "outputs": [],
        "operators": [],
        "parameters": [],
        "notes": [],
        "drift": [],
        "operator_totals": Totals(),
        "parameter_totals": Totals(),
    }
    return shown(**{**none, **changes})[1:]


def changed(what: str) -> OperatorChange:
    edits = [Edit(what=what, before="1", after="2")]
    return OperatorChange(how="changed", type="T", name="op", edits=edits)


def test_operators_whose_results_alone_differ_are_counted() -> None:
    operators = [changed("pad_h"), *(changed("shape") for _ in range(7))]
    assert nothing(operators=operators, operator_totals=Totals(changed=8)) == [
        "  ~ T op: pad_h 2, was 1",
        "    and 7 more operators, in shape or dtype of results alone",
    ]


def test_no_more_than_some_changes_are_named() -> None:
    operators = [changed("pad_h")] * 30
    parameters = BASELINE.parameters * 30
    tensors = [TensorChange(how="removed", base=Tensor(name="x", dtype="", shape=[]))] * 30
    totals = Totals(changed=30)
    found = nothing(
        operators=operators,
        operator_totals=totals,
        parameters=parameters,
        parameter_totals=totals,
        inputs=tensors,
    )
    assert [line for line in found if "more" in line] == [
        "    and 20 more inputs",
        "    and 20 more operators",
        "    and 20 more parameters changed",
    ]
    assert len(found) == 33


def test_an_operator_with_many_edits_has_three_named() -> None:
    edits = [Edit(what=f"p{i}", before="", after=str(i)) for i in range(5)]
    change = OperatorChange(how="changed", type="T", name="op", edits=edits)
    (line,) = nothing(operators=[change], operator_totals=Totals(changed=1))
    assert line == "  ~ T op: p0 0, was none, p1 1, was none, p2 2, was none, and 2 more"


def test_parameters_that_are_no_numbers() -> None:
    broken = msgspec.structs.replace(BASELINE.parameters[0], non_finite=NonFinite(nan=1, inf=2))
    (line,) = nothing(parameters=[broken], parameter_totals=Totals(changed=1))
    assert line.startswith("  ~ parameter fc.weight: 1 NaN and 2 infinite, relative change")


def test_the_drift() -> None:
    same = Drift(output="a", compared=2, max_error=0.0, sqnr="inf", cosine=1.0)
    unlike = Drift(output="b", reason="shape is (1, 3), expected (1, 2)")
    partly = msgspec.structs.replace(BASELINE.drift[0], compared=1, reason="why")
    found = nothing(drift=[same, unlike, partly, msgspec.structs.replace(same, output="c")])
    assert found[0] == "drift on 2 testcases: b not compared: shape is (1, 3), expected (1, 2)"
    assert found[1].endswith("compared in 1: why")
    assert found[2:] == ["no drift on 2 testcases: a, c"]
    assert nothing(reason="no output is in both") == ["drift: no output is in both"]


def test_sizes_are_told_where_they_differ() -> None:
    model = msgspec.structs.replace(BASELINE.model, size=2000, parameters=7)
    assert nothing(model=model) == [
        "  size 2 kB, was 46.8 kB",
        "  7 elements in parameters, were 1000",
    ]


HOSTILE = st.one_of(
    st.text(max_size=300),
    st.sampled_from(["\x1b[31mred", "[bold]x[/bold]", "a\r\nb", "\u202egnp.exe", "::error::x\n"]),
)


@given(HOSTILE)
def test_text_from_outside_stays_text_on_its_line(name: str) -> None:
    tensor = Tensor(name=name, dtype=name, shape=None)
    edits = [Edit(what=name, before=name, after=name)]
    found = Baseline(
        change="structure",
        headline=name,
        base=BASELINE.base,
        model=BASELINE.model,
        operator_totals=Totals(),
        operators=[
            OperatorChange(how="changed", type=name, name=name, base_name=name, edits=edits)
        ],
        parameter_totals=Totals(changed=1),
        parameters=[msgspec.structs.replace(BASELINE.parameters[0], name=name, base_name=name)],
        inputs=[TensorChange(how="changed", base=tensor, model=tensor, edits=edits)],
        notes=[name],
        drift=[Drift(output=name, base_output=name, reason=name)],
    )
    for line in baseline.lines(found):
        assert "\n" not in line.plain
        assert line.plain == text.plain(line.plain)
