"""Cutting the device code out, on small libraries and with the machine's own loader."""

from __future__ import annotations

import base64
import hashlib
import re
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image import cut_device_code
from image.cut_device_code import LIBRARIES, Digests, Refused, cut, fill, main
from tests.unit.image import elf
from tests.unit.image.elf import PAGE, Made, Recipe, make

ROOT = Path(__file__).parents[3]
GROWTH = 4 * 56
"""Bytes by which the program headers grow."""

# What is in memory at offsets from where the library is, by the loader of this machine.
_LOADER = """
import ctypes, sys
path, *places = sys.argv[1:]
ctypes.CDLL(path)
with open("/proc/self/maps") as maps:
    base = min(int(line.split("-")[0], 16) for line in maps if line.strip().endswith(path))
for place in places:
    start, end = map(int, place.split("-"))
    print(ctypes.string_at(base + start, end - start).hex())
"""


def cut_of(made: Made, folder: Path, *, filled: bool = True) -> bytes:
    source, target = folder / "wheel.so", folder / "cut.so"
    source.write_bytes(made.content)
    cut(source, target)
    assert source.read_bytes() == made.content
    if filled:
        fill(target)
    return target.read_bytes()


def flat(content: bytes) -> bytes:
    """The memory image; a byte that is nowhere is a question mark."""
    parts = elf.memory(content)
    image = bytearray(b"?" * max(address + len(part) for address, part in parts.items()))
    for address, part in parts.items():
        image[address : address + len(part)] = part
    return bytes(image)


def recipes() -> st.SearchStrategy[Recipe]:
    odd = st.integers(0, 2 * PAGE).map(lambda size: (b"%d," % size * size)[:size])
    return st.builds(
        Recipe,
        # Enough for a whole page, also of the larger size.
        unused=st.integers(4 * PAGE, 6 * PAGE),
        before=odd,
        fatbin=st.integers(4 * PAGE, 6 * PAGE).map(lambda size: b"F" * size),
        relfatbin=odd,
        after=odd,
        data=odd,
        align=st.sampled_from((PAGE, 2 * PAGE)),
    )


@given(recipe=recipes())
def test_all_but_the_cut_stays_at_its_address(
    tmp_path_factory: pytest.TempPathFactory, recipe: Recipe
) -> None:
    made = make(recipe)
    content = cut_of(made, tmp_path_factory.mktemp("cut"))
    before, after = flat(made.content), flat(content)
    assert len(before) == len(after)
    tables = made.unused[0] + GROWTH
    for start, end in ((tables, made.unused[1]), made.code):
        assert after[start:end] == bytes(end - start)
    assert after[made.unused[1] : made.code[0]] == before[made.unused[1] : made.code[0]]
    assert after[made.code[1] :] == before[made.code[1] :]
    removed = len(made.content) - len(content)
    assert removed % recipe.align == 0
    most = made.unused[1] - tables + made.code[1] - made.code[0]
    assert most - 4 * recipe.align < removed <= most


@given(recipe=recipes())
def test_every_table_still_says_where_things_are(
    tmp_path_factory: pytest.TempPathFactory, recipe: Recipe
) -> None:
    made = make(recipe)
    folder = tmp_path_factory.mktemp("cut")
    content = cut_of(made, folder)
    with (folder / "wheel.so").open("rb") as old, (folder / "cut.so").open("rb") as new:
        before, after = cut_device_code.read(old), cut_device_code.read(new)
    assert after.names == before.names
    for name, section, same in zip(after.names, after.sections, before.sections, strict=True):
        assert section.address == same.address
        assert section.size == same.size
        if name in cut_device_code.DEVICE_CODE:
            assert (section.type, same.type) == (8, 1)
        else:
            assert content[section.offset : section.end] == made.content[same.offset : same.end]
    (table,) = [segment for segment in after.segments if segment.type == elf.PHDR]
    assert table.size == table.memory == len(after.segments) * 56
    for kind in (elf.DYNAMIC, elf.NOTE):
        (old_one,) = [segment for segment in before.segments if segment.type == kind]
        (new_one,) = [segment for segment in after.segments if segment.type == kind]
        assert new_one.address == old_one.address
        assert content[new_one.offset : new_one.end] == made.content[old_one.offset : old_one.end]


