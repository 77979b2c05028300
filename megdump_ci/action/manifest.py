"""``action.yml``, made from the options: ``python -m megdump_ci.action.manifest``.

In a release it names the image that was built for it, by digest, so that a job pulls that one and
builds nothing: ``--image docker://ghcr.io/owner/name@sha256:...``.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any

from megdump_ci.action.inputs import action_specs, default_of
from megdump_ci.gates import Limits
from megdump_ci.options import OptionSpec

OUTPUTS = {
    "verdict": "passed, failed, not verified or error",
    "headline": "the verdict in one line",
    "output": "path of the packed model, relative to the workspace; empty if none was written",
    "output-digest": "sha256:... of the packed model",
    "deploy-output": "path of the deploy model; empty if none was written",
    "deploy-output-digest": "sha256:... of the deploy model",
    "strip-info": "paths of the written strip info files, one a line",
    "report": "path of report.json; empty if none was written",
    "html": "path of report.html, the report to look at",
    "markdown": "path of report.md, which is also the job summary",
    "junit": "path of junit.xml, for what collects test results",
    "testcases": "how many testcases were run",
    "failed-testcases": "how many of them failed",
    "max-error": "the largest AssertEqual error of all testcases and outputs",
    "passing": "the options that a failed run would pass with; empty if there are none",
    "matrix": "the planned jobs as JSON: what strategy.matrix takes, by fromJSON",
    "count": "how many entries were planned, run or merged; 0 where nothing has changed",
    "artifact-id": "id of the artifact; empty if none was uploaded",
    "artifact-digest": "sha256:... of the artifact's zip archive; empty if none was uploaded",
}

_HEAD = """\
# Made from megdump_ci/options.py by `python -m megdump_ci.action.manifest`.
name: megdump-ci
description: >-
  Pack a MegEngine model with testcases for load_and_run, and prove that the packed file still
  computes what the model computed
author: The megdump-ci authors
branding:
  icon: package
  color: blue
"""

_RUNS = """\
runs:
  using: docker
  image: {image}
"""

# A tag, in place of the digest, may name another image tomorrow. Lower case is the registry's rule.
_PULLED = re.compile(
    r"docker://[a-z0-9.-]+(?::[0-9]+)?(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)+@sha256:[0-9a-f]{64}"
)


def action_yml(image: str = "Dockerfile") -> str:
    """The text of ``action.yml`` with this ``image`` to run."""
    inputs = "".join(_input(spec) for spec in action_specs())
    outputs = "".join(
        f"  {name}:\n    description: {_quoted(text)}\n" for name, text in OUTPUTS.items()
    )
    return f"{_HEAD}inputs:\n{inputs}outputs:\n{outputs}{_RUNS.format(image=image)}"


def text_of(value: Any) -> str:
    """A default as an input's text."""
    if isinstance(value, Limits):
        return "\n".join(value.texts())
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "\n".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _input(spec: OptionSpec) -> str:
    lines = [f"  {spec.name}:", f"    description: {_quoted(_help(spec))}"]
    # What to pack may be said in another way; we ask for it ourselves, and say how.
    lines.append("    required: false")
    if not spec.required:
        lines.append(f"    default: {_quoted(text_of(default_of(spec)))}")
    return "\n".join(lines) + "\n"


def _help(spec: OptionSpec) -> str:
    text = spec.help
    if spec.many:
        text = text.replace(" Can be given several times", " Several: one a line")
    if spec.choices:
        text += f" ({', '.join(spec.choices)})"
    return text


def _quoted(text: str) -> str:
    # A JSON string is a YAML string, whatever is in it.
    return json.dumps(text, ensure_ascii=False)


def image_of(text: str) -> str:
    """``text`` if it is an image's address that always names the same bytes, or ``Dockerfile``.

    Raises :class:`argparse.ArgumentTypeError`.
    """
    if text != "Dockerfile" and not _PULLED.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"'{text}' names no image by digest: docker://REGISTRY/NAME@sha256:DIGEST in lower case"
        )
    return text


def main(arguments: list[str]) -> int:
    """Write ``action.yml`` to the standard output."""
    parser = argparse.ArgumentParser(
        prog="python -m megdump_ci.action.manifest", description="Print action.yml."
    )
    parser.add_argument(
        "--image",
        type=image_of,
        default="Dockerfile",
        help="what the action runs: Dockerfile (default), or docker://REGISTRY/NAME@sha256:DIGEST",
    )
    sys.stdout.write(action_yml(parser.parse_args(arguments).image))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
