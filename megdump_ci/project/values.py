"""Values of TOML to values of options."""

from __future__ import annotations

import json
from typing import Any

from megdump_ci.errors import InputError
from megdump_ci.gates import Limits
from megdump_ci.options import OptionSpec, limits_of

_KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false, without quotes"),
    int: ((int,), "a whole number, without quotes"),
    float: ((int, float), "a number, without quotes"),
    str: ((str,), "text in quotes"),
}


def value_of(spec: OptionSpec, found: object) -> Any:
    """``found`` as the value of an option; :class:`InputError` if it has another type."""
    if spec.kind is Limits:
        return limits_of(spec, [_limit(spec, item) for item in _items(found)])
    if spec.many:
        return tuple(
            _one(spec, item, "text in quotes, or a list of such") for item in _items(found)
        )
    return _one(spec, found, _KINDS[spec.kind][1])


def texts_of(key: str, found: object) -> tuple[str, ...]:
    """``found``, a text or a list of such; :class:`InputError` if it is none."""
    items = _items(found)
    for item in items:
        if not isinstance(item, str):
            raise _wrong(key, item, "text in quotes, or a list of such")
        _check_text(key, item)
    return tuple(items)


def _one(spec: OptionSpec, found: object, form: str) -> Any:
    kinds = _KINDS[spec.kind][0]
    # In Python, true is a number as well.
    if not isinstance(found, kinds) or (isinstance(found, bool) and spec.kind is not bool):
        raise _wrong(spec.name, found, form)
    if isinstance(found, str):
        _check_text(spec.name, found)
        if spec.choices and found not in spec.choices:
            raise InputError(f"{spec.name} is '{found}'", f"give one of {', '.join(spec.choices)}")
    return spec.kind(found)


def _limit(spec: OptionSpec, found: object) -> str:
    if isinstance(found, str):
        _check_text(spec.name, found)
        return found
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise _wrong(
            spec.name, found, 'a number, "OUTPUT=NUMBER" for one output, or a list of such'
        )
    return repr(float(found))


def _items(found: object) -> list[Any]:
    return found if isinstance(found, list) else [found]


def _check_text(key: str, text: str) -> None:
    if "\0" in text:
        raise InputError(f"{key} holds the character U+0000", "no path can have it")


def _wrong(key: str, found: object, form: str) -> InputError:
    # Dates and times are no JSON, and nothing here is one.
    return InputError(
        f"{key} is {json.dumps(found, ensure_ascii=False, default=str)}", f"give {form}"
    )