def load(path: Path, *places: tuple[int, int]) -> subprocess.CompletedProcess[str]:
    told = [f"{start}-{end}" for start, end in places]
    command = [sys.executable, "-I", "-c", _LOADER, str(path), *told]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_loader_sees_zeros_and_the_same_bytes_around_them(tmp_path: Path) -> None:
    made = make(Recipe(before=b"before" * 900, after=b"after" * 900))
    cut_of(made, tmp_path)
    places = (made.code, made.sections[".rodata"], made.sections[".eh_frame"])
    wheel, cut_one = load(tmp_path / "wheel.so", *places), load(tmp_path / "cut.so", *places)
    assert wheel.returncode == cut_one.returncode == 0, cut_one.stderr
    seen = cut_one.stdout.split()
    assert seen[0] == bytes(made.code[1] - made.code[0]).hex()
    assert seen[1:] == wheel.stdout.split()[1:]
    assert bytes.fromhex(seen[2]) == b"after" * 900


def test_before_it_is_filled_reading_the_cut_is_a_crash(tmp_path: Path) -> None:
    made = make(Recipe())
    cut_of(made, tmp_path, filled=False)
    around = (made.sections[".rodata"], made.sections[".eh_frame"])
    assert load(tmp_path / "cut.so", *around).returncode == 0
    page = -(-made.code[0] // PAGE) * PAGE
    for start in (page, page + PAGE, 2 * PAGE):
        assert load(tmp_path / "cut.so", (start, start + 1)).returncode == -signal.SIGSEGV
    assert load(tmp_path / "wheel.so", (page, page + 1)).returncode == 0


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        (Recipe(names=(".nv_fatbin", ".other")), "does not have the sections"),
        (Recipe(names=(".nv_fatbin", ".nv_fatbin")), "does not have the sections"),
        (Recipe(code_flags=3), "not constant data"),
        (Recipe(code_flags=6), "not constant data"),
        (Recipe(segment_flags=6), "constant one"),
        (Recipe(align=16), "alignment is 16"),
        (Recipe(align=3 * PAGE), f"alignment is {3 * PAGE}"),
        (Recipe(between=b"in use"), ".between is where the cut would be"),
        (Recipe(filling=b"U"), "is used"),
        (Recipe(unused=PAGE), "nothing to cut"),
        (Recipe(unused=100), "nothing to cut"),
        (Recipe(fatbin=b"", relfatbin=b"R"), "nothing to cut"),
    ],
)
def test_another_layout_is_refused(tmp_path: Path, recipe: Recipe, said: str) -> None:
    with pytest.raises(Refused, match=re.escape(said)):
        cut_of(make(recipe), tmp_path)


def altered(made: Made, offset: int, part: bytes) -> Made:
    content = made.content[:offset] + part + made.content[offset + len(part) :]
    return Made(content, made.unused, made.code, made.sections)


def test_a_segment_in_the_cut_is_refused(tmp_path: Path) -> None:
    made = make(Recipe())
    note = struct.pack("<QQQ", *[made.code[0]] * 3)
    with pytest.raises(Refused, match="segment 4 is where the cut would be"):
        cut_of(altered(made, elf.TABLE + 4 * 56 + 8, note), tmp_path)


