"""What is fuzzed inside one process, by name."""

from __future__ import annotations

from tests.fuzz import expressions, files, specs

ALL = (
    specs.SPECS,
    specs.LISTS,
    expressions.TRANSFORMS,
    files.ARRAYS,
    files.IMAGES,
    files.CUT_IMAGES,
)
BY_NAME = {target.name: target for target in ALL}
