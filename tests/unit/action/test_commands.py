from __future__ import annotations

import io
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from megdump_ci.action.commands import (
    ANNOTATION_LIMIT,
    MESSAGE_LIMIT,
    Log,
    NeutralStream,
    command,
    neutral,
)

# Text in which what the runner looks for is frequent.
_PIECES = ["::", ":", "##[", "#", "[", "]", "%", "%25", "%0A", "\n", "\r", "\r\n", " ", "\t", ","]
_PIECES += [
    "error",
    "set-env",
    "add-mask",
    "stop-commands",
    "=",
    "\x1b",
    "\u200b",
    "\u2028",
    "\x85",
]
hostile = st.lists(st.sampled_from(_PIECES) | st.characters(codec="utf-8")).map("".join)


def _log() -> tuple[Log, io.StringIO]:
    stream = io.StringIO(newline="")
    return Log(stream), stream


@given(message=hostile, title=hostile)
@example(message="50%\r\n::error::x", title="a:b,c=d%")
def test_a_command_arrives_as_it_was_given(runner: Any, message: str, title: str) -> None:
    # The runner takes white space from the ends of all properties together.
    title = f"[{title}]"
    (found,) = runner.commands(command("error", message, title=title, line=7))
    assert found.message == message
    assert found.properties == {"title": title, "line": "7"}


@given(text=hostile)
@example(text="::error::x")
@example(text="a\r::error::x")
@example(text="name ##[set-env name=A]b")
@example(text="\u200b::error::x")
@example(text="##\u200b[error]x")
def test_neutral_text_gives_no_command(runner: Any, text: str) -> None:
    assert runner.commands(neutral(text)) == []
    assert "##[" not in neutral(text)


@given(text=st.text(alphabet="abc :[]#\n\x1b\u00e9\u4e2d", max_size=40))
def test_neutral_text_is_the_text_where_nothing_looks_like_a_command(text: str) -> None:
    if "::" not in text and "##[" not in text:
        assert neutral(text) == text


@given(chunks=st.lists(hostile))
def test_nothing_inside_untrusted_is_obeyed_and_all_after_it_is(
    runner: Any, chunks: list[str]
) -> None:
    log, stream = _log()
    with log.untrusted() as inside:
        for chunk in chunks:
            inside.write(chunk)
    log.error("after")
    assert [found.message for found in runner.commands(stream.getvalue())] == ["after"]


@given(chunks=st.lists(hostile))
def test_untrusted_text_is_neutral_however_it_is_cut(chunks: list[str]) -> None:
    whole = "".join(chunks)
    stream = io.StringIO(newline="")
    cut = NeutralStream(stream)
    for chunk in chunks:
        cut.write(chunk)
    cut.finish()
    end = "" if not whole or whole.endswith("\n") else "\n"
    assert stream.getvalue().rstrip("\n") == neutral(whole + end).rstrip("\n")


def test_untrusted_ends_when_its_writer_fails(runner: Any) -> None:
    log, stream = _log()
    try:
        with log.untrusted() as inside:
            inside.write("half a line")
            raise ValueError
    except ValueError:
        log.error("after")
    assert [found.message for found in runner.commands(stream.getvalue())] == ["after"]


def test_the_token_cannot_be_foretold() -> None:
    tokens = set()
    for _ in range(20):
        log, stream = _log()
        with log.untrusted():
            pass
        tokens.add(stream.getvalue())
    assert len(tokens) == 20


@given(title=hostile)
def test_a_group_is_one_line(runner: Any, title: str) -> None:
    log, stream = _log()
    with log.group(title):
        log.line("inside")
    names = [found.name for found in runner.commands(stream.getvalue())]
    assert names == ["group", "endgroup"]


def test_more_annotations_than_the_runner_keeps_are_lines(runner: Any) -> None:
    log, stream = _log()
    for number in range(ANNOTATION_LIMIT + 2):
        log.error(f"problem {number}")
    log.warning("another kind")
    found = runner.commands(stream.getvalue())
    assert len(found) == ANNOTATION_LIMIT + 1
    assert f"error: problem {ANNOTATION_LIMIT + 1}\n" in stream.getvalue()


def test_a_long_message_is_cut_with_a_sign_of_it(runner: Any) -> None:
    log, stream = _log()
    log.notice("a" * 5000)
    (found,) = runner.commands(stream.getvalue())
    assert len(found.message) == MESSAGE_LIMIT
    assert found.message.endswith("\u2026")


def test_the_old_form_is_none_in_the_log_that_is_shown() -> None:
    log, stream = _log()
    log.error("a\n##[group]b", title="##[error]c")
    assert "##[" not in stream.getvalue()


def test_a_line_is_text_without_escapes_but_for_its_style() -> None:
    log, stream = _log()
    log.line("::error::\x1b[31mx", "red")
    assert stream.getvalue() == "\x1b[1;31m: :error::\\x1b[31mx\x1b[0m\n"


def test_a_line_without_a_file_is_left_out(runner: Any) -> None:
    log, stream = _log()
    log.error("x", line=3)
    log.error("x", file="list.txt", line=3)
    first, second = runner.commands(stream.getvalue())
    assert first.properties == {}
    assert second.properties == {"file": "list.txt", "line": "3"}


def test_each_line_of_a_secret_is_masked(runner: Any) -> None:
    log, stream = _log()
    log.mask("one\ntwo")
    log.mask("")
    found = {item.message for item in runner.commands(stream.getvalue())}
    assert found == {"one\ntwo", "one", "two"}
