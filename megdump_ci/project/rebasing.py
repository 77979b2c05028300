"""Reports with the paths that hold where ``megdump-ci run`` was called.

The process of an entry runs in the project's folder, and knows nothing of the project.
"""

from __future__ import annotations

import os
from dataclasses import replace

from msgspec import structs

from megdump_ci.errors import Problem
from megdump_ci.project.file import Entry, Project
from megdump_ci.report import Graph, Report, StripInfo, Testcase


def rebased(report: Report, project: Project, entry: Entry) -> Report:
    """``report`` with its paths from where that of the project begins.

    A testcase that is in no list has the place of the entry's data in the project file.
    """

    def moved(path: str) -> str:
        return os.path.normpath(project.folder / path) if path else ""

    def graph(found: Graph | None) -> Graph | None:
        return structs.replace(found, path=moved(found.path)) if found is not None else None

    def info(found: StripInfo) -> StripInfo:
        return structs.replace(found, path=moved(found.path))

    def problem(found: Problem) -> Problem:
        return replace(found, file=moved(found.file))

    def testcase(found: Testcase) -> Testcase:
        source = found.source
        if source is None:
            return found
        file, line = moved(source.file), source.line
        if not file:
            file, line = project.path, entry.data.line
        return structs.replace(found, source=structs.replace(source, file=file, line=line))

    return structs.replace(
        report,
        problems=[problem(item) for item in report.problems],
        model=graph(report.model),
        packed=graph(report.packed),
        deploy=graph(report.deploy),
        strip_info=[info(item) for item in report.strip_info],
        testcases=[testcase(item) for item in report.testcases],
    )
