"""The options of the commands for many models."""

from __future__ import annotations

from dataclasses import dataclass

from megdump_ci.errors import Problem
from megdump_ci.options import Values, option

NAME = "megdump.toml"
"""What the file is called if nobody says otherwise."""

MOST_JOBS = 256
"""What a matrix may have on GitHub."""


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class EntryOptions(Values):
    """What the commands have in common that read ``megdump.toml``."""

    entries: tuple[str, ...] = option(
        "names of entries; the default is all of them",
        (),
        group="input",
        metavar="NAME",
        positional=True,
    )
    config: str = option(
        "the file that lists the models, with their data and options",
        NAME,
        group="input",
        metavar="FILE",
    )
    changed_since: str = option(
        "take the entries only that have changed since this commit: their model, data or list"
        " files, what they watch, or FILE itself",
        "",
        group="input",
        metavar="COMMIT",
    )


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class PlanOptions(EntryOptions):
    """Options of ``megdump-ci plan``."""

    max_jobs: int = option(
        f"jobs that the matrix may have, at most {MOST_JOBS}; where there are more entries, each"
        " job runs several",
        MOST_JOBS,
        group="run",
        metavar="N",
    )

    def problems(self) -> list[Problem]:
        """What is wrong with the values, taken together; empty when nothing is."""
        if 1 <= self.max_jobs <= MOST_JOBS:
            return []
        return [Problem(f"max-jobs is {self.max_jobs}", f"give a number from 1 to {MOST_JOBS}")]


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class RunOptions(EntryOptions):
    """Options of ``megdump-ci run``."""

    jobs: int = option(
        "entries to run at the same time; 0 runs one on each core, at most 4. Each takes the"
        " memory of two engine processes",
        0,
        group="run",
        metavar="N",
    )
    report: str = option(
        "folder that merged.json and merged.md are written to, and the reports of each entry in a"
        " folder of its name",
        "",
        group="output",
        metavar="DIR",
    )

    profile: str = option(
        "file that a trace of the run is written to, for Perfetto or speedscope: what the processes"
        " of all entries did when, and how much memory they had",
        "",
        group="output",
        metavar="FILE",
    )

    def problems(self) -> list[Problem]:
        """What is wrong with the values, taken together; empty when nothing is."""
        if self.jobs >= 0:
            return []
        return [Problem(f"jobs is {self.jobs}", "give 0 (one on each core) or more")]


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class MergeOptions(Values):
    """Options of ``megdump-ci merge``."""

    reports: tuple[str, ...] = option(
        "a report.json, a folder to look for such in, or a pattern of paths",
        group="input",
        metavar="REPORT",
        positional=True,
    )
    plan: str = option(
        "what 'megdump-ci plan' printed: every entry in it has to have a report",
        "",
        group="input",
        metavar="FILE",
    )
    report: str = option(
        "folder that merged.json and merged.md are written to",
        "",
        group="output",
        metavar="DIR",
    )

    def problems(self) -> list[Problem]:
        """What is wrong with the values, taken together; empty when nothing is."""
        if any(self.reports):
            return []
        return [Problem("there is no report to merge", "name report.json files, or their folder")]


ProjectOptions = PlanOptions | RunOptions | MergeOptions
