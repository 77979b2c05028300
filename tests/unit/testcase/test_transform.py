import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from megdump_ci.errors import InputError
from megdump_ci.testcase import allowed, growth, transform

# ruff: noqa: RUF001

DATA = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)

USED = [
    "data/np.std(data)",
    "(data-127.5)/128",
    "data[:, ::-1]",
    "data[:, [2, 1, 0]]",
    "data[..., None].squeeze(-1)",
    "data[data > 5]",
    "data[:, 0, np.newaxis]",
    "np.transpose(data, (0,2,3,1)).astype(np.float32)",
    "data.transpose(0, 2, 3, 1)",
    "np.clip(data,0,1)",
    "np.clip(data, None, 7)",
    "data.clip(min=3)",
    "(data - np.array([1,2,3]).reshape(1,3,1,1))/255.0",
    "(data - [[[[1]], [[2]], [[3]]]]) * 2 ** -1",
    "data.astype('float32')",
    "data.astype(float) * np.pi",
    "data.reshape(data.shape[0], -1)",
    "data.reshape(data.shape[:2] + (16,), order='F')",
    "np.pad(data, ((0,0),(0,0),(1,1),(1,1)), 'constant')",
    "np.concatenate([data, data], axis=1)",
    "data - data.mean(axis=(2, 3), keepdims=True)",
    "np.where((data > 5) & ~(data > 9), data, -1)",
    "np.expand_dims(data, 0)[0]",
    "data @ np.ones((4, 5), np.float32)",
    "data.astype(np.float32) / np.linalg.norm(data.astype(float))",
    "np.repeat(np.tile(data, (2, 1, 1, 1)), 2, axis=0)",
    "np.float32(data) // 3 % 5",
    "abs(-data.astype(np.int16)) << 1",
    "  data.T\n",
    "np.interp(data, (0, 255), (-1, 1))",
    "np.eye(4)[data % 4]",
    "(data - np.average(data)) / np.percentile(data, 99)",
    "np.take(data, [2, 1, 0], axis=1) + data.take([0], 3)",
    "np.rollaxis(data, 3, 1) * np.linspace(0, 1, 3)[:, None]",
    "np.append(np.delete(data, 0, axis=1), data[:, :1], axis=1)",
    "np.sort(np.copy(data), axis=-1) / len(data)",
    "np.resize(data, (1, 3, 8, 8)) * np.outer([1, 2], [3, 4])[0, 0]",
    "np.quantile(data, (0.25, 0.75), axis=0)",
    "np.nan_to_num(data * 1.0, nan=1.0, posinf=2.0)",
    "data / 255  # as the network was trained",
    "data.astype('>f4') - np.float_(data).mean()",
]

FAILURES = [
    "data.astype(data)",
    "data + None",
    "data + np.float32",
    "data * [[1], [1, 2]]",
    "np.clip(data, [[1], [1, 2]], 3)",
    "(1, 2) * 3",
    "(1, 2) == 1",
    "-(1, 2)",
    "abs([1])",
    "float([1])",
    "np.int64(3) * [0]",
    "10 ** 400",
    "2.0 ** 5000",
    "(-8) ** 0.5",
    "1 / 0",
    "data.reshape(7, 7)",
    "data + np.zeros((5,))",
    "data[9]",
    "data[1.5]",
    "data.mean(axis=7)",
    "np.take(data, 0, axis=7)",
    "np.take(data, 99)",
    "(1).T",
    "len(5)",
    "data.sum(dtype='O')",
    "np.eye(1.5)",
    "np.linspace(0, 1, None)",
    "np.where(np.zeros((100000, 1)) > 0, 1, np.zeros(100000))",
]

NO_ARRAYS = ["data.shape", "np.mean(data)", "data[0, 0, 0, 0]", "5", "None", "np.float32"]


@pytest.mark.parametrize("text", USED)
def test_it_computes_what_python_computes(text: str) -> None:
    wanted = eval(text.strip(), {"data": DATA, "np": np})
    result = transform.parse(text)(DATA)
    assert result.dtype == wanted.dtype
    assert np.array_equal(result, wanted)


