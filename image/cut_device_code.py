"""Cuts the CUDA device code out of MegEngine's library, for the image that has no use for it.

``cut_device_code.py cut LIBRARY`` takes the code out of the file, in place, and leaves a hole in
memory that nothing can read: what tries to is killed. ``cut_device_code.py fill LIBRARY`` lets the
hole read as zeros, once it was seen that nothing does: that is what the image ships.

The library is an ELF file (System V gABI, chapters 4 "Object Files" and 5 "Program Loading"; the
names in parentheses below are its own). The device code is two sections of one loaded segment, read
only and by the CUDA runtime alone, when there is a GPU. Whole pages are left out of the file and
nothing else changes: the segment (PT_LOAD) is split around the hole, file offsets behind it move
down, the sections become SHT_NOBITS ("occupies no space in the file"), and every virtual address
stays, so that no reference has to be found and altered.

A library that is not listed in LIBRARIES, or is not laid out like that, is refused.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import os
import shutil
import struct
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple


class Refused(Exception):
    """The library is not one that this can cut."""


class Digests(NamedTuple):
    """SHA-256 of a library as the wheel has it, and as the image ships it."""

    wheel: str
    image: str


LIBRARIES = {
    "1.13.0": Digests(
        wheel="5fc4cf861e6ef2304530fb93cd0789fe2c3c1d670c87497e1ea792f0c7a80fad",
        image="22132dab0c4a6c25942822f72ce31c6a5e31046967b10e44d605f8a37a19e645",
    ),
}
"""libmegengine_shared.so by the version of MegEngine in requirements/run.txt, of the wheel for
CPython 3.10 on x86-64. For a new version: look at its sections (``readelf -SlW``), put in the
wheel's digest, and take the image's from what the build then says."""

DEVICE_CODE = (".nv_fatbin", "__nv_relfatbin")
_FILLING = b"X\0"
"""What patchelf leaves where the tables were that it moved to the end of the file."""
_BLOCK = 1 << 22

_PT_NULL, _PT_LOAD, _PT_PHDR = 0, 1, 6
_PF_W, _PF_R = 2, 4
_SHT_NULL, _SHT_PROGBITS, _SHT_NOBITS = 0, 1, 8
_SHF_ALLOC = 2


class Header(NamedTuple):
    """The ELF header (Elf64_Ehdr)."""

    identification: bytes
    """e_ident"""
    type: int
    machine: int
    version: int
    entry: int
    segments: int
    """e_phoff: where the program header table is, in bytes from the start of the file."""
    sections: int
    """e_shoff: where the section header table is."""
    flags: int
    size: int
    segment_size: int
    segment_count: int
    """e_phnum"""
    section_size: int
    section_count: int
    names: int
    """e_shstrndx: which section has the names of the sections."""


class Segment(NamedTuple):
    """A program header (Elf64_Phdr). Sizes, offsets and addresses are in bytes."""

    type: int
    flags: int
    offset: int
    address: int
    """p_vaddr: relative to where the library is loaded."""
    physical: int
    size: int
    """p_filesz"""
    memory: int
    """p_memsz: what is more than the file has reads as zeros."""
    align: int

    @property
    def end(self) -> int:
        """Where its part of the file ends."""
        return self.offset + self.size


class Section(NamedTuple):
    """A section header (Elf64_Shdr)."""

    name: int
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int

    @property
    def end(self) -> int:
        """Where its part of the file ends."""
        return self.offset + (0 if self.type in (_SHT_NULL, _SHT_NOBITS) else self.size)


_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_X86_64 = (b"\x7fELF\x02\x01\x01", 3, 62)
"""ELFCLASS64, ELFDATA2LSB, EV_CURRENT; ET_DYN; EM_X86_64."""


@dataclass(frozen=True)
class Range:
    """Bytes ``start`` to ``end`` of the file."""

    start: int
    end: int

    def meets(self, start: int, end: int) -> bool:
        """Whether it shares a byte with another range."""
        return max(self.start, start) < min(self.end, end)

    def pages(self, page: int) -> Range:
        """The whole pages in it."""
        return Range(-(-self.start // page) * page, self.end // page * page)


@dataclass(frozen=True)
class Library:
    """The tables of a file."""

    header: Header
    segments: list[Segment]
    sections: list[Section]
    names: list[str]
    """Of the sections."""

    @property
    def table(self) -> Range:
        """The program header table."""
        start = self.header.segments
        return Range(start, start + len(self.segments) * _SEGMENT.size)


def read(file: BinaryIO) -> Library:
    """Read the tables; :class:`Refused` if the file is not a shared library for x86-64."""
    header = Header(*_HEADER.unpack(_bytes(file, 0, _HEADER.size)))
    if (header.identification[:7], header.type, header.machine) != _X86_64:
        raise Refused("it is no shared library for x86-64")
    if (header.segment_size, header.section_size) != (_SEGMENT.size, _SECTION.size):
        raise Refused("the entries of its tables have another size")
    table = _bytes(file, header.segments, _SEGMENT.size * header.segment_count)
    segments = [Segment(*fields) for fields in _SEGMENT.iter_unpack(table)]
    table = _bytes(file, header.sections, _SECTION.size * header.section_count)
    sections = [Section(*fields) for fields in _SECTION.iter_unpack(table)]
    if header.names >= len(sections):
        raise Refused("its sections have no names")
    strings = _bytes(file, sections[header.names].offset, sections[header.names].size)
    names = [strings[item.name :].split(b"\0")[0].decode("ascii", "replace") for item in sections]
    return Library(header, segments, sections, names)


def _bytes(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    found = file.read(size)
    if len(found) < size:
        raise Refused("it is too short for what its header says")
    return found


@dataclass(frozen=True)
class Plan:
    """What is cut out of a library."""

    segment: int
    """Which segment has it all."""
    zeros: list[Range]
    """What has to read as zeros from now on."""
    holes: list[Range]
    """The whole pages of that, which leave the file; in order."""
    sections: list[int]
    """The sections that have no bytes in the file any more."""

    def moved(self, offset: int) -> int:
        """Where a byte of the file is without the holes; one in a hole is where that was."""
        return offset - sum(
            min(offset, hole.end) - hole.start for hole in self.holes if hole.start < offset
        )


def plan(library: Library) -> Plan:
    """Find the device code, and the room that patchelf left unused.

    Raises :class:`Refused` for any other layout than the one that the module describes.
    """
    found = [index for index, name in enumerate(library.names) if name in DEVICE_CODE]
    if sorted(library.names[index] for index in found) != sorted(DEVICE_CODE):
        raise Refused(f"it does not have the sections {' and '.join(DEVICE_CODE)}, once each")
    for index in found:
        section = library.sections[index]
        if (section.type, section.flags) != (_SHT_PROGBITS, _SHF_ALLOC):
            raise Refused(f"section {library.names[index]} is not constant data")
    code = Range(
        min(library.sections[index].offset for index in found),
        max(library.sections[index].end for index in found),
    )
    segment = _segment(library, code)
    page = library.segments[segment].align
    unused = _unused(library, library.segments[segment])
    # The program headers grow in front of the unused room.
    grown = library.table.end + 4 * _SEGMENT.size
    zeros = [Range(max(grown, unused.start), unused.end), code]
    holes = [part.pages(page) for part in zeros]
    if grown > unused.end or any(hole.start >= hole.end for hole in holes):
        raise Refused("there is nothing to cut, or no room for two more segments")
    result = Plan(segment, zeros, holes, found)
    _check(library, result)
    return result


def _segment(library: Library, code: Range) -> int:
    """The loaded segment that has the device code."""
    around = [
        index
        for index, segment in enumerate(library.segments)
        if segment.type == _PT_LOAD and segment.offset <= code.start and code.end <= segment.end
    ]
    if len(around) != 1:
        raise Refused("the device code is not in one loaded segment")
    segment = library.segments[around[0]]
    if segment.flags & _PF_W or segment.size != segment.memory or segment.offset:
        raise Refused("the segment of the device code is not the file's first, constant one")
    if segment.align < 0x1000 or segment.align & (segment.align - 1):
        raise Refused(f"the segment's alignment is {segment.align}")
    return around[0]


def _unused(library: Library, segment: Segment) -> Range:
    """What is between the program headers and the first section."""
    first = min(section.offset for section in library.sections if section.type != _SHT_NULL)
    return Range(library.table.end, min(first, segment.end))


def _check(library: Library, result: Plan) -> None:
    """Refuse a plan that would cut what something else needs."""
    header = library.header
    others = {
        "the ELF header": (0, header.size),
        "the table of sections": (
            header.sections,
            header.sections + len(library.sections) * _SECTION.size,
        ),
    }
    for index, section in enumerate(library.sections):
        if index not in result.sections:
            others[f"section {library.names[index]}"] = (section.offset, section.end)
    for index, segment in enumerate(library.segments):
        if index != result.segment:
            others[f"segment {index}"] = (segment.offset, segment.end)
    for what, (start, end) in others.items():
        if any(part.meets(start, end) for part in result.zeros):
            raise Refused(f"{what} is where the cut would be")


def split(segment: Segment, holes: Sequence[Range]) -> Iterator[Segment]:
    """The segment in parts that have bytes in the file, and the holes between them.

    A hole is PT_NULL at first, which the loader ignores, and has p_filesz 0. Offsets are those of
    the file that is being cut.
    """
    start = segment.offset
    for hole in holes:
        yield _part(segment, Range(start, hole.start))
        empty = _part(segment, hole)
        yield empty._replace(type=_PT_NULL, flags=_PF_R, size=0)
        start = hole.end
    yield _part(segment, Range(start, segment.end))


def _part(segment: Segment, part: Range) -> Segment:
    before, size = part.start - segment.offset, part.end - part.start
    return segment._replace(
        offset=part.start,
        address=segment.address + before,
        physical=segment.physical + before,
        size=size,
        memory=size,
    )


def cut(source: Path, target: Path) -> None:
    """Write ``source`` without the device code to ``target``; the holes cannot be read.

    Raises :class:`Refused` for a layout that :func:`plan` does not know.
    """
    with source.open("rb") as file, target.open("wb") as output:
        library = read(file)
        todo = plan(library)
        unused = todo.zeros[0]
        if _bytes(file, unused.start, unused.end - unused.start).strip(_FILLING):
            raise Refused("the room behind the program headers is used")
        size = file.seek(0, os.SEEK_END)
        edges = [0, *(edge for hole in todo.holes for edge in (hole.start, hole.end)), size]
        for start, end in zip(edges[::2], edges[1::2], strict=True):
            _copy(file, output, Range(start, end))
        for part, hole in zip(todo.zeros, todo.holes, strict=True):
            for start, end in ((part.start, hole.start), (hole.end, part.end)):
                output.seek(todo.moved(start))
                output.write(bytes(end - start))
        _write_tables(output, library, todo)


def _copy(file: BinaryIO, output: BinaryIO, part: Range) -> None:
    for start in range(part.start, part.end, _BLOCK):
        output.write(_bytes(file, start, min(_BLOCK, part.end - start)))


def _write_tables(output: BinaryIO, library: Library, todo: Plan) -> None:
    segments: list[Segment] = []
    for index, segment in enumerate(library.segments):
        segments += split(segment, todo.holes) if index == todo.segment else [segment]
    table = len(segments) * _SEGMENT.size
    for index, segment in enumerate(segments):
        segments[index] = segment._replace(offset=todo.moved(segment.offset))
        if segment.type == _PT_PHDR:
            segments[index] = segment._replace(size=table, memory=table)
    sections = [section._replace(offset=todo.moved(section.offset)) for section in library.sections]
    for index in todo.sections:
        sections[index] = sections[index]._replace(type=_SHT_NOBITS)
    header = library.header._replace(
        segment_count=len(segments), sections=todo.moved(library.header.sections)
    )
    for offset, parts in (
        (0, [_HEADER.pack(*header)]),
        (header.segments, [_SEGMENT.pack(*segment) for segment in segments]),
        (header.sections, [_SECTION.pack(*section) for section in sections]),
    ):
        output.seek(offset)
        output.write(b"".join(parts))


def fill(path: Path) -> None:
    """Let the holes that :func:`cut` left read as zeros: PT_NULL becomes PT_LOAD.

    Raises :class:`Refused` if there are none.
    """
    with path.open("r+b") as file:
        library = read(file)
        holes = [
            index
            for index, segment in enumerate(library.segments)
            if segment.type == _PT_NULL and segment.memory
        ]
        if not holes:
            raise Refused("nothing was cut out of it")
        for index in holes:
            file.seek(library.table.start + index * _SEGMENT.size)
            file.write(_SEGMENT.pack(*library.segments[index]._replace(type=_PT_LOAD)))


def digest(path: Path) -> str:
    """The file's SHA-256, in hexadecimal."""
    result = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            result.update(block)
    return result.hexdigest()


