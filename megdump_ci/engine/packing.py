"""The packing worker: reference results from the input model, and the packed file."""

from __future__ import annotations

import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import methodcaller
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt

from megdump_ci import difference, packed, report
from megdump_ci.engine import graph, lanes, spool
from megdump_ci.engine.digesting import Digesting
from megdump_ci.engine.lanes import Lanes
from megdump_ci.errors import InputError, Problem
from megdump_ci.judging import digest
from megdump_ci.protocol import (
    AllWritten,
    DiffJob,
    FromWorker,
    GraphWritten,
    ModelLoaded,
    PackedRead,
    PackJob,
    TestcaseWritten,
)
from megdump_ci.spans import span
from megdump_ci.testcase import values
from megdump_ci.testcase.spec import TestcaseSpec

Array = npt.NDArray[np.generic]
Feeds = dict[str, Array]

_MOST_PROBLEMS = 20
_LOOKING = 30.0
"""Seconds of looking for more of them."""


@dataclass(frozen=True)
class Model:
    """A model in memory, once: the graph that its bytes hold, and what may be fed to it."""

    path: str
    """What it is called in messages."""
    file: str
    part: packed.Extent
    """Where its bytes are in the file."""
    digest: str
    format: str
    loaded: graph.LoadedGraph
    types: tuple[values.InputType, ...]
    outputs: tuple[str, ...]

    @classmethod
    def of(
        cls,
        content: bytes,
        format: str,
        loaded: graph.LoadedGraph,
        *,
        digest: str,
        path: str,
        file: str,
        offset: int = 0,
    ) -> Model:
        """The model that ``loaded`` is, with what has to be known of its bytes."""
        return cls(
            path=path,
            file=file,
            part=packed.Extent(offset, len(content)),
            digest=digest,
            format=format,
            loaded=loaded,
            types=tuple(graph.input_type(name, var) for name, var in loaded.inputs.items()),
            outputs=tuple(var.name for var in loaded.outputs),
        )

    def read(self) -> bytes:
        """Its bytes once more; :class:`InputError` if they are others by now."""
        with packed.opened(self.file, "a dumped model (.mge)") as file:
            content = packed.read(file, self.part)
        if digest_of(content) != self.digest:
            raise InputError(
                f"{self.path} changed while it was read",
                "run again once nothing writes to it any more",
            )
        return content

    def facts(self, path: str = "") -> report.Graph:
        """What the report says of it; it is ``path`` there, if that is not what it is called."""
        return _facts(path or self.path, self.part.size, self.digest, self.format, self.loaded)


def pack(job: PackJob, emit: Callable[[FromWorker], None], wait: Callable[[], None]) -> None:
    """Do a :class:`PackJob`; ``wait`` returns when one more testcase may be written."""
    model = read_model(job.model, job.shown)
    known = model.facts()
    emit(ModelLoaded(known))
    # Before anything is run: the engine would write what it cannot load.
    what = f"the data of all parameters of {model.path}"
    packed.check_room(known.parameter_bytes, job.format or model.format, what)
    _check_names(model)
    job.gates.check_names(model.outputs, "the model")
    data = _sampled(job) if job.samples else evaluated(job, model)
    first = next(data)
    reference = Reference(model)
    # If the model tells them, the verifying process reads the graph while this one runs it.
    shapes = [] if job.no_assert else _declared_results(model, first[1])
    early: list[Case] = []
    if shapes is None:
        early = [_case(job, model, first, reference.run(*first[:2]))]
        # What the graph declares of an output has to be expected of it.
        shapes = [
            tuple(graph.declared_shape(var) or value.shape)
            for var, value in zip(model.loaded.outputs, early[0].results, strict=True)
        ]
    else:
        data = itertools.chain([first], data)
    del first
    graph_written = _write_graph(job, model, known, shapes, declared=not early)
    emit(graph_written)
    if job.alone:
        emit(PackedRead(_read_back(job, graph_written)))
    references: Lanes[Reference, Evaluated] = Lanes(_references(job, model, reference))
    cases = itertools.chain(early, _cases(job, model, references, data))
    numbers = itertools.count()
    # What was written is not kept while the next one is made: it may be large. Nor is what will
    # not run.
    del early, reference
    with open(job.packed, "ab") as file:
        for case in cases:
            wait()
            index = next(numbers)
            with span("write testcase", index):
                emit(_write_testcase(job, model, file, index, case))
            del case
        with span("sync the file"):
            file.flush()
            os.fsync(file.fileno())
        emit(AllWritten(len(job.specs), file.tell()))


