"""Every option, once: its name, type, default and help.

The command line (:mod:`megdump_ci.cli`), the inputs of ``action.yml`` and the tables of the
README are made from these dataclasses or tested against them. A field's option name is its own
with dashes, so ``output_strip_info`` is ``--output-strip-info`` on the command line and
``output-strip-info`` in a workflow.
"""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Union, get_args, get_origin, get_type_hints

from megdump_ci.errors import InputError, Problem
from megdump_ci.gates import DEFAULT_MAXERR, Gates, Limits
from megdump_ci.sandbox import limits
from megdump_ci.testcase.settings import DataSettings

MODEL_FORMATS = ("fbs", "fbs_v2")
"""The serialisation formats of MegEngine 1.13; ``fbs_v2`` is what ``trace.dump`` writes."""

LAYOUTS = ("hwcd4", "nchw4", "nchw88", "nchw44", "nchw44_dot", "nchw32", "nchw64", "chwn4")
"""The tensor layouts a graph can be transformed to; at most one can be asked for."""

CROSS_CHECKS = ("lite",)
"""The other engines that the deploy graph can be run on."""

SWITCHES = (
    "io16xc32",
    "ioc16",
    "fuse_conv_bias_nonlinearity",
    "fuse_conv_bias_with_z",
    "fuse_preprocess",
)
"""The other passes of ``optimize_for_inference``; any of them can go together."""

_LONGEST = 1e9
"""Seconds; the kernel's own limits take no number of any size."""

GROUPS = {
    "input": "what to work on",
    "data": "testcase data",
    "check": "what passes",
    "optimise": "optimisation",
    "output": "what is written",
    "run": "how it runs",
}
"""The groups that options are shown in, in their order, with their titles."""


def option(
    help: str,
    default: Any = dataclasses.MISSING,
    *,
    group: str,
    metavar: str = "",
    short: str = "",
    choices: tuple[str, ...] = (),
    positional: bool = False,
) -> Any:
    """A dataclass field that is also an option."""
    return dataclasses.field(
        default=default,
        metadata={
            "help": help,
            "group": group,
            "metavar": metavar,
            "short": short,
            "choices": choices,
            "positional": positional,
        },
    )


class OptionSpec(NamedTuple):
    """One option as the doors (command line, action, documentation) see it."""

    field: str
    name: str
    kind: type
    """``bool``, ``int``, ``float`` or ``str``: the type of one value; or ``Limits``, whose values
    are texts that :func:`limits_of` takes together."""
    many: bool
    """Whether it can be given several times (a tuple of ``kind``, or ``Limits``)."""
    required: bool
    default: Any
    help: str
    group: str
    metavar: str
    short: str
    choices: tuple[str, ...]
    positional: bool


