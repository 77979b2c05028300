"""The locating worker: the first operator of a packed graph that goes wrong, on one testcase.

Each operator of the model is compared twice with its counterpart in the packed graph: in what it
computes from the testcase, and in what it makes of the very values that the counterpart was given.
The second says whether it goes wrong itself or was handed what is wrong. docs/locating.md has the
whole of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from megdump_ci import layouts, matching, packed, report, rounding
from megdump_ci.difference import CONSTANTS
from megdump_ci.engine import alterations, graph, spool
from megdump_ci.engine.packing import Model, read_model
from megdump_ci.engine.probing import Inside, Parts
from megdump_ci.errors import EngineError
from megdump_ci.gates import Gates
from megdump_ci.judging import compared
from megdump_ci.matching import Match, Network, Region, Value
from megdump_ci.protocol import FromWorker, Located, LocateJob
from megdump_ci.rounding import Own

Array = npt.NDArray[np.generic]
Arrays = dict[int, Array]

MOST_WRONG = 5
"""Operators that are described; the others are in the list."""

_MOST_NAMED = 20
"""Operators that one covers, constants that it is computed with and alterations that are listed."""
_AT_ONCE = 1 << 24
"""Elements of results that are held at a time, of each of four or five kinds."""
_MOST_PARTS = 256
"""Results looked at at a time: cutting the graph for each goes through all that are."""
_STEP = re.compile(r"scale=([^,)]+)")


def locate(job: LocateJob, emit: Callable[[FromWorker], None]) -> None:
    """Do a :class:`LocateJob`."""
    model = read_model(job.model, job.shown)
    graph_read = _sampled(job) if job.sample is not None else _packed(job, model)
    loaded, content, format, feeds = graph_read
    graphs = _Graphs.of(model, loaded, content, format)
    search = _Search(graphs, feeds, job.failed)
    search.run()
    real = _real_outputs(content, feeds)
    emit(Located(_location(job, graphs, search, _doubts(job, graphs, search, real))))


_Read = tuple[graph.LoadedGraph, bytes, str, dict[str, Array]]
"""A graph, its bytes, their format, and the values of its inputs."""


def _packed(job: LocateJob, model: Model) -> _Read:
    """The graph of the packed file, and one of its testcases."""
    with packed.opened(job.packed, "a packed model") as file:
        layout = packed.read_layout(file, job.packed)
        content = packed.read(file, layout.graph)
        values = packed.read(file, layout.testcases[job.testcase])
    loaded = graph.load(content, "the packed graph")
    arrays = graph.read_constants(values, f"testcase {job.testcase}")
    return loaded, content, layout.format, _feeds(model, loaded, arrays)


def _sampled(job: LocateJob) -> _Read:
    """The exported model, and data that the Python code was run on."""
    assert job.sample is not None
    exported = read_model(job.packed)
    count = len(job.sample.inputs)
    arrays = spool.read(Path(job.sample.spool), count + job.sample.outputs, keep=True)
    feeds = dict(zip(job.sample.inputs, arrays, strict=False))
    return exported.loaded, exported.read(), exported.format, feeds


def _feeds(model: Model, loaded: graph.LoadedGraph, values: Sequence[Array]) -> dict[str, Array]:
    """The values of the model's inputs in a testcase of the packed file."""
    # Values go by position to the inputs, which are sorted by name.
    named = dict(zip(loaded.inputs, values, strict=False))
    missing = [name for name in model.loaded.inputs if name not in named]
    if missing:
        raise EngineError(
            f"the packed file has no input {', '.join(missing)}",
            "give the model that the file was packed from",
        )
    return {name: named[name] for name in model.loaded.inputs}


def _real_outputs(content: bytes, feeds: Mapping[str, Array]) -> list[Array]:
    """The outputs of the packed graph, run as it is when it is verified."""
    loaded = graph.load(content, "the packed graph")
    graph.trust(loaded)
    outputs = [graph.real_values(var) for var in graph.compared_vars(loaded)]
    inputs = {name: loaded.inputs[name] for name in feeds}
    shapes = {name: tuple(value.shape) for name, value in feeds.items()}
    try:
        return graph.Function(loaded.graph, outputs, inputs, shapes).run(feeds)
    except RuntimeError as error:
        raise graph.GraphRefused("running the packed graph", error) from None


