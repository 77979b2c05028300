"""The report of a run, and the JSON that other tools read.

``report.json`` is :func:`to_json` of a :class:`Report`; ``docs/report.schema.json`` is the JSON
schema of that version, made by :func:`json_schema`. Numbers that JSON cannot hold are the strings
``"nan"``, ``"inf"`` and ``"-inf"`` there. Shapes are lists of ints, sizes are bytes, times are
seconds, digests are ``sha256:<hex>``.
"""

from __future__ import annotations

import json
import math
from typing import Any, Literal

import msgspec

from megdump_ci.decoding import decode
from megdump_ci.errors import Problem

VERSION = 1
"""Raised when a field is taken away or changes its meaning; a new field does not raise it."""

Number = float | Literal["nan", "inf", "-inf"]
Verdict = Literal["passed", "failed", "not verified", "error"]
Kernels = Literal["fast", "naive"]
"""What the engine computes operators with: what is made for the processor, or plain loops."""

How = Literal["crashed", "hung", "timed out", "refused", "failed"]
"""How an engine process failed: ``hung`` if it said that it ends and did not, ``refused`` if the
engine does not take the graph, ``failed`` for all the rest."""

GateName = Literal["maxerr", "min-cosine", "min-sqnr", "top-k-agreement"]
"""The options that a comparison can fail by."""

Status = Literal["passed", "failed", "crashed", "hung", "timed out", "refused", "error"]
"""How a configuration did: the verdict, or how the engine could not be had to give one."""


def number(value: float) -> Number:
    """``value`` as JSON can hold it."""
    value = float(value)
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "nan"
    return "inf" if value > 0 else "-inf"


class Tool(msgspec.Struct, frozen=True, kw_only=True):
    """This program."""

    name: str = "megdump-ci"
    version: str


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where the run took place."""

    system: str
    processor: str
    cores: int
    """Cores that the process may use."""
    memory: int
    python: str


class Engine(msgspec.Struct, frozen=True, kw_only=True):
    """The engine that ran the graphs, and the packages it ran with."""

    name: str = "MegEngine"
    version: str
    numpy: str
    opencv: str


Measure = Literal[
    "own user",
    "no privileges",
    "no network",
    "no other processes",
    "read-only files",
    "memory",
    "threads",
    "file size",
    "processor time",
]
"""What engine processes are kept from; the last four are limits. docs/security.md has each."""


class Lack(msgspec.Struct, frozen=True, kw_only=True):
    """A measure that this machine does not offer, at least not for all engine processes."""

    measure: Measure
    reason: str


class Isolation(msgspec.Struct, frozen=True, kw_only=True):
    """How the engine processes of the run were kept from the machine."""

    held: list[Measure]
    """For all of them."""
    missing: list[Lack] = []
    memory_limit: int
    """Bytes that each could have."""


class Tensor(msgspec.Struct, frozen=True, kw_only=True):
    """An input or output of a graph."""

    name: str
    dtype: str
    shape: list[int] | None
    """``None`` where the graph leaves it open."""
    digest: str = ""
    """Of a testcase's values; empty for a graph's inputs and outputs."""


class Graph(msgspec.Struct, frozen=True, kw_only=True):
    """A graph in a file: the input model, the graph of the packed file, the deploy model."""

    path: str
    size: int
    digest: str
    """Of the file."""
    graph_digest: str = ""
    """Of a deploy model's graph alone: passes that give the same graph share it."""
    format: str
    inputs: list[Tensor]
    outputs: list[Tensor]
    operators: dict[str, int]
    """How many operators there are of each type."""
    parameters: int
    """Elements of all constant tensors together."""
    parameter_bytes: int
    dtypes: dict[str, int] = {}
    """How many of the tensors that flow between operators have each dtype; constants apart."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What optimising made of a graph; the operators of the testcases are not counted.

    Nor are constants in the numbers of operators.
    """

    passes: list[str]
    """The passes asked for beside the plain ones, as ``enable_...`` options."""
    operators_before: int
    operators_after: int
    removed: dict[str, int]
    """How many operators of each type are gone, net of new ones of that type."""
    added: dict[str, int]
    """How many operators of each type are new, likewise."""
    fused: dict[str, int]
    """Those of the new ones that each do the work of several (convolution, bias, activation)."""
    dtypes_before: dict[str, int]
    dtypes_after: dict[str, int]
    size_before: int
    """Bytes of the input model."""
    size_after: int
    """Bytes of the deploy model, whether it is written or not."""


