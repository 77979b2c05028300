"""Workflow commands: what a line of the log can tell the runner.

The runner takes a line for a command if it begins with ``::name`` (white space before it does
not count), or holds ``##[name`` anywhere. So text from a model, a file or an exception can give
commands too, unless it is escaped (:func:`command`), neutral (:func:`neutral`) or stands where
commands are switched off (:meth:`Log.untrusted`).
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import secrets
import time
from collections.abc import Iterator
from typing import TextIO, cast

from megdump_ci.present.text import plain

MESSAGE_LIMIT = 4096
"""Characters of an annotation that the runner keeps."""

ANNOTATION_LIMIT = 10
"""Annotations of one type that the runner keeps of a step; more are only in the log."""

STYLES = {
    "green": "\x1b[1;32m",
    "red": "\x1b[1;31m",
    "yellow": "\x1b[1;33m",
    "dim": "\x1b[2m",
}
_RESET = "\x1b[0m"

# Control and format characters, but not tab, line feed, carriage return and escape (colours).
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u180e"
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_AT_START = re.compile(r"(?m)^([\s\x1b]*):(?=:)")


def escape_data(text: str) -> str:
    """``text`` as the message of a command."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def escape_property(text: str) -> str:
    """``text`` as the value of a property of a command."""
    return escape_data(text).replace(":", "%3A").replace(",", "%2C")


def command(name: str, message: str = "", **properties: str | int) -> str:
    """The line (without its end) that gives the command; empty properties are left out."""
    given = ",".join(
        f"{key}={escape_property(str(value))}" for key, value in properties.items() if value
    )
    return f"::{name}{' ' + given if given else ''}::{escape_data(message)}"


def neutral(text: str) -> str:
    """``text`` so that no line of it is a command, and without invisible characters.

    A line also ends at a lone carriage return for the runner, so that becomes a line feed.
    """
    text = _INVISIBLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _AT_START.sub(r"\1: ", text).replace("##[", "## [")


class Log:
    """The step's log. ``stream`` takes whole lines only."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._annotations: dict[str, int] = {}

    def line(self, text: str = "", style: str = "") -> None:
        """Write text that is not a command, whatever it says, nor steers a terminal.

        ``style`` is what :data:`STYLES` has, for all of it.
        """
        text = neutral(plain(text))
        self._write(f"{STYLES[style]}{text}{_RESET}" if style else text)

    @contextlib.contextmanager
    def group(self, title: str) -> Iterator[None]:
        """What is written inside is folded up under ``title``."""
        self._write(command("group", neutral(plain(title)).replace("\n", " ")))
        try:
            yield
        finally:
            self._write(command("endgroup"))

    @contextlib.contextmanager
    def phase(self, title: str) -> Iterator[None]:
        """A group, and below it the time that it took: folded up, it still tells that."""
        began = time.monotonic()
        try:
            with self.group(title):
                yield
        finally:
            self.line(f"{title}: {time.monotonic() - began:.1f} s", "dim")

    def room(self, kind: str) -> int:
        """How many more annotations of that kind the runner keeps."""
        return max(ANNOTATION_LIMIT - self._annotations.get(kind, 0), 0)

    @contextlib.contextmanager
    def untrusted(self) -> Iterator[TextIO]:
        """A stream for text of unknown origin: the runner obeys nothing in it."""
        token = secrets.token_hex(16)
        self._write(command("stop-commands", token))
        stream = NeutralStream(self._stream)
        try:
            yield cast(TextIO, stream)
        finally:
            stream.finish()
            self._write(command(token))

    def error(self, message: str, *, title: str = "", file: str = "", line: int = 0) -> None:
        """Annotate what makes the step fail."""
        self._annotate("error", message, title, file, line)

    def warning(self, message: str, *, title: str = "", file: str = "", line: int = 0) -> None:
        """Annotate what the user should know."""
        self._annotate("warning", message, title, file, line)

    def notice(self, message: str, *, title: str = "", file: str = "", line: int = 0) -> None:
        """Annotate what is good to know."""
        self._annotate("notice", message, title, file, line)

    def mask(self, secret: str) -> None:
        """Keep ``secret`` (and each line of it) out of the log from here on."""
        for part in {secret, *secret.splitlines()}:
            if part.strip():
                self._write(command("add-mask", part))

    def _annotate(self, kind: str, message: str, title: str, file: str, line: int) -> None:
        # The log that is shown holds the message too, and there this form is a command.
        message, title, file = (
            plain(text).replace("##[", "## [") for text in (message, title, file)
        )
        if len(message) > MESSAGE_LIMIT:
            message = message[: MESSAGE_LIMIT - 1] + "\u2026"
        count = self._annotations[kind] = self._annotations.get(kind, 0) + 1
        if count > ANNOTATION_LIMIT:
            self.line(": ".join(filter(None, (kind, title, message))))
            return
        line = line if file else 0
        self._write(command(kind, message, title=title, file=file, line=line))

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except OSError:
            # Nobody reads any more, or there is no room; outputs and summary tell the verdict.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


class NeutralStream(io.TextIOBase):
    """A text stream that passes whole lines on to ``stream``, each one :func:`neutral`."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        """Take ``text``; what follows its last line feed waits for the rest of the line."""
        whole, feed, rest = text.rpartition("\n")
        if feed:
            self._stream.write(neutral((self._rest + whole).removesuffix("\r")) + "\n")
            self._rest = rest
        else:
            self._rest += text
        return len(text)

    def flush(self) -> None:
        """Pass on what has been written in whole lines."""
        self._stream.flush()

    def finish(self) -> None:
        """End the line that was begun, if one was."""
        if self._rest:
            self.write("\n")
        self.flush()
