"""Options: one description, and what it refuses."""

import dataclasses
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci import cli
from megdump_ci.errors import InputError
from megdump_ci.gates import Limits
from megdump_ci.options import (
    LAYOUTS,
    SWITCHES,
    DiffOptions,
    ExportOptions,
    OptionSpec,
    PackOptions,
    SweepOptions,
    VerifyOptions,
    checked,
    names_in,
    size_in,
    specs,
    to_argv,
)

WORDS = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=12)


def limits(spec: OptionSpec) -> st.SearchStrategy[Limits]:
    """Limits as a command line can give them: without one for all, the default stays."""
    number = st.floats(allow_nan=False, allow_infinity=False)
    names = WORDS.map(str.strip).filter(bool)
    default = number if spec.default.default is not None else st.none() | number
    return st.builds(Limits, default, st.dictionaries(names, number, max_size=2))


def values(spec: OptionSpec) -> st.SearchStrategy[object]:
    if spec.choices:
        return st.sampled_from(spec.choices)
    if spec.kind is Limits:
        return limits(spec)
    one: st.SearchStrategy[object] = {
        bool: st.booleans(),
        int: st.integers(-(2**40), 2**40),
        float: st.floats(allow_nan=False),
        str: WORDS,
    }[spec.kind]
    return st.lists(one, min_size=1, max_size=3).map(tuple) if spec.many else one


def any_options(kind: type) -> st.SearchStrategy[object]:
    fields = {spec.field: values(spec) for spec in specs(kind)}
    required = {spec.field: fields[spec.field] for spec in specs(kind) if spec.required}
    # A model named like an option cannot be told from one on a command line.
    for spec in specs(kind):
        if spec.positional:
            required[spec.field] = WORDS.filter(lambda word: not word.startswith("-"))
    optional = {name: fields[name] for name in fields if name not in required}
    return st.fixed_dictionaries(required, optional=optional).map(lambda given: kind(**given))


@given(any_options(PackOptions))
def test_the_command_line_of_pack_options_gives_them_back(options: PackOptions) -> None:
    assert cli.parse(["pack", *to_argv(options)]) == options


@given(any_options(ExportOptions))
def test_the_command_line_of_export_options_gives_them_back(options: ExportOptions) -> None:
    assert cli.parse(["export", *to_argv(options)]) == options


@given(any_options(SweepOptions))
def test_the_command_line_of_sweep_options_gives_them_back(options: SweepOptions) -> None:
    assert cli.parse(["sweep", *to_argv(options)]) == options


@given(any_options(VerifyOptions))
def test_the_command_line_of_verify_options_gives_them_back(options: VerifyOptions) -> None:
    assert cli.parse(["verify", *to_argv(options)]) == options


@given(any_options(DiffOptions))
def test_the_command_line_of_diff_options_gives_them_back(options: DiffOptions) -> None:
    assert cli.parse(["diff", *to_argv(options)]) == options


def test_two_positional_options_go_by_their_order() -> None:
    options = cli.parse(["diff", "old.mge", "-d", "a.npy", "new.mge", "--maxerr", "out=1"])
    wanted = DiffOptions(
        base="old.mge", new="new.mge", data=("a.npy",), maxerr=Limits(None, {"out": 1.0})
    )
    assert options == wanted
    assert to_argv(wanted)[:2] == ["old.mge", "new.mge"]


def test_every_flag_of_the_old_tool_is_there_with_its_default() -> None:
    """dump_with_testcase_mge.py of MegEngine 1.9, and the passes that 1.13 added."""
    old = {
        "data": None, "output": None, "repeat": 1, "silent": False,
        "optimize-for-inference": False, "no-assert": False, "maxerr": 1e-4,
        "resize-input": False, "input-transform": "", "discard-var-name": False,
        "output-strip-info": False,
    }  # fmt: skip
    switches = [
        "io16xc32", "ioc16", "hwcd4", "nchw4", "nchw88", "nchw44", "nchw44-dot", "nchw32",
        "nchw64", "chwn4", "fuse-conv-bias-nonlinearity", "fuse-conv-bias-with-z",
        "fuse-preprocess",
    ]  # fmt: skip
    found = {spec.name: spec.default for spec in specs(PackOptions)}
    found["maxerr"] = found["maxerr"].default
    assert {name: found.get(name, "missing") for name in old} == old
    assert [name for name in switches if found.get(f"enable-{name}") is not False] == []


