"""Graphs as plain data: ``x -> conv -> add -> relu`` and the like, written as rows."""

from __future__ import annotations

import pytest

from megdump_ci import matching
from megdump_ci.matching import Network, Operator, Value

Row = tuple[str, str, str]
"""Name of a value, type of its operator (and its format), names of what that takes."""


def network(rows: list[Row], outputs: str, **shapes: tuple[int, ...]) -> Network:
    """A graph; a name that is there twice is made another value by a digit behind ``@``."""
    numbers = {row[0]: place for place, row in enumerate(rows)}
    operators, values = [], {}
    for place, (name, form, inputs) in enumerate(rows):
        kind, _, format = form.partition(":")
        taken = tuple(numbers[item] for item in inputs.split())
        params = f'{{"format": "{format}", "mode": "{format}"}}' if format else ""
        operators.append(Operator(kind, taken, (place,), params))
        dtype = "float16" if kind == "Half" else "int32" if kind == "Whole" else "float32"
        shape = shapes.get(name, (2, 8, 4, 4))
        values[place] = Value(name.partition("@")[0], dtype, shape, place)
    inputs = [place for place, operator in enumerate(operators) if operator.type == "Input"]
    return Network(operators, values, inputs, [numbers[name] for name in outputs.split()])


MODEL: list[Row] = [
    ("x", "Input", ""),
    ("w", "ImmutableTensor", ""),
    ("conv", "Convolution", "x w"),
    ("b", "ImmutableTensor", ""),
    ("add", "Elemwise", "conv b"),
    ("relu", "Elemwise", "add"),
    ("pool", "Pooling", "relu"),
    ("sum", "Elemwise", "pool relu"),
]
FUSED: list[Row] = [
    ("x", "Input", ""),
    ("folded", "ImmutableTensor", ""),
    ("relu", "ConvBiasForward", "x folded"),
    ("pool", "Pooling", "relu"),
    ("sum", "Elemwise", "pool relu"),
]


def names(graph: Network, values: list[int] | tuple[int, ...]) -> str:
    """The names of values."""
    return " ".join(graph.values[value].name for value in values)


def pairs(model: Network, optimized: Network) -> dict[str, tuple[str, str]]:
    """Each matched name with its counterpart's and the kind of match."""
    return {
        model.values[value].name: (optimized.values[match.value].name, match.kind)
        for value, match in matching.matched(model, optimized).items()
    }


def test_names_and_outputs_match() -> None:
    model, optimized = network(MODEL, "sum"), network(FUSED, "sum")
    assert pairs(model, optimized) == {
        "relu": ("relu", "name"),
        "pool": ("pool", "name"),
        "sum": ("sum", "output"),
    }
    renamed = network([*FUSED[:-1], ("other", "Elemwise", "pool relu")], "other")
    assert pairs(model, renamed)["sum"] == ("other", "output")


def test_regions_cover_what_has_no_counterpart() -> None:
    model, optimized = network(MODEL, "sum"), network(FUSED, "sum")
    regions = matching.regions(model, optimized, matching.matched(model, optimized))
    found = {
        names(model, [region.value]): (
            names(model, region.given),
            names(model, region.covers),
            matching.is_fused(optimized, region),
        )
        for region in regions
    }
    assert found == {
        "relu": ("x", "conv add", True),
        "pool": ("relu", "", False),
        "sum": ("relu pool", "", False),
    }
    assert "folded" in names(optimized, sorted(regions[0].reads))


def test_as_many_operators_under_other_names_are_not_fused() -> None:
    model = network(MODEL, "sum")
    rows = [
        (name if name not in ("conv", "add") else f"auto{name}", *rest) for name, *rest in MODEL
    ]
    text = [(name, kind, inputs.replace("conv", "autoconv")) for name, kind, inputs in rows]
    text[5] = ("relu", "Elemwise", "autoadd")
    optimized = network(text, "sum")
    regions = matching.regions(model, optimized, matching.matched(model, optimized))
    assert names(model, regions[0].covers) == "conv add"
    assert not matching.is_fused(optimized, regions[0])


def test_conversions_are_seen_through() -> None:
    model = network(MODEL, "sum")
    optimized = network(
        [
            ("x", "Input", ""),
            ("x@1", "TypeCvt", "x"),
            ("c", "RelayoutFormat:NCHW_NCHW4", "x@1"),
            ("f", "ImmutableTensor", ""),
            ("relu", "ConvBiasForward:NCHW44", "c f"),
            ("pool", "Pooling:NCHW44", "relu"),
            ("mix", "Elemwise", "pool relu"),
            ("sum", "RelayoutFormat:NCHW4_NCHW", "mix"),
            ("sum@1", "TypeCvt", "sum"),
        ],
        "sum@1",
        c=(2, 2, 4, 4, 4),
        relu=(2, 2, 4, 4, 4),
        pool=(2, 2, 4, 4, 4),
        mix=(2, 2, 4, 4, 4),
    )
    found = matching.matched(model, optimized)
    layouts = {
        model.values[value].name: match.layout.name if match.layout else ""
        for value, match in found.items()
    }
    # By its format, since batch and blocks of channels are of one size here.
    assert layouts == {"relu": "NCHW4", "pool": "NCHW4", "sum": "NCHW"}
    regions = matching.regions(model, optimized, found)
    assert matching.is_fused(optimized, regions[0])
    assert optimized.told[6].name == "NCHW4"


