"""Alterations of files: of any bytes, and of what the formats of MegEngine are made of.

Each is a function of the content, another content to splice with, and a random number generator.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from megdump_ci import packed

Alteration = Callable[[bytes, bytes, random.Random], bytes]


def flipped(content: bytes, _other: bytes, choose: random.Random) -> bytes:
    """Some bits of some bytes, more often in the first ones, where headers are."""
    found = bytearray(content)
    limit = len(found) if choose.random() < 0.6 else min(len(found), 400)
    for _ in range(choose.choice((1, 1, 2, 4, 8, 64))):
        found[choose.randrange(limit)] ^= choose.randrange(1, 256)
    return bytes(found)


def cut(content: bytes, _other: bytes, choose: random.Random) -> bytes:
    """The beginning of the file."""
    return content[: choose.randrange(len(content))]


def holed(content: bytes, _other: bytes, choose: random.Random) -> bytes:
    """Some bytes are gone, doubled, or zero."""
    begin = choose.randrange(len(content))
    end = min(len(content), begin + choose.choice((1, 4, 8, 64, 1024)))
    part = content[begin:end]
    return content[:begin] + choose.choice((b"", part * 2, bytes(len(part)))) + content[end:]


def spliced(content: bytes, other: bytes, choose: random.Random) -> bytes:
    """The beginning of one file and the end of another, or a part of it."""
    begin, end = sorted(choose.randrange(min(len(content), len(other))) for _ in range(2))
    return content[:begin] + other[begin : choose.choice((end, len(other)))] + content[end:]


def numbered(content: bytes, _other: bytes, choose: random.Random) -> bytes:
    """A number that is a length, an offset or a size: the next ones, none, or the largest."""
    found = bytearray(content)
    for _ in range(choose.choice((1, 1, 2, 3))):
        # Both formats are flatbuffers, whose numbers are aligned; FBS has a header of 24 bytes.
        at = 4 * choose.randrange(len(found) // 4)
        (value,) = struct.unpack_from("<I", found, at)
        near = (value + step for step in (-8, -4, -1, 1, 4, 8))
        far = (0, 1, len(found), 2**31 - 1, 2**31, 2**32 - 1, choose.getrandbits(32))
        struct.pack_into("<I", found, at, choose.choice((*near, *far)) % 2**32)
    return bytes(found)


def offsets(content: bytes, _: bytes, choose: random.Random) -> bytes:
    """Two numbers that look like offsets inside the file change places."""
    places = [
        at
        for at in range(0, len(content) - 3, 4)
        if 4 <= struct.unpack_from("<I", content, at)[0] < len(content)
    ]
    if len(places) < 2:
        return flipped(content, content, choose)
    first, second = choose.sample(places, 2)
    found = bytearray(content)
    found[first : first + 4] = content[second : second + 4]
    found[second : second + 4] = content[first : first + 4]
    return bytes(found)


BYTES: tuple[Alteration, ...] = (flipped, cut, holed, spliced, numbered, offsets)


def model(content: bytes, other: bytes, choose: random.Random) -> bytes:
    """A bare model, altered; most of the time its lengths are put right again."""
    change = choose.choice(BYTES)
    found = change(content, other, choose)
    return sound(found) if choose.random() < 0.7 else found


def sound(content: bytes) -> bytes:
    """``content`` with the lengths in its header as they have to be, so that the engine sees it."""
    kind = packed.graph_format(content[:12])
    if kind == "fbs_v2":
        return struct.pack("<I", len(content) - 4) + content[4:]
    if kind == "fbs" and len(content) > 32:
        tensors = struct.unpack_from("<Q", content, 16)[0]
        at = 24 + tensors
        if at + 4 <= len(content):
            size = struct.pack("<I", len(content) - at - 4)
            return content[:at] + size + content[at + 4 :]
    return content


def parts_of(content: bytes) -> list[bytes]:
    """The graphs of a packed file that is sound."""
    rest, parts = content[packed.HEADER_SIZE :], []
    while rest:
        if packed.graph_format(rest[:12]) == "fbs_v2":
            size = 4 + struct.unpack_from("<I", rest)[0]
        else:
            tensors = struct.unpack_from("<Q", rest, 16)[0]
            size = 28 + tensors + struct.unpack_from("<I", rest, 24 + tensors)[0]
        parts.append(rest[:size])
        rest = rest[size:]
    return parts


def packing(content: bytes, other: bytes, choose: random.Random) -> bytes:
    """A packed file: its bytes, one of its graphs, or which of them there are, altered."""
    if choose.random() < 0.25:
        return choose.choice(BYTES)(content, other, choose)
    parts = parts_of(content)
    testcases = parts[1:]
    count = len(testcases)
    how = choose.choice(("graph", "testcase", "testcase", "more", "fewer", "order", "foreign"))
    if how == "graph":
        parts[0] = sound(choose.choice(BYTES)(parts[0], parts_of(other)[0], choose))
    elif how == "testcase":
        place = choose.randrange(1, len(parts))
        parts[place] = sound(choose.choice(BYTES)(parts[place], choose.choice(testcases), choose))
    elif how == "more":
        parts.insert(choose.randrange(1, len(parts) + 1), choose.choice(testcases))
    elif how == "fewer":
        del parts[choose.randrange(1, len(parts))]
    elif how == "order":
        parts[1:] = choose.sample(testcases, len(testcases))
    else:
        parts[choose.randrange(len(parts))] = choose.choice(parts_of(other))
    right = len(parts) - 1
    number = choose.choice((right, right, right, count, 0, right + 1, 2**32 - 1))
    return packed.header(number) + b"".join(parts)


DISGUISES = (
    b"PK\x03\x04" + bytes(40),
    b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06getpid\x94\x93\x94)R\x94.",
    b"cos\ngetpid\n(tR.",
    b"\x1f\x8b\x08\x00" + bytes(20),
    b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    b"%PDF-1.4\n",
    b"\x7fELF" + bytes(60),
    b"GIF89a" + b"\xff" * 20,
    b"#!/bin/sh\n",
    b"",
    b"\0",
)
"""Other kinds of files."""


def data(content: bytes, other: bytes, choose: random.Random) -> bytes:
    """An image or an array, altered, or something else in its place."""
    if choose.random() < 0.1:
        return choose.choice(DISGUISES)
    return choose.choice(BYTES)(content, other, choose)
