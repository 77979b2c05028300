"""What an ``--input-transform`` may use; everything that is not named here is refused.

Nothing here reads or writes files, looks at memory, runs code from a string, or draws random
numbers. A signature lists a call's parameters, those behind ``*`` by keyword only; parameters that
write into an array (``out``) are left out. Imports no numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

ARRAY_PARAMETERS = frozenset(
    (
        *("a", "b", "x", "x1", "x2", "y", "arr", "values", "condition", "indices"),
        *("xp", "fp", "q"),
    )
)
"""Parameters that take an array, a number, or a list of them."""
BOUND_PARAMETERS = frozenset(("a_min", "a_max", "min", "max", "weights", "left", "right"))
"""Parameters that take the same, or None."""
ARRAYS_PARAMETERS = frozenset(("arrays",))
"""Parameters that take a sequence of arrays."""
TEXT_PARAMETERS = frozenset(("dtype", "order", "mode"))
"""Parameters that take a string."""


@dataclass(frozen=True)
class Signature:
    """What a function takes and how large its result can be."""

    positional: tuple[str, ...]
    keywords: frozenset[str]
    """The names that can be given as keywords."""
    growth: str = "same"
    """The rule in :mod:`megdump_ci.testcase.growth` that bounds the result's size."""


def _signature(text: str, growth: str = "same") -> Signature:
    positional, _, keyword_only = text.partition("*")
    names = tuple(positional.split())
    return Signature(names, frozenset((*names, *keyword_only.split())), growth)


def _table(groups: list[tuple[str, str, str]]) -> dict[str, Signature]:
    return {
        name: _signature(signature, growth)
        for names, signature, growth in groups
        for name in names.split()
    }


DTYPES = frozenset(
    (
        *("bool_", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
        *("float16", "float32", "float64", "half", "single", "double", "int_", "float_"),
    )
)
OLD_DTYPES = {"bool": "bool_", "int": "int64", "float": "float64"}
"""``bool`` and ``np.bool``: names that Python and older numpy have for dtypes."""
CONSTANTS = frozenset(("pi", "e", "inf", "nan", "newaxis"))

FUNCTIONS = _table(
    [
        (
            (
                "abs absolute fabs negative sign sqrt square cbrt exp exp2"
                " expm1 log log2 log10 log1p"
                " sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh"
                " arccosh arctanh floor ceil"
                " trunc rint reciprocal deg2rad rad2deg degrees radians isnan isinf isfinite"
                " logical_not invert bitwise_not signbit positive"
            ),
            "x * dtype",
            "same",
        ),
        (
            (
                "add subtract multiply divide true_divide floor_divide mod remainder fmod power"
                " float_power maximum minimum fmax fmin hypot arctan2"
                " copysign logical_and logical_or"
                " logical_xor bitwise_and bitwise_or bitwise_xor left_shift right_shift equal"
                " not_equal less less_equal greater greater_equal"
            ),
            "x1 x2 * dtype",
            "broadcast",
        ),
        ("where", "condition x y", "broadcast"),
        ("clip", "a a_min a_max", "broadcast"),
        ("fix", "x", "same"),
        ("nan_to_num", "x * nan posinf neginf", "same"),
        ("interp", "x xp fp left right", "same"),
        ("round round_ around", "a decimals", "same"),
        (
            (
                "mean std var sum prod min max amin amax median any all argmin argmax ptp nanmean"
                " nanstd nanvar nanmin nanmax nansum nanmedian"
            ),
            "a axis * keepdims dtype ddof",
            "same",
        ),
        ("average", "a axis weights", "same"),
        ("percentile quantile", "a q axis * keepdims", "outer"),
        ("linalg.norm", "x * axis keepdims", "same"),
        ("cumsum cumprod", "a axis * dtype", "same"),
        ("reshape", "a newshape * order", "same"),
        ("transpose", "a axes", "same"),
        ("swapaxes", "a axis1 axis2", "same"),
        ("moveaxis", "a source destination", "same"),
        ("rollaxis", "a axis start", "same"),
        ("expand_dims squeeze flip sort", "a axis", "same"),
        ("ravel copy", "a order", "same"),
        ("rot90", "a k axes", "same"),
        ("roll", "a shift axis", "same"),
        ("fliplr flipud ascontiguousarray atleast_1d atleast_2d atleast_3d", "a", "same"),
        ("concatenate stack", "arrays axis", "same"),
        ("vstack hstack dstack", "arrays", "same"),
        ("append", "arr values axis", "same"),
        ("delete", "arr obj axis", "same"),
        ("take", "a indices axis * mode", "take"),
        ("resize", "a new_shape", "shape"),
        ("array", "a dtype * copy order ndmin", "same"),
        ("asarray", "a dtype order", "same"),
        ("zeros_like ones_like", "a dtype", "same"),
        ("full_like", "a fill_value dtype", "same"),
        ("zeros ones", "shape dtype", "shape"),
        ("full", "shape fill_value dtype", "shape"),
        ("eye", "N M k * dtype", "eye"),
        ("arange", "start stop step * dtype", "arange"),
        ("linspace", "start stop num endpoint * dtype", "linspace"),
        ("broadcast_to", "a shape", "shape"),
        ("repeat", "a repeats axis", "repeat"),
        ("tile", "a reps", "tile"),
        ("pad", "a pad_width mode * constant_values", "pad"),
        ("matmul dot", "x1 x2", "matmul"),
        ("outer", "a b", "outer"),
    ]
) | {name: _signature("a") for name in DTYPES}
"""``np.NAME(...)``."""

METHODS = _table(
    [
        ("mean std var sum prod min max any all ptp", "axis * keepdims dtype ddof", "same"),
        ("argmin argmax", "axis", "same"),
        ("cumsum cumprod", "axis * dtype", "same"),
        ("astype", "dtype * copy order", "same"),
        ("clip", "min max", "clip"),
        ("round", "decimals", "same"),
        ("squeeze", "axis", "same"),
        ("swapaxes", "axis1 axis2", "same"),
        ("flatten ravel copy", "order", "same"),
        ("item", "", "same"),
        ("take", "indices axis * mode", "take"),
        ("repeat", "repeats axis", "repeat"),
        ("dot", "x2", "matmul"),
    ]
) | {
    # These take their one argument as a tuple or spread out.
    "reshape": Signature(("newshape",) * 32, frozenset({"order"})),
    "transpose": Signature(("axes",) * 32, frozenset()),
}
"""``ARRAY.NAME(...)``."""

ATTRIBUTES = frozenset(("T", "shape", "ndim", "size", "dtype"))
"""``ARRAY.NAME``."""

BUILTINS = {name: _signature("value") for name in ("abs", "float", "int", "len")}
"""``NAME(...)``."""
