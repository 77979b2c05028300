"""Computes a checked ``--input-transform``: a small interpreter over numpy.

It knows the nodes that :mod:`~megdump_ci.testcase.transform` lets through and nothing else. Each
intermediate value is a number, an array of numbers, a dtype, None, or a tuple or list of these.
"""

from __future__ import annotations

import ast
import operator
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from megdump_ci.errors import InputError
from megdump_ci.testcase import allowed, growth
from megdump_ci.testcase.allowed import Signature
from megdump_ci.testcase.faults import SyntaxFault, shortened
from megdump_ci.testcase.inputs import Array
from megdump_ci.testcase.transform import INTEGER_LIMIT, numpy_name, position

TIME_LIMIT = 60
"""Seconds for one array; looked at before each step, none of which takes longer by itself."""

_NUMERIC = "biuf"
_BITS = 64

_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
    ast.MatMult: operator.matmul,
    ast.BitAnd: operator.and_,
    ast.BitOr: operator.or_,
    ast.BitXor: operator.xor,
    ast.LShift: operator.lshift,
    ast.RShift: operator.rshift,
}
_UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
    ast.Invert: operator.invert,
}
_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


def evaluate(text: str, tree: ast.expr, data: Array) -> Array:
    """The value of ``tree``, which was parsed from ``text``, with ``data`` as its data.

    Raises :class:`InputError` if a step fails, grows too large or gives something that is not made
    of numbers, and if the result is no array.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            result = _Interpreter(text, data).value(tree)
        except SyntaxFault as fault:
            problem = fault.problem(text)
            raise InputError(f"input transform: {problem.message}", problem.hint) from fault
    if not isinstance(result, np.ndarray) or result.ndim == 0:
        raise InputError(
            f"the input transform '{shortened(text)}' gives {_described(result)}, not an array",
            "give an expression whose value is the whole array, such as '(data - 127.5) / 128'",
        )
    return result


class _Held:
    """The memory of the intermediate values that are still there, in bytes."""

    def __init__(self, data: Array) -> None:
        self._owners = {id(_owner(data))}
        self._bytes = 0

    def add(self, value: Any) -> None:
        """Count ``value`` until it is gone; :class:`InputError` if there is too much."""
        if not isinstance(value, np.ndarray):
            return
        owner = _owner(value)
        if id(owner) not in self._owners:
            self._owners.add(id(owner))
            self._bytes += owner.nbytes
            weakref.finalize(owner, self._release, id(owner), owner.nbytes).atexit = False
        growth.check_held(self._bytes)

    def _release(self, owner: int, size: int) -> None:
        self._owners.discard(owner)
        self._bytes -= size


def _owner(array: Array) -> Array:
    """The array that has the memory that ``array`` may be a view of."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