@dataclass(frozen=True)
class _Graphs:
    """The two graphs, and what was found of them without running them on anything."""

    model: Inside
    other: Inside
    """The packed graph, or what stands for it."""
    origin: report.Origin = "file"
    names: report.Origin = "file"
    altered: Sequence[alterations.Alteration] = ()
    notes: Sequence[str] = ()

    @classmethod
    def of(cls, model: Model, loaded: graph.LoadedGraph, content: bytes, format: str) -> _Graphs:
        """Match the graphs; names that the file has not kept come from optimising anew."""
        own = Inside.of(model.loaded, model.loaded.outputs)
        other = Inside.of(loaded, graph.compared_vars(loaded))
        kept = alterations.names_kept(content, other.network)
        try:
            anew = alterations.anew(model.read(), loaded, format)
        except EngineError as error:
            notes = [f"the model could not be optimised anew: {error.problems[0].message}"]
            if not kept:
                other = other.renamed({})
                notes.append("the file has no names, so that only the outputs were compared")
            return cls(own, other, notes=notes)
        places = matching.aligned(other.network, anew.network)
        if places is None:
            return cls._unaligned(own, other, anew, kept=kept)
        altered = alterations.between(other, anew, places)
        names = {value: anew.network.values[twin].name for value, twin in places.items()}
        # What the model has no name for is called after the number it happens to get.
        needed = {value.name for value in own.network.values.values()}.intersection(names.values())
        if kept and all(
            other.network.values[value].name == name
            for value, name in names.items()
            if name in needed and value in other.network.flowing
        ):
            return cls(own, other, altered=altered)
        note = (
            f"the file has {'other names' if kept else 'no names'}: they are those of the model"
            " optimised anew, which is put together in the same way"
        )
        return cls(own, other.renamed(names), "file", "anew", altered, [note])

    @classmethod
    def _unaligned(cls, own: Inside, other: Inside, anew: Inside, *, kept: bool) -> _Graphs:
        unlike = "the packed graph is not put together as optimising the model gives it here"
        if kept:
            return cls(own, other, notes=[f"{unlike}: constants and parameters were not compared"])
        note = f"{unlike}, and it has no names: the model optimised anew was looked into instead"
        return cls(own, anew, "anew", "anew", (), [note])

    @cached_property
    def matches(self) -> dict[int, Match]:
        """The counterparts of the model's values."""
        return matching.matched(self.model.network, self.other.network)

    @cached_property
    def regions(self) -> list[Region]:
        """What is compared, in the order of the model."""
        return matching.regions(self.model.network, self.other.network, self.matches)


@dataclass
class _Found:
    """What was found of a result of the model that has a counterpart."""

    region: Region
    error: float
    dtype: str
    """The coarsest one that the counterpart was computed with, all the way from the inputs."""
    own: Own | None
    failed: bool = False
    """Whether it is an output that did not pass."""
    source: bool = False
    comparison: report.Comparison | None = None

    @property
    def times(self) -> float:
        """Its own error in what rounding explains."""
        return self.own.times if self.own is not None else 0.0

    @property
    def fails(self) -> bool:
        """Whether it is off by more than rounding adds up to, or is an output that did not pass."""
        return self.failed or not self.error <= rounding.LIMITS[self.dtype]

    def jumps(self, earlier: Sequence[_Found]) -> bool:
        """Whether it fails, what it is computed from does not, and that is no slow growth."""
        largest = max((item.error for item in earlier), default=0.0)
        slow = rounding.EXPLAINED * max(largest, rounding.UNIT[self.dtype])
        return self.fails and not any(item.fails for item in earlier) and self.error > slow