def version_of(path: Path, kind: str) -> str:
    """The version in :data:`LIBRARIES` whose digest (``wheel`` or ``image``) the file has.

    Raises :class:`Refused` if there is none.
    """
    found = digest(path)
    for version, digests in LIBRARIES.items():
        if getattr(digests, kind) == found:
            return version
    raise Refused(f"its SHA-256 is {found}, which LIBRARIES does not have as one of the {kind}")


_NOTICE = """\
megdump-ci has changed {name}, which is part of MegEngine {version}: the CUDA device code, \
sections {sections}, was cut out of the file, and so was room that nothing used. The original is \
in MegEngine's wheel and has the SHA-256 {digest}.
"""


def declare(path: Path, version: str) -> None:
    """Say beside the library that it was changed, and give its wheel's RECORD what there is now.

    Apache License 2.0, 4(b), asks for the first. RECORD is the list of an installed package's files
    ("Recording installed projects" of the Python packaging specifications).
    """
    notice = path.with_name(path.name + ".CHANGED")
    notice.write_text(
        _NOTICE.format(
            name=path.name,
            version=version,
            sections=" and ".join(DEVICE_CODE),
            digest=LIBRARIES[version].wheel,
        )
    )
    site = next(folder for folder in path.parents if folder.name == "site-packages")
    record = site / f"MegEngine-{version}.dist-info" / "RECORD"
    changed = {str(item.relative_to(site)): _recorded(item) for item in (path, notice)}
    with record.open(newline="") as file:
        kept = [row for row in csv.reader(file) if row[0] not in changed]
    rows = [*kept, *([name, *facts] for name, facts in changed.items())]
    with record.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(sorted(rows))


def _recorded(path: Path) -> tuple[str, str]:
    value = base64.urlsafe_b64encode(bytes.fromhex(digest(path))).decode().rstrip("=")
    return f"sha256={value}", str(path.stat().st_size)


def main(arguments: Sequence[str]) -> int:
    """Do what the arguments say; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("step", choices=("cut", "fill"))
    parser.add_argument("library", type=Path)
    given = parser.parse_args(arguments)
    try:
        if given.step == "cut":
            version_of(given.library, "wheel")
            result = given.library.with_name(given.library.name + ".cut")
            cut(given.library, result)
            shutil.copymode(given.library, result)
            result.replace(given.library)
        else:
            fill(given.library)
            declare(given.library, version_of(given.library, "image"))
    except (OSError, Refused) as error:
        sys.stderr.write(f"{given.step} {given.library}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