class KernelFailure(msgspec.Struct, frozen=True, kw_only=True):
    """Why the packed graph could not be run with some kernels."""

    kernels: Kernels
    how: How
    reason: str


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration of a sweep: how optimising the model in this way went."""

    name: str
    options: list[str]
    """The options of ``pack`` that ask for it."""
    status: Status
    reason: str = ""
    """What is wrong, where it did not pass."""
    kernels: Kernels | None = None
    kernel_failures: list[KernelFailure] = []
    max_error: Number | None = None
    size: int | None = None
    """Bytes of the model without testcases."""
    digest: str = ""
    """Of its graph; configurations that share it gave the same graph, which is timed once."""
    operators: int | None = None
    """How many it has, constants apart."""
    change: Change | None = None
    latency: float | None = None
    """Median time of one run on this machine, in milliseconds, data not copied."""
    latency_best: float | None = None
    """The shortest one."""
    runs: int = 0
    """How many runs that is the median of."""


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """The configurations tried, and the best of those that passed."""

    trials: list[Trial]
    fastest: str = ""
    """Name of the configuration with the lowest latency; empty if none was measured. Of those
    within 10 % of it, the one with the fewest passes."""
    smallest: str = ""


class StripInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A written strip info file; ``hash`` is the one it holds."""

    path: str
    describes: Literal["packed", "deploy"]
    hash: int


class NonFinite(msgspec.Struct, frozen=True, kw_only=True):
    """How many values of an output are NaN and how many infinite."""

    nan: int
    inf: int


class Element(msgspec.Struct, frozen=True, kw_only=True):
    """One element of an output, with its AssertEqual error."""

    index: list[int]
    expected: Number
    computed: Number
    error: Number


class TopK(msgspec.Struct, frozen=True, kw_only=True):
    """Agreement of class scores over the rows of an output."""

    rows: int
    top1: int
    """Rows whose best class agrees."""
    top5: float | None
    """Mean share of the five best classes that agree; ``None`` for five classes or fewer."""


