"""report.html in a browser: it loads nothing, fits, sorts, and follows light and dark.

Every page leaves its pictures in out/screens/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec import structs
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from megdump_ci.present import html
from megdump_ci.report import Report
from tests.browser.conftest import Browser
from tests.unit import pages, reports

LARGE = reports.report(
    verdict="failed",
    exit_status=1,
    headline="FAIL: 9999 of 10000 testcases, max error 0.001",
    max_error=1e-3,
    testcases=[reports.case(i, 1e-3 if i == 5000 else i * 1e-9) for i in range(10_000)],
)
PAGES: dict[str, Report] = {**pages.PAGES, "everything": pages.EVERYTHING, "large": LARGE}

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"width": 1280},
    "phone": {"width": 360},
    "dark": {"width": 1280, "scheme": "dark"},
    "phone-dark": {"width": 360, "scheme": "dark"},
    "print": {"width": 794, "media": "print"},
}
"""Ways in which a page is looked at; 794 pixels are the width of A4."""

_ALL_LOOKS = ("failed", "everything", "sweep")
VIEWS = [
    (name, look) for name in PAGES for look in (LOOKS if name in _ALL_LOOKS else ("light", "phone"))
]

_ORDER = """
    const table = document.querySelector('[aria-labelledby="testcases"] table');
    return [...table.tBodies].map((body) => Number(body.rows[0].cells[0].textContent));
"""


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages, as files."""
    folder = tmp_path_factory.mktemp("pages")
    paths = {name: folder / f"{name}.html" for name in PAGES}
    for name, path in paths.items():
        path.write_bytes(html.page(PAGES[name]))
    return paths