def _declared_results(model: Model, feeds: Feeds) -> list[tuple[int, ...]] | None:
    """The shapes of the outputs for feeds of the declared shapes; ``None`` where not known."""
    if any(kind.shape != feeds[kind.name].shape for kind in model.types):
        return None
    shapes = [graph.declared_shape(var) for var in model.loaded.outputs]
    known = [tuple(shape) for shape in shapes if shape is not None]
    return known if len(known) == len(shapes) else None


Evaluated = tuple[TestcaseSpec, Feeds, list[Array]]
"""A spec, what it feeds by input name, and what the exported Python code makes of that, if any."""


@dataclass(frozen=True)
class Case:
    """One testcase: what is fed, by input name, and what comes out, in order."""

    feeds: Feeds
    results: list[Array]
    """Those of the model."""
    own: list[Array]
    content: bytes
    """The testcase as it stands in the packed file."""


def _references(job: PackJob, model: Model, first: Reference) -> Iterator[Reference]:
    """What runs the model: the first that did, or several beside each other on other devices.

    The device of the first is left to data then, which would wait for what runs there.
    """
    processes = 1 if job.alone else 2
    most = lanes.most(len(job.specs), processes=processes)
    content = model.read() if most > 1 else b""
    if not content or not graph.can_move(content, model.loaded):
        yield first
        return
    del first
    for number in range(1, most + 1):
        if number > 1 and not lanes.room(number - 1, processes=processes):
            return
        loaded = graph.load(content, model.path, number)
        if number > 1:
            graph.trust(loaded)
        yield Reference(replace(model, loaded=loaded))


def _cases(
    job: PackJob, model: Model, references: Lanes[Reference, Evaluated], data: Iterable[Evaluated]
) -> Iterator[Case]:
    """The testcases of ``data``, in order, and then what is wrong with one, if anything is.

    While the engine runs some, the next is read, and the one before is written by whoever takes it.
    What was taken is not kept here: it may be large.
    """
    if job.no_assert:
        # Nothing is run.
        yield from (_case(job, model, item, []) for item in data)
        return
    faults: list[Exception] = []
    for place, item in enumerate(_sound(data, faults)):
        done = []
        # What the first takes of memory is known once it has ended.
        while not references.empty and (place == 1 or _is_large(item) or references.full):
            done.append(_ended(job, model, references))
        references.begin(item, methodcaller("start", *item[:2]))
        del item
        while done:
            yield done.pop(0)
    while not references.empty:
        yield _ended(job, model, references)
    if faults:
        raise faults[0]


def _sound(data: Iterable[Evaluated], faults: list[Exception]) -> Iterator[Evaluated]:
    """``data`` up to what is wrong, which is then in ``faults``: it is told after what runs."""
    try:
        yield from data
    except Exception as error:
        faults.append(error)


def _is_large(item: Evaluated) -> bool:
    _, feeds, own = item
    return sum(value.nbytes for value in (*feeds.values(), *own)) > lanes.LARGE


def _ended(job: PackJob, model: Model, references: Lanes[Reference, Evaluated]) -> Case:
    reference, item = references.end()
    return _case(job, model, item, reference.finish())


def _sampled(job: PackJob) -> Iterator[Evaluated]:
    """Specs, feeds and own results of the Python code that was run before."""
    for spec, sample in zip(job.specs, job.samples, strict=True):
        count = len(sample.inputs)
        # Kept, because packing may be done once more, with other kernels.
        arrays = spool.read(Path(sample.spool), count + sample.outputs, keep=True)
        yield spec, dict(zip(sample.inputs, arrays[:count], strict=True)), arrays[count:]


