"""The command line, from outside."""

import subprocess
import sys

import pytest

from megdump_ci import cli

COMMAND = [sys.executable, "-m", "megdump_ci"]
PACK = ["pack", "m.mge", "-d", "#rand(0,1)", "-o", "o.mge"]


def usage_error(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    with pytest.raises(SystemExit) as left:
        cli.parse(argv)
    assert left.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--enable-ncwh44", "--enable-nchw44"),
        ("--optimise-for-inference", "--optimize-for-inference"),
    ],
)
def test_a_misspelt_flag_is_answered_with_the_one_meant(
    capsys: pytest.CaptureFixture[str], given: str, meant: str
) -> None:
    assert f"did you mean {meant}?" in usage_error(capsys, *PACK, given)


def test_more_values_than_an_option_takes_are_answered_with_how_to_give_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = usage_error(capsys, *PACK, "--data", "#rand(0,1)", "#rand(0,2)")
    assert "unrecognized arguments: #rand(0,2)" in said
    assert "-d A -d B" in said


def test_abbreviations_are_not_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean --optimize-for-inference?" in usage_error(capsys, *PACK, "--optimize-for")


def test_the_misspelling_of_the_documentation_is_taken_with_a_note(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = cli.parse([*PACK, "--optimize-for-inference", "--enalbe-hwcd4"])
    assert options.enable_hwcd4  # type: ignore[union-attr]
    assert "--enalbe-hwcd4 is taken for --enable-hwcd4" in capsys.readouterr().err


ENGINE = {"megengine", "numpy", "cv2"}
PRESENTATION = {"rich", "jinja2", "pygal", "dulwich", "logging"}
RUNNING = {"msgspec", "subprocess", "socket", "ctypes", "hashlib"}
"""What only a run needs: report, engine processes, their box."""

_LOADED = """
import sys
{first}
try:
    status = {call}
except SystemExit as end:
    status = end.code
print(sorted({slow} & set(sys.modules)), status, file=sys.stderr)
"""


def loaded(slow: set[str], call: str, first: str = "from megdump_ci import cli") -> str:
    """Those of the slow modules that were, and the exit status: the last line of stderr."""
    program = _LOADED.format(first=first, call=call, slow=slow)
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd="/")
    return ran.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("argv", [["--help"], *([name, "--help"] for name in cli._COMMANDS)])
def test_help_does_not_load_what_is_slow(argv: list[str]) -> None:
    assert loaded(ENGINE | PRESENTATION | RUNNING | {"megdump_ci.inputs"}, _main(argv)) == "[] 0"


@pytest.mark.parametrize(
    "argv",
    [
        [*PACK, "--threads", "-1"],
        ["pack", "none.mge", "-d", "#rand(1", "-o", "/tmp/none/out.mge"],
        ["pack", "none.py:f", "-d", "@missing.txt", "-o", "out.mge", "--baseline", "none.mge"],
        ["verify", "none.mge", "--model", "none.mge", "--silent"],
        ["diff", "none.mge", "none.mge", "-d", "#rand(0,1)"],
        ["sweep", "none.mge", "-d", "#rand(0,1)"],
        ["export", "none.py:f", "-d", "#rand(0,1)", "-o", "out.mge"],
    ],
)
def test_wrong_input_is_answered_without_what_a_run_needs(argv: list[str]) -> None:
    slow = ENGINE | PRESENTATION | RUNNING | {"megdump_ci.pipeline", "megdump_ci.session"}
    assert loaded(slow, _main(argv)) == "[] 2"


@pytest.mark.parametrize(
    "argv", [["plan", "--config", "none"], ["run", "--config", "none"], ["merge", "none"]]
)
def test_wrong_input_of_many_models_is_answered_without_what_shows_them(argv: list[str]) -> None:
    assert loaded(ENGINE | {"rich", "jinja2", "pygal", "dulwich"}, _main(argv)) == "[] 2"


def test_a_report_of_wrong_input_needs_no_engine() -> None:
    first = "from megdump_ci import pipeline\nfrom megdump_ci.options import PackOptions"
    call = "int(pipeline.run(PackOptions(model='m', data=('#rand(1',), output='o')).exit_status)"
    assert loaded(ENGINE | PRESENTATION, call, first) == "[] 2"


def test_what_shows_a_report_is_not_loaded_before_the_engine_works() -> None:
    first = "from megdump_ci import pipeline\nfrom megdump_ci.present import many, terminal"
    assert loaded(ENGINE | {"rich", "jinja2", "pygal"}, "0", first) == "[] 0"


def _main(argv: list[str]) -> str:
    return f"int(cli.main({argv!r}))"


@pytest.mark.parametrize("argv", [["pack", "--nonsense"], ["--help"]])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_what_cannot_be_said_is_no_failed_comparison(argv: list[str], stream: str) -> None:
    other = "stderr" if stream == "stdout" else "stdout"
    with open("/dev/full", "wb") as full:
        ran = subprocess.run(COMMAND + argv, **{stream: full, other: subprocess.PIPE}, text=True)
    said = "--help" in argv and stream == "stderr"
    assert ran.returncode == (0 if said else 2)
    assert "Traceback" not in (ran.stderr or "")


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_change_nothing(closed: str, tmp_path: object) -> None:
    for argv, status in ((["--help"], 0), (["verify", "nothing.mge"], 2)):
        words = ["sh", "-c", f'"$@" {closed}', "sh", *COMMAND, *argv]
        ran = subprocess.run(words, capture_output=True, text=True, cwd="/")
        assert ran.returncode == status, ran.stderr
        assert "Traceback" not in ran.stderr