@pytest.mark.parametrize(("name", "look"), VIEWS)
def test_a_page_is_whole_and_fits(
    browser: Browser, written: dict[str, Path], name: str, look: str
) -> None:
    browser.open(written[name], **LOOKS[look])
    assert browser.requests() == [written[name].as_uri()]
    assert browser.said() == []
    inner, outer = browser.run(
        "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    )
    assert inner <= outer, "the page scrolls sideways"
    dark = look.endswith("dark")
    red = browser.run("return getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (int(red) < 64) == dark
    browser.screenshot(f"{name}-{look}")


def test_a_wide_table_scrolls_in_its_box(browser: Browser, written: dict[str, Path]) -> None:
    browser.open(written["failed"], width=360)
    inner, outer = browser.run(
        "const box = document.querySelector('.box[aria-labelledby=\"testcases\"]');"
        "return [box.scrollWidth, box.clientWidth]"
    )
    assert inner > outer


def test_labels_of_charts_stay_in_them(browser: Browser, written: dict[str, Path]) -> None:
    """Text is measured by the library for a font that a browser may not have."""
    for width in (1280, 360):
        browser.open(written["everything"], width=width)
        outside = browser.run(
            """
            const found = [];
            for (const chart of document.querySelectorAll('.chart')) {
              const box = chart.getBoundingClientRect();
              if (!box.width) continue;
              for (const text of chart.querySelectorAll('text')) {
                const own = text.getBoundingClientRect();
                if (own.left >= box.left - 1 && own.right <= box.right + 1) continue;
                found.push(text.textContent);
              }
            }
            return found;
            """
        )
        assert outside == []


def head(browser: Browser, title: str) -> WebElement:
    heads = browser.driver.find_elements(By.CSS_SELECTOR, '[aria-labelledby="testcases"] thead th')
    return next(item for item in heads if item.text.split("\n")[0].strip(" \u2195") == title)


def test_a_click_sorts_and_another_turns_round(browser: Browser, written: dict[str, Path]) -> None:
    browser.open(written["large"])
    before = browser.run(_ORDER)
    assert before[:2] == [5000, 0]
    number = head(browser, "#")
    number.find_element(By.TAG_NAME, "button").click()
    assert browser.run(_ORDER) == sorted(before, reverse=True)
    assert number.get_attribute("aria-sort") == "descending"
    number.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert browser.run(_ORDER) == sorted(before)
    assert number.get_attribute("aria-sort") == "ascending"
    error = head(browser, "against model")
    error.find_element(By.TAG_NAME, "button").click()
    assert browser.run(_ORDER)[0] == 5000
    assert number.get_attribute("aria-sort") is None
    # What belongs to a testcase moved with it.
    detail = browser.run(
        "return document.getElementById('testcase-5000').querySelector('.detail').textContent"
    )
    assert reports.REASON in detail


def test_no_number_is_the_worst_and_no_value_comes_last(browser: Browser, tmp_path: Path) -> None:
    cases = [reports.case(0, 1e-6), reports.case(1, float("nan")), reports.case(2, 0.5)]
    cases.append(structs.replace(reports.case(3), outputs=[]))
    path = tmp_path / "report.html"
    path.write_bytes(html.page(reports.report(testcases=cases)))
    browser.open(path)
    button = head(browser, "against model").find_element(By.TAG_NAME, "button")
    button.click()
    assert browser.run(_ORDER) == [1, 2, 0, 3]
    button.click()
    assert browser.run(_ORDER) == [0, 2, 1, 3]


def test_it_is_all_there_without_scripts(browser: Browser, written: dict[str, Path]) -> None:
    browser.open(written["failed"])
    text = browser.run("return document.body.innerText.replaceAll(' \\u2195', '')")
    browser.tell("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(written["failed"])
        assert browser.driver.find_elements(By.CSS_SELECTOR, "thead button") == []
        assert browser.driver.find_element(By.TAG_NAME, "body").text.split() == text.split()
        summary = browser.driver.find_element(By.CSS_SELECTOR, "#testcase-1 summary")
        summary.click()
        assert "expected" in browser.driver.find_element(By.ID, "testcase-1").text
    finally:
        browser.tell("Emulation.setScriptExecutionDisabled", value=False)


def test_hostile_text_does_nothing(browser: Browser, written: dict[str, Path]) -> None:
    browser.open(written["hostile"])
    assert browser.run("return document.querySelectorAll('img, iframe, object, embed').length") == 0
    assert browser.run("return document.scripts.length") == 1
    assert "<img src=x onerror=evil()>" in browser.run("return document.body.innerText")


def test_the_policy_holds_for_what_is_not_of_the_page(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    added = (
        b"<script>document.title = 'evil'</script><style>body { display: none }</style>"
        b'<p style="color: red" onclick="document.title = 1">x</p><img src="x.png">'
    )
    path.write_bytes(html.page(reports.report()).replace(b"</main>", added + b"</main>"))
    browser.open(path)
    assert browser.driver.title.startswith("Passed")
    assert browser.run("return getComputedStyle(document.body).display") == "block"
    assert len([item for item in browser.said() if "Content Security Policy" in item]) == 5


def test_the_keyboard_gets_everywhere_and_is_seen(
    browser: Browser, written: dict[str, Path]
) -> None:
    browser.open(written["failed"])
    reached = set()
    for _ in range(60):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB)
        tag, outline = browser.run(
            "const e = document.activeElement; return [e.tagName, getComputedStyle(e).outlineStyle]"
        )
        if tag == "BODY":
            break
        assert outline != "none"
        reached.add(tag)
    assert reached >= {"A", "BUTTON", "SUMMARY", "DIV"}


def test_a_testcase_is_one_click_from_its_gate(browser: Browser, written: dict[str, Path]) -> None:
    browser.open(written["failed"], width=360)
    browser.driver.find_element(By.CSS_SELECTOR, '[aria-labelledby="gates"] td a').click()
    top, bottom = browser.run(
        "const box = document.querySelector(':target').getBoundingClientRect();"
        "return [box.top, innerHeight - box.bottom]"
    )
    assert top >= -1
    assert bottom >= -1
