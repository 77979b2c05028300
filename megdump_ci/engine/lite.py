"""The cross-checking worker: the deploy graph on MegEngine Lite, the runtime that devices use."""

from __future__ import annotations

import ctypes
import io
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import megenginelite as lite
import msgspec
import numpy as np
import numpy.typing as npt

# A table that every call with a tensor looks into; see _TYPES for what it lacks.
from megenginelite.tensor import _lite_dtypes_to_ctype

from megdump_ci import packed, report
from megdump_ci.engine import checking, graph
from megdump_ci.engine.packing import Reference, read_model
from megdump_ci.errors import InputError
from megdump_ci.judging import compared
from megdump_ci.protocol import FromWorker, LiteChecked, LiteJob, LiteReady
from megdump_ci.testcase.spec import TestcaseSpec

Array = npt.NDArray[np.generic]

_TYPES = {
    number: np.dtype(name)
    for number, name in {
        0: "float32",
        1: "float16",
        2: "int32",
        3: "int16",
        4: "int8",
        5: "uint8",
        7: "uint16",
    }.items()
}
"""LiteDataType of the library (``lite/lite-c/include/lite-c/common_enum_c.h``). The Python package
of 1.13.0 knows float16 in few places only, and has 6 for uint16."""

for _number in (1, 7):
    _lite_dtypes_to_ctype.setdefault(_number, ctypes.c_ushort)


class LiteRefused(graph.GraphRefused):
    """MegEngine Lite cannot load or run a graph."""

    def __init__(self, doing: str, error: RuntimeError) -> None:
        # Lite puts this behind what the engine says, its backtrace included.
        text = re.sub(r", Error Code: \d+\Z", "", str(error)).removeprefix("Error: ")
        super().__init__(f"{doing} on MegEngine Lite", RuntimeError(text))


class Network:
    """A graph on MegEngine Lite. Inputs and outputs go by name there, and the names are sets."""

    def __init__(self, content: bytes) -> None:
        self._network = lite.LiteNetwork()
        try:
            # Of a path, it would take some for addresses of other machines.
            self._network.load(io.BufferedReader(io.BytesIO(content)))
            self.inputs: list[str] = self._network.get_all_input_name() or []
            self.outputs: list[str] = self._network.get_all_output_name() or []
        except RuntimeError as error:
            raise LiteRefused("loading the deploy model", error) from None

    def run(self, feeds: Mapping[str, Array], doing: str) -> dict[str, Array]:
        """All outputs; :class:`LiteRefused` if the engine cannot."""
        try:
            for name, value in feeds.items():
                self._feed(name, np.ascontiguousarray(value))
            self._network.forward()
            self._network.wait()
            return {name: self._output(name) for name in self.outputs}
        except RuntimeError as error:
            raise LiteRefused(doing, error) from None

    def _feed(self, name: str, value: Array) -> None:
        tensor = self._network.get_io_tensor(name, lite.LiteTensorPhase.LITE_INPUT)
        layout = lite.LiteLayout(value.shape)
        layout.data_type = next(number for number, dtype in _TYPES.items() if dtype == value.dtype)
        tensor.layout = layout
        _copy(tensor.get_ctypes_memory(), value.ctypes.data, value.nbytes, tensor.nbytes)

    def _output(self, name: str) -> Array:
        # An output can have the name of an input.
        tensor = self._network.get_io_tensor(name, lite.LiteTensorPhase.LITE_OUTPUT)
        layout = tensor.layout
        value = np.empty(layout.shapes, _TYPES[layout.data_type])
        _copy(value.ctypes.data, tensor.get_ctypes_memory(), value.nbytes, tensor.nbytes)
        return value


def _copy(to: Any, of: Any, size: int, same: int) -> None:
    """Copy memory, if both sides agree on how much there is."""
    if size != same:
        raise RuntimeError(f"a tensor has {same} bytes where {size} were expected")
    ctypes.memmove(to, of, size)


def check(job: LiteJob, emit: Callable[[FromWorker], None]) -> None:
    """Run every testcase of a packed file on its deploy graph, one at a time, and compare."""
    emit(LiteReady(_version()))
    with packed.opened(job.packed, "a packed model") as file:
        layout = packed.read_layout(file, job.packed)
        packed_graph = checking.PackedGraph(packed.read(file, layout.graph), job.gates)
        content = Path(job.deploy).read_bytes() if job.deploy else _bare(packed_graph, layout)
        expected = _Expected(packed_graph, job.model)
        deploy = _Deploy(packed_graph, content)
        for index, extent in enumerate(layout.testcases):
            feeds = packed_graph.feeds(packed.read(file, extent), f"testcase {index}")
            wanted = expected.of(index, feeds)
            emit(LiteChecked(index, list(deploy.compared(index, feeds, wanted))))


