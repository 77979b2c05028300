"""How engine processes were kept from the machine, in one line."""

from megdump_ci.present import isolation
from megdump_ci.present.html import page as html_page
from megdump_ci.present.markdown import page as markdown_page
from megdump_ci.report import Isolation, Lack
from tests.unit import reports

FOUND = Isolation(
    held=["no network", "read-only files", "memory", "file size"],
    missing=[
        Lack(measure="own user", reason="megdump-ci does not run as root"),
        Lack(measure="threads", reason="root's <threads> are not counted"),
    ],
    memory_limit=8_000_000_000,
)


def test_what_holds_comes_first_and_then_what_is_missing_and_why() -> None:
    assert isolation.line(FOUND) == (
        "no network, read-only files, limits of memory (8 GB), file size; missing: own user"
        " (megdump-ci does not run as root), threads (root's <threads> are not counted)"
    )
    assert isolation.line(Isolation(held=["own user"], memory_limit=1)) == "own user"


def test_it_is_told_where_the_machine_is() -> None:
    report = reports.report(isolation=FOUND)
    for page in (markdown_page(report), html_page(report).decode()):
        assert "no network, read-only files" in page
        assert "&lt;threads&gt;" in page


def test_nothing_is_told_where_no_process_was_started() -> None:
    report = reports.report(isolation=None)
    for page in (markdown_page(report), html_page(report).decode()):
        assert "engine processes" not in page
