"""What the parent process and its engine processes say to each other: JSON, one message a line.

A worker reads its job and then messages on stdin and writes events on the pipe it was started
with. Arrays do not travel here; they go through files in the scratch folder.
"""

from __future__ import annotations

import msgspec

from megdump_ci import report
from megdump_ci.errors import Problem
from megdump_ci.gates import Gates
from megdump_ci.sandbox.box import Box
from megdump_ci.spans import Mark
from megdump_ci.testcase.settings import DataSettings
from megdump_ci.testcase.spec import TestcaseSpec

# From the parent to a worker


class Sample(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """One testcase as the exported Python code was run on it.

    The spool (``engine/spool.py``) has the model's inputs in the order of ``inputs``, then the
    code's own results. A worker emits it, and others are given it to read.
    """

    spool: str
    inputs: list[str]
    outputs: int


class ExportJob(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Run the user's Python code on all testcases, trace it and dump it."""

    file: str
    name: str
    seconds: float
    """How long the user's code may run."""
    specs: list[TestcaseSpec]
    settings: DataSettings
    arg_names: list[str]
    output_names: list[str]
    format: str
    optimize: bool
    optimizations: list[str]
    keep_var_name: int
    keep_param_name: bool
    dumped: str = ""
    """Where to write the model as it was traced; the optimised one goes to ``exported``."""
    exported: str = ""
    """Empty if no such file is wanted."""
    scratch: str = ""
    """The folder for the samples."""


class ExportCheckJob(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Compare what two dumped models compute with what the Python code did."""

    shown: str
    """What the dumped model is called in messages and in the report."""
    dumped: str
    exported: str
    outputs: list[str]
    """The names that the outputs should have; empty if any will do."""
    specs: list[str]
    """The text of each testcase."""
    samples: list[Sample]
    gates: Gates


class PackJob(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Compute the reference results and write the packed file (and the deploy model)."""

    model: str
    shown: str
    """What the model is called in messages and in the report."""
    specs: list[TestcaseSpec]
    samples: list[Sample]
    """The testcases' data, if it is there already: the model was exported from Python code."""
    settings: DataSettings
    packed: str
    """Temporary name to write to; so is ``deploy``, which is empty if none is wanted."""
    deploy: str
    format: str
    optimize: bool
    optimizations: list[str]
    no_assert: bool
    gates: Gates
    verbose: bool
    keep_names: bool
    strip: bool
    """Whether strip info is wanted, which names graphs by a number."""
    scratch: str
    window: int
    """How many testcases may be ahead of what the verifying worker has taken."""
    alone: bool
    """Whether no worker verifies, which would tell what it read of the packed file."""


class StreamCheckJob(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Check a packed file while it is written.

    :class:`GraphWritten` follows, then :class:`TestcaseWritten` for each testcase, then
    :class:`AllWritten`.
    """

    packed: str
    deploy: str
    no_assert: bool
    gates: Gates
    trusted: bool
    """Whether packing runs the operators that were the model's, and by the same kernels."""
    testcases: int
    """How many there will be."""


class FileCheckJob(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Check all testcases of a finished packed file; ``model`` is empty if there is none."""

    packed: str
    model: str
    gates: Gates


class LiteJob(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Run all testcases of a finished packed file on MegEngine Lite.

    ``deploy`` is the deploy model; empty if it is to be made of the packed file. ``model`` is what
    to compare with where the file has no expected values; empty if there is none.
    """

    packed: str
    deploy: str
    model: str
    gates: Gates


class LocateJob(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Find out where a graph first computes something else than the model it was made from."""

    packed: str
    """A packed file; a bare model if there is a ``sample`` to run both on."""
    sample: Sample | None = None
    model: str
    shown: str
    """What the model is called in messages."""
    testcase: int
    error: report.Number | None
    """The largest error of that testcase when it was verified, against the model."""
    failed: list[str]
    """The outputs that did not pass."""
    kernels: report.Kernels
    """Those that the process was started with."""


class DiffJob(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """Say how a model differs from a base model, and how far their outputs drift apart.

    Either may be a packed file. The data is that of ``specs`` or, if there is one, of the packed
    file ``packed`` that was made of ``model``.
    """

    base: str
    model: str
    shown: str
    """What the model is called in messages and in the report."""
    gates: Gates
    packed: str = ""
    specs: list[TestcaseSpec] = []
    settings: DataSettings = DataSettings()


class TimeJob(msgspec.Struct, frozen=True, tag=True):
    """Time each of these packed files on its first testcase; one can be there again."""

    packed: list[str]


class Profile(msgspec.Struct, frozen=True, tag=True):
    """Comes before the job: tell what is done when, by :class:`Mark` events."""


class Taken(msgspec.Struct, frozen=True, tag=True):
    """One testcase was checked; the packing worker may go one further."""


# From a worker to the parent; some are passed on to the other worker


class Boxed(msgspec.Struct, frozen=True, tag=True):
    """The process is in its box, and has read nothing of a model yet."""

    isolation: report.Isolation


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The engine is loaded."""

    engine: report.Engine


class ModelDumped(msgspec.Struct, frozen=True, tag=True):
    """The Python code was traced and dumped; the samples follow."""

    outputs: list[str]
    """The names of the outputs; empty if the engine names them."""
    warnings: list[str]


class ModelsRead(msgspec.Struct, frozen=True, tag=True):
    """The dumped models were read back."""

    model: report.Graph
    exported: report.Graph
    warnings: list[str]


class ModelLoaded(msgspec.Struct, frozen=True, tag=True):
    """The input model was read."""

    model: report.Graph


class GraphWritten(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The header and the main graph are in the packed file, the deploy model in its own."""

    offset: int
    size: int
    declared: bool
    """Whether the first testcase, if it is run, has the shapes that the graph declares."""
    deploy: report.Graph | None
    change: report.Change | None
    strip_info: dict[str, list[str]]
    hash: int
    deploy_strip_info: dict[str, list[str]]
    deploy_hash: int
    warnings: list[str]


class PackedRead(msgspec.Struct, frozen=True, tag=True):
    """The main graph of the packed file was read back."""

    packed: report.Graph


class TestcaseWritten(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """A testcase is in the packed file; ``spool`` holds its reference outputs.

    The spool (``engine/spool.py``) has the outputs in the order of ``outputs`` (none with
    ``--no-assert``), then ``own`` results of the Python code that the model was exported from.
    """

    __test__ = False

    index: int
    offset: int
    size: int
    spool: str
    inputs: list[report.Tensor]
    outputs: list[str]
    own: int = 0


class AllWritten(msgspec.Struct, frozen=True, tag=True):
    """The packed file is complete."""

    count: int
    size: int


class LayoutRead(msgspec.Struct, frozen=True, tag=True):
    """The parts of a finished packed file were found."""

    packed: report.Graph
    model: report.Graph | None
    count: int


class Checked(msgspec.Struct, frozen=True, tag=True):
    """One testcase was run and compared."""

    testcase: report.Testcase


class LiteReady(msgspec.Struct, frozen=True, tag=True):
    """MegEngine Lite is loaded."""

    engine: report.Engine


class LiteChecked(msgspec.Struct, frozen=True, tag=True):
    """One testcase was run on MegEngine Lite; a comparison for each output of the packed file."""

    index: int
    outputs: list[report.Comparison]


class Located(msgspec.Struct, frozen=True, tag=True):
    """Where the graph first goes wrong."""

    location: report.Location


class Diffed(msgspec.Struct, frozen=True, tag=True):
    """Two models were compared; how far their outputs drift, :class:`Checked` testcases tell.

    Each of these has the outputs of ``baseline.drift`` in that order, or none.
    """

    baseline: report.Baseline


class Timed(msgspec.Struct, frozen=True, tag=True):
    """One more of the files was timed: the milliseconds that each run took."""

    runs: list[float]


class FileDigested(msgspec.Struct, frozen=True, tag=True):
    """The whole packed file was read once more."""

    size: int
    digest: str


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The worker cannot go on. ``status`` is an :class:`megdump_ci.errors.ExitStatus`."""

    status: int
    problems: list[Problem]
    traceback: str = ""
    refused: bool = False
    """Whether the engine refused the graph, and not the file that it is in."""


class Finished(msgspec.Struct, frozen=True, tag=True):
    """The job is done; the process ends. ``parts`` are the seconds that it spent on each thing."""

    peak_memory: int
    parts: dict[str, float] = {}


Job = (
    PackJob
    | ExportJob
    | ExportCheckJob
    | StreamCheckJob
    | FileCheckJob
    | LiteJob
    | LocateJob
    | DiffJob
    | TimeJob
)
ToWorker = Box | Job | Profile | Taken | GraphWritten | TestcaseWritten | AllWritten
FromWorker = (
    Boxed
    | Ready
    | ModelDumped
    | Sample
    | ModelsRead
    | ModelLoaded
    | GraphWritten
    | PackedRead
    | TestcaseWritten
    | AllWritten
    | LayoutRead
    | Checked
    | LiteReady
    | LiteChecked
    | Located
    | Diffed
    | Timed
    | FileDigested
    | Failed
    | Finished
    | Mark
)


def encode(message: msgspec.Struct) -> bytes:
    """One message as a line."""
    return msgspec.json.encode(message) + b"\n"
