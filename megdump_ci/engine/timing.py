"""The timing worker: how long one run of a packed graph takes, its assertions left out."""

from __future__ import annotations

import time
from collections.abc import Callable

from megdump_ci import packed
from megdump_ci.engine import checking, graph
from megdump_ci.gates import Gates
from megdump_ci.protocol import FromWorker, Timed, TimeJob

WARM_UP = 3
"""Runs before the clock starts: the first ones choose kernels and plan memory."""
_LEAST, _MOST = 5, 200
_ENOUGH = 0.5
"""Seconds after which no further run is made, once there are the least of them."""


def measure(job: TimeJob, emit: Callable[[FromWorker], None]) -> None:
    """Time each packed file on its first testcase."""
    for path in job.packed:
        emit(Timed([seconds * 1000 for seconds in _times(path)]))


def _times(path: str) -> list[float]:
    """Seconds that each run took."""
    with packed.opened(path, "a packed model") as file:
        layout = packed.read_layout(file, path)
        content = packed.read(file, layout.graph)
        testcase = packed.read(file, layout.testcases[0])
    found = checking.PackedGraph(content, Gates())
    graph.trust(found.loaded)
    values = found.feeds(testcase, "testcase 0")
    feeds = {name: values[name] for name in found.model_inputs}
    function = graph.Function(
        found.loaded.graph,
        [graph.real_values(var) for var in found.outputs],
        {name: found.loaded.inputs[name] for name in feeds},
        {name: tuple(value.shape) for name, value in feeds.items()},
    )
    for _ in range(WARM_UP):
        function.run(feeds)
    times: list[float] = []
    start = time.perf_counter()
    while len(times) < _LEAST or (len(times) < _MOST and time.perf_counter() - start < _ENOUGH):
        times.append(function.timed(feeds))
    return times
