"""What is given: command lines, inputs of the action, project files, plans and packed files."""

from __future__ import annotations

import contextlib
import io
import struct
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from megdump_ci import cli, packed
from megdump_ci.action import inputs
from megdump_ci.errors import InputError
from megdump_ci.gates import Limits
from megdump_ci.options import COMMANDS, OptionSpec, PackOptions, checked, specs, to_argv
from megdump_ci.project import file, matrix
from megdump_ci.testcase import transform
from tests.fuzz.target import Target, altered, file_of, mutated

PIECES = "=,:;@#.-+e019 \tnaif_\n\"'[]{}\\é٣/"
_TEXTS = st.text(PIECES, max_size=12) | st.text(max_size=8).filter(lambda text: "\0" not in text)
_NUMBERS = (
    st.integers(-(10**20), 10**20).map(str)
    | st.floats().map(repr)
    | st.sampled_from(("1_0", "0x1", "1e400", "-0", " 1 ", "٣", "infinity", "1e-4", "", "9" * 5000))
)
_LIMITS = st.builds("{}={}".format, _TEXTS, _NUMBERS) | _NUMBERS | _TEXTS


def values(spec: OptionSpec) -> st.SearchStrategy[str]:
    """Texts that could be values of an option."""
    if spec.choices:
        return st.sampled_from(spec.choices) | _TEXTS
    if spec.kind is Limits:
        return _LIMITS
    return (_NUMBERS | _TEXTS) if spec.kind in (int, float) else _TEXTS


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """Words for a command, some of which it knows."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    known = specs(COMMANDS[name][0])
    words = [draw(_TEXTS) for spec in known if spec.positional and draw(st.integers(0, 9))]
    required = [spec for spec in known if spec.required and not spec.positional]
    for spec in [*required, *draw(st.lists(st.sampled_from(known), max_size=5))]:
        if spec.positional:
            continue
        flag = draw(st.sampled_from([f"--{spec.name}", f"--no-{spec.name}", spec.short or "-x"]))
        flag = f"--{spec.name}" if draw(st.integers(0, 4)) else flag
        if spec.kind is bool:
            words.append(flag)
        else:
            text = draw(values(spec))
            words += draw(st.sampled_from(([flag, text], [f"{flag}={text}"])))
    return [name, *words, *draw(st.lists(_TEXTS, max_size=1))]


def check_command_line(words: list[str]) -> bool:
    """A command line is refused with exit status 2, or its options give the same ones again."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
            found = cli.parse(words)
    except SystemExit as error:
        asked = any(word in ("-h", "--help", "--version") for word in words)
        assert error.code == 2 or (asked and error.code == 0), error.code
        assert error.code == 0 or said.getvalue().startswith("megdump-ci")
        return False
    again = cli.parse([words[0], *to_argv(found)])
    # By their text, in which NaN is equal to itself.
    assert repr(again) == repr(found), to_argv(found)
    for spec in specs(type(found)):
        value = getattr(found, spec.field)
        if spec.kind is Limits:
            assert repr(Limits.parse(value.texts())) == repr(value)
    try:
        checked(found)  # type: ignore[arg-type]
    except InputError as error:
        assert all(problem.message for problem in error.problems)
        return False
    return True


def environments() -> st.SearchStrategy[dict[str, str]]:
    """What a runner gives to the action, and what it does not."""
    known = inputs.action_specs()

    @st.composite
    def cases(draw: st.DrawFn) -> dict[str, str]:
        found = {"INPUT_MODEL": "m.mge", "INPUT_DATA": "#rand(0,1)", "INPUT_OUTPUT": "o.mge"}
        for spec in draw(st.lists(st.sampled_from(known), max_size=6)):
            name = spec.name.upper()
            name = draw(st.sampled_from((name, name.replace("-", "_"))))
            lines = draw(st.lists(values(spec) | st.sampled_from(("true", "False")), max_size=3))
            found[f"INPUT_{name}"] = "\n".join(lines)
        if draw(st.integers(0, 9)) == 0:
            found[f"INPUT_{draw(_TEXTS)}"] = draw(_TEXTS) + "\udcff"
        return found

    return cases()


def check_environment(environ: dict[str, str]) -> bool:
    """The inputs are refused, or are those of the command with the same values."""
    inputs.unknown(environ)
    try:
        found = inputs.read(environ)
    except InputError as error:
        assert all(problem.message for problem in error.problems)
        return False
    inputs.texts(found)
    if found.action.of_config:
        return True
    again = cli.parse(["pack", *to_argv(replace(found.pack, report=found.pack.report))])
    assert isinstance(again, PackOptions)
    # What the action turns on by default, a command line cannot turn off.
    names = [spec.field for spec in specs(PackOptions) if spec.field not in inputs.DEFAULTS]
    for name in names:
        assert repr(getattr(again, name)) == repr(getattr(found.pack, name)), name
    return True


