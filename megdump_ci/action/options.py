"""The inputs that only the action has: what a job does with the files, and the command does not."""

from __future__ import annotations

import re
from dataclasses import dataclass

from megdump_ci.errors import Problem
from megdump_ci.options import option

UPLOADS = ("true", "on-failure", "false")

GROUPS = {"artifact": "what is uploaded"}
"""The groups of these inputs, in their order, with their titles."""

LONGEST = 3650
"""Days for which an artifact can be kept; servers have limits below that."""

# What actions/upload-artifact refuses too; file systems have no such names.
FORBIDDEN = re.compile(r'["<>|*?:\\/\x00-\x1f\x7f]')


@dataclass(frozen=True, kw_only=True)
class ActionOptions:
    """Options of the container action, beside those of ``megdump-ci pack``."""

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

    def problems(self) -> list[Problem]:
        """What is wrong with the values, taken together; empty when nothing is."""
        found = []
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
