"""The exporting worker: runs the user's Python code, traces it, and dumps it."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import megengine
import numpy as np
import numpy.typing as npt
from megengine import jit
from megengine.core.tensor import dtype as mge_dtype
from megengine.module import Module

from megdump_ci.engine import graph, spool, usercode
from megdump_ci.engine.usercode import UserCode
from megdump_ci.errors import InputError, Problem
from megdump_ci.protocol import ExportJob, FromWorker, ModelDumped, Sample
from megdump_ci.testcase import values
from megdump_ci.testcase.spec import TestcaseSpec

Array = npt.NDArray[np.generic]
Feeds = dict[str, Array]

_CAPTURE = "write @jit.trace(symbolic=True, capture_as_const=True)"
_TENSORS = "return a Tensor, a list or tuple of Tensors, or a dict from name to Tensor"


def export(job: ExportJob, spent: float, emit: Callable[[FromWorker], None]) -> None:
    """Do an :class:`ExportJob`; ``spent`` seconds of its time are over.

    Raises :class:`InputError` for whatever the user's code does wrong, with its own lines.
    """
    # What an operator raises then comes out of the line that asked for it.
    megengine.config.async_level = 0
    code = UserCode(job.file, graph.said, limit=job.seconds, spent=spent)
    subject = find(code, job)
    data = _Data(job.specs, job.settings, subject)
    traced = results = None
    inputs: list[str] = []
    for index, spec in enumerate(job.specs):
        feeds = data.load(index)
        results = subject.run(feeds, f"on {spec.text!r}")
        if traced is None:
            traced = subject.traced(feeds)
            inputs = _dump(job, subject, traced)
            emit(ModelDumped(outputs=_output_names(job, subject), warnings=subject.warnings))
        path = Path(job.scratch, f"sample-{index}")
        graph_feeds = [np.atleast_1d(feeds[name]) for name in inputs]
        spool.write(path, [*graph_feeds, *results])
        emit(Sample(spool=str(path), inputs=inputs, outputs=len(results)))


def find(code: UserCode, job: ExportJob) -> Subject:
    """Run the file and make of the object in it what can be run and traced."""
    module = code.load()
    found = code.find(module, job.name)
    trace = found if isinstance(found, jit.trace) else None
    if trace is not None:
        _check_trace(trace, job)
        found = trace.__wrapped__
    elif isinstance(found, Module) or _is_factory(found):
        found = _made(code, found, job)
    elif not callable(found):
        raise InputError(
            f"{job.name} in {job.file} is of type {type(found).__name__}, which cannot be traced",
            "give the name of a function, a Module, a factory of one, or a jit.trace object",
        )
    return Subject(code, job, found, trace)


def _is_factory(found: Any) -> bool:
    """Whether it can be called without arguments."""
    if not callable(found) or isinstance(found, Module):
        return False
    if isinstance(found, type) and issubclass(found, Module):
        return True
    try:
        inspect.signature(found).bind()
    except (TypeError, ValueError):
        return False
    return not any(kind.kind is kind.VAR_POSITIONAL for kind in _parameters(found))


def _made(code: UserCode, found: Any, job: ExportJob) -> Module:
    """A Module, in the state in which it is used for inference."""
    if not isinstance(found, Module):
        with code.running(f"calling {job.name}()"):
            made = found()
        if not isinstance(made, Module):
            raise _located(
                found,
                f"{job.name}() takes no inputs and returns a {type(made).__name__}",
                "a function to export takes its inputs as parameters without defaults; a factory"
                " takes none and returns a Module",
            )
        found = made
    with code.running(f"calling {job.name}.eval()"):
        found.eval()
    return found


def _check_trace(trace: jit.trace, job: ExportJob) -> None:
    if not trace._capture_as_const:
        raise _located(
            trace.__wrapped__,
            f"{job.name} is traced without capture_as_const=True, and cannot be dumped",
            _CAPTURE,
        )
    if trace.without_host:
        raise _located(
            trace.__wrapped__,
            f"{job.name} is traced with without_host=True, and cannot be dumped",
            _CAPTURE,
        )
    if trace._kwarg_bindings:
        named = ", ".join(name for name, _ in trace._kwarg_bindings.values())
        raise _located(
            trace.__wrapped__,
            f"{job.name} was called with keyword arguments ({named})",
            "call it with positional ones, or do not call it: it is called with the data",
        )


class Subject:
    """What is exported: how to run it eagerly, how to trace it, what its inputs are called."""

    def __init__(
        self, code: UserCode, job: ExportJob, function: Any, trace: jit.trace | None
    ) -> None:
        self._code = code
        self._name = job.name
        self._function = function
        self._trace = trace
        self.warnings: list[str] = []
        self.keys: list[str] | None = None
        """The names of the outputs, where a dict is returned."""
        self.count = 0
        """How many outputs there are."""
        # A trace object that was called has what it recorded then, and is dumped as it is.
        bound = trace._arg_bindings if trace is not None else None
        self.shapes = None if bound is None else [tuple(shape) for _, shape in bound]
        self.inputs = self._input_names(job.arg_names)

    def run(self, feeds: Mapping[str, Array], doing: str) -> list[Array]:
        """The function's own results, each with at least one axis, as a graph has them."""
        tensors = self._tensors(feeds)
        with self._code.running(f"calling {self._name} {doing}"):
            found = self._outputs(*tensors)
            return [np.atleast_1d(_real(tensor).numpy()) for tensor in found]

    def recorded(self) -> tuple[values.InputType, ...]:
        """The inputs as a trace object that the file has called has them; none if it has not."""
        if self._trace is None or self.shapes is None:
            return ()
        if not hasattr(self._trace, "_output_names"):
            raise self.located(
                f"{self._name} was called in the file and returned nothing", _TENSORS
            )
        file = io.BytesIO()
        try:
            self._trace.dump(file, arg_names=self.inputs, optimize_for_inference=False)
        except RuntimeError as error:
            raise graph.EngineRefused(f"dumping {self._name}", error) from None
        found = graph.load(file.getvalue(), f"what was dumped of {self._name}").inputs
        # What the model does not use is not in it, and then nothing depends on its dtype.
        unused = values.InputType("", None, np.dtype(np.float32), "float32")
        return tuple(
            graph.input_type(name, found[name])
            if name in found
            else replace(unused, name=name, shape=shape)
            for name, shape in zip(self.inputs, self.shapes, strict=True)
        )

    def traced(self, feeds: Mapping[str, Array]) -> jit.trace:
        """The trace object, which has recorded one call."""
        if self._trace is not None and self.shapes is not None:
            self._check_outputs(self._trace)
            return self._trace
        trace = self._trace or jit.trace(self._function, symbolic=True, capture_as_const=True)
        trace.__wrapped__ = self._outputs
        tensors = self._tensors(feeds)
        with self._code.running(f"tracing {self._name}"):
            trace(*tensors)
        return trace

    def _tensors(self, feeds: Mapping[str, Array]) -> list[megengine.Tensor]:
        # Made anew for each call: the function may change them.
        return [megengine.tensor(feeds[name], dtype=feeds[name].dtype) for name in self.inputs]

    def _outputs(self, *tensors: megengine.Tensor) -> list[megengine.Tensor]:
        """Call the function; what it returns as a list, which is all that trace.dump takes."""
        found = self._function(*tensors)
        if isinstance(found, Mapping):
            if not all(isinstance(key, str) for key in found):
                raise self.located(
                    f"{self._name} returns a dict with keys that are no str", _TENSORS
                )
            self.keys = sorted(found)
            found = [found[key] for key in self.keys]
        outputs = list(found) if isinstance(found, (list, tuple)) else [found]
        if found is None or not outputs:
            raise self.located(f"{self._name} returns nothing", _TENSORS)
        for place, output in enumerate(outputs):
            if not isinstance(output, megengine.Tensor):
                which = f"a {type(output).__name__}"
                which += f" as output {place}" if len(outputs) > 1 else ""
                raise self.located(f"{self._name} returns {which}", _TENSORS)
        if self.count and len(outputs) != self.count:
            raise self.located(
                f"{self._name} returns {len(outputs)} outputs, and {self.count} the first time",
                "return the same outputs for all data",
            )
        self.count = len(outputs)
        return outputs

    def _check_outputs(self, trace: jit.trace) -> None:
        if len(getattr(trace, "_output_bindings", None) or ()) != self.count:
            raise self.located(
                f"{self._name} was called in the file, and did not return its {self.count} outputs"
                " then",
                "return the same outputs for all data",
            )

    def located(self, message: str, hint: str) -> InputError:
        """An error at the place where the function is defined."""
        return _located(self._function, message, hint)

    def _input_names(self, given: Sequence[str]) -> list[str]:
        fixed = None if self.shapes is None else len(self.shapes)
        parameters = _parameters(self._function)
        self._check_keywords(parameters)
        positional = [
            p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
        names = [parameter.name for parameter in positional]
        least = sum(parameter.default is parameter.empty for parameter in positional)
        many = any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters)
        most = None if many else len(names)
        if fixed is not None:
            least, most = fixed, fixed
        if given:
            if len(given) < least or (most is not None and len(given) > most):
                raise self.located(
                    f"arg-names has {len(given)} names ({', '.join(given)}), {self._name} takes"
                    f" {_count(least, most)}" + (f" ({', '.join(names)})" if names else ""),
                    "give one name for each input",
                )
            return list(given)
        if fixed is not None:
            return [*names, *(f"arg_{i}" for i in range(len(names), fixed))][:fixed]
        if many:
            raise self.located(
                f"{self._name} takes any number of inputs",
                "say how many there are, by naming them: --arg-names x,y (pack: wrap it in a"
                " function that names its parameters)",
            )
        if not least:
            raise self.located(
                f"{self._name} has no parameter without a default, and so no input",
                "the inputs of the model are the parameters of the function",
            )
        return names[:least]

    def _check_keywords(self, parameters: Sequence[inspect.Parameter]) -> None:
        needed = [
            parameter.name
            for parameter in parameters
            if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
        ]
        if needed:
            raise self.located(
                f"{self._name} has keyword-only parameters ({', '.join(needed)})",
                "inputs are given by position: leave out the * in front of them",
            )