@pytest.mark.parametrize("text", FAILURES)
def test_what_fails_is_an_input_error_with_a_place(text: str) -> None:
    checked = transform.parse(text)
    with pytest.raises(InputError, match=r"input transform: .*\(column \d+\)"):
        checked(DATA)


@pytest.mark.parametrize("text", NO_ARRAYS)
def test_the_result_has_to_be_an_array(text: str) -> None:
    with pytest.raises(InputError, match="not an array"):
        transform.parse(text)(DATA)


@pytest.mark.parametrize(
    ("text", "column", "word"),
    [
        ("data + data.ctypes", 13, "'.ctypes'"),
        ("'é' + data", 1, "a string"),
        ("data * é", 8, "'é'"),
        ("data +  ｎp.ones(3)", 9, "'ｎp'"),
        ("np.clip(data, 0,\n  np.load)", 23, "np.load"),
        ("np.lib.npyio", 8, "np.lib.npyio"),
        ("data[0].item().real", 16, "'.real'"),
        ("np.add(data, 1, where=True)", 17, "'where'"),
    ],
)
def test_the_refused_thing_is_named_with_its_place(text: str, column: int, word: str) -> None:
    with pytest.raises(InputError) as caught:
        transform.parse(text)
    assert word in caught.value.problems[0].message
    assert f"(column {column})" in caught.value.problems[0].message


def test_a_misspelt_function_is_guessed() -> None:
    with pytest.raises(InputError, match=r"did you mean np\.clip\?"):
        transform.parse("np.clp(data, 0, 1)")


PIECES = (
    "data np. . ( ) [ ] , : ... 1 2.5 -1 10**9 + - * / ** @ << & ~ < == 'O' 'f4' = axis dtype"
    " mean astype reshape T shape clip zeros repeat arange array where float32 None True float"
    " __class__ load lambda if else for in"
)


@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES.split()), max_size=15).map("".join))
def test_any_text_gives_an_array_or_an_input_error(text: str) -> None:
    try:
        result = transform.parse(text)(DATA)
    except InputError:
        return
    assert result.dtype.kind in "biuf"


_ARRAYS = [
    *("data", "data.T", "data / 255", "data[:, ::-1]", "data[0]", "data[..., 1]", "data > 9"),
    *("data.astype(np.float32)", "data.astype(int)", "data.mean(axis=1, keepdims=True)"),
    *("np.arange(4)", "np.ones((2, 1, 4, 4), np.float16)", "np.array([1.5, -2, 3, 0])", "data[:0]"),
]
_NUMBERS = ["0", "1", "-3", "2.5", "1e300", "np.pi", "np.inf", "np.nan", "True", "len(data)"]
_SIGNS = ("+", "-", "*", "/", "//", "%", "**", "@", "&", "|", "^", "<<", ">>", "<", "<=", "==")
_FORMS = [
    *("-{0}", "~{0}", "abs({0})", "({0}).T", "({0})[0]", "({0})[-1:]", "({0})[None]"),
    *("({0})[{1} > 1]", "({0}).ravel()[::{1}]", "({0}).reshape(-1, {1})", "[{0}, {1}][0]"),
    *("np.where({0}, {1}, {2})", "np.clip({0}, {1}, {2})", "({0}).clip(max={1})"),
    *("np.take({0}, {1}, axis=0)", "np.pad({0}, {1}, mode='edge')", "np.repeat({0}, {1}, axis=0)"),
    *("np.tile({0}, (2, {1}))", "np.concatenate([{0}, {1}])", "np.stack(({0}, {1}), axis=-1)"),
    *("np.round({0}, {1})", "np.full_like({0}, {1})", "np.interp({0}, (0, 9), ({1}, {2}))"),
    *("np.append({0}, {1})", "np.delete({0}, {1}, axis=0)", "np.average({0}, weights={1})"),
    *("np.quantile({0}, {1})", "np.outer({0}, {1})", "np.roll({0}, {1}, axis=0)"),
    *("np.resize({0}, ({1}, {2}))", "np.linspace({0}, {1}, {2})", "np.array([{0}, {1}])"),
    *(f"({{0}}) {sign} ({{1}})" for sign in _SIGNS),
    *(f"np.{name}({{0}})" for name in ("sqrt", "exp", "floor", "sign", "isnan", "std", "argmax")),
    *(
        f"({{0}}).{name}({{1}})"
        for name in ("mean", "max", "any", "cumsum", "squeeze", "sum", "ptp")
    ),
]