class Values:
    """What a dataclass would have of its own to be shown and compared.

    To make these for each class of options takes longer than most of what else is loaded for help.
    """

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({values})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    # An option may hold a dict.
    __hash__ = None  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class CommonOptions(Values):
    """What every command that starts the engine takes."""

    timeout: float = option(
        "seconds that a phase may take before its engine process is stopped",
        900.0,
        group="run",
        metavar="SECONDS",
    )
    threads: int = option(
        "processor cores that the engine and the image decoder may use; 0 takes all that the"
        " process has. MegEngine runs the operators of one graph on one core: a second core buys"
        " packing and verifying at the same time, four or more several testcases at a time",
        0,
        group="run",
        metavar="N",
    )
    memory_limit: str = option(
        "memory that an engine process may take, such as 8G or 500M; the default is all that the"
        " machine or the container has, and 160M the least",
        "",
        group="run",
        metavar="SIZE",
    )
    report: str = option(
        "folder that report.json is written to",
        "",
        group="output",
        metavar="DIR",
    )
    profile: str = option(
        "file that a trace of the run is written to, for Perfetto or speedscope: what each process"
        " did when, and how much memory it had",
        "",
        group="output",
        metavar="FILE",
    )
    silent: bool = option(
        "print the maximum error only, and switch off the printing of the AssertEqual operators"
        " in the packed file",
        False,
        group="output",
    )


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class GateOptions(CommonOptions):
    """What a comparison has to pass beside ``maxerr``, whose default is each command's own."""

    maxerr: Limits
    min_cosine: Limits = option(
        "smallest cosine similarity that passes, from -1 to 1; OUTPUT=COSINE for one output. Can"
        " be given several times",
        Limits(),
        group="check",
        metavar="COSINE",
    )
    min_sqnr: Limits = option(
        "smallest signal to quantisation noise ratio that passes, in dB; OUTPUT=DB for one output."
        " Can be given several times",
        Limits(),
        group="check",
        metavar="DB",
    )
    top_k_agreement: Limits = option(
        "smallest share of rows, over all testcases, whose best class agrees, and of their five"
        " best classes that do; for outputs that look like class scores, OUTPUT=SHARE for any"
        " other. Can be given several times",
        Limits(),
        group="check",
        metavar="SHARE",
    )

    @property
    def gates(self) -> Gates:
        """All limits together."""
        return Gates(
            maxerr=self.maxerr,
            min_cosine=self.min_cosine,
            min_sqnr=self.min_sqnr,
            top_k_agreement=self.top_k_agreement,
        )


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class DataOptions(GateOptions):
    """What the commands have in common that run a model on data."""

    data: tuple[str, ...] = option(
        "one testcase: #rand(min,max[,shape...]), an image, an .npy file, or"
        " name0:spec;name1:spec for several inputs; @list.txt holds one testcase a line. Can be"
        " given several times",
        group="input",
        metavar="DATA",
        short="-d",
    )
    repeat: int = option(
        "how many times data from a file is repeated along the batch axis; random data is not",
        1,
        group="data",
        metavar="N",
    )
    resize_input: bool = option(
        "resize images to the height and width of the model's input",
        False,
        group="data",
    )
    input_transform: str = option(
        "expression over data (the array of one input) and np (numpy) that is applied to data"
        " from files, for example '(data - 127.5) / 128'",
        "",
        group="data",
        metavar="EXPR",
    )
    seed: int = option(
        "seed of the random data; the same seed gives the same bytes",
        0,
        group="data",
        metavar="N",
    )
    maxerr: Limits = option(
        "largest AssertEqual error that passes: max(|e-g| / max(min(|e|,|g|), 1)); OUTPUT=ERR for"
        " one output. Can be given several times",
        Limits(DEFAULT_MAXERR),
        group="check",
        metavar="ERR",
    )

    @property
    def settings(self) -> DataSettings:
        """How data becomes arrays."""
        return DataSettings(
            repeat=self.repeat,
            resize_input=self.resize_input,
            input_transform=self.input_transform,
            seed=self.seed,
        )


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class ModelOptions(DataOptions):
    """What the commands have in common that write a model, too."""

    output: str = option(
        "the model to write",
        group="output",
        metavar="OUT",
        short="-o",
    )
    format: str = option(
        "serialisation format of the written files; the default is the input's",
        "",
        group="output",
        choices=MODEL_FORMATS,
    )
    optimize_for_inference: bool = option(
        "optimise the graph for inference before it is packed",
        False,
        group="optimise",
    )
    enable_io16xc32: bool = option(
        "float16 between operators, float32 inside them",
        False,
        group="optimise",
    )
    enable_ioc16: bool = option(
        "float16 between operators and inside them",
        False,
        group="optimise",
    )
    enable_fuse_conv_bias_nonlinearity: bool = option(
        "fuse convolution, bias and nonlinearity into one operator",
        False,
        group="optimise",
    )
    enable_hwcd4: bool = option(
        "NHWCD4 layout, for OpenCL",
        False,
        group="optimise",
    )
    enable_nchw4: bool = option(
        "NCHW4 layout, for CUDA (cuDNN)",
        False,
        group="optimise",
    )
    enable_nchw88: bool = option(
        "NCHW88 layout, for x86 with AVX",
        False,
        group="optimise",
    )
    enable_nchw44: bool = option(
        "NCHW44 layout, for Arm",
        False,
        group="optimise",
    )
    enable_nchw44_dot: bool = option(
        "NCHW44_DOT layout, for Armv8.2 with dot product",
        False,
        group="optimise",
    )
    enable_nchw32: bool = option(
        "NCHW32 layout, for CUDA tensor cores (cuDNN)",
        False,
        group="optimise",
    )
    enable_nchw64: bool = option(
        "NCHW64 layout, for int4 on CUDA",
        False,
        group="optimise",
    )
    enable_chwn4: bool = option(
        "CHWN4 layout, for CUDA tensor cores",
        False,
        group="optimise",
    )
    enable_fuse_conv_bias_with_z: bool = option(
        "fuse convolution, bias and the added z input, for CUDA",
        False,
        group="optimise",
    )
    enable_fuse_preprocess: bool = option(
        "fuse dtype conversion, channel padding and transposition at the model's inputs",
        False,
        group="optimise",
    )

    @property
    def optimizations(self) -> tuple[str, ...]:
        """The passes asked for, as ``enable_...`` keywords of ``optimize_for_inference``."""
        names = (f"enable_{name}" for name in (*SWITCHES, *LAYOUTS))
        return tuple(name for name in names if getattr(self, name))


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class CrossCheckOptions(Values):
    """What the commands have in common that end with a packed file and its verdict."""

    cross_check: str = option(
        "run the graph without assertions on a second engine as well, on every testcase, and"
        " compare: MegEngine Lite, the runtime that devices use",
        "",
        group="check",
        choices=CROSS_CHECKS,
    )


