"""The names of entries: they are folders, names of jobs and of artifacts, and typed by people."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from megdump_ci.errors import InputError, Problem

LONGEST = 100
"""Characters that a name may have."""

# What a file system or an artifact store refuses somewhere; and what a shell takes for an option.
_REFUSED = re.compile(r'["<>|*?:\\/\x00-\x1f\x7f]')


def check(name: str) -> None:
    """:class:`InputError` if no entry can be called ``name``."""
    if not name:
        raise InputError("the name is empty", 'give one, such as name = "{dir}-{stem}"')
    if _REFUSED.search(name) or name != name.strip("-. ") or not name.isprintable():
        raise InputError(
            f"name is '{name}', which no folder can be called everywhere",
            'leave out " < > | * ? : \\ and control characters, and dashes, dots and blanks at its'
            " ends",
        )
    if len(name) > LONGEST:
        raise InputError(
            f"the name '{name[:40]}...' has {len(name)} characters", f"give {LONGEST} at most"
        )


def check_known(given: Iterable[str], known: Sequence[str], where: str) -> None:
    """:class:`InputError` for each of the names ``given`` that ``where`` does not have."""
    problems = []
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known[:20])}"
            problems.append(Problem(f"{where} has no entry '{name}'", hint))
    if problems:
        raise InputError(problems)
