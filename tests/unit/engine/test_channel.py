"""Messages of the parent, as an engine process takes them."""

from __future__ import annotations

import io
import os
import threading

from megdump_ci.engine.process import _Channel
from megdump_ci.protocol import AllWritten, Taken, TestcaseWritten, ToWorker, encode


def test_messages_are_received_whole_and_in_order() -> None:
    reader, writer = os.pipe()
    channel = _Channel(reader, io.BytesIO())
    assert not channel.waiting()
    first, second = encode(AllWritten(3, 5)), encode(Taken())
    os.write(writer, first + second[:4])
    assert channel.waiting()
    assert channel.receive(ToWorker) == AllWritten(3, 5)
    # A part of one is none.
    assert not channel.waiting()
    os.write(writer, second[4:])
    assert channel.waiting()
    assert channel.receive(ToWorker) == Taken()
    assert not channel.waiting()


def test_a_message_longer_than_a_pipe_arrives_whole() -> None:
    reader, writer = os.pipe()
    message = TestcaseWritten(index=1, offset=0, size=9, spool="x" * 300_000, inputs=[], outputs=[])
    content = encode(message) + encode(Taken())
    with os.fdopen(writer, "wb", buffering=0) as pipe:
        sender = threading.Thread(target=pipe.write, args=[content])
        sender.start()
        channel = _Channel(reader, io.BytesIO())
        assert channel.receive(ToWorker) == message
        sender.join()
        assert channel.receive(ToWorker) == Taken()


def test_events_are_sent_at_once() -> None:
    events = io.BytesIO()
    _Channel(0, events).emit(AllWritten(3, 5))
    assert events.getvalue() == encode(AllWritten(3, 5))
