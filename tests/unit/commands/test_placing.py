"""Files are put in place all together, once there is room for all of them."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from megdump_ci import output
from megdump_ci.commands import pack
from megdump_ci.errors import ExitStatus, InputError
from megdump_ci.options import PackOptions
from megdump_ci.state import State
from tests.unit import reports

NAMES = ("out.mge", "out.mge.json", "deploy.mge", "deploy.mge.json")


@contextmanager
def small_files() -> Iterator[None]:
    """No file is larger than 100 bytes inside."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def place(folder: Path, state: State, operators: int) -> None:
    """Put a packed and a deploy file in place, the second with so many kinds of operators."""
    for name in NAMES:
        (folder / name).write_text("an earlier one")
    paths = {"packed": str(folder / "out.mge"), "deploy": str(folder / "deploy.mge")}
    options = PackOptions(
        model="m",
        data=("d",),
        output=paths["packed"],
        deploy_output=paths["deploy"],
        output_strip_info=True,
    )
    kinds = [f"Operator{number}" for number in range(operators)]
    written: Any = SimpleNamespace(
        strip_info={"opr_types": []}, hash=1, deploy_strip_info={"opr_types": kinds}, deploy_hash=2
    )
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(output.staged(path, name.encode()))
            for name, path in paths.items()
        }
        pack._place(options, state, files, written)


def concluded(status: ExitStatus) -> State:
    graphs = {name: reports.graph(name, 1) for name in ("packed", "deploy")}
    return State(exit_status=status, **graphs)


@pytest.mark.parametrize(("status", "suffix"), [(ExitStatus.PASSED, ""), (1, ".failed")])
def test_each_file_has_its_strip_info(status: Any, suffix: str, tmp_path: Path) -> None:
    state = concluded(ExitStatus(status))
    place(tmp_path, state, 1)
    for path, name, hash in (("out", "packed", 1), ("deploy", "deploy", 2)):
        assert (tmp_path / f"{path}.mge{suffix}").read_text() == name
        assert json.loads((tmp_path / f"{path}.mge{suffix}.json").read_text())["hash"] == hash
    assert [Path(info.path).name for info in state.strip_info] == [
        f"out.mge{suffix}.json",
        f"deploy.mge{suffix}.json",
    ]
    assert {path.name for path in tmp_path.iterdir()} - set(NAMES) == (
        {f"{name}.mge{suffix}{end}" for name in ("out", "deploy") for end in ("", ".json")}
        if suffix
        else set()
    )


def test_where_there_is_room_for_some_only_none_is_replaced(tmp_path: Path) -> None:
    state = concluded(ExitStatus.PASSED)
    with small_files(), pytest.raises(InputError, match=r"deploy\.mge\.json: File too large"):
        place(tmp_path, state, 50)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        NAMES, "an earlier one"
    )
    assert state.strip_info == []
