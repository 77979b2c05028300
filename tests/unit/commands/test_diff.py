"""``diff`` and ``pack --baseline``: what is wrong before an engine starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from megdump_ci import pipeline
from megdump_ci.errors import InputError
from megdump_ci.gates import Limits
from megdump_ci.options import DiffOptions, Options, PackOptions

SAMPLES = Path(__file__).parents[3] / "samples"
MODEL = str(SAMPLES / "digits.mge")
DATA = ("#rand(0,1)",)


def refused(options: Options) -> str:
    """What a run is refused for, before anything runs."""
    report = pipeline.run(options)
    assert report.exit_status == 2
    assert report.verdict == "error"
    assert report.engine is None
    assert report.processes == []
    return "\n".join(problem.message for problem in report.problems)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with what is no model."""
    (tmp_path / "empty.mge").touch()
    (tmp_path / "text.mge").write_text("not a model, but long enough to look")
    (tmp_path / "cut.mge").write_bytes(Path(MODEL).read_bytes()[:-1])
    (tmp_path / "packed.mge").write_bytes(b"mgbtest0\x01\0\0\0")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.mge", "No such file or directory"),
        ("empty.mge", "is empty"),
        ("text.mge", "is not a MegEngine model"),
        ("cut.mge", "is cut short"),
        ("packed.mge", "ends at byte 12, before the model"),
        ("", "is a folder"),
    ],
)
def test_a_base_that_cannot_be_read_is_wrong_input(files: Path, name: str, said: str) -> None:
    base = str(files / name)
    assert said in refused(DiffOptions(base=base, new=MODEL, data=DATA))
    assert said in refused(DiffOptions(base=MODEL, new=base, data=DATA))
    out = files / "out.mge"
    assert said in refused(PackOptions(model=MODEL, baseline=base, data=DATA, output=str(out)))
    assert not out.exists()


def test_both_models_and_the_data_are_wrong_at_once(files: Path) -> None:
    options = DiffOptions(
        base=str(files / "empty.mge"), new=str(files / "text.mge"), data=("#rand(1",)
    )
    said = refused(options)
    for part in ("empty.mge is empty", "text.mge is not a MegEngine model", "#rand(1"):
        assert part in said


def test_python_code_has_to_be_exported_first() -> None:
    code = str(SAMPLES / "classifier.py:classifier")
    report = pipeline.run(DiffOptions(base=MODEL, new=code, data=DATA))
    assert report.exit_status == 2
    (problem,) = report.problems
    assert "is Python code" in problem.message
    assert f"megdump-ci export {code}" in problem.hint


def test_no_data_and_empty_names_are_wrong() -> None:
    said = refused(DiffOptions(base="", new="", data=()))
    assert said.splitlines() == [
        "base is empty",
        "new is empty",
        "data is empty, and a model without testcases cannot be verified",
    ]


def test_a_limit_has_to_make_sense() -> None:
    options = DiffOptions(base=MODEL, new=MODEL, data=DATA, min_cosine=Limits(2.0))
    assert refused(options) == "min-cosine is 2"
    with pytest.raises(InputError):
        Limits.parse(["x"])
