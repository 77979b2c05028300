"""What is wrong with the input of a run, as far as no engine is needed to tell.

Nothing that takes long to load: who made a mistake is waiting for the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from megdump_ci import output, packed, target
from megdump_ci.errors import InputError, check_all
from megdump_ci.options import (
    DiffOptions,
    ExportOptions,
    Options,
    PackOptions,
    SweepOptions,
    VerifyOptions,
)
from megdump_ci.testcase.spec import TestcaseSpec, read_specs

_Check = Callable[[], object]


def read(options: Options) -> list[TestcaseSpec]:
    """The testcases asked for, once the files and specs that the options name are right.

    Raises one :class:`InputError` with all that is wrong with them.
    """
    specs: list[TestcaseSpec] = []
    if isinstance(options, VerifyOptions):
        check_all(_of_verify(options))
        return specs
    # The models are read before the data, and what is written is looked at last.
    data = [lambda: specs.extend(read_specs(options.data)), options.settings.check]
    check_all([*_models(options), *data, *_written(options)])
    return specs


def _of_verify(options: VerifyOptions) -> list[_Check]:
    checks: list[_Check] = [partial(packed.check_packed, options.packed)]
    if options.model:
        checks.append(partial(packed.check_model, options.model))
    return checks


def _models(options: PackOptions | ExportOptions | SweepOptions | DiffOptions) -> list[_Check]:
    if isinstance(options, DiffOptions):
        return [partial(_check_base, path) for path in (options.base, options.new)]
    if isinstance(options, ExportOptions):
        return [partial(target.check, options.target)]
    check = target.check if target.is_code(options.model) else packed.check_model
    return [partial(check, options.model)]


def _written(options: Options) -> list[_Check]:
    if isinstance(options, ExportOptions):
        return [partial(output.check_writable, options.output)]
    if not isinstance(options, PackOptions):
        return []
    checks: list[_Check] = [partial(output.check_writable, path) for path in options.written]
    checks.append(partial(output.check_apart, options.written, options.model))
    if options.baseline:
        checks.append(partial(_check_base, options.baseline))
    return checks


def _check_base(path: str) -> None:
    """:class:`InputError` if ``path`` is no file that looks like a model, packed or not."""
    if target.is_code(path):
        raise InputError(
            f"{path} is Python code, and a dumped model is compared",
            f"export it first: megdump-ci export {path} -d DATA -o OUT",
        )
    with packed.opened(path, "a dumped model (.mge), or of a packed file") as file:
        is_packed = packed.is_packed(file)
    (packed.check_packed if is_packed else packed.check_model)(path)