def _expressions() -> st.SearchStrategy[str]:
    leaves = st.sampled_from(_ARRAYS) | st.sampled_from(_NUMBERS)
    forms = st.sampled_from(_FORMS)
    return st.recursive(
        leaves, lambda inner: st.builds(str.format, forms, inner, inner, inner), max_leaves=6
    )


@given(_expressions())
@settings(max_examples=400)
def test_what_is_accepted_is_what_numpy_computes(text: str) -> None:
    data = DATA.copy()
    # Nothing that is allowed writes into the data.
    data.flags.writeable = False
    try:
        result = transform.parse(text)(data)
    except InputError as error:
        assert "read-only" not in str(error)
        return
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = eval(text, {"data": data, "np": np})
    assert result.dtype == wanted.dtype
    assert np.array_equal(result, wanted, equal_nan=result.dtype.kind == "f")


def test_every_allowed_name_exists_and_takes_no_path() -> None:
    for name in [*allowed.FUNCTIONS, *allowed.CONSTANTS]:
        value: object = np
        for part in name.split("."):
            value = getattr(value, part)
    for name in [*allowed.METHODS, *allowed.ATTRIBUTES]:
        assert hasattr(DATA, name)
    for signature in [*allowed.FUNCTIONS.values(), *allowed.METHODS.values()]:
        assert not signature.keywords & {"out", "file", "fname", "where", "like", "subok"}


@given(st.data())
def test_the_size_of_an_index_is_never_told_too_small(data: st.DataObject) -> None:
    shape = data.draw(hnp.array_shapes(max_dims=4, max_side=4))
    array = np.zeros(shape)
    indices = hnp.basic_indices(shape, allow_newaxis=True) | hnp.integer_array_indices(shape)
    masks = hnp.arrays(bool, shape[:1])
    index = data.draw(indices | masks)
    assert growth.indexed(array, index) >= np.size(array[index])


@given(st.data())
def test_the_size_of_a_product_is_never_told_too_small(data: st.DataObject) -> None:
    left, right = (np.zeros(data.draw(hnp.array_shapes(max_side=3))) for _ in range(2))
    for product in (np.dot, np.matmul):
        try:
            size = np.size(product(left, right))
        except ValueError:
            continue
        assert growth.matmul(left, right) >= size


def test_what_a_list_keeps_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "HELD_LIMIT", 80_000)
    data = np.zeros(1000, np.float64)

    def apply(text: str) -> int:
        return transform.parse(text)(data).size

    # Nine of them, each of 8000 bytes, and its own; views have no memory, nor have values gone by.
    assert apply(f"[{', '.join(['data + 1'] * 9)}][0]") == 1000
    assert apply(f"[{', '.join(['(data + 1)[::2].T'] * 9)}, {'data.T, ' * 20}][0]") == 500
    assert apply("data + 1" + " * 2.0" * 50) == 1000
    for text in ("data + 1", "np.tile(data, 1)", "(data + 1)[:1]", "data.astype(np.int64)"):
        with pytest.raises(InputError, match="MiB at once"):
            apply(f"[{', '.join([text] * 11)}][0]")


def test_padding_gives_no_memory_away() -> None:
    for text in ("np.pad(data, 1, 'empty')", "np.pad(data, 1, mode='empty')"):
        with pytest.raises(InputError, match="happens to be in memory"):
            transform.parse(text)
