"""Reading megdump.toml."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from megdump_ci.errors import InputError
from megdump_ci.gates import Limits
from megdump_ci.options import PackOptions
from megdump_ci.project import file
from tests.unit.project.support import LEAST, made, read, refused

DATA = 'data = "#rand(0,1)"\n'


def test_an_entry_has_the_options_of_pack(tmp_path: Path) -> None:
    text = (
        '[defaults]\ndata = ["@list.txt", "b.npy"]\nseed = 3\nenable_nchw44 = true\n\n'
        '[[model]]\npath = "a.mge"\noutput = "o"\noptimize-for-inference = true\ntimeout = 5\n'
        'maxerr = [1e-3, "logits=0.5"]\nmin-sqnr = 40\nseed = 4\n'
    )
    (entry,) = read(tmp_path, text).entries
    assert entry.name == "a"
    assert entry.options == PackOptions(
        model="a.mge",
        name="a",
        data=("@list.txt", "b.npy"),
        output="o",
        seed=4,
        enable_nchw44=True,
        optimize_for_inference=True,
        timeout=5.0,
        maxerr=Limits(1e-3, {"logits": 0.5}),
        min_sqnr=Limits(40.0),
    )
    assert type(entry.options.timeout) is float
    assert "timeout" in entry.given
    assert "threads" not in entry.given


def test_a_pattern_makes_an_entry_of_each_file(tmp_path: Path) -> None:
    text = (
        '[[model]]\npath = "m/**/*.mge"\nname = "{dir}-{stem}"\nreport = "r/{name}"\n'
        'data = ["@{dir}/{stem}.txt", "x{{y"]\noutput = "out/{dir}/{name}.packed"\n'
    )
    files = ("m/b.mge", "m/deep/er/a.mge", "m/a.txt", "m/.hidden/c.mge")
    first, second = read(tmp_path, text, *files).entries
    assert [first.name, second.name] == ["m-b", "m-deep-er-a"]
    assert [first.options.model, second.options.model] == ["m/b.mge", "m/deep/er/a.mge"]
    assert second.options.data == ("@m/deep/er/a.txt", "x{y")
    assert second.options.output == "out/m/deep/er/m-deep-er-a.packed"
    assert second.options.report == "r/m-deep-er-a"


def test_code_is_a_model_too(tmp_path: Path) -> None:
    text = f'[[model]]\npath = "nets/*.py:Net"\n{DATA}output = "o/{{name}}"\n'
    entries = read(tmp_path, text, "nets/a.py", "nets/b.py").entries
    assert [entry.options.model for entry in entries] == ["nets/a.py:Net", "nets/b.py:Net"]
    assert [entry.name for entry in entries] == ["a.Net", "b.Net"]


def test_a_name_with_the_marks_of_a_pattern_is_a_file_first(tmp_path: Path) -> None:
    text = LEAST.replace("a.mge", "m[1].mge")
    assert read(tmp_path, text, "m[1].mge", "m1.mge").entries[0].options.model == "m[1].mge"


SEGMENTS = st.text("ab", min_size=1, max_size=2)


@given(
    files=st.sets(
        st.lists(SEGMENTS, min_size=1, max_size=3).map("/".join).map("{}.mge".format),
        min_size=1,
        max_size=8,
    ),
    pattern=st.lists(SEGMENTS | st.sampled_from(["*", "**", "a*", "?"]), max_size=3),
)
def test_patterns_take_what_they_say(
    files: set[str], pattern: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("project")
    whole = "/".join([*pattern, "*.mge"])
    # Each ** is any number of folders, everything else a part of one name.
    parts = [r"(?:[^/]+/)*" if part == "**" else fnmatch.translate(part)[4:-3] for part in pattern]
    expression = "".join(
        part if part.endswith("*") and "/" in part else f"{part.replace('.', '[^/]')}/"
        for part in parts
    )
    wanted = sorted(name for name in files if re.fullmatch(expression + r"[^/]*\.mge", name))
    text = f'[[model]]\npath = "{whole}"\nname = "{{dir}}-{{stem}}"\n{DATA}output = "o/{{name}}"\n'
    path = made(folder, text, *files)
    if not wanted:
        with pytest.raises(InputError):
            file.read(str(path))
        return
    assert [entry.options.model for entry in file.read(str(path)).entries] == wanted


def test_all_that_is_wrong_is_said_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
[defaults]
tiemout = 3
resize_input = "yes"
path = "a.mge"

[[model]]
path = "a.mge"
data = "#rand(0,1)"
output = "{nome}"
repeat = true
format = "onnx"
input-transform = '''
seed = 1
'''
seed = -1

[[model]]
model = "a.mge"

[[model]]
path = "b*.mge"
maxerr = "logits="

[modle]
"""
    found = refused(tmp_path, text, "a.mge")
    assert [(line, message) for line, message, _ in found] == [
        (2, "there is no key tiemout"),
        (3, 'resize-input is "yes"'),
        (4, "path has no default"),
        (9, "'{nome}' has the placeholder {nome} (entry 'a.mge')"),
        (10, "repeat is true (entry 'a.mge')"),
        (11, "format is 'onnx' (entry 'a.mge')"),
        (17, "a model has no path"),
        (18, "there is no key model"),
        (21, f"there is no file 'b*.mge' in {tmp_path}/ (entry 'b*.mge')"),
        (22, "maxerr: 'logits=' is no limit (entry 'b*.mge')"),
        (24, "there is no table modle"),
    ]
    assert all(hint for *_, hint in found)
    assert found[0][2] == "did you mean timeout?"
    assert found[-1][2] == "did you mean model?"


