"""Faults planted in packed files: each has to be found, and named."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.engine import support
from tests.engine.support import Parts, replaced

Plant = Callable[[Parts, support.Models], bytes]
FAULTS: dict[str, tuple[Plant, tuple[str, ...]]] = {}
"""Each fault: how to make it, and words of what has to be said, one of which is enough."""


def fault(*words: str) -> Callable[[Plant], Plant]:
    """Register a fault under its function's name."""

    def register(plant: Plant) -> Plant:
        FAULTS[plant.__name__] = (plant, words)
        return plant

    return register


def data(models: support.Models, name: str) -> np.ndarray:
    """An array that was packed."""
    return np.load(models.data(name))


def with_testcase(parts: Parts, index: int, content: bytes) -> bytes:
    """The file with another testcase at ``index``."""
    testcases = list(parts.testcases)
    testcases[index] = content
    return dataclasses.replace(parts, testcases=tuple(testcases)).joined()


def expected_values(models: support.Models, index: int) -> np.ndarray:
    """What output ``apart`` is expected to be, bit for bit: one product and one difference."""
    zeta, alpha, big = (data(models, f"{name}{index}") for name in ("zeta", "alpha", "Z"))
    return zeta * big - alpha


@fault("is above maxerr")
def expected_value_altered(parts: Parts, models: support.Models) -> bytes:
    wanted = expected_values(models, 2)
    wrong = wanted.copy()
    wrong[1, 2] += np.float32(0.01)
    return with_testcase(parts, 2, replaced(parts.testcases[2], wanted, wrong))


@fault("expected nan", "NaN")
def expected_value_not_a_number(parts: Parts, models: support.Models) -> bytes:
    wanted = expected_values(models, 1)
    wrong = wanted.copy()
    wrong[0, 0] = np.nan
    return with_testcase(parts, 1, replaced(parts.testcases[1], wanted, wrong))


@fault("is above maxerr")
def input_value_altered(parts: Parts, models: support.Models) -> bytes:
    given = data(models, "alpha1")
    wrong = given.copy()
    wrong[0, 1] += np.float32(0.01)
    return with_testcase(parts, 1, replaced(parts.testcases[1], given, wrong))


@fault("is above maxerr")
def inputs_swapped(parts: Parts, models: support.Models) -> bytes:
    alpha, zeta = data(models, "alpha2"), data(models, "zeta2")
    marker = np.full((2, 3), 7, np.float32)
    swapped = replaced(parts.testcases[2], alpha, marker)
    swapped = replaced(replaced(swapped, zeta, alpha), marker, zeta)
    return with_testcase(parts, 2, swapped)


@fault("ends at byte")
def dropped_testcase(parts: Parts, models: support.Models) -> bytes:
    return dataclasses.replace(parts, testcases=parts.testcases[:-1]).joined(count=3)


@fault("behind its last testcase")
def uncounted_testcase(parts: Parts, models: support.Models) -> bytes:
    return parts.joined(count=2)


@fault("behind its last testcase")
def duplicated_testcase(parts: Parts, models: support.Models) -> bytes:
    return parts.joined() + parts.testcases[0]


@fault("is cut short")
def tail_cut(parts: Parts, models: support.Models) -> bytes:
    return parts.joined()[:-5]


