"""The verifying worker: runs what stands in the packed file and compares."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from megdump_ci import compare, packed, report
from megdump_ci.engine import graph, spool
from megdump_ci.engine.packing import Model, Reference, facts, read_model
from megdump_ci.errors import EngineError, InputError
from megdump_ci.protocol import (
    AllWritten,
    Checked,
    FileCheckJob,
    FileDigested,
    FromWorker,
    GraphWritten,
    LayoutRead,
    StreamCheckJob,
    TestcaseWritten,
    ToWorker,
)
from megdump_ci.testcase.spec import TestcaseSpec

Array = npt.NDArray[np.generic]
Emit = Callable[[FromWorker], None]

DEFAULT_MAXERR = 1e-4
"""For outputs without an assertion, where no other is asked for: AssertEqual's own default."""


@dataclass(frozen=True)
class Truth:
    """What a testcase should hold, from outside the packed file: ``None`` where not known."""

    inputs: Mapping[str, Array] | None = None
    outputs: Sequence[Array] | None = None
    """The input model's results, in the order of its outputs."""
    names: Sequence[str] = ()
    own: Sequence[Array] = ()
    """Those of the Python code that the model was exported from; empty if it was not."""


@dataclass
class Result:
    """What one run of the packed graph gave."""

    outputs: list[Array]
    computed: list[Array]
    errors: list[float]
    held: list[bool]
    """Whether each assertion passed."""


@dataclass(frozen=True)
class Row:
    """An output to judge: its name, its place among the plain outputs, that of its assertion."""

    name: str
    output: int | None
    assertion: int | None


def _rows(outputs: Sequence[graph.Var], assertions: Sequence[graph.Assertion]) -> list[Row]:
    """Every plain output with its assertion, then the assertions that have no plain output.

    They are matched by the var that is asserted, since names may be gone; a var that stands for
    two outputs of the model has two assertions.
    """
    rows = []
    left = dict(enumerate(assertions))
    for place, var in enumerate(outputs):
        fitting = [i for i, item in left.items() if item.is_about(var)]
        fitting += [i for i, item in enumerate(assertions) if item.is_about(var)]
        if fitting:
            rows.append(Row(assertions[fitting[0]].name, place, fitting[0]))
            left.pop(fitting[0], None)
        else:
            rows.append(Row(var.name, place, None))
    return rows + [Row(item.name, None, i) for i, item in left.items()]