class _Interpreter:
    def __init__(self, text: str, data: Array) -> None:
        self.text = text
        self.data = data
        self.held = _Held(data)
        self.end = time.monotonic() + TIME_LIMIT

    def value(self, node: ast.expr) -> Any:
        """The value of an expression."""
        if isinstance(node, ast.Constant):
            return node.value
        if isinstance(node, ast.Name):
            return self.data if node.id == "data" else _dtype_named(node.id)
        if isinstance(node, ast.Tuple):
            return tuple(self.value(item) for item in node.elts)
        if isinstance(node, ast.List):
            return [self.value(item) for item in node.elts]
        with self.faults_at(node):
            value = _checked(self.step(node))
            self.held.add(value)
            return value

    def step(self, node: ast.expr) -> Any:
        """The value of an expression that has to be computed."""
        if time.monotonic() > self.end:
            raise InputError(
                f"the transform takes longer than {TIME_LIMIT} seconds for one array",
                "transform the data beforehand, and give the result as .npy",
            )
        if isinstance(node, ast.Attribute):
            return self.attribute(node)
        if isinstance(node, ast.Call):
            return self.call(node)
        if isinstance(node, ast.Subscript):
            return self.subscript(node)
        if isinstance(node, ast.BinOp):
            return _binary(node.op, self.value(node.left), self.value(node.right))
        if isinstance(node, ast.UnaryOp):
            return _UNARY[type(node.op)](_single(self.value(node.operand)))
        if isinstance(node, ast.Compare):
            left, right = _pair(self.value(node.left), self.value(node.comparators[0]))
            growth.check(growth.broadcast(left, right))
            return _COMPARE[type(node.ops[0])](left, right)
        raise TypeError(f"{type(node).__name__} is not allowed")

    def attribute(self, node: ast.Attribute) -> Any:
        dotted = numpy_name(node)
        if dotted is None:
            return getattr(_array(self.value(node.value)), node.attr)
        if dotted in allowed.CONSTANTS:
            return getattr(np, dotted)
        return _dtype_named(dotted)

    def call(self, node: ast.Call) -> Any:
        if isinstance(node.func, ast.Name):
            function: Any = {"abs": abs, "float": float, "int": int, "len": len}[node.func.id]
            return self.apply(function, allowed.BUILTINS[node.func.id], node, {})
        if not isinstance(node.func, ast.Attribute):
            raise TypeError("only np functions and array methods can be called")
        dotted = numpy_name(node.func)
        if dotted is not None:
            function = operator.attrgetter(dotted)(np)
            return self.apply(function, allowed.FUNCTIONS[dotted], node, {})
        array = _array(self.value(node.func.value))
        function = getattr(array, node.func.attr)
        return self.apply(function, allowed.METHODS[node.func.attr], node, {"a": array})

    def apply(
        self, function: Any, signature: Signature, node: ast.Call, own: dict[str, Any]
    ) -> Any:
        arguments = [
            self.argument(name, item)
            for name, item in zip(signature.positional, node.args, strict=False)
        ]
        named = {
            item.arg: self.argument(item.arg, item.value)
            for item in node.keywords
            if item.arg is not None
        }
        by_position = dict(zip(signature.positional, arguments, strict=False))
        growth.check_call(signature.growth, {**own, **by_position, **named})
        return function(*arguments, **named)

    def argument(self, name: str, node: ast.expr) -> Any:
        value = self.value(node)
        if name == "dtype":
            return _dtype(value)
        if name in allowed.ARRAY_PARAMETERS or (
            name in allowed.BOUND_PARAMETERS and value is not None
        ):
            return _operand(value)
        if name in allowed.ARRAYS_PARAMETERS:
            items = list(value) if isinstance(value, (list, tuple)) else _operand(value)
            return [_operand(item) for item in items] if isinstance(items, list) else items
        if not isinstance(value, str):
            _check_plain(value)
        return value

    def subscript(self, node: ast.Subscript) -> Any:
        value = self.value(node.value)
        index = self.index(node.slice)
        if isinstance(value, (tuple, list)):
            return value[index]
        array = _array(value)
        growth.check(growth.indexed(array, index))
        return array[index]

    def index(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Tuple):
            return tuple(self.index(item) for item in node.elts)
        if isinstance(node, ast.Slice):
            parts = (node.lower, node.upper, node.step)
            return slice(*(None if part is None else _whole(self.value(part)) for part in parts))
        value = self.value(node)
        if value is None or value is Ellipsis or isinstance(value, (bool, int, np.generic)):
            return value
        return _operand(value)

    @contextmanager
    def faults_at(self, node: ast.expr) -> Iterator[None]:
        """What goes wrong inside is told with the place of ``node``."""
        try:
            yield
        except InputError as error:
            problem = error.problems[0]
            raise SyntaxFault(problem.message, position(self.text, node), problem.hint) from error
        # What numpy raises when shapes, axes, dtypes, indices or values do not fit.
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            MemoryError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            words = " ".join(str(error).split()) or type(error).__name__
            raise SyntaxFault(
                f"{shortened(words, 300)}",
                position(self.text, node),
                f"data has shape {self.data.shape} and dtype {self.data.dtype}",
            ) from error