@dataclass(frozen=True, kw_only=True, init=False, repr=False, eq=False)
class LocateOptions(Values):
    """What the commands have in common that can look into a packed graph."""

    locate: bool = option(
        "look for the first operator that computes something else than the model's, also when"
        " nothing failed; after a failed comparison with the model it is done anyway",
        False,
        group="check",
    )


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class PackOptions(LocateOptions, CrossCheckOptions, ModelOptions):
    """Options of ``megdump-ci pack``."""

    model: str = option(
        "the model to pack: a dumped one (.mge), or FILE.py:NAME, Python code that is exported"
        " first and that this runs (see 'megdump-ci export')",
        group="input",
        metavar="MODEL",
        positional=True,
    )
    output: str = option(
        "the packed model to write",
        group="output",
        metavar="OUT",
        short="-o",
    )
    baseline: str = option(
        "an earlier version of the model, dumped or packed: the report then says what changed in"
        " operators, parameters, inputs and outputs, and how far the outputs drift on the same"
        " testcases. It does not change the verdict",
        "",
        group="input",
        metavar="FILE",
    )
    no_assert: bool = option(
        "pack without expected values and assertions, for benchmarking; nothing is compared and"
        " the verdict is 'not verified'",
        False,
        group="check",
    )
    allow_unverified: bool = option(
        "where this machine can run the packed graph neither with the engine's fast kernels nor"
        " with its naive ones, write it all the same, with the verdict 'not verified': for"
        " another device",
        False,
        group="check",
    )
    discard_var_name: bool = option(
        "drop the names of variables and parameters from the written files",
        False,
        group="output",
    )
    output_strip_info: bool = option(
        "write OUT.json: the operators and dtypes that a stripped runtime has to keep",
        False,
        group="output",
    )
    deploy_output: str = option(
        "also write the same graph without testcases and assertions: the file to ship",
        "",
        group="output",
        metavar="FILE",
    )
    name: str = option(
        "what the report calls the run, so that the reports of several can be merged; the default"
        " is the model",
        "",
        group="output",
        metavar="NAME",
    )

    @property
    def written(self) -> list[str]:
        """The paths of all files that a run writes, the report apart."""
        models = [path for path in (self.output, self.deploy_output) if path]
        strip_infos = [f"{path}.json" for path in models if self.output_strip_info]
        return models + strip_infos + ([self.profile] if self.profile else [])

    def problems(self) -> list[Problem]:
        """What is wrong with the values, taken together; empty when nothing is."""
        found = [*_pack_problems(self), *_model_problems(self), *_cross_check_problems(self)]
        if self.cross_check and self.no_assert:
            found.append(
                Problem(
                    "cross-check compares with expected values, and no-assert packs none",
                    "leave out one of the two",
                )
            )
        if self.locate and self.no_assert:
            found.append(
                Problem(
                    "locate looks at the worst testcase, and with no-assert none is compared",
                    "leave out one of the two",
                )
            )
        return found


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class ExportOptions(ModelOptions):
    """Options of ``megdump-ci export``."""

    target: str = option(
        "what to export: a jit.trace object, a function, a Module, or a Module class or another"
        " factory of one, in a Python file; the file is run",
        group="input",
        metavar="FILE.py:NAME",
        positional=True,
    )
    output: str = option(
        "the model to write (.mge)",
        group="output",
        metavar="OUT",
        short="-o",
    )
    arg_names: str = option(
        "names of the model's inputs, separated by commas; the default is the names of the"
        " function's parameters",
        "",
        group="input",
        metavar="NAME,...",
    )
    output_names: str = option(
        "names of the model's outputs, separated by commas; the default is what the engine calls"
        " them, or the keys if a dict is returned",
        "",
        group="input",
        metavar="NAME,...",
    )
    format: str = option(
        "serialisation format of the written file; the default is fbs_v2",
        "",
        group="output",
        choices=MODEL_FORMATS,
    )
    optimize_for_inference: bool = option(
        "optimise the graph for inference, lightly if no --enable option is given, as trace.dump"
        " does",
        True,
        group="optimise",
    )
    keep_var_name: int = option(
        "names of variables in the written file: 0 none, 1 those of the outputs, 2 all",
        1,
        group="output",
        metavar="LEVEL",
    )
    keep_param_name: bool = option(
        "keep the names of parameters in the written file",
        False,
        group="output",
    )

    def problems(self) -> list[Problem]:
        """What is wrong with the values, taken together; empty when nothing is."""
        return [*_export_problems(self), *_model_problems(self)]


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class SweepOptions(DataOptions):
    """Options of ``megdump-ci sweep``."""

    model: str = option(
        "the model to optimise in every way: a dumped one (.mge), or FILE.py:NAME as for pack",
        group="input",
        metavar="MODEL",
        positional=True,
    )
    only: tuple[str, ...] = option(
        "name of a configuration to try, as the table shows it; 'none' is always tried. Can be"
        " given several times; the default is all of them",
        (),
        group="input",
        metavar="NAME",
    )
    jobs: int = option(
        "configurations to try at the same time; 0 tries one on each core, at most 4. Each takes"
        " the memory of two engine processes",
        0,
        group="run",
        metavar="N",
    )
    timeout: float = option(
        "seconds that a phase of one configuration may take before its engine process is stopped",
        60.0,
        group="run",
        metavar="SECONDS",
    )

    def problems(self) -> list[Problem]:
        """What is wrong with the values, taken together; empty when nothing is."""
        from megdump_ci.configurations import unknown

        found = [*_pack_problems(self), *_data_problems(self), *unknown(self.only)]
        if self.jobs < 0:
            found.append(Problem(f"jobs is {self.jobs}", "give 0 (one on each core) or more"))
        return found


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class VerifyOptions(LocateOptions, CrossCheckOptions, GateOptions):
    """Options of ``megdump-ci verify``."""

    packed: str = option(
        "the packed model to check: a file with testcases, made by any tool",
        group="input",
        metavar="PACKED",
        positional=True,
    )
    model: str = option(
        "the model it was packed from; its results are then compared too",
        "",
        group="input",
        metavar="MODEL",
    )
    maxerr: Limits = option(
        "largest AssertEqual error that passes in the comparison with expected values; OUTPUT=ERR"
        " for one output; the assertions in the file keep their own. Can be given several times",
        Limits(),
        group="check",
        metavar="ERR",
    )

    def problems(self) -> list[Problem]:
        """What is wrong with the values, taken together; empty when nothing is."""
        found = [*_common_problems(self), *self.gates.problems()]
        if self.locate and not self.model:
            found.append(
                Problem(
                    "locate compares with the operators of the model, and no model is given",
                    "add --model MODEL, the one that the file was packed from",
                )
            )
        return found + _cross_check_problems(self)


