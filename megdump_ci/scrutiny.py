"""What all testcases together say: the gates, and what makes a pass worth less than it looks.

Pure functions of the testcases in the report.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from megdump_ci.gates import DEFAULT_MAXERR, Gates, Limits, apart
from megdump_ci.report import Comparison, Gate, GateName, Number, Output, Testcase, TopK, number

COSINE = 0.99
"""Below this an output points elsewhere, whatever its error is: see docs/metrics.md."""
SQNR = 20.0
"""In dB; below this the difference is more than a tenth of the values."""

_ROUNDING = 1.001
"""A limit that was read from the file is the nearest float32."""
_NAMED = 5


@dataclass(frozen=True)
class _Found:
    """An output of a testcase, or one of its comparisons."""

    testcase: int
    output: Output
    comparison: Comparison | None = None


def judged(testcases: Sequence[Testcase], gates: Gates) -> list[Gate]:
    """The gates of each output, in the order of the outputs; none where nothing was compared."""
    found = []
    for name, outputs in _by_output(testcases).items():
        found += [*_errors(name, outputs, gates)]
        found += [*_lowest(name, outputs, gates)]
    return found + _agreements(testcases, gates)


def warnings(testcases: Sequence[Testcase], gates: Gates) -> list[str]:
    """Why outputs that passed may be wrong, or say little: at most one line of each kind each."""
    found = [*_repeated(testcases)]
    for name, outputs in _by_output(testcases).items():
        found += [*_blind(name, outputs, gates), *_whole_numbers(name, outputs)]
        found += [*_own_limit(name, outputs, gates)]
        found += [*_constant(name, outputs), *_independent(name, outputs, testcases)]
    return found


def _by_output(testcases: Iterable[Testcase]) -> dict[str, list[_Found]]:
    found: dict[str, list[_Found]] = {}
    for testcase in testcases:
        for output in testcase.outputs:
            found.setdefault(output.name, []).append(_Found(testcase.index, output))
    return found


def _comparisons(outputs: Iterable[_Found]) -> list[_Found]:
    return [
        _Found(item.testcase, item.output, comparison)
        for item in outputs
        for comparison in item.output.comparisons
    ]


def _errors(name: str, outputs: Sequence[_Found], gates: Gates) -> Iterable[Gate]:
    """The gate ``maxerr``; the file's assertions are held to their own limit."""
    values = [(item.testcase, item.output, error) for item in outputs for error in _all(item)]
    limit = next((item.output.maxerr for item in outputs if item.output.maxerr is not None), None)
    if limit is None or not values:
        return
    # NaN is the worst of all.
    worst = max(values, key=lambda item: math.inf if math.isnan(item[2]) else item[2])
    nan = next((item for item in values if math.isnan(item[2])), worst)
    asserted = [item.output.assertion for item in outputs if item.output.assertion is not None]
    within = all(_float32(value) <= _float32(limit) for _, _, value in values)
    held = all(assertion.passed for assertion in asserted)
    reason = "" if held else "AssertEqual in the file failed, by the maxerr that it was packed with"
    yield Gate(
        name="maxerr",
        output=name,
        limit=limit,
        passed=within and held,
        value=number(nan[2]),
        testcase=nan[0],
        own=name in gates.maxerr.outputs,
        reason=reason if within else "error {} is above {}".format(*apart(nan[2], limit)),
    )


def _all(found: _Found) -> list[float]:
    errors = [comparison.error for comparison in found.output.comparisons]
    if found.output.assertion is not None:
        errors.append(found.output.assertion.error)
    return [float(error) for error in errors if error is not None]


def _float32(value: float) -> float:
    """As AssertEqual has it, which compares in float32."""
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _lowest(name: str, outputs: Sequence[_Found], gates: Gates) -> Iterable[Gate]:
    """The gates that are lower limits of a comparison."""
    kinds: tuple[tuple[GateName, Callable[[Comparison], Number | None]], ...] = (
        ("min-cosine", lambda item: item.metrics.cosine if item.metrics else None),
        ("min-sqnr", lambda item: item.metrics.sqnr if item.metrics else None),
    )
    for kind, value_of in kinds:
        limits = gates.limits[kind]
        limit = limits.of(name)
        if limit is None:
            continue
        values = [
            (item.testcase, float(value))
            for item in _comparisons(outputs)
            if item.comparison and (value := value_of(item.comparison)) is not None
        ]
        where, worst = min(values, key=lambda item: item[1], default=(None, math.nan))
        passed = worst >= limit
        yield Gate(
            name=kind,
            output=name,
            limit=limit,
            passed=passed,
            value=None if where is None else number(worst),
            testcase=where,
            own=name in limits.outputs,
            reason="" if passed else "{} is below {}".format(*apart(worst, limit)),
        )


