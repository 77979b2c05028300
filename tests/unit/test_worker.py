"""The last words of the engine in a log that grows."""

import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.worker import GIVEN_UP, LogWatch

pieces = st.lists(st.binary(max_size=40), max_size=8)


@given(before=pieces, words=st.sampled_from(GIVEN_UP), after=pieces, cut=st.integers(0, 40))
def test_last_words_are_found_however_they_are_written(
    before: list[bytes], words: bytes, after: list[bytes], cut: int
) -> None:
    with tempfile.NamedTemporaryFile() as log:
        watch = LogWatch(Path(log.name))
        written = b""
        for piece in (*before, words[:cut], words[cut:], *after):
            log.write(piece)
            log.flush()
            written += piece
            found = watch.found().encode()
            assert bool(found) == any(word in written for word in GIVEN_UP)
            assert found in (b"", *GIVEN_UP)


def test_an_ordinary_log_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"info: MegEngine works under CPU mode now\nAssertEqual: err=1e-7\n" * 1000)
    assert LogWatch(path).found() == ""
