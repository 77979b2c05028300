"""The report in markdown: ``report.md``, and what a job summary shows.

A page is a list of blocks, each whole in itself: text that opens no tag that it does not close.
What has to fit somewhere is put together of those that do.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import get_args

from megdump_ci.errors import Problem
from megdump_ci.options import Options, defaults, specs
from megdump_ci.present import isolation
from megdump_ci.present.markdown import markup
from megdump_ci.present.markdown.baseline import baseline
from megdump_ci.present.markdown.graphs import change, models
from megdump_ci.present.markdown.location import location
from megdump_ci.present.markdown.testcases import tables, worst_places
from megdump_ci.present.markdown.trials import sweep
from megdump_ci.present.reasons import subject
from megdump_ci.present.text import number_text, size_text
from megdump_ci.present.times import parts, share
from megdump_ci.report import Gate, Report, Verdict

__all__ = ["blocks", "blocks_without_report", "fitted", "page"]

LISTED = 20
"""Problems, warnings or gates that are listed; report.json has all."""

ICONS = {
    "passed": "\u2705",
    "failed": "\u274c",
    "error": "\u274c",
    "not verified": "\u26a0\ufe0f",
}


def page(report: Report) -> str:
    """The whole of ``report.md``."""
    return "".join(blocks(report))


def blocks(report: Report) -> list[str]:
    """The blocks of the page, the verdict first and then what matters most."""
    found = [
        *blocks_without_report(report.verdict, report.headline, report.problems, _about(report)),
        *_gates(report),
        *location(report),
        *_warnings(report),
        *baseline(report),
        *sweep(report),
        *tables(report),
        *worst_places(report),
        *models(report),
        *change(report),
        *_run(report),
        *_command(report),
    ]
    return [block for block in found if block]


def blocks_without_report(
    verdict: Verdict, headline: str, problems: Sequence[Problem], about: str = ""
) -> list[str]:
    """The blocks of a run that did not come to a report: the verdict, and what is wrong.

    ``about`` is markup that stands below the verdict.
    """
    line = f"<h3>{ICONS[verdict]} {markup.escaped(headline)}</h3>\n"
    return [f"{line}{about}\n", *_problems(problems)]


def fitted(blocks: Iterable[str], room: int, note: str) -> str:
    """The blocks that fit into ``room`` bytes of UTF-8, in their order.

    One that does not is left out, and ``note``, a block too, says so at the end. Nothing if there
    is no room for the first one.
    """
    found, left_out = list(blocks), False
    if sum(map(_size, found)) <= room:
        return "".join(found)
    text, left = "", room - _size(note)
    for block in found:
        if _size(block) <= left:
            text, left = text + block, left - _size(block)
        elif not text:
            return ""
        else:
            left_out = True
    return text + note if left_out else text


def _size(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _about(report: Report) -> str:
    """What the run was about, in one line."""
    name = subject(report)
    engine = f" with {report.engine.name} {report.engine.version}" if report.engine else ""
    text = f"{report.verdict}: megdump-ci {report.tool.version}{engine}, {report.seconds:.1f} s"
    return f"<p>{f'{markup.code(name)} ' if name else ''}{markup.escaped(text)}</p>\n"


def _problems(problems: Sequence[Problem]) -> Iterator[str]:
    yield markup.bullets(
        f"{_place(item)}{_lines(item.message)}"
        + (f"<br>{markup.escaped(item.hint)}" if item.hint else "")
        for item in problems[:LISTED]
    )
    yield _more(len(problems), "problems")


def _lines(message: str) -> str:
    # The lines below the first are an excerpt, in which columns matter.
    first, feed, rest = message.partition("\n")
    return markup.escaped(first) + (markup.shown_as_is(rest) if feed else "")


def _place(problem: Problem) -> str:
    return f"{markup.code(f'{problem.file}:{problem.line}')}: " if problem.line else ""


def _more(count: int, what: str) -> str:
    return (
        markup.paragraph(f"{count - LISTED} more {what} in report.json.") if count > LISTED else ""
    )


def _warnings(report: Report) -> Iterator[str]:
    yield markup.bullets(
        f"{ICONS['not verified']} {markup.escaped(text)}" for text in report.warnings[:LISTED]
    )
    yield _more(len(report.warnings), "warnings")


def _gates(report: Report) -> Iterator[str]:
    missed = [gate for gate in report.gates if not gate.passed]
    yield markup.table(
        ("missed", "output", "limit", "value", "testcase", ""),
        [_gate_row(gate) for gate in missed[:LISTED]],
    )
    yield _more(len(missed), "gates")
    if report.passing:
        yield markup.paragraph(
            f"It would pass with: {markup.code(shlex.join(report.passing), 2000)}"
        )


def _gate_row(gate: Gate) -> str:
    return markup.row(
        (
            gate.name,
            markup.code(gate.output, 100) if gate.output else "all",
            f"{gate.limit:g}",
            number_text(gate.value),
            "all" if gate.testcase is None else str(gate.testcase),
            markup.escaped(gate.reason),
        )
    )


def _run(report: Report) -> Iterator[str]:
    """The options and how the run went, folded up."""
    options = markup.facts(_options(report))
    phases = markup.table(
        ("phase", "seconds", "share"),
        [
            markup.row((markup.escaped(item.name), f"{item.seconds:.2f}", share(item, report)))
            for item in report.phases
        ],
    )
    processes = markup.table(
        ("process", "busy seconds", "memory", "seconds on each thing"),
        [
            markup.row(
                (
                    markup.escaped(item.name),
                    f"{item.seconds:.2f}",
                    _memory(item.peak_memory),
                    markup.escaped(parts(item)),
                )
            )
            for item in report.processes
        ],
    )
    machine = report.machine
    engines = [engine for engine in (report.engine, report.lite) if engine is not None]
    facts = markup.facts(
        [
            ("verified with", f"{report.kernels} kernels" if report.kernels else ""),
            *((engine.name, markup.escaped(engine.version)) for engine in engines),
            ("machine", markup.escaped(f"{machine.processor}, {machine.cores} cores")),
            ("system", markup.escaped(machine.system)),
            ("engine processes", markup.escaped(isolation.line(report.isolation), 600)),
        ]
    )
    yield markup.folded("Options", options)
    yield markup.folded("Where the time went", phases + processes)
    yield markup.folded("Machine", facts)


def _memory(size: int) -> str:
    return size_text(size) if size else "-"


def _options(report: Report) -> Iterator[tuple[str, str]]:
    """The options that are not as they are by default."""
    for kind in get_args(Options):
        if [kind.__name__.removesuffix("Options").lower()] == report.command.split()[1:2]:
            usual = defaults(kind)
            for spec in specs(kind):
                value = report.options.get(spec.field)
                if value and value != usual.get(spec.field):
                    yield spec.name, _value(value)


def _value(value: object) -> str:
    values = value if isinstance(value, (list, tuple)) else [value]
    shown = [
        markup.code(str(item).lower() if isinstance(item, bool) else str(item)) for item in values
    ]
    return "<br>".join(shown[:LISTED])


def _command(report: Report) -> Iterator[str]:
    yield "<p>To repeat it:</p>\n" + markup.shown_as_is(report.command) + "\n\n"
