"""What the engine processes of a run need of the machine, and how they are kept from the rest."""

from __future__ import annotations

import os
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from megdump_ci import report, target
from megdump_ci.errors import EngineError, InputError
from megdump_ci.options import DataOptions, Options, size_in
from megdump_ci.sandbox import identity, limits
from megdump_ci.sandbox.box import ALL, Box
from megdump_ci.sandbox.identity import Identity
from megdump_ci.testcase import grammar
from megdump_ci.testcase.spec import read_specs

_SECRETS = (
    ".aws",
    ".azure",
    ".cargo/credentials.toml",
    ".config/gcloud",
    ".config/gh",
    ".config/hub",
    ".docker",
    ".git-credentials",
    ".gnupg",
    ".kube",
    ".netrc",
    ".npmrc",
    ".pypirc",
    ".ssh",
)
"""In the home folder."""

_LEAST_ROOM = 1 << 30
"""Bytes that a file may have in any case: on a full disk, the system's own error says more."""


@dataclass
class Isolation:
    """Makes the box of each engine process of a run, and knows what they said of it."""

    options: Options
    folder: Path
    """That of the run: what is directly in it, engine processes cannot change."""
    found: dict[object, report.Isolation] = field(default_factory=dict)

    @cached_property
    def identity(self) -> Identity:
        """The user that they run as."""
        chosen = identity.chosen(self._places)
        if chosen.change:
            # They pass through it, and cannot list it.
            self.folder.chmod(0o711)
        return chosen

    @cached_property
    def memory(self) -> int:
        """Bytes that each may have; :class:`EngineError` if it cannot even be loaded in them."""
        wanted = size_in(self.options.memory_limit, "memory-limit") or limits.machine_memory()
        size = min(wanted, limits.own_memory())
        if size < limits.LEAST_MEMORY:
            raise EngineError([limits.too_little(size)])
        return size

    @cached_property
    def hidden(self) -> list[str]:
        """What they may not read: where credentials are, but for what they are asked to read."""
        wanted = [os.path.realpath(path) for path in self._places]
        return [
            path
            for path in map(os.path.realpath, _credentials())
            if not any(place == path or place.startswith(f"{path}/") for place in wanted)
        ]

    @cached_property
    def _places(self) -> list[Path]:
        return [self.folder.parent, *read_places(self.options), *_own_places()]

    def made(self, folder: Path) -> Path:
        """A folder that engine processes may change; made, if it is not there yet."""
        if not folder.exists():
            folder.mkdir(mode=0o700)
            self.identity.give(folder)
        return folder

    def box(
        self,
        home: Path,
        shared: Path,
        files: Sequence[str],
        *,
        cores: Iterable[int],
        seconds: float,
    ) -> Box:
        """The box of a process that changes these two folders and ``files``.

        It works on ``cores`` for at most so many ``seconds`` by its clock.
        """
        for file in files:
            self.identity.give(Path(file))
        folders = [str(self.made(folder)) for folder in (home, shared)]
        room = limits.room([*folders, *(os.path.dirname(file) or "." for file in files)])
        used = sorted(cores)
        return Box(
            parent=os.getpid(),
            identity=self.identity,
            cores=used,
            home=str(home),
            folders=folders,
            files=list(files),
            hidden=self.hidden,
            memory=self.memory,
            file_size=max(room, _LEAST_ROOM),
            processor_seconds=limits.processor_seconds(seconds, len(used)),
        )

    def take(self, worker: object, found: report.Isolation) -> None:
        """What a process said of its box.

        Only the first time counts: what could make it lie, it reads after that.
        """
        self.found.setdefault(worker, found)

    def reported(self) -> report.Isolation | None:
        """What holds for all processes, and what is missing in any."""
        if not self.found:
            return None
        missing = {lack.measure: lack for item in self.found.values() for lack in item.missing}
        return report.Isolation(
            held=[measure for measure in ALL if measure not in missing],
            missing=[missing[measure] for measure in ALL if measure in missing],
            memory_limit=self.memory,
        )


def read_places(options: Options) -> Iterator[Path]:
    """Files that a run reads, and the folders of those that it writes."""
    for name in ("model", "packed", "base", "new", "baseline", "target"):
        text = getattr(options, name, "")
        if text:
            yield Path(target.parse(text).file if target.is_code(text) else text)
    for name in ("output", "deploy_output"):
        text = getattr(options, name, "")
        if text:
            yield Path(text).parent
    if isinstance(options, DataOptions):
        yield from _data_places(options.data)


def _data_places(data: Sequence[str]) -> Iterator[Path]:
    try:
        specs = read_specs(data)
    except InputError:
        # It will be said where the testcases are read.
        return
    for spec in specs:
        for item in grammar.split_items(spec.text):
            # A name may be before it, which only the model tells from a path.
            for text in (item.text, item.text.partition(":")[2].strip()):
                if text and text[0] != "#":
                    yield from (Path(text), Path(spec.folder, text))


def _credentials() -> Iterator[str]:
    """Files and folders in which tools keep what they log in with; those that are there."""
    here = Path.cwd()
    # A checkout may leave its token among the settings of the repository.
    places = [folder / ".git" for folder in (here, *here.parents)]
    places += [Path(os.path.expanduser("~"), name) for name in _SECRETS]
    yield from (str(place) for place in places if os.path.exists(place))


def _own_places() -> list[Path]:
    """What is needed to run the engine."""
    names: tuple[str, ...] = ("stdlib", "platstdlib", "purelib", "platlib")
    return [*(Path(sysconfig.get_path(name)) for name in names), Path(__file__).parent]
