"""Running the user's Python code, and saying where it went wrong in the user's own lines."""

from __future__ import annotations

import contextlib
import difflib
import importlib.util
import os
import re
import signal
import site
import sys
import sysconfig
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, FrameType, ModuleType, TracebackType
from typing import Any, NoReturn

from megdump_ci.errors import EngineError, InputError, MegdumpError, Problem

SHOWN = 8
"""Lines of a traceback that are shown: the innermost."""

_LIBRARY = tuple(
    os.path.join(os.path.realpath(folder), "")
    for folder in (
        *map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib")),
        site.getusersitepackages(),
        str(Path(__file__).parents[1]),
    )
)


_BOXED = (
    "the code runs without a network, other processes (num_workers=0) and the rights of the user"
    " who started it: it may write to its temporary folder only, and not read what is closed to"
    " others"
)


class TimeUp(BaseException):
    """The time for the user's code is over."""


class UserCode:
    """A Python file of the user's, run in this process.

    It may run until ``limit`` seconds, of which some are ``spent``, are over; ``said`` words an
    exception.
    """

    def __init__(
        self, file: str, said: Callable[[BaseException], str], *, limit: float, spent: float = 0.0
    ) -> None:
        self.file = file
        self._limit = limit
        self._left = max(limit - spent, limit / 10)
        self._said = said

    def load(self) -> ModuleType:
        """Import the file, with its folder first on the module path, as ``python FILE`` does.

        Raises :class:`InputError` for whatever goes wrong in it.
        """
        path = os.path.abspath(self.file)
        name = Path(path).stem
        if not name.isidentifier() or name in sys.modules:
            name = "exported_code"
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Classes look for their module there (dataclasses, pickle).
        sys.modules[name] = module
        sys.path.insert(0, os.path.dirname(path))
        sys.argv = [path]
        try:
            with self.running(f"importing {self.file}"):
                spec.loader.exec_module(module)
        except EngineError as error:
            # Nothing but reading the file happens outside of the user's own lines.
            raise InputError(error.problems) from None
        return module

    def find(self, module: ModuleType, name: str) -> Any:
        """What ``name`` is in the file; :class:`InputError` if it is nothing."""
        if hasattr(module, name):
            return getattr(module, name)
        names = [known for known in vars(module) if not known.startswith("_")]
        close = difflib.get_close_matches(name, names, 1)
        own = [
            known
            for known in names
            if getattr(getattr(module, known), "__module__", None) == module.__name__
        ]
        meant = f"did you mean '{close[0]}'? " if close else ""
        listed = f"it defines {', '.join(own[:SHOWN])}" if own else "it defines nothing"
        raise InputError(f"{self.file} has no '{name}'", meant + listed)

    @contextlib.contextmanager
    def running(self, doing: str) -> Iterator[None]:
        """Run the user's code inside, ``doing`` something such as "calling forward".

        Raises :class:`InputError`, with the user's own lines if an exception comes through one of
        them or the time is over; :class:`EngineError` for one that the engine raises outside.
        """
        try:
            with self._timed():
                yield
        except (MegdumpError, MemoryError):
            raise
        except TimeUp as error:
            raise InputError(self._late(doing, error)) from None
        # Also SystemExit and KeyboardInterrupt: the user's code does not end this process.
        except BaseException as error:
            raise self._failed(doing, error) from None

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.monotonic()
        earlier = signal.signal(signal.SIGALRM, _on_alarm)
        # And again each second, for code that catches everything.
        signal.setitimer(signal.ITIMER_REAL, max(self._left, 0.01), 1.0)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, earlier)
            self._left -= time.monotonic() - start

    def _late(self, doing: str, error: BaseException) -> Problem:
        lines = own_lines(error.__traceback__)
        return _problem(
            f"{doing} was stopped: it was not done when {self._limit:g} s were over",
            "it does not end, or the work is large: --timeout SECONDS gives it longer",
            lines,
        )

    def _failed(self, doing: str, error: BaseException) -> MegdumpError:
        lines = own_lines(error.__traceback__)
        if isinstance(error, SyntaxError) and error.filename and error.lineno:
            lines.append(_Line(error.filename, error.lineno, "", (error.text or "").strip()))
        what, hint = self._worded(error)
        if isinstance(error, RuntimeError) and not lines:
            return EngineError(f"{doing} failed: {what}", hint)
        return InputError(_problem(f"{doing} failed: {what}", hint, lines))

    def _worded(self, error: BaseException) -> tuple[str, str]:
        """What an exception says, and what to do about it."""
        if isinstance(error, SystemExit):
            return (
                f"the code called sys.exit({'' if error.code is None else error.code})",
                "leave out what ends the program, or put it below: if __name__ == '__main__'",
            )
        if isinstance(error, EOFError):
            return (
                f"EOFError: {error} (there is nobody to answer input())",
                "let the code take what it needs from constants or files",
            )
        if isinstance(error, ModuleNotFoundError):
            hint = (
                "modules are found beside the file and where megdump-ci is installed; PYTHONPATH is"
                " not passed on"
            )
            return str(error), hint
        text = self._said(error)
        if isinstance(error, SyntaxError):
            text = error.msg
        hint = _BOXED if _is_refused(error) else ""
        return f"{type(error).__name__}: {text}" if text else type(error).__name__, hint