def evaluated(job: PackJob | DiffJob, model: Model) -> Iterator[Evaluated]:
    """Specs and feeds by the options; there are no other results to compare with.

    Raises :class:`InputError` for data that does not fit the model.
    """
    specs, settings = job.specs, job.settings
    format = (job.format or model.format) if isinstance(job, PackJob) else ""
    problems = values.check(specs, model.types, settings, format)
    if problems:
        raise InputError(problems)
    for index, spec in enumerate(specs):
        try:
            with span("read data", spec.text):
                feeds = values.load(spec, index, model.types, settings)
        except InputError as error:
            raise InputError(
                [*error.problems, *_more_problems(specs, index + 1, model, settings)]
            ) from None
        yield spec, feeds, []


def _more_problems(
    specs: Sequence[TestcaseSpec], start: int, model: Model, settings: values.DataSettings
) -> list[Problem]:
    """What is wrong with the data of the testcases from ``start``, up to a screenful.

    Thousands of large ones would keep the user from what is known already.
    """
    found: list[Problem] = []
    end = time.monotonic() + _LOOKING
    for index in range(start, len(specs)):
        if len(found) >= _MOST_PROBLEMS or time.monotonic() > end:
            found.append(Problem(f"testcases from {index} on were not looked at"))
            break
        try:
            values.load(specs[index], index, model.types, settings)
        except InputError as error:
            found += error.problems
    return found


@span("read the model")
def read_model(path: str, shown: str = "", device: int = 0) -> Model:
    """Read a bare model; :class:`InputError` or :class:`EngineError` if that cannot be done.

    It is called ``shown`` in messages, if that is not its path. On a ``device`` of its own it can
    run beside another one.
    """
    with packed.opened(path, "a dumped model (.mge)") as file:
        format, content = packed.model_content(file, path)
    shown = shown or path
    digesting = Digesting(content)
    loaded = graph.load(content, shown, device)
    return Model.of(content, format, loaded, digest=digesting.result(), path=shown, file=path)


def facts(path: str, content: bytes, loaded: graph.LoadedGraph) -> report.Graph:
    """What the report says of the graph that ``content`` holds."""
    format = packed.graph_format(content)
    return _facts(path, len(content), digest_of(content), format, loaded)


@span("describe a graph")
def _facts(
    path: str, size: int, digest: str, format: str, loaded: graph.LoadedGraph
) -> report.Graph:
    census = graph.census(loaded.outputs)
    return report.Graph(
        path=path,
        size=size,
        digest=digest,
        format=format,
        inputs=[graph.tensor_facts(name, var) for name, var in loaded.inputs.items()],
        outputs=[graph.tensor_facts(var.name, var) for var in loaded.outputs],
        operators=census.operators,
        parameters=census.parameters,
        parameter_bytes=census.parameter_bytes,
        dtypes=census.dtypes,
    )


