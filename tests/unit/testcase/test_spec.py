import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.errors import InputError
from megdump_ci.testcase.faults import PROBLEM_LIMIT
from megdump_ci.testcase.spec import FileSpec, RandomSpec, TestcaseSpec, bind, read_specs

ODD = st.text("ab:/. #", min_size=1, max_size=5).filter(lambda name: name.strip() == name)


def paths(text: str, *names: str) -> dict[str, str]:
    return {name: value.text for name, value in bind(TestcaseSpec(text), names).items()}


@given(st.lists(st.text(max_size=30).filter(lambda text: not text.strip().startswith("@"))))
def test_reading_raises_input_errors_only(data: list[str]) -> None:
    try:
        specs = read_specs(data)
    except InputError as error:
        assert error.problems
    else:
        assert [spec.text for spec in specs] == [text.strip() for text in data]


@given(st.text(max_size=30) | st.text("ab:;#rand(0,1)", max_size=30), st.sets(ODD, max_size=4))
def test_binding_gives_every_input_a_value_or_an_input_error(text: str, names: set[str]) -> None:
    try:
        values = bind(TestcaseSpec(text), sorted(names))
    except InputError as error:
        assert error.problems
    else:
        assert list(values) == sorted(names)


@given(st.sets(ODD, min_size=1, max_size=4))
def test_odd_names_are_found(names: set[str]) -> None:
    order = sorted(names)
    given_order = list(reversed(order))
    text = ";".join(f"{name}: x{i}.npy" for i, name in enumerate(given_order))
    wanted = {name: f"x{i}.npy" for i, name in enumerate(given_order)}
    assert paths(text, *order) == wanted


def test_the_longest_name_wins() -> None:
    assert paths("a:b:c;a:d", "a", "a:b") == {"a": "d", "a:b": "c"}


def test_with_one_input_the_name_can_be_left_out() -> None:
    assert paths("x:y z.png", "data") == {"data": "x:y z.png"}
    assert paths("data : x.png;", "data") == {"data": "x.png"}


def test_one_random_spec_serves_all_inputs() -> None:
    values = bind(TestcaseSpec("#rand(0,1)"), ["a", "b"])
    assert values == {"a": RandomSpec("#rand(0,1)", 0, 1), "b": RandomSpec("#rand(0,1)", 0, 1)}
    assert bind(TestcaseSpec("#a:x"), ["#a"]) == {"#a": FileSpec("x")}


@pytest.mark.parametrize(
    ("text", "names", "words"),
    [
        ("dta:#rand(0,1)", ["data"], ["no input 'dta'", "did you mean 'data'"]),
        ("data:a;imm:b", ["data", "im"], ["no input 'imm'", "did you mean 'im'", "'data', 'im'"]),
        ("a", ["x", "y"], ["'a' does not say", "'x', 'y'"]),
        ("#rand(0,1);x:a", ["x", "y"], ["'#rand(0,1)' does not say"]),
        ("x:a;x:b;y:c", ["x", "y"], ["'x' is given twice"]),
        ("x:a", ["x", "y", "z"], ["'y', 'z' of the model's inputs get no data", "x:...;y:..."]),
        ("a;b", ["x"], ["several values", "one input 'x'", "cannot hold ';'"]),
        ("x:", ["x"], ["value is missing (column 3)"]),
        ("x:#y", ["x"], ["'#y' is not a data spec (column 3)"]),
        ("x", [], ["no input"]),
    ],
)
def test_what_does_not_fit_is_named(text: str, names: list[str], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        bind(TestcaseSpec(text, "list.txt", 3), names)
    problem = caught.value.problems[0]
    for word in words:
        assert word in f"{problem.message} {problem.hint}"
    assert (problem.file, problem.line) == ("list.txt", 3)


def test_lists_are_expanded_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# two\n\na.png\n #rand(0,1) \n")
    assert read_specs(["x.npy", f"@{path}"]) == [
        TestcaseSpec("x.npy"),
        TestcaseSpec("a.png", str(path), 3, str(tmp_path)),
        TestcaseSpec("#rand(0,1)", str(path), 4, str(tmp_path)),
    ]


def test_all_problems_come_at_once(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("ok.png\n@other.txt\n#rand(1)\n")
    with pytest.raises(InputError) as caught:
        read_specs(["@nowhere.txt", f"@{path}", "#rand(3,2)", "a\0b", "\udcff"])
    messages = [problem.message for problem in caught.value.problems]
    assert len(messages) == 6
    assert "nowhere.txt cannot be read" in messages[0]
    assert "another list, '@other.txt'" in messages[1]
    assert [(p.file, p.line) for p in caught.value.problems[1:3]] == [
        (str(path), 2),
        (str(path), 3),
    ]


def test_many_problems_are_counted() -> None:
    with pytest.raises(InputError) as caught:
        read_specs(["#rand(1)"] * (PROBLEM_LIMIT + 7))
    assert len(caught.value.problems) == PROBLEM_LIMIT + 1
    assert "7 more" in caught.value.problems[-1].message


def test_no_data_is_a_problem() -> None:
    with pytest.raises(InputError, match="no testcase"):
        read_specs([])


def test_reading_specs_and_transforms_needs_no_numpy() -> None:
    code = (
        "import sys; from megdump_ci.testcase import spec, transform;"
        "spec.read_specs(['#rand(0,1)']); transform.parse('np.sqrt(data)');"
        "sys.exit(bool({'numpy', 'cv2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
