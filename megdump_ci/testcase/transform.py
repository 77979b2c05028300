"""``--input-transform``: an expression over ``data`` and ``np`` that is never run as Python.

The text often comes from a workflow file of a pull request, so it is parsed with :mod:`ast`,
checked here against :mod:`~megdump_ci.testcase.allowed`, and computed by the interpreter in
:mod:`~megdump_ci.testcase.evaluate`. Imports no numpy, so that a bad expression is answered at
once.
"""

from __future__ import annotations

import ast
import difflib
import functools
import io
import tokenize
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from megdump_ci.errors import InputError
from megdump_ci.testcase import allowed
from megdump_ci.testcase.allowed import Signature
from megdump_ci.testcase.faults import SyntaxFault, shortened

if TYPE_CHECKING:
    from numpy.typing import NDArray

LENGTH_LIMIT = 2000
"""Characters of an expression."""
NODE_LIMIT = 500
DEPTH_LIMIT = 60
"""The nodes of its syntax tree, and how deep they may be nested."""
INTEGER_LIMIT = 2**63
"""Integers below it, in absolute value; larger ones would make numpy fall back to objects."""

_HINT = "an expression over data and np, such as '(data - 127.5) / 128' or 'np.clip(data, 0, 1)'"


@dataclass(frozen=True)
class Transform:
    """A checked expression; call it with the data."""

    text: str
    tree: ast.expr

    def __call__(self, array: NDArray[Any]) -> NDArray[Any]:
        """The value of the expression for ``data = array``.

        Raises :class:`InputError` if it fails or does not give an array of numbers.
        """
        from megdump_ci.testcase.evaluate import evaluate

        return evaluate(self.text, self.tree, array)


@functools.lru_cache(maxsize=16)
def parse(text: str) -> Transform:
    """The checked expression ``text``.

    Raises :class:`InputError` with the place and the name of what is not allowed.
    """
    text = text.strip()
    try:
        tree = _tree(text)
        _Check(text).value(tree, 0)
    except SyntaxFault as fault:
        problem = fault.problem(text)
        raise InputError(f"input transform: {problem.message}", problem.hint) from fault
    return Transform(text, tree)


def position(text: str, node: ast.AST) -> int:
    """Where ``node`` begins in ``text`` (from 0)."""
    return _position(text, getattr(node, "lineno", 1), getattr(node, "col_offset", 0))


def _position(text: str, line: int, byte: int) -> int:
    lines = text.splitlines(keepends=True)
    before = sum(len(part) for part in lines[: line - 1])
    inside = lines[line - 1].encode()[:byte] if line <= len(lines) else b""
    return min(before + len(inside.decode(errors="replace")), max(len(text) - 1, 0))


def _tree(text: str) -> ast.expr:
    if not text:
        raise SyntaxFault("the expression is empty", 0, _HINT)
    if len(text) > LENGTH_LIMIT:
        message = f"it has {len(text)} characters; {LENGTH_LIMIT} are allowed"
        raise SyntaxFault(message, LENGTH_LIMIT, _HINT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text, mode="eval").body
    except SyntaxError as error:
        at = (error.offset or 1) - 1
        lines = text.splitlines(keepends=True)
        at += sum(len(part) for part in lines[: (error.lineno or 1) - 1])
        raise SyntaxFault(str(error.msg), min(max(at, 0), len(text)), _HINT) from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxFault(f"it cannot be parsed: {error}", 0, _HINT) from error
    _check_names(text)
    count = sum(1 for _ in ast.walk(tree))
    if count > NODE_LIMIT:
        raise SyntaxFault(f"it has {count} parts; {NODE_LIMIT} are allowed", 0, _HINT)
    return tree


