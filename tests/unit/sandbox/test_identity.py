"""The user that engine processes run as."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from megdump_ci.sandbox import identity
from megdump_ci.sandbox.identity import Identity

_ALL = (1 << 41) - 1
_DOCKER = 0xA80425FB
"""What it gives to a container's root."""


def _chosen(
    monkeypatch: pytest.MonkeyPatch, readers: dict[str, set[int]], capabilities: int
) -> Identity:
    """Who is chosen by root, if each of these files can be read by these users."""

    def refused(candidate: Identity, places: list[Path]) -> str | None:
        able = [str(place) for place in places]
        closed = [path for path in able if not readers[path] & {candidate.user, -1}]
        return next(iter(closed), None)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os.path, "exists", lambda path: str(path) in readers)
    monkeypatch.setattr(
        os, "stat", lambda path: os.stat_result((0, 0, 0, 1, *_owner(path), *[0] * 4))
    )
    monkeypatch.setattr(identity, "_first_refused", refused)
    monkeypatch.setattr(identity, "_effective", lambda: capabilities)
    return identity.chosen([Path("missing"), *map(Path, readers)])


def _owner(path: str) -> tuple[int, int]:
    return (1001, 1001) if path.startswith("work") else (0, 0)


def test_where_all_can_be_read_by_others_it_is_one_that_owns_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = _chosen(monkeypatch, {"work/model": {-1}, "lib": {-1}}, _DOCKER)
    assert 61184 <= found.user == found.group <= 65519
    assert not found.why
    assert not found.owns


def test_two_runs_have_two(monkeypatch: pytest.MonkeyPatch) -> None:
    users = {_chosen(monkeypatch, {"lib": {-1}}, _ALL).user for _ in range(20)}
    assert len(users) > 1


def test_what_only_its_owner_can_read_is_read_as_the_owner(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = _chosen(monkeypatch, {"lib": {-1}, "work/model": {1001}}, _DOCKER)
    assert (found.user, found.group, found.keeps) == (1001, 1001, 0)
    assert found.why == "another user cannot read work/model"


def test_what_only_root_can_read_is_read_as_root_without_powers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = _chosen(monkeypatch, {"work/model": {-1}, "lib": {0}}, _DOCKER)
    assert (found.user, found.keeps) == (0, 0)
    assert found.why == "another user cannot read lib"


@pytest.mark.parametrize(("capabilities", "kept"), [(_ALL, 1 << 2), (_DOCKER, 1 << 1)])
def test_what_no_user_can_read_alone_takes_one_power(
    monkeypatch: pytest.MonkeyPatch, capabilities: int, kept: int
) -> None:
    found = _chosen(monkeypatch, {"work/model": {1001}, "lib": {0}}, capabilities)
    assert (found.user, found.keeps) == (0, kept)


def test_root_without_powers_stays_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    found = _chosen(monkeypatch, {"lib": {-1}}, _DOCKER & ~(1 << 5))
    assert (found.user, found.change) == (0, False)
    assert "capabilities" in found.why


def test_who_is_not_root_stays_who_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    found = identity.chosen([Path("/")])
    assert (found.user, found.change) == (1000, False)
    assert found.owns


def test_a_file_is_given_only_if_it_is_surely_the_one_that_was_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _, user, group: given.append((user, group)))
    other = Identity(4711, 4712)
    made = tmp_path / "made"
    made.touch()
    other.give(made)
    other.give(tmp_path)
    assert given == [(4711, 4712)] * 2
    (tmp_path / "link").symlink_to(made)
    os.mkfifo(tmp_path / "pipe")
    os.link(made, tmp_path / "second")
    for name in ("link", "pipe", "second", "made"):
        with pytest.raises(OSError, match=r"it is no file of this run|symbolic link"):
            other.give(tmp_path / name)
    assert len(given) == 2
