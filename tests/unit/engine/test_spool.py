"""What is handed over arrives as it was, and what is none of ours does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from megdump_ci.engine import spool

DTYPES = ["<f4", "<f2", "|i1", "|u1", "<i2", "<u2", "<i4", "|b1"]
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=1, min_side=0, max_side=4))
)


@given(st.lists(ARRAYS, max_size=4))
def test_arrays_arrive_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, arrays: list[np.ndarray]
) -> None:
    path = tmp_path_factory.getbasetemp() / "spool"
    spool.write(path, arrays)
    found = spool.read(path, len(arrays))
    assert [(a.dtype, a.shape, a.tobytes()) for a in found] == [
        (a.dtype, a.shape, a.tobytes()) for a in arrays
    ]
    assert not path.exists()


def test_arrays_that_are_not_in_one_piece_arrive(tmp_path: Path) -> None:
    turned = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    spool.write(tmp_path / "spool", [turned])
    (found,) = spool.read(tmp_path / "spool", 1, keep=True)
    assert (found == turned).all()
    assert (tmp_path / "spool").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'[["|O",[1]]]\n' + bytes(8), "no dtype of a tensor"),
        (b'[["<U1",[1]]]\n' + bytes(8), "no dtype of a tensor"),
        (b'[["<f4",[3]]]\n' + bytes(8), "reshape"),
        (b'[["<f4",[-1]]]\n', ">= 0"),
        (b"[]\n", "holds 0 arrays, not 1"),
        (b"no line", "JSON"),
        (b"", "[Ii]nput data"),
    ],
)
def test_what_was_not_written_here_is_refused(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "spool").write_bytes(content)
    with pytest.raises(ValueError, match=says):
        spool.read(tmp_path / "spool", 1)
