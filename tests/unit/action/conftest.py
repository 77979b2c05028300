"""The runner's side, written after its source: what it makes of a log and of its files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import pytest

_COMMANDS = frozenset(
    {
        "stop-commands",
        "add-mask",
        "add-matcher",
        "add-path",
        "debug",
        "echo",
        "endgroup",
        "error",
        "group",
        "notice",
        "save-state",
        "set-env",
        "set-output",
        "warning",
    }
)
_DATA = (("%0D", "\r"), ("%0A", "\n"), ("%25", "%"))
_PROPERTY = (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))


@dataclass(frozen=True)
class Command:
    """A command as the runner understands it."""

    name: str
    message: str
    properties: dict[str, str] = field(default_factory=dict)


class Runner:
    """Reads as the runner reads (ActionCommand, ActionCommandManager, FileCommandManager)."""

    def commands(self, log: str) -> list[Command]:
        """The commands that a log gives, those between stop-commands and its token left out."""
        found: list[Command] = []
        token: str | None = None
        for line in re.split(r"\r\n|\r|\n", log):
            known = _COMMANDS if token is None else _COMMANDS | {token.lower()}
            command = _second(line, known) or _first(line, known)
            if command is None:
                continue
            if token is not None:
                token = None if command.name.lower() == token.lower() else token
            elif command.name == "stop-commands":
                token = command.message
            else:
                found.append(command)
        assert token is None, "commands were never switched on again"
        return found

    def outputs(self, text: str) -> dict[str, str]:
        """The outputs that the text of a GITHUB_OUTPUT file sets."""
        found: dict[str, str] = {}
        lines = iter(text.split("\n"))
        for line in lines:
            if not line:
                continue
            equals, here = line.find("="), line.find("<<")
            if equals >= 0 and (here < 0 or equals < here):
                name, value = line.split("=", 1)
            else:
                name, delimiter = line.split("<<", 1)
                assert name, "a name must not be empty"
                assert delimiter, "a delimiter must not be empty"
                value = "\n".join(_until(lines, delimiter))
            found[name] = value
        return found


def _until(lines: object, delimiter: str) -> list[str]:
    found: list[str] = []
    for line in lines:  # type: ignore[attr-defined]
        if line == delimiter:
            return found
        found.append(line)
    raise AssertionError(f"matching delimiter not found '{delimiter}'")


def _second(line: str, known: frozenset[str]) -> Command | None:
    line = line.lstrip()
    if not line.startswith("::"):
        return None
    end = line.find("::", 2)
    if end < 0:
        return None
    name, space, properties = line[2:end].partition(" ")
    if name.lower() not in known:
        return None
    pairs = (pair.split("=", 1) for pair in properties.strip().split(",") if pair)
    values = {pair[0]: _decoded(pair[1], _PROPERTY) for pair in pairs if len(pair) == 2}
    return Command(name, _decoded(line[end + 2 :], _DATA), values if space else {})


def _first(line: str, known: frozenset[str]) -> Command | None:
    start = line.find("##[")
    end = line.find("]", start)
    if start < 0 or end < 0:
        return None
    name = line[start + 3 : end].partition(" ")[0]
    return Command(name, line[end + 1 :]) if name.lower() in known else None


def _decoded(text: str, mappings: tuple[tuple[str, str], ...]) -> str:
    for code, char in mappings:
        text = text.replace(code, char)
    return text


@pytest.fixture(scope="session")
def runner() -> Runner:
    return Runner()
