import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from megdump_ci.errors import InputError
from megdump_ci.testcase import allowed, growth, transform

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
]

ESCAPES = [
    "().__class__",
    "data.__class__.__base__.__subclasses__()",
    "data.__reduce__()",
    "np.load('x')",
    "np.save('x', data)",
    "np.memmap",
    "np.fromfile('x')",
    "np.frombuffer(data)",
    "np.fromfunction(abs, (3,))",
    "np.vectorize(abs)(data)",
    "np.apply_along_axis(abs, 0, data)",
    "np.lib.npyio",
    "np.lib.stride_tricks.as_strided(data, (9,))",
    "np.core",
    "np.ctypeslib.as_array(data)",
    "np.sys.exit()",
    "np.os.system('id')",
    "np.__loader__",
    "np.linalg.__builtins__",
    "np.random.rand(3)",
    "np.genfromtxt('x')",
    "np.einsum('i->', data)",
    "data.tofile('x')",
    "data.dump('x')",
    "data.ctypes",
    "data.data",
    "data.base",
    "data.flat",
    "data.view('O')",
    "data.setflags(True)",
    "data.dtype.type",
    "data.dtype.type.mro()",
    "getattr(data, 'x')",
    "__import__('os').system('id')",
    "eval('1')",
    "exec('1')",
    "open('x')",
    "print(data)",
    "globals()",
    "f'{data}'",
    "f'{data.__class__}'",
    "'{0.__class__}'.format(data)",
    "'%s' % data",
    "'a' * 9",
    "b'a'",
    "1j * data",
    "lambda: 1",
    "(lambda: 1)()",
    "[x for x in data]",
    "(x for x in data)",
    "{1: 2}",
    "{1}",
    "(x := 1)",
    "np.max(*data)",
    "np.sum(data, **{})",
    "data if 1 else 2",
    "data and 1",
    "not data",
    "data is data",
    "1 in data",
    "1 < data < 2",
    "np.add(data, 1, data)",
    "np.add(data, 1, out=data)",
    "np.sum(data, 0, None, data)",
    "data['a']",
    "np.full((2, 2), 'x')",
    "data.mean",
    "data.shape()",
    "np.sqrt",
    "np",
    "os",
    "...",
    "data.x = 1",
    "import os",
    "data; data",
    "",
    "data[",
    "(" * 300 + "1" + ")" * 300,
    "-" * 1900 + "1",
    "data" + "+1" * 400,
    "data" + "+1" * 100,
    "data + " + "1" * 1993 + ".",
    "data + " + "9" * 40,
    "x" * 2001,
    "data\0",
]

FAILURES = [
    "data.astype('O')",
    "data.astype('f4,f4')",
    "data.astype('S9')",
    "data.astype(data)",
    "np.zeros(3, (np.float32, (9, 9)))",
    "np.ones((2, 2), dtype=(np.float32, (9, 9)))",
    "data.sum(dtype='O')",
    "np.array([None])",
    "np.array([[1], [1, 2]])",
    "data * [[1], [1, 2]]",
    "np.clip(data, [[1], [1, 2]], 3)",
    "data + None",
    "data + np.float32",
    "(1, 2) * 3",
    "(1, 2) == 1",
    "np.int64(3) * [0]",
    "[0] * 1000000000",
    "9 ** 9 ** 9",
    "1 << 10 ** 9",
    "2 ** 62 * 2",
    "10 ** 400",
    "2.0 ** 5000",
    "(-8) ** 0.5",
    "1 / 0",
    "data.reshape(7, 7)",
    "data + np.zeros((5,))",
    "data[9]",
    "data[1.5]",
    "data.mean(axis=7)",
    "(1).T",
    "np.zeros((10**9, 10**9))",
    "np.repeat(data, 10**9)",
    "data.repeat(repeats=10**9)",
    "np.tile(data, (10**9,))",
    "np.pad(data, 10**9, 'constant')",
    "np.arange(1e20)",
    "np.arange(0, 1, 1e-20)",
    "np.broadcast_to(data, (10**9, 2, 3, 4, 4))",
    "np.zeros((1000000, 1)) + np.zeros(1000000)",
    "np.zeros((1000000, 1)) @ np.zeros((1, 1000000))",
    "np.dot(np.zeros((1000000, 1)), np.zeros((1, 1000000)))",
    "np.zeros((1000, 1000))[np.zeros((1000, 1000), int)]",
    "np.where(np.zeros((1000000, 1)) > 0, 1, np.zeros(1000000))",
]

NO_ARRAYS = ["data.shape", "np.mean(data)", "data[0, 0, 0, 0]", "5", "None", "np.float32"]


@pytest.mark.parametrize("text", USED)
def test_it_computes_what_python_computes(text: str) -> None:
    wanted = eval(text.strip(), {"data": DATA, "np": np})
    result = transform.parse(text)(DATA)
    assert result.dtype == wanted.dtype
    assert np.array_equal(result, wanted)


@pytest.mark.parametrize("text", ESCAPES)
def test_what_is_not_allowed_is_refused_when_parsed(text: str) -> None:
    with pytest.raises(InputError, match=r"input transform: .*\(column \d+\)") as caught:
        transform.parse(text)
    assert caught.value.problems[0].hint


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


def test_the_data_is_left_as_it_was() -> None:
    before = DATA.copy()
    for text in USED:
        transform.parse(text)(DATA)
    assert np.array_equal(DATA, before)


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
