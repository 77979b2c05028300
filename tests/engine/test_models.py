"""Models of every shape, dtype and name: packed, read from outside, verified."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from megdump_ci.gates import Limits
from tests.engine import support

OPTIMISED = {"optimize_for_inference": True}


def checked(
    models: support.Models, name: str, data: str | list[str], tmp_path: Path, **options: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Pack a model, which has to pass; what the reader says of the packed and the deploy file."""
    out, deploy = tmp_path / "out.mge", tmp_path / "deploy.mge"
    report = support.passed(models.path(name), data, out, deploy_output=str(deploy), **options)
    packed, shipped = support.read(out, deploy)
    assert [testcase["failure"] for testcase in packed["testcases"]] == [""] * len(report.testcases)
    return packed, shipped


def names(content: dict[str, Any]) -> list[str]:
    """The outputs that are no assertions."""
    return [name for name, kind in content["outputs"] if kind != "AssertEqual"]


def test_the_batch_may_vary_from_testcase_to_testcase(
    models: support.Models, tmp_path: Path
) -> None:
    data = [str(models.data(f"batch{count}")) for count in (1, 3, 2)]
    packed, _ = checked(models, "net", [*data, "#rand(-1,1,4,...)"], tmp_path, **OPTIMISED)
    shapes = [testcase["values"]["data"].shape[0] for testcase in packed["testcases"]]
    assert shapes == [1, 3, 2, 4]
    assert [testcase["results"][0].shape for testcase in packed["testcases"]] == [
        (count, 5) for count in shapes
    ]
    whole, first = np.load(models.data("batch3")), packed["testcases"][0]
    assert packed["testcases"][1]["values"]["data"].tobytes() == whole.tobytes()
    # The same image gives the same logits, whatever stands beside it.
    np.testing.assert_allclose(
        packed["testcases"][1]["results"][0][:1], first["results"][0], atol=1e-5
    )


def test_repeat_and_transform_reach_the_file(models: support.Models, tmp_path: Path) -> None:
    data = [str(models.data("batch2")), "#rand(0,1)"]
    packed, _ = checked(models, "net", data, tmp_path, repeat=3, input_transform="data * 2")
    given = np.repeat(np.load(models.data("batch2")) * 2, 3, axis=0)
    assert packed["testcases"][0]["values"]["data"].tobytes() == given.tobytes()
    assert packed["testcases"][1]["values"]["data"].shape == (1, 3, 8, 8)


def test_an_image_reaches_the_file_as_bgr_planes(models: support.Models, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 3), np.uint8)
    path = tmp_path / "image.png"
    assert cv2.imwrite(str(path), pixels)
    packed, _ = checked(models, "image", [str(path), "#rand(0,255)"], tmp_path, repeat=2)
    value = packed["testcases"][0]["values"]["pixels"]
    assert value.dtype == np.uint8
    assert value.tobytes() == np.stack([pixels.transpose(2, 0, 1)] * 2).tobytes()
    wanted = value.astype(np.float64).mean(axis=(2, 3)) / 255
    np.testing.assert_allclose(packed["testcases"][0]["results"][0], wanted, atol=1e-5)


@pytest.mark.parametrize("options", [{}, OPTIMISED], ids=["plain", "optimised"])
def test_outputs_whose_shape_depends_on_values(
    options: dict[str, Any], models: support.Models, tmp_path: Path
) -> None:
    data = ["#rand(-1,1)", "#rand(0.5,1)", "#rand(-2,1,4,5)"]
    packed, _ = checked(models, "dynamic", data, tmp_path, **options)
    for testcase in packed["testcases"]:
        value = testcase["values"]["x"]
        assert testcase["results"][0].tobytes() == value[value > 0].tobytes()
        assert testcase["results"][1].tolist() == np.flatnonzero(value > 0).tolist()
    assert packed["testcases"][1]["results"][0].shape == (6,)


def test_an_output_that_is_empty_is_not_taken_for_equal(
    models: support.Models, tmp_path: Path
) -> None:
    data = ["#rand(-1,1)", "#rand(-2,-1)"]
    report = support.pack(models.path("dynamic"), data, tmp_path / "out.mge")
    assert report.exit_status == 2
    assert "output values is empty for '#rand(-2,-1)'" in support.said(report)
    assert list(tmp_path.iterdir()) == []


