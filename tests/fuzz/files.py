"""Data files: arrays and images, altered in every way that a file can be."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from hypothesis import given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from megdump_ci.errors import InputError
from megdump_ci.testcase import inputs, values
from megdump_ci.testcase.inputs import InputType
from megdump_ci.testcase.settings import DataSettings
from megdump_ci.testcase.spec import read_specs
from tests.fuzz.target import Target, altered, file_of

SHAPES = ((1, 3, 6, 8), (1, 6, 8, 3), (6, 8), (1, 1, 4, 4), (2, 3), (4,), None)


@dataclass(frozen=True)
class Case:
    """The bytes of a data file, and what it is for."""

    content: bytes
    target: InputType = field(default_factory=lambda: _input(None, "float32"))
    settings: DataSettings = field(default_factory=DataSettings)


def _input(shape: tuple[int, ...] | None, dtype: str) -> InputType:
    return InputType("data", shape, np.dtype(dtype), dtype)


def cases(content: st.SearchStrategy[bytes]) -> st.SearchStrategy[Case]:
    """Files with this content, for any input."""
    target = st.builds(_input, st.sampled_from(SHAPES), st.sampled_from(("float32", "uint8")))
    settings = st.builds(
        DataSettings,
        repeat=st.sampled_from((1, 1, 2, 10**6)),
        resize_input=st.booleans(),
        input_transform=st.sampled_from(("", "", "data / 255", "data[:1]", "data.reshape(2, 3)")),
    )
    return st.builds(Case, content, target, settings)


def arrays() -> st.SearchStrategy[bytes]:
    """``.npy`` files: such that numpy writes, and such with a header that says something else."""
    return altered(saved() | headers())


def example(cases: st.SearchStrategy[bytes], number: int) -> bytes:
    """One of ``cases``, the same for the same number."""
    found: list[bytes] = []

    @seed(number)
    @settings(max_examples=5, database=None, deadline=None)
    @given(cases)
    def collect(content: bytes) -> None:
        found.append(content)

    collect()
    # The first ones are the simplest.
    return found[-1]


@st.composite
def saved(draw: st.DrawFn) -> bytes:
    """What numpy writes, of any dtype and version."""
    kinds = hnp.scalar_dtypes() | hnp.array_dtypes(max_size=3) | st.just(np.dtype("O"))
    dtype = draw(kinds)
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, max_side=4))
    if dtype.hasobject:
        array = np.full(shape, None, object)
    else:
        array = np.zeros(shape, dtype, order=draw(st.sampled_from("CF")))
    file = io.BytesIO()
    # The first two cannot hold names of fields in all letters.
    version = None if dtype.names else draw(st.sampled_from(((1, 0), (2, 0), (3, 0))))
    np.lib.format.write_array(file, array, version=version, allow_pickle=True)
    return file.getvalue()


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """A header of parts that fit or do not fit together, and some bytes."""
    sizes = st.sampled_from(("0", "1", "2", "3", "-1", "-4", "2**40", "10**9", "1.0", "True"))
    shape = draw(st.lists(sizes | st.just(str(2**63)), max_size=4))
    descr = draw(
        st.sampled_from(
            ("'<f4'", "'|O'", "'|V8'", "'<M8[s]'", "'>f8'", "'|u1'", "'<f16'", "'f4,f4'")
        )
        | st.sampled_from(("[('a', '<f4')]", "('<f4', (2,))", "('|O', (9,))", "{}", "'<c8'", "7"))
    )
    text = (
        f"{{'descr': {descr}, 'fortran_order': {draw(st.sampled_from(('True', 'False', '2')))},"
        f" 'shape': ({''.join(f'{size},' for size in shape)})}}"
    )
    text = draw(st.sampled_from((text, text, text, "(" * 300, "[" * 9999, "__import__('os')")))
    body = text.encode() + b" " * draw(st.integers(0, 70)) + b"\n"
    version = draw(st.sampled_from((1, 2, 3, 4, 0, 255)))
    length = len(body) if draw(st.booleans()) else draw(st.integers(0, 2**16 - 1))
    size = struct.pack("<H" if version == 1 else "<I", length)
    return b"\x93NUMPY" + bytes((version, 0)) + size + body + draw(st.binary(max_size=64))


def check_array(case: Case) -> bool:
    """An array is refused, or read as numpy reads it without pickles."""
    feeds = loaded(case)
    if feeds is None:
        return False
    if case.content.startswith(b"\x93NUMPY") and case.settings == DataSettings():
        wanted = np.lib.format.read_array(io.BytesIO(case.content), allow_pickle=False)
        assert np.array_equal(feeds.reshape(-1), wanted.astype(feeds.dtype).reshape(-1)) or (
            np.isnan(feeds).any()
        )
    return True


def loaded(case: Case) -> np.ndarray | None:  # type: ignore[type-arg]
    """What a file holds for its input; None if it is refused."""
    with file_of(case.content) as path:
        specs = read_specs([str(path)])
        problems = values.check(specs, [case.target], case.settings)
        try:
            found = values.load(specs[0], 0, [case.target], case.settings)["data"]
        except InputError as error:
            assert error.problems[0].message
            return None
    assert not problems, problems
    assert found.dtype == case.target.dtype
    assert found.flags.c_contiguous
    assert 0 < found.nbytes <= inputs.BYTE_LIMIT
    return found


KINDS = (
    *(".png", ".jpg", ".bmp", ".tiff", ".webp", ".ppm", ".pgm", ".pbm"),
    *(".hdr", ".jp2", ".ras", ".pfm", ".pam"),
)
_HEIGHT, _WIDTH = 48, 36


def encoded(kind: str) -> bytes:
    """An image of that kind, 48 x 36 pixels (height x width)."""
    pixels = np.random.default_rng(0).integers(0, 256, (_HEIGHT, _WIDTH, 3), np.uint8)
    if kind in (".pgm", ".pbm"):
        pixels = pixels[:, :, 0]
    # Without a quality, WebP would be lossless, and its size not on bytes of its own.
    options = [cv2.IMWRITE_WEBP_QUALITY, 80] if kind == ".webp" else []
    done, data = cv2.imencode(kind, pixels.astype("f4") if kind == ".pfm" else pixels, options)
    assert done, kind
    return bytes(data)


_ENCODED = {kind: encoded(kind) for kind in KINDS}
_TEXTS = {
    ".hdr": (b"-Y 48 +X 36", b"-Y %d +X %d"),
    ".pam": (b"WIDTH 36\nHEIGHT 48", b"WIDTH %d\nHEIGHT %d"),
    **dict.fromkeys((".ppm", ".pgm", ".pbm", ".pfm"), (b"36 48", b"%d %d")),
}
"""How the size stands in headers that are text; but for ``.hdr`` the width comes first."""


def images() -> st.SearchStrategy[bytes]:
    """Images of every kind that OpenCV decodes, altered, spliced, or of a size that is a lie."""
    whole = st.sampled_from(KINDS).map(_ENCODED.__getitem__)
    side = st.sampled_from((0, 1, 255, 1024, 4096, 16383, 32767, 65500, 2**20 + 1, 2**31 - 1))
    lies = st.builds(lie, st.sampled_from(KINDS), side, side)
    spliced = st.builds(lambda a, b, at: a[:at] + b[at:], whole, whole, st.integers(0, 200))
    return lies | altered(whole | lies | spliced)


def lie(kind: str, height: int, width: int) -> bytes:
    """A small image of that kind that claims to have so many pixels."""
    content = _ENCODED[kind]
    if kind in _TEXTS:
        old, new = _TEXTS[kind]
        sizes = (height, width) if kind == ".hdr" else (width, height)
        assert old in content
        return content.replace(old, new % sizes, 1)
    changed = bytearray(content)
    for form, at, number in _places(kind, content, height, width):
        mask = (1 << 8 * struct.calcsize(form)) - 1
        struct.pack_into(form, changed, at, number & mask)
    if kind == ".png":
        struct.pack_into(">I", changed, 29, zlib.crc32(bytes(changed[12:29])))
    return bytes(changed)


def _places(kind: str, content: bytes, height: int, width: int) -> Sequence[tuple[str, int, int]]:
    """Where the size stands in a header, and how."""
    if kind == ".tiff":
        return list(_tags(content, height, width))
    box, code = content.find(b"ihdr") + 4, content.find(b"\xff\x51") + 6
    frame, key = content.find(b"\xff\xc0") + 5, content.find(b"\x9d\x01\x2a") + 3
    return {
        ".png": ((">I", 16, width), (">I", 20, height)),
        ".bmp": (("<I", 18, width), ("<I", 22, height)),
        ".ras": ((">I", 4, width), (">I", 8, height)),
        ".jpg": ((">H", frame, height), (">H", frame + 2, width)),
        ".webp": (("<H", key, width), ("<H", key + 2, height)),
        # In the box of the header, and of the image and its one tile in the code stream.
        ".jp2": (
            (">I", box, height),
            (">I", box + 4, width),
            *((">I", code + step, width) for step in (0, 16)),
            *((">I", code + step, height) for step in (4, 20)),
        ),
    }[kind]


def _tags(content: bytes, height: int, width: int) -> Iterator[tuple[str, int, int]]:
    """The same of a TIFF: its tags for width, height and rows of a strip."""
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        (tag,) = struct.unpack_from("<H", content, at)
        if tag in (256, 257, 278):
            yield "<H", at + 2, 4
            yield "<I", at + 8, width if tag == 256 else height


def check_image(case: Case) -> bool:
    """An image is refused, or gives values that an image can have."""
    found = loaded(case)
    if found is None:
        return False
    if not case.settings.input_transform and not case.content.startswith(b"\x93NUMPY"):
        assert found.min() >= 0
        assert found.max() <= 255
    return True


@dataclass(frozen=True)
class Cut:
    """A whole image, and how much of it is left."""

    kind: str
    share: float


def check_cut(case: Cut) -> bool:
    """No image that was cut short is taken for a whole one."""
    content = _ENCODED[case.kind]
    left = content[: int(len(content) * case.share)]
    assert loaded(Case(left)) is None
    return False


ARRAYS = Target("arrays", cases(arrays()), check_array)
IMAGES = Target("images", cases(images()), check_image)
CUT_IMAGES = Target(
    "images cut short",
    st.builds(Cut, st.sampled_from(KINDS), st.floats(0, 0.9)),
    check_cut,
)
