import os
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from megdump_ci.errors import InputError
from megdump_ci.testcase.faults import PROBLEM_LIMIT
from megdump_ci.testcase.inputs import Array
from megdump_ci.testcase.spec import TestcaseSpec
from megdump_ci.testcase.values import DataSettings, InputType, check, load

IMAGE = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
PLAIN = DataSettings()


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.arange(60.0).reshape(1, 3, 4, 5))
    np.save("flat.npy", np.arange(60.0).reshape(3, 4, 5))
    cv2.imwrite("i.png", IMAGE)


def target(*shape: int, dtype: str = "float32", name: str = "data") -> InputType:
    return InputType(name, shape, np.dtype(dtype), dtype)


DATA = target(1, 3, 4, 5)


def feed(text: str, settings: DataSettings = PLAIN, model: InputType = DATA) -> Array:
    assert check([TestcaseSpec(text)], [model], settings) == []
    return load(TestcaseSpec(text), 0, [model], settings)[model.name]


def test_an_array_and_an_image_become_the_inputs_dtype() -> None:
    assert np.array_equal(feed("a.npy"), np.arange(60, dtype=np.float32).reshape(1, 3, 4, 5))
    array = feed("data:i.png")
    assert array.dtype == np.float32
    assert np.array_equal(array, IMAGE.transpose(2, 0, 1)[None])


def test_files_are_repeated_then_transformed_and_random_data_is_not() -> None:
    settings = DataSettings(repeat=2, resize_input=True, input_transform="data / data.shape[0]")
    for name in ("a.npy", "flat.npy"):
        wanted = np.repeat(np.arange(60).reshape(1, 3, 4, 5), 2, axis=0) / 2
        assert np.array_equal(feed(name, settings), wanted)
    assert feed("i.png", settings, target(1, 3, 8, 9)).shape == (2, 3, 8, 9)
    assert np.array_equal(feed("#rand(0,1)", settings), feed("#rand(0,1)"))


def test_random_data_depends_on_the_sorted_place_of_the_input() -> None:
    inputs = [target(4, name="b"), target(4, name="a")]
    spec = TestcaseSpec("#rand(0,1)")
    feeds = load(spec, 3, inputs, PLAIN)
    again = load(spec, 3, inputs[::-1], PLAIN)
    assert list(feeds) == ["b", "a"]
    assert all(np.array_equal(feeds[name], again[name]) for name in feeds)
    assert not np.array_equal(feeds["a"], feeds["b"])
    assert not np.array_equal(feeds["a"], load(spec, 4, inputs, PLAIN)["a"])