@dataclass(frozen=True, kw_only=True, repr=False, eq=False)
class DiffOptions(DataOptions):
    """Options of ``megdump-ci diff``."""

    base: str = option(
        "the model as it was: a dumped one (.mge), or a packed file",
        group="input",
        metavar="BASE",
        positional=True,
    )
    new: str = option(
        "the model as it is now, likewise",
        group="input",
        metavar="NEW",
        positional=True,
    )
    maxerr: Limits = option(
        "largest AssertEqual error of an output against that of BASE that passes; OUTPUT=ERR for"
        " one output. Can be given several times; without it, no error is too large",
        Limits(),
        group="check",
        metavar="ERR",
    )

    def problems(self) -> list[Problem]:
        """What is wrong with the values, taken together; empty when nothing is."""
        empty = [name for name in ("base", "new") if not getattr(self, name)]
        found = [Problem(f"{name} is empty", "name a dumped model (.mge)") for name in empty]
        return found + _data_problems(self)


Options = PackOptions | ExportOptions | VerifyOptions | SweepOptions | DiffOptions

COMMANDS: dict[str, tuple[type[Options], str]] = {
    "pack": (PackOptions, "pack a model with testcases, and verify the packed file"),
    "export": (ExportOptions, "trace and dump a model that is Python code, and verify the file"),
    "sweep": (SweepOptions, "optimise a model in every way, and compare what each way gives"),
    "verify": (VerifyOptions, "check every testcase of a packed file"),
    "diff": (DiffOptions, "say what changed from one model to another, and how outputs drift"),
}
"""The commands that make a report, with their help."""


