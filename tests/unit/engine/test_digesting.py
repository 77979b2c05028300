"""The digest of parts is that of the whole."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.engine.digesting import Digesting


@given(st.lists(st.binary(max_size=5000), max_size=8))
def test_parts_are_taken_in_order(parts: list[bytes]) -> None:
    digesting = Digesting()
    for part in parts:
        digesting.add(part)
    assert digesting.result() == f"sha256:{hashlib.sha256(b''.join(parts)).hexdigest()}"


def test_there_may_be_more_after_a_look() -> None:
    digesting = Digesting(b"a")
    assert digesting.result() == f"sha256:{hashlib.sha256(b'a').hexdigest()}"
    digesting.add(b"b")
    assert digesting.result() == f"sha256:{hashlib.sha256(b'ab').hexdigest()}"