class PackedGraph:
    """The main graph of a packed file, run on one testcase after the other."""

    def __init__(self, content: bytes, maxerr: float | None) -> None:
        self.loaded = graph.load(content, "the packed graph")
        self.outputs, self.assertions = graph.split_outputs(self.loaded)
        self.rows = _rows(self.outputs, self.assertions)
        self.default_maxerr = DEFAULT_MAXERR if maxerr is None else maxerr
        self.tolerances = [graph.tolerance(self.loaded.graph, item) for item in self.assertions]
        self.maxerr = [limit if maxerr is None else maxerr for limit in self.tolerances]
        self._shapes: dict[str, tuple[int, ...]] | None = None
        self._whole: graph.Function | None = None

    @property
    def model_inputs(self) -> list[str]:
        """The inputs that are not expected values."""
        expects = {assertion.expect for assertion in self.assertions}
        return [name for name in self.loaded.inputs if name not in expects]

    def feeds(self, content: bytes, what: str) -> dict[str, Array]:
        """The values of a testcase graph, each with the input it goes to.

        Raises :class:`InputError` if they are not one for each input, of its dtype.
        """
        values = graph.read_constants(content, what)
        if len(values) != len(self.loaded.inputs):
            raise InputError(
                f"{what} holds {len(values)} values, the model has"
                f" {len(self.loaded.inputs)} inputs ({', '.join(self.loaded.inputs)})",
                "pack the model again",
            )
        feeds = dict(zip(self.loaded.inputs, values, strict=True))
        for name, var in self.loaded.inputs.items():
            wanted, found = graph.dtype_label(var.dtype), graph.dtype_label(feeds[name].dtype)
            if wanted != found:
                raise InputError(
                    f"{what}: the value for input {name} is {found}, the input {wanted}",
                    "pack the model again",
                )
        return feeds

    def run(self, feeds: Mapping[str, Array], doing: str) -> Result:
        """Run with assertions live; :class:`GraphRefused` if the engine cannot."""
        failed = False
        try:
            function = self._compiled(feeds)
            try:
                values = function.run(feeds)
            except RuntimeError as error:
                if not graph.is_assertion_failure(error):
                    raise
                values, failed = function.values(), True
        except RuntimeError as error:
            self._shapes = None
            raise graph.GraphRefused(doing, error) from None
        outputs, rest = values[: len(self.outputs)], values[len(self.outputs) :]
        computed, errors = rest[: len(self.assertions)], rest[len(self.assertions) :]
        numbers = [float(error.reshape(-1)[0]) for error in errors]
        return Result(outputs, computed, numbers, self._held(numbers, failed))

    def _compiled(self, feeds: Mapping[str, Array]) -> graph.Function:
        shapes = {name: tuple(value.shape) for name, value in feeds.items()}
        if self._whole is None or shapes != self._shapes:
            self._whole = graph.Function(
                self.loaded.graph,
                [
                    *(graph.real_values(var) for var in self.outputs),
                    *(assertion.computed for assertion in self.assertions),
                    *(assertion.error for assertion in self.assertions),
                ],
                self.loaded.inputs,
                shapes,
                effects=[assertion.result for assertion in self.assertions],
            )
            self._shapes = shapes
        return self._whole

    def _held(self, errors: Sequence[float], failed: bool) -> list[bool]:
        """Which assertions passed, given that the engine said one ``failed`` or that none did.

        It names only one of those that fail; the others are told by the errors that it computed.
        Where the two do not fit together, none is believed.
        """
        within = [
            bool(np.float32(error) <= np.float32(limit))
            for error, limit in zip(errors, self.tolerances, strict=True)
        ]
        return within if all(within) is not failed else [False] * len(within)


def judge(
    packed_graph: PackedGraph, index: int, feeds: Mapping[str, Array], truth: Truth
) -> report.Testcase:
    """Run one testcase of the packed file and say how it did."""
    reason = _misplaced(feeds, truth)
    result = packed_graph.run(feeds, f"running testcase {index} of the packed file")
    outputs = [
        _judge_output(packed_graph, place, feeds, result, truth)
        for place in range(len(packed_graph.rows))
    ]
    if not reason and truth.outputs is not None and len(truth.outputs) != len(outputs):
        reason = (
            f"the packed file has outputs {', '.join(r.name for r in packed_graph.rows)}, the"
            " model has"
            f" {', '.join(truth.names)}"
        )
    if not reason and not packed_graph.assertions and truth.outputs is None:
        reason = "the file holds no assertions, and no model was given to compare with"
    passed = not reason and bool(outputs) and all(output.passed for output in outputs)
    if passed and index == 0:
        reason = _unsteady(packed_graph, feeds, result)
    return report.Testcase(
        index=index,
        source=None,
        inputs=_input_facts(packed_graph, feeds),
        passed=passed and not reason,
        reason=reason,
        outputs=outputs,
    )


def _unsteady(packed_graph: PackedGraph, feeds: Mapping[str, Array], result: Result) -> str:
    """How a second run differs from the first; empty if it does not.

    ``load_and_run`` warms up before it looks, so a model that draws random numbers fails there.
    """
    first = [value.tobytes() for value in (*result.outputs, *result.computed)]
    again = packed_graph.run(feeds, "running testcase 0 once more")
    if [value.tobytes() for value in (*again.outputs, *again.computed)] == first:
        return ""
    return "a second run gives other results: the model draws random numbers, or keeps a state"


