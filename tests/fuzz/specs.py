"""Data specs and list files: the grammar, which input gets which value, and the random data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from megdump_ci.errors import InputError
from megdump_ci.testcase import grammar, values
from megdump_ci.testcase.grammar import FileSpec, RandomSpec
from megdump_ci.testcase.inputs import InputType
from megdump_ci.testcase.settings import DataSettings
from megdump_ci.testcase.spec import TestcaseSpec, bind, read_specs
from tests.fuzz.target import Target, file_of, mutated

PIECES = "#rand(),.:;@-+0159e \t\n\0ab_é\ud800/\\'\"İﬀ٣"
_BLANK = st.sampled_from(("", "", "", " ", "  ", "\t"))
_DTYPES = ("float32", "float16", "int8", "uint8", "int16", "uint16", "int32", "bool")


@dataclass(frozen=True)
class Case:
    """A spec, the model's inputs, and what it means if that is known."""

    text: str
    inputs: tuple[InputType, ...]
    means: dict[str, Any] | None = None


def names() -> st.SearchStrategy[str]:
    """What inputs are called; names may hold what means something in a spec."""
    return st.sampled_from(("data", "x", "x:y", "a b", "#rand", "input;1", "é", ":")) | st.text(
        min_size=1, max_size=6
    )


@st.composite
def inputs(draw: st.DrawFn) -> tuple[InputType, ...]:
    """The inputs of a model."""
    shapes = st.none() | st.lists(st.integers(1, 5), max_size=4).map(tuple)
    found = []
    for name in draw(st.lists(names(), min_size=1, max_size=3, unique=True)):
        dtype = draw(st.sampled_from(_DTYPES))
        found.append(InputType(name, draw(shapes), np.dtype(dtype), dtype))
    return tuple(found)


def decimals() -> st.SearchStrategy[str]:
    """Numbers in the forms that the grammar has."""
    return (
        st.integers(-300, 300).map(str)
        | st.floats(-1e6, 1e6).map(repr)
        | st.sampled_from(("1e-3", "+.5", "5.", "1E2", "-0", "1e308", "1e999", "0" * 400, "nan"))
    )


@st.composite
def randoms(draw: st.DrawFn) -> tuple[str, RandomSpec | None]:
    """``#rand(...)`` with blanks, and what it means; None if it may mean nothing."""
    low, high = sorted((draw(st.integers(-200, 200)), draw(st.integers(-200, 200))))
    fields, known = [str(low), str(high)], True
    if draw(st.integers(0, 3)) == 0:
        fields, known = [draw(decimals()), draw(decimals())], False
    dims = draw(st.none() | st.lists(st.integers(1, 6) | st.integers(1, 10**18 - 1), max_size=5))
    rest = dims is not None and draw(st.booleans())
    if dims is not None:
        fields += [*map(str, dims), *(["..."] if rest else [])]
    body = ",".join(draw(_BLANK) + item + draw(_BLANK) for item in fields)
    text = f"#rand{draw(_BLANK)}({body})"
    if not known:
        return text, None
    given = tuple(dims or ()) if dims or rest else None
    return text, RandomSpec(text, float(low), float(high), given, rest)


@st.composite
def written(draw: st.DrawFn) -> Case:
    """A spec that is well formed and names each input, with what it means."""
    plain = st.sampled_from(("data", "x", "in.1", "a b", "é"))
    given = draw(inputs())
    names = draw(st.lists(plain, min_size=len(given), max_size=len(given), unique=True))
    given = tuple(
        InputType(name, item.shape, item.dtype, item.label)
        for name, item in zip(names, given, strict=True)
    )
    path = st.sampled_from(("a.npy", "b c.png", "./#x", "d/é.bmp", "C:/x")).map(
        lambda path: (path, FileSpec(path))
    )
    items, means = [], {}
    for item in given:
        text, value = draw(randoms() | path)
        means[item.name] = value
        items.append(f"{draw(_BLANK)}{item.name}{draw(_BLANK)}:{draw(_BLANK)}{text}{draw(_BLANK)}")
    text = ";".join(items) + draw(st.sampled_from(("", "", ";", " ; ")))
    return Case(text, given, means if None not in means.values() else None)


@st.composite
def any_text(draw: st.DrawFn) -> Case:
    """Any text, and such that were well formed."""
    case = draw(written())
    text = draw(
        mutated(st.just(case.text), PIECES)
        | st.text(PIECES, max_size=40)
        | st.text(max_size=40)
        | st.tuples(st.just(case.text), randoms().map(lambda found: found[0])).map(" ".join)
    )
    return Case(text, draw(inputs() | st.just(case.inputs)))