def test_what_the_options_refuse_has_the_line_of_its_key(tmp_path: Path) -> None:
    text = f'[defaults]\ntimeout = 0\n\n[[model]]\npath = "?.mge"\n{DATA}output = "o"\nseed = -1\n'
    found = refused(tmp_path, text, "a.mge", "b.mge")
    # Once, though two models have it.
    assert [item[:2] for item in found] == [
        (2, "timeout is 0"),
        (8, "seed is -1 (entry '?.mge')"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it lists no model"),
        ("model = 3", "model is no list of tables"),
        ('[model]\npath = "a.mge"', "model is no list of tables"),
        ("defaults = 3\n" + LEAST, "defaults is no table"),
        ('[[model]]\npath = ""\n', "path is no text, or empty"),
        ('[[model]]\npath = "a.mge"\noutput = "o"\n', "data is empty"),
        (f'[[model]]\npath = "a.mge"\n{DATA}', "output is empty"),
        (LEAST + "name = '../a'\n", "name is '../a'"),
        (LEAST + "name = ''\n", "the name is empty"),
        (LEAST + "name = '{name}'\n", "has the placeholder {name}"),
        (LEAST + "report = '{'\n", "has a brace"),
        (LEAST + "report = '{stem!r}'\n", "has the placeholder {stem}"),
        (LEAST + "watch = 'src/**'\n", "nothing called 'src/**'"),
        (LEAST + 'watch = "a\\u0000"\n', "the character U+0000"),
        (LEAST + "repeat = 1\nrepeat = 2\n", "this is no TOML"),
        (LEAST + "resize-input = true\nresize_input = true\n", "also given as resize-input"),
        (LEAST + "seed = 1979-05-27\n", 'seed is "1979-05-27"'),
        (LEAST + f"seed = {'9' * 5000}\n", "this TOML cannot be read"),
        (LEAST + f"seed = {'[' * 3000}\n", "this TOML cannot be read"),
        (LEAST + f"{'x.' * 3000}x = 1\n", "this TOML cannot be read"),
        (LEAST + f"timeout = {'9' * 400}\n", "more than the 64 bits"),
        (LEAST + f"watch = [[{{a = 0x{'f' * 5000}}}]]\n", "more than the 64 bits"),
        (LEAST.replace('"a.mge"', f"0x{'f' * 5000}"), "more than the 64 bits"),
        (LEAST + LEAST, "a.mge is called 'a', and so is a.mge"),
        (LEAST + LEAST.replace("{name}", "a") + 'name = "b"\n', "would both write out/a"),
        (LEAST.replace("out/{name}", "a.mge"), "would write over the model a.mge"),
        (LEAST + "deploy-output = 'out/a'\n", None),
        (LEAST.replace("a.mge", "*.mge").replace("out/{name}", "{stem}.packed.mge"), "would pack"),
        (
            LEAST + "report = '.'\n" + LEAST + 'name = "b"\nreport = "."\n',
            "both write ./report.json",
        ),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, said: str | None) -> None:
    if said is None:
        # One entry's own files are its own affair: pack says what is wrong with them.
        assert read(tmp_path, text).entries
        return
    found = refused(tmp_path, text)
    assert any(said in message for _, message, _ in found), found
    assert all(hint for *_, hint in found)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        file.read(str(tmp_path / "megdump.toml"))
    (tmp_path / "megdump.toml").write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8"):
        file.read(str(tmp_path / "megdump.toml"))


def test_entries_are_chosen_by_name_in_the_files_order(tmp_path: Path) -> None:
    project = read(tmp_path, LEAST.replace("a.mge", "*.mge"), "a.mge", "b.mge", "c.mge")
    assert [entry.name for entry in project.chosen(["c", "a"])] == ["a", "c"]
    assert len(project.chosen([])) == 3
    with pytest.raises(InputError, match="no entry 'd'"):
        project.chosen(["a", "d"])
    assert project.model_of(project.entries[0]) == str(tmp_path / "a.mge")