class _Search:
    """Looks at the results of a model one after the other, some at a time."""

    def __init__(self, graphs: _Graphs, feeds: Mapping[str, Array], failed: Sequence[str]) -> None:
        self._graphs = graphs
        self._feeds = feeds
        self._failed = failed
        self.found: dict[int, _Found] = {}
        self.outputs: dict[int, Array] = {}
        """What was computed for the model's outputs, as the packed graph has it."""
        self.notes: list[str] = []
        self._shapes: dict[int, tuple[int, ...]] = {}
        self._altered = {place for alteration in graphs.altered for place in alteration.operators}

    @property
    def sources(self) -> list[_Found]:
        """The results that are wrong by their own operators, in order."""
        return [found for found in self.found.values() if found.source]

    def run(self) -> None:
        """Look at all of them."""
        for group in self._groups():
            self._look(group)

    def _groups(self) -> Iterator[list[Region]]:
        """The regions, so many at a time that what they compute fits into memory."""
        network, group, elements = self._graphs.model.network, list[Region](), 0
        # Shapes are declared for one size of the inputs, and a testcase may have another.
        declared = sum(_elements(network.values[value].shape) for value in network.inputs)
        growth = max(1.0, sum(array.size for array in self._feeds.values()) / max(declared, 1))
        for region in self._graphs.regions:
            group.append(region)
            elements += int(growth * _elements(network.values[region.value].shape))
            if elements >= _AT_ONCE:
                yield group
                group, elements = [], 0
        if group:
            yield group

    def _look(self, group: Sequence[Region]) -> None:
        """Compute the results of some regions in both graphs, and judge them."""
        expected = self._expected(group)
        computed = self._computed(group, expected)
        group = [region for region in group if region.value in computed]
        for start in range(0, len(group), _MOST_PARTS):
            part = group[start : start + _MOST_PARTS]
            again = _Again(self._graphs.model, part, computed)
            if again.failed and again.failed not in self.notes:
                self.notes.append(again.failed)
            for region in part:
                self._judge(region, expected[region.value], computed, again)

    def _expected(self, group: Sequence[Region]) -> Arrays:
        values = [region.value for region in group]
        found = dict(zip(values, self._graphs.model.values(values, self._feeds), strict=True))
        self._shapes.update((value, array.shape) for value, array in found.items())
        return found

    def _computed(self, group: Sequence[Region], expected: Mapping[int, Array]) -> Arrays:
        """The counterparts of the results and of what these are computed from, in plain layout."""
        own, matches = self._graphs.model.network, self._graphs.matches
        inputs = {value: self._feeds[own.values[value].name] for value in own.inputs}
        wanted = list(
            dict.fromkeys(
                value
                for region in group
                for value in (*region.given, region.value)
                if value not in inputs and value in self._shapes
            )
        )
        counterparts = [matches[value].value for value in wanted]
        arrays = self._graphs.other.values(counterparts, self._feeds)
        found = dict(inputs)
        for value, array in zip(wanted, arrays, strict=True):
            plain = layouts.restored(array, self._shapes[value], matches[value].layout)
            if plain is not None:
                found[value] = plain
            if value in own.outputs and value in expected:
                self.outputs[value] = array
        return found

    def _judge(
        self, region: Region, expected: Array, computed: Mapping[int, Array], again: _Again
    ) -> None:
        values = self._graphs.other.network.values
        dtypes = [values[value].dtype for value in region.reads]
        earlier = [self.found[value] for value in region.given if value in self.found]
        mine = computed[region.value]
        own = again.own(region, mine, rounding.coarsest(dtypes), _step(dtypes))
        if any(math.isinf(item.error) for item in earlier):
            # What operators make of values that should not be there is no fault of theirs.
            own = None
        network = self._graphs.model.network
        found = _Found(
            region,
            rounding.relative_error(expected, mine),
            rounding.coarsest([*dtypes, *(item.dtype for item in earlier)]),
            own,
            failed=region.value in network.outputs
            and network.values[region.value].name in self._failed,
        )
        # Where it could not be run by itself, what it is computed from has to tell.
        found.source = own.wrong if own is not None else found.jumps(earlier)
        found.source |= not self._altered.isdisjoint(region.optimized)
        if region.value in network.outputs or (found.source and len(self.sources) < MOST_WRONG):
            # Its numbers are wanted; no gate is set for what is inside a graph.
            numbers = compared(expected, mine, Gates().bounds(""))
            found.comparison = msgspec.structs.replace(numbers, passed=not found.fails, reason="")
        self.found[region.value] = found