@pytest.mark.parametrize(
    ("offset", "part", "said"),
    [
        (0, b"\x7fELG", "no shared library"),
        (4, b"\x01", "no shared library"),
        (16, b"\x02", "no shared library"),
        (18, b"\xb7", "no shared library"),
        (54, b"\x20", "another size"),
        (56, b"\xff\xff", "too short"),
        (62, b"\xff\xff", "no names"),
        (44, b"\xff", "too short"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, offset: int, part: bytes, said: str) -> None:
    with pytest.raises(Refused, match=said):
        cut_of(altered(make(Recipe()), offset, part), tmp_path)


@pytest.mark.parametrize("size", [0, 10, 64, 400, -100])
def test_a_truncated_file_is_refused(tmp_path: Path, size: int) -> None:
    made = make(Recipe())
    with pytest.raises(Refused, match="too short"):
        cut_of(Made(made.content[:size], made.unused, made.code, made.sections), tmp_path)


def test_what_was_not_cut_is_not_filled(tmp_path: Path) -> None:
    path = tmp_path / "wheel.so"
    path.write_bytes(make(Recipe()).content)
    with pytest.raises(Refused, match="nothing was cut"):
        fill(path)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A library in a virtual environment."""
    site = tmp_path / "lib" / "python3.10" / "site-packages"
    library = site / "megengine" / "core" / "lib" / "libmegengine_shared.so"
    library.parent.mkdir(parents=True)
    library.write_bytes(make(Recipe()).content)
    library.chmod(0o755)
    record = site / "MegEngine-1.13.0.dist-info" / "RECORD"
    record.parent.mkdir()
    name = library.relative_to(site)
    record.write_text(
        f'{name},sha256=xxx,123\n"odd, name.py",,\nMegEngine-1.13.0.dist-info/RECORD,,\n'
    )
    return library


def known(library: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make it one of the libraries that are listed."""
    made = library.read_bytes()
    (folder / "known").mkdir()
    content = cut_of(make(Recipe()), folder / "known")
    digests = (hashlib.sha256(item).hexdigest() for item in (made, content))
    monkeypatch.setitem(LIBRARIES, "1.13.0", Digests(*digests))


def test_an_unknown_library_is_left_alone(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = installed.read_bytes()
    assert main(["cut", str(installed)]) == 1
    digest = hashlib.sha256(before).hexdigest()
    assert f"its SHA-256 is {digest}" in capsys.readouterr().err
    assert installed.read_bytes() == before
    assert list(installed.parent.iterdir()) == [installed]


def test_a_result_that_is_not_the_listed_one_is_refused(
    installed: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known(installed, tmp_path, monkeypatch)
    assert main(["cut", str(installed)]) == 0
    with installed.open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\1")
    assert main(["fill", str(installed)]) == 1
    assert "LIBRARIES does not have" in capsys.readouterr().err


def test_the_wheels_record_has_what_is_there_now(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known(installed, tmp_path, monkeypatch)
    assert main(["cut", str(installed)]) == 0
    assert main(["fill", str(installed)]) == 0
    assert installed.stat().st_mode & 0o777 == 0o755
    site = installed.parents[3]
    rows = dict(
        line.split(",", 1)
        for line in (site / "MegEngine-1.13.0.dist-info" / "RECORD").read_text().splitlines()
        if not line.startswith('"')
    )
    notice = installed.with_name("libmegengine_shared.so.CHANGED")
    assert LIBRARIES["1.13.0"].wheel in notice.read_text()
    assert sorted(path.name for path in installed.parent.iterdir()) == [installed.name, notice.name]
    for path in (installed, notice):
        value, size = rows.pop(str(path.relative_to(site))).split(",")
        assert int(size) == path.stat().st_size
        # Without padding, as a wheel's RECORD has it.
        assert cut_device_code.digest(path) == _hexadecimal(value.removeprefix("sha256="))
    assert rows == {"MegEngine-1.13.0.dist-info/RECORD": ","}


def _hexadecimal(value: str) -> str:
    return base64.urlsafe_b64decode(value + "=").hex()


def test_the_locked_version_is_listed() -> None:
    lock = (ROOT / "requirements" / "run.txt").read_text()
    assert set(re.findall(r"^megengine==(\S+)", lock, re.MULTILINE)) <= LIBRARIES.keys()
    for digests in LIBRARIES.values():
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
