import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from megdump_ci import worker
from megdump_ci.errors import InputError
from megdump_ci.testcase import image
from megdump_ci.testcase.inputs import Array, InputType
from megdump_ci.testcase.settings import IMAGE_PIXELS
from tests.fuzz import files

COLOUR = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
GREY = COLOUR[:, :, 0]
AS_GREY = cv2.cvtColor(COLOUR, cv2.COLOR_BGR2GRAY)


def encoded(pixels: Array, kind: str = ".png") -> bytes:
    done, data = cv2.imencode(kind, pixels)
    assert done
    return bytes(data)


def read(
    tmp_path: Path, content: bytes, shape: tuple[int, ...] | None, resize: bool = False
) -> Array:
    # The name says nothing about the kind.
    path = tmp_path / "odd: name é"
    path.write_bytes(content)
    with path.open("rb") as file:
        image.check_kind(file)
        return image.read(file, InputType("data", shape, np.dtype("uint8"), "uint8"), resize)


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [
        ((1, 3, 6, 8), COLOUR.transpose(2, 0, 1)[None]),
        ((4, 3, 6, 8), COLOUR.transpose(2, 0, 1)[None]),
        ((1, 3, 60, 80), COLOUR.transpose(2, 0, 1)[None]),
        ((1, 6, 8, 3), COLOUR[None]),
        ((3, 6, 8), COLOUR.transpose(2, 0, 1)),
        ((6, 8, 3), COLOUR),
        ((1, 1, 6, 8), AS_GREY[None, None]),
        ((1, 6, 8, 1), AS_GREY[None, :, :, None]),
        ((6, 8), AS_GREY),
        (None, COLOUR.transpose(2, 0, 1)[None]),
    ],
)
def test_the_layout_is_the_models(
    tmp_path: Path, shape: tuple[int, ...] | None, wanted: Array
) -> None:
    result = read(tmp_path, encoded(COLOUR), shape)
    assert result.flags.c_contiguous
    assert np.array_equal(result, wanted)


def test_a_grey_file_keeps_its_values(tmp_path: Path) -> None:
    assert np.array_equal(read(tmp_path, encoded(GREY), None), GREY[None, None])
    assert np.array_equal(read(tmp_path, encoded(GREY), (1, 1, 6, 8)), GREY[None, None])
    three = read(tmp_path, encoded(GREY), (1, 3, 6, 8))
    assert np.array_equal(three, np.broadcast_to(GREY, (1, 3, 6, 8)))


def test_alpha_and_depth_are_dropped(tmp_path: Path) -> None:
    wanted = COLOUR.transpose(2, 0, 1)[None]
    assert np.array_equal(read(tmp_path, encoded(np.dstack([COLOUR, GREY])), None), wanted)
    deep = COLOUR.astype(np.uint16) * 257
    assert np.array_equal(read(tmp_path, encoded(deep), (1, 3, 6, 8)), wanted)


def test_resizing_is_bilinear_to_height_and_width(tmp_path: Path) -> None:
    wanted = cv2.resize(COLOUR, (5, 4), interpolation=cv2.INTER_LINEAR)
    for shape, array in (
        ((1, 3, 4, 5), wanted.transpose(2, 0, 1)[None]),
        ((1, 4, 5, 3), wanted[None]),
        ((4, 5), cv2.cvtColor(wanted, cv2.COLOR_BGR2GRAY)),
    ):
        assert np.array_equal(read(tmp_path, encoded(COLOUR), shape, resize=True), array)
    assert read(tmp_path, encoded(COLOUR), None, resize=True).shape == (1, 3, 6, 8)


def test_the_exif_orientation_is_applied(tmp_path: Path) -> None:
    plain = encoded(COLOUR, ".jpg")
    # One entry: orientation (0x112), a short, 6: turn clockwise by 90 degrees.
    tags = b"Exif\0\0II*\0" + struct.pack("<IHHHIHHI", 8, 1, 0x112, 3, 1, 6, 0, 0)
    turned = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(tags) + 2) + tags + plain[2:]
    upright = read(tmp_path, plain, (6, 8, 3))
    assert np.array_equal(read(tmp_path, turned, (6, 8, 3)), np.rot90(upright, -1))


