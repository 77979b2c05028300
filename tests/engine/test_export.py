"""``export`` and ``pack FILE.py:NAME``: Python code to a model that computes the same."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from megdump_ci import pipeline
from megdump_ci.gates import Limits
from megdump_ci.options import ExportOptions
from megdump_ci.report import Comparison, Report
from tests.engine.support import pack, passed, said, verify

CLASSIFIER = f"{Path(__file__).parents[2]}/samples/classifier.py:classifier"
IMAGE = f"{Path(__file__).parents[2]}/samples/images/china.png"

CODE = """\
import os
import sys
import time

import megengine.functional as F
import megengine.module as M
import numpy as np
from megengine import jit, tensor

from beside import divided

# Neither pipe to the parent is within reach.
print('{"type":"Finished","peak_memory":0}')
os.write(1, b"\\xff\\n")
sys.stdout.flush()
assert sys.stdin.read() == ""
assert "SECRET_TOKEN" not in os.environ
assert __name__ != "__main__"

@jit.trace(symbolic=True, capture_as_const=True)
def exp(x):
    return F.exp(x)

@jit.trace(capture_as_const=True)
def called(weights, counts):
    return weights * 2 + counts

called(tensor(np.ones((2, 3), np.float32)), tensor(np.ones((2, 3), np.int32)))

class Drop(M.Module):
    def __init__(self):
        super().__init__()
        self.drop = M.Dropout(0.5)

    def forward(self, x):
        return self.drop(x) * 2

drop = Drop()

def unused(x, y):
    return x * 2, x

def odd(x):
    return {"total": x.sum(), "above": x > 0, "half": x.astype("float16")}

# What a trace cannot hold: the branch that the first sample takes is all there is.
def branch(x):
    return x * 2 if x.numpy().sum() > 0 else x * 3

def reads(x):
    return x * float(x.sum())

def reads_too(x):
    return x if (x + 1).numpy().all() else x * 3

calls = []
def counting(x):
    calls.append(x)
    return x * len(calls)

@jit.trace(symbolic=True)
def not_captured(x):
    return F.exp(x)

def nothing(x):
    x * 2

def number(x):
    return [x, 3.5]

def lost(x):
    return tensor(x.numpy() * 2)

def raises(x):
    return divided(x, 0)

def wrong_shape(x):
    return F.matmul(x, tensor(np.ones((5, 7), np.float32)))

def leaves(x):
    sys.exit(3)

def asks(x):
    return x * float(input("scale? "))

def never(x):
    while True:
        time.sleep(0.01)

def dies(x):
    os._exit(0)

def crashes(x):
    os.abort()

def two(x, y):
    return x + y

def no_factory():
    return 3
"""

INSPECT = """\
import json, sys
from megengine.core.tensor import megbrain_graph as mgb
from megengine.utils import comp_graph_tools as tools

graph = mgb.load_graph(sys.argv[1])
outputs = graph.output_vars_list
print(json.dumps({
    "inputs": [var.name for var in tools.get_dep_vars(outputs, "Host2DeviceCopy")],
    "outputs": [var.name for var in outputs],
    "computing": outputs[0].owner.inputs[0].dtype.name,
    "operators": [operator.type for operator in tools.get_oprs_seq(outputs)],
}))
"""


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the user, and one beside it."""
    folder = tmp_path_factory.mktemp("code")
    (folder / "beside.py").write_text(
        "def divided(x, by):\n    if not by:\n        raise ValueError('by nothing')\n"
        "    return x / by\n"
    )
    (folder / "user.py").write_text(CODE)
    return folder / "user.py"


@pytest.fixture(autouse=True)
def _secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")


def export(target: str, data: str | tuple[str, ...], output: Path, **options: Any) -> Report:
    """Run ``export``."""
    specs = (data,) if isinstance(data, str) else data
    return pipeline.run(ExportOptions(target=target, data=specs, output=str(output), **options))


def exported(*arguments: Any, **options: Any) -> Report:
    """Run ``export``, which has to pass."""
    report = export(*arguments, **options)
    assert report.verdict == "passed", f"{report.headline}\n{said(report)}"
    assert report.exit_status == 0
    return report