def specs(options: type[Any]) -> list[OptionSpec]:
    """The options that are fields of a class, in their order but for the positional one: first."""
    hints = get_type_hints(options)
    found = [_spec(field, hints[field.name]) for field in dataclasses.fields(options)]
    return sorted(found, key=lambda spec: (not spec.positional, not spec.required))


def checked(options: Options) -> Options:
    """``options`` as they are, or :class:`InputError` with all that is wrong with them."""
    problems = options.problems()
    if problems:
        raise InputError(problems)
    return options


def to_argv(options: Any) -> list[str]:
    """The command line that gives these options, defaults left out."""
    argv: list[str] = []
    for spec in specs(type(options)):
        value = getattr(options, spec.field)
        if value == spec.default and not spec.required:
            continue
        for item in _items(value) if spec.many else (value,):
            if spec.positional:
                argv.append(str(item))
            elif spec.kind is bool:
                argv.append(f"--{spec.name}" if item else f"--no-{spec.name}")
            else:
                # A value that begins with a dash would be taken for an option.
                text = repr(item) if spec.kind is float else str(item)
                argv += [f"--{spec.name}={text}"] if text[:1] == "-" else [f"--{spec.name}", text]
    return argv


def to_facts(options: Options) -> dict[str, Any]:
    """The values by field, for the report; limits are texts, or a number if there is but one."""
    return {spec.field: _fact(getattr(options, spec.field)) for spec in specs(type(options))}


def defaults(options: type[Any]) -> dict[str, Any]:
    """The same of the options that need not be given."""
    return {spec.field: _fact(spec.default) for spec in specs(options) if not spec.required}


def limits_of(spec: OptionSpec, texts: Iterable[str]) -> Limits:
    """The value of an option of kind ``Limits``; :class:`InputError` names the option."""
    try:
        return Limits.parse(texts, spec.default.default)
    except InputError as error:
        raise InputError(
            [Problem(f"{spec.name}: {item.message}", item.hint) for item in error.problems]
        ) from None


def _items(value: Any) -> Sequence[str]:
    return value.texts() if isinstance(value, Limits) else value


def _fact(value: Any) -> Any:
    if not isinstance(value, Limits):
        return value
    return value.texts() if value.outputs else value.default


def _spec(field: dataclasses.Field[Any], hint: Any) -> OptionSpec:
    kind, many = hint, hint is Limits
    if get_origin(hint) is tuple:
        kind, many = get_args(hint)[0], True
    elif get_origin(hint) in (Union, types.UnionType):
        kind = next(arg for arg in get_args(hint) if arg is not type(None))
    required = field.default is dataclasses.MISSING
    return OptionSpec(
        field=field.name,
        name=field.name.replace("_", "-"),
        kind=kind,
        many=many,
        required=required,
        default=None if required else field.default,
        **field.metadata,
    )


def _common_problems(options: CommonOptions) -> list[Problem]:
    found = []
    # Also false for what is no number.
    if not 0 < options.timeout <= _LONGEST:
        found.append(
            Problem(
                f"timeout is {options.timeout:g}",
                f"give a number of seconds above 0, such as 900, and at most {_LONGEST:g}",
            )
        )
    if options.threads < 0:
        found.append(Problem(f"threads is {options.threads}", "give 0 (all cores) or more"))
    try:
        memory = size_in(options.memory_limit, "memory-limit")
    except InputError as error:
        return [*found, *error.problems]
    if 0 < memory < limits.LEAST_MEMORY:
        found.append(limits.too_little(memory))
    return found


