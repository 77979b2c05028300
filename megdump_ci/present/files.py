"""The files of a run's report folder: what each is called, and how it is made.

What makes them is loaded when there is a report to make: its libraries take longer than a wrong
option may take to be answered.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from megdump_ci.errors import Problem, check_all
from megdump_ci.output import remove, write_whole
from megdump_ci.report import Report, to_json


def _html(report: Report) -> bytes:
    from megdump_ci.present import html

    return html.page(report)


def _markdown(report: Report) -> bytes:
    from megdump_ci.present import markdown

    return markdown.page(report).encode(errors="replace")


def _junit(report: Report) -> bytes:
    from megdump_ci.present import junit

    return junit.xml(report)


FILES: dict[str, Callable[[Report], bytes]] = {
    "report.json": to_json,
    "report.html": _html,
    "report.md": _markdown,
    "junit.xml": _junit,
}
"""What makes each file; pure functions of the report."""


def load() -> None:
    """Load what makes the files: it takes longer than making most of them."""
    from megdump_ci.present import html, junit, markdown  # noqa: F401 - loaded, and used above


def made(report: Report) -> tuple[dict[str, bytes], list[Problem]]:
    """The contents of the files, and a problem for each that could not be made.

    One that fails must not take the verdict with it, nor the other files.
    """
    contents, problems = {}, []
    for name, make in FILES.items():
        try:
            contents[name] = make(report)
        except Exception as error:
            problems.append(_fault(name, error))
    return contents, problems


def with_report(contents: Mapping[str, bytes], report: Report) -> dict[str, bytes]:
    """The contents, with ``report`` in the file that other tools read, if that could be made."""
    return {
        name: to_json(report) if FILES[name] is to_json else content
        for name, content in contents.items()
    }


def write(folder: str, contents: Mapping[str, bytes]) -> None:
    """Write the files; one that could not be made leaves no earlier one of its name behind.

    Raises :class:`InputError` for what cannot be written; the other files are.
    """
    check_all([partial(_write, str(Path(folder, name)), contents.get(name)) for name in FILES])


def _write(path: str, content: bytes | None) -> None:
    if content is not None:
        write_whole(path, content)
        return
    remove(path)


def _fault(name: str, error: Exception) -> Problem:
    lines = "".join(traceback.format_exception(error))
    return Problem(
        f"{name} could not be made ({type(error).__name__}: {error})",
        "this is a fault of megdump-ci, please report it with these lines; everything else of the"
        f" run is as it is shown\n{lines}",
    )
