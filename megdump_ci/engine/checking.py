"""The verifying worker: runs what stands in the packed file and compares."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import methodcaller
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from megdump_ci import packed, report
from megdump_ci.engine import graph, lanes, spool
from megdump_ci.engine.digesting import Digesting
from megdump_ci.engine.lanes import Lanes
from megdump_ci.engine.packing import Feeds, Model, Reference, facts, fed, read_model
from megdump_ci.errors import EngineError, InputError
from megdump_ci.gates import DEFAULT_MAXERR, Gates
from megdump_ci.judging import (
    compared,
    compared_with_python,
    digest,
    failure,
    is_constant,
    same,
    same_all,
)
from megdump_ci.protocol import (
    AllWritten,
    Checked,
    FileCheckJob,
    FileDigested,
    FromWorker,
    GraphWritten,
    LayoutRead,
    PackedRead,
    StreamCheckJob,
    TestcaseWritten,
    ToWorker,
)
from megdump_ci.spans import span
from megdump_ci.testcase.spec import TestcaseSpec

Array = npt.NDArray[np.generic]
Emit = Callable[[FromWorker], None]


@dataclass(frozen=True)
class Truth:
    """What a testcase should hold, from outside the packed file: ``None`` where not known."""

    inputs: Sequence[report.Tensor] = ()
    """Name, shape and digest of each; empty where not known."""
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
    about: dict[int, list[int]] = {}
    for at, item in enumerate(assertions):
        for number in item.about:
            about.setdefault(number, []).append(at)
    rows = []
    left = set(range(len(assertions)))
    for place, var in enumerate(outputs):
        fitting = about.get(var.id, [])
        if fitting:
            at = next((at for at in fitting if at in left), fitting[0])
            rows.append(Row(assertions[at].name, place, at))
            left.discard(at)
        else:
            rows.append(Row(var.name, place, None))
    return rows + [Row(assertions[at].name, None, at) for at in sorted(left)]


class PackedGraph:
    """The main graph of a packed file, run on one testcase after the other."""

    def __init__(self, content: bytes, gates: Gates, device: int = 0) -> None:
        self.loaded = graph.load(content, "the packed graph", device)
        self.outputs, self.assertions = graph.split_outputs(self.loaded)
        self.rows = _rows(self.outputs, self.assertions)
        gates.check_names([row.name for row in self.rows], "the packed file")
        self.tolerances = [
            graph.tolerance(self.loaded.graph, item, gates.bounds(item.name).maxerr)
            for item in self.assertions
        ]
        self.bounds = [
            gates.bounds(
                row.name,
                DEFAULT_MAXERR if row.assertion is None else self.tolerances[row.assertion],
            )
            for row in self.rows
        ]
        self._shapes: dict[str, tuple[int, ...]] | None = None
        self._whole: graph.Function | None = None
        self._places: list[int] = []
        self._doing = ""

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

    def run(self, feeds: Feeds, doing: str) -> Result:
        """Run with assertions live; :class:`GraphRefused` if the engine cannot."""
        self.start(feeds, doing)
        return self.finish()

    def start(self, feeds: Feeds, doing: str) -> None:
        """Begin to run, as :meth:`run` does; the engine works until :meth:`finish`."""
        self._doing = doing
        try:
            shapes = {name: tuple(value.shape) for name, value in feeds.items()}
            self._compiled(shapes).start(feeds)
        except RuntimeError as error:
            raise self._refused(error) from None

    def finish(self) -> Result:
        """What the run gave that was started; raises as :meth:`run` does."""
        assert self._whole is not None
        failed = False
        try:
            try:
                values = self._whole.finish()
            except RuntimeError as error:
                if not graph.is_assertion_failure(error):
                    raise
                values, failed = self._whole.values(), True
        except RuntimeError as error:
            raise self._refused(error) from None
        found = [values[place] for place in self._places]
        outputs, rest = found[: len(self.outputs)], found[len(self.outputs) :]
        computed, errors = rest[: len(self.assertions)], rest[len(self.assertions) :]
        numbers = [float(error.reshape(-1)[0]) for error in errors]
        return Result(outputs, computed, numbers, self._held(numbers, failed))

    def _refused(self, error: RuntimeError) -> graph.GraphRefused:
        self._shapes = None
        return graph.GraphRefused(self._doing, error)

    def prepare(self) -> None:
        """Compile for inputs of the declared shapes, if all are, before there are any.

        Only if they will come: others may take any amount of time and memory, or end the process.
        """
        shapes = {name: graph.declared_shape(var) for name, var in self.loaded.inputs.items()}
        known = {name: tuple(shape) for name, shape in shapes.items() if shape is not None}
        # What is wrong is told by the run, which tries again.
        with contextlib.suppress(RuntimeError):
            if len(known) == len(shapes):
                self._compiled(known)

    def _compiled(self, shapes: dict[str, tuple[int, ...]]) -> graph.Function:
        if self._whole is None or shapes != self._shapes:
            wanted = [
                *(graph.real_values(var) for var in self.outputs),
                *(assertion.computed for assertion in self.assertions),
                *(assertion.error for assertion in self.assertions),
            ]
            # What an assertion compares is most often the output itself: it is taken once.
            distinct = {var.id: var for var in wanted}
            place = {number: at for at, number in enumerate(distinct)}
            self._places = [place[var.id] for var in wanted]
            self._whole = graph.Function(
                self.loaded.graph,
                list(distinct.values()),
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


def _lanes(
    packed_graph: PackedGraph, content: bytes, gates: Gates, most: int, *, processes: int
) -> Iterator[PackedGraph]:
    """The packed graph and, if it can be moved, up to so many of it on other devices."""
    yield packed_graph
    if most == 1 or not graph.can_move(content, packed_graph.loaded):
        return
    for number in range(1, most):
        if not lanes.room(number, processes=processes):
            return
        beside = PackedGraph(content, gates, number)
        graph.trust(beside.loaded)
        yield beside


@dataclass(frozen=True)
class Run:
    """A testcase that the engine has been given."""

    index: int
    feeds: Feeds
    truth: Truth


class Checks:
    """Runs one testcase of a packed graph after the other, and says how each did.

    What one gave is looked at while the engine runs the next. ``lanes`` are the same graph, itself
    the first, to run beside each other.
    """

    def __init__(self, packed_graph: PackedGraph, emit: Emit, lanes: Iterable[PackedGraph]) -> None:
        self.packed_graph = packed_graph
        self.deploy: graph.LoadedGraph | None = None
        """A model that has to compute the same, for the first testcase."""
        self._emit = emit
        self._lanes: Lanes[PackedGraph, Run] = Lanes(lanes)

    def begin(self, index: int, content: bytes, truth: Callable[[Feeds], Truth]) -> None:
        """Run a testcase, once a lane is free for it; ``truth`` knows what to expect of it."""
        # Where nothing runs it need not be moved, which takes a copy.
        moved = content if self._lanes.empty else graph.for_data(content)
        if moved is content:
            # It will be read on the device of the graph that runs.
            self.settle()
        try:
            feeds = self.packed_graph.feeds(moved, f"testcase {index}")
            run = Run(index, feeds, truth(feeds))
        except Exception:
            # What became of those before is told first.
            self.settle()
            raise
        last = self._ended() if self._lanes.full else None
        doing = f"running testcase {index} of the packed file"
        self._lanes.begin(run, methodcaller("start", feeds, doing))
        if last is not None:
            self._judge(*last)
        if index == 0:
            # It is run more than once.
            self.settle()

    def make_room(self, size: int) -> None:
        """A testcase of so many bytes comes: two large ones are not kept in memory."""
        if size > lanes.LARGE:
            self.settle()

    def settle(self) -> None:
        """Wait for the testcases that run, if any do, and say how they did."""
        while not self._lanes.empty:
            self._judge(*self._ended())

    def _ended(self) -> tuple[Run, Result]:
        lane, run = self._lanes.end()
        return run, lane.finish()

    def _judge(self, run: Run, result: Result) -> None:
        with span("judge testcase", run.index):
            checked = judge(self.packed_graph, run.index, run.feeds, run.truth, result)
            if self.deploy is not None and run.index == 0 and checked.passed:
                checked = _with_deploy(self.packed_graph, self.deploy, run.feeds, checked)
        self._emit(Checked(checked))


def judge(
    packed_graph: PackedGraph,
    index: int,
    feeds: Feeds,
    truth: Truth,
    result: Result,
) -> report.Testcase:
    """Say how a testcase of the packed file did, which had that result."""
    inputs = _input_facts(packed_graph, feeds)
    reason = _misplaced(inputs, truth)
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
        inputs=inputs,
        passed=passed and not reason,
        reason=reason,
        outputs=outputs,
    )


def _unsteady(packed_graph: PackedGraph, feeds: Feeds, result: Result) -> str:
    """How a second run differs from the first; empty if it does not.

    ``load_and_run`` warms up before it looks, so a model that draws random numbers fails there.
    """
    again = packed_graph.run(feeds, "running testcase 0 once more")
    if same_all([*result.outputs, *result.computed], [*again.outputs, *again.computed]):
        return ""
    return "a second run gives other results: the model draws random numbers, or keeps a state"


def unrun(packed_graph: PackedGraph, index: int, feeds: Feeds, truth: Truth) -> report.Testcase:
    """A testcase without assertions: only its inputs are looked at."""
    inputs = _input_facts(packed_graph, feeds)
    reason = _misplaced(inputs, truth)
    return report.Testcase(
        index=index,
        source=None,
        inputs=inputs,
        passed=not reason,
        reason=reason,
        outputs=[],
    )


def _input_facts(packed_graph: PackedGraph, feeds: Feeds) -> list[report.Tensor]:
    return [
        fed(name, packed_graph.loaded.inputs[name], feeds[name])
        for name in packed_graph.model_inputs
    ]


def _misplaced(inputs: Sequence[report.Tensor], truth: Truth) -> str:
    """Why a value in the file is not the one it should be; empty if all are."""
    found = {item.name: item for item in inputs}
    for wanted in truth.inputs:
        item = found.get(wanted.name)
        if item is None:
            return f"the packed file has no input {wanted.name}"
        if (item.shape, item.digest) != (wanted.shape, wanted.digest):
            return f"the value in the file for input {wanted.name} is not the one that was given"
    return ""


@span("compare")
def _judge_output(
    packed_graph: PackedGraph,
    place: int,
    feeds: Feeds,
    result: Result,
    truth: Truth,
) -> report.Output:
    row = packed_graph.rows[place]
    at = row.assertion
    # A file of the old tool has no plain outputs; an assertion has what it compared.
    computed = result.outputs[row.output] if row.output is not None else result.computed[at or 0]
    assertion = against_expected = against_model = None
    model_against_python = against_python = None
    bounds = packed_graph.bounds[place]
    if at is not None:
        assertion = report.Assertion(passed=result.held[at], error=report.number(result.errors[at]))
        expected = feeds[packed_graph.assertions[at].expect]
        against_expected = compared(expected, result.computed[at], bounds)
    if truth.outputs is not None and place < len(truth.outputs):
        wanted = truth.outputs[place]
        if at is not None and same(wanted, expected) and same(computed, result.computed[at]):
            against_model = against_expected
        else:
            against_model = compared(wanted, computed, bounds)
        if truth.own:
            model_against_python = compared_with_python(truth.own[place], wanted, bounds)
            against_python = compared_with_python(truth.own[place], computed, bounds)
    output = report.Output(
        name=row.name,
        dtype=str(computed.dtype.name),
        shape=list(computed.shape),
        passed=False,
        maxerr=bounds.maxerr,
        digest=digest(computed),
        constant=is_constant(computed),
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


@dataclass
class StreamCheck:
    """Checks a packed file while another process writes it."""

    job: StreamCheckJob
    emit: Emit
    _checks: Checks | None = None
    _extents: list[packed.Extent] = field(default_factory=list)
    _digesting: Digesting = field(default_factory=Digesting)
    """Of all that was read to be checked."""

    def take(self, message: ToWorker) -> bool:
        """Handle one message; whether it was the last."""
        if isinstance(message, GraphWritten):
            self._take_graph(message)
        elif isinstance(message, TestcaseWritten):
            with span("testcase", message.index):
                self._take_testcase(message)
        elif isinstance(message, AllWritten):
            self.settle()
            self._take_end(message)
            return True
        return False

    def settle(self) -> None:
        """Say how the last testcase did: there is nothing to do meanwhile."""
        if self._checks is not None:
            self._checks.settle()

    @span("read the packed graph")
    def _take_graph(self, message: GraphWritten) -> None:
        self._part(packed.Extent(0, message.offset))
        content = self._part(packed.Extent(message.offset, message.size))
        packed_graph = PackedGraph(content, self.job.gates)
        run = 0 if self.job.no_assert else self.job.testcases
        most = lanes.most(run, processes=2)
        beside = _lanes(packed_graph, content, self.job.gates, most, processes=2)
        self._checks = Checks(packed_graph, self.emit, beside)
        self.emit(PackedRead(facts(self.job.packed, content, packed_graph.loaded)))
        if self.job.trusted:
            graph.trust(packed_graph.loaded)
        if self.job.deploy:
            deploy = Path(self.job.deploy).read_bytes()
            self._checks.deploy = graph.load(deploy, "the deploy model")
            graph.trust(self._checks.deploy)
        self._check_tolerances(packed_graph)
        if run and message.declared:
            # Nothing to do but wait for the first testcase.
            packed_graph.prepare()

    def _check_tolerances(self, packed_graph: PackedGraph) -> None:
        """:class:`EngineError` if an assertion in the file lets pass what was not asked for."""
        for assertion, found in zip(packed_graph.assertions, packed_graph.tolerances, strict=True):
            asked = self.job.gates.bounds(assertion.name).maxerr
            if np.float32(found) != np.float32(asked):
                raise EngineError(
                    f"the assertion of output {assertion.name} in the file lets errors up to"
                    f" {found:g} pass, asked was {asked:g}",
                    "this is a fault in MegEngine or megdump-ci: please report it",
                )

    def _take_testcase(self, message: TestcaseWritten) -> None:
        assert self._checks is not None
        packed_graph = self._checks.packed_graph
        self._checks.make_room(message.size)
        content = self._part(packed.Extent(message.offset, message.size))
        results = spool.read(Path(message.spool), len(message.outputs) + message.own)
        if self.job.no_assert:
            feeds = packed_graph.feeds(content, f"testcase {message.index}")
            self.emit(Checked(unrun(packed_graph, message.index, feeds, Truth(message.inputs))))
            return
        own = len(results) - message.own
        truth = Truth(message.inputs, results[:own], names=message.outputs, own=results[own:])
        self._checks.begin(message.index, content, lambda _: truth)

    def _part(self, extent: packed.Extent) -> bytes:
        """The next bytes of the file."""
        with open(self.job.packed, "rb") as file:
            content = packed.read(file, extent)
        self._extents.append(extent)
        self._digesting.add(content)
        return content

    @span("digest the file")
    def _take_end(self, message: AllWritten) -> None:
        with open(self.job.packed, "rb") as file:
            layout = packed.read_layout(file, self.job.packed)
        parts = [layout.graph, *layout.testcases]
        if parts != self._extents[1:] or parts[-1].end != message.size:
            raise EngineError(
                "the packed file does not hold the testcases that were checked",
                "something else wrote to it: run again",
            )
        self.emit(FileDigested(message.size, self._digesting.result()))


def _with_deploy(
    packed_graph: PackedGraph,
    deploy: graph.LoadedGraph,
    feeds: Feeds,
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
        if same_all(values, wanted):
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
        digesting = Digesting(packed.read(file, packed.Extent(0, layout.graph.offset)))
        content = packed.read(file, layout.graph)
        digesting.add(content)
        most = lanes.most(len(layout.testcases), processes=1)
        # A model runs beside it, one testcase at a time, on the usual device.
        device, most = (int(most > 1), 1) if job.model else (0, most)
        packed_graph = PackedGraph(content, job.gates, device)
        model = read_model(job.model) if job.model else None
        emit(
            LayoutRead(
                facts(job.packed, content, packed_graph.loaded),
                model.facts() if model else None,
                len(layout.testcases),
            )
        )
        reference = Reference(model) if model else None
        apart = model is None or graph.apart(model.loaded, packed_graph.loaded)
        beside = _lanes(packed_graph, content, job.gates, most, processes=1)
        checks = Checks(packed_graph, emit, beside)
        for index, extent in enumerate(layout.testcases):
            with span("testcase", index):
                checks.make_room(extent.size)
                content = packed.read(file, extent)
                digesting.add(content)
                if not apart:
                    checks.settle()
                truth = partial(_truth, model, reference, packed_graph, index)
                checks.begin(index, content, truth)
        checks.settle()
        with span("digest the file"):
            emit(FileDigested(layout.testcases[-1].end, digesting.result()))


def _truth(
    model: Model | None,
    reference: Reference | None,
    packed_graph: PackedGraph,
    index: int,
    feeds: Feeds,
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
    unlike = [
        f"input {kind.name} is {label}, {kind.label} in {model.path}"
        for kind in model.types
        if (label := graph.dtype_label(packed_graph.loaded.inputs[kind.name].dtype)) != kind.label
    ]
    if unlike:
        # Its values are bytes to the engine, and would be taken for others.
        raise InputError(
            f"in the packed file {'; '.join(unlike)}",
            "give the model that the file was packed from",
        )
    results = reference.run(TestcaseSpec(f"testcase {index}"), {n: feeds[n] for n in names})
    return Truth(outputs=results, names=list(model.outputs))