def _pack_problems(options: PackOptions | SweepOptions) -> list[Problem]:
    if options.model:
        return []
    return [Problem("model is empty", "name the dumped model (.mge) to pack, or FILE.py:NAME")]


def _cross_check_problems(options: CrossCheckOptions) -> list[Problem]:
    if not options.cross_check or options.cross_check in CROSS_CHECKS:
        return []
    hint = f"give one of {', '.join(CROSS_CHECKS)}"
    return [Problem(f"cross-check is '{options.cross_check}'", hint)]


def _export_problems(options: ExportOptions) -> list[Problem]:
    found = []
    if not options.target:
        found.append(Problem("target is empty", "name what to export: FILE.py:NAME"))
    if options.keep_var_name not in (0, 1, 2):
        found.append(
            Problem(
                f"keep-var-name is {options.keep_var_name}",
                "give 0 (no names), 1 (those of the outputs) or 2 (all)",
            )
        )
    for name in ("arg_names", "output_names"):
        found += _name_problems(name.replace("_", "-"), names_in(getattr(options, name)))
    return found


def size_in(text: str, name: str) -> int:
    """Bytes of a size such as ``8G`` or ``500M``; 0 for an empty text.

    Units are powers of 1024, with or without a ``B`` or ``iB`` behind them. :class:`InputError`
    names the option.
    """
    if not text:
        return 0
    match = re.fullmatch(r"(\d{1,15}(?:\.\d{1,9})?) ?([KMGT]?)(?:i?B)?", text.strip(), re.I | re.A)
    size = int(float(match[1]) * 1024 ** " KMGT".index(match[2].upper() or " ")) if match else 0
    if not 0 < size < 1 << 62:
        raise InputError(f"{name} is '{text}'", "give a size above 0, such as 8G or 500M")
    return size


def names_in(text: str) -> tuple[str, ...]:
    """The names in a comma-separated list, without blanks around them."""
    return tuple(name.strip() for name in text.split(",")) if text.strip() else ()


def _name_problems(option: str, names: tuple[str, ...]) -> list[Problem]:
    if not all(names):
        return [Problem(f"{option} has an empty name", "write a name between all commas")]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        return [Problem(f"{option} has {', '.join(twice)} twice", "give each its own name")]
    return []


def _model_problems(options: ModelOptions) -> list[Problem]:
    found = _data_problems(options)
    if not options.output:
        found.append(Problem("output is empty", "name the model to write"))
    if options.format and options.format not in MODEL_FORMATS:
        found.append(
            Problem(f"format is '{options.format}'", f"give one of {', '.join(MODEL_FORMATS)}")
        )
    return found + _optimize_problems(options)


def _data_problems(options: DataOptions) -> list[Problem]:
    found = [*_common_problems(options), *options.gates.problems()]
    if not any(item.strip() for item in options.data):
        found.append(
            Problem(
                "data is empty, and a model without testcases cannot be verified",
                "give at least one testcase, such as '#rand(0,255)'",
            )
        )
    if options.repeat < 1:
        found.append(Problem(f"repeat is {options.repeat}", "give 1 or more"))
    if options.seed < 0:
        found.append(Problem(f"seed is {options.seed}", "give 0 or more"))
    return found


def _optimize_problems(options: ModelOptions) -> list[Problem]:
    found = []
    flags = [f"--{name.replace('_', '-')}" for name in options.optimizations]
    if flags and not options.optimize_for_inference:
        found.append(
            Problem(
                f"{', '.join(flags)} without --optimize-for-inference would have no effect",
                "add --optimize-for-inference (in a workflow: optimize-for-inference: true)",
            )
        )
    layouts = [name for name in LAYOUTS if getattr(options, f"enable_{name}")]
    if len(layouts) > 1:
        named = ", ".join(f"--enable-{name.replace('_', '-')}" for name in layouts)
        found.append(
            Problem(
                f"{named} cannot go together: a graph has one layout",
                "keep the one that the target device wants",
            )
        )
    return found