@fault("is cut short")
def graph_cut(parts: Parts, models: support.Models) -> bytes:
    return parts.joined()[: len(parts.graph) // 2]


@fault("behind its last testcase")
def bytes_behind(parts: Parts, models: support.Models) -> bytes:
    return parts.joined() + b"\0\0\0"


@fault("in format fbs_v2", "in format fbs,")
def format_of_another(parts: Parts, models: support.Models) -> bytes:
    other = "fbs_v2" if parts.graph[8:12] != b"mgv2" else "fbs"
    return with_testcase(parts, 1, models.path(f"two.{other}").read_bytes())


@fault("holds no testcase")
def no_testcase(parts: Parts, models: support.Models) -> bytes:
    return dataclasses.replace(parts, testcases=()).joined()


@fault("ends inside its header", "is not a packed model")
def header_only(parts: Parts, models: support.Models) -> bytes:
    return parts.joined()[:10]


@fault("holds a value as Elemwise")
def graph_as_testcase(parts: Parts, models: support.Models) -> bytes:
    kind = "fbs_v2" if parts.graph[8:12] == b"mgv2" else "fbs"
    return with_testcase(parts, 0, models.path(f"two.{kind}").read_bytes())


@fault("is above maxerr")
def expected_values_of_another_testcase(parts: Parts, models: support.Models) -> bytes:
    wanted, other = expected_values(models, 0), expected_values(models, 1)
    return with_testcase(parts, 0, replaced(parts.testcases[0], wanted, other))


@pytest.fixture(scope="module", params=["fbs", "fbs_v2"])
def packed(
    request: pytest.FixtureRequest,
    models: support.Models,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Parts, Path]:
    """A good file in pieces, and the model it was packed from."""
    out = tmp_path_factory.mktemp("planted") / "good.mge"
    model = models.path(f"two.{request.param}")
    specs = [
        ";".join(f"{name}:{models.data(f'{name}{index}')}" for name in ("zeta", "alpha", "Z"))
        for index in range(3)
    ]
    support.passed(model, specs, out)
    return Parts.of(out.read_bytes()), model


# Faults of the layout are found before the engine starts, in both formats; for the others one
# format is enough.
@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(
    name: str, packed: tuple[Parts, Path], models: support.Models, tmp_path: Path
) -> None:
    parts, model = packed
    plant, words = FAULTS[name]
    file = tmp_path / "bad.mge"
    file.write_bytes(plant(parts, models))
    assert file.read_bytes() != parts.joined()
    # Alone in one format, with the model in the other: each fault is seen both ways.
    given = model if model.name.startswith("two.fbs.") else None
    report = support.verify(file, given)
    assert report.exit_status in (1, 2, 3)
    assert report.verdict != "passed"
    text = support.said(report)
    assert any(word in text for word in words), text


def test_the_good_file_passes(packed: tuple[Parts, Path], tmp_path: Path) -> None:
    parts, model = packed
    file = tmp_path / "good.mge"
    file.write_bytes(parts.joined())
    report = support.verify(file, model)
    assert report.verdict == "passed", support.said(report)


@pytest.mark.parametrize("name", ["weight1.fbs", "weight1.fbs_v2"])
def test_a_changed_weight_is_found(name: str, models: support.Models, tmp_path: Path) -> None:
    file = tmp_path / "packed.mge"
    model = models.path(name)
    support.passed(model, "#rand(1,2)", file)
    old, new = np.full((2, 3), 1.5, np.float32), np.full((2, 3), 1.5, np.float32)
    new[1, 1] = 1.5625
    parts = Parts.of(file.read_bytes())
    changed = dataclasses.replace(parts, graph=replaced(parts.graph, old, new))
    file.write_bytes(changed.joined())
    for given in (None, model):
        report = support.verify(file, given)
        assert report.exit_status == 1
        assert "at [1, 1] is above maxerr" in support.said(report)


def test_another_model_than_it_was_packed_from_is_found(
    models: support.Models, tmp_path: Path
) -> None:
    file = tmp_path / "packed.mge"
    support.passed(models.path("weight1"), "#rand(1,2)", file)
    # The file agrees with itself, and not with the model with other weights.
    assert support.verify(file).verdict == "passed"
    report = support.verify(file, models.path("weight2"))
    assert report.exit_status == 1
    output = report.testcases[0].outputs[0]
    assert output.assertion is not None
    assert output.assertion.passed
    assert output.against_model is not None
    assert not output.against_model.passed
    # A model with other inputs is no match at all.
    report = support.verify(file, models.path("two"))
    assert report.exit_status == 2
    assert "Z, alpha, zeta" in support.said(report)


def test_outputs_in_another_order_are_found(models: support.Models, tmp_path: Path) -> None:
    file = tmp_path / "packed.mge"
    support.passed(models.path("two"), "#rand(1,2)", file)
    content = file.read_bytes()
    # The two names change places wherever they stand; both have five letters.
    swapped = content.replace(b"blend", b"?????").replace(b"apart", b"blend")
    file.write_bytes(swapped.replace(b"?????", b"apart"))
    report = support.verify(file, models.path("two"))
    assert report.exit_status in (1, 2, 3)
    assert report.verdict != "passed"


def test_a_count_beyond_all_measure_is_refused(packed: tuple[Parts, Path], tmp_path: Path) -> None:
    parts, _ = packed
    file = tmp_path / "bad.mge"
    content = parts.joined()
    file.write_bytes(content[:8] + struct.pack("<I", 2**32 - 1) + content[12:])
    report = support.verify(file)
    assert report.exit_status == 2
    assert "before testcase 3 of 4294967295" in support.said(report)
