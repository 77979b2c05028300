"""Names that mean something."""

from __future__ import annotations

import pytest

from megdump_ci.naming import is_stable


@pytest.mark.parametrize(
    ("name", "stable"),
    [
        ("features.0.conv.weight", True),
        ("logits", True),
        ("conv(data,w)[10]", False),
        ("RELU[0]", False),
        ("batch_norm(x)[33]:o5", False),
        ("fuse():dimshuffle(const{2}[4])[406]@407", False),
        ("bn.BatchNorm:o5", True),
        ("", False),
    ],
)
def test_names_that_the_engine_makes_up(name: str, stable: bool) -> None:
    assert is_stable(name) is stable
