"""The table of a sweep."""

import io

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from megdump_ci.commands.sweep import best
from megdump_ci.present import sweep
from megdump_ci.report import Change, KernelFailure, Sweep, Trial

CHANGE = Change(
    passes=[],
    operators_before=107,
    operators_after=100,
    removed={"ConvolutionForward": 53},
    added={"ConvBiasForward": 53},
    fused={"ConvBiasForward": 53},
    dtypes_before={},
    dtypes_after={},
    size_before=1,
    size_after=1,
)
NAIVE = Trial(
    name="nchw88",
    options=["--optimize-for-inference", "--enable-nchw88"],
    status="passed",
    kernels="naive",
    kernel_failures=[KernelFailure(kernels="fast", how="hung", reason="the engine gave up")],
    max_error=1.23e-07,
    size=102_400_000,
    operators=1000,
    change=CHANGE,
)
LONGEST = Trial(
    name="nchw44-dot+fuse-nonlinearity",
    options=["--optimize-for-inference"],
    status="passed",
    kernels="fast",
    max_error=1.23e-07,
    size=999_000_000,
    operators=1000,
    change=CHANGE,
    latency=1234.5,
)


def shown(found: Sweep) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=80, highlight=False)
    for part in sweep.parts(found):
        console.print(part, soft_wrap=True)
    return stream.getvalue()


def test_the_table_fits_80_columns_and_names_the_best() -> None:
    text = shown(Sweep(trials=[NAIVE, LONGEST], fastest=LONGEST.name, smallest="nchw88"))
    table = text.splitlines()[:3]
    assert max(len(line.rstrip()) for line in table) <= 80
    assert table[1].split() == [
        "nchw88",
        "passed,",
        "naive",
        "1.23e-07",
        "102",
        "MB",
        "1000",
        "53",
        "-",
    ]
    assert table[2].split()[-1] == "1.23e+03"
    assert "nchw88: fast kernels: the engine gave up" in text
    assert "fastest: nchw44-dot+fuse-nonlinearity\n  --optimize-for-inference" in text
    assert "smallest: nchw88\n  --optimize-for-inference --enable-nchw88" in text


def test_what_did_not_run_says_why_and_nothing_else() -> None:
    trial = Trial(name="nchw64", options=[], status="refused", reason="no\x1b[31m kernel\nhere")
    text = shown(Sweep(trials=[trial]))
    assert "nchw64: no\\x1b[31m kernel\\nhere" in text
    assert "fastest" not in text


latencies = st.lists(st.none() | st.floats(0.001, 1000), max_size=8)


@given(latencies, st.sampled_from([0.0, 0.1]))
def test_the_best_is_the_first_of_those_that_are_as_good(
    values: list[float | None], slack: float
) -> None:
    trials = [
        Trial(name=str(place), options=[], status="passed", latency=value)
        for place, value in enumerate(values)
    ]
    name = best(trials, "latency", slack)
    found = [value for value in values if value is not None]
    if not found:
        assert name == ""
        return
    good = [value is not None and value <= min(found) * (1 + slack) for value in values]
    assert name == str(good.index(True))


def test_the_best_has_passed() -> None:
    failed = Trial(name="small", options=[], status="failed", size=1)
    assert best([failed, LONGEST], "size") == LONGEST.name
