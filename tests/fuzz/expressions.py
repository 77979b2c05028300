"""``--input-transform``: what is accepted means what Python and numpy make of it."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from megdump_ci.errors import InputError
from megdump_ci.testcase import allowed, inputs, transform
from megdump_ci.testcase.inputs import Array
from tests.fuzz.target import Target, mutated

PIECES = "data np.()[]{},:=+-*/%@&|~<>!\"'0159eEjx_ \n\\\0é."
_ARRAY = (*allowed.ARRAY_PARAMETERS, *allowed.BOUND_PARAMETERS)
_NUMBERS = (
    st.integers(-4, 70).map(str)
    | st.sampled_from(("0", "1", "2", "-1", "0.5", "1e3", "255", "1e308", "None"))
    | st.sampled_from(("1000", "100000", "500000", "10**6", "2**62", "9" * 18))
)
_TEXTS = (
    st.sampled_from(("'float32'", "'f8'", "'i1'", "'>f4'", "'float128'", "np.float16", "bool"))
    | st.sampled_from(("'O'", "'V8'", "'f4,f4'", "'(9,)f4'", "'m8'", "'S4'", "np.uint64", "int"))
    | st.sampled_from(("'F'", "'C'", "'A'", "'K'", "'constant'", "'edge'", "'reflect'", "'wrap'"))
    | st.sampled_from(("'empty'", "'linear_ramp'", "'mean'", "'maximum'", "'symmetric'", "'x'"))
)
_USUAL = {
    "dtype": st.sampled_from(("np.float32", "'f4'", "np.int32", "np.float64", "float")),
    "order": st.sampled_from(("'C'", "'F'")),
    "mode": st.sampled_from(("'constant'", "'edge'", "'reflect'")),
    "axis": st.sampled_from(("0", "-1", "None")),
    "keepdims": st.sampled_from(("True", "False")),
    "newshape": st.sampled_from(("-1", "(-1,)", "data.shape", "(1, -1)")),
    "axes": st.sampled_from(("None",)),
    "shape": st.sampled_from(("data.shape", "(2, 3)", "4")),
    "pad_width": st.sampled_from(("0", "1", "2")),
    "reps": st.sampled_from(("1", "2", "(2, 1)", "1000")),
    "repeats": st.sampled_from(("0", "1", "2", "1000")),
    "decimals": st.sampled_from(("0", "2")),
}
"""What an argument mostly is where it is to be accepted."""
_ESCAPES = st.sampled_from(
    (
        "().__class__.__base__.__subclasses__()",
        "__import__('os')",
        "data.__array_interface__",
        "data.ctypes.data",
        "data.base",
        "data.tofile('x')",
        "data.dump('x')",
        "np.load('x')",
        "np.memmap('x')",
        "np.fromfile('x')",
        "np.lib.format",
        "np.ctypeslib",
        "np.core",
        "np.frompyfunc(abs,1,1)",
        "np.vectorize(abs)",
        "np.random.rand(1)",
        "data.__getattribute__('x')",
        "(lambda: 0)()",
        "[x for x in data]",
        "f'{data}'",
        "'{0}'.format(data)",
        "data.astype(object)",
        "data.view('O')",
        "data.setflags(write=1)",
        "np.array(data, object)",
        "data if data else np",
        "(data := 1)",
        "data.item.__self__",
        "np.empty(9)",
        "np.add.reduce(data)",
        "np.add(data, 1, out=data)",
        "np.put(data, 0, 1)",
        "data.resize(9)",
        "np.lib.stride_tricks.as_strided(data, (99,))",
    )
)


@dataclass(frozen=True)
class Case:
    """An expression and its data."""

    text: str
    data: Array


def arrays() -> st.SearchStrategy[str]:
    """Expressions that mostly have an array for a value."""

    def steps(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
        other = inner | st.sampled_from(("1", "2", "0.5", "255", "3.0", "np.pi"))
        operators = st.sampled_from(("+", "-", "*", "/", "//", "%", "**", "<", ">=", "=="))
        parts = ("...", "::-1", "None", "0", ":1", "1:", "data > 0", ":", "-1:")
        indices = st.lists(st.sampled_from(parts), min_size=1, max_size=3).map(", ".join)
        return (
            st.builds("({} {} {})".format, inner, operators, other)
            | st.builds("-{}".format, inner)
            | st.builds("({})[{}]".format, inner, indices)
            | _calls(inner, "np.", allowed.FUNCTIONS)
            | _calls(inner, "np.", allowed.FUNCTIONS)
            | st.builds("({}){}".format, inner, _calls(inner, ".", allowed.METHODS))
            | st.builds("({}).T".format, inner)
        )

    return st.recursive(st.just("data"), steps, max_leaves=6)


def expressions() -> st.SearchStrategy[str]:
    """Expressions of what is allowed, of any size, and now and then of what is not."""
    leaves = (
        st.just("data")
        | st.just("data")
        | _NUMBERS
        | st.sampled_from(("np.pi", "np.inf", "np.nan", "data.shape", "data.T", "data.ndim"))
        | st.integers(0, 3).flatmap(lambda number: st.just("data") if number else _ESCAPES)
    )
    return st.recursive(leaves, _steps, max_leaves=8)


def _steps(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(("+", "-", "*", "/", "//", "%", "**", "@", "&", "|", "^", "<<"))
    comparisons = st.sampled_from(("<", "<=", "==", "!=", ">", ">>"))
    return (
        st.builds("({} {} {})".format, inner, operators | comparisons, inner)
        | st.builds("{}{}".format, st.sampled_from(("-", "~", "+")), inner)
        | st.builds("{}[{}]".format, inner, _indices(inner))
        | st.lists(inner, min_size=1, max_size=3).map(lambda items: f"({', '.join(items)},)")
        | st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | _calls(inner, "np.", allowed.FUNCTIONS)
        | _calls(inner, "", allowed.BUILTINS)
        | st.builds("({}){}".format, inner, _calls(inner, ".", allowed.METHODS))
        | st.builds("({}).{}".format, inner, st.sampled_from(sorted(allowed.ATTRIBUTES)))
    )


def _indices(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    part = st.sampled_from(("", "", "0", "1", "-1", "2"))
    slices = st.builds("{}:{}:{}".format, part, part, st.sampled_from(("", "1", "-1", "2")))
    one = slices | st.sampled_from(("...", "None", "0", "-1", "data > 0")) | inner
    return st.lists(one, min_size=1, max_size=3).map(", ".join)


def _calls(
    inner: st.SearchStrategy[str], prefix: str, table: dict[str, allowed.Signature]
) -> st.SearchStrategy[str]:
    @st.composite
    def calls(draw: st.DrawFn) -> str:
        name = draw(st.sampled_from(sorted(table)))
        signature = table[name]
        shapes = st.lists(st.integers(-1, 9) | _NUMBERS, max_size=3).map(
            lambda items: f"({''.join(f'{item}, ' for item in items)})"
        )

        def argument(parameter: str) -> str:
            if parameter in _USUAL and draw(st.integers(0, 3)):
                return str(draw(_USUAL[parameter]))
            if parameter in allowed.TEXT_PARAMETERS:
                return str(draw(_TEXTS))
            if parameter in allowed.ARRAYS_PARAMETERS:
                items = st.lists(st.just("data") | inner, min_size=1, max_size=3)
                return f"[{', '.join(draw(items))}]"
            if parameter in _ARRAY:
                return draw(st.sampled_from(("data", "data", "1", "2.5")) | inner)
            return draw(st.sampled_from(("0", "1", "-1", "None", "True")) | shapes | inner)

        most = min(len(signature.positional), 4)
        count = draw(st.integers(min(most, 1), most))
        given = [argument(parameter) for parameter in signature.positional[:count]]
        # What is left out may be what is needed; more often it is not.
        rest = sorted(signature.keywords - set(signature.positional[:count]))
        for parameter in (
            draw(st.lists(st.sampled_from(rest), max_size=2, unique=True)) if rest else ()
        ):
            given.append(f"{parameter}={argument(parameter)}")
        return f"{prefix}{name}({', '.join(given)})"

    return calls()


def cases() -> st.SearchStrategy[Case]:
    """Expressions, texts that nearly are such, and texts that are not."""
    text = (
        arrays()
        | arrays()
        | arrays()
        | expressions()
        | mutated(arrays(), PIECES)
        | st.text(PIECES, max_size=30)
        | st.text(max_size=20)
    )
    dtypes = st.sampled_from(("f4", "f2", "f8", "u1", "i1", "i4", "?", "u8")).map(np.dtype)
    data = hnp.arrays(dtypes, hnp.array_shapes(max_dims=4, max_side=5))
    return st.builds(Case, text, data)


def check(case: Case) -> bool:
    """An expression is refused, or its value is Python's and fits the limits."""
    try:
        change = transform.parse(case.text)
        before = case.data.tobytes()
        found = change(case.data.copy())
    except InputError as error:
        assert error.problems[0].message.startswith(("input transform", "the input transform"))
        return False
    assert isinstance(found, np.ndarray)
    assert found.ndim > 0
    assert found.dtype.kind in "biuf"
    assert found.nbytes <= 2 * inputs.BYTE_LIMIT
    again = change(case.data.copy())
    assert same(found, again), "another value the second time"
    assert case.data.tobytes() == before
    # Nothing that was accepted can do more than compute.
    wanted = python(case)
    assert wanted is None or same(found, wanted), (found, wanted)
    return True


_BUILTINS = {name: getattr(builtins, name) for name in (*allowed.BUILTINS, "bool")}


def python(case: Case) -> Array | None:
    """What Python makes of an expression that was accepted; None if it knows no such operator."""
    names: dict[str, Any] = {"data": case.data.copy(), "np": np, "__builtins__": _BUILTINS}
    try:
        with np.errstate(all="ignore"):
            return np.asarray(eval(case.text.strip(), names))
    except TypeError as error:
        # A list stands for an array, also before the operators that Python's lists do not have.
        if "bad operand type" in str(error):
            return None
        raise


def same(left: Array, right: Array) -> bool:
    """Whether two arrays are of one shape, dtype and value, as far as NaN has one."""
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    return bool(np.array_equal(left, right, equal_nan=left.dtype.kind == "f"))


TRANSFORMS = Target("transforms", cases(), check)
