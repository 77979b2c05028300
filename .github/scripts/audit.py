"""What is known against the packages that are shipped: ``make audit``.

Runs pip-audit over requirements/run.txt. Fails if it finds what requirements/answered.toml has no
answer to, and if it could not look at a package: nothing looked at is no good news.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli

LOCK = Path("requirements/run.txt")
ANSWERS = Path("requirements/answered.toml")


@dataclass(frozen=True)
class Finding:
    """An advisory about a package of the lock."""

    package: str
    names: tuple[str, ...]
    """Its identifier, and those that it has elsewhere."""
    fixed: tuple[str, ...]

    def __str__(self) -> str:
        fixed = f"fixed in {', '.join(self.fixed)}" if self.fixed else "not fixed yet"
        return f"{self.package}: {', '.join(self.names)}, {fixed}"


def audited(program: str, lock: Path) -> Any:
    """What pip-audit says, as JSON; :class:`ValueError` if it does not get as far."""
    command = [program, "--requirement", str(lock), "--require-hashes", "--disable-pip"]
    command += ["--vulnerability-service", "osv", "--progress-spinner", "off", "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        last = done.stderr.strip().rpartition("\n")[2]
        raise ValueError(f"pip-audit: {last or f'exit status {done.returncode}'}") from error


def findings(report: Any) -> Iterator[Finding]:
    """The findings of pip-audit's report."""
    for package in report["dependencies"]:
        for found in package.get("vulns", []):
            yield Finding(
                f"{package['name']} {package['version']}",
                tuple(sorted({found["id"], *found["aliases"]})),
                tuple(found["fix_versions"]),
            )


def judged(report: Any, answers: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What fails the audit, and what is good to know."""
    answered = {name: key for key, answer in answers.items() for name in (key, *answer["also"])}
    problems, used = [], set()
    for finding in findings(report):
        known = {answered[name] for name in finding.names if name in answered}
        used |= known
        if not known:
            problems.append(f"{finding}: upgrade it, or answer it in {ANSWERS}")
    skipped = [
        f"{package['name']}: not looked at: {package['skip_reason']}"
        for package in report["dependencies"]
        if "skip_reason" in package
    ]
    if not report["dependencies"]:
        skipped.append("no package was looked at")
    notes = [f"{key} has an answer and was not found: is it needed?" for key in answers]
    notes = [note for note in notes if note.split()[0] not in used]
    return problems + skipped, notes


def main(program: str, root: Path) -> int:
    """Audit the lock of the tree at ``root``; the exit status."""
    try:
        answers = tomli.loads((root / ANSWERS).read_text(encoding="utf-8"))
        report = audited(program, root / LOCK)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"audit: {error}\n")
        return 1
    problems, notes = judged(report, answers)
    for line in notes:
        sys.stdout.write(f"note: {line}\n")
    for line in problems:
        sys.stderr.write(f"audit: {line}\n")
    if not problems:
        count = len(report["dependencies"])
        sys.stdout.write(f"{count} packages, nothing against them without an answer\n")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path.cwd()))