def check_spec(case: Case) -> bool:
    """A spec is refused, or each input gets a value that the text says."""
    try:
        found = read_specs([case.text])
    except InputError as error:
        assert case.means is None, error
        assert error.problems
        return False
    accepted = True
    for spec in found:
        accepted &= check_bound(spec, case)
    return accepted


def check_bound(spec: TestcaseSpec, case: Case) -> bool:
    """What a spec gives to the inputs."""
    try:
        bound = bind(spec, [item.name for item in case.inputs])
    except InputError as error:
        assert case.means is None, error
        return False
    assert list(bound) == [item.name for item in case.inputs]
    assert case.means is None or bound == case.means, bound
    for value in bound.values():
        assert value.text in spec.text
        assert grammar.parse_value(value.text) == value
        if isinstance(value, RandomSpec):
            assert value.low <= value.high
            assert all(size > 0 for size in value.dims or ())
    if all(isinstance(value, RandomSpec) for value in bound.values()):
        check_drawn(spec, case.inputs, bound)
    return True


def check_drawn(spec: TestcaseSpec, given: tuple[InputType, ...], bound: dict[str, Any]) -> None:
    """Random data has the shape and the range that were asked for, and is the same each time."""
    settings = DataSettings(seed=len(spec.text))
    problems = values.check([spec], given, settings)
    try:
        feeds = values.load(spec, 0, given, settings)
    except InputError as error:
        assert problems, error
        return
    assert not problems, problems
    again = values.load(spec, 0, given, settings)
    for item in given:
        array, value = feeds[item.name], bound[item.name]
        assert array.dtype == item.dtype
        assert array.tobytes() == again[item.name].tobytes()
        dims = value.dims or ()
        wanted = (*dims, *(item.shape or ())[len(dims) :]) if value.rest or not dims else dims
        assert array.shape == wanted, (array.shape, wanted)
        # Rounding to float16 may reach the upper end, and a bit beyond either.
        slack = 2.0**-10 * max(abs(value.low), abs(value.high)) if item.dtype.kind == "f" else 0
        assert array.min() >= value.low - slack
        assert array.max() <= value.high + slack


@dataclass(frozen=True)
class List:
    """A list file, and its testcases with their line numbers if they are known."""

    content: bytes
    means: list[tuple[int, str]] | None = None


@st.composite
def lists(draw: st.DrawFn) -> List:
    """Lists with comments, blank lines, any line ends, and a byte order mark."""
    text = st.text(
        st.characters(blacklist_categories=("Cs", "Cc", "Z"), blacklist_characters="#@;"),
        min_size=1,
    )
    end = draw(st.sampled_from(("\n", "\r\n", "\r")))
    lines, means = [], []
    for number in range(1, draw(st.integers(1, 6)) + 1):
        kind = draw(st.sampled_from(("text", "text", "rand", "comment", "blank")))
        if kind in ("text", "rand"):
            testcase = draw(text if kind == "text" else randoms().map(lambda found: found[0]))
            # A line is taken without the blanks around it, of whatever kind these are.
            if testcase.strip():
                means.append((number, testcase.strip()))
            lines.append(draw(_BLANK) + testcase + draw(_BLANK))
        else:
            lines.append(draw(_BLANK) + ("# " + draw(text) if kind == "comment" else ""))
    mark = draw(st.sampled_from((b"", b"", b"\xef\xbb\xbf")))
    return List(mark + end.join(lines).encode(), means)


def any_list() -> st.SearchStrategy[List]:
    """Lists that may hold anything."""
    from tests.fuzz.target import altered

    lines = st.lists(any_text().map(lambda case: case.text.encode(errors="replace")), max_size=5)
    content = (
        lines.map(b"\n".join) | st.binary(max_size=60) | lists().map(lambda item: item.content)
    )
    return altered(content).map(List)


def check_list(case: List) -> bool:
    """A list is refused, or gives the testcases that stand in it."""
    with file_of(case.content) as path:
        try:
            found = read_specs([f"@{path}"])
        except InputError:
            # Its lines may be no specs; that they are its lines is what is known.
            return False
    if case.means is not None:
        assert [(spec.line, spec.text) for spec in found] == case.means, found
    text = case.content.decode("utf-8-sig")
    assert all(spec.text in text and spec.line >= 1 for spec in found)
    assert all(spec.file == str(path) and spec.folder == str(path.parent) for spec in found)
    return True


SPECS = Target("specs", written() | any_text(), check_spec)
LISTS = Target("list files", lists() | any_list(), check_list)