def digest_of(content: bytes) -> str:
    """``sha256:<hex>`` of some bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Reference:
    """The input model, run on the feeds of one testcase after the other."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._shapes: dict[str, tuple[int, ...]] | None = None
        self._function: graph.Function | None = None

    def run(self, spec: TestcaseSpec, feeds: Feeds) -> list[Array]:
        """The model's outputs, in order.

        Raises :class:`InputError` where the model refuses a shape other than it declares.
        """
        self.start(spec, feeds)
        return self.finish()

    def start(self, spec: TestcaseSpec, feeds: Feeds) -> None:
        """Begin to run the model, as :meth:`run` does; the engine works until :meth:`finish`."""
        self._running = spec, feeds
        try:
            self._compiled(feeds).start(feeds)
        except RuntimeError as error:
            raise self._refused(error) from None

    def wait(self) -> None:
        """Wait for the end of what was started: something else is to run on the same device."""
        assert self._function is not None
        self._function.wait()

    def finish(self) -> list[Array]:
        """The outputs of what was started; raises as :meth:`run` does."""
        assert self._function is not None
        try:
            with span("reference", self._running[0].text):
                return self._function.finish()
        except RuntimeError as error:
            raise self._refused(error) from None

    def _compiled(self, feeds: Feeds) -> graph.Function:
        shapes = {name: tuple(value.shape) for name, value in feeds.items()}
        if self._function is None or shapes != self._shapes:
            loaded = self._model.loaded
            outputs = [graph.real_values(var) for var in loaded.outputs]
            self._function = graph.Function(loaded.graph, outputs, loaded.inputs, shapes)
            self._shapes = shapes
        return self._function

    def _refused(self, error: RuntimeError) -> Exception:
        self._shapes = None
        spec, feeds = self._running
        refused = graph.GraphRefused(f"running {self._model.path} on {spec.text!r}", error)
        unlike = [
            f"{kind.name} is {feeds[kind.name].shape}, the model declares {kind.shape}"
            for kind in self._model.types
            if kind.shape is not None and feeds[kind.name].shape != kind.shape
        ]
        if not unlike:
            return refused
        return InputError(
            Problem(
                f"the model does not take the shape of {spec.text!r}: {'; '.join(unlike)}"
                f" ({refused.problems[0].message})",
                "give data of the declared shape, or dump the model for this one"
                " (--resize-input fits images)",
                spec.file,
                spec.line,
            )
        )


def _check_names(model: Model) -> None:
    """Names that the packed file could not hold beside each other."""
    if not model.types:
        raise InputError(
            f"{model.path} has no inputs, so there is nothing to feed",
            "dump it again with its inputs as arguments of the traced function",
        )
    clashes = [kind.name for kind in model.types if kind.name.endswith(packed.EXPECT_SUFFIX)]
    if clashes:
        raise InputError(
            f"{model.path} has an input named {clashes[0]}, a name that packed files use for"
            " expected values",
            "it was packed before: give the model that it was made from",
        )
    taken = {name + graph.ASSERT_SUFFIX for name in model.outputs} & set(model.outputs)
    if taken:
        raise InputError(
            f"{model.path} has an output named {min(taken)}, a name that packed files use for the"
            " assertion of another output",
            "dump it again under another name",
        )


@span("make the packed graph")
def _write_graph(
    job: PackJob,
    model: Model,
    known: report.Graph,
    shapes: Sequence[tuple[int, ...]],
    *,
    declared: bool,
) -> GraphWritten:
    """Write header and graph to the packed file, and the deploy model to its own.

    To optimise it, the graph is loaded anew and let go at the end: what that leaves in memory
    would otherwise stay for the whole run.
    """
    loaded = graph.load(model.read(), model.path) if job.optimize else model.loaded
    graph.keep_input_names(loaded)
    outputs = graph.optimize(loaded, job.optimizations) if job.optimize else list(loaded.outputs)
    warnings = restore_names(outputs, model.outputs)
    format = job.format or model.format
    deploy, deploy_hash = None, 0
    if job.deploy or job.optimize:
        content, deploy_hash = graph.dump(
            outputs, format, keep_names=job.keep_names, metadata=loaded.metadata
        )
        deploy = facts(job.deploy, content, graph.load(content, "the deploy model"))
        deploy_hash = deploy_hash or _hash_of(job, content)
        if job.deploy:
            Path(job.deploy).write_bytes(content)
            # The metadata names the passes, and so differs where the graph is the same.
            bare, _ = graph.dump(outputs, format, keep_names=job.keep_names)
            deploy = msgspec.structs.replace(deploy, graph_digest=digest_of(bare))
    deploy_strip = graph.strip_info(outputs)
    ends = outputs + _assertions(job, loaded, outputs, model.outputs, shapes)
    content, content_hash = graph.dump(
        ends, format, keep_names=job.keep_names, metadata=loaded.metadata
    )
    head = packed.header(len(job.specs))
    with open(job.packed, "wb") as file:
        file.write(head)
        file.write(content)
    strip = graph.strip_info(ends)
    # Testcases are graphs of this one operator; a stripped runtime must be able to load them.
    strip["opr_types"] = sorted({*strip["opr_types"], "SharedDeviceTensor"})
    return GraphWritten(
        offset=len(head),
        size=len(content),
        declared=declared,
        deploy=deploy if job.deploy else None,
        change=_change(job, known, deploy),
        strip_info=strip,
        hash=content_hash or _hash_of(job, content),
        deploy_strip_info=deploy_strip,
        deploy_hash=deploy_hash,
        warnings=warnings,
    )


