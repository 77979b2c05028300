"""The inputs of the action: the environment to the options of ``pack`` and those of a job.

The runner gives the input ``max-err`` as ``INPUT_MAX-ERR``; some that stand in for it write an
underscore for the dash. An empty value means the default.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from megdump_ci.action.options import ActionOptions
from megdump_ci.errors import InputError, Problem
from megdump_ci.gates import Limits
from megdump_ci.options import OptionSpec, PackOptions, limits_of, specs

DEFAULTS: dict[str, Any] = {"output_strip_info": True, "report": "megdump-ci-report"}
"""Where the action's default is not the command's: a job wants the files, a shell does not."""

OF_ENTRY = ("model", "data", "output", "deploy_output", "baseline", "name")
"""What each entry of a config says for itself."""

_PREFIX = "INPUT_"
_BOOLEANS = {
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
}
_INTEGER = re.compile(r"[+-]?[0-9]{1,30}", re.ASCII)
# An input that cannot be read stands as its default while the others are checked, but for this
# one: without it each layout that is asked for would be called wrong too.
_STAND_INS: dict[str, Any] = {"optimize_for_inference": True}


_Kind = TypeVar("_Kind", PackOptions, ActionOptions)


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What the inputs ask for: of the command, and of the job."""

    pack: PackOptions
    action: ActionOptions


def action_specs() -> list[OptionSpec]:
    """The options that are inputs of the action, in their order."""
    return [*specs(PackOptions), *specs(ActionOptions)]


def default_of(spec: OptionSpec) -> Any:
    """The action's default of an option; empty for a required one."""
    if spec.required:
        return () if spec.many else spec.kind()
    return DEFAULTS.get(spec.field, spec.default)


def read(environ: Mapping[str, str]) -> Inputs:
    """Read the inputs; :class:`InputError` with everything that is wrong with them."""
    problems: list[Problem] = []
    found = Inputs(
        pack=_read(environ, PackOptions, problems), action=_read(environ, ActionOptions, problems)
    )
    problems += _pack_problems(found) + found.action.problems()
    if problems:
        raise InputError(problems)
    return found


def _pack_problems(given: Inputs) -> list[Problem]:
    """What is wrong with the options of ``pack``, which an entry may have of its own."""
    pack, action = given.pack, given.action
    if not action.of_config:
        if not (pack.model or pack.data or pack.output):
            hint = f"give model, data and output; or entry, the name of one in {action.config}"
            return [Problem("there is neither model nor entry", hint)]
        return pack.problems()
    what = "entry is given" if action.mode == "pack" else f"mode is {action.mode}"
    return [
        Problem(
            f"{name.replace('_', '-')} is given, but {what}, and {action.config} says that",
            "leave out one of the two",
        )
        for name in OF_ENTRY
        if getattr(pack, name)
    ]


def _read(environ: Mapping[str, str], kind: type[_Kind], problems: list[Problem]) -> _Kind:
    """The inputs that are options of one kind; what is wrong is added to ``problems``."""
    values: dict[str, Any] = {}
    for spec in specs(kind):
        try:
            values[spec.field] = _value(spec, _text(environ, spec))
        except InputError as error:
            problems += error.problems
            values[spec.field] = _STAND_INS.get(spec.field, default_of(spec))
    return kind(**values)


def texts(given: Inputs) -> list[str]:
    """The inputs that are not as they are by default, as a workflow has them."""
    found = []
    for options in (given.pack, given.action):
        for spec in specs(type(options)):
            value = getattr(options, spec.field)
            if value == default_of(spec):
                continue
            items = value.texts() if isinstance(value, Limits) else value
            lines = [str(item) for item in items] if spec.many else [str(value)]
            text = lines[0].lower() if spec.kind is bool else "\n  ".join(lines)
            found.append(f"{spec.name}: {'|' + chr(10) + '  ' if len(lines) > 1 else ''}{text}")
    return found


def unknown(environ: Mapping[str, str]) -> list[str]:
    """A warning for each input that the action does not have."""
    known = {name: spec.name for spec in action_specs() for name in _names(spec)}
    names = sorted(set(known.values()))
    found = []
    for variable in sorted(environ):
        if variable.startswith(_PREFIX) and variable not in known:
            name = variable[len(_PREFIX) :].lower()
            near = difflib.get_close_matches(name.replace("_", "-"), names, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "it has no effect"
            found.append(f"there is no input '{name}': {hint}")
    return found


def _names(spec: OptionSpec) -> tuple[str, str]:
    name = spec.name.upper()
    return _PREFIX + name, _PREFIX + name.replace("-", "_")


def _text(environ: Mapping[str, str], spec: OptionSpec) -> str:
    given = dict.fromkeys(environ.get(name, "").strip() for name in _names(spec))
    found = [text for text in given if text]
    if len(found) > 1:
        dashed, underscored = _names(spec)
        raise InputError(
            f"input {spec.name} is given twice: {dashed} is '{found[0]}' and {underscored} is"
            f" '{found[1]}'",
            f"keep {dashed}",
        )
    text = found[0] if found else ""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"input {spec.name} is not UTF-8", "give file names and text in UTF-8"
        ) from error
    return text


def _value(spec: OptionSpec, text: str) -> Any:
    if not text:
        return default_of(spec)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if spec.kind is Limits:
        return limits_of(spec, lines)
    if spec.many:
        return tuple(_one(spec, line) for line in lines)
    return _one(spec, text)


def _one(spec: OptionSpec, text: str) -> Any:
    if spec.kind is bool:
        return _boolean(spec.name, text)
    if spec.kind is int:
        return _integer(spec.name, text)
    if spec.kind is float:
        return _float(spec.name, text)
    return text


def _boolean(name: str, text: str) -> bool:
    if text not in _BOOLEANS:
        raise InputError(f"input {name} is '{text}', which is no boolean", "write true or false")
    return _BOOLEANS[text]


def _integer(name: str, text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise InputError(
            f"input {name} is '{text[:100]}', which is no whole number, or too large for one",
            "write digits, such as 1",
        )
    return int(text)


def _float(name: str, text: str) -> float:
    try:
        # float() itself also takes 1_0 and the digits of other scripts.
        if text.isascii() and "_" not in text:
            return float(text)
    except ValueError:
        pass
    raise InputError(f"input {name} is '{text}', which is no number", "write one, such as 1e-4")
