"""Documentation that cannot rot: made parts are fresh, links lead somewhere, workflows are real."""

import importlib.util
import re
from pathlib import Path

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


@pytest.mark.parametrize("path", ["action.yml", "README.md", "docs/report.schema.json"])
def test_what_is_made_is_fresh(path: str) -> None:
    assert (ROOT / path).read_text() == made_parts()[path], "run 'make docs'"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_project_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def workflow_steps() -> list[dict[str, dict[str, object]]]:
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    steps = []
    for block in blocks:
        found = yaml.safe_load(block)
        jobs = found["jobs"].values() if isinstance(found, dict) else [{"steps": found}]
        steps += [step for job in jobs for step in job["steps"]]
    return steps


def test_the_workflows_give_inputs_that_the_action_has() -> None:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    ours = [step for step in workflow_steps() if step["uses"].startswith("megdump-ci/")]  # type: ignore[attr-defined]
    assert ours
    for step in ours:
        assert set(step["with"]) <= set(action["inputs"])
        required = {name for name, item in action["inputs"].items() if item["required"]}
        assert required <= set(step["with"])
