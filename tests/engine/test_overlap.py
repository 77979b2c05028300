"""What is wrong with one testcase is told after what became of those before.

The engine runs testcases while the next one is read, and what they gave is looked at after that.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from megdump_ci import pipeline
from megdump_ci.options import DiffOptions
from tests.engine import support
from tests.engine.planting import plant

SAMPLES = support.HERE.parents[1] / "samples"
LANES = """
    from megdump_ci.engine import lanes
    lanes.most = lambda testcases, *, processes: {count}
    lanes.room = lambda opened, *, processes: True
"""
BROKEN = """
    feeds, judge = checking.PackedGraph.feeds, checking.judge
    def broken(self, content, what):
        if what == "testcase 2":
            raise EngineError("testcase 2 is broken")
        return feeds(self, content, what)
    def wrong(packed_graph, index, feeds, truth, result):
        if index == 1:
            result.outputs = [value + 1 for value in result.outputs]
        return judge(packed_graph, index, feeds, truth, result)
    checking.PackedGraph.feeds, checking.judge = broken, wrong
"""
LOOKED_AT = """
    made, take, verifies, looked = graph.Function.__init__, checking.StreamCheck.take, [], []
    def taken(self, message):
        verifies.append(message)
        return take(self, message)
    def known(self, of, outputs, inputs, *rest, **more):
        made(self, of, outputs, inputs, *rest, **more)
        if inputs and of.options.var_sanity_check_first_run:
            looked.append(of)
            if bool(verifies) is {verifying} and len(looked) == {times}:
                raise EngineError("it was looked at")
    graph.Function.__init__, checking.StreamCheck.take = known, taken
"""
PREPARED = """
    def prepare(self):
        raise EngineError("it was prepared")
    checking.PackedGraph.prepare = prepare
"""
COPIED = """
    move = graph.for_data
    def moved(content):
        if len(content) > 8_000_000:
            raise EngineError("a large testcase is copied")
        return move(content)
    graph.for_data = moved
"""


@pytest.fixture(params=[1, 3])
def lanes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """Whatever machine this is, so many testcases run beside each other; the fault that does it."""
    fault = LANES.format(count=request.param)
    plant(monkeypatch, tmp_path, fault)
    return fault


@pytest.mark.usefixtures("lanes")
def test_what_the_engine_refuses_comes_before_what_is_wrong_with_the_next(tmp_path: Path) -> None:
    np.save(tmp_path / "refused.npy", np.full((1, 16), 100_000, np.int32))
    np.save(tmp_path / "far.npy", np.full((1, 16), 3_000_000_000, np.int64))
    report = support.pack(
        SAMPLES / "tokens.mge",
        ["#rand(0,63)", str(tmp_path / "refused.npy"), str(tmp_path / "far.npy"), "#rand(0,63)"],
        tmp_path / "out.mge",
    )
    assert report.exit_status == 3
    assert "refused.npy" in support.said(report)
    assert "far.npy" not in support.said(report)


def test_a_verdict_is_not_lost_with_the_next_testcase(
    models: support.Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lanes: str
) -> None:
    plant(monkeypatch, tmp_path, lanes + BROKEN)
    report = support.pack(models.path("net"), ["#rand(0,1)"] * 4, tmp_path / "out.mge")
    assert "testcase 2 is broken" in support.said(report)
    assert [(case.index, case.passed) for case in report.testcases] == [(0, True), (1, False)]
    assert report.max_error == pytest.approx(1)


def test_the_first_testcase_may_have_another_shape_than_the_model_declares(
    models: support.Models, tmp_path: Path
) -> None:
    """The expected value is declared as the output is."""
    report = support.pack(
        models.path("large"), ["#rand(0,1,3,...)", "#rand(0,1)"], tmp_path / "out.mge"
    )
    assert report.exit_status == 0, support.said(report)


@pytest.mark.parametrize(("first", "prepared"), [("#rand(0,1)", True), ("#rand(0,1,3,...)", False)])
def test_a_graph_is_prepared_for_the_shapes_that_come(
    models: support.Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: str,
    prepared: bool,
) -> None:
    """For others it may not compile, or with much more memory."""
    plant(monkeypatch, tmp_path, PREPARED)
    report = support.pack(models.path("large"), [first, "#rand(0,1)"], tmp_path / "out.mge")
    assert ("it was prepared" in support.said(report)) is prepared
    assert report.exit_status == (3 if prepared else 0), support.said(report)


@pytest.mark.parametrize("format", ["fbs", "fbs_v2"])
def test_side_by_side_the_same_bytes_are_written_and_all_testcases_checked(
    models: support.Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    data = [f"#rand({place},{place + 1},{1 + place % 2},...)" for place in range(12)]
    contents, digests = [], []
    for count in (1, 2, 4):
        plant(monkeypatch, tmp_path, LANES.format(count=count))
        output = tmp_path / f"{count}.mge"
        report = support.pack(models.path("net"), data, output, format=format)
        assert report.exit_status == 0, support.said(report)
        for model in (None, models.path("net")):
            verified = support.verify(output, model)
            assert verified.exit_status == 0, support.said(verified)
            assert [case.inputs for case in verified.testcases] == [
                case.inputs for case in report.testcases
            ]
        contents.append(output.read_bytes())
        digests.append([out.digest for case in report.testcases for out in case.outputs])
    assert contents[1:] == contents[:1] * 2
    assert digests[1:] == digests[:1] * 2


@pytest.mark.parametrize(
    ("optimized", "processes"), [(False, ["packing"]), (True, ["packing", "verifying"])]
)
def test_how_operators_write_is_looked_at_in_one_graph_of_those_that_have_the_same(
    models: support.Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    optimized: bool,
    processes: list[str],
) -> None:
    """The check is MegEngine's own, of each operator in a first run."""
    found = []
    for verifying, times in itertools.product((False, True), (1, 2)):
        fault = LANES.format(count=3) + LOOKED_AT.format(verifying=verifying, times=times)
        plant(monkeypatch, tmp_path, fault)
        report = support.pack(
            models.path("net"),
            ["#rand(0,1)"] * 8,
            tmp_path / "out.mge",
            optimize_for_inference=optimized,
        )
        assert report.exit_status == 0 or "it was looked at" in support.said(report)
        found += ["verifying" if verifying else "packing"] * (report.exit_status > 0)
    assert found == processes