def test_a_path_is_looked_up_in_the_lists_folder_too(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "a.npy").rename(tmp_path / "lists" / "b.npy")
    spec = TestcaseSpec("b.npy", "lists/l.txt", 2, "lists")
    assert load(spec, 0, [DATA], PLAIN)["data"].shape == (1, 3, 4, 5)
    np.save("b.npy", np.zeros((1, 3, 4, 5)))
    assert not load(spec, 0, [DATA], PLAIN)["data"].any()
    (problem,) = check([TestcaseSpec("c.npy", "lists/l.txt", 2, "lists")], [DATA], PLAIN)
    assert "'c.npy': no such file" in problem.message
    assert str(tmp_path) in problem.hint
    assert "folder lists" in problem.hint
    assert (problem.file, problem.line) == ("lists/l.txt", 2)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nowhere.png", "no such file"),
        ("a.npy/x", "no such file"),
        ("x" * 300, "too long"),
        ("folder", "is a folder"),
        ("pipe", "not a regular file"),
        ("/dev/zero", "not a regular file"),
        ("empty", "is empty"),
        ("archive", "zip archive"),
        ("pickle", "pickle"),
        ("jpeg.png", "JPEG 2000"),
        ("codestream.png", "JPEG 2000"),
        ("pointer", "Git LFS pointer"),
        ("text", "neither an .npy array nor an image"),
        ("flat2.npy", "shape (4, 5) does not fit the model's input (1, 3, 4, 5)"),
        ("objects.npy", "never loaded"),
        ("#rand(0,1,7)", "shape (7,) does not fit"),
        ("b:a.npy;data:a.npy", "no input 'b'"),
    ],
)
def test_check_and_load_name_the_same_problem(text: str, words: str) -> None:
    os.mkdir("folder")
    os.mkfifo("pipe")
    Path("empty").touch()
    np.savez("archive.npz", a=1)
    os.rename("archive.npz", "archive")
    Path("pickle").write_bytes(pickle.dumps([1]))
    jpeg = cv2.imencode(".jp2", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    Path("jpeg.png").write_bytes(jpeg)
    Path("codestream.png").write_bytes(jpeg[jpeg.index(b"\xff\x4f\xff\x51") :])
    Path("pointer").write_text("version https://git-lfs...")
    Path("text").write_text("<html>")
    np.save("flat2.npy", np.zeros((4, 5)))
    np.save("objects.npy", np.array([None, {}]))
    spec = TestcaseSpec(text, "list.txt", 9)
    inputs = [DATA, target(1, name="other")] if text.startswith("b:") else [DATA]
    (problem,) = check([spec], inputs, PLAIN)[:1]
    assert words in problem.message
    assert problem.hint
    assert (problem.file, problem.line) == ("list.txt", 9)
    if text != "text":
        with pytest.raises(InputError) as caught:
            load(spec, 0, inputs, PLAIN)
        assert caught.value.problems[0] == problem


def test_check_collects_and_counts() -> None:
    specs = [TestcaseSpec("i.png"), *[TestcaseSpec(f"{n}.png") for n in range(PROBLEM_LIMIT + 4)]]
    problems = check(specs, [DATA], DataSettings(input_transform="os"))
    assert len(problems) == PROBLEM_LIMIT + 1
    assert "'os'" in problems[0].message
    assert "5 more" in problems[-1].message


@pytest.mark.parametrize(("width", "fits"), [(2**29 - 2, True), (2**29 - 1, False)])
@pytest.mark.parametrize("text", ["a:#rand(0,1);b:#rand(0,1)", "a:large.npy;b:#rand(0,1)"])
def test_a_format_has_room_for_all_inputs_of_a_testcase_together(
    text: str, width: int, fits: bool
) -> None:
    inputs = [target(1, width, name="a"), target(1, 1, name="b")]
    with open("large.npy", "wb") as file:
        head = {"descr": "|u1", "fortran_order": False, "shape": (1, width)}
        np.lib.format.write_array_header_1_0(file, head)  # type: ignore[no-untyped-call]
        # It takes no room on the disk; as float32 it would be four times as large.
        file.truncate(file.tell() + width)
    spec = TestcaseSpec(text, "list.txt", 3)
    assert check([spec], inputs, PLAIN, "fbs") == check([spec], inputs, PLAIN) == []
    problems = check([spec], inputs, PLAIN, "fbs_v2")
    assert [problem.line for problem in problems] == ([] if fits else [3])
    assert all(f"takes {4 * width + 4} bytes" in problem.message for problem in problems)


def test_every_input_of_a_testcase_is_reported() -> None:
    inputs = [target(1, name="a"), target(1, name="b", dtype="bool")]
    spec = TestcaseSpec("a:nowhere;b:#rand(0,2)")
    assert len(check([spec], inputs, PLAIN)) == 2
    with pytest.raises(InputError) as caught:
        load(spec, 0, inputs, PLAIN)
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("text", "settings", "model", "words"),
    [
        ("i.png", DataSettings(repeat=2), target(3, 4, 5), "no batch axis"),
        ("i.png", DataSettings(input_transform="data[0]"), DATA, "shape (3, 4, 5) does not fit"),
        ("i.png", DataSettings(input_transform="np.sum(data)"), DATA, "not an array"),
        (
            "i.png",
            DataSettings(input_transform="data + 0.5"),
            target(1, 3, 4, 5, dtype="int8"),
            "fit int8",
        ),
        ("a.npy", DataSettings(repeat=10**12), DATA, "elements"),
        (
            "number.npy",
            DataSettings(repeat=2),
            InputType("data", None, np.dtype("int8"), "int8"),
            "no axis",
        ),
    ],
)
def test_what_shows_when_the_values_are_read(
    text: str, settings: DataSettings, model: InputType, words: str
) -> None:
    np.save("number.npy", np.int8(3))
    with pytest.raises(InputError) as caught:
        load(TestcaseSpec(text), 0, [model], settings)
    message = caught.value.problems[0].message
    assert words in message
    assert message.startswith(f"input 'data' from '{text}': ")


def test_a_transform_may_mend_the_number_of_dimensions() -> None:
    settings = DataSettings(input_transform="data.reshape(1, 3, 4, 5)")
    np.save("line.npy", np.arange(60))
    assert feed("line.npy", settings).shape == (1, 3, 4, 5)


def test_a_single_number_stays_one() -> None:
    np.save("number.npy", np.float64(3))
    assert feed("number.npy", PLAIN, target()).shape == ()
    assert feed("number.npy", PLAIN, target(1)).shape == (1,)
