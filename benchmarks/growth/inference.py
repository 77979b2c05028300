"""The engine alone: loading a model and running it, nothing packed and nothing compared.

    .venv/bin/python -m benchmarks.growth.inference MODEL RUNS

Prints JSON: seconds to load, for the first run, and for each of the next ones (the median).
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    """Time the model that the arguments name."""
    from megdump_ci.engine import graph
    from megdump_ci.testcase import draw
    from megdump_ci.testcase.grammar import RandomSpec

    path, runs = Path(sys.argv[1]), int(sys.argv[2])
    start = time.perf_counter()
    loaded = graph.load(path.read_bytes(), str(path))
    types = [graph.input_type(name, var) for name, var in loaded.inputs.items()]
    data = RandomSpec("#rand(0,1)", 0.0, 1.0)
    feeds = {kind.name: draw.draw(data, kind, 0, (0, 0)) for kind in types}
    shapes = {name: value.shape for name, value in feeds.items()}
    function = graph.Function(loaded.graph, loaded.outputs, loaded.inputs, shapes)
    loading = time.perf_counter() - start
    first, *each = (_seconds(lambda: function.run(feeds)) for _ in range(runs + 1))
    print(json.dumps({"load": loading, "first": first, "each": statistics.median(each)}))


def _seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