def inspected(path: Path) -> dict[str, Any]:
    """What MegEngine says of a model, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INSPECT, str(path)],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def comparisons(report: Report) -> list[Comparison]:
    """What every output of every testcase was compared with, all three ways."""
    found = [
        item
        for testcase in report.testcases
        for output in testcase.outputs
        for item in (output.against_model, output.model_against_python, output.against_python)
    ]
    assert found
    assert None not in found
    return [item for item in found if item is not None]


def test_the_example_of_the_documentation(code: Path, tmp_path: Path) -> None:
    """MegEngine's test_tracing.py, test_optimize_for_inference."""
    plain = exported(f"{code}:exp", "#rand(-1,1,2,3)", tmp_path / "plain.mge", arg_names="data")
    half = exported(
        f"{code}:exp",
        "#rand(-1,1,2,3)",
        tmp_path / "half.mge",
        enable_io16xc32=True,
        arg_names="data",
        output_names="power",
        maxerr=Limits(1e-2),
    )
    found = inspected(tmp_path / "half.mge")
    assert found["computing"] == "float16"
    assert (found["inputs"], found["outputs"]) == (["data"], ["power"])
    found = inspected(tmp_path / "plain.mge")
    assert found["computing"] == "float32"
    assert found["inputs"] == ["data"]
    assert found["operators"] == ["Host2DeviceCopy", "Elemwise"]
    # The model is what the code is; only the file is less exact.
    (output,) = half.testcases[0].outputs
    assert output.model_against_python is not None
    assert output.model_against_python.error == 0
    assert output.against_python is not None
    assert 0 < float(output.against_python.error or 0) < 1e-2
    assert half.max_error == output.against_python.error
    assert plain.max_error == 0


def test_a_module_is_exported_and_packed_the_same(tmp_path: Path) -> None:
    data = (IMAGE, "#rand(0,255)", "#rand(0,255,2,...)")
    light = exported(CLASSIFIER, data, tmp_path / "light.mge")
    assert light.model is not None
    assert light.exported is not None
    assert light.model.operators["BatchNormForward"] == 1
    assert "BatchNormForward" not in light.exported.operators
    assert light.exported.path == str(tmp_path / "light.mge")
    content = (tmp_path / "light.mge").read_bytes()
    assert light.exported.digest == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert [tensor.name for tensor in light.exported.inputs] == ["image"]
    assert [tensor.name for tensor in light.exported.outputs] == ["logits", "probability"]
    # The image is the first sample, so the others take its shape.
    assert [case.inputs[0].shape for case in light.testcases] == [
        [1, 3, 80, 120],
        [1, 3, 80, 120],
        [2, 3, 80, 120],
    ]
    assert len(comparisons(light)) == 3 * 2 * 3

    plain = exported(CLASSIFIER, data, tmp_path / "plain.mge", optimize_for_inference=False)
    packed = passed(
        CLASSIFIER,
        list(data),
        tmp_path / "packed.mge",
        optimize_for_inference=True,
        enable_nchw44=True,
    )
    # The same bytes each time, in another process.
    assert packed.model is not None
    assert plain.exported is not None
    assert packed.model.path == CLASSIFIER
    assert plain.exported.digest == packed.model.digest == light.model.digest
    assert all(item.passed for item in comparisons(packed))
    assert [process.name for process in packed.processes] == ["exporting", "packing", "verifying"]
    assert verify(tmp_path / "packed.mge", tmp_path / "plain.mge").verdict == "passed"
    # And what is packed from Python code is what is packed from the file.
    again = passed(
        tmp_path / "plain.mge",
        list(data),
        tmp_path / "again.mge",
        optimize_for_inference=True,
        enable_nchw44=True,
    )
    assert (tmp_path / "again.mge").read_bytes() == (tmp_path / "packed.mge").read_bytes()
    assert all(case.outputs[0].against_python is None for case in again.testcases)


