"""From bound specs to the arrays that the model is fed with.

Data from a file is read; an image is resized, turned grey and laid out as the model wants it; an
array gets a batch axis if only that is missing; then it is repeated, transformed, compared with
the model's number of dimensions, and converted to the input's dtype. Random data is drawn in the
input's dtype and shape and takes none of these steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from megdump_ci.errors import InputError, Problem
from megdump_ci.packed import check_room
from megdump_ci.testcase import draw, files, image, npy, transform
from megdump_ci.testcase.convert import convert
from megdump_ci.testcase.faults import capped, shortened
from megdump_ci.testcase.inputs import (
    Array,
    InputType,
    check_ndim,
    check_size,
)
from megdump_ci.testcase.settings import DataSettings
from megdump_ci.testcase.spec import FileSpec, RandomSpec, TestcaseSpec, ValueSpec, bind

__all__ = ["DataSettings", "InputType", "check", "discover", "load"]


def check(
    specs: Sequence[TestcaseSpec],
    inputs: Sequence[InputType],
    settings: DataSettings,
    format: str = "",
) -> list[Problem]:
    """What is wrong with any of the testcases, as far as it shows without reading their values.

    That is names, random shapes and ranges, files that are missing, unreadable or of no known
    kind, the headers of arrays, the transform, and whether ``format`` has room for a testcase's
    random values and arrays together. At most
    :data:`~megdump_ci.testcase.faults.PROBLEM_LIMIT` problems, and the count of the others.
    """
    return capped(_problems(specs, inputs, settings, format))


def load(
    spec: TestcaseSpec, index: int, inputs: Sequence[InputType], settings: DataSettings
) -> dict[str, Array]:
    """The feeds of testcase number ``index`` (from 0): an array for each input by its name.

    Each array is C-contiguous and of exactly its input's storage dtype. Raises
    :class:`InputError` with everything that is wrong with this testcase.
    """
    change = transform.parse(settings.input_transform) if settings.input_transform else None
    values = bind(spec, [target.name for target in inputs])
    order = {name: place for place, name in enumerate(sorted(values))}
    feeds: dict[str, Array] = {}
    problems: list[Problem] = []
    for target in inputs:
        value = values[target.name]
        with _located(spec, target, value, problems):
            if isinstance(value, RandomSpec):
                key = (index, order[target.name])
                feeds[target.name] = draw.draw(value, target, settings.seed, key)
            else:
                feeds[target.name] = _from_file(spec, value, target, settings, change)
    if problems:
        raise InputError(problems)
    return feeds


def discover(
    spec: TestcaseSpec, names: Sequence[str], settings: DataSettings
) -> tuple[InputType, ...]:
    """The inputs of something that declares none, by the data of its first testcase.

    An ``.npy`` file decides the dtype, after the transform and with 64 bits made 32 as MegEngine
    does; images and random data are float32. No input has a shape. Raises :class:`InputError`
    with everything that is wrong with the data.
    """
    change = transform.parse(settings.input_transform) if settings.input_transform else None
    values = bind(spec, names)
    found: list[InputType] = []
    problems: list[Problem] = []
    for name in names:
        target = InputType(name, None, np.dtype(np.float32), "float32")
        value = values[name]
        with _located(spec, target, value, problems):
            if isinstance(value, FileSpec) and _is_array(spec, value):
                given = _raw(spec, value, target, settings, change).dtype
                dtype = _ENGINE_DTYPES.get(given.name, given)
                target = replace(target, dtype=dtype, label=dtype.name)
        found.append(target)
    if problems:
        raise InputError(problems)
    return tuple(found)


# MegEngine's tensors know no 64 bits, nor unsigned integers above 16.
_ENGINE_DTYPES = {
    "float64": np.dtype(np.float32),
    **dict.fromkeys(("int64", "uint64", "uint32"), np.dtype(np.int32)),
}


def _is_array(spec: TestcaseSpec, value: FileSpec) -> bool:
    with files.open_data(value.path, spec.folder) as file:
        return files.is_npy(file)


def _problems(
    specs: Sequence[TestcaseSpec],
    inputs: Sequence[InputType],
    settings: DataSettings,
    format: str,
) -> Iterator[Problem]:
    if settings.input_transform:
        try:
            transform.parse(settings.input_transform)
        except InputError as error:
            yield from error.problems
    names = [target.name for target in inputs]
    for spec in specs:
        try:
            values = bind(spec, names)
        except InputError as error:
            yield from error.problems
            continue
        problems: list[Problem] = []
        size = 0
        for target in inputs:
            value = values[target.name]
            with _located(spec, target, value, problems):
                if isinstance(value, RandomSpec):
                    size += draw.check(value, target)
                else:
                    size += _check_file(spec, value, target, settings)
        yield from problems
        yield from _too_large(spec, size, format)


TOO_MUCH = "give less data, or pack with --format fbs, which has no such limit"


def _too_large(spec: TestcaseSpec, size: int, format: str) -> Iterator[Problem]:
    """That ``format`` has no room for a testcase with ``size`` bytes of data."""
    try:
        check_room(size, format, f"the data of '{shortened(spec.text, 200)}'", TOO_MUCH)
    except InputError as error:
        yield from (spec.problem(problem.message, problem.hint) for problem in error.problems)


def _check_file(
    spec: TestcaseSpec, value: FileSpec, target: InputType, settings: DataSettings
) -> int:
    """Bytes of an array as an input; 0 where that does not show yet."""
    with files.open_data(value.path, spec.folder) as file:
        if files.is_npy(file):
            header = npy.read_header(file)
            # The transform may change the shape.
            if not settings.input_transform:
                shape = npy.batch_shape(header.shape, target.shape)
                check_ndim(shape, target.shape, _NDIM_HINT)
                return math.prod(shape) * settings.repeat * target.dtype.itemsize
        else:
            image.check_fit(target, settings.repeat)
            image.check_kind(file)
    return 0


def _from_file(
    spec: TestcaseSpec,
    value: FileSpec,
    target: InputType,
    settings: DataSettings,
    change: transform.Transform | None,
) -> Array:
    array = _raw(spec, value, target, settings, change)
    check_ndim(array.shape, target.shape, _NDIM_HINT)
    return convert(array, target)


def _raw(
    spec: TestcaseSpec,
    value: FileSpec,
    target: InputType,
    settings: DataSettings,
    change: transform.Transform | None,
) -> Array:
    """The data before it is fitted to the input's dtype."""
    with files.open_data(value.path, spec.folder) as file:
        array = _read(file, target, settings)
    array = _repeated(array, settings.repeat)
    return array if change is None else change(array)


