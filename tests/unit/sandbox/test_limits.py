"""Limits of an engine process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.options import size_in
from megdump_ci.sandbox import limits


@given(st.integers(1, 1 << 44))
def test_a_limit_is_told_as_it_can_be_typed(size: int) -> None:
    message = limits.no_memory(size, " while packing").message
    typed = message.rpartition(" ")[2]
    assert message == f"memory ran out while packing: an engine process may take {typed}"
    assert size * 0.9 <= size_in(typed, "memory-limit") <= size


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({}, None),
        ({"memory.max": "max"}, None),
        ({"memory.max": "5000000"}, 5_000_000),
        ({"memory.max": "max", "a/memory.max": "6000000", "a/b/memory.max": "max"}, 6_000_000),
        ({"a/memory.max": "6000000", "a/b/memory.max": "7000000"}, 6_000_000),
        ({"memory/a/b/memory.limit_in_bytes": "8000000"}, 8_000_000),
        ({"memory/memory.limit_in_bytes": "9223372036854771712"}, None),
    ],
)
def test_the_memory_is_the_least_that_a_control_group_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], limit: int | None
) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")
    monkeypatch.setattr(limits, "_CGROUPS", tmp_path)
    whole = limits.machine_memory()
    groups = tmp_path / "groups"
    groups.write_text("5:memory:/a/b\n3:cpu:/c\n0::/a/b\n")
    monkeypatch.setattr(limits, "_OWN_GROUPS", groups)
    assert limits.machine_memory() == (whole if limit is None else limit)


SCRIPT = """
import json, resource
from megdump_ci.sandbox import limits
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 5000))
limits.enter(memory=1 << 30, file_size=2000, seconds=100)
names = ("CORE", "DATA", "FSIZE", "CPU")
print(json.dumps([resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in names]))
"""


def test_no_limit_is_raised() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={"PYTHONPATH": str(Path(limits.__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [[0, 0], [1 << 30, 1 << 30], [1000, 2000], [100, 105]]


def test_a_file_may_have_what_is_free_where_there_is_most(tmp_path: Path) -> None:
    room = limits.room([str(tmp_path)])
    assert room > 0
    assert limits.room([str(tmp_path), str(tmp_path / "missing")]) > 0
    assert limits.room([]) == 0
