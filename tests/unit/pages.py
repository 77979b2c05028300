"""Reports that reporters show: one of each verdict, one of everything, and one that is hostile."""

from __future__ import annotations

import dataclasses
import functools
import types
from collections.abc import Callable
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from megdump_ci.errors import Problem
from megdump_ci.report import (
    Altered,
    Baseline,
    Change,
    Comparison,
    Drift,
    Edit,
    Gate,
    KernelFailure,
    Location,
    NonFinite,
    Operator,
    OperatorChange,
    ParameterChange,
    Report,
    Step,
    Sweep,
    Tensor,
    TensorChange,
    Testcase,
    Totals,
    Trial,
)
from tests.unit import reports

_T = TypeVar("_T")

HOSTILE = (
    "x\n::error::evil\r##[error]evil</td></details><b>evil</b>`<img src=x onerror=evil()>"
    '|*e*_e_[e](e)\n\n# evil\n```\n"]:::evil\x1b[31m\u202e\x00\ufffe'
)
"""Text that is a workflow command in both forms, HTML, markdown, a chart's end, and escapes."""


def _limits(error: float) -> list[Gate]:
    return [
        Gate(
            name="maxerr",
            output="logits",
            limit=1e-4,
            value=error,
            testcase=1,
            passed=False,
            reason=f"error {error:g} is above 0.0001",
        ),
        Gate(
            name="top-k-agreement",
            output="logits",
            limit=0.99,
            value=0.5,
            passed=False,
            reason="0.5 of 2 rows is below 0.99",
        ),
    ]


def _wrong_shape(index: int) -> Testcase:
    case = reports.case(index, 0.25)
    comparison = Comparison(passed=False, reason="shape is (1, 9), expected (1, 10)")
    output = msgspec.structs.replace(
        case.outputs[0], reason=comparison.reason, assertion=None, against_model=comparison
    )
    output = msgspec.structs.replace(output, against_expected=None)
    return msgspec.structs.replace(case, outputs=[output])


def _tensor(name: str, dtype: str = "float32") -> Tensor:
    return Tensor(name=name, dtype=dtype, shape=[1, 64, 28, 28], digest="sha256:01")


def _step(name: str, status: Any, error: float | None = None) -> Step:
    return Step(name=name, type="Elemwise", status=status, error=error)


_NAMES = ["data", *(f"layer{number}" for number in range(8)), "conv2.RELU"]

LOCATION = Location(
    testcase=1,
    kernels="naive",
    criterion="SQNR of logits is 12.5 dB, and 40 dB is what float16 has",
    operators=[
        *(_step(name, "ok", 1e-4) for name in _NAMES[1:-2]),
        _step(_NAMES[-2], "fused"),
        _step("conv2.RELU", "source", 0.7),
        _step("logits", "follows", 0.6),
    ],
    wrong=[
        Operator(
            name="conv2.RELU",
            type="Elemwise",
            match="name",
            inputs=[_tensor("layer7")],
            output=_tensor("conv2.RELU"),
            optimized=_tensor("conv2.RELU", "float16"),
            optimized_type="ConvBiasForward",
            layout="NCHW4",
            covers=["conv2.Convolution", "conv2.ADD"],
            fused=True,
            inputs_agree=True,
            comparison=Comparison(
                passed=False,
                error=0.31,
                metrics=reports.metrics(0.31),
                computed_non_finite=NonFinite(nan=3, inf=4),
            ),
            error=0.7,
            own_error=0.7,
            beyond_rounding=33.1,
            chain=_NAMES,
            outputs=["logits"],
            altered=[
                Altered(kind="parameter", name="pad_h", operator="pool", expected="1", found="0")
            ],
        )
    ],
    notes=["names are those of the model optimised anew"],
)

CHANGE = Change(
    passes=["enable_nchw44"],
    operators_before=15,
    operators_after=9,
    removed={"ConvolutionForward": 2, "Elemwise": 4},
    added={"ConvBiasForward": 2, "RelayoutFormat": 1},
    fused={"ConvBiasForward": 2},
    dtypes_before={"float32": 15},
    dtypes_after={"float32": 8, "float16": 1},
    size_before=32900,
    size_after=29700,
)

BASELINE = Baseline(
    change="structure",
    headline="other structure: 1 operator changed, 1 added; 1 parameter changed",
    base=reports.graph("base/digits.mge", 23),
    model=reports.graph("digits.mge", 24),
    operator_totals=Totals(alike=22, changed=1, added=1),
    operators=[
        OperatorChange(
            how="changed",
            type="ConvolutionForward",
            name="conv1",
            base_name="conv0",
            edits=[Edit(what="pad_h", before="1", after="0")],
        ),
        OperatorChange(how="added", type="Elemwise", name="relu9"),
    ],
    parameter_totals=Totals(alike=3, changed=1),
    parameters=[
        ParameterChange(
            how="changed",
            name="fc.weight",
            used_by="MatrixMul fc",
            base=_tensor("fc.weight"),
            model=_tensor("fc.weight"),
            max_abs_error=0.25,
            metrics=reports.metrics(0.25),
        )
    ],
    inputs=[
        TensorChange(
            how="changed",
            base=_tensor("data"),
            model=_tensor("data", "uint8"),
            edits=[Edit(what="dtype", before="float32", after="uint8")],
        )
    ],
    outputs=[TensorChange(how="added", model=_tensor("extra"), compatible=True)],
    notes=["the base model is packed: its graph was taken"],
    testcases=2,
    drift=[
        Drift(
            output="logits",
            base_output="scores",
            compared=2,
            errors=[0.0, 0.25],
            max_error=0.25,
            max_abs_error=0.25,
            cosine=0.98,
            sqnr=12.5,
            testcase=1,
            worst=reports.metrics(0.25),
            top_k=reports.metrics(0.25).top_k,
        )
    ],
)