def test_a_trace_object_that_was_called_keeps_what_it_has_recorded(
    code: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "weights.npy", np.linspace(0, 1, 6).reshape(2, 3))
    np.save(tmp_path / "counts.npy", np.arange(6).reshape(2, 3))
    report = exported(
        f"{code}:called",
        (f"weights:{tmp_path}/weights.npy;counts:{tmp_path}/counts.npy", "#rand(0,3)"),
        tmp_path / "out.mge",
        format="fbs",
    )
    assert report.exported is not None
    assert report.exported.format == "fbs"
    kinds = [(item.name, item.dtype, item.shape) for item in report.exported.inputs]
    assert kinds == [("counts", "int32", [2, 3]), ("weights", "float32", [2, 3])]


def test_kinds_of_code_and_of_outputs(code: Path, tmp_path: Path) -> None:
    """Evaluation mode, an input without use, an output that is an input, odd dtypes and shapes."""
    np.save(tmp_path / "long.npy", np.arange(6).reshape(2, 3))
    drop = exported(f"{code}:drop", f"{tmp_path}/long.npy", tmp_path / "drop.mge")
    assert drop.exported is not None
    assert [item.dtype for item in drop.exported.inputs] == ["int32"]
    report = exported(
        f"{code}:unused", "#rand(0,1,2,3)", tmp_path / "unused.mge", output_names="a,b"
    )
    assert report.exported is not None
    assert [item.name for item in report.exported.outputs] == ["a", "x"]
    assert len(report.warnings) == 2
    assert "y: no output of unused depends on it" in report.warnings[0]
    assert "output b is named x" in report.warnings[1]
    odd = exported(f"{code}:odd", "#rand(-1,1,2,3)", tmp_path / "odd.mge")
    assert odd.exported is not None
    kinds = [(item.name, item.dtype, item.shape) for item in odd.exported.outputs]
    assert kinds == [
        ("above", "bool", [2, 3]),
        ("half", "float16", [2, 3]),
        ("total", "float32", [1]),
    ]


@pytest.mark.parametrize("packing", [False, True], ids=["export", "pack"])
def test_what_a_trace_does_not_hold_is_found(code: Path, tmp_path: Path, packing: bool) -> None:
    out = tmp_path / "out.mge"
    out.write_bytes(b"an earlier one")
    data = ("#rand(0,1,2,3)", "#rand(-2,-1,2,3)")
    if packing:
        report = pack(f"{code}:branch", list(data), out)
    else:
        report = export(f"{code}:branch", data, out)
    assert report.verdict == "failed"
    assert report.exit_status == 1
    assert [testcase.passed for testcase in report.testcases] == [True, False]
    (output,) = report.testcases[1].outputs
    assert output.reason.startswith("unlike the Python code: error ")
    assert output.against_model is not None
    assert output.against_model.passed
    assert output.model_against_python is not None
    assert not output.model_against_python.passed
    assert out.read_bytes() == b"an earlier one"
    assert (tmp_path / "out.mge.failed").stat().st_size > 100


X = "#rand(0,1,2,3)"
WRONG: dict[str, tuple[str, str, dict[str, Any], int, str]] = {
    # what is wrong: name, data, options, exit status, what is said
    "not captured": ("not_captured", X, {}, 2, "traced without capture_as_const=True"),
    "no outputs": ("nothing", X, {}, 2, "nothing returns nothing"),
    "no tensor": ("number", X, {}, 2, "number returns a float as output 1"),
    "no input": ("lost", X, {}, 2, "no output of lost depends on its inputs (x)"),
    "raises": ("raises", X, {}, 2, "ValueError: by nothing"),
    "shape": ("wrong_shape", X, {}, 2, "calling wrong_shape on '#rand(0,1,2,3)' failed"),
    "exit": ("leaves", X, {}, 2, "the code called sys.exit(3)"),
    "input()": ("asks", X, {}, 2, "there is nobody to answer input()"),
    "endless": ("never", X, {"timeout": 5.0}, 2, "it was not done when 5 s were over"),
    "os._exit": ("dies", X, {}, 3, "ended with status 0 while exporting"),
    "abort": ("crashes", X, {}, 3, "was killed by SIGABRT while exporting"),
    "crash": ("reads", X, {}, 3, "was killed by SIGSEGV while exporting"),
    "value": ("reads_too", X, {}, 2, "You can try to use trace(symbolic=False)"),
    "arg names": ("two", X, {"arg_names": "a"}, 2, "arg-names has 1 names (a), two takes 2 (x, y)"),
    "output names": ("two", X, {"output_names": "a,b"}, 2, "two returns 1 outputs"),
    "data": ("two", f"x:{X}", {}, 2, "'y' of the model's inputs gets no data"),
    "open shape": ("two", "#rand(0,1,...)", {}, 2, "needs all dimensions"),
    "factory": ("no_factory", X, {}, 2, "no_factory() takes no inputs and returns a int"),
    "name": ("to", X, {}, 2, "user.py has no 'to'"),
    "not callable": ("calls", X, {}, 2, "of type list, which cannot be traced"),
}
# The line of the code that a problem is at, by what stands in it.
LINES = {
    "not captured": "@jit.trace(symbolic=True)",
    "no outputs": "def nothing(x):",
    "no tensor": "def number(x):",
    "no input": "def lost(x):",
    "shape": "    return F.matmul(x, tensor(np.ones((5, 7), np.float32)))",
    "exit": "    sys.exit(3)",
    "input()": '    return x * float(input("scale? "))',
    "endless": "        time.sleep(0.01)",
    "abort": "    os.abort()",
    "crash": "    return x * float(x.sum())",
    "value": "    return x if (x + 1).numpy().all() else x * 3",
    "arg names": "def two(x, y):",
    "output names": "def two(x, y):",
    "factory": "def no_factory():",
}


