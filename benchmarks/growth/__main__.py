"""How time and memory grow with testcases, with the model's size, and with its operators.

    .venv/bin/python -m benchmarks.growth --output docs/performance
    .venv/bin/python -m benchmarks.growth --only operators --amounts 100,300,1000

Each amount is one run of the real command, packing and verifying, beside the engine alone on the
same model. It prints tables, and writes for each curve NAME.json and two SVGs into the folder
``--output``: NAME-time.svg and NAME-memory.svg.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks import models
from benchmarks.growth.curves import Growth, Points, chart, growth
from benchmarks.measuring import COMMAND, PYTHON, ROOT, folder, machine_text, measured


@dataclass(frozen=True)
class Axis:
    """What grows: its amounts, its unit, and the model and number of testcases of an amount."""

    amounts: Sequence[float]
    title: str
    unit: str
    model: Callable[[float], str]
    testcases: Callable[[float], int]


AXES = {
    "testcases": Axis(
        (1, 10, 100, 1_000, 10_000), "testcases", "testcase", lambda _: "chain:100", round
    ),
    "size": Axis(
        (1, 4, 16, 64, 256, 1_000, 2_000),
        "megabytes of parameters",
        "MB",
        lambda amount: f"size:{amount:g}",
        lambda _: 1,
    ),
    "operators": Axis(
        (100, 300, 1_000, 3_000, 5_000),
        "operators",
        "operator",
        lambda amount: f"chain:{amount:g}",
        lambda _: 1,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Point:
    """What one amount took; sizes are bytes, times seconds."""

    amount: float
    seconds: float
    processor: float
    """Seconds of processor time, of all processes."""
    load: float
    first: float
    each: float
    """The engine alone: loading the model, its first run, the median of the next ones."""
    parent: int
    packing: int
    verifying: int
    """The largest memory of each process."""
    tree: int


@dataclass(frozen=True)
class Curve:
    """An axis, as it was measured."""

    name: str
    machine: str
    points: list[Point]
    growths: dict[str, Growth] = field(default_factory=dict)


def measure(axis: Axis, amount: float, rounds: int, place: Path) -> Point:
    """Run the command on one amount; of several rounds, the one that was fastest."""
    model, data, report = place / "model.mge", place / "list.txt", place / "report"
    if not model.exists():
        models.make(axis.model(amount), model).checked()
    data.write_text("#rand(0,1)\n" * axis.testcases(amount))
    environment = {"PYTHONPATH": str(ROOT)}
    arguments = ["pack", str(model), "-d", f"@{data}", "-o", str(place / "packed.mge")]
    command = [*COMMAND, *arguments, "--report", str(report), "--timeout", "3600"]
    runs = [measured(command, cwd=place, environment=environment).checked() for _ in range(rounds)]
    fastest = min(runs, key=lambda run: run.seconds)
    processes = json.loads((report / "report.json").read_bytes())["processes"]
    peaks = {process["name"]: process["peak_memory"] for process in processes}
    alone = _alone(model)
    return Point(
        amount=amount,
        seconds=fastest.seconds,
        processor=fastest.processor,
        **alone,
        parent=max(run.own_peak for run in runs),
        packing=peaks["packing"],
        verifying=peaks["verifying"],
        tree=max(run.peak for run in runs),
    )


def _alone(model: Path) -> dict[str, float]:
    """The engine alone; a large model takes long to run."""
    program = [PYTHON, "-W", "ignore", "-m", "benchmarks.growth.inference", str(model)]
    runs = 50 if model.stat().st_size < 50e6 else 3
    run = measured([*program, str(runs)], cwd=ROOT).checked()
    found: dict[str, float] = json.loads(run.output.strip().splitlines()[-1])
    return found


def series(curve: Curve) -> Mapping[str, Points]:
    """What is fitted, by what it is called: the fields of the points over their amounts."""
    testcases = AXES[curve.name].testcases
    found = {
        name: [(point.amount, float(getattr(point, name))) for point in curve.points]
        for name in ("seconds", "processor", "parent", "packing", "verifying", "tree")
    }
    found["engine"] = [
        (point.amount, point.load + point.first + (testcases(point.amount) - 1) * point.each)
        for point in curve.points
    ]
    return found


def pictures(curve: Curve) -> dict[str, bytes]:
    """The SVGs by their names."""
    axis, found = AXES[curve.name], series(curve)
    times = {"pack and verify": found["seconds"], "engine alone": found["engine"]}
    sizes = {name: found[name] for name in ("packing", "verifying", "parent")}
    sizes["megdump-ci itself"] = sizes.pop("parent")
    return {
        f"{curve.name}-time.svg": chart(
            f"Time by {axis.title}", times, amount=_count, taken=_seconds
        ),
        f"{curve.name}-memory.svg": chart(
            f"Largest memory by {axis.title}", sizes, amount=_count, taken=_bytes
        ),
    }


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _seconds(value: float) -> str:
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:,.4g} s"


def _bytes(value: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g} B"


def show(curve: Curve) -> None:
    """Print the points, and how what they took grows."""
    axis = AXES[curve.name]
    heads = ("wall", "processor", "engine", "itself", "packing", "verifying", "together")
    print(f"\n{axis.title:>24}" + "".join(f"{head:>12}" for head in heads))
    engine = dict(series(curve)["engine"])
    for point in curve.points:
        times = (point.seconds, point.processor, engine[point.amount])
        sizes = (point.parent, point.packing, point.verifying, point.tree)
        print(
            f"{point.amount:>24,g}"
            + "".join(f"{value:>10.2f} s" for value in times)
            + "".join(f"{_bytes(value):>12}" for value in sizes)
        )
    for name, found in curve.growths.items():
        text = _seconds if name in ("seconds", "processor", "engine") else _bytes
        exponent = "not to be told" if math.isnan(found.exponent) else f"{found.exponent:.2f}"
        line = f"{text(found.fixed)} + {text(found.slope)} per {axis.unit}; exponent {exponent}"
        print(f"{name:>24}: {line}")


def main() -> None:
    """Measure the axes that the arguments ask for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", action="append", choices=AXES, help="all of them by default")
    parser.add_argument("--amounts", help="numbers with commas between, for all that is measured")
    parser.add_argument("--rounds", type=int, default=1, help="runs of each amount")
    parser.add_argument("--output", help="folder for JSON and SVG")
    parser.add_argument("--add", action="store_true", help="to the amounts in the JSON there")
    parser.add_argument("--folder", default="", help="where temporary files go")
    given = parser.parse_args()
    print(machine_text())
    for name in given.only or AXES:
        amounts = [float(word) for word in given.amounts.split(",")] if given.amounts else None
        points = _earlier(Path(given.output, f"{name}.json")) if given.add else {}
        for amount in amounts or AXES[name].amounts:
            with folder(given.folder) as place:
                points[amount] = measure(AXES[name], amount, given.rounds, place)
        curve = Curve(name, machine_text(), [points[amount] for amount in sorted(points)])
        if len(points) > 1:
            curve.growths.update((what, growth(found)) for what, found in series(curve).items())
        show(curve)
        if given.output:
            _write(curve, Path(given.output))


def _earlier(path: Path) -> dict[float, Point]:
    found = json.loads(path.read_bytes())["points"] if path.exists() else []
    return {point["amount"]: Point(**point) for point in found}


def _write(curve: Curve, output: Path) -> None:
    os.makedirs(output, exist_ok=True)
    numbers = {**asdict(curve), "points": [_rounded(point) for point in curve.points]}
    (output / f"{curve.name}.json").write_text(json.dumps(numbers, indent=1) + "\n")
    for name, content in pictures(curve).items():
        (output / name).write_bytes(content)


def _rounded(point: Point) -> dict[str, float]:
    """Times to a tenth of a millisecond."""
    return {name: round(value, 4) for name, value in asdict(point).items()}


if __name__ == "__main__":
    main()