def _agreements(testcases: Sequence[Testcase], gates: Gates) -> list[Gate]:
    """The gate ``top-k-agreement``; it fails where it was asked for and nothing can be judged."""
    limits = gates.top_k_agreement
    if not limits.given or not any(testcase.outputs for testcase in testcases):
        return []
    found = [
        gate
        for name, outputs in _by_output(testcases).items()
        if limits.of(name) is not None
        for gate in _agreement(name, outputs, gates)
    ]
    if not found and limits.default is not None:
        found.append(
            Gate(
                name="top-k-agreement",
                output="",
                limit=limits.default,
                passed=False,
                reason="no output looks like class scores: name one, --top-k-agreement"
                f" OUTPUT={limits.default:g}",
            )
        )
    return found


def _agreement(name: str, outputs: Sequence[_Found], gates: Gates) -> Iterable[Gate]:
    limit, own = gates.top_k_agreement.of(name), name in gates.top_k_agreement.outputs
    # With the model, the file, MegEngine Lite and so on: each over all testcases has to agree.
    kinds = list(zip_longest(*(map(_top_k, item.output.comparisons) for item in outputs)))
    judged = [[found for found in kind if found] for kind in kinds]
    if limit is None or not (own or any(judged)):
        return
    # Not judged in some testcase, it would be judged on the others alone.
    complete = bool(kinds) and all(map(all, kinds))
    share = min(map(_share, judged)) if complete else math.nan
    if complete:
        reason = f"{share:.4g} of {sum(found.rows for found in judged[0])} rows is below {limit:g}"
    elif own:
        reason = "its shape is not that of class scores, (N, C), in every testcase"
    else:
        reason = (
            "it looks like class scores in some comparisons only: name it to have it judged in all,"
            f" --top-k-agreement {name}={limit:g}"
        )
    passed = share >= limit
    yield Gate(
        name="top-k-agreement",
        output=name,
        limit=limit,
        passed=passed,
        value=number(share) if complete else None,
        own=own,
        reason="" if passed else reason,
    )


def _top_k(comparison: Comparison) -> TopK | None:
    return comparison.metrics.top_k if comparison.metrics else None


def _share(found: Sequence[TopK]) -> float:
    """The share of rows that agree: in the best class, or in the five best if that is less."""
    count = sum(item.rows for item in found)
    top1 = sum(item.top1 for item in found) / count
    top5 = [item.top5 * item.rows for item in found if item.top5 is not None]
    return min(top1, sum(top5) / count) if top5 else top1


def _blind(name: str, outputs: Sequence[_Found], gates: Gates) -> Iterable[str]:
    """AssertEqual's error is absolute below 1: what is small can be quite wrong and pass."""
    wrong: list[tuple[float, float, int]] = []
    for item in _comparisons(outputs):
        metrics = item.comparison.metrics if item.comparison and item.comparison.passed else None
        # Where all that is expected is zero, neither says anything.
        if metrics is None or metrics.sqnr == "-inf" or item.output.maxerr is None:
            continue
        cosine, sqnr = float(metrics.cosine), float(metrics.sqnr)
        turned = gates.min_cosine.of(name) is None and cosine < COSINE
        noisy = gates.min_sqnr.of(name) is None and sqnr < SQNR
        if turned or noisy:
            wrong.append((sqnr, cosine, item.testcase))
    if wrong:
        sqnr, cosine, testcase = min(wrong)
        yield (
            f"output {name} passes maxerr, but in testcase {testcase} its cosine similarity is"
            f" {cosine:.3g} and its SQNR {sqnr:.3g} dB: errors of values below 1 count as absolute"
            f" ones; --min-cosine {COSINE:g} or --min-sqnr {SQNR:g} would fail it"
        )


def _whole_numbers(name: str, outputs: Sequence[_Found]) -> Iterable[str]:
    for item in _comparisons(outputs):
        comparison = item.comparison
        metrics = comparison.metrics if comparison and comparison.passed else None
        limited = item.output.maxerr is not None
        whole = item.output.dtype.startswith(("int", "uint"))
        if metrics and metrics.differing and limited and whole:
            yield (
                f"output {name} passes maxerr, but {metrics.differing} of its {metrics.size} whole"
                f" numbers differ in testcase {item.testcase}; --maxerr {name}=0 would fail it"
            )
            return


def _own_limit(name: str, outputs: Sequence[_Found], gates: Gates) -> Iterable[str]:
    """Who packed a file has chosen what passes in it; who verifies it may want less to pass."""
    limits = [item.output.maxerr for item in outputs if item.output.maxerr is not None]
    errors = [error for item in outputs for error in _all(item)]
    if gates.maxerr.of(name) is not None or not limits or not errors:
        return
    limit, worst = max(limits), max(errors)
    if limit > DEFAULT_MAXERR * _ROUNDING and DEFAULT_MAXERR < worst <= limit:
        yield (
            f"output {name} passes by the file's own maxerr, {limit:.3g}: its error is {worst:.3g},"
            f" and --maxerr {DEFAULT_MAXERR:g} would fail it"
        )


