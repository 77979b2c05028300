"""Everything that tells of a run, with every text in it that is more than text somewhere.

What must hold is the same everywhere: a hostile text changes no structure, and gives no command.
The properties with any text at all are with each reporter's own tests.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import re
import types
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from rich.console import Console

from megdump_ci import merged, pipeline
from megdump_ci.action.commands import Log
from megdump_ci.action.main import main
from megdump_ci.errors import Problem
from megdump_ci.options import PackOptions, specs
from megdump_ci.present import console, html, junit, markdown, project
from megdump_ci.present.markdown import merged as merged_markdown
from megdump_ci.present.text import plain
from megdump_ci.report import Isolation, Lack, Report, Tool, to_json
from tests.unit import pages
from tests.unit.injections import INJECTIONS

TEXTS = pytest.mark.parametrize("text", INJECTIONS.values(), ids=INJECTIONS)


def filled(value: Any) -> Any:
    """``value`` with something in every text that is empty."""
    if isinstance(value, list):
        return [filled(item) for item in value]
    if not (isinstance(value, msgspec.Struct) or dataclasses.is_dataclass(value)):
        return value
    changes = {}
    for name, hint in get_type_hints(type(value)).items():
        found = getattr(value, name)
        if not found and "Literal" not in str(hint) and "str" in str(hint):
            found = {"a key": 1} if hint == dict[str, int] else found
            found = ["a text"] if hint == list[str] else found
            found = "a text" if hint in (str, str | None) else found
        changes[name] = filled(found)
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(value, **changes)  # type: ignore[type-var]
    return msgspec.structs.replace(value, **changes)


ISOLATION = Isolation(held=[], missing=[Lack(measure="no network", reason="a")], memory_limit=1)
FULL = filled(msgspec.structs.replace(pages.EVERYTHING, isolation=ISOLATION))


def tampered(text: str) -> Report:
    return pages.tampered(FULL, text)


def many(text: str) -> merged.Merged:
    """A merged report with the text wherever one can be."""
    entries = [
        merged.entry_of(f"0{text}", tampered(text), f"1{text}"),
        merged.failed_entry(f"2{text}", f"3{text}", 2, [Problem(text, text, text, 3)]),
    ]
    outcome = merged.Outcome(
        entries=entries, problems=[Problem(text, text, text, 3)], warnings=[text]
    )
    return merged.merge(outcome, tool=Tool(version="0.1.0"), command=text, seconds=1.0)


class Tags(HTMLParser):
    """The elements of a page, and whether anything in it is not as it would be by hand."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not any(name.startswith("on") for name, _ in attrs), (tag, attrs)
        assert not any((value or "").startswith("javascript:") for _, value in attrs), (tag, attrs)
        self.found.append(tag)


def on_terminal(show: Callable[[Console, Console], None]) -> str:
    out = io.StringIO()
    both = Console(file=out, width=80, highlight=False)
    show(both, both)
    return out.getvalue()


@TEXTS
def test_a_terminal_is_not_steered(text: str) -> None:
    report, several = tampered(text), many(text)
    for found in (
        on_terminal(lambda out, errors: console.show(report, out, errors)),
        on_terminal(lambda out, errors: console.show(report, out, errors, silent=True)),
        on_terminal(lambda out, errors: project.show(several, out, errors)),
    ):
        assert found == plain(found)
        assert "\x1b" not in found
        assert not re.search("(?m)^(PASS: evil|::)", found)


@TEXTS
def test_markdown_has_the_same_structure(text: str) -> None:
    # A problem's further lines are shown as such.
    harmless = "x\nx" if "\n" in text else "x"
    for page, plain_page in (
        (markdown.page(tampered(text)), markdown.page(tampered(harmless))),
        (merged_markdown.page(many(text)), merged_markdown.page(many(harmless))),
    ):
        assert Tags(page).found == Tags(plain_page).found
        outside = re.sub(r"```mermaid\n.*?\n```", "", page, flags=re.DOTALL)
        # An HTML block ends at an empty line: a line of another kind would be read as markdown.
        assert {line[:1] for line in outside.split("\n")} <= {"", "<"}
        told = re.sub(r"<(code|pre)>.*?</\1>", "", outside, flags=re.DOTALL)
        assert not re.search(r"@evil|(?<!&)#1\b", told)


