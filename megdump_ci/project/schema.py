"""The JSON schema of ``megdump.toml``, with which editors complete and check it."""

from __future__ import annotations

from typing import Any

from megdump_ci.gates import Limits
from megdump_ci.options import OptionSpec
from megdump_ci.project.placeholders import FIELDS, MEANINGS
from megdump_ci.project.tables import DEFAULTS, MODEL, PATH, WATCH, option_specs

_JSON = {bool: "boolean", int: "integer", float: "number", str: "string"}
_ONE_OR_MORE = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}


def json_schema() -> dict[str, Any]:
    """The JSON schema (draft 7, which the editors' TOML servers know) of a project file."""
    keys = {spec.name: _key(spec) for spec in option_specs().values()}
    keys[WATCH] = {
        "description": "patterns of further files whose change selects the entry",
        **_ONE_OR_MORE,
    }
    path = {
        "description": "the model, a pattern of several, or FILE.py:NAME",
        "type": "string",
        "minLength": 1,
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "megdump.toml",
        "type": "object",
        "additionalProperties": False,
        "required": [MODEL],
        "properties": {
            DEFAULTS: {
                "description": "options of each entry that has none of its own",
                **_table(keys),
            },
            MODEL: {
                "type": "array",
                "minItems": 1,
                "items": {**_table({PATH: path, **keys}), "required": [PATH]},
            },
        },
    }


def _table(keys: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": keys,
        # An underscore for the dash is right too, and need not be offered.
        "patternProperties": {
            f"^{key.replace('-', '_')}$": value for key, value in keys.items() if "-" in key
        },
    }


def _key(spec: OptionSpec) -> dict[str, Any]:
    help = spec.help.replace(" Can be given several times", " Several: a list")
    if spec.field in FIELDS:
        names = ", ".join(f"{{{name}}}" for name in MEANINGS if name != spec.field)
        help += f"; {names} are filled in"
    key: dict[str, Any] = {"description": help}
    if spec.kind is Limits:
        one = {"type": ["number", "string"]}
        return {**key, "anyOf": [one, {"type": "array", "items": one}]}
    if spec.many:
        return {**key, **_ONE_OR_MORE}
    key["type"] = _JSON[spec.kind]
    if spec.choices:
        key["enum"] = list(spec.choices)
    if not spec.required and spec.default != "":
        key["default"] = spec.default
    return key