def unrun(
    packed_graph: PackedGraph, index: int, feeds: Mapping[str, Array], truth: Truth
) -> report.Testcase:
    """A testcase without assertions: only its inputs are looked at."""
    reason = _misplaced(feeds, truth)
    return report.Testcase(
        index=index,
        source=None,
        inputs=_input_facts(packed_graph, feeds),
        passed=not reason,
        reason=reason,
        outputs=[],
    )


def _input_facts(packed_graph: PackedGraph, feeds: Mapping[str, Array]) -> list[report.Tensor]:
    return [
        report.Tensor(
            name=name,
            dtype=graph.dtype_label(packed_graph.loaded.inputs[name].dtype),
            shape=list(feeds[name].shape),
        )
        for name in packed_graph.model_inputs
    ]


def _misplaced(feeds: Mapping[str, Array], truth: Truth) -> str:
    """Why a value in the file is not the one it should be; empty if all are."""
    for name, wanted in (truth.inputs or {}).items():
        if name not in feeds:
            return f"the packed file has no input {name}"
        if feeds[name].shape != wanted.shape or feeds[name].tobytes() != wanted.tobytes():
            return f"the value in the file for input {name} is not the one that was given"
    return ""


def _judge_output(
    packed_graph: PackedGraph,
    place: int,
    feeds: Mapping[str, Array],
    result: Result,
    truth: Truth,
) -> report.Output:
    row = packed_graph.rows[place]
    at = row.assertion
    # A file of the old tool has no plain outputs; an assertion has what it compared.
    computed = result.outputs[row.output] if row.output is not None else result.computed[at or 0]
    assertion = against_expected = against_model = None
    model_against_python = against_python = None
    maxerr = packed_graph.default_maxerr
    if at is not None:
        maxerr = packed_graph.maxerr[at]
        assertion = report.Assertion(passed=result.held[at], error=report.number(result.errors[at]))
        expected = feeds[packed_graph.assertions[at].expect]
        against_expected = compared(expected, result.computed[at], maxerr)
    if truth.outputs is not None and place < len(truth.outputs):
        against_model = compared(truth.outputs[place], computed, maxerr)
        if truth.own:
            model_against_python = compared_with_python(
                truth.own[place], truth.outputs[place], maxerr
            )
            against_python = compared_with_python(truth.own[place], computed, maxerr)
    output = report.Output(
        name=row.name,
        dtype=str(computed.dtype.name),
        shape=list(computed.shape),
        passed=False,
        assertion=assertion,
        against_expected=against_expected,
        against_model=against_model,
        model_against_python=model_against_python,
        against_python=against_python,
    )
    reason = _unlike(row, place, computed, truth) or failure(output)
    return msgspec.structs.replace(output, passed=not reason, reason=reason)


def _unlike(row: Row, place: int, computed: Array, truth: Truth) -> str:
    """How an output differs in kind from the model's; empty if it does not."""
    if truth.outputs is None or place >= len(truth.outputs):
        return ""
    # A file without names has made-up ones; another output's name means a changed order.
    if row.name in truth.names and truth.names[place] != row.name:
        return f"it stands where the model has output {truth.names[place]}"
    # What an assertion compared need not have the output's dtype.
    if row.output is not None and truth.outputs[place].dtype != computed.dtype:
        return f"dtype is {computed.dtype}, the model's is {truth.outputs[place].dtype}"
    return ""


def failure(output: report.Output) -> str:
    """Why an output does not pass, by what was said of it; empty if it does.

    The file's own assertion and the comparisons all have to pass: disagreement does not.
    """
    if output.assertion is None and output.against_model is None:
        return "nothing to compare with: no assertion in the file and no result of the model"
    for comparison in output.comparisons:
        if not comparison.passed:
            return comparison.reason
    if output.assertion is not None and not output.assertion.passed:
        return f"AssertEqual in the file failed: error {float(output.assertion.error):.6g}"
    return ""


