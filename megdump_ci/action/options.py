"""The inputs that only the action has: what a job does with the files, and the command does not."""

from __future__ import annotations

import re
from dataclasses import dataclass

from megdump_ci.errors import Problem
from megdump_ci.options import option
from megdump_ci.project.options import MOST_JOBS, NAME, PlanOptions, RunOptions

MODES = ("pack", "run", "plan", "merge")
UPLOADS = ("true", "on-failure", "false")

GROUPS = {"many": "many models", "artifact": "what is uploaded"}
"""The groups of these inputs, in their order, with their titles."""

LONGEST = 3650
"""Days for which an artifact can be kept; servers have limits below that."""

# What actions/upload-artifact refuses too; file systems have no such names.
FORBIDDEN = re.compile(r'["<>|*?:\\/\x00-\x1f\x7f]')


@dataclass(frozen=True, kw_only=True)
class ActionOptions:
    """Options of the container action, beside those of ``megdump-ci pack``."""

    mode: str = option(
        "pack one model, run entries of the config, plan them as a matrix of jobs, or merge the"
        " reports of such jobs",
        "pack",
        group="many",
        choices=MODES,
    )
    config: str = option(
        "the file that lists the models, with their data and options",
        NAME,
        group="many",
    )
    entry: tuple[str, ...] = option(
        "name of an entry of the config: the one to pack, in place of model, data and output; or"
        " those to run or plan, which is all of them where none is named. Can be given several"
        " times",
        (),
        group="many",
    )
    changed_since: str = option(
        "run or plan the entries only that have changed since this commit; empty or all zeros for"
        " all of them. The checkout has to have the commit (fetch-depth: 0)",
        "",
        group="many",
    )
    max_jobs: int = option(
        "jobs that a planned matrix may have; where there are more entries, each job runs several",
        MOST_JOBS,
        group="many",
    )
    jobs: int = option(
        "entries to run at the same time; 0 runs one on each core, at most 4",
        0,
        group="many",
    )
    matrix: str = option(
        "what was planned, for the mode merge: every entry in it has to have a report",
        "",
        group="many",
    )
    reports: tuple[str, ...] = option(
        "what to merge: report.json files, folders to look for such in, or patterns of paths. Can"
        " be given several times",
        ("reports",),
        group="many",
    )
    upload: str = option(
        "whether the files become an artifact of the run: true always (the step fails if that"
        " cannot be done), on-failure if the step fails anyway (then that is a warning), or false",
        "on-failure",
        group="artifact",
        choices=UPLOADS,
    )
    artifact_name: str = option(
        "name of the artifact, which no other one of the run may have; the default is megdump-ci-"
        " and the model's path, with dashes",
        "",
        group="artifact",
    )
    artifact_retention_days: int = option(
        "days for which the artifact is kept, at most what the repository allows; 0 takes that",
        0,
        group="artifact",
    )

    @property
    def of_config(self) -> bool:
        """Whether the config says what is packed."""
        return self.mode != "pack" or bool(self.entry)

    def problems(self) -> list[Problem]:
        """What is wrong with the values, taken together; empty when nothing is."""
        found = [*_mode_problems(self)]
        if self.upload not in UPLOADS:
            found.append(Problem(f"upload is '{self.upload}'", f"give one of {', '.join(UPLOADS)}"))
        if FORBIDDEN.search(self.artifact_name) or self.artifact_name in (".", ".."):
            found.append(
                Problem(
                    f"artifact-name is '{self.artifact_name}', which no file can be called",
                    'leave out " : < > | * ? \\ / and line breaks',
                )
            )
        if not 0 <= self.artifact_retention_days <= LONGEST:
            found.append(
                Problem(
                    f"artifact-retention-days is {self.artifact_retention_days}",
                    f"give 0 (what the repository has set) to {LONGEST}",
                )
            )
        return found


def _mode_problems(options: ActionOptions) -> list[Problem]:
    found = PlanOptions(max_jobs=options.max_jobs).problems()
    found += RunOptions(jobs=options.jobs).problems()
    if options.mode not in MODES:
        found.append(Problem(f"mode is '{options.mode}'", f"give one of {', '.join(MODES)}"))
    if options.mode == "pack" and len(options.entry) > 1:
        found.append(
            Problem(
                f"entry is {', '.join(options.entry)}, and the mode pack is for one",
                "add mode: run",
            )
        )
    if options.mode == "merge" and not options.matrix:
        found.append(
            Problem(
                "matrix is empty, so nobody knows which reports there have to be",
                "give what was planned: matrix: ${{ needs.plan.outputs.matrix }}",
            )
        )
    return found