def _read(file: BinaryIO, target: InputType, settings: DataSettings) -> Array:
    if files.is_npy(file):
        array = npy.read(file)
        return array.reshape(npy.batch_shape(array.shape, target.shape))
    image.check_fit(target, settings.repeat)
    return image.read(file, target, settings.resize_input)


def _repeated(array: Array, repeat: int) -> Array:
    if repeat == 1:
        return array
    if array.ndim == 0:
        raise InputError(
            f"a single number cannot be repeated {repeat} times: it has no axis",
            "leave --repeat out, or save it with shape (1,)",
        )
    check_size((array.shape[0] * repeat, *array.shape[1:]), array.itemsize)
    return np.repeat(array, repeat, axis=0)


_NDIM_HINT = (
    "give data of the model's shape (a batch axis of 1 is added where only that is missing), or"
    " change it with --input-transform"
)


@contextmanager
def _located(
    spec: TestcaseSpec, target: InputType, value: ValueSpec, problems: list[Problem]
) -> Iterator[None]:
    """Collect what goes wrong inside, with the input, the value and the line it stands in."""
    try:
        yield
    except InputError as error:
        place = f"input '{shortened(target.name)}' from '{shortened(value.text, 200)}'"
        problems += [
            replace(
                problem,
                message=f"{place}: {problem.message}",
                file=spec.file,
                line=spec.line,
            )
            for problem in error.problems
        ]
