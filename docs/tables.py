"""Bring the made parts of the documentation up to date: ``make docs``.

Those are ``action.yml``, tables of README.md and docs/security.md (between ``<!-- name -->`` and
``<!-- end -->``) and the JSON schemas of the reports and of megdump.toml. A test fails when one of
them is stale.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import tomli

from megdump_ci import merged, report
from megdump_ci.action.manifest import OUTPUTS, action_yml, text_of
from megdump_ci.action.options import GROUPS as JOB_GROUPS
from megdump_ci.action.options import ActionOptions
from megdump_ci.options import GROUPS, OptionSpec, PackOptions, specs
from megdump_ci.project import schema

ROOT = Path(__file__).parent.parent


def made() -> dict[str, str]:
    """The files with made parts, by path from the root, as they should be."""
    tables = {
        "options": _tables(GROUPS, PackOptions),
        "inputs": _tables(JOB_GROUPS, ActionOptions),
        "outputs": _outputs(),
    }
    schemas = {"megdump": schema, "merged": merged, "report": report}
    return {
        "action.yml": action_yml(),
        **{f"docs/{name}.schema.json": _schema(module) for name, module in schemas.items()},
        "README.md": filled((ROOT / "README.md").read_text(), tables),
        "docs/security.md": filled(
            (ROOT / "docs" / "security.md").read_text(), {"answers": _answers()}
        ),
    }


def _schema(module: Any) -> str:
    return f"{json.dumps(module.json_schema(), indent=2)}\n"


def filled(page: str, tables: dict[str, str]) -> str:
    """``page`` with each table between its marks."""
    for name, table in tables.items():
        marks = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        page = re.sub(marks, lambda m, t=table: f"{m[1]}{t}{m[2]}", page, flags=re.DOTALL)
    return page


def _tables(groups: dict[str, str], options: type[Any]) -> str:
    parts = []
    for group, title in groups.items():
        rows = [_row(spec) for spec in specs(options) if spec.group == group]
        parts.append(f"**{title.capitalize()}**\n\n| option | default | |\n| --- | --- | --- |\n")
        parts.append("".join(rows) + "\n")
    return "".join(parts)


def _row(spec: OptionSpec) -> str:
    name = f"`{spec.name}`" if not spec.short else f"`{spec.name}` (`{spec.short}`)"
    default = "required" if spec.required else f"`{text_of(spec.default)}`"
    help = spec.help.replace("|", "\\|")
    choices = f" ({', '.join(f'`{choice}`' for choice in spec.choices)})" if spec.choices else ""
    return f"| {name} | {'' if default == '``' else default} | {help}{choices} |\n"


def _answers() -> str:
    found = tomli.loads((ROOT / "requirements" / "answered.toml").read_text())
    rows = "".join(
        f"| {', '.join([name, *item['also']])} | {item['package']} | {item['what']} |"
        f" {item['answer']} |\n"
        for name, item in found.items()
    )
    return f"| finding | in | what | answer |\n| --- | --- | --- | --- |\n{rows}"


def _outputs() -> str:
    rows = "".join(f"| `{name}` | {text} |\n" for name, text in OUTPUTS.items())
    return f"| output | |\n| --- | --- |\n{rows}"


if __name__ == "__main__":
    for path, text in made().items():
        (ROOT / path).write_text(text)