def compared_with_python(own: Array, computed: Array, maxerr: float) -> report.Comparison:
    """The Python code's own result against that of what was exported, the dtype included."""
    if own.dtype != computed.dtype:
        reason = f"dtype is {computed.dtype}, what the Python code returns is {own.dtype}"
        return report.Comparison(passed=False, reason=reason)
    found = compared(own, computed, maxerr)
    if found.passed:
        return found
    return msgspec.structs.replace(found, reason=f"unlike the Python code: {found.reason}")


def compared(expected: Array, computed: Array, maxerr: float) -> report.Comparison:
    if expected.shape != computed.shape:
        return report.Comparison(
            passed=False,
            reason=f"shape is {tuple(computed.shape)}, expected {tuple(expected.shape)}",
        )
    if expected.size == 0:
        return report.Comparison(passed=False, reason="the output is empty: nothing to compare")
    found = compare.difference(expected, computed)
    passed = found.passes(maxerr)
    return report.Comparison(
        passed=passed,
        reason="" if passed else _too_large(found, maxerr, expected.size),
        error=report.number(found.error),
        max_abs_error=report.number(found.max_abs_error),
        index=list(found.index),
        expected=report.number(found.expected),
        computed=report.number(found.computed),
        expected_non_finite=_non_finite(found.expected_non_finite),
        computed_non_finite=_non_finite(found.computed_non_finite),
    )


def _too_large(found: compare.Difference, maxerr: float, size: int) -> str:
    """How a difference is above what may be, with the values where it is worst."""
    values = f"expected {found.expected:.9g}, computed {found.computed:.9g}"
    place = f"[{', '.join(map(str, found.index))}]"
    strange = found.computed_non_finite
    if strange.nan or strange.inf:
        counts = f"{strange.nan} of {size} values are NaN and {strange.inf} infinite"
        return f"{counts}; at {place} {values}"
    return f"error {found.error:.6g} at {place} is above maxerr {maxerr:.6g}: {values}"


def _non_finite(found: compare.NonFinite) -> report.NonFinite | None:
    return report.NonFinite(nan=found.nan, inf=found.inf) if found.nan or found.inf else None


@dataclass
class StreamCheck:
    """Checks a packed file while another process writes it."""

    job: StreamCheckJob
    emit: Emit
    _graph: PackedGraph | None = None
    _deploy: graph.LoadedGraph | None = None
    _extents: list[packed.Extent] = field(default_factory=list)

    def take(self, message: ToWorker) -> bool:
        """Handle one message; whether it was the last."""
        if isinstance(message, GraphWritten):
            self._take_graph(message)
        elif isinstance(message, TestcaseWritten):
            self._take_testcase(message)
        elif isinstance(message, AllWritten):
            self._take_end(message)
            return True
        return False

    def _take_graph(self, message: GraphWritten) -> None:
        with open(self.job.packed, "rb") as file:
            content = packed.read(file, packed.Extent(message.offset, message.size))
        self._graph = PackedGraph(content, None)
        if self.job.deploy:
            self._deploy = graph.load(Path(self.job.deploy).read_bytes(), "the deploy model")
        for assertion, found in zip(self._graph.assertions, self._graph.tolerances, strict=True):
            if np.float32(found) != np.float32(self.job.maxerr):
                raise EngineError(
                    f"the assertion of output {assertion.name} in the file lets errors up to"
                    f" {found:g} pass, asked was {self.job.maxerr:g}",
                    "this is a fault in MegEngine or megdump-ci: please report it",
                )

    def _take_testcase(self, message: TestcaseWritten) -> None:
        assert self._graph is not None
        extent = packed.Extent(message.offset, message.size)
        self._extents.append(extent)
        with open(self.job.packed, "rb") as file:
            content = packed.read(file, extent)
        count = len(message.inputs)
        arrays = spool.read(Path(message.spool), count + len(message.outputs) + message.own)
        inputs = dict(zip(message.inputs, arrays[:count], strict=True))
        feeds = self._graph.feeds(content, f"testcase {message.index}")
        if self.job.no_assert:
            self.emit(Checked(unrun(self._graph, message.index, feeds, Truth(inputs))))
            return
        results = arrays[count:]
        own = len(results) - message.own
        truth = Truth(inputs, results[:own], names=message.outputs, own=results[own:])
        checked = judge(self._graph, message.index, feeds, truth)
        if self._deploy is not None and message.index == 0 and checked.passed:
            checked = _with_deploy(self._graph, self._deploy, feeds, checked)
        self.emit(Checked(checked))

    def _take_end(self, message: AllWritten) -> None:
        with open(self.job.packed, "rb") as file:
            layout = packed.read_layout(file, self.job.packed)
            if list(layout.testcases) != self._extents or layout.testcases[-1].end != message.size:
                raise EngineError(
                    "the packed file does not hold the testcases that were checked",
                    "something else wrote to it: run again",
                )
            self.emit(FileDigested(message.size, packed.digest(file)))