def _read_back(job: PackJob, written: GraphWritten) -> report.Graph:
    """What the report says of the packed graph, where no other process reads it."""
    with open(job.packed, "rb") as file:
        content = packed.read(file, packed.Extent(written.offset, written.size))
    return facts(job.packed, content, graph.load(content, "the packed graph"))


def _change(job: PackJob, known: report.Graph, deploy: report.Graph | None) -> report.Change | None:
    """What optimising changed, where it was asked for."""
    if not job.optimize or deploy is None:
        return None
    return difference.between(known, deploy, job.optimizations)


def _assertions(
    job: PackJob,
    loaded: graph.LoadedGraph,
    outputs: Sequence[graph.Var],
    names: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
) -> list[graph.Var]:
    if job.no_assert:
        return []
    first = [i for i, _ in _distinct(names)]
    return graph.add_assertions(
        loaded.graph,
        [outputs[i] for i in first],
        [names[i] for i in first],
        [shapes[i] for i in first],
        [job.gates.bounds(names[i]).maxerr for i in first],
        verbose=job.verbose,
    )


def _distinct(names: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The first place of each name: a model may return the same var twice."""
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name not in seen:
            seen.add(name)
            yield index, name


def restore_names(outputs: Sequence[graph.Var], names: Sequence[str]) -> list[str]:
    """Give the outputs their names back; warn of those that optimising made one var."""
    given: dict[int, str] = {}
    warnings = []
    for var, name in zip(outputs, names, strict=True):
        if given.setdefault(var.id, name) != name:
            warnings.append(
                f"outputs {given[var.id]} and {name} compute the same and are one in the"
                f" optimised graph, under the name {given[var.id]}"
            )
        elif var.name != name:
            var.name = name
    return warnings


@span("make a testcase")
def _case(job: PackJob, model: Model, item: Evaluated, results: list[Array]) -> Case:
    spec, feeds, own = item
    cells = {name: (feeds[name], var.dtype) for name, var in model.loaded.inputs.items()}
    for i, name in _distinct(model.outputs) if results else ():
        expected = results[i].astype(np.float32)
        if expected.size == 0:
            raise InputError(
                spec.problem(
                    f"output {name} is empty for {spec.text!r}: there is nothing to compare, and a"
                    " testcase cannot hold it",
                    "give data for which the model has a result",
                )
            )
        cells[name + packed.EXPECT_SUFFIX] = (expected, expected.dtype)
    content = graph.dump_constants(
        [cells[name] for name in sorted(cells, key=str.encode)], job.format or model.format
    )
    return Case(feeds, results, own, content)


def _write_testcase(
    job: PackJob, model: Model, file: BinaryIO, index: int, case: Case
) -> TestcaseWritten:
    offset = file.tell()
    file.write(case.content)
    # The verifying process reads what is in the file, not what is still in this one's buffer.
    file.flush()
    path = Path(job.scratch, f"testcase-{index}")
    spool.write(path, [*case.results, *case.own])
    return TestcaseWritten(
        index=index,
        offset=offset,
        size=len(case.content),
        spool=str(path),
        inputs=[fed(name, var, case.feeds[name]) for name, var in model.loaded.inputs.items()],
        outputs=list(model.outputs) if case.results else [],
        own=len(case.own),
    )


def fed(name: str, var: graph.Var, value: Array) -> report.Tensor:
    """What is known of a value that is fed to an input."""
    return report.Tensor(
        name=name,
        dtype=graph.dtype_label(var.dtype),
        shape=list(value.shape),
        digest=digest(value),
    )


def _hash_of(job: PackJob, content: bytes) -> int:
    """A 64-bit number that names a graph where the engine gives none (FBS_V2), if it is wanted."""
    if not job.strip:
        return 0
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little") or 1