_LARGE = (str(10**22), "9" * 5000, f"0x{'f' * 5000}", "[" * 2000, "[[[1]]]", f"{'9' * 400}")


@st.composite
def configs(draw: st.DrawFn) -> str:
    """Project files."""
    known = specs(PackOptions)

    def table() -> str:
        lines = []
        for spec in draw(st.lists(st.sampled_from(known), max_size=3, unique_by=lambda s: s.name)):
            plain = {bool: ("true", "false", "1"), int: ("1", "-1", *_LARGE)}
            texts = ('"{stem}.mge"', '"{x}"', '"a\\u0000b"', '["a"]', "nan", "1e9", *_LARGE)
            options = plain.get(spec.kind, texts)
            lines.append(f"{spec.name} = {draw(st.sampled_from(options))}")
        return "\n".join(lines)

    models = draw(st.integers(1, 3))
    path = st.sampled_from(("*.mge", "**/*", "../*", "/etc/*", "m.mge", "x.py:net", "[", "m.mge*"))
    parts = [f"[defaults]\ndata = '#rand(0,1)'\noutput = '{{name}}.out'\n{table()}"]
    parts += [f"[[model]]\npath = '{draw(path)}'\n{table()}" for _ in range(models)]
    return "\n".join(parts)


def check_config(text: str) -> bool:
    """A project file is refused with its lines, or has entries that are right by themselves."""
    with file_of(text.encode(errors="surrogateescape"), "megdump.toml") as path:
        (path.parent / "m.mge").touch()
        try:
            project = file.read(str(path))
        except InputError as error:
            assert all(problem.message for problem in error.problems)
            return False
    assert project.entries
    for entry in project.entries:
        assert entry.options.problems() == [], entry
    return True


def check_plan(text: str) -> bool:
    """A plan is refused, or names entries."""
    try:
        found = matrix.planned_in(text)
    except InputError:
        return False
    assert all(isinstance(item, str) for pair in found.items() for item in pair)
    return True


_PLANS = st.sampled_from(
    ('{"include":[{"name":"a","model":"m","entry":"a"}]}', '["a", "b"]', "[]", "{}", "[1]")
)


@dataclass(frozen=True)
class Packing:
    """The bytes of a packed file, or of a bare model."""

    content: bytes


@st.composite
def packings(draw: st.DrawFn) -> Packing:
    """Files with parts of either format, whose lengths may be wrong."""

    def part() -> bytes:
        body = draw(st.binary(max_size=24))
        if draw(st.booleans()):
            return struct.pack("<I", len(body) + 8) + b"\x1c\0\0\0mgv2" + body
        head = b"MGBC" + bytes(12) + struct.pack("<Q", len(body))
        return head + body + struct.pack("<I", len(body)) + body

    parts = [part() for _ in range(draw(st.integers(1, 3)))]
    count = len(parts) - 1 if draw(st.integers(0, 3)) else draw(st.integers(0, 2**32 - 1))
    content = draw(st.sampled_from((packed.header(count), b""))) + b"".join(parts)
    return Packing(draw(st.just(content) | altered(st.just(content))))


def check_packing(case: Packing) -> bool:
    """A file is refused, or its parts are behind each other and make up all of it."""
    with file_of(case.content, "model.mge") as path, path.open("rb") as opened:
        try:
            format = packed.model_format(opened, "model.mge")
        except packed.FormatError as error:
            assert error.problems[0].hint
        else:
            assert format in ("fbs", "fbs_v2")
            assert packed.model_content(opened, "model.mge") == (format, case.content)
        try:
            layout = packed.read_layout(opened, "model.mge")
        except packed.FormatError as error:
            assert error.problems[0].hint
            return False
        parts = [layout.graph, *layout.testcases]
        content = b"".join(packed.read(opened, part) for part in parts)
    assert packed.header(len(parts) - 1) + content == case.content
    return True


def check_text(text: str) -> bool:
    """Any text is parsed as a transform, or refused with the place."""
    try:
        transform.parse(text)
    except InputError as error:
        assert "^" in error.problems[0].message
        return False
    return True


def _targets() -> tuple[Target, ...]:
    anything: st.SearchStrategy[Any] = st.text(max_size=40)
    return (
        Target("command lines", command_lines(), check_command_line),
        Target("inputs", environments(), check_environment),
        Target("project files", configs() | mutated(configs(), PIECES), check_config),
        Target("plans", _PLANS | mutated(_PLANS, PIECES) | anything, check_plan),
        Target("layouts", packings(), check_packing),
        Target("texts", anything | st.text("()[]{}-~,:.*0a ", max_size=400), check_text),
    )


TARGETS = _targets()
