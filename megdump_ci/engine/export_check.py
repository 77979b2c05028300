"""Checking exported models, read back from disk, against the results of the Python code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from megdump_ci import report
from megdump_ci.engine import graph, spool
from megdump_ci.engine.packing import Model, Reference, read_model
from megdump_ci.gates import Gates
from megdump_ci.judging import compared, compared_with_python, digest, failure, is_constant
from megdump_ci.protocol import Checked, ExportCheckJob, FileDigested, FromWorker, ModelsRead
from megdump_ci.testcase.spec import TestcaseSpec

Array = npt.NDArray[np.generic]


def check(job: ExportCheckJob, emit: Callable[[FromWorker], None]) -> None:
    """Do an :class:`ExportCheckJob`."""
    dumped = read_model(job.dumped, job.shown)
    exported = read_model(job.exported, f"what was exported of {job.shown}", device=1)
    emit(ModelsRead(dumped.facts(), exported.facts(job.exported), _renamed(job, exported)))
    job.gates.check_names(exported.outputs, "the exported model")
    plainly, optimally = Reference(dumped), Reference(exported)
    apart = graph.apart(dumped.loaded, exported.loaded)
    for index, (text, sample) in enumerate(zip(job.specs, job.samples, strict=True)):
        count = len(sample.inputs)
        # Kept, because this may be done once more, with other kernels.
        arrays = spool.read(Path(sample.spool), count + sample.outputs, keep=True)
        feeds = dict(zip(sample.inputs, arrays[:count], strict=True))
        optimally.start(TestcaseSpec(text), feeds)
        if not apart:
            optimally.wait()
        plain, optimised = plainly.run(TestcaseSpec(text), feeds), optimally.finish()
        outputs = _judged(exported.outputs, arrays[count:], plain, optimised, gates=job.gates)
        reason = _unlike(dumped, exported, sample.outputs)
        emit(
            Checked(
                report.Testcase(
                    index=index,
                    source=None,
                    inputs=[
                        report.Tensor(
                            name=name,
                            dtype=str(value.dtype),
                            shape=[int(n) for n in value.shape],
                            digest=digest(value),
                        )
                        for name, value in feeds.items()
                    ],
                    passed=not reason and all(output.passed for output in outputs),
                    reason=reason,
                    outputs=outputs,
                )
            )
        )
    emit(FileDigested(exported.part.size, exported.digest))


def _renamed(job: ExportCheckJob, exported: Model) -> list[str]:
    """Warnings of outputs that have another name than was asked for."""
    return [
        f"output {asked} is named {found} in the model: it is the same tensor as another output, or"
        " as an input"
        for asked, found in zip(job.outputs, exported.outputs, strict=False)
        if asked != found
    ]


def _unlike(dumped: Model, exported: Model, outputs: int) -> str:
    """How the models differ in kind from what was traced; empty if they do not."""
    for model in (dumped, exported):
        if len(model.outputs) != outputs:
            return f"the model has {len(model.outputs)} outputs, the Python code {outputs}"
    if list(dumped.loaded.inputs) != list(exported.loaded.inputs):
        return (
            f"the optimised model has inputs {', '.join(exported.loaded.inputs)}, the one that was"
            f" traced {', '.join(dumped.loaded.inputs)}"
        )
    return ""


def _judged(
    names: Sequence[str],
    own: Sequence[Array],
    dumped: Sequence[Array],
    exported: Sequence[Array],
    *,
    gates: Gates,
) -> list[report.Output]:
    """The outputs of one testcase: eager, dumped and optimised, each against the one before."""
    outputs = []
    # What there is of each; another number of outputs fails the testcase.
    for name, eager, plain, optimised in zip(names, own, dumped, exported, strict=False):
        bounds = gates.bounds(name)
        output = report.Output(
            name=name,
            dtype=str(optimised.dtype.name),
            shape=list(optimised.shape),
            passed=False,
            maxerr=bounds.maxerr,
            digest=digest(optimised),
            constant=is_constant(optimised),
            against_model=compared(plain, optimised, bounds),
            model_against_python=compared_with_python(eager, plain, bounds),
            against_python=compared_with_python(eager, optimised, bounds),
        )
        reason = failure(output)
        outputs.append(msgspec.structs.replace(output, passed=not reason, reason=reason))
    return outputs