class Metrics(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far two arrays are apart; docs/metrics.md defines each number.

    What is left out has the value it has for equal arrays. All but ``beyond``, ``differing``,
    ``worst`` and ``histogram`` are over the elements that are finite on both sides.
    """

    size: int
    """Elements compared."""
    beyond: int = 0
    """Elements whose AssertEqual error is not within ``maxerr``."""
    differing: int = 0
    """Elements that are not equal in value."""
    mean_abs_error: Number = 0.0
    max_abs_index: list[int] = []
    """Where the absolute error is largest; empty if there is none."""
    percentiles: tuple[Number, Number, Number] = (0.0, 0.0, 0.0)
    """The 50th, 90th and 99th of the absolute errors."""
    max_rel_error: Number = 0.0
    """The largest relative error; below a thousandth of the largest expected magnitude, an
    element's is taken against that thousandth."""
    cosine: Number = 1.0
    sqnr: Number = "inf"
    """In dB."""
    non_finite_matched: int = 0
    """Elements that are the same NaN or infinity on both sides."""
    worst: list[Element] = []
    """The elements with the largest errors, the worst first."""
    histogram: list[int] = []
    """Elements by AssertEqual error: 0, below 1e-9, below 1e-8, ... below 10, above, not finite;
    empty if all are 0."""
    top_k: TopK | None = None
    """For outputs that look like class scores, or whose agreement was asked for."""


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Expected against computed values of one output in one testcase."""

    passed: bool
    reason: str = ""
    """What is wrong, where ``passed`` is false, or why nothing was compared."""
    error: Number | None = None
    """AssertEqual's error: ``max(|e-g| / max(min(|e|,|g|), 1))``; ``None`` where the shapes
    differ and there is nothing to compare."""
    max_abs_error: Number | None = None
    index: list[int] | None = None
    """Where the AssertEqual error is largest (or first not a number)."""
    expected: Number | None = None
    computed: Number | None = None
    """The two values at ``index``."""
    expected_non_finite: NonFinite | None = None
    computed_non_finite: NonFinite | None = None
    """``None`` where all values are finite."""
    metrics: Metrics | None = None
    """``None`` where there is nothing to compare."""


class Assertion(msgspec.Struct, frozen=True, kw_only=True):
    """What the AssertEqual operator in the packed file said."""

    passed: bool
    error: Number


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """One output of one testcase.

    ``assertion`` is the verdict of the operator in the packed file, ``against_model`` the
    comparison with the input model's result; ``None`` where the run has no such thing. Those with
    ``python`` are there if the model was exported from Python code in this run.
    """

    name: str
    dtype: str
    shape: list[int]
    passed: bool
    reason: str = ""
    maxerr: float | None = None
    """The largest error that passes for it."""
    digest: str = ""
    """Of the computed values."""
    constant: bool = False
    """Whether all of its elements, more than one, have the same value."""
    assertion: Assertion | None = None
    against_expected: Comparison | None = None
    """The values in the packed file against what its graph computed."""
    against_model: Comparison | None = None
    model_against_python: Comparison | None = None
    """What the code itself computed, run eagerly, against the model as it was dumped."""
    against_python: Comparison | None = None
    """The same against the written file."""
    against_lite: Comparison | None = None
    """The expected values against what MegEngine Lite computed, with ``--cross-check lite``."""
    against_base: Comparison | None = None
    """What the base model computes against what the model does, in a ``diff``."""

    @property
    def comparisons(self) -> list[Comparison]:
        """Those that there are; the first that failed is why the output did."""
        found = (
            self.against_expected,
            self.model_against_python,
            self.against_model,
            self.against_python,
            self.against_lite,
            self.against_base,
        )
        return [comparison for comparison in found if comparison is not None]


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One gate of one output, over all testcases."""

    name: GateName
    """The option that sets it."""
    output: str
    limit: float
    passed: bool
    value: Number | None = None
    """The worst value of all testcases, or for ``top-k-agreement`` that of all rows together;
    ``None`` where there was nothing to judge."""
    testcase: int | None = None
    """Where it is worst."""
    own: bool = False
    """Whether the limit was given for this output by name."""
    reason: str = ""
    """What is wrong, where ``passed`` is false."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a testcase was asked for."""

    spec: str
    file: str = ""
    line: int = 0


class Testcase(msgspec.Struct, frozen=True, kw_only=True):
    """One testcase, in the order of the packed file (from 0)."""

    index: int
    source: Source | None
    inputs: list[Tensor]
    passed: bool
    reason: str = ""
    outputs: list[Output]


class Altered(msgspec.Struct, frozen=True, kw_only=True):
    """A constant or a parameter in the packed file that optimising the model anew does not give."""

    kind: Literal["constant", "parameter"]
    name: str
    """Of the constant's value, or of the parameter (``pad_h``)."""
    operator: str
    """Name of what is computed with it, in the optimised graph."""
    expected: float | str
    """Of a constant, the value that is furthest off."""
    found: float | str
    differing: int = 0
    """How many elements of a constant differ by more than rounding; of how many, ``size`` says."""
    size: int = 0
    index: list[int] = []
    """Where in the constant the value is."""


Origin = Literal["file", "anew"]
"""Whether something is from the packed file, or from the model optimised anew."""

OperatorStatus = Literal["ok", "source", "follows", "fused", "unmatched"]
"""How an operator of the model did in the optimised graph. ``source``: it computes something else
than the model's does of the same inputs. ``follows``: its result fails, and by its inputs alone.
``fused``: fewer operators compute what it and others did, and only their last result was compared;
``unmatched``: as many do, under other names. ``ok``: its result was compared and does not fail."""


class Step(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An operator of the model, named by its result; fields that say nothing are left out."""

    name: str
    type: str
    status: OperatorStatus
    error: Number | None = None
    """Relative error of its result: ``sqrt(sum((e-g)**2) / sum(e**2))``, or ``10**(-SQNR/20)``."""
    own_error: Number | None = None
    """The same against what the model's operator makes of the inputs that its counterpart had."""
    within: str = ""
    """The result that it was compared as a part of, if it has none of its own there."""


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """An operator that computes something else than the model's, and where it stands."""

    name: str
    """Of its result in the model; so are all names that are not said to be others."""
    type: str
    match: Literal["name", "output"]
    """How its counterpart was found: by its name, or as an output by its place."""
    inputs: list[Tensor]
    """What it is computed from and was compared too, or is an input."""
    output: Tensor
    optimized: Tensor
    """The counterpart as it is in the optimised graph."""
    optimized_type: str
    layout: str = ""
    """How the counterpart lies in memory, for images: ``NCHW`` or a blocked layout."""
    covers: list[str] = []
    """Operators that have no counterpart of their own and were compared with it, in order; the
    last of them, if there are many."""
    fused: bool = False
    """Whether fewer operators do what it and these did."""
    inputs_agree: bool
    comparison: Comparison
    """Its result in the model against that in the optimised graph."""
    error: Number
    own_error: Number | None
    """As in its :class:`Step`."""
    beyond_rounding: Number | None
    """The largest own error in units of what rounding explains; ``None`` where it could not be
    had, and the operator is named because it fails and its inputs agree."""
    chain: list[str]
    """A shortest way to it from an input of the model, both ends included."""
    outputs: list[str]
    """The model's outputs that depend on it."""
    parameters: list[str] = []
    """Constants of the model that it is computed with, those of the covered ones included."""
    naive: Literal["right", "wrong"] | None = None
    """How it does with the engine's naive kernels; ``right`` if the fast kernel is to blame, and
    not the graph. ``None`` where that was not found out."""
    altered: list[Altered] = []


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """Where the optimised graph first computes something else than the model, on one testcase."""

    testcase: int
    graph: Origin = "file"
    """Which optimised graph was looked into."""
    names: Origin = "file"
    """Where the names in it are from."""
    kernels: Kernels
    criterion: str
    """What fails, in words and numbers."""
    operators: list[Step]
    """All operators that compute something from the inputs, in the order of the model's graph."""
    wrong: list[Operator] = []
    """The first of those with the status ``source``; ``operators`` has them all."""
    nearest: Step | None = None
    """Where none is: the one whose own error is most of what rounding explains."""
    altered: list[Altered] = []
    """The first that were found, whether an operator is wrong for it or not."""
    notes: list[str] = []
    """What limits the finding."""


ChangeKind = Literal["identical", "equivalent", "weights", "structure"]
"""How a model differs from its base: not in a byte; in bytes, but not in operators and constants;
in the values of constants alone; in operators, their wiring, shapes or dtypes."""

HowChanged = Literal["added", "removed", "changed"]


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """One property that is not what it was, as texts."""

    what: str
    """``type``, ``name``, ``shape``, ``dtype``, ``input 0``, or a parameter of the operator."""
    before: str
    after: str


class OperatorChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An operator that is new, gone, or not what it was; named by its first result."""

    how: HowChanged
    type: str
    name: str
    base_name: str = ""
    """In the base model, where it is another one."""
    edits: list[Edit] = []
    """What changed: type and parameters first, then inputs, then shape and dtype of results, which
    often follow from a change elsewhere."""


class ParameterChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A constant tensor that is new, gone, or not what it was."""

    how: HowChanged
    name: str
    base_name: str = ""
    """In the base model, where it is another one."""
    used_by: str = ""
    """Type and name of the first operator that takes it."""
    base: Tensor | None = None
    model: Tensor | None = None
    max_abs_error: Number | None = None
    metrics: Metrics | None = None
    """Base against new values, without ``worst`` and ``histogram``; ``None`` where the shapes
    differ and there is nothing to compare."""
    base_non_finite: NonFinite | None = None
    non_finite: NonFinite | None = None
    """``None`` where all values are finite."""


class TensorChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An input or output that is new, gone, or not what it was (its name included)."""

    how: HowChanged
    base: Tensor | None = None
    model: Tensor | None = None
    edits: list[Edit] = []
    compatible: bool = False
    """Whether what feeds or reads the base model can do so with the new one as it is."""


class Totals(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How many operators or parameters of two models are the same, and how many are not."""

    alike: int = 0
    changed: int = 0
    added: int = 0
    removed: int = 0
    renamed: int = 0
    """Of those alike and changed, the ones whose name is another; names that the engine made up do
    not count."""


class Drift(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far an output is from the base model's on the same samples."""

    output: str
    base_output: str = ""
    """In the base model, where it has another name."""
    reason: str = ""
    """Why it was not compared in some testcase; empty if it was in all."""
    compared: int = 0
    """In how many testcases."""
    errors: list[Number | None] = []
    """The AssertEqual error in each testcase; ``None`` where it was not compared."""
    max_error: Number | None = None
    max_abs_error: Number | None = None
    cosine: Number | None = None
    sqnr: Number | None = None
    """The worst ones of all testcases."""
    testcase: int | None = None
    """Where ``max_error`` is."""
    worst: Metrics | None = None
    """The metrics of that testcase."""
    top_k: TopK | None = None
    """Over the rows of all testcases, for outputs that look like class scores."""


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """What changed from a base model to this one.

    Lists hold at most 100 entries, the largest change first; the totals count all.
    """

    change: ChangeKind
    headline: str
    """What changed, in one line."""
    base: Graph
    model: Graph
    operator_totals: Totals
    operators: list[OperatorChange] = []
    """Changes of type or parameters first, then what is new or gone, then what follows."""
    parameter_totals: Totals
    parameters: list[ParameterChange] = []
    """Those changed first, by SQNR from the lowest, then those new and gone, of which there may be
    100 more."""
    inputs: list[TensorChange] = []
    outputs: list[TensorChange] = []
    notes: list[str] = []
    """What else differs, or was not looked at."""
    testcases: int = 0
    """How many samples the two were run on."""
    drift: list[Drift] = []
    """Of each output, in the order of the new model; the ones that only it has are left out."""
    reason: str = ""
    """Why the outputs were not compared at all; empty if they were."""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the run's time. It is in one phase at any time: they add up to ``seconds``."""

    name: str
    seconds: float


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """An engine process. Several work at the same time: theirs do not add up to the whole."""

    name: str
    seconds: float
    """For how long it had something to do."""
    peak_memory: int
    """The most that it had in memory at a time; 0 where that is not known."""
    parts: dict[str, float] = {}
    """The seconds that it spent on each thing, waiting included, if it came to its end."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything there is to say about a run."""

    version: int = VERSION
    tool: Tool
    name: str = ""
    """What the run was called; empty if nobody named it."""
    command: str
    """The command line that repeats the run."""
    options: dict[str, Any]
    verdict: Verdict
    exit_status: int
    headline: str
    """The verdict in one line."""
    problems: list[Problem] = []
    warnings: list[str] = []
    machine: Machine
    isolation: Isolation | None = None
    """``None`` where no engine process was started."""
    engine: Engine | None = None
    lite: Engine | None = None
    """MegEngine Lite, where the deploy graph was run on it as well."""
    model: Graph | None = None
    exported: Graph | None = None
    """What ``export`` wrote; ``model`` is then the same before it was optimised."""
    packed: Graph | None = None
    deploy: Graph | None = None
    change: Change | None = None
    """What optimising changed, where it was asked for."""
    strip_info: list[StripInfo] = []
    kernels: Kernels | None = None
    """What the packed graph was verified with; ``None`` where it was not run."""
    kernel_failures: list[KernelFailure] = []
    maxerr: float | None = None
    """The one for outputs that have no other."""
    max_error: Number | None = None
    """The largest error of all testcases and outputs."""
    gates: list[Gate] = []
    """What the outputs had to pass; empty where nothing was compared."""
    passing: list[str] = []
    """The options that a failed run would pass with, its limits as strict as that allows; empty
    where none would, or all is well."""
    testcases: list[Testcase] = []
    location: Location | None = None
    """Where it first goes wrong, if that was looked for."""
    sweep: Sweep | None = None
    baseline: Baseline | None = None
    """What changed from a base model, where there was one to compare with."""
    phases: list[Phase] = []
    """Where the time went, in the order in which they began."""
    processes: list[Process] = []
    seconds: float = 0.0
    """From the start of the command to this report."""


def to_json(report: Report) -> bytes:
    """The report as JSON, indented."""
    return json_of(report)


def json_of(value: msgspec.Struct) -> bytes:
    """``value`` as JSON, indented; a byte of a file's name that is no text becomes a ``?``."""
    try:
        encoded = msgspec.json.encode(value)
    except UnicodeEncodeError:
        text = json.dumps(msgspec.to_builtins(value), ensure_ascii=False)
        encoded = text.encode("utf-8", errors="replace")
    return msgspec.json.format(encoded, indent=2) + b"\n"


def from_json(data: bytes) -> Report:
    """A report that :func:`to_json` wrote; :class:`msgspec.ValidationError` if it is not one."""
    found: Report = decode(data, Report)
    return found


def json_schema() -> dict[str, Any]:
    """The JSON schema (2020-12) of :class:`Report`."""
    schema = msgspec.json.schema(Report)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"megdump-ci report, version {VERSION}",
        **schema,
    }
