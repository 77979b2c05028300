"""Much of something, on the real engine; the programs in benchmarks/ take far more of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import models
from megdump_ci import worker
from megdump_ci.errors import ExitStatus
from tests.engine import support

ENTRY = """
import sys
sys.path[:0] = sys.argv[1:]
from megdump_ci import packed
from megdump_ci.engine import process

packed.LIMITS["fbs_v2"] = {limit}
process.main()
"""


@pytest.mark.parametrize(
    ("kind", "limit", "says"),
    [
        ("size:0.5", 400_000, "the data of all parameters of {model} takes 500000 bytes"),
        ("wide:0.5", 400_000, "the data of '#rand(-1,1)' takes 500000 bytes"),
        ("outer:0.5", 400_000, "the data of a testcase, with what is expected, takes 502"),
        ("ports:5", 2_000, "the graph to write takes "),
    ],
)
def test_what_a_format_cannot_hold_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, limit: int, says: str
) -> None:
    entry = tmp_path / "entry.py"
    entry.write_text(ENTRY.replace("{limit}", str(limit)))
    monkeypatch.setattr(worker, "_ENTRY", entry)
    model = tmp_path / "model.mge"
    models.make(kind, model, format="fbs").checked()
    out = tmp_path / "out.mge"
    report = support.pack(model, ["#rand(-1,1)"], out, format="fbs_v2")
    assert report.exit_status == ExitStatus.INPUT
    (problem,) = report.problems
    assert problem.message.startswith(says.replace("{model}", str(model)))
    assert f"more than the {limit} that format fbs_v2 can hold" in problem.message
    assert "--format fbs" in problem.hint
    assert not out.exists()


def test_each_of_many_inputs_gets_its_own_values(tmp_path: Path) -> None:
    count = 40
    names = [models.port(place, count) for place in range(count)]
    models.make(f"ports:{count}", tmp_path / "model.mge").checked()
    # In another order than that of the names, by which values are placed in the file.
    data = ";".join(f"{name}:#rand({place},{place + 1})" for place, name in enumerate(names[::-1]))
    report = support.passed(tmp_path / "model.mge", [data], tmp_path / "out.mge")
    (testcase,) = report.testcases
    assert [tensor.name for tensor in testcase.inputs] == names
    assert len({tensor.digest for tensor in testcase.inputs}) == count
    assert len({output.digest for output in testcase.outputs}) == count
