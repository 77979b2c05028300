from __future__ import annotations

import hashlib
import io
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import pytest

from megdump_ci import pipeline, report
from megdump_ci.action import annotations as annotating
from megdump_ci.action import summary
from megdump_ci.action.main import main
from megdump_ci.action.manifest import OUTPUTS
from megdump_ci.action.transport import Transport
from megdump_ci.errors import ExitStatus, Problem
from tests.unit import reports
from tests.unit.action import service

_ROOT = Path(__file__).resolve().parents[3]

Run = Callable[..., "Result"]


class Result:
    """What the action left behind."""

    def __init__(self, runner: Any, status: int, log: str, folder: Path) -> None:
        self.status = status
        self.log = log
        self.commands = runner.commands(log)
        self.outputs = runner.outputs((folder / "output").read_text(encoding="utf-8"))
        self.summary = (folder / "summary").read_text(encoding="utf-8")

    def annotations(self, kind: str) -> list[Any]:
        return [command for command in self.commands if command.name == kind]


@pytest.fixture
def run(runner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the action on a workspace with the report of a pipeline that the test gives."""
    workspace, commands = tmp_path / "workspace", tmp_path / "commands"
    workspace.mkdir()
    commands.mkdir()
    monkeypatch.chdir(tmp_path)

    def run(
        answer: report.Report | BaseException | Callable[[], None],
        *,
        given_by_runner: Mapping[str, str] = MappingProxyType({}),
        **inputs: str,
    ) -> Result:
        def fake(options: Any, observer: Any) -> report.Report:
            observer.phase("pack and verify")
            (workspace / options.output).touch()
            if isinstance(answer, BaseException):
                raise answer
            if isinstance(answer, report.Report):
                return answer
            answer()
            raise AssertionError("the run went on")

        monkeypatch.setattr(pipeline, "run", fake)
        for name in ("output", "summary"):
            (commands / name).touch()
        given = {"model": "model.mge", "data": "#rand(0,1)", "output": "out.mge", **inputs}
        environ = {
            "GITHUB_WORKSPACE": str(workspace),
            "GITHUB_OUTPUT": str(commands / "output"),
            "GITHUB_STEP_SUMMARY": str(commands / "summary"),
            **{f"INPUT_{name.upper()}": value for name, value in given.items()},
            **given_by_runner,
        }
        stream = io.StringIO()
        return Result(runner, main(environ, stream), stream.getvalue(), commands)

    return run


@pytest.fixture
def write(run: Run, tmp_path: Path) -> Callable[[str], None]:
    """Makes a file of the workspace."""
    return lambda name: (tmp_path / "workspace" / name).touch()


def _report(**fields: Any) -> report.Report:
    given = {
        "tool": report.Tool(version="0"),
        "command": "megdump-ci pack model.mge",
        "options": {},
        "verdict": "passed",
        "exit_status": 0,
        "headline": "PASS: 1 of 1 testcase",
        "machine": report.Machine(system="", processor="", cores=1, memory=1, python=""),
        "packed": _graph("out.mge"),
        "testcases": [_testcase(0, passed=True)],
        "max_error": 1e-7,
        **fields,
    }
    return msgspec.convert(msgspec.to_builtins(given), report.Report)


def _graph(path: str) -> report.Graph:
    return report.Graph(
        path=path,
        size=1,
        digest=f"sha256:{hashlib.sha256(b'').hexdigest()}",
        format="fbs_v2",
        inputs=[],
        outputs=[],
        operators={},
        parameters=0,
        parameter_bytes=0,
    )


def _testcase(index: int, *, passed: bool, name: str = "prob") -> report.Testcase:
    output = report.Output(name=name, dtype="float32", shape=[1], passed=passed, reason="differs")
    return report.Testcase(
        index=index,
        source=report.Source(spec="#rand(0,1)", file="list.txt", line=index + 1),
        inputs=[],
        passed=passed,
        outputs=[output],
    )


def test_a_run_that_passed(run: Run) -> None:
    result = run(_report())
    assert result.status == 0
    assert set(result.outputs) == set(OUTPUTS) - {"artifact-id", "artifact-digest"}
    given = {name: value for name, value in result.outputs.items() if value}
    assert given == {
        "verdict": "passed",
        "headline": "PASS: 1 of 1 testcase",
        "output": "out.mge",
        "output-digest": _graph("out.mge").digest,
        "testcases": "1",
        "failed-testcases": "0",
        "max-error": "1e-07",
    }
    groups = ["Check the inputs", "Pack and verify", "Report"]
    assert [item.message for item in result.annotations("group")] == groups
    assert {command.name for command in result.commands} == {"group", "endgroup"}
    assert "PASS: 1 of 1 testcase" in result.log
    assert "\x1b[" in result.log
    assert "passed" in result.summary


def test_a_run_that_failed_is_annotated_where_the_testcases_stand(
    run: Run, write: Callable[[str], None]
) -> None:
    testcases = [_testcase(index, passed=index == 1) for index in range(30)]
    infos = [report.StripInfo(path="out.mge", describes="packed", hash=0)] * 2
    write("list.txt")
    result = run(
        _report(
            verdict="failed",
            exit_status=1,
            headline="FAIL",
            testcases=testcases,
            strip_info=infos,
            max_error="nan",
        )
    )
    assert result.status == 1
    assert result.outputs["verdict"] == "failed"
    assert result.outputs["output"] == "out.mge"
    assert result.outputs["strip-info"] == "out.mge\nout.mge"
    assert result.outputs["max-error"] == "nan"
    errors = result.annotations("error")
    assert len(errors) == 2
    assert errors[0].message.startswith("FAIL\n")
    assert errors[0].properties["title"] == "prob fails in 29 of 30 testcases"
    assert errors[1].properties["title"] == "29 testcases of list.txt fail"
    assert errors[1].message.startswith("lines 1, 3 to 30\n")
    assert (errors[1].properties["file"], errors[1].properties["line"]) == ("list.txt", "1")


def test_the_engine_failed_and_an_earlier_file_is_no_output(run: Run) -> None:
    problem = Problem(message="the engine was killed", hint="a hint")
    result = run(
        _report(verdict="error", exit_status=3, headline="ERROR: killed", problems=[problem])
    )
    assert result.status == 3
    assert result.outputs["verdict"] == "error"
    assert result.outputs["output"] == ""
    assert result.annotations("error")[0].message == "the engine was killed\na hint"


def test_only_the_report_of_this_run_is_an_output(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "workspace" / "reports" / "report.json"
    path.parent.mkdir()
    path.write_bytes(report.to_json(_report(verdict="passed", headline="an earlier one")))
    assert run(_report(), report="reports").outputs["report"] == ""
    path.write_bytes(report.to_json(_report()))
    assert run(_report(), report="reports").outputs["report"] == "reports/report.json"


def test_what_was_not_verified_is_a_warning(run: Run) -> None:
    result = run(_report(verdict="not verified", headline="NOT VERIFIED", warnings=["w"]))
    assert result.status == 0
    assert [item.message for item in result.annotations("warning")] == ["NOT VERIFIED", "w"]


def test_wrong_inputs_are_all_named_and_nothing_is_run(run: Run) -> None:
    fault = AssertionError("the pipeline was run")
    result = run(fault, model="", repeat="x", silent="yes", maxer="1")
    assert result.status == ExitStatus.INPUT
    assert result.outputs["verdict"] == "error"
    messages = [item.message for item in result.annotations("error")]
    assert len(messages) == 3
    for name in ("repeat", "silent", "model"):
        assert any(name in message for message in messages)
        assert name in result.summary
    assert "did you mean 'maxerr'" in result.annotations("warning")[0].message


def test_a_fault_of_the_program_has_a_verdict_and_a_traceback(run: Run) -> None:
    result = run(ZeroDivisionError("::set-env name=A::b\n##[error]c"))
    assert result.status == ExitStatus.INTERNAL
    assert result.outputs["verdict"] == "error"
    assert "Traceback" in result.log
    assert [item.name for item in result.commands] == [*["group", "endgroup"] * 2, "error"]
    assert "ZeroDivisionError" in result.annotations("error")[0].message


@pytest.mark.parametrize(("module", "name"), [(annotating, "of_report"), (summary, "markdown")])
def test_a_fault_in_telling_the_verdict_is_no_success_and_leaves_the_outputs(
    module: Any, name: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(module, name, fail)
    result = run(reports.report())
    assert result.status == ExitStatus.INTERNAL
    assert result.outputs["verdict"] == "passed"
    assert "ZeroDivisionError" in result.annotations("error")[-1].message
    # A comparison that failed stays one.
    assert run(reports.report(verdict="failed", exit_status=1)).status == ExitStatus.FAILED


def test_nothing_that_a_model_says_is_obeyed(run: Run) -> None:
    name = "\n::error::evil\r::error::evil ##[error]evil\n<b>evil</b>\n\n# evil"
    testcase = _testcase(0, passed=False, name=name)
    result = run(
        _report(
            verdict="failed",
            exit_status=1,
            headline=name,
            testcases=[testcase],
            warnings=[name],
            packed=_graph(name),
        ),
        model=name,
    )
    for command in result.commands:
        assert not command.message.startswith("evil")
    names = [command.name for command in result.commands]
    assert names == [*["group", "endgroup"] * 2, "error", "warning", "warning"]
    assert result.outputs["output"] == ""
    assert "<b>" not in result.summary


def test_silent_prints_the_error_only(run: Run) -> None:
    assert "\n1e-07\n" in run(_report(), silent="true").log.replace("\x1b[0m", "")


def test_outputs_that_cannot_be_written_are_no_success(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(_report())
    environ = {"GITHUB_WORKSPACE": str(tmp_path / "workspace"), "GITHUB_OUTPUT": str(tmp_path)}
    environ |= {"INPUT_MODEL": "m", "INPUT_DATA": "d", "INPUT_OUTPUT": "o"}
    stream = io.StringIO()
    assert main(environ, stream) == ExitStatus.INPUT
    assert "cannot write the outputs" in stream.getvalue()


def test_files_are_given_to_the_owner_of_the_workspace_even_after_a_fault(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[str] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        os, "fchown", lambda fd, *_: given.append(os.readlink(f"/proc/self/fd/{fd}"))
    )
    run(ZeroDivisionError())
    assert [os.path.basename(path) for path in given] == ["out.mge"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_has_a_verdict(run: Run, number: signal.Signals) -> None:
    earlier = signal.getsignal(number)
    result = run(lambda: os.kill(os.getpid(), number))
    assert signal.getsignal(number) is earlier
    assert result.status == ExitStatus.INPUT
    assert result.outputs["verdict"] == "error"
    assert number.name in result.annotations("error")[0].message


def test_the_entry_point_answers_wrong_input_without_the_heavy_modules(tmp_path: Path) -> None:
    # Modules of these names in the workspace are not what is imported.
    for name in ("numpy", "megdump_ci", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit(99)\n")
    code = (
        "import runpy, sys; sys.argv = [sys.argv[1]]\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except SystemExit as end: status = end.code\n"
        "heavy = {'numpy', 'rich.console', 'cv2', 'megengine'} & set(sys.modules)\n"
        "sys.exit(status if not heavy else f'loaded {heavy}')\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code, str(_ROOT / "entrypoint.py")],
        env={"GITHUB_WORKSPACE": str(tmp_path), "PYTHONPATH": str(tmp_path), "PATH": "nonsense"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == ExitStatus.INPUT, done.stderr
    assert "there is neither model nor entry" in done.stdout


@pytest.mark.parametrize("where", ["full", "pipe", "closed"])
def test_a_log_that_nobody_reads_does_not_keep_the_verdict_from_the_next_steps(
    where: str, tmp_path: Path
) -> None:
    told = tmp_path / "output"
    told.touch()
    start = 'exec "$0" -I "$1"' + (" >&-" if where == "closed" else "")
    reader, writer = os.pipe()
    os.close(reader)
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            ["sh", "-c", start, sys.executable, str(_ROOT / "entrypoint.py")],
            env={"GITHUB_WORKSPACE": str(tmp_path), "GITHUB_OUTPUT": str(told)},
            stdout=writer if where == "pipe" else full,
            stderr=subprocess.PIPE,
            text=True,
        )
    os.close(writer)
    assert (done.returncode, done.stderr) == (ExitStatus.INPUT, "")
    assert "error" in told.read_text()


def test_a_signal_before_the_run_ends_the_step_with_2(tmp_path: Path) -> None:
    code = (
        "import os, signal\n"
        "from megdump_ci.action import main, paths\n"
        "paths.workspace = lambda environ: os.kill(os.getpid(), signal.SIGTERM)\n"
        "main.main(os.environ)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "error: stopped by SIGTERM\n")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[service.Service]:
    monkeypatch.setattr("urllib3.util.retry.time.sleep", lambda _: None)
    with service.running() as found:
        yield found
    assert found.broken == []


_FAILED = {"verdict": "failed", "exit_status": 1, "headline": "FAIL"}


def test_an_artifact_has_outputs_and_a_place_in_the_summary(
    run: Run, server: service.Service, tmp_path: Path
) -> None:
    place = {
        "GITHUB_SERVER_URL": "https://host",
        "GITHUB_REPOSITORY": "owner/repo",
        "GITHUB_RUN_ID": "7",
    }
    infos = [report.StripInfo(path="out.mge.json", describes="packed", hash=0)]
    (tmp_path / "workspace" / "out.mge.json").write_text("{}")
    result = run(
        _report(strip_info=infos),
        given_by_runner={**server.environ, **place},
        upload="true",
        model="models/net.mge",
    )
    assert result.status == 0
    (name,) = server.finished
    assert name == "megdump-ci-models-net"
    archive = server.finished[name]
    with zipfile.ZipFile(io.BytesIO(archive)) as found:
        assert found.namelist() == ["out.mge", "out.mge.json", "SHA256SUMS"]
    assert result.outputs["verdict"] == "passed"
    assert result.outputs["artifact-id"] == "4294967297"
    digest = f"sha256:{hashlib.sha256(archive).hexdigest()}"
    assert result.outputs["artifact-digest"] == digest
    assert 'href="https://host/owner/repo/actions/runs/7/artifacts/4294967297"' in result.summary
    assert digest in result.summary
    assert result.annotations("error") == result.annotations("warning") == []


@pytest.mark.parametrize(
    ("upload", "when_passed", "when_failed"),
    [("true", 1, 1), ("on-failure", 0, 1), ("", 0, 1), ("false", 0, 0)],
)
def test_when_there_is_an_artifact(
    run: Run, server: service.Service, upload: str, when_passed: int, when_failed: int
) -> None:
    run(_report(), given_by_runner=server.environ, upload=upload)
    assert len(server.finished) == when_passed
    result = run(
        _report(**_FAILED), given_by_runner=server.environ, upload=upload, artifact_name="another"
    )
    assert len(server.finished) == when_passed + when_failed
    assert ("artifact-id" in result.outputs) is bool(when_failed)


def test_after_wrong_inputs_there_is_nothing_to_upload(run: Run, server: service.Service) -> None:
    assert run(_report(), given_by_runner=server.environ, upload="true", seed="x").status == 2
    assert server.seen == []


def test_a_promised_artifact_that_fails_is_an_error_and_the_verdict_stays(
    run: Run, server: service.Service
) -> None:
    server.faults["block"] = [service.Fault(status=403)]
    result = run(_report(), given_by_runner=server.environ, upload="true")
    assert result.status == ExitStatus.INPUT
    assert result.outputs["verdict"] == "passed"
    assert result.outputs["output"] == "out.mge"
    assert "artifact-id" not in result.outputs
    (error,) = result.annotations("error")
    assert error.message.startswith("no artifact: the storage did not take block 1: HTTP 403\n")
    assert "No artifact" in result.summary


def test_another_artifact_that_fails_is_a_warning(run: Run, server: service.Service) -> None:
    server.faults["CreateArtifact"] = [service.Fault(status=409)]
    result = run(_report(**_FAILED), given_by_runner=server.environ)
    assert result.status == ExitStatus.FAILED
    assert result.outputs["verdict"] == "failed"
    assert "already has an artifact named megdump-ci-model" in (
        result.annotations("warning")[-1].message
    )
    assert all("artifact" not in item.message for item in result.annotations("error"))


def test_a_job_that_is_cancelled_while_it_uploads_has_its_verdict(
    run: Run, server: service.Service, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[str] = []

    def stop(*_: object, **__: object) -> None:
        told.append((tmp_path / "commands" / "output").read_text())
        told.append((tmp_path / "commands" / "summary").read_text())
        os.kill(os.getpid(), signal.SIGTERM)
        raise AssertionError("it went on")

    monkeypatch.setattr(Transport, "send", stop)
    earlier = signal.getsignal(signal.SIGTERM)
    result = run(_report(), given_by_runner=server.environ, upload="true")
    assert "verdict" in told[0]
    assert "passed" in told[1]
    assert result.outputs["verdict"] == "passed"
    assert result.status == ExitStatus.INPUT
    assert "stopped by SIGTERM" in result.annotations("error")[0].message
    assert signal.getsignal(signal.SIGTERM) is earlier


def test_a_fault_of_the_upload_is_one_of_the_program_and_the_verdict_stays(
    run: Run, server: service.Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Transport, "send", fail)
    result = run(_report(), given_by_runner=server.environ, upload="true")
    assert result.status == ExitStatus.INTERNAL
    assert result.outputs["verdict"] == "passed"
    assert "Traceback" in result.log
    assert "ZeroDivisionError" in result.annotations("error")[0].message


def test_what_a_service_says_is_not_obeyed(run: Run, server: service.Service) -> None:
    said = b'{"msg": "\\n::error::evil\\r##[error]evil <b>evil</b>"}'
    server.faults["CreateArtifact"] = [service.Fault(status=400, body=said)]
    result = run(_report(), given_by_runner=server.environ, upload="true")
    (error,) = result.annotations("error")
    assert error.message.startswith("no artifact: ")
    assert "<b>" not in result.summary