def _version() -> report.Engine:
    return msgspec.structs.replace(
        graph.versions(), name="MegEngine Lite", version=lite.__version__
    )


def _bare(packed_graph: checking.PackedGraph, layout: packed.Layout) -> bytes:
    """The deploy graph of a packed file: what it computes, without the assertions."""
    loaded = packed_graph.loaded
    graph.keep_input_names(loaded)
    outputs = [
        packed_graph.outputs[row.output]
        if row.output is not None
        else packed_graph.assertions[row.assertion or 0].computed
        for row in packed_graph.rows
    ]
    content, _ = graph.dump(outputs, layout.format, keep_names=True, metadata=loaded.metadata)
    return bytes(content)


class _Expected:
    """What the input model computes.

    That is the expected values in the file or, where there are none, the results of the model.
    """

    def __init__(self, packed_graph: checking.PackedGraph, model: str) -> None:
        self._graph = packed_graph
        asserted = all(row.assertion is not None for row in packed_graph.rows)
        self._model = read_model(model) if model and not asserted else None
        self._reference = Reference(self._model) if self._model else None
        if not asserted and self._model is None:
            raise InputError(
                "the packed file does not hold an expected value for each output, so MegEngine"
                " Lite has nothing to be compared with",
                "give the model that it was packed from, with --model",
            )

    def of(self, index: int, feeds: Mapping[str, Array]) -> list[Array]:
        """The expected values in the order of the rows; float32, if they come from the file."""
        if self._reference is not None:
            given = {name: feeds[name] for name in self._graph.model_inputs}
            return self._reference.run(TestcaseSpec(f"testcase {index}"), given)
        places = (row.assertion for row in self._graph.rows)
        return [feeds[self._graph.assertions[at].expect] for at in places if at is not None]


@dataclass
class _Deploy:
    """The deploy graph, as MegEngine reads it and as MegEngine Lite does."""

    packed_graph: checking.PackedGraph
    content: bytes

    def __post_init__(self) -> None:
        self._loaded = graph.load(self.content, "the deploy model")
        self._network = Network(self.content)
        self._unlike = self._differs()

    def compared(
        self, index: int, feeds: Mapping[str, Array], wanted: list[Array]
    ) -> Iterator[report.Comparison]:
        """Every output that the packed file has; what was not computed does not pass."""
        results: dict[str, Array] = {}
        if not self._unlike:
            given = {name: feeds[name] for name in self.packed_graph.model_inputs}
            results = self._network.run(given, f"running the deploy model on testcase {index}")
        for place, expected in enumerate(wanted):
            found = self._judged(place, expected, results)
            reason = f"MegEngine Lite: {found.reason}" if found.reason else ""
            yield msgspec.structs.replace(found, reason=reason)

    def _judged(
        self, place: int, expected: Array, results: Mapping[str, Array]
    ) -> report.Comparison:
        if self._unlike:
            return report.Comparison(passed=False, reason=self._unlike)
        var = self._loaded.outputs[place]
        if var.name not in results:
            reason = f"it has no output {var.name}, but {', '.join(results)}"
            return report.Comparison(passed=False, reason=reason)
        computed = results[var.name]
        if computed.dtype != np.dtype(var.dtype):
            reason = f"dtype is {computed.dtype}, the deploy model's is {var.dtype}"
            return report.Comparison(passed=False, reason=reason)
        return compared(expected, computed, self.packed_graph.bounds[place])

    def _differs(self) -> str:
        """How the deploy graph's inputs or outputs are not the packed file's; or empty."""
        found = self.packed_graph
        wanted = {name: _label(found.loaded.inputs[name]) for name in found.model_inputs}
        inputs = {name: _label(var) for name, var in self._loaded.inputs.items()}
        if inputs != wanted:
            return f"the deploy model has inputs {_named(inputs)}, the packed file {_named(wanted)}"
        if sorted(self._network.inputs) != sorted(inputs):
            return f"it has inputs {', '.join(self._network.inputs)}, the model {_named(inputs)}"
        outputs = [var.name for var in self._loaded.outputs]
        if len(outputs) != len(found.rows):
            return (
                f"the deploy model has outputs {', '.join(outputs)}, the packed file"
                f" {', '.join(row.name for row in found.rows)}"
            )
        return self._twice()

    def _twice(self) -> str:
        """An output that cannot be had, since another one has its name; or empty."""
        first: dict[str, int] = {}
        for var in self._loaded.outputs:
            if first.setdefault(var.name, var.id) != var.id:
                return f"it gives outputs by name, and two are named {var.name}"
        return ""


def _label(var: graph.Var) -> str:
    return graph.dtype_label(var.dtype)


def _named(inputs: Mapping[str, str]) -> str:
    return ", ".join(f"{name} ({dtype})" for name, dtype in inputs.items())
