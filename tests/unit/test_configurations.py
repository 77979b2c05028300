"""What a sweep tries."""

from megdump_ci.cli import parse
from megdump_ci.configurations import Configuration, chosen, configurations, unknown
from megdump_ci.options import LAYOUTS, SWITCHES, PackOptions


def packs(configuration: Configuration) -> PackOptions:
    options = parse(["pack", "m", "-d", "#rand(0,1)", "-o", "o", *configuration.flags])
    assert isinstance(options, PackOptions)
    return options


def test_every_pass_is_tried_alone_beside_none_and_plain() -> None:
    found = configurations()
    assert [item.name for item in found[:2]] == ["none", "plain"]
    alone = [item.passes[0] for item in found if len(item.passes) == 1]
    assert sorted(alone) == sorted((*SWITCHES, *LAYOUTS))
    # The first of two that do as well is named: simple ones stand before others.
    assert [len(item.passes) for item in found] == sorted(len(item.passes) for item in found)


def test_names_are_distinct_and_fit_the_table() -> None:
    names = [item.name for item in configurations()]
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 28


def test_the_flags_give_the_passes_and_are_right() -> None:
    for item in configurations():
        options = packs(item)
        assert options.problems() == []
        assert options.optimize_for_inference == item.optimize
        assert set(options.optimizations) == {f"enable_{name}" for name in item.passes}


def test_none_is_always_among_the_chosen() -> None:
    assert [item.name for item in chosen(["nchw44-dot", "plain"])] == [
        "none",
        "plain",
        "nchw44-dot",
    ]
    assert chosen([]) == configurations()


def test_a_name_that_is_none_is_told_with_those_that_are() -> None:
    assert unknown(["plain", "none"]) == []
    (problem,) = unknown(["plain", "nchw45"])
    assert "nchw45" in problem.message
    assert "ioc16+fuse-nonlinearity" in problem.hint
