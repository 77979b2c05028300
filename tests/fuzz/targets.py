"""What is fuzzed inside one process, by name."""

from __future__ import annotations

from tests.fuzz import expressions, files, options, specs

ALL = (
    specs.SPECS,
    specs.LISTS,
    expressions.TRANSFORMS,
    files.ARRAYS,
    files.IMAGES,
    files.CUT_IMAGES,
    *options.TARGETS,
)
BY_NAME = {target.name: target for target in ALL}
