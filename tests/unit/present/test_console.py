"""What a person reads: golden pages at 80 columns, and text that tries to be more than text."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.text import Text

from megdump_ci import inputs, pipeline
from megdump_ci.errors import Problem
from megdump_ci.options import VerifyOptions
from megdump_ci.present import console, terminal, text
from megdump_ci.report import Gate, Report
from tests.unit import pages, reports

GOLDEN = Path(__file__).parent / "golden"

PAGES = {
    "passed": reports.report(),
    "failed": reports.report(
        verdict="failed",
        exit_status=1,
        headline="FAIL: 1 of 2 testcases, max error 0.25",
        max_error=0.25,
        passing=["--maxerr", "0.25"],
        gates=[
            Gate(
                name="maxerr",
                output="logits",
                limit=1e-4,
                value=0.25,
                testcase=1,
                passed=False,
                reason="error 0.25 is above 0.0001",
            )
        ],
        testcases=[reports.case(0), reports.case(1, 0.25)],
        warnings=["outputs a and b compute the same"],
    ),
    "error": pages.PAGES["error"],
    "lite": reports.report(lite=reports.LITE, testcases=[reports.on_lite(reports.case(0))]),
    "many": reports.report(testcases=[reports.case(i, i / 1e6) for i in range(30)]),
}


def shown(report: Report, *, silent: bool = False, width: int = 80) -> str:
    out, errors = io.StringIO(), io.StringIO()
    console.show(
        report,
        Console(file=out, width=width, highlight=False),
        Console(file=errors, width=width, highlight=False),
        silent=silent,
    )
    return errors.getvalue() + out.getvalue()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_it_was_looked_at(name: str) -> None:
    assert shown(PAGES[name]) == (GOLDEN / f"{name}.txt").read_text()


@pytest.mark.parametrize("name", ["passed", "many"])
def test_tables_fit_eighty_columns(name: str) -> None:
    assert max(map(len, shown(PAGES[name]).splitlines())) <= 80


def test_silent_prints_the_maximum_error_only() -> None:
    assert shown(reports.report(), silent=True) == "2.5e-05\n"


HOSTILE = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["\x1b[31mred", "[bold]x[/bold]", "[/]", "a\r\nb", "\u202egnp.exe", "\x07"]),
)


@given(HOSTILE, HOSTILE)
def test_text_from_outside_stays_text(name: str, spec: str) -> None:
    case = reports.case(0, 0.25, name=name, spec=spec)
    page = shown(
        reports.report(
            testcases=[case], warnings=[name], headline=spec, problems=[Problem(name, spec)]
        )
    )
    assert page == text.plain(page)
    assert "\x1b" not in page


def test_markup_is_shown_and_not_obeyed() -> None:
    assert "[bold]name" in shown(reports.report(testcases=[reports.case(0, name="[bold]name")]))


def test_a_table_without_room_for_the_sqnr_has_none() -> None:
    names = ["logits", "a name of twenty letters"]
    for name, has_room in zip(names, [True, False], strict=True):
        case = reports.on_lite(reports.case(0, 2e-5, name=name))
        page = shown(reports.report(lite=reports.LITE, testcases=[case]))
        assert ("SQNR" in page) is has_room
        assert max(map(len, page.splitlines())) <= 80


def test_a_table_of_equal_values_has_no_sqnr() -> None:
    assert "SQNR" not in shown(reports.report(testcases=[reports.case(0)]))


_RUN = """
import sys
from megdump_ci import inputs, pipeline
from megdump_ci.options import VerifyOptions
from megdump_ci.present import terminal
from tests.unit import reports
status = int(sys.argv[1])
verdict = "failed" if status else "passed"
inputs.read = lambda _: []
pipeline.run = lambda *_, **__: reports.report(verdict=verdict, exit_status=status)
sys.exit(terminal.run(VerifyOptions(packed="x")))
"""


@pytest.mark.parametrize("own", [0, 1])
@pytest.mark.parametrize(("where", "status"), [("full", 2), ("pipe", 0)])
def test_what_becomes_of_the_output_is_no_failed_comparison(
    own: int, where: str, status: int
) -> None:
    """Neither Python nor rich may end the process, nor the run's own status get lost."""
    with open("/dev/full", "wb") as full:
        reader, writer = os.pipe()
        os.close(reader)
        target = full.fileno() if where == "full" else writer
        command = [sys.executable, "-c", _RUN, str(own)]
        ran = subprocess.run(command, stdout=target, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writer)
    assert ran.returncode == (own or status), ran.stderr
    assert ("cannot write what was found: No space left" in ran.stderr) is (where == "full")
    assert "Traceback" not in ran.stderr


def test_a_page_that_cannot_be_made_does_not_change_a_failed_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delattr(console, "document")
    monkeypatch.setattr(inputs, "read", lambda _: [])
    for own, status in ((0, 4), (1, 1), (3, 3)):
        result = reports.report(exit_status=own)
        monkeypatch.setattr(pipeline, "run", lambda *_, result=result, **__: result)
        assert terminal.run(VerifyOptions(packed="x")) == status
        assert "please report it" in capsys.readouterr().err


@pytest.mark.parametrize(("seen", "quiet"), [(True, False), (True, True), (False, False)])
def test_there_is_a_bar_where_somebody_sees_it(
    seen: bool, quiet: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1" if seen else "")
    monkeypatch.setenv("TERM", "xterm")
    with terminal.progress(quiet=quiet) as observer:
        observer.phase("packing")
        observer.advanced(3, 7)
    out, errors = capsys.readouterr()
    shown = Text.from_ansi(errors).plain
    assert ("packing" in shown and "3/7" in shown) is (seen and not quiet)
    assert bool(shown) is (seen and not quiet)
    assert not out
