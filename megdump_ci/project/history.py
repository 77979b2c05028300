"""The files of an earlier commit, and whether those on disk are the same.

The repository is read and nothing of git is run: what a repository configures (hooks, filters, a
file system monitor) is code of whoever could write to it, and in a container its folder belongs to
another user, which git itself refuses for that reason.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from dulwich.errors import NotGitRepository
from dulwich.objects import Blob, Commit, ObjectID, Tree
from dulwich.objectspec import parse_commit
from dulwich.repo import Repo

from megdump_ci.errors import InputError

_ANCESTOR = re.compile(r"(?P<ref>.+?)(?P<steps>(?:~\d*|\^)+)")
_DIGEST = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n.*\boid sha256:([0-9a-f]{64})", re.S
)
_POINTER_LIMIT = 1024
_SHALLOW = (
    "this clone has a part of the history only: in a workflow, give the checkout step"
    " fetch-depth: 0; elsewhere, run git fetch --unshallow"
)


class Gone(Exception):
    """A commit that the whole history does not have: somebody rewrote it."""


class Snapshot:
    """The tree of a commit. Paths are relative to the top of the working tree, with ``/``."""

    def __init__(self, repository: Repo, commit: Commit, ref: str) -> None:
        self._store = repository.object_store
        self._commit = commit
        self._ref = ref
        self._trees: dict[ObjectID, Tree] = {}
        self.top = Path(os.path.realpath(repository.path))

    def same(self, path: str) -> bool:
        """Whether the commit has the file ``path`` with what is on disk now.

        A file in Git LFS is compared by the digest that the commit has of it. A symbolic link on
        the way has to be the same, and so has what it leads to.
        """
        whole = self.top
        parts = Path(path).parts
        for place, part in enumerate(parts):
            whole /= part
            if whole.is_symlink():
                return self._same_link(whole, Path(*parts[place + 1 :]))
        found = self._find(path)
        if found is None or not whole.is_file() or not stat.S_ISREG(found[0]):
            return found is None and not whole.exists()
        return _object_id(whole, len(found[1])) == found[1] or self._same_large(whole, found[1])

    def has(self, path: str) -> bool:
        """Whether the commit has a file or a link of that path."""
        found = self._find(path)
        return found is not None and not stat.S_ISDIR(found[0])

    @cached_property
    def paths(self) -> list[str]:
        """All its files."""
        return list(self._below(self._commit.tree, ""))

    def _below(self, tree: ObjectID, folder: str) -> Iterator[str]:
        for name, mode, digest in self._tree(tree).iteritems():
            path = f"{folder}{os.fsdecode(name)}"
            if stat.S_ISDIR(mode):
                yield from self._below(digest, f"{path}/")
            else:
                yield path

    def _same_link(self, link: Path, rest: Path) -> bool:
        found = self._find(str(link.relative_to(self.top)))
        text = os.readlink(link)
        if found is None or not stat.S_ISLNK(found[0]) or self._blob(found[1]) != os.fsencode(text):
            return False
        # One step only: the next link on the way is looked at in its turn.
        goal = Path(os.path.normpath(link.parent / text / rest))
        return goal.is_relative_to(self.top) and self.same(str(goal.relative_to(self.top)))

    def _same_large(self, whole: Path, digest: ObjectID) -> bool:
        pointer = self._blob(digest)
        found = _POINTER.match(pointer) if len(pointer) <= _POINTER_LIMIT else None
        return found is not None and _digest(whole, hashlib.sha256()) == found[1].decode()

    def _find(self, path: str) -> tuple[int, ObjectID] | None:
        mode, digest = stat.S_IFDIR, self._commit.tree
        for part in Path(path).parts:
            # A submodule is a folder of another repository.
            if not stat.S_ISDIR(mode):
                return None
            try:
                mode, digest = self._tree(digest)[os.fsencode(part)]
            except KeyError:
                return None
        return mode, digest

    def _tree(self, digest: ObjectID) -> Tree:
        if digest not in self._trees:
            try:
                found = self._store[digest]
            except KeyError:
                raise InputError(
                    f"the clone does not have the folders of {self._ref}",
                    "clone without a filter, or with --filter=blob:none, which leaves out files",
                ) from None
            assert isinstance(found, Tree)
            self._trees[digest] = found
        return self._trees[digest]

    def _blob(self, digest: ObjectID) -> bytes:
        """The contents of a file; empty if the clone does not have them."""
        try:
            found = self._store[digest]
        except KeyError:
            return b""
        return found.as_raw_string() if isinstance(found, Blob) else b""


@contextlib.contextmanager
def snapshot(folder: Path, ref: str) -> Iterator[Snapshot]:
    """The tree of the commit ``ref`` of the repository that ``folder`` is in.

    Raises :class:`InputError` if there is no such commit, and :class:`Gone` if it is one that
    nothing leads to any more.
    """
    try:
        repository = Repo.discover(str(folder))
    except NotGitRepository as error:
        raise InputError(
            f"{os.path.abspath(folder)} is in no git repository, so nothing is known of {ref}",
            "check out the repository there, or leave out --changed-since",
        ) from error
    with repository:
        if repository.bare:
            raise InputError("the git repository has no working tree", "check it out")
        yield Snapshot(repository, _commit(repository, ref), ref)


def _commit(repository: Repo, ref: str) -> Commit:
    found = _ANCESTOR.fullmatch(ref)
    steps = _steps(found["steps"]) if found else 0
    try:
        commit = parse_commit(repository, found["ref"] if found else ref)
        for _ in range(steps):
            parent = repository.object_store[commit.parents[0]]
            assert isinstance(parent, Commit)
            commit = parent
    except (KeyError, IndexError, ValueError) as error:
        raise _not_found(repository, ref) from error
    return commit


def _steps(text: str) -> int:
    """How many commits back ``~2^`` goes."""
    return sum(int(step[1:] or 1) for step in re.findall(r"~\d*|\^", text))


def _not_found(repository: Repo, ref: str) -> Exception:
    if repository.get_shallow():
        return InputError(f"there is no commit {ref} in this clone", _SHALLOW)
    if _DIGEST.fullmatch(ref):
        return Gone(ref)
    names = [name.decode(errors="replace") for name in repository.refs.allkeys()]
    short = sorted({re.sub(r"^refs/(heads|tags|remotes)/", "", name) for name in names})
    near = difflib.get_close_matches(ref, short, n=1)
    hint = (
        f"did you mean {near[0]}?"
        if near
        else "give a branch, a tag or a commit; git branch -a lists branches"
    )
    return InputError(f"there is no commit {ref} in this repository", hint)


def _object_id(path: Path, length: int) -> ObjectID:
    """What git calls the contents of a file, in a repository with digests of that length."""
    digest = hashlib.sha1(usedforsecurity=False) if length == 40 else hashlib.sha256()
    digest.update(b"blob %d\0" % path.stat().st_size)
    return ObjectID(_digest(path, digest).encode())


def _digest(path: Path, digest: hashlib._Hash) -> str:
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
