import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.testcase import grammar
from megdump_ci.testcase.faults import SyntaxFault, marked
from megdump_ci.testcase.grammar import FileSpec, RandomSpec

NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
BLANKS = st.text(" \t", max_size=2)


@given(st.text(max_size=40) | st.text("#rand(),;:.0123-e +", max_size=40))
def test_any_text_is_a_spec_or_a_syntax_fault(text: str) -> None:
    try:
        grammar.check_syntax(text)
    except SyntaxFault as fault:
        assert 0 <= fault.position <= len(text)
        assert fault.hint


@given(
    NUMBERS,
    NUMBERS,
    st.lists(st.integers(1, 10**17), min_size=1, max_size=6),
    st.booleans(),
    BLANKS,
)
def test_random_spec_round_trip(
    one: float, other: float, dims: list[int], rest: bool, blank: str
) -> None:
    low, high = sorted((one, other))
    fields = [repr(low), repr(high), *map(str, dims), *(["..."] if rest else [])]
    text = f"#rand{blank}({blank}" + f"{blank},{blank}".join(fields) + f"{blank})"
    value = grammar.parse_value(text)
    assert value == RandomSpec(text, low, high, tuple(dims), rest)


def test_random_spec_without_a_shape() -> None:
    assert grammar.parse_value("#rand(+.5,1e3)") == RandomSpec("#rand(+.5,1e3)", 0.5, 1000.0)
    rest = grammar.parse_value("#rand(0,1,...)")
    assert isinstance(rest, RandomSpec)
    assert (rest.dims, rest.rest) == ((), True)


@pytest.mark.parametrize(
    ("text", "column", "word"),
    [
        ("#rand(0 1)", 10, "maximum"),
        ("#rand(2,1)", 7, "above"),
        ("#rand(0,x)", 9, "'x'"),
        ("#rand(,1)", 7, "minimum"),
        ("#rand(nan,1)", 7, "finite"),
        ("#rand(0,inf)", 9, "finite"),
        ("#rand(0,1e999)", 9, "too large"),
        ("#rand(1_0,20)", 7, "1_0"),
        ("#rand(0,1,...,3)", 11, "last"),
        ("#rand(0,1,2,0)", 13, "'0'"),
        ("#rand(0,1,-2)", 11, "'-2'"),
        ("#rand(0,1,)", 11, "''"),
        ("#rand(0,1", 10, "missing"),
        ("#rand(0,1) x", 12, "follow"),
        ("#Rand(0,1)", 1, "small letters"),
        ("#other", 1, "not a data spec"),
        ("a:x; b :  #rand(0,1,2,z)", 23, "'z'"),
        ("a;;b", 3, "before"),
        (";", 1, "before"),
        ("", 1, "empty"),
    ],
)
def test_a_syntax_fault_names_the_place(text: str, column: int, word: str) -> None:
    with pytest.raises(SyntaxFault) as caught:
        grammar.check_syntax(text)
    problem = caught.value.problem(text, "list.txt", 7)
    assert f"(column {column})" in problem.message
    assert word in problem.message
    shown, caret = problem.message.splitlines()[1:]
    assert shown == f"    {text}"
    assert caret.index("^") == column - 1 + 4
    assert (problem.file, problem.line) == ("list.txt", 7)


def test_items_know_where_they_begin() -> None:
    text = " a:x ;  b:y ; "
    items = grammar.split_items(text)
    assert [item.text for item in items] == ["a:x", "b:y"]
    assert all(text[item.start :].startswith(item.text) for item in items)


def test_a_path_may_hold_nearly_anything() -> None:
    assert grammar.parse_value("a (1), #2.png") == FileSpec("a (1), #2.png")


def test_the_mark_of_a_long_or_unprintable_text_is_right() -> None:
    text = "\t\x1b" + "x" * 500 + "!" + "y" * 500
    line, caret = marked(text, text.index("!")).splitlines()
    assert line[caret.index("^")] == "!"
    assert len(line) < 200
    line, caret = marked("\t\x1b!", 2).splitlines()
    assert line[caret.index("^")] == "!"
    assert "\x1b" not in line
