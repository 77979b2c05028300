"""``{stem}``, ``{dir}`` and ``{name}`` in the values of ``megdump.toml``."""

from __future__ import annotations

import posixpath
import string
from collections.abc import Mapping

from megdump_ci import target
from megdump_ci.errors import InputError

MEANINGS = {
    "stem": "the model's file name without its ending; FILE.NAME for FILE.py:NAME",
    "dir": "the folder of the model",
    "name": "the entry's name",
}
"""What can stand in braces."""

FIELDS = ("name", "data", "baseline", "output", "deploy_output", "report", "watch")
"""The options whose values are filled in."""


def of_model(model: str) -> dict[str, str]:
    """What a model's path fills in."""
    folder, file = posixpath.split(model)
    stem = posixpath.splitext(file)[0]
    if target.is_code(model):
        code = target.parse(model)
        folder, file = posixpath.split(code.file)
        stem = f"{file.removesuffix('.py')}.{code.name}"
    return {"stem": stem, "dir": folder or "."}


def filled(text: str, values: Mapping[str, str]) -> str:
    """``text`` with its placeholders filled in; ``{{`` and ``}}`` stand for braces.

    Raises :class:`InputError` for a placeholder that is not in ``values``.
    """
    parts = []
    try:
        for literal, name, form, conversion in string.Formatter().parse(text):
            parts.append(literal)
            if name is None:
                continue
            if name not in values or form or conversion:
                raise InputError(f"'{text}' has the placeholder {{{name}}}", _hint(values))
            parts.append(values[name])
    except ValueError as error:
        raise InputError(f"'{text}' has a brace without its other half", _hint(values)) from error
    return "".join(parts)


def _hint(values: Mapping[str, str]) -> str:
    known = ", ".join(f"{{{name}}}" for name in values)
    return f"there are {known}; a brace itself is written twice"
