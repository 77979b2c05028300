"""JSON to the types of this program, from any thread."""

from __future__ import annotations

import ast
import threading
from pathlib import Path

import msgspec
import pytest

from megdump_ci import decoding, worker

PACKAGE = Path(decoding.__file__).parent


class Made(msgspec.Struct):
    """A type that nothing else decodes."""

    number: int


def test_it_is_decoded_as_what_was_asked_for() -> None:
    assert decoding.decode(b'{"number": 1}', Made) == Made(1)
    assert decoding.decode("[1]", Made | list[int]) == [1]
    with pytest.raises(msgspec.ValidationError, match="number"):
        decoding.decode(b"{}", Made)


def test_one_thread_at_a_time_looks_into_a_type(monkeypatch: pytest.MonkeyPatch) -> None:
    inside, most = 0, 0
    counting = threading.Lock()
    looked_into = decoding._decoder

    def slow(kind: object) -> msgspec.json.Decoder[object]:
        nonlocal inside, most
        with counting:
            inside += 1
            most = max(most, inside)
        found = looked_into(kind)
        # Long enough for the others to come in, if they can.
        threading.Event().wait(0.01)
        with counting:
            inside -= 1
        return found

    monkeypatch.setattr(decoding, "_decoder", slow)
    threads = [threading.Thread(target=worker._decode, args=(b"{}",)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_nothing_is_decoded_to_a_type_in_another_way() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in PACKAGE.rglob("*.py")
        if path.name != "decoding.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).startswith("msgspec.")
        and (
            ast.unparse(node.func).endswith((".Decoder", ".convert"))
            or any(keyword.arg == "type" for keyword in node.keywords)
        )
    ]
    assert found == []