def test_optimizations_lists_every_pass() -> None:
    fields = [f.name for f in dataclasses.fields(PackOptions) if f.name.startswith("enable_")]
    given_all = dict.fromkeys(fields, True)
    options = PackOptions(model="m", data=("#rand(0,1)",), output="o", **given_all)
    assert sorted(options.optimizations) == sorted(fields)
    assert len(fields) == len(LAYOUTS) + len(SWITCHES)


def test_exporting_takes_the_options_of_trace_dump_with_its_defaults() -> None:
    defaults = {"optimize-for-inference": True, "keep-var-name": 1, "keep-param-name": False}
    found = {spec.name: spec.default for spec in specs(ExportOptions)}
    assert {name: found.get(name, "missing") for name in defaults} == defaults
    packing = {spec.name for spec in specs(PackOptions) if spec.name.startswith("enable-")}
    assert packing <= found.keys()


def test_what_is_wrong_with_an_export_is_said_at_once() -> None:
    options = ExportOptions(
        target="",
        data=("#rand(0,1,2)",),
        output="o",
        arg_names="a,,b",
        output_names="a, b, a",
        keep_var_name=3,
        optimize_for_inference=False,
        enable_ioc16=True,
    )
    said = [problem.message for problem in options.problems()]
    assert said == [
        "target is empty",
        "keep-var-name is 3",
        "arg-names has an empty name",
        "output-names has a twice",
        "--enable-ioc16 without --optimize-for-inference would have no effect",
    ]


@pytest.mark.parametrize(
    ("text", "names"), [("", ()), (" ", ()), ("a", ("a",)), ("a , b", ("a", "b")), (",", ("", ""))]
)
def test_names_are_separated_by_commas(text: str, names: tuple[str, ...]) -> None:
    assert names_in(text) == names


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("", 0),
        ("1", 1),
        ("500M", 500 << 20),
        (" 8 GiB ", 8 << 30),
        ("1.5g", 3 << 29),
        ("2kB", 2048),
        ("1T", 1 << 40),
    ],
)
def test_a_size_has_units_of_1024(text: str, size: int) -> None:
    assert size_in(text, "memory-limit") == size


@given(text=st.text(min_size=1) | st.sampled_from(["0", "-1G", "G", "1X", "9" * 400, "1e3", "٣G"]))
def test_what_is_no_size_is_refused_with_its_option(text: str) -> None:
    try:
        assert 0 < size_in(text, "memory-limit") < 1 << 62
    except InputError as error:
        assert error.problems[0].message == f"memory-limit is '{text}'"
    else:
        assert re.fullmatch(r"[0-9.]+ ?[KMGT]?(i?B)?", text.strip(), re.IGNORECASE)


@pytest.mark.parametrize("timeout", [0, -1, 1e10, 1e300, math.inf, math.nan])
def test_a_time_that_the_kernel_cannot_count_is_refused(timeout: float) -> None:
    with pytest.raises(InputError, match=r"^timeout is .*\n  give a number of seconds"):
        checked(PackOptions(model="m", data=("d",), output="o", timeout=timeout))


def test_a_memory_in_which_nothing_runs_is_wrong() -> None:
    with pytest.raises(InputError, match="159M of memory: it needs at least 160M"):
        checked(PackOptions(model="m", data=("#rand(0,1)",), output="o", memory_limit="159M"))


def test_all_that_is_wrong_is_said_at_once() -> None:
    options = PackOptions(
        model="m",
        data=(" ",),
        output="",
        timeout=0,
        threads=-1,
        memory_limit="much",
        maxerr=Limits(math.nan),
        repeat=0,
        seed=-1,
        enable_nchw44=True,
        enable_hwcd4=True,
    )
    with pytest.raises(InputError) as caught:
        checked(options)
    said = "\n".join(problem.message for problem in caught.value.problems)
    words = ("data", "output", "timeout", "threads", "memory-limit", "maxerr", "repeat", "seed")
    for word in words:
        assert word in said
    assert "--enable-hwcd4, --enable-nchw44 without --optimize-for-inference" in said
    assert "cannot go together" in said
    assert all(problem.hint for problem in caught.value.problems)
