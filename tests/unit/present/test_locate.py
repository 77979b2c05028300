"""The lines about the first wrong operator."""

from typing import Any

import msgspec

from megdump_ci.present import locate
from megdump_ci.report import (
    Altered,
    Location,
    NonFinite,
    Step,
    Tensor,
)
from tests.unit import reports

OPERATOR = reports.OPERATOR
COMPARISON = OPERATOR.comparison
SQNR = float(COMPARISON.metrics.sqnr) if COMPARISON.metrics else 0.0
WEIGHT = Altered(
    kind="constant",
    name="conv2.weight",
    operator="conv2.RELU",
    expected=0.5,
    found=0.7,
    differing=1,
    size=36864,
    index=[0, 3, 1, 1],
)
PADDING = Altered(kind="parameter", name="pad_h", operator="pool", expected="1", found="0")


def step(name: str, status: Any, error: float | None = None) -> Step:
    return Step(name=name, type="Elemwise", status=status, error=error)


def shown(*steps: Step, **changes: Any) -> list[str]:
    location = Location(testcase=0, kernels="fast", criterion="", operators=list(steps))
    return [line.plain for line in locate.lines(msgspec.structs.replace(location, **changes))]


def test_a_wrong_operator() -> None:
    strange = msgspec.structs.replace(COMPARISON, computed_non_finite=NonFinite(nan=3, inf=4))
    operator = msgspec.structs.replace(
        OPERATOR, comparison=strange, altered=[WEIGHT, PADDING], naive="right"
    )
    second = msgspec.structs.replace(OPERATOR, name="conv3.RELU")
    steps = [step("conv2.RELU", "source", 0.7), step("conv3.RELU", "source", 0.7)]
    found = shown(*steps, wrong=[operator, second], kernels="naive", notes=["a note"])
    assert found == [
        (
            "first wrong operator: conv2.RELU (ConvBiasForward, fused: conv2.Convolution,"
            " conv2.ADD), float32 as float16 (1,64,28,28) as NCHW4, error 0.31, SQNR"
            f" {SQNR:.3g} dB; its inputs agree"
        ),
        "  3 of its values are NaN and 4 infinite",
        "  by itself off by 33.1 times what rounding explains; right with naive kernels",
        (
            "  leads from: data \u2192 conv1.RELU \u2192 conv2.Convolution \u2192 conv2.ADD \u2192"
            " conv2.RELU"
        ),
        (
            "  constant conv2.weight of conv2.RELU is not what optimising the model gives: 1 of"
            " 36864 elements differ, at [0, 3, 1, 1] 0.5 became 0.7"
        ),
        "  pool has pad_h 0 in the file, optimising the model gives 1",
        "  wrong by themselves, too: conv3.RELU",
        "  looked for with naive kernels",
        "  note: a note",
    ]


def test_forms_of_an_operator() -> None:
    plain = {"covers": [], "layout": "", "fused": False, "beyond_rounding": None}
    same = msgspec.structs.replace(OPERATOR, optimized=OPERATOR.output, **plain)
    text = f"float32 (1,64,28,28), error 0.31, SQNR {SQNR:.3g} dB"
    assert locate.headline(same) == f"conv2.RELU (Elemwise, now ConvBiasForward), {text}"
    other = msgspec.structs.replace(same, optimized_type="Elemwise")
    assert locate.headline(other) == f"conv2.RELU (Elemwise), {text}"
    together = msgspec.structs.replace(other, covers=list("abcdefgh"))
    assert "(Elemwise, compared together: a, b, (3 more), f, g, h)" in locate.headline(together)
    open_shape = Tensor(name="conv2.RELU", dtype="float32", shape=None)
    unknown = msgspec.structs.replace(same, output=open_shape)
    assert "float32 (open), error" in locate.headline(unknown)
    differ = msgspec.structs.replace(same, inputs_agree=False, chain=[f"v{i}" for i in range(20)])
    first, second = shown(step("v", "source"), wrong=[differ])
    assert first.endswith("; its inputs differ already")
    assert second == (
        "  leads from: v0 \u2192 v1 \u2192 (15 more) \u2192 v17 \u2192 v18 \u2192 v19"
    )


def test_no_wrong_operator() -> None:
    agree = [step("a", "ok", 0.0), step("b", "fused"), step("c", "ok", 1e-7)]
    assert shown(*agree) == ["no wrong operator: all 2 results that were compared agree"]
    assert shown(step("b", "unmatched")) == [
        "no operator could be compared with the model's",
    ]
    drift = [step("a", "ok", 0.01), step("b", "follows", 0.05)]
    assert shown(*drift, nearest=step("a", "ok", 0.01)) == [
        (
            "no operator is wrong by itself: rounding adds up, from b (Elemwise) on beyond what"
            " passes; most of it comes from a (Elemwise)"
        ),
    ]
    shape = msgspec.structs.replace(WEIGHT, size=0, expected="(2,)", found="(3,)")
    assert shown(*agree, altered=[shape])[1] == (
        "  constant conv2.weight of conv2.RELU has shape (3,) in the file, optimising the model"
        " gives (2,)"
    )


def test_names_are_untrusted() -> None:
    hostile = msgspec.structs.replace(
        OPERATOR, name="\x1b[31mred\n::error::x", covers=["\u202e"], chain=["\x07"]
    )
    for line in shown(step("a", "source"), wrong=[hostile], notes=["\x1b]0;x"]):
        assert line.isprintable()