class _Line:
    """One line of a traceback."""

    def __init__(self, file: str, number: int, function: str, text: str) -> None:
        self.file = shown_path(file)
        self.number = number
        self.function = function
        self.text = text

    def __str__(self) -> str:
        where = f" in {self.function}" if self.function not in ("", "<module>") else ""
        return f"    {self.file}:{self.number}{where}: {self.text}"


def own_lines(trace: TracebackType | None) -> list[_Line]:
    """The lines of a traceback that are neither a library's nor this program's."""
    return [
        _Line(frame.filename, frame.lineno or 0, frame.name, frame.line or "")
        for frame in traceback.extract_tb(trace)
        if not is_library(frame.filename)
    ]


def is_library(file: str) -> bool:
    """Whether code of this file is not the user's own."""
    return file.startswith("<") or os.path.realpath(file).startswith(_LIBRARY)


def shown_path(file: str) -> str:
    """``file`` relative to the working directory, if it is below that."""
    relative = os.path.relpath(file)
    return file if relative.startswith(os.pardir) else relative


def own_crash_line(log: str) -> tuple[str, int]:
    """Where the user's code was, by what faulthandler wrote of a crash; empty and 0 if unknown."""
    for file, line in re.findall(r'^  File "(.+)", line (\d+) in ', log, re.MULTILINE):
        if not is_library(file):
            return shown_path(file), int(line)
    return "", 0


def place(code: CodeType | None) -> tuple[str, int]:
    """File and line where a function is defined; empty and 0 for one that has no code."""
    return (shown_path(code.co_filename), code.co_firstlineno) if code else ("", 0)


def _is_refused(error: BaseException) -> bool:
    """Whether it comes of something that the process may not do."""
    known = set[int]()
    found: object = error
    while isinstance(found, BaseException) and id(found) not in known:
        # No address is found without a network; urllib has the error itself in a field.
        if isinstance(found, PermissionError) or type(found).__name__ == "gaierror":
            return True
        known.add(id(found))
        found = getattr(found, "reason", None) or found.__cause__ or found.__context__
    return False


def _problem(message: str, hint: str, lines: list[_Line]) -> Problem:
    if not lines:
        return Problem(message, hint)
    shown = "\n".join(str(line) for line in lines[-SHOWN:])
    return Problem(f"{message}\n{shown}", hint, lines[-1].file, lines[-1].number)


def _on_alarm(_number: int, _frame: FrameType | None) -> NoReturn:
    raise TimeUp
