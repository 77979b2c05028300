"""Errors: one message for everything that is wrong."""

import pytest

from megdump_ci.errors import InputError, Problem, check_all


def wrong(text: str) -> None:
    raise InputError(text, f"mend {text}")


def test_all_checks_are_made_and_all_problems_raised_together() -> None:
    made: list[str] = []
    with pytest.raises(InputError) as caught:
        check_all([lambda: wrong("a"), lambda: made.append("b"), lambda: wrong("c")])
    assert made == ["b"]
    assert caught.value.problems == (Problem("a", "mend a"), Problem("c", "mend c"))


def test_right_checks_raise_nothing() -> None:
    check_all([lambda: None, lambda: 0])


def test_another_exception_is_not_held_back() -> None:
    with pytest.raises(ZeroDivisionError):
        check_all([lambda: wrong("a"), lambda: 1 // 0])


def test_a_problem_shows_its_place_and_its_remedy() -> None:
    assert str(Problem("bad spec", "close it", "list.txt", 3)) == "list.txt:3: bad spec\n  close it"
