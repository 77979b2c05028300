from __future__ import annotations

import datetime
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.action import upload
from megdump_ci.action.commands import Log
from megdump_ci.action.options import ActionOptions
from megdump_ci.errors import Problem

_ROOT = Path("/github/workspace")
_NOW = datetime.datetime(2026, 1, 31, 12, 0, 0, tzinfo=datetime.timezone.utc)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("model.mge", "megdump-ci-model"),
        ("models/a/net.mge", "megdump-ci-models-a-net"),
        ("models/b/net.mge", "megdump-ci-models-b-net"),
        ("./models/net.mge", "megdump-ci-models-net"),
        ("/github/workspace/models/net.mge", "megdump-ci-models-net"),
        ("/github/runner_temp/net.mge", "megdump-ci-github-runner_temp-net"),
        ("train/net.py:Net", "megdump-ci-train-net.py-Net"),
        ("模型.mge", "megdump-ci-模型"),
    ],
)
def test_the_default_name_is_the_models(model: str, name: str) -> None:
    assert upload.name_of(ActionOptions(), model, _ROOT) == name
    assert upload.name_of(ActionOptions(artifact_name="given"), model, _ROOT) == "given"


@given(model=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_a_default_name_is_one_that_could_be_given(model: str) -> None:
    for path in (model, model * 300):
        name = upload.name_of(ActionOptions(), path, _ROOT)
        assert ActionOptions(artifact_name=name).problems() == []
        assert len(name.encode()) <= 250


def test_long_paths_do_not_share_a_name() -> None:
    folder = "x" * 300
    names = {upload.name_of(ActionOptions(), f"{i}{folder}/net.mge", _ROOT) for i in range(3)}
    assert len(names) == 3


@pytest.mark.parametrize(
    ("days", "most", "expires", "warned"),
    [
        (0, "90", "", False),
        (0, "", "", False),
        (1, "90", "2026-02-01T12:00:00Z", False),
        (90, "90", "2026-05-01T12:00:00Z", False),
        (91, "90", "2026-05-01T12:00:00Z", True),
        (3, "", "2026-02-03T12:00:00Z", False),
        (3, "nonsense", "2026-02-03T12:00:00Z", False),
        (3, "0", "2026-02-03T12:00:00Z", False),
        (3650, "", "2036-01-29T12:00:00Z", False),
    ],
)
def test_how_long_it_is_kept(runner: Any, days: int, most: str, expires: str, warned: bool) -> None:
    stream = io.StringIO()
    environ = {"GITHUB_RETENTION_DAYS": most}
    assert upload.expiry(days, environ, Log(stream), _NOW) == expires
    assert bool(runner.commands(stream.getvalue())) is warned


def test_the_summary_shows_no_markup_of_others() -> None:
    text = upload.failure(Problem("<b>\n\n# evil", "<i>"))
    assert "<b>" not in text
    assert "<i>" not in text
    assert text.count("\n\n") == 1
