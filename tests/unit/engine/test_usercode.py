"""Running the user's code: whose fault it is, and in which line."""

import json
import sys
import time
from pathlib import Path

import pytest

from megdump_ci.engine import usercode
from megdump_ci.engine.usercode import UserCode
from megdump_ci.errors import EngineError, InputError, MegdumpError, Problem

CODE = """\
import json
import helper

def direct():
    raise ValueError("no")

def through_a_library():
    json.loads("[1, 2", object_hook=None)

def through_a_file():
    helper.divide(0)

def leaves():
    raise SystemExit(3)

def deep(n=50):
    return deep(n - 1) if n else 1 / 0

def ends_never():
    while True:
        pass

def catches_all():
    for _ in range(3):
        try:
            while True:
                pass
        except BaseException as error:
            last = error
    raise last
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["pytest"])
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    # What calls the user's code is below the package; here it is this file.
    library = (*usercode._LIBRARY, f"{Path(__file__).parent}/")
    monkeypatch.setattr(usercode, "_LIBRARY", library)
    (tmp_path / "code_of_a_user.py").write_text(CODE)
    (tmp_path / "helper.py").write_text("def divide(by):\n    return 1 / by\n")
    return tmp_path


def code(file: str = "code_of_a_user.py", limit: float = 10.0) -> UserCode:
    return UserCode(file, str, limit=limit)


def failed(name: str, limit: float = 10.0) -> MegdumpError:
    user = code(limit=limit)
    function = user.find(user.load(), name)
    with pytest.raises(MegdumpError) as caught, user.running(f"calling {name}"):
        function()
    return caught.value


@pytest.mark.parametrize(
    ("name", "said", "file", "line", "shown"),
    [
        ("direct", "ValueError: no", "code_of_a_user.py", 5, 1),
        ("through_a_library", "JSONDecodeError", "code_of_a_user.py", 8, 1),
        ("through_a_file", "ZeroDivisionError", "helper.py", 2, 2),
        ("leaves", "sys.exit(3)", "code_of_a_user.py", 14, 1),
        ("deep", "ZeroDivisionError", "code_of_a_user.py", 17, usercode.SHOWN),
    ],
)
def test_only_the_users_own_lines_are_shown(
    name: str, said: str, file: str, line: int, shown: int
) -> None:
    error = failed(name)
    assert isinstance(error, InputError)
    (problem,) = error.problems
    assert problem.message.startswith(f"calling {name} failed: ")
    head, *lines = problem.message.splitlines()
    assert said in head
    assert (problem.file, problem.line) == (file, line)
    assert len(lines) == shown
    assert lines[-1].startswith(f"    {file}:{line} in ")
    assert all(text.startswith(("    code_of_a_user.py:", "    helper.py:")) for text in lines)


@pytest.mark.parametrize("name", ["ends_never", "catches_all"])
def test_code_that_does_not_end_is_stopped(name: str) -> None:
    start = time.monotonic()
    error = failed(name, limit=0.5)
    assert 0.4 < time.monotonic() - start < 8
    assert isinstance(error, InputError)
    (problem,) = error.problems
    assert problem.file == "code_of_a_user.py"
    assert problem.line in (20, 21, 26, 27)
    if name == "ends_never":
        assert "0.5 s were over" in problem.message
        assert "--timeout" in problem.hint


def test_the_time_is_for_all_that_is_run() -> None:
    user = code(limit=1.0)
    module = user.load()
    with user.running("waiting"):
        time.sleep(0.7)
    start = time.monotonic()
    with pytest.raises(InputError), user.running("calling"):
        module.ends_never()
    assert time.monotonic() - start < 0.6


@pytest.mark.parametrize(
    ("text", "said", "line"),
    [
        ("import sys\n\nsys.exit('bye')\n", "sys.exit(bye)", 3),
        ("x = [1,\n", "SyntaxError: '[' was never closed", 1),
        ("\nimport not_there_at_all\n", "No module named 'not_there_at_all'", 2),
        ("x = input()\n", "EOFError", 1),
        ("\n\n1 / 0\n", "ZeroDivisionError", 3),
    ],
)
def test_a_file_that_cannot_be_imported_is_the_users(
    folder: Path, monkeypatch: pytest.MonkeyPatch, text: str, said: str, line: int
) -> None:
    (folder / "bad.py").write_text(text)
    with open("/dev/null") as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        with pytest.raises(InputError) as caught:
            code("bad.py").load()
    (problem,) = caught.value.problems
    assert said in problem.message
    assert (problem.file, problem.line) == ("bad.py", line)


def test_a_file_that_is_no_text_is_the_users(folder: Path) -> None:
    (folder / "zeros.py").write_bytes(b"\0\0")
    with pytest.raises(InputError):
        code("zeros.py").load()


def test_the_file_is_a_module_like_any_other(folder: Path) -> None:
    (folder / "json.py").write_text("import dataclasses\nNAME = __name__\n")
    module = code("json.py").load()
    # Its name is taken, by what others have imported.
    assert module.NAME != "json"
    assert sys.modules[module.NAME] is module
    assert sys.modules["json"] is json
    assert code().load().__name__ == "code_of_a_user"


def test_a_name_that_is_missing_is_answered_with_the_one_meant() -> None:
    user = code()
    module = user.load()
    assert user.find(module, "direct") is module.direct
    with pytest.raises(InputError) as caught:
        user.find(module, "dirct")
    (problem,) = caught.value.problems
    assert problem.message == "code_of_a_user.py has no 'dirct'"
    assert "did you mean 'direct'?" in problem.hint
    # What it has imported is not its own.
    assert "json" not in problem.hint


def test_what_the_engine_raises_outside_of_the_users_lines_is_the_engines() -> None:
    user = code()
    with pytest.raises(EngineError, match="RuntimeError: broken"), user.running("tracing"):
        raise RuntimeError("broken")


def test_a_problem_that_is_worded_already_stays_as_it_is() -> None:
    problem = Problem("wrong", "right it", "f.py", 3)
    with pytest.raises(InputError) as caught, code().running("calling"):
        raise InputError(problem)
    assert caught.value.problems == (problem,)


def test_the_users_line_is_found_in_the_log_of_a_crash(folder: Path) -> None:
    log = (
        "printed\nFatal Python error: Segmentation fault\n\nCurrent thread 0x1 (most recent call"
        ' first):\n  File "/usr/lib/nowhere" in x\n'
        f'  File "{json.__file__}", line 510 in string_at\n'
        f'  File "{folder}/code_of_a_user.py", line 5 in direct\n'
        f'  File "{usercode.__file__}", line 99 in running\n'
    )
    assert usercode.own_crash_line(log) == ("code_of_a_user.py", 5)
    assert usercode.own_crash_line("Segmentation fault") == ("", 0)
