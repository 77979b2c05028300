"""``@file``: a list of testcases, one a line."""

from __future__ import annotations

import os
from collections.abc import Iterator

from megdump_ci import reading
from megdump_ci.errors import InputError
from megdump_ci.testcase.faults import shown
from megdump_ci.testcase.grammar import is_random

SIZE_LIMIT = 16 << 20
"""Bytes that a list may have; what is larger is no list of testcases."""


def read_lines(path: str) -> list[tuple[int, str]]:
    """The testcases of the list ``path`` with their line numbers (from 1).

    Blank lines are left out, and so are comments: lines that begin with ``#`` and not with
    ``#rand(``. A byte order mark and any line ends are accepted. Raises :class:`InputError` if the
    file cannot be read, is not UTF-8, or holds no testcase.
    """
    found = list(_testcases(_read(path)))
    if not found:
        raise InputError(
            f"the list {shown(path)} holds no testcase",
            "write one testcase a line; a line that begins with '#' is a comment unless it is"
            " #rand(...)",
        )
    return found


def _testcases(text: str) -> Iterator[tuple[int, str]]:
    # str.splitlines would also split at characters that a file name can hold.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    for number, line in enumerate(lines, 1):
        testcase = line.strip()
        if testcase and (testcase[0] != "#" or is_random(testcase)):
            yield number, testcase


def _read(path: str) -> str:
    if not path:
        raise InputError("'@' names no list file", "write @ and the path of the list: @list.txt")
    try:
        with reading.opened(path, "give a file with one testcase a line", link=False) as file:
            data = file.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise InputError(
            f"the list {shown(path)} cannot be read: {error.strerror}",
            f"give a file with one testcase a line; the working directory is {shown(os.getcwd())}",
        ) from error
    if len(data) > SIZE_LIMIT:
        raise InputError(
            f"the list {shown(path)} has more than {SIZE_LIMIT >> 20} MiB",
            "'@' is for text files with one testcase a line; give an array or image without '@'",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"the list {shown(path)} is not UTF-8 text (line {line})",
            "save it as UTF-8; give an array or image without '@'",
        ) from error
