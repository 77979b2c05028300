"""MegEngine's graph layer, wrapped once: loading, optimising, asserting, dumping, running.

Built on what MegEngine 1.13.0 has below its public interface
(``megengine/core/tensor/megbrain_graph.py``, ``imperative/python/src/graph_rt.cpp``), because the
public ``megengine.utils.network.Network`` unpickles metadata from the model file and cannot
optimise in 1.13.0.
"""

from __future__ import annotations

import io
import json
import re
import time
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

import megengine
import numpy as np
import numpy.typing as npt

# The bindings that Network is itself built on; megengine offers nothing public at this level.
from megengine.core import _imperative_rt as rt
from megengine.core.ops import builtin
from megengine.core.tensor import dtype as mge_dtype
from megengine.core.tensor import megbrain_graph as mgb
from megengine.utils import comp_graph_tools as tools

from megdump_ci import report
from megdump_ci.difference import CONSTANTS
from megdump_ci.errors import EngineError, InputError
from megdump_ci.packed import EXPECT_SUFFIX, check_room
from megdump_ci.sandbox.limits import LEAST_MEMORY, own_memory
from megdump_ci.spans import span
from megdump_ci.testcase.values import TOO_MUCH, InputType

Var = Any
"""A ``VarNode`` of the engine."""
Array = npt.NDArray[np.generic]

DEVICE = "xpux"
"""The logical device that dumped graphs live on; tensors must be made for it."""

ASSERT_SUFFIX = ":assert"
"""The operator that compares output ``NAME`` is an output of the packed graph of this name."""

_NAMED = b"\x06\0\0\0xpux:0\0"
"""The same in a file, as flatbuffers have it: length, text and end, aligned to four bytes."""
_WORD = 4
_LARGEST_MOVED = 1 << 29
"""Bytes of a graph that is moved."""
_ROOM_TO_MOVE = 2 * LEAST_MEMORY
"""Bytes of memory from which on there are other devices: each has threads, with their stacks."""
_FOR_DATA = 9
"""The number of a device on which no model runs: what is asked of it is not waited for."""

FORMATS = {"fbs": "FBS", "fbs_v2": "FBS_V2"}
"""What the engine calls the formats."""
# Width and offset of the values of the quantised types that do not fill their storage type.
_LOW_BIT = {"QuantizedS4": (-8, 7), "Quantized4Asymm": (0, 15), "QuantizedS1": (-1, 1)}
_FLOAT32 = np.dtype(np.float32)
_FEEDABLE = ("float32", "float16", "int8", "uint8", "int16", "uint16", "int32", "bool")


def versions() -> report.Engine:
    """The engine and the packages it computes with."""
    import cv2

    return report.Engine(
        version=megengine.__version__, numpy=np.__version__, opencv=cv2.__version__
    )


class EngineRefused(EngineError):
    """MegEngine raised: its message, without the native backtrace."""

    def __init__(self, doing: str, error: BaseException, hint: str = "") -> None:
        super().__init__(f"MegEngine failed {doing}: {said(error)}", hint)


class GraphRefused(EngineRefused):
    """MegEngine cannot optimise or run a graph that it has loaded."""


def said(error: BaseException) -> str:
    """What the engine says, without its backtrace and its own function signatures."""
    text = str(error).split("\nbacktrace:")[0].strip() or type(error).__name__
    found = re.match(r"assertion `(.*?)' failed at (\S+):(\d+): [^\n]*(?:\n(.*))?", text, re.DOTALL)
    if not found:
        return text
    condition, file, line, rest = found.groups()
    where = f"assertion '{condition}' at {PurePath(file).name}:{line}"
    return f"{rest.removeprefix('extra message: ')} ({where})" if rest else where


def can_move(content: bytes, loaded: LoadedGraph | None = None) -> bool:
    """Whether a serialised graph can be loaded onto another CPU device of the engine.

    Each has a queue and a thread of its own and computes the same, bit for bit, so graphs on
    several run beside each other. Nothing moves a graph that is loaded: the name of its device is
    replaced in the file, where nothing else may have it. It takes a copy, which a large one is not
    worth. A name that is the same text shares its bytes: it is looked for in the graph ``loaded``.
    """
    if loaded is not None and _is_named(f"{DEVICE}:0", loaded.inputs, loaded.outputs):
        return False
    return _place_of_device(content) is not None