def test_a_single_number_as_output(models: support.Models, tmp_path: Path) -> None:
    packed, deploy = checked(models, "scalar", "#rand(0,1)", tmp_path, **OPTIMISED)
    (testcase,) = packed["testcases"]
    value = testcase["values"]["x"]
    np.testing.assert_allclose(testcase["results"][0], value.mean(), rtol=1e-6)
    np.testing.assert_allclose(testcase["results"][1], value.sum(axis=1), rtol=1e-6)
    assert names(packed) == names(deploy) == ["mean", "sum"]


@pytest.mark.parametrize("name", ["twice", "only_through", "equal", "merged", "shadow", "suffix"])
def test_outputs_that_are_one_another_or_an_input(
    name: str, models: support.Models, tmp_path: Path
) -> None:
    packed, deploy = checked(models, name, ["#rand(0,1)", "#rand(-1,0)"], tmp_path, **OPTIMISED)
    (model,) = support.read(models.path(name))
    assert len(names(packed)) == len(names(deploy)) == len(names(model))
    # Where optimising makes two outputs one, that one can have one name only.
    assert set(names(packed)) == set(names(deploy)) <= set(names(model))
    assert names(packed)[0] == names(model)[0]
    assert list(deploy["inputs"]) == list(model["inputs"]) == ["x"]
    for output in names(model):
        assert f"{output}:expect" in packed["inputs"]


@pytest.mark.parametrize("name", ["through.fbs", "through.fbs_v2"])
def test_an_input_that_is_passed_through_beside_an_output(
    name: str, models: support.Models, tmp_path: Path
) -> None:
    data = ["x:#rand(0,1);y:#rand(5,6)", "y:#rand(2,3);x:#rand(7,8)"]
    packed, deploy = checked(models, name, data, tmp_path, **OPTIMISED)
    assert names(packed) == names(deploy) == ["x", "sum"]
    for testcase in packed["testcases"]:
        value = testcase["values"]
        assert testcase["results"][0].tobytes() == value["x"].tobytes()
        np.testing.assert_allclose(testcase["results"][1], value["x"] + value["y"], rtol=1e-6)


@pytest.mark.parametrize("name", ["dtypes.fbs", "dtypes.fbs_v2"])
def test_inputs_of_every_dtype(name: str, models: support.Models, tmp_path: Path) -> None:
    kinds = [*models.facts["plain_dtypes"], *models.facts["quantised"]]
    data = [
        ";".join(f"in_{kind}:{models.data(f'data_{kind}')}" for kind in kinds),
        "#rand(0,1)",
    ]
    packed, _ = checked(models, name, data, tmp_path, maxerr=Limits(0.0))
    for kind in kinds:
        given = np.load(models.data(f"data_{kind}"))
        value = packed["testcases"][0]["values"][f"in_{kind}"]
        assert value.dtype.itemsize == given.dtype.itemsize, kind
        assert value.tobytes() == given.tobytes(), kind
    results = dict(zip(names(packed), packed["testcases"][0]["results"], strict=True))
    int16 = np.load(models.data("data_int16")).astype(np.float32)
    assert results["out_int16"].tobytes() == int16.tobytes()
    # Quantised values stand for numbers: scale 0.25, and scale 0.5 around 128.
    for kind, scale, zero in (("q8", 0.25, 0), ("q8asymm", 0.5, 128)):
        stored = np.load(models.data(f"data_{kind}")).astype(np.float32)
        np.testing.assert_array_equal(results[f"out_{kind}"], (stored - zero) * scale)


@pytest.mark.parametrize("name", ["quantised.fbs", "quantised.fbs_v2"])
def test_quantised_outputs(name: str, models: support.Models, tmp_path: Path) -> None:
    data = [f"x:#rand(-5,5);through:{models.data('data_q8')}", "x:#rand(0,1);through:#rand(-9,9)"]
    packed, _ = checked(models, name, data, tmp_path)
    for testcase in packed["testcases"]:
        value = testcase["values"]["x"]
        results = dict(zip(names(packed), testcase["results"], strict=True))
        for kind, scale in (("q8", 0.25), ("q8asymm", 0.5), ("q32", 0.125)):
            assert np.abs(results[kind] - value).max() <= scale / 2 + 1e-6, kind
        given = testcase["values"]["through"].astype(np.float32) * 0.25
        np.testing.assert_array_equal(results["through"], given)


