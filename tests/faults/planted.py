"""The faults: how each is planted, and what has to be said of it.

A fault in the bytes of a file is planted in one of FBS, which is verified with the model that it
was packed from, and in one of FBS_V2, which is verified alone; those that take an engine to be
found in one of them, in turn. A broken model's graph is put in the place of the good one's, before
testcases that expect the good one's results; or it is packed as it is, to be told from the model.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from megdump_ci.gates import Limits
from tests.engine.support import Parts, replaced

Array = np.ndarray[Any, Any]

ABOVE = r"error \S+ at \[.+\] is above maxerr 0.0001: expected \S+, computed \S+"
"""What is said of a value that is off, beside its testcase and output."""
BLEND, APART = (rf"testcase 1: {name}: {ABOVE}" for name in ("blend", "apart"))
SMALL = {"min_sqnr": Limits(120.0)}
"""For outputs so small that AssertEqual does not see a thousandth of a weight; see docs/faults.md.
"""
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 46800\n"


@dataclass(frozen=True)
class Folder:
    """What ``models.py`` has made."""

    path: Path

    def model(self, name: str) -> Path:
        """A model."""
        return self.path / f"{name}.mge"

    def packed(self, name: str) -> bytes:
        """A packed model's bytes."""
        return (self.path / f"{name}.packed.mge").read_bytes()

    def parts(self, name: str) -> Parts:
        """The same in pieces."""
        return Parts.of(self.packed(name))

    def array(self, name: str) -> Array:
        """An input, a weight, or what a model computes: ``MODEL-TESTCASE-OUTPUT``."""
        found: Array = np.load(self.path / f"{name}.npy")
        return found


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One planted fault, and how it has to show."""

    kind: str
    name: str
    make: Callable[[Folder], bytes]
    """The bytes of the broken file."""
    said: tuple[str, ...]
    """Patterns, each for a line of what is said: they name the thing."""
    model: str = ""
    """The good model that ``verify`` is given; with ``pack``, none."""
    command: str = "verify"
    options: Mapping[str, Any] = field(default_factory=dict)
    engine: bool = True
    """Whether it takes an engine to find it."""
    warns: bool = False
    """Whether a warning is all that can be expected: the file is a good one, taken by itself."""


FAULTS: list[Fault] = []

Plant = Callable[[Parts, Folder], bytes]


_WAYS = (("pair.fbs", "pair.fbs"), ("pair.fbs_v2", ""))
"""Each file that faults are planted in, with the model that it is verified with."""
_turn = itertools.cycle(_WAYS)


def in_file(
    kind: str, said: str, *, engine: bool = False, warns: bool = False
) -> Callable[[Plant], Plant]:
    """Register a fault in the bytes of a packed file, under the function's name."""

    def register(plant: Plant) -> Plant:
        for base, model in [next(_turn)] if engine else _WAYS:

            def make(folder: Folder, base: str = base) -> bytes:
                return plant(folder.parts(base), folder)

            how = f"{base.removeprefix('pair.')}, {'with model' if model else 'alone'}"
            FAULTS.append(
                Fault(
                    kind=kind,
                    name=f"{plant.__name__.replace('_', ' ')} ({how})",
                    make=make,
                    said=(said,),
                    model=model,
                    engine=engine,
                    warns=warns,
                )
            )
        return plant

    return register


def with_testcase(parts: Parts, index: int, content: bytes) -> bytes:
    """The file with another testcase at ``index``."""
    testcases = list(parts.testcases)
    testcases[index] = content
    return dataclasses.replace(parts, testcases=tuple(testcases)).joined()


def with_value(parts: Parts, index: int, old: Array, change: Callable[[Array], None]) -> bytes:
    """The file with an array of testcase ``index`` changed."""
    new = old.copy()
    change(new)
    return with_testcase(parts, index, replaced(parts.testcases[index], old, new))


def expected(folder: Folder, index: int, output: str = "apart") -> Array:
    """What the good pair computes."""
    return folder.array(f"pair.fbs_v2-{index}-{output}")


