"""The command line: one of the two doors to :func:`megdump_ci.pipeline.run`."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Sequence
from typing import IO, Any, NoReturn

from megdump_ci import __version__, stopping
from megdump_ci.errors import ExitStatus, InputError
from megdump_ci.gates import Limits
from megdump_ci.options import COMMANDS, GROUPS, Options, OptionSpec, limits_of, specs
from megdump_ci.project.options import MergeOptions, PlanOptions, ProjectOptions, RunOptions

_COMMANDS: dict[str, tuple[type[Options | ProjectOptions], str]] = {
    **COMMANDS,
    "run": (RunOptions, "pack and verify the models that megdump.toml lists"),
    "plan": (PlanOptions, "print those models as a matrix of jobs, or those that have changed"),
    "merge": (MergeOptions, "merge the reports that such jobs left, with one verdict"),
}

_MISSPELT = {"--enalbe-hwcd4": "--enable-hwcd4"}
"""Spellings of MegEngine's documentation that do not exist."""

_EPILOG = (
    "exit status: 0 passed, 1 a comparison failed, 2 wrong input (or stopped), 3 the engine failed,"
    " 4 a fault of megdump-ci"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; the exit status."""
    _open_closed()
    with stopping.at_once():
        return _run(argv)


def _run(argv: Sequence[str] | None) -> int:
    options = parse(sys.argv[1:] if argv is None else argv)
    # Not before the options are right, and only what they need: what reads files and specs, and
    # what looks for changes in a repository, take longer to load than a usage error may.
    if isinstance(options, ProjectOptions):
        from megdump_ci.present import many

        return many.run(options)
    from megdump_ci.present import terminal

    return terminal.run(options, own=argv is None)


def parse(argv: Sequence[str]) -> Options | ProjectOptions:
    """Options from a command line; exits with a message for a wrong one."""
    parser = _Parser(
        prog="megdump-ci",
        description="Pack a MegEngine model with testcases, verify the packed file, report.",
        epilog=_EPILOG,
        allow_abbrev=False,
    )
    commands = _add_commands(parser)
    found, unknown = parser.parse_known_args(_corrected(argv))
    values = vars(found)
    name = values.pop("command")
    if unknown:
        commands[name].reject(unknown)
    kind = _COMMANDS[name][0]
    try:
        return kind(**{spec.field: _value(spec, values[spec.field]) for spec in specs(kind)})
    except InputError as error:
        commands[name].error(error.problems[0].message, [error.problems[0].hint])


def _value(spec: OptionSpec, found: Any) -> Any:
    """The value of an option, of what argparse found."""
    if spec.kind is Limits:
        return limits_of(spec, found)
    return tuple(found) if spec.many else found


def _open_closed() -> None:
    """Let what was closed (``>&-``) lead nowhere, or the next file that is opened stands there."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), mode))


def _say(text: str, stream: IO[str]) -> None:
    """Print at once; exits with the status of a wrong input where there is no room for it."""
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        # Python would try again at its end, and then exit with a status of its own.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not isinstance(error, BrokenPipeError):
            raise SystemExit(ExitStatus.INPUT) from None


class _Parser(argparse.ArgumentParser):
    """Answers a wrong command line in the words of this program."""

    kind: type[Options | ProjectOptions] | None = None
    """What the command takes; ``None`` for the parser of all commands."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        # Not before it is asked: the options of all commands would take longer than all else.
        if self.kind is not None:
            _add_options(self, self.kind)
        return super().parse_known_args(args, namespace)

    def _print_message(self, message: str, file: Any = None) -> None:
        _say(message, file or sys.stderr)

    def error(self, message: str, hints: Sequence[str] = ()) -> NoReturn:
        lines = [f"{self.prog}: {message}", *hints, f"'{self.prog} --help' lists the options"]
        self.exit(ExitStatus.INPUT, "\n  ".join(lines) + "\n")

    def reject(self, unknown: Sequence[str]) -> NoReturn:
        """Exit for words that are no options, with what may have been meant."""
        known = [name for action in self._actions for name in action.option_strings]
        meant = [difflib.get_close_matches(word.split("=")[0], known, n=1) for word in unknown]
        hints = [f"did you mean {name}?" for names in meant for name in names]
        if "--data" in known and any(not word.startswith("-") for word in unknown):
            hints.append("each testcase has a --data of its own, as in -d A -d B")
        self.error(f"unrecognized arguments: {' '.join(unknown)}", hints)


def _add_commands(parser: _Parser) -> dict[str, _Parser]:
    parser.add_argument("--version", action="version", version=f"megdump-ci {__version__}")
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", required=True, parser_class=_Parser
    )
    added = {}
    for name, (kind, help) in _COMMANDS.items():
        added[name] = commands.add_parser(
            name, help=help, description=help, epilog=_EPILOG, allow_abbrev=False
        )
        added[name].kind = kind
    return added


def _add_options(parser: argparse.ArgumentParser, kind: type[Options | ProjectOptions]) -> None:
    groups: dict[str, argparse._ArgumentGroup] = {}
    for spec in specs(kind):
        if spec.group not in groups:
            groups[spec.group] = parser.add_argument_group(GROUPS[spec.group])
        _add_option(groups[spec.group], spec)


def _add_option(group: argparse._ArgumentGroup, spec: OptionSpec) -> None:
    help = spec.help.replace("%", "%%")
    if spec.positional:
        several: dict[str, Any] = {"nargs": "+" if spec.required else "*"} if spec.many else {}
        group.add_argument(spec.field, metavar=spec.metavar, help=help, **several)
        return
    flags = [spec.short, f"--{spec.name}"] if spec.short else [f"--{spec.name}"]
    if spec.kind is bool:
        action = argparse.BooleanOptionalAction if spec.default else "store_true"
        group.add_argument(*flags, action=action, dest=spec.field, default=spec.default, help=help)
        return
    limits = spec.kind is Limits
    default = spec.default.default if limits else spec.default
    if isinstance(default, int | float):
        help += f" (default: {default:g})"
    group.add_argument(
        *flags,
        dest=spec.field,
        type=str if limits else spec.kind,
        action="append" if spec.many else "store",
        required=spec.required,
        # What is appended to has to be a list, and is added to the default.
        default=[] if limits else list(default or ()) if spec.many else default,
        metavar=spec.metavar or None,
        choices=spec.choices or None,
        help=help,
    )


def _corrected(argv: Sequence[str]) -> list[str]:
    """``argv`` with known misspellings put right, each with a note."""
    words = []
    for word in argv:
        if word in _MISSPELT:
            _say(f"megdump-ci: note: {word} is taken for {_MISSPELT[word]}\n", sys.stderr)
        words.append(_MISSPELT.get(word, word))
    return words