@pytest.mark.parametrize("name", ["kinds.fbs", "kinds.fbs_v2"])
def test_outputs_of_whole_numbers_and_truth_values(
    name: str, models: support.Models, tmp_path: Path
) -> None:
    packed, deploy = checked(models, name, ["#rand(1,100)", "#rand(0,3)"], tmp_path, **OPTIMISED)
    assert names(packed) == names(deploy) == ["i32", "i8", "u8", "i16", "f16", "less", "flag"]
    assert packed["compared"] == [["float32", "float32"]] * 7
    for testcase in packed["testcases"]:
        value = testcase["values"]["x"]
        kinds = [result.dtype.name for result in testcase["results"]]
        assert kinds[:5] == ["int32", "int8", "uint8", "int16", "float16"]
        for result in testcase["results"][:4]:
            assert np.abs(result.astype(np.float32) - value).max() <= 1


@pytest.mark.parametrize("name", ["odd.fbs", "odd.fbs_v2"])
def test_names_of_any_characters(name: str, models: support.Models, tmp_path: Path) -> None:
    odd = models.facts["odd_inputs"]
    data = [
        ";".join(f"{name}:#rand({place},{place})" for place, name in enumerate(order))
        for order in (odd, odd[::-1])
    ]
    packed, deploy = checked(models, name, data, tmp_path)
    assert set(deploy["inputs"]) == set(odd)
    assert names(packed) == names(deploy) == models.facts["odd_outputs"]
    for testcase, order in zip(packed["testcases"], (odd, odd[::-1]), strict=True):
        for place, source in enumerate(order):
            assert testcase["values"][source].tolist() == [[place, place]], source


def test_many_inputs(models: support.Models, tmp_path: Path) -> None:
    data = ";".join(f"input{index}:#rand({index},{index})" for index in range(30))
    packed, _ = checked(models, "many", data, tmp_path, **OPTIMISED)
    (testcase,) = packed["testcases"]
    for index in range(30):
        assert testcase["values"][f"input{index}"].tolist() == [[index, index]]


def test_expected_values_that_sort_before_inputs(models: support.Models, tmp_path: Path) -> None:
    packed, _ = checked(models, "between", "a:#rand(2,2);b:#rand(3,3);out:f:#rand(1,1)", tmp_path)
    assert list(packed["inputs"]) == ["a", "b", "out:expect", "out:f"]
    assert packed["testcases"][0]["results"][0].tolist() == [[5, 5]]


@pytest.mark.parametrize("name", ["nameless.fbs", "nameless.fbs_v2"])
def test_outputs_without_names(name: str, models: support.Models, tmp_path: Path) -> None:
    packed, _ = checked(models, name, ["#rand(0,1)", "#rand(1,2)"], tmp_path, **OPTIMISED)
    for testcase in packed["testcases"]:
        value = testcase["values"]["x"]
        for result, wanted in zip(
            testcase["results"], (np.exp(value), np.sin(value), -value), strict=True
        ):
            np.testing.assert_allclose(result, wanted, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("constant", "has no inputs"),
        ("expect", "x:expect"),
        ("assert", "out:assert"),
    ],
)
def test_models_that_cannot_be_packed_are_told(
    name: str, message: str, models: support.Models, tmp_path: Path
) -> None:
    report = support.pack(models.path(name), "#rand(0,1)", tmp_path / "out.mge")
    assert report.exit_status == 2
    assert message in support.said(report)
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_draws_random_numbers_does_not_pass(
    models: support.Models, tmp_path: Path
) -> None:
    report = support.pack(models.path("random"), "#rand(0,1)", tmp_path / "out.mge")
    assert report.exit_status == 1
    assert "a second run gives other results" in support.said(report)


def test_without_assertions_nothing_is_verified(models: support.Models, tmp_path: Path) -> None:
    out = tmp_path / "out.mge"
    data = "Z:#rand(1,1);alpha:#rand(2,2);zeta:#rand(3,3)"
    report = support.pack(models.path("two"), data, out, no_assert=True)
    assert (report.verdict, report.exit_status) == ("not verified", 0)
    assert report.headline.startswith("NOT VERIFIED")
    (packed,) = support.read(out)
    assert "AssertEqual" not in packed["operators"]
    value = packed["testcases"][0]["values"]
    assert {name: value[name].flat[0] for name in value} == {"Z": 1, "alpha": 2, "zeta": 3}
    again = support.verify(out)
    assert again.exit_status == 1
    assert "no assertion" in support.said(again)
    assert support.verify(out, models.path("two")).verdict == "passed"