def _check_names(text: str) -> None:
    """Refuse names with other letters: Python takes some of them for those that they look like."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NAME and not token.string.isascii():
                line, column = token.start
                before = text.splitlines(keepends=True)[: line - 1]
                at = min(sum(map(len, before)) + column, len(text) - 1)
                name = shortened(token.string)
                raise SyntaxFault(
                    f"'{name}' is not allowed: names are of letters a to z", at, _HINT
                )
    except (SyntaxError, tokenize.TokenError) as error:
        raise SyntaxFault(f"it cannot be parsed: {error.args[0]}", 0, _HINT) from error


_OPERATORS = (
    *(ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow, ast.MatMult),
    *(ast.BitAnd, ast.BitOr, ast.BitXor, ast.LShift, ast.RShift),
)
_UNARY = (ast.UAdd, ast.USub, ast.Invert)
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)

_WORDS: dict[type[ast.AST], str] = {
    ast.BoolOp: "'and'/'or'",
    ast.Not: "'not'",
    ast.IfExp: "'if'/'else'",
    ast.Lambda: "a lambda",
    ast.ListComp: "a comprehension",
    ast.SetComp: "a comprehension",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a generator expression",
    ast.JoinedStr: "a format string",
    ast.NamedExpr: "':='",
    ast.Starred: "'*'",
    ast.Dict: "a dict",
    ast.Set: "a set",
    ast.Await: "'await'",
    ast.Yield: "'yield'",
    ast.YieldFrom: "'yield'",
    ast.Is: "'is'",
    ast.IsNot: "'is not'",
    ast.In: "'in'",
    ast.NotIn: "'not in'",
}
_INSTEAD = {
    ast.BoolOp: "write & and | between arrays, with each comparison in parentheses",
    ast.Not: "write ~ before an array",
    ast.IfExp: "write np.where(condition, a, b)",
}


class _Check:
    """Refuses every node that :mod:`~megdump_ci.testcase.evaluate` does not know."""

    def __init__(self, text: str) -> None:
        self.text = text

    def value(self, node: ast.expr, depth: int) -> None:
        """Check an expression whose value is used."""
        if depth > DEPTH_LIMIT:
            raise self.fault(node, f"it is nested more than {DEPTH_LIMIT} deep")
        depth += 1
        if isinstance(node, ast.Constant):
            self.constant(node)
        elif isinstance(node, ast.Name):
            self.name(node)
        elif isinstance(node, ast.Attribute):
            self.attribute(node, depth)
        elif isinstance(node, ast.Call):
            self.call(node, depth)
        elif isinstance(node, (ast.BinOp, ast.UnaryOp, ast.Compare)):
            self.operation(node, depth)
        elif isinstance(node, (ast.Tuple, ast.List)):
            for item in node.elts:
                self.value(item, depth)
        elif isinstance(node, ast.Subscript):
            self.value(node.value, depth)
            self.index(node.slice, depth)
        else:
            self.refuse(node, node)

    def constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, str):
            raise self.fault(node, "a string is only allowed as dtype, order or mode")
        if value is Ellipsis:
            raise self.fault(node, "'...' is only allowed inside [ ]")
        if not (value is None or isinstance(value, (bool, int, float))):
            raise self.fault(node, f"a value of type {type(value).__name__} is not allowed")
        if isinstance(value, int) and abs(value) >= INTEGER_LIMIT:
            raise self.fault(node, "the integer is not below 2**63")

    def name(self, node: ast.Name) -> None:
        if node.id == "np":
            raise self.fault(node, "np alone is not a value; write np.NAME")
        if node.id != "data" and node.id not in allowed.OLD_DTYPES:
            raise self.fault(
                node, f"'{shortened(node.id)}' is not allowed; the names are data and np"
            )

    def attribute(self, node: ast.Attribute, depth: int) -> None:
        dotted = numpy_name(node)
        if dotted is None:
            if node.attr not in allowed.ATTRIBUTES:
                self.refuse_attribute(node)
            self.value(node.value, depth)
        elif dotted in allowed.FUNCTIONS and dotted not in allowed.DTYPES:
            raise self.fault(node, f"np.{dotted} is a function; call it: np.{dotted}(data)")
        elif dotted not in allowed.DTYPES | allowed.CONSTANTS | set(allowed.OLD_DTYPES):
            self.refuse_numpy(node, dotted)

    def call(self, node: ast.Call, depth: int) -> None:
        callee = node.func
        if isinstance(callee, ast.Name):
            if callee.id not in allowed.BUILTINS:
                raise self.fault(
                    callee,
                    f"'{shortened(callee.id)}' is not allowed; call np functions and array methods",
                )
            signature = allowed.BUILTINS[callee.id]
        elif isinstance(callee, ast.Attribute):
            dotted = numpy_name(callee)
            if dotted is not None:
                if dotted not in allowed.FUNCTIONS:
                    self.refuse_numpy(callee, dotted)
                signature = allowed.FUNCTIONS[dotted]
            else:
                if callee.attr not in allowed.METHODS:
                    self.refuse_attribute(callee)
                self.value(callee.value, depth)
                signature = allowed.METHODS[callee.attr]
        else:
            raise self.fault(callee, "only np functions and array methods can be called")
        self.arguments(node, signature, depth)

    def arguments(self, node: ast.Call, signature: Signature, depth: int) -> None:
        if len(node.args) > len(signature.positional):
            extra = node.args[len(signature.positional)]
            raise self.fault(extra, f"at most {len(signature.positional)} arguments without a name")
        for name, item in zip(signature.positional, node.args, strict=False):
            self.argument(name, item, depth)
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self.fault(keyword.value, "'**' is not allowed")
            if keyword.arg not in signature.keywords:
                known = ", ".join(sorted(signature.keywords)) or "none"
                raise self.fault(
                    keyword,
                    f"the argument '{shortened(keyword.arg)}' is not allowed here ({known})",
                )
            self.argument(keyword.arg, keyword.value, depth)

    def argument(self, name: str, node: ast.expr, depth: int) -> None:
        if name == "mode" and isinstance(node, ast.Constant) and node.value == "empty":
            raise self.fault(node, "mode 'empty' would give what happens to be in memory")
        if not (
            name in allowed.TEXT_PARAMETERS
            and isinstance(node, ast.Constant)
            and isinstance(node.value, str)
        ):
            self.value(node, depth)

    def operation(self, node: ast.BinOp | ast.UnaryOp | ast.Compare, depth: int) -> None:
        if isinstance(node, ast.BinOp):
            self.operator(node, node.op, _OPERATORS)
            self.value(node.left, depth)
            self.value(node.right, depth)
        elif isinstance(node, ast.UnaryOp):
            self.operator(node, node.op, _UNARY)
            self.value(node.operand, depth)
        elif len(node.ops) > 1:
            raise self.fault(
                node, "a chain of comparisons is not allowed", "write (a < data) & (data < b)"
            )
        else:
            self.operator(node, node.ops[0], _COMPARISONS)
            self.value(node.left, depth)
            self.value(node.comparators[0], depth)

    def index(self, node: ast.expr, depth: int) -> None:
        if isinstance(node, ast.Constant) and node.value is Ellipsis:
            return
        if isinstance(node, ast.Tuple):
            for item in node.elts:
                self.index(item, depth)
        elif isinstance(node, ast.Slice):
            for part in (node.lower, node.upper, node.step):
                if part is not None:
                    self.value(part, depth)
        else:
            self.value(node, depth)

    def operator(self, node: ast.expr, used: ast.AST, known: tuple[type[ast.AST], ...]) -> None:
        if not isinstance(used, known):
            self.refuse(node, used)

    def refuse(self, node: ast.expr, kind: ast.AST) -> None:
        word = _WORDS.get(type(kind), type(kind).__name__)
        raise self.fault(node, f"{word} is not allowed", _INSTEAD.get(type(kind), _HINT))

    def refuse_numpy(self, node: ast.Attribute, dotted: str) -> None:
        known = [*allowed.FUNCTIONS, *allowed.CONSTANTS]
        close = difflib.get_close_matches(dotted[:100], known, 1)
        hint = f"did you mean np.{close[0]}?" if close else _HINT
        if dotted.startswith("random"):
            hint = "for random data write --data '#rand(min,max)'"
        raise self.fault(node, f"np.{shortened(dotted)} is not allowed", hint)

    def refuse_attribute(self, node: ast.Attribute) -> None:
        known = {*allowed.ATTRIBUTES, *allowed.METHODS}
        if node.attr in allowed.METHODS:
            message = f"'.{node.attr}' is a method; call it: .{node.attr}(...)"
        elif node.attr in allowed.ATTRIBUTES:
            message = f"'.{node.attr}' cannot be called"
        else:
            message = f"'.{shortened(node.attr)}' is not allowed"
        raise self.fault(node, message, f"what arrays have here: {', '.join(sorted(known))}")

    def fault(self, node: ast.AST, message: str, hint: str = _HINT) -> SyntaxFault:
        at = position(self.text, node)
        if isinstance(node, ast.Attribute) and node.end_lineno is not None:
            # An attribute begins where its object does; the fault is in its name.
            end = _position(self.text, node.end_lineno, (node.end_col_offset or 1) - 1)
            at = max(at, end - len(node.attr) + 1)
        return SyntaxFault(message, at, hint)


def numpy_name(node: ast.Attribute) -> str | None:
    """``linalg.norm`` of ``np.linalg.norm``; None if the expression does not begin with np."""
    parts = [node.attr]
    inner = node.value
    while isinstance(inner, ast.Attribute):
        parts.append(inner.attr)
        inner = inner.value
    if isinstance(inner, ast.Name) and inner.id == "np":
        return ".".join(reversed(parts))
    return None
