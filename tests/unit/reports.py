"""Reports to show in tests."""

from msgspec import structs

from megdump_ci.report import (
    Assertion,
    Comparison,
    Element,
    Engine,
    Graph,
    Machine,
    Metrics,
    Operator,
    Output,
    Phase,
    Process,
    Report,
    Source,
    StripInfo,
    Tensor,
    Testcase,
    Tool,
    TopK,
)

MACHINE = Machine(system="Linux 6.1", processor="a CPU", cores=2, memory=2**34, python="3.10.13")
ENGINE = Engine(version="1.13.0", numpy="1.23.5", opencv="4.11.0")
LITE = Engine(name="MegEngine Lite", version="1.13.0", numpy="1.23.5", opencv="4.11.0")
REASON = "error 0.25 at [0, 3] is above maxerr 0.0001: expected 0.5, computed 0.75"


def graph(path: str, operators: int) -> Graph:
    """A graph in a file."""
    return Graph(
        path=path,
        size=46800,
        digest="sha256:00",
        format="fbs_v2",
        inputs=[Tensor(name="data", dtype="float32", shape=[1, 1, 8, 8])],
        outputs=[Tensor(name="logits", dtype="float32", shape=[1, 10])],
        operators={"Elemwise": operators},
        parameters=1000,
        parameter_bytes=4000,
    )


def metrics(error: float) -> Metrics:
    """Of an output of ten values of which one is off by ``error``."""
    if not error:
        return Metrics(size=10)
    return Metrics(
        size=10,
        beyond=int(error > 1e-4),
        differing=1,
        mean_abs_error=error / 10,
        max_abs_index=[0, 3],
        percentiles=(0.0, 0.0, error),
        max_rel_error=error * 2,
        cosine=0.98,
        sqnr=12.5,
        worst=[Element(index=[0, 3], expected=0.5, computed=0.5 + error, error=error)],
        histogram=[9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
        top_k=TopK(rows=1, top1=1, top5=0.8),
    )


def output(name: str, error: float, *, passed: bool) -> Output:
    """An output of a testcase."""
    comparison = Comparison(
        passed=passed,
        reason="" if passed else REASON,
        error=error,
        max_abs_error=error,
        index=[0, 3],
        expected=0.5,
        computed=0.5 + error,
        metrics=metrics(error),
    )
    return Output(
        name=name,
        dtype="float32",
        shape=[1, 10],
        passed=passed,
        reason=comparison.reason,
        assertion=Assertion(passed=passed, error=error),
        against_expected=comparison,
        against_model=comparison,
    )


def case(index: int, error: float = 0.0, name: str = "logits", spec: str = "") -> Testcase:
    """A testcase that passed if its error is small."""
    passed = error <= 1e-4
    return Testcase(
        index=index,
        source=Source(spec=spec or f"digits/{index}.png", file="digits.txt", line=index + 1),
        inputs=[Tensor(name="data", dtype="float32", shape=[1, 1, 8, 8])],
        passed=passed,
        outputs=[output(name, error, passed=passed)],
    )


def on_lite(found: Testcase) -> Testcase:
    """The same, run on MegEngine Lite too, where its outputs are off by a little."""
    off = Comparison(passed=True, error=2.5e-8, metrics=metrics(2.5e-8))
    outputs = [structs.replace(item, against_lite=off) for item in found.outputs]
    return structs.replace(found, outputs=outputs)


def report(**changes: object) -> Report:
    """A report of a run that passed, with ``changes``."""
    fields: dict[str, object] = {
        "tool": Tool(version="0.1.0"),
        "command": "megdump-ci pack digits.mge --data @digits.txt --output out.mge",
        "options": {},
        "verdict": "passed",
        "exit_status": 0,
        "headline": "PASS: 2 of 2 testcases, max error 2.5e-05",
        "machine": MACHINE,
        "engine": ENGINE,
        "model": graph("digits.mge", 24),
        "packed": graph("out.mge", 35),
        "strip_info": [StripInfo(path="out.mge.json", describes="packed", hash=7)],
        "maxerr": 1e-4,
        "max_error": 2.5e-5,
        "testcases": [case(0), case(1, 2.5e-5)],
        "phases": [Phase(name="start the engine", seconds=0.9), Phase(name="pack", seconds=0.3)],
        "processes": [
            Process(name="packing", seconds=0.5, peak_memory=2**28, parts={"wait": 0.2, "run": 0.3})
        ],
        "seconds": 1.2,
    }
    return Report(**{**fields, **changes})  # type: ignore[arg-type]


OPERATOR = Operator(
    name="conv2.RELU",
    type="Elemwise",
    match="name",
    inputs=[Tensor(name="conv1.RELU", dtype="float32", shape=[1, 64, 28, 28])],
    output=Tensor(name="conv2.RELU", dtype="float32", shape=[1, 64, 28, 28]),
    optimized=Tensor(name="conv2.RELU", dtype="float16", shape=[1, 16, 28, 28, 4]),
    optimized_type="ConvBiasForward",
    layout="NCHW4",
    covers=["conv2.Convolution", "conv2.ADD"],
    fused=True,
    inputs_agree=True,
    comparison=Comparison(passed=False, error=0.31, metrics=metrics(0.31)),
    error=0.7,
    own_error=0.7,
    beyond_rounding=33.14,
    chain=["data", "conv1.RELU", "conv2.Convolution", "conv2.ADD", "conv2.RELU"],
    outputs=["logits"],
)
"""A convolution that goes wrong where it is fused."""
