"""The diffing worker: how a model differs from a base model, and how far their outputs drift."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from megdump_ci import baseline, changes, compare, packed, report
from megdump_ci.alignment import Alignment, Constant, Side, aligned
from megdump_ci.engine import graph
from megdump_ci.engine.packing import (
    Feeds,
    Model,
    Reference,
    digest_of,
    evaluated,
    read_model,
)
from megdump_ci.engine.probing import network_of
from megdump_ci.errors import EngineError, InputError
from megdump_ci.gates import Gates
from megdump_ci.judging import digest, drifted, is_constant
from megdump_ci.matching import Network
from megdump_ci.protocol import Checked, Diffed, DiffJob, FromWorker
from megdump_ci.testcase.spec import TestcaseSpec

Array = npt.NDArray[np.generic]
_Item = TypeVar("_Item")

_AT_ONCE = 1 << 25
"""Bytes of constants that are read at a time; one alone may be larger."""
_SMALL = 1 << 14
"""Bytes of a constant that is small."""
_TELLING = 8
"""Elements that a constant has at least, for the same values to be no accident."""


@dataclass(frozen=True)
class Read:
    """A model in memory, once."""

    model: Model
    facts: report.Graph
    network: Network
    vars: Mapping[int, graph.Var]
    is_packed: bool

    @classmethod
    def of(cls, path: str, shown: str, device: int = 0) -> Read:
        """Read a dumped model, or the model in a packed file; onto that device of the engine."""
        with packed.opened(path, "a dumped model (.mge)") as file:
            is_packed = packed.is_packed(file)
        model = _unpacked(path, device) if is_packed else read_model(path, shown, device)
        found = model.facts(shown)
        if is_packed:
            with packed.opened(path, "a packed model") as file:
                size = file.seek(0, 2)
                found = msgspec.structs.replace(found, size=size, digest=packed.digest(file))
        network, numbers = network_of(model.loaded.outputs)
        return cls(model, found, network, numbers, is_packed)

    def arrays(self, wanted: Sequence[int]) -> list[Array]:
        """The values of constants, quantised ones as the real ones they mean."""
        told = {value: self._small(value) for value in wanted}
        found = {value: array for value, array in told.items() if array is not None}
        rest = [value for value in told if value not in found]
        try:
            found.update(zip(rest, self._computed(rest), strict=True))
        except RuntimeError as error:
            raise graph.GraphRefused(f"reading the constants of {self.model.path}", error) from None
        return [found[value] for value in wanted]

    def _small(self, value: int) -> Array | None:
        """A constant that the engine tells without a run, which takes it 2 ms.

        It keeps two copies of what it has told, and so is asked for small ones only.
        """
        var = self.vars[value]
        if self.size(value) > _SMALL or graph.real_values(var) is not var:
            return None
        found: Array | None = var.value
        return found

    def _computed(self, wanted: Sequence[int]) -> list[Array]:
        if not wanted:
            return []
        found = [graph.real_values(self.vars[value]) for value in wanted]
        return graph.Function(self.model.loaded.graph, found, {}, {}).run({})

    def size(self, value: int) -> int:
        """Bytes of a constant, as they are read."""
        return 4 * math.prod(self.network.values[value].shape or ())

    @cached_property
    def constants(self) -> dict[int, Constant]:
        """What each constant holds."""
        wanted = Side(self.network).constants
        found = {}
        for group in _grouped(wanted, self.size):
            for value, array in zip(group, self.arrays(group), strict=True):
                kind = self.network.values[value]
                telling = array.size >= _TELLING and not is_constant(array)
                found[value] = Constant(f"{kind.dtype} {kind.shape} {digest(array)}", telling)
        return found


def _grouped(items: Sequence[_Item], size: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    """``items`` in groups that are no larger than may be held at once, if one alone is not."""
    group: list[_Item] = []
    held = 0
    for item in items:
        if group and held + size(item) > _AT_ONCE:
            yield group
            group, held = [], 0
        group.append(item)
        held += size(item)
    if group:
        yield group


def _unpacked(path: str, device: int) -> Model:
    """The model in a packed file, without what its testcases are compared by."""
    with packed.opened(path, "a packed model") as file:
        layout = packed.read_layout(file, path)
        content = packed.read(file, layout.graph)
    loaded = graph.load(content, path, device)
    plain, assertions = graph.split_outputs(loaded)
    for assertion in assertions:
        if not plain:
            # A file of the old tool has the output's name at the input to compare with alone.
            assertion.computed.name = assertion.name
    expects = {assertion.expect for assertion in assertions}
    outputs = graph.compared_vars(loaded)
    inputs = {name: var for name, var in loaded.inputs.items() if name not in expects}
    return Model.of(
        content,
        layout.format,
        dataclasses.replace(loaded, inputs=inputs, outputs=outputs),
        digest=digest_of(content),
        path=path,
        file=path,
        offset=layout.graph.offset,
    )


def diff(job: DiffJob, emit: Callable[[FromWorker], None]) -> None:
    """Do a :class:`DiffJob`."""
    base, model = Read.of(job.base, job.base), Read.of(job.model, job.shown, device=1)
    job.gates.check_names(model.model.outputs, "the new model")
    alignment = aligned(base.network, model.network, (base.constants, model.constants))
    emit(Diffed(_baseline(base, model, alignment)))
    drift = _Drift(base, model, alignment, job.gates)
    for index, (spec, feeds) in enumerate(_samples(job, model.model)):
        emit(Checked(drift.testcase(index, spec, feeds)))


def _baseline(base: Read, model: Read, alignment: Alignment) -> report.Baseline:
    operators, operator_totals = changes.operators(alignment)
    constants = base.constants, model.constants
    found = changes.parameters(alignment, constants)
    unlike = [(a, b) for a, b in found.pairs if constants[0][a].digest != constants[1][b].digest]
    parameters = sorted(_changed(base, model, alignment, unlike), key=baseline.size)
    lone = changes.lone_parameters(alignment, found)
    inputs, outputs = changes.inputs(alignment), changes.outputs(alignment)
    result = report.Baseline(
        change=baseline.kind(
            base.facts, model.facts, operator_totals, [*parameters, *lone], [*inputs, *outputs]
        ),
        headline="",
        base=base.facts,
        model=model.facts,
        operator_totals=operator_totals,
        operators=operators[: baseline.SHOWN],
        parameter_totals=changes.parameter_totals(alignment, found, len(unlike)),
        parameters=[*parameters[: baseline.SHOWN], *lone[: baseline.SHOWN]],
        inputs=inputs,
        outputs=outputs,
        notes=_notes(base, model),
        drift=[
            report.Drift(output=after, base_output=before if before != after else "")
            for before, after in _shared(base, model, alignment).values()
        ],
    )
    return msgspec.structs.replace(result, headline=baseline.headline(result))


def _changed(
    base: Read, model: Read, alignment: Alignment, pairs: Sequence[tuple[int, int]]
) -> Iterator[report.ParameterChange]:
    for group in _grouped(pairs, lambda pair: base.size(pair[0]) + model.size(pair[1])):
        arrays = zip(
            base.arrays([own for own, _ in group]),
            model.arrays([other for _, other in group]),
            strict=True,
        )
        for (own, other), (before, after) in zip(group, arrays, strict=True):
            comparable = before.shape == after.shape and before.size
            found = compare.difference(before, after, 0.0) if comparable else None
            yield changes.parameter_change(alignment, own, other, found)


def _notes(base: Read, model: Read) -> list[str]:
    found = [
        f"{read.facts.path} is a packed file: its model is compared, without the assertions"
        for read in (base, model)
        if read.is_packed
    ]
    silent = sorted({item.type for item in model.network.operators if not item.params})
    if silent:
        found.append(f"MegEngine does not tell the parameters of {', '.join(silent)}")
    return found


def _shared(
    base: Read, model: Read, alignment: Alignment
) -> dict[tuple[int, int], tuple[str, str]]:
    """The outputs that both have, by place in each, in the order of the new model."""
    pairs = sorted(changes.output_pairs(alignment).items(), key=lambda pair: pair[1])
    names = base.model.outputs, model.model.outputs
    return {(own, other): (names[0][own], names[1][other]) for own, other in pairs}


def _samples(job: DiffJob, model: Model) -> Iterator[tuple[TestcaseSpec, Feeds]]:
    """The testcases: of a packed file, or by the options."""
    if not job.packed:
        yield from ((spec, feeds) for spec, feeds, _ in evaluated(job, model))
        return
    expects = {name + packed.EXPECT_SUFFIX for name in model.outputs}
    with packed.opened(job.packed, "a packed model") as file:
        for index, extent in enumerate(packed.read_layout(file, job.packed).testcases):
            spec = TestcaseSpec(f"testcase {index}")
            values = graph.read_constants(packed.read(file, extent), spec.text)
            names = list(model.loaded.inputs)
            if len(values) > len(names):
                # Values go by position to the inputs, which are sorted by name.
                names = sorted({*names, *expects}, key=str.encode)
            feeds = dict(zip(names, values, strict=True))
            yield spec, {name: feeds[name] for name in model.loaded.inputs}


class _Drift:
    """Both models, run on the same samples."""

    def __init__(self, base: Read, model: Read, alignment: Alignment, gates: Gates) -> None:
        self._gates = gates
        self._model = model.model
        self._references = Reference(base.model), Reference(model.model)
        self._shared = _shared(base, model, alignment)
        self._feeds = _input_names(alignment)
        self._apart = graph.apart(base.model.loaded, model.model.loaded)
        self._missing = _missing(base.model, model.model, self._shared, gates)
        self._unfit = _unfit(base.model, model.model, self._feeds)

    def testcase(self, index: int, spec: TestcaseSpec, feeds: Feeds) -> report.Testcase:
        """Run both models on one sample, beside each other, and compare what both compute."""
        base, model = self._references
        model.start(spec, feeds)
        if not self._apart:
            model.wait()
        before, reason = [], self._unfit
        if not reason:
            try:
                before = base.run(spec, {own: feeds[name] for own, name in self._feeds.items()})
            except InputError as error:
                reason = f"the base model does not take the input: {error.problems[0].message}"
            except EngineError:
                # If the new model refuses it too, that is told.
                model.finish()
                raise
        after = model.finish()
        reason, outputs = (reason, []) if reason else self._compared(before, after)
        return report.Testcase(
            index=index,
            source=None,
            inputs=[
                report.Tensor(
                    name=name,
                    dtype=graph.dtype_label(self._model.loaded.inputs[name].dtype),
                    shape=list(value.shape),
                    digest=digest(value),
                )
                for name, value in feeds.items()
            ],
            passed=not reason and all(output.passed for output in outputs),
            reason=reason,
            outputs=outputs,
        )

    def _compared(
        self, before: Sequence[Array], after: Sequence[Array]
    ) -> tuple[str, list[report.Output]]:
        """Why the testcase as a whole does not pass, and what is said of its outputs."""
        outputs = [
            self._output(names[1], before[own], after[other])
            for (own, other), names in self._shared.items()
        ]
        found = [item.against_base for item in outputs if item.against_base is not None]
        if all(item.error is None for item in found):
            reasons = dict.fromkeys(item.reason for item in found)
            return f"nothing was compared: {'; '.join(reasons) or 'no output is in both'}", outputs
        return self._missing, outputs

    def _output(self, name: str, before: Array, after: Array) -> report.Output:
        bounds = self._gates.bounds(name, math.inf)
        limited = any(limits.of(name) is not None for limits in self._gates.limits.values())
        found = drifted(before, after, bounds, limited=limited)
        return report.Output(
            name=name,
            dtype=str(after.dtype.name),
            shape=list(after.shape),
            passed=found.passed,
            reason="" if found.passed else found.reason,
            maxerr=bounds.maxerr if math.isfinite(bounds.maxerr) else None,
            digest=digest(after),
            constant=is_constant(after),
            against_base=found,
        )


def _input_names(alignment: Alignment) -> dict[str, str]:
    """The inputs of the base model and those of the new one that they are."""
    base, model = alignment.base.inputs, alignment.model.inputs
    return {
        name: model[alignment.partners[place]]
        for place, name in base.items()
        if place in alignment.partners
    }


def _unfit(base: Model, model: Model, names: Mapping[str, str]) -> str:
    """Why data for the new model cannot be fed to the base model; empty if it can."""
    missing = [name for name in base.loaded.inputs if name not in names]
    if missing:
        return f"nothing was compared: only the base model has input {', '.join(missing)}"
    for own, other in names.items():
        dtypes = [
            graph.dtype_label(item.dtype)
            for item in (base.loaded.inputs[own], model.loaded.inputs[other])
        ]
        if dtypes[0] != dtypes[1]:
            return (
                f"nothing was compared: input {other} is {dtypes[1]}, and {dtypes[0]} in the base"
                " model"
            )
    return ""


def _missing(
    base: Model, model: Model, shared: Mapping[tuple[int, int], tuple[str, str]], gates: Gates
) -> str:
    """Outputs that have a limit and are not in both models; or empty."""
    general = any(limits.default is not None for limits in gates.limits.values())
    own = {name for limits in gates.limits.values() for name in limits.outputs}
    found = [
        name for i, name in enumerate(base.outputs) if general and i not in {a for a, _ in shared}
    ]
    found += [
        name
        for i, name in enumerate(model.outputs)
        if name in own and i not in {b for _, b in shared}
    ]
    if not found:
        return ""
    return f"output {', '.join(found)} has a limit and is not in both models"