def add(place: tuple[int, ...], value: float) -> Callable[[Array], None]:
    """A change of one element."""

    def change(array: Array) -> None:
        array[place] += np.float32(value)

    return change


def set_to(place: tuple[int, ...], value: float) -> Callable[[Array], None]:
    """Another value for one element."""

    def change(array: Array) -> None:
        array[place] = value

    return change


VALUES = "values of a testcase"


@in_file(VALUES, r"testcase 2: apart: error 0\.\d+ at \[1, 2\] is above maxerr", engine=True)
def expected_value_altered(parts: Parts, folder: Folder) -> bytes:
    return with_value(parts, 2, expected(folder, 2), add((1, 2), 0.01))


@in_file(VALUES, r"testcase 1: apart: .* at \[0, 0\].*: expected nan", engine=True)
def expected_value_not_a_number(parts: Parts, folder: Folder) -> bytes:
    return with_value(parts, 1, expected(folder, 1), set_to((0, 0), np.nan))


@in_file(VALUES, rf"testcase 0: apart: {ABOVE}", engine=True)
def expected_values_of_another_testcase(parts: Parts, folder: Folder) -> bytes:
    other = expected(folder, 1)
    return with_value(parts, 0, expected(folder, 0), lambda array: np.copyto(array, other))


@in_file(VALUES, BLEND, engine=True)
def expected_values_of_another_output(parts: Parts, folder: Folder) -> bytes:
    return with_testcase(
        parts, 1, swapped(parts.testcases[1], expected(folder, 1), expected(folder, 1, "blend"))
    )


@in_file(VALUES, APART, engine=True)
def input_value_altered(parts: Parts, folder: Folder) -> bytes:
    return with_value(parts, 1, folder.array("alpha1"), add((0, 1), 0.01))


@in_file(
    VALUES, r"testcase 0: blend: 1 of 6 values are NaN and 0 infinite; at \[1, 0\]", engine=True
)
def input_value_not_a_number(parts: Parts, folder: Folder) -> bytes:
    return with_value(parts, 0, folder.array("zeta0"), set_to((1, 0), np.nan))


@in_file(VALUES, rf"testcase 2: blend: {ABOVE}", engine=True)
def inputs_swapped(parts: Parts, folder: Folder) -> bytes:
    alpha, zeta = folder.array("alpha2"), folder.array("zeta2")
    return with_testcase(parts, 2, swapped(parts.testcases[2], alpha, zeta))


def swapped(content: bytes, one: Array, other: Array) -> bytes:
    """``content`` in which two arrays have changed places."""
    marker = np.full(one.shape, 7, one.dtype)
    found = replaced(content, one, marker)
    return replaced(replaced(found, other, one), marker, other)


LIST = "testcases in the file"


@in_file(LIST, r"ends at byte \d+, before testcase 2 of 3")
def testcase_dropped(parts: Parts, folder: Folder) -> bytes:
    return dataclasses.replace(parts, testcases=parts.testcases[:-1]).joined(count=3)


@in_file(LIST, r"has \d+ bytes behind its last testcase")
def testcase_not_counted(parts: Parts, folder: Folder) -> bytes:
    return parts.joined(count=2)


@in_file(LIST, r"has \d+ bytes behind its last testcase")
def testcase_duplicated(parts: Parts, folder: Folder) -> bytes:
    return parts.joined() + parts.testcases[0]


@in_file(LIST, r"check nothing new: testcase 2 those of 0", engine=True, warns=True)
def testcase_replaced_by_another(parts: Parts, folder: Folder) -> bytes:
    return with_testcase(parts, 2, parts.testcases[0])


@in_file(LIST, r"before testcase 3 of 4294967295")
def testcases_counted_without_measure(parts: Parts, folder: Folder) -> bytes:
    return parts.joined(count=2**32 - 1)


@in_file(LIST, "holds no testcase", engine=True)
def no_testcase(parts: Parts, folder: Folder) -> bytes:
    return dataclasses.replace(parts, testcases=()).joined()