class _Again:
    """The operators of some regions of the model, run on the values that their counterparts had."""

    def __init__(
        self, model: Inside, regions: Sequence[Region], computed: Mapping[int, Array]
    ) -> None:
        self.failed = ""
        self._places = {}
        self._parts: Parts | None = None
        self._arrays: dict[float, list[Array]] = {}
        whole = [region for region in regions if all(v in computed for v in region.given)]
        self._given = {value: computed[value] for region in whole for value in region.given}
        shapes = {value: array.shape for value, array in self._given.items()}
        try:
            self._parts = Parts(model, {r.value: r.given for r in whole}, shapes)
            self._arrays[0.0] = self._parts.run(self._given)
        except RuntimeError as error:
            self._parts = None
            self.failed = (
                "some operators could not be run by themselves, and are judged by whether their"
                f" inputs agree: {graph.said(error)}"
            )
            return
        self._places = {region.value: place for place, region in enumerate(whole)}

    def own(self, region: Region, computed: Array, dtype: str, step: float) -> Own | None:
        """The error that is the region's own; ``None`` if it could not be run by itself."""
        place = self._places.get(region.value)
        if self._parts is None or place is None:
            return None
        unit = rounding.UNIT[dtype]
        if unit not in self._arrays:
            off = {v: rounding.rounded_off(array, unit) for v, array in self._given.items()}
            self._arrays[unit] = self._parts.run(off)
        expected = self._arrays[0.0][place]
        if expected.shape != computed.shape:
            return None
        return rounding.own_error(
            expected,
            computed,
            self._arrays[unit][place],
            unit=unit,
            step=step,
            fused=bool(region.covers),
        )


def _elements(shape: Sequence[int] | None) -> int:
    return math.prod(shape) if shape is not None else 1


def _step(dtypes: Sequence[str]) -> float:
    """The coarsest distance between the numbers that quantised values among these can be."""
    return max((float(scale) for text in dtypes for scale in _STEP.findall(text)), default=0.0)


def _doubts(job: LocateJob, graphs: _Graphs, search: _Search, real: Sequence[Array]) -> list[str]:
    """What was found with reservations, above all where the search did not see what failed."""
    network = graphs.model.network
    notes = [*graphs.notes, *search.notes]
    errors = []
    for value, array in zip(network.outputs, real, strict=False):
        if value not in search.found:
            continue
        name, found, seen = network.values[value].name, search.found[value], search.outputs[value]
        errors.append(_error(found.comparison))
        apart = rounding.relative_error(array, seen) if array.shape == seen.shape else math.inf
        if apart > rounding.LIMITS[found.dtype]:
            notes.append(
                f"output {name} is another one when the operators are run one by one, as they are"
                f" here (relative error {apart:.2g}): it may go wrong in what the engine makes of"
                " the graph before it runs it"
            )
    seen_error = max(errors, default=0.0)
    if job.failed and job.error is not None and seen_error < float(job.error) / 2:
        notes.append(
            f"the largest error of the outputs is {seen_error:.3g} here and was"
            f" {float(job.error):.3g} when the file was verified: what failed there does not here"
        )
    return notes


def _error(comparison: report.Comparison | None) -> float:
    error = comparison.error if comparison is not None else None
    return float(error) if error is not None else math.inf


def _location(
    job: LocateJob, graphs: _Graphs, search: _Search, notes: list[str]
) -> report.Location:
    sources = search.sources
    steps = _steps(graphs, search)
    judged = [item for item in search.found.values() if item.own is not None]
    nearest = max(judged, key=lambda item: item.times, default=None)
    return report.Location(
        testcase=job.testcase,
        graph=graphs.origin,
        names=graphs.names,
        kernels=job.kernels,
        criterion=_criterion(search),
        operators=list(steps.values()),
        wrong=[_described(graphs, search, item) for item in sources[:MOST_WRONG]],
        nearest=steps[_place(graphs, nearest)] if nearest and not sources else None,
        altered=[item.said for item in graphs.altered[:_MOST_NAMED]],
        notes=notes,
    )


def _place(graphs: _Graphs, found: _Found) -> int:
    return graphs.model.network.values[found.region.value].operator


def _criterion(search: _Search) -> str:
    """What counted as wrong, with the numbers of the dtypes that there are."""
    dtypes = {found.dtype for found in search.found.values()}
    ordered = sorted(dtypes, key=rounding.LIMITS.__getitem__)
    limits = ", ".join(f"{rounding.LIMITS[dtype]:g} ({dtype})" for dtype in ordered)
    return (
        "an operator is wrong if what it makes of its inputs differs from what the model's operator"
        f" makes of the same ones by more than {rounding.EXPLAINED} times what rounding these once"
        f" changes; a result fails if its relative error is above {limits or 'rounding'}"
    )


