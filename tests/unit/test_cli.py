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


def test_abbreviations_are_not_taken(capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean --optimize-for-inference?" in usage_error(capsys, *PACK, "--optimize-for")


def test_the_misspelling_of_the_documentation_is_taken_with_a_note(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = cli.parse([*PACK, "--optimize-for-inference", "--enalbe-hwcd4"])
    assert options.enable_hwcd4  # type: ignore[union-attr]
    assert "--enalbe-hwcd4 is taken for --enable-hwcd4" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["--help"], ["pack", "--help"], ["verify", "--help"]])
def test_help_does_not_load_what_is_slow(argv: list[str]) -> None:
    program = (
        "import sys\nfrom megdump_ci import cli\n"
        f"try:\n    cli.main({argv!r})\nfinally:\n"
        "    loaded = {'megengine', 'numpy', 'cv2', 'rich'} & set(sys.modules)\n"
        "    print(sorted(loaded), file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.returncode == 0
    assert ran.stderr.strip() == "[]"


def test_wrong_options_and_specs_do_not_load_the_engine(tmp_path: object) -> None:
    program = (
        "import sys\nfrom megdump_ci import pipeline\nfrom megdump_ci.options import PackOptions\n"
        "for data in ('#rand(1', '@missing.txt'):\n"
        "    report = pipeline.run(PackOptions(model='m', data=(data,), output='o'))\n"
        "    assert report.exit_status == 2, report\n"
        "slow = {'megengine', 'numpy', 'cv2', 'rich', 'jinja2', 'pygal', 'dulwich', 'logging'}\n"
        "print(sorted(slow & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd="/")
    assert ran.stdout.strip() == "[]", ran.stderr


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