def _with_deploy(
    packed_graph: PackedGraph,
    deploy: graph.LoadedGraph,
    feeds: Mapping[str, Array],
    checked: report.Testcase,
) -> report.Testcase:
    """``checked``, failed if the deploy model does not compute what the packed graph does."""
    inputs = {name: feeds[name] for name in packed_graph.model_inputs}
    if list(deploy.inputs) != list(inputs):
        reason = f"the deploy model has inputs {', '.join(deploy.inputs)}"
    else:
        outputs = [graph.real_values(var) for var in deploy.outputs]
        shapes = {name: tuple(value.shape) for name, value in inputs.items()}
        try:
            function = graph.Function(deploy.graph, outputs, deploy.inputs, shapes)
            values = function.run(inputs)
        except RuntimeError as error:
            raise graph.GraphRefused("running the deploy model on testcase 0", error) from None
        wanted = packed_graph.run(feeds, "running testcase 0 once more").outputs
        if [value.tobytes() for value in values] == [value.tobytes() for value in wanted]:
            return checked
        reason = "the deploy model does not compute what the packed graph computes"
    return msgspec.structs.replace(checked, passed=False, reason=reason)


def check_file(job: FileCheckJob, emit: Emit) -> None:
    """Check every testcase of a finished packed file."""
    with packed.opened(job.packed, "a packed model") as file:
        layout = packed.read_layout(file, job.packed)
        if not layout.testcases:
            raise InputError(
                f"{job.packed} holds no testcase, so nothing can be verified",
                "pack it with at least one testcase: megdump-ci pack MODEL -d DATA -o OUT",
            )
        content = packed.read(file, layout.graph)
        packed_graph = PackedGraph(content, job.maxerr)
        model = read_model(job.model) if job.model else None
        emit(
            LayoutRead(
                facts(job.packed, content, layout.format, packed_graph.loaded),
                facts(model.path, model.content, model.format, model.loaded) if model else None,
                len(layout.testcases),
            )
        )
        reference = Reference(model) if model else None
        for index, extent in enumerate(layout.testcases):
            feeds = packed_graph.feeds(packed.read(file, extent), f"testcase {index}")
            truth = _truth(model, reference, packed_graph, index, feeds)
            emit(Checked(judge(packed_graph, index, feeds, truth)))
        emit(FileDigested(os.fstat(file.fileno()).st_size, packed.digest(file)))


def _truth(
    model: Model | None,
    reference: Reference | None,
    packed_graph: PackedGraph,
    index: int,
    feeds: Mapping[str, Array],
) -> Truth:
    if model is None or reference is None:
        return Truth()
    names = list(model.loaded.inputs)
    if names != packed_graph.model_inputs:
        raise InputError(
            f"the packed file has inputs {', '.join(packed_graph.model_inputs)}, {model.path} has"
            f" {', '.join(names)}",
            "give the model that the file was packed from",
        )
    results = reference.run(TestcaseSpec(f"testcase {index}"), {n: feeds[n] for n in names})
    return Truth(None, results, names=list(model.outputs))