def test_a_conversion_that_says_nothing_is_told_by_shapes_and_others() -> None:
    def told(format: str, blocked: tuple[int, ...]) -> list[str]:
        plain = (2, 8, blocked[1], 4) if blocked[1] == 2 else (2, 8, 4, 4)
        graph = network(
            [
                ("x", "Input", ""),
                ("in", "RelayoutFormat", "x"),
                ("f", "ImmutableTensor", ""),
                ("conv", f"ConvBiasForward{format}", "in f"),
                ("relu", "Elemwise", "conv"),
                ("out", "RelayoutFormat", "relu"),
            ],
            "out",
            **{"x": plain, "in": blocked, "conv": blocked, "relu": blocked, "out": plain},
        )
        return [graph.told[value].name for value in graph.working if value in graph.told]

    assert told(":NHWCD4", (2, 4, 2, 4, 4)) == ["NHWCD4", "NHWCD4", "NHWCD4", "NCHW"]
    # Without anyone to say so, the one layout that has the shape.
    assert told("", (2, 4, 2, 4, 4)) == ["NHWCD4", "NHWCD4", "NHWCD4", "NCHW"]
    # Where batch, height and blocks of channels are of one size, only the operators tell.
    assert told(":NCHW44", (2, 2, 2, 4, 4)) == ["NCHW4", "NCHW4", "NCHW4", "NCHW"]
    assert told("", (2, 2, 2, 4, 4)) == ["NCHW"]


@pytest.mark.parametrize(
    "rows",
    {
        "another shape": [("relu", "Elemwise", "x"), ("sum", "Elemwise", "relu")],
        "another kind of number": [("pool", "Whole", "x"), ("sum", "Elemwise", "pool")],
        "twice": [
            ("pool", "Elemwise", "x"),
            ("pool@1", "Elemwise", "pool"),
            ("sum", "Elemwise", "pool@1"),
        ],
        "nothing computed": [("pool", "ImmutableTensor", ""), ("sum", "Elemwise", "x pool")],
    }.values(),
    ids=str,
)
def test_what_does_not_match(rows: list[Row]) -> None:
    model = network(MODEL, "sum")
    optimized = network([("x", "Input", ""), *rows], "sum", relu=(2, 3))
    assert set(pairs(model, optimized)) == {"sum"}


def test_names_that_are_none_match_nothing() -> None:
    model = network([("x", "Input", ""), ("@1", "Elemwise", "x"), ("y", "Elemwise", "@1")], "y")
    assert names(model, model.working) == " y"
    assert set(pairs(model, model)) == {"y"}


def test_half_precision_matches() -> None:
    model = network([("x", "Input", ""), ("a", "Elemwise", "x"), ("y", "Elemwise", "a")], "y")
    half = network([("x", "Input", ""), ("a", "Half", "x"), ("y", "Half", "a")], "y")
    assert set(pairs(model, half)) == {"a", "y"}


def test_shapes_are_not_values() -> None:
    model = network(
        [
            ("x", "Input", ""),
            ("conv", "Convolution", "x"),
            ("add", "Elemwise", "conv"),
            ("shape", "GetVarShape", "conv"),
            ("part", "Whole", "shape"),
            ("y", "Reshape", "add part"),
        ],
        "y",
    )
    assert names(model, model.working) == "conv add y"
    operators, given = model.back(5, lambda value: value == 2)
    # The convolution gives the shape alone, but has to be had for that.
    assert (names(model, operators), names(model, given)) == ("y", "add")
    operators, given = model.back(5, lambda value: value in (0, 2))
    assert (names(model, operators), names(model, given)) == ("y", "x add")


def test_a_chain_is_a_shortest_one() -> None:
    model = network(MODEL, "sum")
    assert names(model, matching.chain(model, 7)) == "x conv add relu sum"
    assert names(model, matching.chain(model, 0)) == "x"
    assert names(model, matching.chain(model, 1)) == "w"
    assert matching.reached(model, [6]) == {6, 7}
    assert matching.reached(model, [1]) == {1, 2, 4, 5, 6, 7}


def test_alike_but_for_names_constants_and_parameters() -> None:
    model = network(MODEL, "sum")
    other = network([(f"n{name}", kind, _each(inputs)) for name, kind, inputs in MODEL], "nsum")
    assert matching.aligned(model, other) == {place: place for place in range(8)}
    assert matching.aligned(model, network(FUSED, "sum")) is None
    assert matching.aligned(model, network(MODEL, "sum relu")) is None
    swapped = [*MODEL[:-1], ("sum", "Elemwise", "relu pool")]
    assert matching.aligned(model, network(swapped, "sum")) is None
    # One value in place of two that are equal.
    twice = [
        ("x", "Input", ""),
        ("a", "Elemwise", "x"),
        ("b", "Elemwise", "x"),
        ("y", "Add", "a b"),
    ]
    once = [("x", "Input", ""), ("a", "Elemwise", "x"), ("y", "Add", "a a")]
    assert matching.aligned(network(once, "y"), network(twice, "y")) is None


def _each(inputs: str) -> str:
    return " ".join(f"n{name}" for name in inputs.split())