def _is_named(name: str, inputs: Container[str], outputs: Sequence[Var]) -> bool:
    """Whether an input or any var has that name."""
    results = (var for item in operators_of(outputs) for var in item.outputs)
    return name in inputs or any(_name(var) == name for var in results)


def _name(var: Var) -> str | None:
    try:
        return str(var.name)
    except UnicodeDecodeError:
        # Those of vars may be anything, as long as nobody asks for them.
        return None


def _place_of_device(content: bytes) -> int | None:
    if len(content) > _LARGEST_MOVED or own_memory() < _ROOM_TO_MOVE:
        return None
    # Strings are aligned to the end, to four bytes; bytes.find would take ten times as long.
    start = len(content) % _WORD
    words = np.frombuffer(content, np.uint32, len(content) // _WORD, start)
    found = np.flatnonzero(words == np.frombuffer(_NAMED, np.uint32, 1, _WORD))
    if found.size != 1:
        return None
    place = start + _WORD * (int(found[0]) - 1)
    return place if content.startswith(_NAMED, place) else None


def for_data(content: bytes) -> bytes:
    """A testcase for a device on which no model runs; as it is if it cannot be moved there."""
    return _moved(content, _FOR_DATA)


def _moved(content: bytes, device: int) -> bytes:
    """A serialised graph for that device, from 1 on; as it is where it cannot be moved."""
    place = _place_of_device(content)
    if place is None:
        return content
    named = _NAMED.replace(b"xpux", b"cpu%d" % device)
    view = memoryview(content)
    return b"".join((view[:place], named, view[place + len(named) :]))


@dataclass(frozen=True)
class LoadedGraph:
    """A graph in memory. ``inputs`` are sorted by name, as ``load_and_run`` sorts them."""

    graph: Any
    inputs: dict[str, Var]
    outputs: list[Var]
    metadata: Any


@span("load a graph")
def load(content: bytes, what: str, device: int = 0) -> LoadedGraph:
    """Load a serialised graph; onto a device other than the usual one, if it can be moved there.

    Where a name in it is the text that was replaced, that is seen once it is loaded.
    Raises :class:`EngineRefused` if the engine cannot, :class:`InputError` for unreadable names.
    """
    try:
        loaded = mgb.load_graph(io.BytesIO(_moved(content, device) if device else content))
        for operator in operators_of(loaded.output_vars_list):
            _ = operator.name
        # load_graph names each input's var after the input; its operator gets a made-up name.
        found = {var.name: var for var in tools.get_dep_vars(loaded.output_vars_list, _INPUT)}
    except UnicodeDecodeError as error:
        raise InputError(
            f"{what} holds a name that is not UTF-8: {error.object!r}", "the file is damaged"
        ) from None
    except RuntimeError as error:
        hint = "the file is damaged, or holds operators that MegEngine 1.13 does not have"
        raise EngineRefused(f"loading {what}", error, hint) from None
    inputs = dict(sorted(found.items(), key=lambda item: item[0].encode()))
    if device and _is_named(f"cpu{device}:0", inputs, loaded.output_vars_list):
        return load(content, what)
    if not loaded.metadata.optimized_for_inference:
        # The engine leaves this unset, and a dump would write what happens to be in memory.
        loaded.metadata.optimize_options = 0
    return LoadedGraph(loaded.graph, inputs, loaded.output_vars_list, loaded.metadata)


_INPUT = "Host2DeviceCopy"


def apart(one: LoadedGraph, other: LoadedGraph) -> bool:
    """Whether two graphs may run at the same time: they have no device in common.

    Where they have, what a kernel raises is told to whoever asks that device next.
    """
    return not _devices(one) & _devices(other)


def trust(loaded: LoadedGraph) -> None:
    """Leave out what the engine looks at in a first run: it does elsewhere, or values alone count.

    It adds up each var once it is computed and before each operator that reads it, to tell those
    that write where they may not (``src/plugin/impl/var_sanity_check.cpp``), and waits each time:
    with thousands of operators such a run takes ten times as long.
    """
    loaded.graph.options.var_sanity_check_first_run = False


def _devices(loaded: LoadedGraph) -> set[str]:
    operators = operators_of(loaded.outputs)
    # Several names stand for the same one.
    return {var.comp_node.physical_name for item in operators for var in item.outputs}


def operators_of(outputs: Sequence[Var]) -> Iterator[Any]:
    """Every operator that the outputs depend on, once, in an order that means nothing.

    The engine's own walks sort what they find, in a time that is quadratic in the constants.
    """
    found = {var.owner.id: var.owner for var in outputs}
    left, seen = list(found.values()), set(found)
    while left:
        operator = left.pop()
        yield operator
        for source in (var.owner for var in operator.inputs):
            if source.id not in seen:
                seen.add(source.id)
                left.append(source)


def keep_input_names(loaded: LoadedGraph) -> None:
    """Let a dump write the inputs under the names they were loaded with.

    A dump stores an input under the name of its operator, which loading has lost.
    """
    for name, var in loaded.inputs.items():
        var.owner.name = name


@span("optimise")
def optimize(loaded: LoadedGraph, passes: Sequence[str]) -> list[Var]:
    """The outputs after ``optimize_for_inference`` with the given ``enable_...`` passes."""
    try:
        # 1.13.0 returns the vars and the options packed in an int, which the metadata holds.
        optimized, loaded.metadata.optimize_options = mgb.optimize_for_inference(
            list(loaded.outputs), **dict.fromkeys(passes, True)
        )
    except RuntimeError as error:
        asked = ", ".join(passes) or "no extra passes"
        raise GraphRefused(
            f"optimising the graph ({asked})", error, "leave out a pass to see which one it is"
        ) from None
    return list(optimized)


def applied_passes(metadata: Any) -> list[str] | None:
    """The ``enable_...`` passes that a graph says it was optimised with; ``None`` if with none.

    A plain optimisation is an empty list, or has the passes that the engine adds by itself.
    """
    if not metadata.optimize_options:
        return None
    try:
        return list(mgb.deserialize_infer_option(metadata.optimize_options))
    except (RuntimeError, KeyError) as error:
        raise EngineRefused("reading the options of the optimisation", error) from None


def add_assertions(
    graph: Any,
    outputs: Sequence[Var],
    names: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
    limits: Sequence[float],
    *,
    verbose: bool,
) -> list[Var]:
    """An AssertEqual operator for each output, in float32, against an input ``NAME:expect``.

    ``shapes`` are those that the expecting inputs declare, ``limits`` the largest errors that
    pass. Call it after optimising, or float16 passes would have the comparison done in float16.
    """
    asserted = []
    for var, name, shape, maxerr in zip(outputs, names, shapes, limits, strict=True):
        expected = rt.make_h2d(
            graph, rt.CompNode(DEVICE), _FLOAT32, list(shape), name + EXPECT_SUFFIX
        )
        check = builtin.AssertEqual(maxerr=maxerr, verbose=verbose)
        (result,) = mgb.apply_normal_varnode(check, expected, _as_float32(var))
        result.name = name + ASSERT_SUFFIX
        asserted.append(result)
    return asserted


def real_values(var: Var) -> Var:
    """The var, or what its quantised values stand for in float32."""
    return _as_float32(var) if mge_dtype.is_quantize(var.dtype) else var


def _as_float32(var: Var) -> Var:
    if var.dtype == _FLOAT32 and not mge_dtype.is_quantize(var.dtype):
        return var
    (converted,) = mgb.apply_normal_varnode(builtin.TypeCvt(_FLOAT32), var)
    return converted


@dataclass(frozen=True)
class Assertion:
    """An AssertEqual operator of a packed graph and the vars around it."""

    name: str
    """The output it is about."""
    expect: str
    """The input that holds the expected value."""
    result: Var
    expected: Var
    computed: Var
    error: Var

    @property
    def about(self) -> set[int]:
        """The ids of the vars it compares: converted to float32, and as it was before."""
        own = {self.computed.id}
        if self.computed.owner.type == "TypeCvt":
            own.add(self.computed.owner.inputs[0].id)
        return own


def split_outputs(loaded: LoadedGraph) -> tuple[list[Var], list[Assertion]]:
    """A packed graph's plain outputs, and its assertions."""
    plain, assertions = [], []
    for var in loaded.outputs:
        check = var
        # Float16 passes of older tools convert the assertion's result as any other output.
        while check.owner.type == "TypeCvt":
            (check,) = check.owner.inputs
        if check.owner.type == "AssertEqual":
            assertions.append(_assertion(check))
        else:
            plain.append(var)
    return plain, assertions


def compared_vars(loaded: LoadedGraph) -> list[Var]:
    """What stands for the model's outputs in a packed graph, in their order.

    A file of the old tool has no plain outputs; an assertion has what it compared.
    """
    plain, assertions = split_outputs(loaded)
    return plain or [assertion.computed for assertion in assertions]


def _assertion(var: Var) -> Assertion:
    # AssertEqual's inputs: expected, computed, error (src/opr/impl/utility.cpp).
    expected, computed, error = var.owner.inputs
    # Float16 passes of older tools leave a conversion between the input and the operator.
    sources = [source.name for source in tools.get_dep_vars(expected, _INPUT)]
    expect = next((name for name in sources if name.endswith(EXPECT_SUFFIX)), "")
    if not expect:
        raise InputError(
            f"assertion {var.name} does not compare with an input named NAME{EXPECT_SUFFIX}",
            "the file was not packed by a tool that megdump-ci knows: pack the model again",
        )
    return Assertion(
        name=expect.removesuffix(EXPECT_SUFFIX),
        expect=expect,
        result=var,
        expected=expected,
        computed=computed,
        error=error,
    )


def tolerance(graph: Any, assertion: Assertion, guess: float) -> float:
    """The ``maxerr`` of an assertion: the largest error that its operator lets pass.

    The engine does not tell the parameter, so the operator itself is asked: expecting ``x`` where
    0 is computed has the error ``x``. If ``guess`` passes and the next larger number does not, it
    is the one; else halving the range of possible ``x`` finds the border.
    """
    dtype, device = np.dtype(assertion.expected.dtype), assertion.expected.comp_node
    # Floats from 0 to infinity are ordered as their bit patterns are.
    bits = np.dtype(f"u{dtype.itemsize}") if dtype.kind == "f" else dtype
    top = np.array(np.inf, dtype).view(bits) if dtype.kind == "f" else np.iinfo(dtype).max
    sources = {
        name: mgb.InputNode(
            device=device, dtype=dtype, shape=(1,), graph=graph, use_static_shape=True
        )
        for name in ("expected", "computed")
    }
    swap = {getattr(assertion, name): node.outputs[0] for name, node in sources.items()}
    function = graph.compile(tools.replace_vars([assertion.result], swap))

    def passes(place: int) -> bool:
        expected = np.array([place], bits).view(dtype)
        for node, value in zip(sources.values(), (expected, np.zeros(1, dtype)), strict=True):
            node.set_value(to_device(value, dtype, device))
        return not raised(function)

    low, high = 0, int(top) + 1
    guessed = int(np.array(guess).astype(dtype).view(bits))
    # A failing one costs the engine twenty times what a passing one does.
    if low < guessed < int(top) and passes(guessed):
        low = guessed
        high = high if passes(guessed + 1) else guessed + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if passes(middle) else (low, middle)
    return float(np.array([low], bits).view(dtype)[0])


def raised(function: Any) -> bool:
    """Run a compiled assertion; whether it failed."""
    try:
        function.execute()
        function.wait()
    except RuntimeError as error:
        if not is_assertion_failure(error):
            raise EngineRefused("asking an assertion for its maxerr", error) from None
        return True
    return False


def is_assertion_failure(error: RuntimeError) -> bool:
    """Whether the engine raised because AssertEqual found a difference."""
    return str(error).startswith("Unequal value")


@span("dump a graph")
def dump(
    outputs: Sequence[Var], format: str, *, keep_names: bool, metadata: Any = None
) -> tuple[bytes, int]:
    """Serialise a graph; its bytes and the engine's content hash (0 in FBS_V2)."""
    try:
        content, info = mgb.dump_graph(
            list(outputs),
            keep_var_name=2 if keep_names else 0,
            keep_param_name=keep_names,
            metadata=metadata,
            dump_format=FORMATS[format],
        )
    except RuntimeError as error:
        raise EngineRefused(f"writing the graph as {format}", error) from None
    check_room(len(content), format, "the graph to write")
    return content, int(info.content_hash)


@span("dump a testcase")
def dump_constants(values: Sequence[tuple[Array, Any]], format: str) -> bytes:
    """A testcase graph: one SharedDeviceTensor for each array and engine dtype, in order."""
    what, hint = "the data of a testcase, with what is expected,", TOO_MUCH
    check_room(sum(value.nbytes for value, _ in values), format, what, hint)
    graph = mgb.Graph()
    outputs = [graph.make_const(to_device(value, dtype)) for value, dtype in values]
    try:
        content, _ = mgb.dump_graph(outputs, dump_format=FORMATS[format])
    except RuntimeError as error:
        raise EngineRefused(f"writing a testcase as {format}", error) from None
    check_room(len(content), format, what, hint)
    return content


@span("load a testcase")
def read_constants(content: bytes, what: str) -> list[Array]:
    """The arrays in a testcase graph, in order."""
    loaded = load(content, what)
    for var in loaded.outputs:
        if var.owner.type != "SharedDeviceTensor":
            raise InputError(
                f"{what} holds a value as {var.owner.type}, which load_and_run does not read",
                "pack the model again",
            )
    try:
        return Function(loaded.graph, loaded.outputs, {}, {}).run({})
    except RuntimeError as error:
        raise EngineRefused(f"reading {what}", error, "the file is damaged") from None


def strip_info(outputs: Sequence[Var]) -> dict[str, list[str]]:
    """``opr_types``, ``dtypes`` and ``elemwise_modes`` of a graph, each sorted."""
    info: dict[str, list[str]] = json.loads(rt.get_info_for_strip(list(outputs)))
    return info


def to_device(value: Array, dtype: Any, device: Any = DEVICE) -> Any:
    """A tensor of an engine dtype on a device; ``value`` holds its stored form."""
    stored = np.ascontiguousarray(value)
    if stored.dtype != dtype or mge_dtype.is_quantize(dtype):
        # Same bytes; the quantised dtypes are numpy dtypes with scale and zero point attached.
        stored = stored.view(dtype)
    return megengine.tensor(stored, dtype=dtype, device=device)._dev_tensor()


_RUNNING = futures.ThreadPoolExecutor(None, "running")
"""A thread for each of the graphs that run at the same time."""


class Function:
    """A graph compiled for inputs of given shapes, to be run again and again.

    Inputs are given static shapes, as the device's runtime does: layout passes need them, and
    memory is planned once. ``effects`` are vars that are computed but not returned: assertions.
    """

    _ran = False

    @span("compile a graph")
    def __init__(
        self,
        graph: Any,
        outputs: Sequence[Var],
        inputs: Mapping[str, Var],
        shapes: Mapping[str, tuple[int, ...]],
        *,
        effects: Sequence[Var] = (),
    ) -> None:
        self._places = {name: (var.dtype, var.comp_node) for name, var in inputs.items()}
        self._feeds = {
            name: mgb.InputNode(
                device=var.comp_node,
                dtype=var.dtype,
                shape=shapes[name],
                graph=graph,
                use_static_shape=True,
            )
            for name, var in inputs.items()
        }
        replaced = list(outputs) + list(effects)
        if inputs:
            swap = {var: self._feeds[name].outputs[0] for name, var in inputs.items()}
            replaced = tools.replace_vars(replaced, swap)
        self._results = [mgb.OutputNode(var) for var in replaced[: len(outputs)]]
        ends = [node.outputs[0] for node in self._results] + replaced[len(outputs) :]
        self._function = graph.compile(ends)

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """The outputs for ``feeds``; RuntimeError of the engine, an assertion's included."""
        with self._run_span():
            self._feed(feeds)
            self._execute()
            return self.values()

    def start(self, feeds: Mapping[str, Array]) -> None:
        """Begin to run: the engine works while the caller goes on, until :meth:`finish`.

        Until then the caller asks nothing of the device that it runs on.
        """
        with span("feed the engine"):
            self._feed(feeds)
            # In a thread, because an AssertEqual lets the one wait that asks for the run.
            self._running = _RUNNING.submit(self._execute)

    def wait(self) -> None:
        """Wait for the run that was started, whatever becomes of it."""
        futures.wait([self._running])

    def finish(self) -> list[Array]:
        """The outputs of the run that was started; RuntimeError of the engine."""
        with self._run_span():
            self._running.result()
            return self.values()

    def _run_span(self) -> span:
        # The first one chooses kernels and plans memory.
        name = "run" if self._ran else "first run"
        self._ran = True
        return span(name)

    def timed(self, feeds: Mapping[str, Array]) -> float:
        """Run; seconds of the computing alone, without the inputs' and outputs' way."""
        self._feed(feeds)
        start = time.perf_counter()
        self._execute()
        seconds = time.perf_counter() - start
        # The engine wants the outputs taken before it runs again.
        self.values()
        return seconds

    def _feed(self, feeds: Mapping[str, Array]) -> None:
        for name, node in self._feeds.items():
            node.set_value(to_device(feeds[name], *self._places[name]))

    def _execute(self) -> None:
        self._function.execute()
        self._function.wait()

    def values(self) -> list[Array]:
        """The outputs of the last run, also of one that an assertion ended."""
        return [node.get_value().numpy() for node in self._results]


def input_type(name: str, var: Var) -> InputType:
    """What may be fed to an input; :class:`InputError` for a dtype that cannot be fed."""
    dtype, label = np.dtype(var.dtype), dtype_label(var.dtype)
    if dtype.name not in _FEEDABLE:
        raise InputError(
            f"input {name} has dtype {label}, which testcases cannot hold",
            f"convert inside the model; testcases can hold {', '.join(_FEEDABLE)} and the"
            " quantised types",
        )
    low, high = _LOW_BIT.get(label.split("(")[0], (None, None))
    return InputType(
        name=name,
        shape=tuple(var.shape) if var.shape else None,
        dtype=np.dtype(dtype.str),
        label=label,
        low=low,
        high=high,
    )


def dtype_label(dtype: Any) -> str:
    """``float32``, or ``QuantizedS8(scale=0.5)``."""
    dtype = np.dtype(dtype)
    if not mge_dtype.is_quantize(dtype):
        return str(dtype.name)
    facts = dict(dtype.metadata["mgb_dtype"])
    name = facts.pop("name")
    return f"{name}({', '.join(f'{key}={value:g}' for key, value in facts.items())})"


def tensor_facts(name: str, var: Var) -> report.Tensor:
    """Name, dtype and (if the graph fixes it) shape of a var."""
    return report.Tensor(
        name=name,
        dtype=dtype_label(var.dtype),
        shape=declared_shape(var),
    )


def declared_shape(var: Var) -> list[int] | None:
    """The shape that the graph fixes for a var, if it does."""
    try:
        shape = var.shape
    except RuntimeError:
        # It depends on values, and the engine offers no other way to ask.
        return None
    return [int(size) for size in shape] if shape is not None else None


@dataclass(frozen=True)
class Census:
    """How many there are in a graph."""

    operators: dict[str, int]
    """By type."""
    dtypes: dict[str, int]
    """Tensors that flow out of operators and are used, constants apart, by dtype."""
    parameters: int
    """Elements of its constant tensors together."""
    parameter_bytes: int


def census(outputs: Sequence[Var]) -> Census:
    """Count what is in a graph, in one walk."""
    operators: Counter[str] = Counter()
    used = {var.id: var for var in outputs}
    elements = size = 0
    for operator in operators_of(outputs):
        kind = str(operator.type)
        operators[kind] += 1
        used.update((var.id, var) for var in operator.inputs)
        for var in operator.outputs if kind in CONSTANTS else ():
            count = int(np.prod(var.shape or ()))
            elements += count
            size += count * np.dtype(var.dtype).itemsize
    dtypes = Counter(
        _dtype_kind(var.dtype) for var in used.values() if var.owner.type not in CONSTANTS
    )
    return Census(dict(sorted(operators.items())), dict(sorted(dtypes.items())), elements, size)


def _dtype_kind(dtype: Any) -> str:
    """A dtype without scale and zero point, of which each tensor has its own."""
    return dtype_label(dtype).partition("(")[0]
