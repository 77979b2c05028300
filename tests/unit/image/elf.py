"""Small shared libraries, laid out as MegEngine's is, that the loader takes."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

PAGE = 0x1000
LOAD, DYNAMIC, NOTE, PHDR = 1, 2, 4, 6
TABLE = 64
"""Where the program headers are, in bytes from the start of the file."""
_SEGMENTS = 5
_ALLOC, _WRITE = 2, 1


@dataclass(frozen=True)
class Made:
    """A library and where its parts are: offsets in the file, and constant parts' addresses too."""

    content: bytes
    unused: tuple[int, int]
    code: tuple[int, int]
    sections: dict[str, tuple[int, int]]


@dataclass(kw_only=True)
class Recipe:
    """What a library is made of. Sizes in bytes."""

    unused: int = 3 * PAGE
    before: bytes = b"before"
    fatbin: bytes = b"F" * 2 * PAGE
    relfatbin: bytes = b"R" * PAGE
    after: bytes = b"after"
    data: bytes = b"data"
    filling: bytes = b"X"
    align: int = PAGE
    names: tuple[str, str] = (".nv_fatbin", "__nv_relfatbin")
    between: bytes = b""
    """A section of its own between the two."""
    code_flags: int = _ALLOC
    segment_flags: int = 5
    more: dict[str, bytes] = field(default_factory=dict)


def make(recipe: Recipe) -> Made:
    """The library that a recipe describes."""
    content = bytearray(TABLE + _SEGMENTS * 56)
    sections: dict[str, tuple[int, int]] = {}

    def put(name: str, part: bytes, align: int = 8) -> int:
        content.extend(bytes(-len(content) % align))
        start = len(content)
        content.extend(part)
        sections[name] = (start, len(content))
        return start

    unused = len(content)
    content.extend(recipe.filling * recipe.unused)
    # One bucket, one symbol (the null symbol), no name: as little as the loader asks for.
    first = put(".hash", struct.pack("<5I", 1, 1, 0, 0, 0))
    symbols, strings = put(".dynsym", bytes(24)), put(".dynstr", b"\0")
    put(".rodata", recipe.before)
    code = put(recipe.names[0], recipe.fatbin)
    if recipe.between:
        put(".between", recipe.between)
    put(recipe.names[1], recipe.relfatbin)
    end = len(content)
    note = put(".note", struct.pack("<3I4sI", 4, 4, 1, b"me\0\0", 7), 4)
    put(".eh_frame", recipe.after)
    constant = len(content)
    # The next segment begins in the same page of the file, and in the next one in memory.
    dynamic = put(".dynamic", _dynamic(first, strings, symbols))
    put(".data", recipe.data)
    variable = len(content) - dynamic
    shift = recipe.align
    names = b"\0" + b"".join(name.encode() + b"\0" for name in (*sections, ".shstrtab"))
    listed = {**sections, ".shstrtab": (put(".shstrtab", names), len(content))}
    content.extend(bytes(-len(content) % 8))
    table = len(content)
    content.extend(bytes(64))
    for name, (start, stop) in listed.items():
        flags = recipe.code_flags if name in recipe.names else _ALLOC
        moved = shift if name in (".dynamic", ".data") else 0
        content.extend(
            struct.pack(
                "<IIQQQQIIQQ",
                names.index(b"\0" + name.encode() + b"\0") + 1,
                1,
                flags | (_WRITE if moved else 0),
                start + moved,
                start,
                stop - start,
                *(0, 0, 1, 0),
            )
        )
    segments = [
        (PHDR, 4, TABLE, TABLE, _SEGMENTS * 56, 8),
        (LOAD, recipe.segment_flags, 0, 0, constant, recipe.align),
        (LOAD, 6, dynamic, dynamic + shift, variable, recipe.align),
        (DYNAMIC, 6, dynamic, dynamic + shift, len(_dynamic(0, 0, 0)), 8),
        (NOTE, 4, note, note, 20, 4),
    ]
    for index, (kind, flags, offset, address, size, align) in enumerate(segments):
        entry = struct.pack("<IIQQQQQQ", kind, flags, offset, address, address, size, size, align)
        content[TABLE + index * 56 : TABLE + (index + 1) * 56] = entry
    content[:64] = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01",
        *(3, 62, 1, 0, TABLE, table, 0, 64, 56, len(segments), 64, len(listed) + 1, len(listed)),
    )
    return Made(bytes(content), (unused, first), (code, end), sections)


def _dynamic(table: int, strings: int, symbols: int) -> bytes:
    """DT_HASH, DT_STRTAB, DT_SYMTAB, DT_STRSZ, DT_SYMENT, DT_NULL."""
    entries = ((4, table), (5, strings), (6, symbols), (10, 1), (11, 24), (0, 0))
    return b"".join(struct.pack("<qQ", *entry) for entry in entries)


def memory(content: bytes) -> dict[int, bytes]:
    """What the loader puts where, by address: its own reading of the program headers."""
    (count,) = struct.unpack_from("<H", content, 56)
    found = {}
    for index in range(count):
        fields = struct.unpack_from("<IIQQQQQQ", content, TABLE + index * 56)
        kind, _, offset, address, _, size, room, align = fields
        if kind == LOAD:
            assert offset % align == address % align
            found[address] = content[offset : offset + size].ljust(room, b"\0")
    return found