def _repeated(testcases: Sequence[Testcase]) -> Iterable[str]:
    first: dict[tuple[tuple[str, tuple[int, ...]], ...], int] = {}
    pairs = []
    for testcase in testcases:
        key = tuple((tensor.digest, tuple(tensor.shape or ())) for tensor in testcase.inputs)
        # Where an input was not looked at, nothing is known.
        if key and all(digest for digest, _ in key):
            earlier = first.setdefault(key, testcase.index)
            pairs += [(testcase.index, earlier)] if earlier != testcase.index else []
    if pairs:
        named = ", ".join(f"{again} those of {earlier}" for again, earlier in pairs[:_NAMED])
        more = f" and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
        yield (
            f"testcases with the inputs of an earlier one check nothing new: testcase {named}{more}"
        )


def _constant(name: str, outputs: Sequence[_Found]) -> Iterable[str]:
    if all(item.output.constant for item in outputs):
        where = "" if len(outputs) == 1 else " in every testcase"
        yield (
            f"all elements of output {name} are equal{where}, so that passing says little: give"
            " data that makes a difference"
        )


def _independent(
    name: str, outputs: Sequence[_Found], testcases: Sequence[Testcase]
) -> Iterable[str]:
    inputs = {tuple(tensor.digest for tensor in testcase.inputs) for testcase in testcases}
    results = {item.output.digest for item in outputs}
    # A class or a count may well be the same for all of them.
    floats = all(item.output.dtype.startswith("float") for item in outputs)
    if len(outputs) > 1 and len(inputs) > 1 and len(results) == 1 and floats:
        yield (
            f"output {name} is the same in all {len(outputs)} testcases, though their inputs"
            " differ: it does not depend on them, or the data is too much alike"
        )


def passing(
    testcases: Sequence[Testcase], gates: Sequence[Gate], *, packed: Limits | None = None
) -> list[str]:
    """The options that a failed run would pass with; empty if no limits would make it pass.

    None are offered for an output that is wrong by its cosine or its SQNR: a limit that lets such a
    thing pass is no remedy. Nor are they where an assertion failed in a file that is ``packed``
    already, which keeps it; these are the limits of ``maxerr`` that it was verified with.

    ``gates`` are those of :func:`judged`. A limit is rounded to two digits, never to a stricter
    one, and given for one output alone only if the one that failed was, or the file's own.
    """
    if not all(map(_limits_explain, testcases)):
        return []
    if packed is not None and any(map(_assertion_failed, testcases)):
        return []
    by_name = packed is not None and packed.default is None
    found: dict[tuple[str, str], float] = {}
    for gate in gates:
        if gate.passed:
            continue
        if gate.value is None or not math.isfinite(float(gate.value)):
            return []
        worst = max if gate.name == "maxerr" else min
        own = gate.own or (by_name and gate.name == "maxerr")
        key = gate.name, gate.output if own else ""
        found[key] = worst(found.get(key, float(gate.value)), float(gate.value))
    options: list[str] = []
    for (name, output), value in found.items():
        limit = _lenient(value, up=name == "maxerr")
        # Without a .0, unless that would round it.
        text = f"{limit:.15g}" if float(f"{limit:.15g}") == limit else repr(limit)
        options += [f"--{name}", f"{output}={text}" if output else text]
    return options


def _limits_explain(testcase: Testcase) -> bool:
    """Whether a testcase passed, or failed by nothing but its limits."""
    return not testcase.reason and all(
        item.passed
        or (
            item.reason in [comparison.reason for comparison in item.comparisons]
            and all(map(_off_by_little, item.comparisons))
        )
        for item in testcase.outputs
    )


def _assertion_failed(testcase: Testcase) -> bool:
    asserted = (output.assertion for output in testcase.outputs)
    return any(assertion is not None and not assertion.passed for assertion in asserted)


def _off_by_little(comparison: Comparison) -> bool:
    metrics = comparison.metrics
    return metrics is not None and (float(metrics.cosine) >= COSINE and float(metrics.sqnr) >= SQNR)


def _lenient(value: float, *, up: bool) -> float:
    """``value`` to two digits (a cosine next to 1 to two nines' worth), rounded as asked."""
    if not value:
        return value
    digits = 2 - math.ceil(math.log10(abs(value)))
    if 0.9 <= value < 1:
        digits = 2 - math.ceil(math.log10(1 - value))
    rounded = round(value, digits)
    step = 10.0**-digits
    if up and rounded < value:
        return round(rounded + step, digits)
    if not up and rounded > value:
        return round(rounded - step, digits)
    return rounded