@pytest.mark.usefixtures("lanes")
def test_wrong_expectations_are_those_of_their_testcases(
    models: support.Models, tmp_path: Path
) -> None:
    output = tmp_path / "out.mge"
    report = support.pack(models.path("net"), ["#rand(0,1)"] * 9, output)
    assert report.exit_status == 0, support.said(report)
    content, wrong = output.read_bytes(), [4, 5, 8]
    for index in wrong:
        expected = support.read(output)[0]["testcases"][index]["values"]["logits:expect"]
        content = support.replaced(content, expected, expected + 1)
    output.write_bytes(content)
    verified = support.verify(output, models.path("net"))
    assert verified.exit_status == 1
    assert [case.index for case in verified.testcases if not case.passed] == wrong


def test_a_large_testcase_that_runs_alone_keeps_its_place_and_is_not_copied(
    models: support.Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lanes: str
) -> None:
    plant(monkeypatch, tmp_path, lanes + COPIED)
    rows = [150, 150, 2200, 2200, 150, 150]
    data = [f"#rand(0,1,{count},...)" for count in rows]
    report = support.pack(models.path("large"), data, tmp_path / "out.mge")
    assert report.exit_status == 0, support.said(report)
    assert [case.inputs[0].shape for case in report.testcases] == [[n, 1000] for n in rows]


@pytest.mark.parametrize("name", ["device", "named_device"])
@pytest.mark.parametrize("format", ["fbs", "fbs_v2"])
def test_a_graph_in_which_other_things_are_named_like_its_device_stays_on_it(
    models: support.Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    format: str,
    name: str,
) -> None:
    """The name is replaced in the file, to have the graph on another device."""
    plant(monkeypatch, tmp_path, LANES.format(count=3))
    model, output = models.path(f"{name}.{format}"), tmp_path / "out.mge"
    report = support.pack(model, ["#rand(0,1)"] * 8, output)
    assert report.exit_status == 0, support.said(report)
    verified = support.verify(output, model)
    assert verified.exit_status == 0, support.said(verified)
    assert [item.name for item in verified.testcases[7].inputs] == ["xpux:0"]
    same = str(model)
    compared = pipeline.run(DiffOptions(base=same, new=same, data=["#rand(0,1)"]))
    assert compared.exit_status == 0, support.said(compared)
    assert [item.name for item in compared.testcases[0].inputs] == ["xpux:0"]


UNMOVED = """
    graph._place_of_device = lambda content: None
"""


@pytest.mark.parametrize("fault", ["", UNMOVED], ids=["moved", "unmoved"])
@pytest.mark.parametrize("count", [1, 2])
def test_what_the_packed_graph_refuses_is_not_told_of_what_shares_its_device(
    models: support.Models,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    count: int,
) -> None:
    """What a kernel raises is told to whoever asks its device next; it may end the process."""
    plant(monkeypatch, tmp_path, LANES.format(count=count) + fault)
    for place in range(6):
        value = 6 if place == 2 else place % 4
        np.save(tmp_path / f"{place}.npy", np.full((1, 16), value, np.int32))
    data, output = [str(tmp_path / f"{place}.npy") for place in range(6)], tmp_path / "out.mge"
    # Packing would find it out.
    packed = support.pack(models.path("lookup4"), data, output, no_assert=True)
    assert packed.exit_status == 0, support.said(packed)
    for model in (None, models.path("lookup9")):
        verified = support.verify(output, model)
        assert verified.exit_status == 3
        said = support.said(verified)
        assert "running testcase 2 of the packed file: invalid advanced indexing" in said, said


def test_the_least_memory_is_enough_for_a_small_graph(
    models: support.Models, tmp_path: Path
) -> None:
    """Devices of the engine have threads, with their stacks: there is but one then."""
    model, output, data = models.path("net"), tmp_path / "out.mge", ["#rand(0,1)"] * 12
    same, memory = str(model), "160M"
    for report in (
        support.pack(model, data, output, memory_limit=memory),
        support.verify(output, model, memory_limit=memory),
        support.verify(output, memory_limit=memory),
        pipeline.run(DiffOptions(base=same, new=same, data=data, memory_limit=memory)),
    ):
        assert report.exit_status == 0, support.said(report)
