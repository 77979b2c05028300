"""Finding and opening the files that specs name, and telling arrays from images."""

from __future__ import annotations

import os
from typing import BinaryIO

from megdump_ci import lfs, reading
from megdump_ci.errors import InputError
from megdump_ci.testcase.faults import shown

NPY_MAGIC = b"\x93NUMPY"
ACCEPTED = "give an image (JPEG, PNG, BMP, ...) or an array that numpy.save wrote (.npy)"
_NOT_A_LIST = f"{ACCEPTED}; write '@list.txt' for a list of them"

# OpenCV 4.10 and 4.11 can write through a wild pointer when they decode one (CVE-2025-53644), and
# 4.12, in which that is mended, needs numpy 2.
_JPEG_2000 = "is a JPEG 2000 image, which this OpenCV does not decode safely; save it as .png"

_OTHERS = {
    b"\0\0\0\x0cjP  \r\n\x87\n": _JPEG_2000,
    b"\xff\x4f\xff\x51": _JPEG_2000,
    b"PK\x03\x04": "is a zip archive (.npz?)",
    b"PK\x05\x06": "is an empty zip archive (.npz?)",
    b"\x80\x02": "is a Python pickle, which is never loaded",
    b"\x80\x03": "is a Python pickle, which is never loaded",
    b"\x80\x04": "is a Python pickle, which is never loaded",
    b"\x80\x05": "is a Python pickle, which is never loaded",
    b"mgbtest0": "is a packed MegEngine model, not data",
}


def open_data(path: str, folder: str) -> BinaryIO:
    """The data file ``path``, from the working directory or else from ``folder``.

    Raises :class:`InputError` if it is missing, cannot be read, is empty, or is neither an array
    nor possibly an image.
    """
    found = _find(path, folder)
    try:
        file = reading.opened(found, ACCEPTED)
    except reading.NotRegular as error:
        raise InputError(f"is {error.kind}", _NOT_A_LIST) from error
    except OSError as error:
        raise _unreadable(error) from error
    try:
        _check(file)
    except BaseException:
        file.close()
        raise
    return file


def size_of(file: BinaryIO) -> int:
    """Bytes in the open ``file``."""
    return os.fstat(file.fileno()).st_size


def is_npy(file: BinaryIO) -> bool:
    """Whether ``file`` is an array by its content; its name does not matter."""
    file.seek(0)
    return file.read(len(NPY_MAGIC)) == NPY_MAGIC


def _find(path: str, folder: str) -> str:
    places = [path] if os.path.isabs(path) or not folder else [path, os.path.join(folder, path)]
    # Of a list's lines, one of the two may be outside of what may be read, and the other not.
    inside = [place for place in places if reading.names_inside(place)]
    reading.check_name(inside[0] if inside else path)
    try:
        found = [place for place in inside if _exists(place)]
    except OSError as error:
        raise _unreadable(error) from error
    if not found:
        raise InputError("no such file", _where_looked(path, folder))
    return next(filter(os.path.isfile, found), found[0])


def _exists(path: str) -> bool:
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _unreadable(error: OSError) -> InputError:
    return InputError(f"cannot be read: {error.strerror}", "check its name and its permissions")


def _where_looked(path: str, folder: str) -> str:
    if path.startswith("@"):
        return "a list stands alone, without an input's name: --data @list.txt"
    if os.path.isabs(path):
        return "check the path"
    looked = f"looked in the working directory {shown(os.getcwd())}"
    if folder:
        looked += f" and in the list's folder {shown(folder)}"
    return looked


def _check(file: BinaryIO) -> None:
    if size_of(file) == 0:
        raise InputError("the file is empty", ACCEPTED)
    head = file.read(32)
    file.seek(0)
    if head.startswith(lfs.MAGIC):
        raise InputError(f"the file {lfs.WHAT}", lfs.HINT)
    for magic, what in _OTHERS.items():
        if head.startswith(magic):
            raise InputError(f"the file {what}", ACCEPTED)