def _steps(graphs: _Graphs, search: _Search) -> dict[int, report.Step]:
    """What there is to say of each operator of the model, by its place."""
    network = graphs.model.network
    within: dict[int, Region] = {}
    for region in graphs.regions:
        for place in region.covers:
            within.setdefault(place, region)
    results: dict[int, list[int]] = {}
    for value in network.working:
        results.setdefault(network.values[value].operator, []).append(value)
    return {
        place: _step_of(graphs, search, values, within.get(place))
        for place, values in results.items()
    }


def _step_of(
    graphs: _Graphs, search: _Search, values: Sequence[int], region: Region | None
) -> report.Step:
    network = graphs.model.network
    name, kind = network.values[values[0]].name, network.maker(values[0]).type
    found = [search.found[value] for value in values if value in search.found]
    if found:
        # Of several results the worst speaks for the operator.
        worst = max(found, key=lambda item: (item.source, item.fails, item.error))
        status: report.OperatorStatus = "follows" if worst.fails else "ok"
        return report.Step(
            name=network.values[worst.region.value].name,
            type=kind,
            status="source" if worst.source else status,
            error=report.number(worst.error),
            own_error=report.number(worst.own.relative) if worst.own is not None else None,
        )
    if region is None or region.value not in search.found:
        return report.Step(name=name, type=kind, status="unmatched")
    return report.Step(
        name=name,
        type=kind,
        status="fused" if matching.is_fused(graphs.other.network, region) else "unmatched",
        within=network.values[region.value].name,
    )


def _described(graphs: _Graphs, search: _Search, found: _Found) -> report.Operator:
    own, other = graphs.model.network, graphs.other.network
    region, match = found.region, graphs.matches[found.region.value]
    assert found.comparison is not None
    reached = matching.reached(own, [region.value])
    given = [search.found[value] for value in region.given if value in search.found]
    return report.Operator(
        name=own.values[region.value].name,
        type=own.maker(region.value).type,
        match=match.kind,
        inputs=[_tensor(own.values[value]) for value in region.given],
        output=_tensor(own.values[region.value]),
        optimized=_tensor(other.values[match.value]),
        optimized_type=_computing(other, region, match),
        layout=match.layout.name if match.layout is not None else "",
        covers=[own.name(own.operators[place]) for place in region.covers[-_MOST_NAMED:]],
        fused=bool(region.covers) and matching.is_fused(other, region),
        inputs_agree=not any(item.fails for item in given),
        comparison=found.comparison,
        error=report.number(found.error),
        own_error=report.number(found.own.relative) if found.own is not None else None,
        beyond_rounding=report.number(found.times) if found.own is not None else None,
        chain=[own.values[value].name for value in matching.chain(own, region.value)],
        outputs=[own.values[value].name for value in own.outputs if value in reached],
        parameters=_parameters(own, region),
        altered=[
            alteration.said
            for alteration in graphs.altered
            if not set(alteration.operators).isdisjoint(region.optimized)
        ][:_MOST_NAMED],
    )


def _computing(network: Network, region: Region, match: Match) -> str:
    """Type of the operator that computes the counterpart, not of one that converts the result."""
    types = [network.operators[place].type for place in region.optimized]
    computing = [kind for kind in types if kind not in matching.CONVERSIONS]
    return computing[-1] if computing else network.maker(match.value).type


def _tensor(value: Value) -> report.Tensor:
    shape = list(value.shape) if value.shape is not None else None
    return report.Tensor(name=value.name, dtype=value.dtype, shape=shape)


def _parameters(network: Network, region: Region) -> list[str]:
    """Names of the constants that the operators of a region compute with."""
    waiting = [v for place in region.operators for v in network.operators[place].inputs]
    seen: dict[int, None] = {}
    for value in waiting:
        if value in seen or value in network.flowing:
            continue
        seen[value] = None
        waiting += network.maker(value).inputs
    constants = [value for value in seen if network.maker(value).type in CONSTANTS]
    return [network.values[value].name for value in constants[:_MOST_NAMED]]