def _parameters(function: Any) -> list[inspect.Parameter]:
    """The parameters of a function, a Module's ``forward``, or any other callable."""
    target = function.forward if isinstance(function, Module) else function
    try:
        return list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        # Some that are written in C do not tell: any number then.
        return [inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)]


def _count(least: int, most: int | None) -> str:
    if most is None:
        return f"{least} or more"
    return str(least) if least == most else f"{least} to {most}"


def _located(function: Any, message: str, hint: str) -> InputError:
    """An error at the place where ``function`` (or a Module's ``forward``) is defined."""
    target = type(function).forward if isinstance(function, Module) else function
    code = getattr(inspect.unwrap(target), "__code__", None)
    file, line = usercode.place(code)
    if usercode.is_library(file):
        file, line = "", 0
    return InputError(Problem(message, hint, file, line))


def _real(tensor: megengine.Tensor) -> megengine.Tensor:
    """The tensor, or what its quantised values stand for."""
    return tensor.astype("float32") if mge_dtype.is_quantize(tensor.dtype) else tensor


@dataclass
class _Data:
    """The samples. The first decides what the others are fitted to, as a model's inputs do."""

    specs: Sequence[TestcaseSpec]
    settings: values.DataSettings
    subject: Subject
    types: tuple[values.InputType, ...] = ()

    def load(self, index: int) -> Feeds:
        """The arrays of a sample, by input; to be asked for in order."""
        if index == 0:
            self._begin()
        feeds = values.load(self.specs[index], index, self.types, self.settings)
        if index == 0:
            self.types = tuple(
                replace(kind, shape=tuple(feeds[kind.name].shape)) for kind in self.types
            )
            problems = values.check(self.specs[1:], self.types, self.settings)
            if problems:
                raise InputError(problems)
        return feeds

    def _begin(self) -> None:
        self.types = self.subject.recorded() or values.discover(
            self.specs[0], self.subject.inputs, self.settings
        )
        problems = values.check(self.specs[:1], self.types, self.settings)
        if problems:
            raise InputError(problems)


