"""The inputs of code that declares none, by its first testcase."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from megdump_ci.errors import InputError
from megdump_ci.testcase.spec import TestcaseSpec
from megdump_ci.testcase.values import DataSettings, InputType, discover, load


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def found(text: str, settings: DataSettings, *names: str) -> list[tuple[str, str]]:
    types = discover(TestcaseSpec(text), names or ("x",), settings)
    assert all(kind.shape is None and kind.label == kind.dtype.name for kind in types)
    return [(kind.name, kind.label) for kind in types]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("float64", "float32"),
        ("int64", "int32"),
        ("uint32", "int32"),
        ("uint64", "int32"),
        (">f4", "float32"),
        *((name, name) for name in ("float32", "float16", "int8", "uint8", "int16", "uint16")),
        *((name, name) for name in ("int32", "bool")),
    ],
)
def test_an_array_keeps_its_dtype_as_far_as_the_engine_has_it(given: str, wanted: str) -> None:
    np.save("a.npy", np.ones((2, 3), given))
    assert found("a.npy", DataSettings()) == [("x", wanted)]
    types = discover(TestcaseSpec("a.npy"), ["x"], DataSettings())
    (value,) = load(TestcaseSpec("a.npy"), 0, types, DataSettings()).values()
    assert value.dtype == wanted
    assert value.tolist() == np.ones((2, 3), wanted).tolist()


def test_an_integer_that_needs_its_64_bits_is_refused() -> None:
    np.save("a.npy", np.array([2**31]))
    types = discover(TestcaseSpec("a.npy"), ["x"], DataSettings())
    with pytest.raises(InputError, match="does not fit int32"):
        load(TestcaseSpec("a.npy"), 0, types, DataSettings())


def test_the_transform_decides_with() -> None:
    np.save("a.npy", np.full((1, 4), 255, np.uint8))
    settings = DataSettings(input_transform="data / 255", repeat=2)
    assert found("a.npy", settings) == [("x", "float32")]
    types = discover(TestcaseSpec("a.npy"), ["x"], settings)
    (value,) = load(TestcaseSpec("a.npy"), 0, types, settings).values()
    assert value.tolist() == [[1.0] * 4] * 2


def test_images_and_random_data_are_float32() -> None:
    cv2.imwrite("i.png", np.zeros((4, 5, 3), np.uint8))
    np.save("a.npy", np.ones(2, np.int64))
    text = "x:i.png;y:#rand(0,9,2);z:a.npy"
    wanted = [("x", "float32"), ("y", "float32"), ("z", "int32")]
    assert found(text, DataSettings(), "x", "y", "z") == wanted
    types = discover(TestcaseSpec(text), ["x", "y", "z"], DataSettings())
    assert load(TestcaseSpec(text), 0, types, DataSettings())["x"].shape == (1, 3, 4, 5)


def test_all_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(InputError) as caught:
        discover(TestcaseSpec("x:n.npy;y:m.npy"), ["x", "y"], DataSettings())
    assert len(caught.value.problems) == 2
    with pytest.raises(InputError, match="gets no data"):
        discover(TestcaseSpec("x:n.npy"), ["x", "y"], DataSettings())


def test_random_data_needs_its_whole_shape() -> None:
    kind = InputType("x", None, np.dtype(np.float32), "float32")
    for text in ("#rand(0,1)", "#rand(0,1,2,...)"):
        with pytest.raises(InputError, match="needs all dimensions"):
            load(TestcaseSpec(text), 0, [kind], DataSettings())
