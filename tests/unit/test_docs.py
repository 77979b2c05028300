"""Documentation that cannot rot: made parts are fresh, links lead somewhere, workflows are real."""

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "samples").glob("*.md")]


def made_parts() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("tables", ROOT / "docs" / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.made()


MADE = made_parts()


@pytest.mark.parametrize("path", MADE)
def test_what_is_made_is_fresh(path: str) -> None:
    assert (ROOT / path).read_text() == MADE[path], "run 'make docs'"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_test_that_a_page_names_exists() -> None:
    named = {
        found
        for page in PAGES
        for found in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text())
    }
    missing = [
        f"{path}::{name}"
        for path, name in sorted(named)
        if not (ROOT / path).is_file()
        or (name and f"\ndef {name}(" not in (ROOT / path).read_text())
    ]
    assert missing == []
    assert len(named) > 40


def workflow_steps(page: Path) -> list[dict[str, Any]]:
    """The steps of all workflows of a page, whole or in part."""
    steps = []
    for block in re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL):
        found = yaml.safe_load(block)
        jobs = found["jobs"].values() if isinstance(found, dict) else [{"steps": found}]
        steps += [step for job in jobs for step in job["steps"]]
    return steps


WORKFLOW_PAGES = [page for page in PAGES if "```yaml" in page.read_text()]


@pytest.mark.parametrize("page", WORKFLOW_PAGES, ids=lambda page: page.name)
def test_the_workflows_give_inputs_that_the_action_has(page: Path) -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    steps = [step for step in workflow_steps(page) if "uses" in step]
    for step in [step for step in steps if step["uses"].startswith("megdump-ci/")]:
        assert set(step["with"]) <= set(action["inputs"])
        required = {name for name, item in action["inputs"].items() if item["required"]}
        assert required <= set(step["with"])


def test_the_translated_page_has_the_commands_and_workflow_of_the_first() -> None:
    first, other = ((ROOT / name).read_text() for name in ("README.md", "README.zh-CN.md"))
    commands = [
        set(re.findall(r"^(?:megdump-ci|make) [^#\n]*", text, re.M)) for text in (first, other)
    ]
    assert commands[1] <= commands[0]
    assert len(commands[1]) >= 5
    workflows = [re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) for text in (first, other)]
    assert workflows[1] == workflows[0]
