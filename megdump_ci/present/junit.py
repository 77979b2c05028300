"""``junit.xml``: the report for what collects test results.

There is no standard; this keeps to the schema of Jenkins' xunit plugin (``junit-10.xsd``), with
the attributes ``file`` and ``line`` of a testcase, which that does not have and which those who
annotate read. A testcase is called by what it was asked for with and not by its place, so that it
is the same one in the next run when others come before it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from xml.etree import ElementTree as ET

from megdump_ci.errors import ExitStatus
from megdump_ci.present.reasons import failed_comparison, output_reason, reason, subject
from megdump_ci.present.text import number_text, one_line, plain
from megdump_ci.present.worst import element_line, metrics_lines
from megdump_ci.report import Gate, Output, Report, Testcase, Trial

# What no XML 1.0 document may hold; control characters and surrogates are gone before.
_NO_XML = re.compile("[\ufffe\uffff]")
_LONGEST = 100_000
"""Characters of a text; viewers load the whole file."""

_ERRORS: dict[int, str] = {
    ExitStatus.INPUT: "input",
    ExitStatus.ENGINE: "engine",
    ExitStatus.INTERNAL: "internal",
}


@dataclass(kw_only=True)
class _Case:
    """One testcase of the file; ``kind`` is the element that says how it went, if it says so."""

    group: str
    name: str
    kind: str = ""
    type: str = ""
    message: str = ""
    details: list[str] = field(default_factory=list)
    out: list[str] = field(default_factory=list)
    file: str = ""
    line: int = 0


def xml(report: Report) -> bytes:
    """The whole of ``junit.xml``, in UTF-8."""
    cases = [*_testcases(report), *_gates(report), *_trials(report)]
    cases += _run(report, cases)
    root = ET.Element("testsuites", {"name": "megdump-ci", **_counts(report, cases)})
    suite = ET.SubElement(root, "testsuite", {"name": _suite(report), **_counts(report, cases)})
    # The root of that schema has no such count.
    suite.set("skipped", str(sum(case.kind == "skipped" for case in cases)))
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(report):
        ET.SubElement(
            properties, "property", {"name": _attribute(name), "value": _attribute(value)}
        )
    for case in cases:
        _add(suite, case, report)
    _text(
        suite, "system-out", [report.headline, *_notes(report), f"to repeat it: {report.command}"]
    )
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _counts(report: Report, cases: Iterable[_Case]) -> dict[str, str]:
    kinds = [case.kind for case in cases]
    return {
        "tests": str(len(kinds)),
        "failures": str(kinds.count("failure")),
        "errors": str(kinds.count("error")),
        "time": f"{report.seconds:.3f}",
    }


def _suite(report: Report) -> str:
    return _attribute(subject(report) or "megdump-ci")


def _add(suite: ET.Element, case: _Case, report: Report) -> None:
    names = {"classname": f"{_suite(report)}{case.group}", "name": _attribute(case.name)}
    if case.file and case.line:
        names |= {"file": _attribute(case.file), "line": str(case.line)}
    element = ET.SubElement(suite, "testcase", names)
    if case.kind:
        said = {"message": _attribute(case.message)}
        if case.type:
            said["type"] = case.type
        ET.SubElement(element, case.kind, said).text = _content(case.details)
    _text(element, "system-out", case.out)


def _text(parent: ET.Element, tag: str, lines: Iterable[str]) -> None:
    content = _content(lines)
    if content:
        ET.SubElement(parent, tag).text = content


def _attribute(text: str) -> str:
    return _legal(one_line(text, 1000))


def _content(lines: Iterable[str]) -> str:
    text = _legal(plain("\n".join(lines)))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}\u2026"


def _legal(text: str) -> str:
    return _NO_XML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _testcases(report: Report) -> Iterator[_Case]:
    names: dict[str, int] = {}
    for testcase in report.testcases:
        source = testcase.source
        name = _unused(source.spec if source else f"testcase {testcase.index}", names)
        case = _Case(group="", name=name, out=[*_facts(testcase)])
        if source is not None:
            case.file, case.line = source.file, source.line
        if not testcase.passed:
            case.kind, case.type, case.message = "failure", "comparison", reason(testcase)
            case.details = [*_details(testcase, report)]
        elif not testcase.outputs:
            case.kind, case.message = "skipped", "not verified"
        yield case


def _unused(text: str, names: dict[str, int]) -> str:
    """``text``, with a number if one of ``names`` is the same; it is then one of them, too.

    Each name has the largest number that was given to it, and the search goes on from there.
    """
    number, found = names.get(text, 1), text
    while found in names:
        number += 1
        found = f"{text} [{number}]"
    names.setdefault(found, 1)
    names[text] = number
    return found


def _facts(testcase: Testcase) -> Iterator[str]:
    yield f"testcase {testcase.index}"
    for tensor in testcase.inputs:
        yield f"input {tensor.name}: {tensor.dtype} {tensor.shape} {tensor.digest}".rstrip()
    for output in testcase.outputs:
        yield f"output {output.name}: {output.dtype} {output.shape}, {_errors(output)}"


def _errors(output: Output) -> str:
    named = {
        "assertion": output.assertion,
        "against expected": output.against_expected,
        "against model": output.against_model,
        "model against Python": output.model_against_python,
        "against Python": output.against_python,
        "against Lite": output.against_lite,
        "against base": output.against_base,
    }
    errors = [
        f"{name} {number_text(item.error)}"
        for name, item in named.items()
        if item is not None and item.error is not None
    ]
    return f"errors: {', '.join(errors)}" if errors else "nothing compared"


def _details(testcase: Testcase, report: Report) -> Iterator[str]:
    yield from [testcase.reason] if testcase.reason else []
    for output in testcase.outputs:
        if output.passed:
            continue
        yield f"{output.name}: {output_reason(output)}"
        comparison = failed_comparison(output)
        if comparison is not None and comparison.metrics is not None:
            yield from (f"  {line}" for line in metrics_lines(comparison.metrics))
            yield from (f"  {element_line(element)}" for element in comparison.metrics.worst)
    yield from _remedy(report)


def _remedy(report: Report) -> Iterator[str]:
    if report.passing:
        yield f"the run would pass with: {' '.join(report.passing)}"


def _gates(report: Report) -> Iterator[_Case]:
    """What only all testcases together tell; the other gates fail a testcase."""
    for gate in report.gates:
        if gate.testcase is None:
            yield _gate(gate, report)


def _gate(gate: Gate, report: Report) -> _Case:
    name = f"{gate.name} of {gate.output}" if gate.output else gate.name
    value = f"{number_text(gate.value)}, limit {gate.limit:g}"
    case = _Case(group=".gates", name=name, out=[value])
    if not gate.passed:
        case.kind, case.type, case.message = "failure", gate.name, gate.reason
        case.details = [*_remedy(report)]
    return case


def _trials(report: Report) -> Iterator[_Case]:
    """The configurations of a sweep, which finds out that some do not pass: that is no failure."""
    for trial in report.sweep.trials if report.sweep else []:
        case = _Case(group=".sweep", name=trial.name, out=[*_trial_facts(trial)])
        if trial.status != "passed":
            case.kind, case.message = "skipped", f"{trial.status}: {trial.reason}"
        yield case


def _trial_facts(trial: Trial) -> Iterator[str]:
    yield " ".join(trial.options) or "no options"
    yield f"max error {number_text(trial.max_error)}, {number_text(trial.latency)} ms"


def _run(report: Report, cases: Iterable[_Case]) -> Iterator[_Case]:
    """The run itself, where it went wrong in a way that no testcase tells of."""
    command = next(iter(report.command.split()[1:2]), "run")
    case = _Case(group="", name=f"megdump-ci {command}", message=report.headline)
    if report.verdict == "error":
        case.kind = "error"
        case.type = _ERRORS.get(report.exit_status, "error")
        case.details = [str(problem) for problem in report.problems]
        places = [problem for problem in report.problems if problem.file and problem.line]
        case.file, case.line = (places[0].file, places[0].line) if places else ("", 0)
        yield case
    elif report.verdict == "failed" and not any(item.kind == "failure" for item in cases):
        case.kind, case.type = "failure", "comparison"
        yield case
    elif report.verdict == "not verified" and not any(item.kind == "skipped" for item in cases):
        case.kind = "skipped"
        yield case


def _notes(report: Report) -> Iterator[str]:
    yield from (f"warning: {text}" for text in report.warnings)
    if report.baseline is not None:
        yield f"against {report.baseline.base.path}: {report.baseline.headline}"
    if report.location is not None:
        for operator in report.location.wrong:
            yield f"goes wrong first: {operator.name} ({operator.type})"


def _properties(report: Report) -> Iterator[tuple[str, str]]:
    """Facts about the run; an empty one is left out."""
    graphs = {"model": report.model, "packed": report.packed, "deploy": report.deploy}
    facts = {
        "verdict": report.verdict,
        "max-error": "" if report.max_error is None else str(report.max_error),
        "kernels": report.kernels or "",
        "megdump-ci": report.tool.version,
        "command": report.command,
    }
    for engine in (report.engine, report.lite):
        if engine is not None:
            facts[engine.name] = engine.version
    for name, graph in graphs.items():
        if graph is not None:
            facts |= {name: graph.path, f"{name}.digest": graph.digest}
    yield from ((name, value) for name, value in facts.items() if value)