def _binary(op: ast.operator, left: Any, right: Any) -> Any:
    if isinstance(op, ast.Add) and type(left) is type(right) and isinstance(left, (tuple, list)):
        return left + right
    left, right = _pair(left, right)
    if isinstance(left, int) and isinstance(right, int):
        _check_integers(op, left, right)
    if isinstance(op, ast.MatMult):
        growth.check_product(left, right)
    else:
        growth.check(growth.broadcast(left, right))
    return _BINARY[type(op)](left, right)


def _check_integers(op: ast.operator, left: int, right: int) -> None:
    """Python's integers grow without a limit, and so would the time to compute them."""
    if isinstance(op, ast.Pow) and right > 0 and abs(left) > 1:
        too_large = left.bit_length() * right > 2 * _BITS
    else:
        too_large = isinstance(op, ast.LShift) and right > _BITS
    if too_large:
        raise OverflowError("the integer is not below 2**63; write a float, such as 2.0")


def _pair(left: Any, right: Any) -> tuple[Any, Any]:
    """Both operands, for an operator that is numpy's and not that of Python's sequences."""
    if not (isinstance(left, np.ndarray) or isinstance(right, np.ndarray)):
        return _single(left), _single(right)
    return _operand(left), _operand(right)


def _single(value: Any) -> Any:
    """``value`` as an operand where no array beside it makes one of a list."""
    if isinstance(value, (tuple, list)):
        raise TypeError(f"{_described(value)} is no array; write np.array(...)")
    return _operand(value)


def _operand(value: Any) -> Any:
    """``value`` as something that numpy can compute with: a number or an array of numbers."""
    if isinstance(value, (tuple, list)):
        _check_plain(value)
        growth.check(sum(int(np.size(item)) for item in value))
        value = np.asarray(value)
        if value.dtype.kind not in _NUMERIC:
            raise TypeError(
                "the list makes an array of objects: it has rows of different length, or None"
            )
    if isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in _NUMERIC:
        return value
    raise TypeError(f"{_described(value)} is no number and no array of numbers")


def _array(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return value
    raise TypeError(f"{_described(value)} is no array")


def _whole(value: Any) -> Any:
    if value is None or isinstance(value, (int, np.integer)):
        return value
    raise TypeError(f"a slice takes integers, not {_described(value)}")


def _check_plain(value: Any) -> None:
    """Numbers, arrays, None, and tuples and lists of them."""
    if isinstance(value, (tuple, list)):
        for item in value:
            _check_plain(item)
    elif value is not None and not isinstance(value, (bool, int, float)):
        _array(value)


def _checked(value: Any) -> Any:
    """``value`` if an intermediate result can be that."""
    if isinstance(value, int) and abs(value) >= INTEGER_LIMIT:
        raise OverflowError("the integer is not below 2**63; write a float, such as 2.0")
    if isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind not in _NUMERIC:
            raise TypeError(f"the result is of dtype {value.dtype} and not of numbers")
    elif not (
        value is None or isinstance(value, (int, float, tuple, list, np.dtype)) or _is_dtype(value)
    ):
        raise TypeError(f"the result is {_described(value)}")
    return value


def _is_dtype(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, np.generic)


def _dtype_named(name: str) -> Any:
    return getattr(np, allowed.OLD_DTYPES.get(name, name))


def _dtype(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, (str, np.dtype)) or _is_dtype(value):
        try:
            dtype = np.dtype(value)
        except (TypeError, ValueError, SyntaxError) as error:
            raise TypeError(f"'{shortened(str(value))}' is no dtype") from error
        if dtype.kind in _NUMERIC:
            return dtype
    raise TypeError(f"{_described(value)} is no dtype of numbers, such as np.float32")


def _described(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    if isinstance(value, str):
        return f"'{shortened(value)}'"
    if value is None or isinstance(value, (bool, int, float, np.generic)):
        return f"the value {value}"
    if _is_dtype(value):
        return f"the dtype {value.__name__}"
    return f"a {type(value).__name__}"