@pytest.mark.parametrize("shape", [(1, 4, 5, 6), (5,), (1, 1, 3, 4, 4), (1, 3, 0, 4), ()])
def test_other_shapes_take_no_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        image.layout_of(shape)
    assert str(shape) in caught.value.problems[0].message


def test_what_has_no_batch_axis_is_not_repeated() -> None:
    def target(*shape: int) -> InputType:
        return InputType("data", shape, np.dtype("uint8"), "uint8")

    for shape in ((3, 6, 8), (6, 8, 3), (6, 8)):
        image.check_fit(target(*shape), 1)
        with pytest.raises(InputError, match="no batch axis"):
            image.check_fit(target(*shape), 2)
    image.check_fit(target(1, 3, 6, 8), 2)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def test_a_giant_image_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0"))
    with pytest.raises(InputError, match=r"refused by OpenCV: .*MAX_IMAGE_PIXELS"):
        read(tmp_path, content + chunk(b"IEND", b""), (1, 3, 6, 8))


def test_the_engine_process_has_a_limit_for_images(tmp_path: Path) -> None:
    # A JPEG of a few bytes is decoded to whatever size it claims, the rest of it in grey.
    content = files.lie(".jpg", 16385, 16385)
    (tmp_path / "image").write_bytes(content)
    script = (
        "import sys; from megdump_ci.testcase import image; import numpy as np\n"
        "target = image.InputType('data', (1, 3, 4, 4), np.dtype('uint8'), 'uint8')\n"
        "try: image.read(open(sys.argv[1], 'rb'), target, False)\n"
        "except image.InputError as error: print(error)\n"
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])\n"
    )
    limits = worker._environment(str(tmp_path), 1, None)
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "image")],
        env={**limits, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
    )
    assert "refused by OpenCV" in done.stdout, done
    assert f"{IMAGE_PIXELS} pixels" in done.stdout
    assert int(done.stdout.split()[-1]) < 200_000


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (encoded(COLOUR.astype(np.float32), ".hdr"), "Radiance HDR"),
        (encoded(COLOUR.astype(np.float32), ".pfm"), "PFM"),
        (encoded(COLOUR, ".pam"), "PAM"),
        (encoded(COLOUR, ".ras"), "Sun raster"),
        (b"v/1\x01" + bytes(40), "OpenEXR"),
        (b"GIF89a" + bytes(40), "GIF"),
    ],
)
def test_other_kinds_are_refused_by_name(tmp_path: Path, content: bytes, name: str) -> None:
    with pytest.raises(InputError, match=f"is a {name} image, which is not taken") as caught:
        read(tmp_path, content, (1, 3, 6, 8))
    assert "PNG" in caught.value.problems[0].hint


@pytest.mark.parametrize("kind", [".png", ".jpg", ".bmp", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"])
def test_the_common_kinds_are_taken_by_their_content(tmp_path: Path, kind: str) -> None:
    pixels = GREY if kind in (".pgm", ".pbm") else COLOUR
    assert read(tmp_path, encoded(pixels, kind), (1, 3, 6, 8)).shape == (1, 3, 6, 8)


@pytest.mark.parametrize("length", [2**31 - 1, 1_400_000_000, 2**32 - 1, 5000])
def test_a_part_of_a_png_is_not_longer_than_the_file(
    tmp_path: Path, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded(COLOUR)
    at = content.index(b"IDAT") - 4
    changed = content[:at] + struct.pack(">I", length) + content[at + 4 :]
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("it was decoded"))
    with pytest.raises(InputError, match="neither an"):
        read(tmp_path, changed, (1, 3, 6, 8))
    monkeypatch.undo()
    assert read(tmp_path, content + b"more", (1, 3, 6, 8)).shape == (1, 3, 6, 8)


def test_what_cannot_be_decoded_is_refused(tmp_path: Path) -> None:
    for content in (b"text", b"\x89PNG\r\n\x1a\n", encoded(COLOUR)[:-30]):
        with pytest.raises(InputError, match=r"neither an \.npy array nor an image"):
            read(tmp_path, content, (1, 3, 6, 8))