@in_file(LIST, r"testcase 1 of 3 is in format fbs\S*, the model in fbs")
def testcase_of_another_format(parts: Parts, folder: Folder) -> bytes:
    other = "fbs" if parts.graph[8:12] == b"mgv2" else "fbs_v2"
    return with_testcase(parts, 1, folder.parts(f"pair.{other}").testcases[1])


@in_file(LIST, r"testcase 1 holds 3 values, the model has 4 inputs", engine=True)
def testcase_of_another_model(parts: Parts, folder: Folder) -> bytes:
    return with_testcase(parts, 1, folder.parts(f"net.{form(parts)}").testcases[1])


@in_file(LIST, "testcase 2: the value for input alpha is int32, the input float32", engine=True)
def testcase_of_another_dtype(parts: Parts, folder: Folder) -> bytes:
    return with_testcase(parts, 2, (folder.path / f"int32.{form(parts)}.testcase").read_bytes())


@in_file(LIST, r"testcase 2.*bad input shape.*\{2,3\}, \{3,2\}", engine=True)
def testcase_of_another_shape(parts: Parts, folder: Folder) -> bytes:
    return with_testcase(parts, 2, (folder.path / f"shape.{form(parts)}.testcase").read_bytes())


@in_file(LIST, "testcase 0 holds a value as Elemwise", engine=True)
def graph_for_a_testcase(parts: Parts, folder: Folder) -> bytes:
    return with_testcase(parts, 0, folder.model(f"pair.{form(parts)}").read_bytes())


def form(parts: Parts) -> str:
    """The format of a file's parts."""
    return "fbs_v2" if parts.graph[8:12] == b"mgv2" else "fbs"


FILE = "the file"


@in_file(FILE, r"is cut short: testcase 2 of 3 should end at byte \d+")
def tail_cut(parts: Parts, folder: Folder) -> bytes:
    return parts.joined()[:-5]