@pytest.fixture(scope="module")
def wrong(code: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """A report for each of them; most of the time goes into loading the engine."""
    folder = tmp_path_factory.mktemp("wrong")

    def attempt(key: str) -> Report:
        name, data, options, _, _ = WRONG[key]
        return export(f"{code}:{name}", data, folder / f"{name}.mge", **options)

    with ThreadPoolExecutor(2) as pool:
        reports = dict(zip(WRONG, pool.map(attempt, WRONG), strict=True))
    # Nothing is left behind, under whatever name.
    assert list(folder.iterdir()) == []
    return reports


@pytest.mark.parametrize("key", WRONG)
def test_what_is_wrong_with_the_code_is_said(
    code: Path, wrong: dict[str, Report], key: str
) -> None:
    report = wrong[key]
    _, _, _, status, words = WRONG[key]
    assert report.verdict == "error"
    assert report.exit_status == status, report.problems
    problem = report.problems[0]
    assert words in problem.message
    if key in LINES:
        assert problem.file == str(code)
        assert CODE.splitlines()[problem.line - 1] == LINES[key]
    # Not a word of where this program or the engine is.
    assert "site-packages" not in problem.message
    assert "exporting.py" not in problem.message


def test_the_lines_of_an_error_are_the_users(code: Path, wrong: dict[str, Report]) -> None:
    (problem,) = wrong["raises"].problems
    first, *lines = problem.message.splitlines()
    assert first == "calling raises on '#rand(0,1,2,3)' failed: ValueError: by nothing"
    number = CODE.splitlines().index("    return divided(x, 0)") + 1
    beside = code.with_name("beside.py")
    assert lines == [
        f"    {code}:{number} in raises: return divided(x, 0)",
        f"    {beside}:3 in divided: raise ValueError('by nothing')",
    ]
    assert (problem.file, problem.line) == (str(beside), 3)


def test_a_name_or_a_file_that_is_not_there(code: Path, wrong: dict[str, Report]) -> None:
    (problem,) = wrong["name"].problems
    assert "did you mean 'two'?" in problem.hint
    for target in (f"{code}x.py:f", f"{code}", f"{code}:", f"{code}:a b", "model.mge"):
        report = export(target, X, code.with_name("out.mge"))
        assert report.exit_status == 2
        assert report.engine is None, "the engine is not started for this"
    report = passed_not(f"{code}")
    assert "does not say what in the file to export" in report.problems[0].message


def passed_not(model: str) -> Report:
    """Run ``pack``, which must not pass."""
    report = pack(Path(model), X, Path(f"{model}.out"))
    assert report.exit_status == 2
    return report


def test_results_that_change_from_call_to_call_do_not_pass(code: Path, tmp_path: Path) -> None:
    report = export(f"{code}:counting", X, tmp_path / "out.mge")
    assert report.verdict == "failed"
    assert report.testcases[0].outputs[0].reason.startswith("unlike the Python code")
