"""The command line, from outside."""

import subprocess
import sys

import pytest

from megdump_ci import cli

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
        "print(sorted({'megengine', 'numpy', 'cv2', 'rich'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd="/")
    assert ran.stdout.strip() == "[]", ran.stderr