SWEEP = Sweep(
    trials=[
        Trial(
            name=name,
            options=[f"--enable-{name}"] if name != "none" else [],
            status="passed",
            kernels="fast",
            max_error=1e-6,
            size=32900,
            digest=f"sha256:{name}",
            operators=15,
            change=CHANGE,
            latency=latency,
            latency_best=latency,
            runs=9,
        )
        for name, latency in (("none", 0.2), ("plain", 0.18), ("nchw44", 0.12))
    ]
    + [
        Trial(name="ioc16", options=["--enable-ioc16"], status="failed", reason="error 1 at [0]"),
        Trial(
            name="nchw88",
            options=["--enable-nchw88"],
            status="passed",
            kernels="naive",
            kernel_failures=[KernelFailure(kernels="fast", how="hung", reason="Xbyak::Error")],
        ),
    ],
    fastest="nchw44",
    smallest="none",
)

OPTIONS = {
    "model": "digits.mge",
    "data": ["@digits.txt"],
    "output": "out.mge",
    "enable_nchw44": True,
    "optimize_for_inference": True,
    "maxerr": 1e-4,
    "seed": 0,
}

_FAILED = {
    "verdict": "failed",
    "exit_status": 1,
    "headline": "FAIL: 1 of 3 testcases, max error 0.25",
    "options": OPTIONS,
    "max_error": 0.25,
    "gates": _limits(0.25),
    "testcases": [reports.case(0), reports.case(1, 0.25), _wrong_shape(2)],
    "warnings": ["outputs a and b compute the same"],
}

PAGES: dict[str, Report] = {
    "passed": reports.report(options=OPTIONS, change=CHANGE),
    "failed": reports.report(
        **_FAILED, passing=["--maxerr", "0.25", "--top-k-agreement", "0.5"], location=LOCATION
    ),
    "error": reports.report(
        verdict="error",
        exit_status=2,
        headline="ERROR: cannot read x.mge: No such file or directory (and 1 more)",
        problems=[
            Problem("cannot read x.mge: No such file or directory", "give the path of a model"),
            Problem("bad spec\n  #rand(1\n         ^", "close it", "digits.txt", 3),
        ],
        testcases=[],
    ),
    "many": reports.report(
        **{**_FAILED, "headline": "FAIL: 100 of 150 testcases, max error 0.15"},
        passing=["--maxerr", "0.15"],
    ),
    "sweep": reports.report(
        command="megdump-ci sweep digits.mge --data @digits.txt",
        headline="PASS: 4 of 5 configurations; fastest nchw44, smallest none",
        sweep=SWEEP,
        testcases=[],
        packed=None,
        strip_info=[],
    ),
    "baseline": reports.report(baseline=BASELINE),
    "unverified": reports.report(
        verdict="not verified",
        headline="NOT VERIFIED: 2 testcases packed without assertions, nothing compared",
        testcases=[msgspec.structs.replace(reports.case(i), outputs=[]) for i in range(2)],
        max_error=None,
    ),
}
PAGES["many"] = msgspec.structs.replace(
    PAGES["many"],
    testcases=[reports.case(index, 0.001 * (index % 3 == 0) * index) for index in range(150)],
)

EVERYTHING = reports.report(
    **_FAILED,
    passing=["--maxerr", "0.25"],
    name="a run",
    lite=reports.LITE,
    exported=reports.graph("exported.mge", 24),
    deploy=reports.graph("deploy.mge", 24),
    problems=[Problem("cannot write it", "give another", "digits.txt", 3)],
    change=CHANGE,
    location=LOCATION,
    baseline=BASELINE,
    sweep=SWEEP,
    kernels="naive",
    kernel_failures=[KernelFailure(kernels="fast", how="hung", reason="it gave up")],
)
"""A report in which everything that can be said is."""


def tampered(report: Report, text: str) -> Report:
    """``report`` with ``text`` in every string that comes from outside; what was equal still is."""
    made: dict[str, str] = {}
    return _tampered(report, lambda given: made.setdefault(given, f"{len(made)}{text}"))


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _tampered(value: _T, made: Callable[[str], str]) -> _T:
    hints = _hints(type(value))
    changes = {name: _replaced(getattr(value, name), hint, made) for name, hint in hints.items()}
    if dataclasses.is_dataclass(value):
        return dataclasses.replace(value, **changes)  # type: ignore[type-var]
    return msgspec.structs.replace(value, **changes)  # type: ignore[type-var]


def _replaced(value: Any, hint: Any, made: Callable[[str], str]) -> Any:
    if isinstance(value, msgspec.Struct) or dataclasses.is_dataclass(value):
        return _tampered(value, made)
    # What is one of some words, or empty, is that of the program.
    if isinstance(value, str):
        return made(value) if value and _any_text(hint) else value
    inner = (*get_args(hint), Any)
    if isinstance(value, list):
        return [_replaced(item, inner[0], made) for item in value]
    if isinstance(value, dict):
        keys = [key if hint == dict[str, Any] else made(key) for key in value]
        values = [_replaced(item, inner[1], made) for item in value.values()]
        return dict(zip(keys, values, strict=True))
    return value


def _any_text(hint: Any) -> bool:
    if get_origin(hint) in (Union, types.UnionType):
        return any(map(_any_text, get_args(hint)))
    return hint in (str, Any) and get_origin(hint) is not Literal


PAGES["hostile"] = tampered(EVERYTHING, HOSTILE)