@in_file(FILE, r"is cut short: the model should end at byte \d+")
def graph_cut(parts: Parts, folder: Folder) -> bytes:
    return parts.joined()[: len(parts.graph) // 2]


@in_file(FILE, "has 3 bytes behind its last testcase")
def bytes_behind(parts: Parts, folder: Folder) -> bytes:
    return parts.joined() + b"\0\0\0"


@in_file(FILE, "ends inside its header")
def header_cut(parts: Parts, folder: Folder) -> bytes:
    return parts.joined()[:10]


@in_file(FILE, "is not a packed model")
def nothing_in_it(parts: Parts, folder: Folder) -> bytes:
    return b""


@in_file(FILE, "is not a packed model: it does not begin with mgbtest0")
def model_not_packed(parts: Parts, folder: Folder) -> bytes:
    return parts.graph


@in_file(FILE, "is a Git LFS pointer and not the file itself")
def git_lfs_pointer_in_its_place(parts: Parts, folder: Folder) -> bytes:
    return LFS_POINTER


def broken(
    kind: str,
    name: str,
    alone: str = "",
    with_model: str = "",
    located: str = "",
    *,
    good: str = "pair",
    title: str = "",
    options: Mapping[str, Any] | None = None,
) -> None:
    """Register the faults that a broken model of ``models.py`` gives.

    ``alone`` is said of its graph before the good testcases, ``with_model`` of the file that it is
    packed to, and ``located`` of the operator or the constant; where one of the first two is empty,
    that is not planted.
    """
    words = title or name.partition("_")[2].replace("_", " ")
    form = "fbs_v2"
    options = options or {}

    def graph_only(folder: Folder) -> bytes:
        graph = folder.parts(f"{name}.{form}").graph
        return dataclasses.replace(folder.parts(f"{good}.{form}"), graph=graph).joined()

    if alone:
        FAULTS.append(
            Fault(
                kind=kind,
                name=f"{words} (graph, alone)",
                make=graph_only,
                said=(alone,),
                options=options,
            )
        )
    if with_model:
        FAULTS.append(
            Fault(
                kind=kind,
                name=f"{words} (file, with model)",
                make=lambda folder: folder.packed(f"{name}.{form}"),
                said=(with_model, located),
                model=f"{good}.{form}",
                options=options,
            )
        )


OPERATORS = "operators"
LOGITS, PROBABILITY = (rf"testcase 2: {name}: {ABOVE}" for name in ("logits", "probability"))
broken(OPERATORS, "pair_cos_for_sin", BLEND, BLEND, "SIN has mode COS in the file")
broken(OPERATORS, "pair_max_for_mul", APART, APART, "MUL has mode MAX in the file")
broken(OPERATORS, "net_leaky_for_relu", LOGITS, good="net")
broken(OPERATORS, "net_relu_removed", "", LOGITS, "first wrong operator: .*RELU", good="net")
broken(OPERATORS, "net_bn_eps", LOGITS, good="net")
broken(
    OPERATORS,
    "net_softmax_over_rows",
    "",
    PROBABILITY,
    r"first wrong operator: probability \(SoftmaxForward\)",
    good="net",
)

WEIGHTS = "weights"
ONE = r"constant second\.weight of second\.Convolution .*: 1 of 288 elements differ"
ALL = r"constant head\.weight of head\.MatrixMul .*: 800 of 800 elements differ"
broken(WEIGHTS, "net_weight_thousandth", LOGITS, LOGITS, ONE, good="net")
broken(WEIGHTS, "net_layer_thousandth", LOGITS, LOGITS, ALL, good="net")
BLIND = r"testcase 2: probability: SQNR \S+ dB is below min-sqnr 120"
broken(
    WEIGHTS,
    "net_soft_weight_thousandth",
    BLIND,
    BLIND,
    ONE,
    good="net_soft",
    title="weight thousandth behind a softmax",
    options=SMALL,
)
NAN = r"testcase 1: logits: \d+ of 200 values are NaN"
broken(WEIGHTS, "net_weight_nan", NAN, NAN, r"constant head\.weight .* became nan", good="net")
broken(WEIGHTS, "net_hidden_nan", LOGITS, good="net", title="weight nan before relu")
broken(WEIGHTS, "net_weight_zero", "", LOGITS, r"constant second\.weight .* became 0$", good="net")
broken(WEIGHTS, "net_bias_dropped", LOGITS, good="net")
broken(WEIGHTS, "net_kernel_flipped", "", LOGITS, r"constant first\.conv\.weight", good="net")
broken(WEIGHTS, "net_channels_swapped", LOGITS, good="net")


def weight_bit_flipped(folder: Folder) -> bytes:
    """The lowest bit of the exponent of one weight: it is twice as large, or half."""
    parts = folder.parts("net.fbs")
    weight = folder.array("head.weight")
    wrong = weight.copy()
    wrong.view(np.uint32)[3, 5] ^= 1 << 23
    return dataclasses.replace(parts, graph=replaced(parts.graph, weight, wrong)).joined()


FAULTS.append(
    Fault(
        kind=WEIGHTS,
        name="weight bit flipped (graph, alone)",
        make=weight_bit_flipped,
        said=(r"testcase 0: logits: error \S+ at \[\d, 3\] is above maxerr",),
    )
)

ENDS = "inputs and outputs"
broken(ENDS, "pair_inputs_swapped", *[APART] * 2)
broken(
    ENDS,
    "pair_input_renamed",
    APART,
    r"the packed file has inputs Zeta, alpha, \S+ has alpha, zeta",
)
broken(
    ENDS,
    "pair_outputs_reordered",
    with_model="testcase 0: apart: it stands where the model has output blend",
)
broken(
    ENDS,
    "pair_outputs_renamed",
    rf"testcase 0: apart: {ABOVE}",
    "testcase 0: apart: it stands where the model has output blend",
)
broken(
    ENDS,
    "pair_output_removed",
    "testcase 0 holds 4 values, the model has 3 inputs",
    "testcase 0: the packed file has outputs blend, the model has blend, apart",
)
broken(
    ENDS,
    "pair_output_added",
    "testcase 0 holds 4 values, the model has 5 inputs",
    "testcase 0: the packed file has outputs blend, apart, more, the model has blend, apart",
)
broken(
    ENDS,
    "pair_output_float16",
    rf"testcase 2: apart: {ABOVE}",
    "testcase 0: apart: dtype is float16, the model's is float32",
)
broken(
    ENDS,
    "pair_output_int32",
    rf"testcase 0: apart: {ABOVE}",
    "testcase 0: apart: dtype is int32, the model's is float32",
)

ASSERTIONS = "assertions"


def widened(folder: Folder) -> bytes:
    """Assertions that let errors up to 0.5 pass, and an expected value that is off by 0.01."""
    parts = dataclasses.replace(folder.parts("pair.fbs_v2"), graph=folder.parts("pair_wide").graph)
    return with_value(parts, 2, expected(folder, 2), add((1, 2), 0.01))


def removed(folder: Folder) -> bytes:
    """A graph that asserts one output of two, before testcases for both."""
    graph = folder.parts("pair_assertion_removed").graph
    return dataclasses.replace(folder.parts("pair.fbs_v2"), graph=graph).joined()


FAULTS += [
    Fault(
        kind=ASSERTIONS,
        name="assertion removed (graph, alone)",
        make=removed,
        said=("testcase 0 holds 4 values, the model has 3 inputs",),
    ),
    Fault(
        kind=ASSERTIONS,
        name="assertion and expected values removed (alone)",
        make=lambda folder: folder.packed("pair_assertion_removed"),
        said=("testcase 1: apart: nothing to compare with: no assertion in the file",),
    ),
    Fault(
        kind=ASSERTIONS,
        name="assertions exchanged (alone)",
        make=lambda folder: folder.packed("pair_assertions_swapped"),
        said=(rf"testcase 0: apart: {ABOVE}",),
    ),
    Fault(
        kind=ASSERTIONS,
        name="assertion widened (alone, with --maxerr)",
        make=widened,
        said=(r"testcase 2: apart: error 0\.\d+ at \[1, 2\] is above maxerr 0.0001",),
        options={"maxerr": Limits(1e-4)},
    ),
    Fault(
        kind=ASSERTIONS,
        name="assertion widened (alone)",
        make=widened,
        said=(r"output apart passes by the file's own maxerr, 0.5: its error is 0\.\d+",),
        warns=True,
    ),
]

MODEL = "the model to pack"


def given(name: str, said: str, make: Callable[[Folder], bytes], **options: Any) -> None:
    """Register a fault in what ``pack`` is given."""
    FAULTS.append(
        Fault(
            kind=MODEL,
            name=name,
            make=make,
            said=(said,),
            command="pack",
            engine=bool(options),
            options=options,
        )
    )


def _model(folder: Folder) -> bytes:
    return folder.model("net.fbs_v2").read_bytes()


given("tail cut", "is cut short: the model should end at byte", lambda f: _model(f)[:-7])
given("bytes behind", "has 4 bytes behind the end of its graph", lambda f: _model(f) + b"\0" * 4)
given("empty", "is empty", lambda f: b"")
given("Git LFS pointer in its place", "is a Git LFS pointer", lambda f: LFS_POINTER)
given("packed before", "is already packed with testcases", lambda f: f.packed("net.fbs_v2"))
given(
    "values that float16 cannot hold",
    r"testcase 0: logits: \d+ of 200 values are NaN and \d+ infinite; at \[.+\] expected",
    lambda f: f.model("net_large.fbs_v2").read_bytes(),
    optimize_for_inference=True,
    enable_ioc16=True,
)
given(
    "rounding to float16",
    rf"testcase 0: logits: {ABOVE}",
    _model,
    optimize_for_inference=True,
    enable_io16xc32=True,
)


def by_kind() -> Iterator[tuple[str, list[Fault]]]:
    """The faults of each kind, in the order in which they are registered."""
    for kind in dict.fromkeys(fault.kind for fault in FAULTS):
        yield kind, [fault for fault in FAULTS if fault.kind == kind]