@functools.cache
def _html_tags(lines: bool) -> list[str]:
    return Tags(html.page(tampered("x\nx" if lines else "x")).decode()).found


@TEXTS
def test_html_has_the_same_structure(text: str) -> None:
    assert Tags(html.page(tampered(text)).decode()).found == _html_tags("\n" in text)


@TEXTS
def test_xml_has_the_same_structure(text: str) -> None:
    found, wanted = (
        [(item.tag, set(item.attrib)) for item in ET.fromstring(junit.xml(tampered(each))).iter()]
        for each in (text, "x")
    )
    assert found == wanted


@TEXTS
def test_json_is_read_back_as_it_was(text: str) -> None:
    # Only what comes from a file's name can be no text, and JSON has text alone.
    wanted = tampered(text.replace("\ud800", "?"))
    assert msgspec.json.decode(to_json(tampered(text)), type=Report) == wanted


@pytest.fixture
def act(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: Any
) -> Callable[..., tuple[list[Any], dict[str, str], str]]:
    """Runs the action; the commands it gave, its outputs and its summary."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "commands"
    folder.mkdir()

    def act(**inputs: str) -> tuple[list[Any], dict[str, str], str]:
        for name in ("output", "summary"):
            (folder / name).write_text("")
        stream = io.StringIO(newline="")
        environ = {
            "GITHUB_WORKSPACE": str(tmp_path),
            "GITHUB_OUTPUT": str(folder / "output"),
            "GITHUB_STEP_SUMMARY": str(folder / "summary"),
            "INPUT_UPLOAD": "false",
            **{f"INPUT_{name.upper().replace('_', '-')}": value for name, value in inputs.items()},
        }
        main(environ, stream)
        log = stream.getvalue()
        assert not re.search(r"\x1b(?!\[[\d;]*m)|[\u2028\u202e\u200b\x85\x07\x9b\x00]", log)
        outputs = runner.outputs((folder / "output").read_text(encoding="utf-8"))
        return runner.commands(log), outputs, (folder / "summary").read_text(encoding="utf-8")

    return act


def names(commands: list[Any]) -> list[str]:
    return [command.name for command in commands]


def _first(report: Report, *_: object) -> Report:
    return report


@TEXTS
def test_a_run_gives_its_own_commands_and_outputs(
    act: Any, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (Path.cwd() / "x.mge").touch()
    given = {"model": "x.mge", "data": "#rand(0,1)", "output": "out.mge", "report": ""}
    seen = []
    for each in (text, "x\nx" if "\n" in text else "x"):
        report = tampered(each)
        monkeypatch.setattr(pipeline, "run", functools.partial(_first, report))
        seen.append(act(**given))
    (commands, outputs, summary), (plain_commands, plain_outputs, plain_summary) = seen
    assert names(commands) == names(plain_commands)
    assert set(outputs) == set(plain_outputs)
    assert outputs["verdict"] == plain_outputs["verdict"]
    assert Tags(summary).found == Tags(plain_summary).found


@TEXTS
def test_a_merge_gives_its_own_commands_and_outputs(act: Any, text: str) -> None:
    seen = []
    for each in (text, "x\nx" if "\n" in text else "x"):
        folder = Path("reports", "a")
        folder.mkdir(parents=True, exist_ok=True)
        report = msgspec.structs.replace(tampered(each), name="a name")
        (folder / "report.json").write_bytes(to_json(report))
        plan = json.dumps(["a name"])
        seen.append(act(mode="merge", reports="reports", report="", matrix=plan))
    (commands, outputs, summary), (plain_commands, plain_outputs, plain_summary) = seen
    assert names(commands) == names(plain_commands)
    assert set(outputs) == set(plain_outputs)
    assert outputs["verdict"] == "failed", commands
    assert Tags(summary).found == Tags(plain_summary).found


_OWN = {"group", "endgroup", "error", "warning", "notice", "stop-commands"}


@TEXTS
def test_any_input_of_the_step_is_a_value(act: Any, text: str) -> None:
    if "\x00" in text or "\ud800" in text:
        return  # No variable of an environment can hold it.
    every = {spec.name: text for spec in specs(PackOptions)}
    least = {"model": "m.mge", "data": "#rand(0,1)", "output": "o.mge"}
    several = {"mode": "merge", "reports": text, "matrix": text, "entry": text}
    for name, given in {
        "every": every,
        "model": {**least, "model": text},
        "transform": {**least, "input-transform": text},
        "mode": {**least, "mode": text},
        "several": several,
    }.items():
        commands, outputs, summary = act(**given)
        assert set(names(commands)) <= _OWN, name
        assert outputs["verdict"] == "error", (name, commands)
        assert "<script" not in summary, name
        assert "<b>evil" not in summary, name


@TEXTS
def test_an_entry_of_the_config_is_a_value(act: Any, text: str) -> None:
    if "\ud800" in text:
        return  # No file of text can hold it.
    quoted = json.dumps(text)
    least = {"path": '"*.mge"', "data": '"#rand(0,1)"', "output": '"out/{name}"'}
    Path("a.mge").touch()
    for key in ("name", "data", "maxerr", quoted):
        lines = "\n".join(f"{name} = {value}" for name, value in {**least, key: quoted}.items())
        Path("megdump.toml").write_text(f"[[model]]\n{lines}\n", encoding="utf-8")
        commands, outputs, summary = act(mode="plan")
        assert set(names(commands)) <= _OWN, key
        assert "<script" not in summary, key
        if outputs["verdict"] != "error":
            assert len(json.loads(outputs["matrix"])["include"]) == 1, key


@TEXTS
def test_titles_and_masks_are_one_command(runner: Any, text: str) -> None:
    stream = io.StringIO(newline="")
    log = Log(stream)
    with log.group(text):
        log.line(text)
    log.warning(text, title=text, file=text, line=3)
    assert names(runner.commands(stream.getvalue())) == ["group", "endgroup", "warning"]
    assert not set(stream.getvalue()) & {"\x1b", "\x07", "\x9b", "\u202e", "\u2028", "\u200b"}


def kinds(kind: Any, seen: set[Any]) -> Iterator[Any]:
    """The structures that a report is made of."""
    if get_origin(kind) is not None or isinstance(kind, types.UnionType):
        for inner in get_args(kind):
            yield from kinds(inner, seen)
    elif kind not in seen and (
        dataclasses.is_dataclass(kind)
        or (isinstance(kind, type) and issubclass(kind, msgspec.Struct))
    ):
        seen.add(kind)
        yield kind
        for hint in get_type_hints(kind).values():
            yield from kinds(hint, seen)


def instances(value: Any) -> Iterator[Any]:
    """The structures in a report."""
    if isinstance(value, msgspec.Struct) or dataclasses.is_dataclass(value):
        yield value
        for name in get_type_hints(type(value)):
            yield from instances(getattr(value, name))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from instances(item)


def test_the_report_of_these_tests_has_a_text_in_every_field_that_can_have_one() -> None:
    found = list(instances(FULL))
    silent = [
        f"{kind.__name__}.{name}"
        for kind in kinds(Report, set())
        for name, hint in get_type_hints(kind).items()
        if "str" in str(hint) and "Literal" not in str(hint)
        if not any(getattr(each, name) for each in found if type(each) is kind)
    ]
    assert silent == []