def _output_names(job: ExportJob, subject: Subject) -> list[str]:
    """The names asked for, or those of a dict; empty where the engine names them."""
    names = list(job.output_names)
    if names and subject.keys:
        raise subject.located(
            f"output-names has {', '.join(names)}, but {job.name} returns a dict with the keys"
            f" {', '.join(subject.keys)}, which name the outputs",
            "leave out --output-names, or return a list",
        )
    if names and len(names) != subject.count:
        raise subject.located(
            f"output-names has {len(names)} names ({', '.join(names)}), {job.name} returns"
            f" {subject.count} outputs",
            "give one name for each output",
        )
    return names or subject.keys or []


def _dump(job: ExportJob, subject: Subject, traced: jit.trace) -> list[str]:
    """Write the files; the inputs that the model has, sorted by name."""
    names = _output_names(job, subject)

    def written(path: str, doing: str, **options: Any) -> bytes:
        file = io.BytesIO()
        try:
            traced.dump(
                file,
                arg_names=list(subject.inputs),
                output_names=names or None,
                keep_var_name=job.keep_var_name,
                keep_param_name=job.keep_param_name,
                dump_format=graph.FORMATS[job.format or "fbs_v2"],
                # Without optimising, what it says of that is memory that nothing was written to.
                enable_metadata=options["optimize_for_inference"],
                **options,
            )
        except RuntimeError as error:
            raise graph.EngineRefused(f"{doing} {job.name}", error) from None
        Path(path).write_bytes(file.getvalue())
        return file.getvalue()

    content = written(job.dumped, "dumping", optimize_for_inference=False)
    if job.exported:
        passes = dict.fromkeys(job.optimizations, True)
        doing = f"dumping (optimised: {', '.join(job.optimizations) or 'lightly'})"
        optimise = {"optimize_for_inference": job.optimize, **(passes if job.optimize else {})}
        written(job.exported, doing if job.optimize else "dumping", **optimise)
    loaded = graph.load(content, f"what was dumped of {job.name}")
    unused = [name for name in subject.inputs if name not in loaded.inputs]
    if not loaded.inputs:
        raise subject.located(
            f"no output of {job.name} depends on its inputs ({', '.join(unused)})",
            "jit.trace records operators on Tensors: what goes through .numpy() is lost",
        )
    if unused:
        subject.warnings.append(
            f"{', '.join(unused)}: no output of {job.name} depends on it, so the model has no such"
            " input"
        )
    return list(loaded.inputs)
