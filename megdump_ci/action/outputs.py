"""The outputs of the step: what the next steps read of a run."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from megdump_ci.action import paths
from megdump_ci.report import Graph, Report, Verdict, to_json

_FILES = {
    "report": "report.json",
    "html": "report.html",
    "markdown": "report.md",
    "junit": "junit.xml",
}


def of_run(
    verdict: Verdict, headline: str, result: Report | None, folder: str, root: Path
) -> dict[str, str]:
    """The outputs by name; a path only if this run wrote the file.

    ``folder`` is that of the reports, or empty; paths are relative to the workspace ``root``.
    """
    # After an error, a file of that name is an earlier run's.
    whole = result if verdict != "error" else None
    packed, deploy = (whole.packed, whole.deploy) if whole else (None, None)
    testcases = result.testcases if result else []
    infos = result.strip_info if result else []
    error = result.max_error if result else None
    return {
        "verdict": verdict,
        "headline": headline,
        **_graph("output", packed, root),
        **_graph("deploy-output", deploy, root),
        "strip-info": "\n".join(filter(None, (_written(info.path, root) for info in infos))),
        **_reports(result, folder, root),
        "testcases": str(len(testcases)),
        "failed-testcases": str(sum(not testcase.passed for testcase in testcases)),
        "max-error": "" if error is None else str(error),
        "passing": shlex.join(result.passing) if result else "",
        # Those of the modes for many models.
        "matrix": "",
        "count": "",
    }


def _graph(name: str, graph: Graph | None, root: Path) -> dict[str, str]:
    path = _written(graph.path, root) if graph else ""
    return {name: path, f"{name}-digest": graph.digest if graph and path else ""}


def _written(path: str, root: Path) -> str:
    return paths.shown(path, root) if os.path.isfile(path) else ""


def _reports(result: Report | None, folder: str, root: Path) -> dict[str, str]:
    """The files of the reports, which are all of this run if one is."""
    own = result is not None and folder and _content(folder) == to_json(result)
    return {
        name: _written(os.path.join(folder, file), root) if own else ""
        for name, file in _FILES.items()
    }


def _content(folder: str) -> bytes:
    try:
        return Path(folder, "report.json").read_bytes()
    except OSError:
        return b""
