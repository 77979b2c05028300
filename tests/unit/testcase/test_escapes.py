"""Ways out of an evaluated expression that are known, each refused by its name.

Every row has the escape's name, an expression that uses it, and the word of it that the message has
to name. docs/security.md tells what the expression may do.
"""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from megdump_ci import cli
from megdump_ci.errors import ExitStatus, InputError
from megdump_ci.testcase import evaluate, transform

# ruff: noqa: RUF001

DATA = np.arange(2 * 3 * 4 * 4, dtype=np.uint8).reshape(2, 3, 4, 4)

PYTHON = [
    ("class of a literal", "().__class__.__bases__[0].__subclasses__()", "'.__subclasses__'"),
    ("class of an integer", "(1).__class__", "'.__class__'"),
    ("class of the data", "data.__class__", "'.__class__'"),
    ("mro of the data", "data.__class__.__mro__[1]", "'.__mro__'"),
    ("mro of a dtype", "np.float32.mro()", "np.float32.mro"),
    ("subclasses of a dtype", "np.float32.__subclasses__()", "np.float32.__subclasses__"),
    ("class of a step", "(data + 1).__class__", "'.__class__'"),
    ("class of a result", "data.mean().__class__", "'.__class__'"),
    ("class of an element", "data[0].__class__", "'.__class__'"),
    ("reduce", "data.__reduce__()", "'.__reduce__'"),
    ("reduce_ex", "data.T.__reduce_ex__(2)", "'.__reduce_ex__'"),
    ("getattribute", "data.__getattribute__('x')", "'.__getattribute__'"),
    ("getitem by name", "data.__getitem__(0)", "'.__getitem__'"),
    ("globals of a function", "np.load.__globals__", "np.load.__globals__"),
    ("self of a function", "np.add.__self__", "np.add.__self__"),
    ("builtins of a module", "np.__builtins__", "np.__builtins__"),
    ("builtins of a submodule", "np.linalg.__builtins__", "np.linalg.__builtins__"),
    ("dict of a module", "np.__dict__", "np.__dict__"),
    ("loader of a module", "np.__loader__.load_module('os')", "np.__loader__"),
    ("import", "__import__('os').system('id')", "'.system'"),
    ("import alone", "__import__('os')", "'__import__'"),
    ("getattr", "getattr(data, 'x')", "'getattr'"),
    ("setattr", "setattr(data, 'x', 1)", "'setattr'"),
    ("vars", "vars(np)", "'vars'"),
    ("dir", "dir(np)", "'dir'"),
    ("type", "type(data)", "'type'"),
    ("object", "object()", "'object'"),
    ("globals", "globals()", "'globals'"),
    ("locals", "locals()", "'locals'"),
    ("eval", "eval('1')", "'eval'"),
    ("exec", "exec('1')", "'exec'"),
    ("compile", "compile('1', '', 'eval')", "'compile'"),
    ("open", "open('x')", "'open'"),
    ("print", "print(data)", "'print'"),
    ("input", "input()", "'input'"),
    ("breakpoint", "breakpoint()", "'breakpoint'"),
    ("help", "help()", "'help'"),
    ("exit", "exit()", "'exit'"),
    ("memoryview", "memoryview(data)", "'memoryview'"),
    ("another name", "os", "'os'"),
    ("builtins by name", "__builtins__", "'__builtins__'"),
    ("numpy itself", "np", "np alone"),
    ("a function itself", "np.sqrt", "np.sqrt"),
    ("a method itself", "data.mean", "'.mean'"),
    ("a call of a result", "data.mean()()", "can be called"),
    ("a call of an element", "data[0](1)", "can be called"),
    ("a call of an attribute", "data.shape()", "'.shape'"),
    ("format string", "f'{data}'", "a format string"),
    ("format string with a walk", "f'{data.__class__}'", "a format string"),
    ("format string as index", "data[f'{data}']", "a format string"),
    ("str.format", "'{0.__class__}'.format(data)", "'.format'"),
    ("str.format_map", "'{data.__class__}'.format_map(data)", "'.format_map'"),
    ("percent formatting", "'%s' % data", "a string"),
    ("string repetition", "'a' * 9", "a string"),
    ("bytes", "b'a'", "bytes"),
    ("complex number", "1j * data", "complex"),
    ("lambda", "(lambda: 1)()", "can be called"),
    ("lambda as index", "data[lambda: 0]", "a lambda"),
    ("list comprehension", "[x for x in data]", "a comprehension"),
    ("set comprehension", "{x for x in data}", "a comprehension"),
    ("dict comprehension", "{x: x for x in data}", "a comprehension"),
    ("generator", "(x for x in data)", "a generator"),
    ("frame of a generator", "(x for x in data).gi_frame.f_back.f_globals", "'.f_globals'"),
    ("assignment expression", "(x := 1)", "':='"),
    ("assignment to data", "data[(data := 1)]", "':='"),
    ("await", "(await data)", "'await'"),
    ("yield", "(yield)", "'yield'"),
    ("dict", "{1: 2}", "a dict"),
    ("set", "{1}", "a set"),
    ("starred list", "[*data]", "'*'"),
    ("starred argument", "np.max(*data)", "'*'"),
    ("double-starred argument", "np.sum(data, **{})", "'**'"),
    ("conditional", "data if 1 else 2", "'if'/'else'"),
    ("and", "data and 1", "'and'/'or'"),
    ("not", "not data", "'not'"),
    ("is", "data is data", "'is'"),
    ("in", "1 in data", "'in'"),
    ("chain of comparisons", "1 < data < 2", "a chain"),
    ("assignment", "data.x = 1", "invalid syntax"),
    ("import statement", "import os", "invalid syntax"),
    ("two statements", "data; data", "invalid syntax"),
    ("a second line", "data\nimport os", "invalid syntax"),
    ("null byte", "data\0", "null byte"),
    ("fullwidth name", "ｄata + 1", "'ｄata'"),
    ("mathematical letters in a name", "data.𝐝ump('x')", "'𝐝ump'"),
    ("fullwidth dunder", "data.__ｃlass__", "'__ｃlass__'"),
    ("fullwidth function", "np.ｌoad('x')", "'ｌoad'"),
    ("cyrillic letter", "dаta", "'dаta'"),
    ("invisible character", "data\u200b", "U+200B"),
    ("bidirectional override", "data\u202e + 1", "U+202E"),
]

NUMPY = [
    ("load", "np.load('x', allow_pickle=True)", "np.load"),
    ("loads of a pickle", "np.loads(data)", "np.loads"),
    ("loadtxt", "np.loadtxt('/etc/passwd')", "np.loadtxt"),
    ("genfromtxt", "np.genfromtxt('/etc/passwd')", "np.genfromtxt"),
    ("fromregex", "np.fromregex('/etc/passwd', '.', 'u1')", "np.fromregex"),
    ("fromfile", "np.fromfile('/etc/passwd')", "np.fromfile"),
    ("rec.fromfile", "np.rec.fromfile('/etc/passwd')", "np.rec.fromfile"),
    ("memmap", "np.memmap('/etc/passwd')", "np.memmap"),
    ("open_memmap", "np.lib.format.open_memmap('x')", "np.lib.format.open_memmap"),
    ("DataSource", "np.DataSource('/').open('x')", "'.open'"),
    ("save", "np.save('x', data)", "np.save"),
    ("savez", "np.savez('x', data)", "np.savez"),
    ("savetxt", "np.savetxt('x', data)", "np.savetxt"),
    ("tofile", "data.tofile('x')", "'.tofile'"),
    ("dump", "data.dump('x')", "'.dump'"),
    ("dumps", "data.dumps()", "'.dumps'"),
    ("exec_command", "np.distutils.exec_command.exec_command('id')", "np.distutils.exec_command"),
    ("f2py", "np.f2py.compile('x')", "np.f2py.compile"),
    ("testing.runstring", "np.testing.runstring('1', {})", "np.testing.runstring"),
    ("testing.rundocs", "np.testing.rundocs('x.py')", "np.testing.rundocs"),
    ("testing._private", "np.testing._private.utils.os.system('id')", "np.testing._private"),
    ("os by a submodule", "np.compat.os.system('id')", "np.compat.os.system"),
    ("sys by a submodule", "np.core.sys.modules", "np.core.sys.modules"),
    ("ctypes by a submodule", "np.ctypeslib.ctypes", "np.ctypeslib.ctypes"),
    ("load_library", "np.ctypeslib.load_library('libc', '/')", "np.ctypeslib.load_library"),
    ("as_array", "np.ctypeslib.as_array(data)", "np.ctypeslib.as_array"),
    ("core", "np.core.multiarray.scalar(data.dtype, 'x')", "np.core.multiarray.scalar"),
    ("lib.npyio", "np.lib.npyio.NpzFile", "np.lib.npyio"),
    ("as_strided", "np.lib.stride_tricks.as_strided(data, (9,))", "as_strided"),
    ("lib.utils.source", "np.source(data)", "np.source"),
    ("info", "np.info('x')", "np.info"),
    ("matrix of an expression", "np.mat('1')", "np.mat"),
    ("bmat of names", "np.bmat('data')", "np.bmat"),
    ("random", "np.random.rand(3)", "np.random.rand"),
    ("state of random", "np.random.seed(0)", "np.random.seed"),
    ("vectorize", "np.vectorize(abs)(data)", "can be called"),
    ("frompyfunc", "np.frompyfunc(abs, 1, 1)", "np.frompyfunc"),
    ("fromfunction", "np.fromfunction(abs, (3,))", "np.fromfunction"),
    ("fromiter", "np.fromiter(data, 'O')", "np.fromiter"),
    ("apply_along_axis", "np.apply_along_axis(abs, 0, data)", "np.apply_along_axis"),
    ("apply_over_axes", "np.apply_over_axes(abs, data, 0)", "np.apply_over_axes"),
    ("piecewise", "np.piecewise(data, [data > 1], [abs])", "np.piecewise"),
    ("pad by a function", "np.pad(data, 1, abs)", "'abs'"),
    ("ufunc.at", "np.add.at(data, 0, 1)", "np.add.at"),
    ("ufunc.reduce", "np.add.reduce(data)", "np.add.reduce"),
    ("nditer", "np.nditer(data)", "np.nditer"),
    ("einsum", "np.einsum('i->', data)", "np.einsum"),
    ("setbufsize", "np.setbufsize(1)", "np.setbufsize"),
    ("seterrcall", "np.seterrcall(abs)", "np.seterrcall"),
    ("set_string_function", "np.set_string_function(abs)", "np.set_string_function"),
    ("set_printoptions", "np.set_printoptions(threshold=1)", "np.set_printoptions"),
    ("object array", "np.object_(data)", "np.object_"),
    ("ndarray", "np.ndarray((2,))", "np.ndarray"),
    ("dtype by name", "np.dtype('O')", "np.dtype"),
    ("void", "np.void(9)", "np.void"),
    ("text", "np.str_('x')", "np.str_"),
    ("text functions", "np.char.multiply('a', 9)", "np.char.multiply"),
    ("datetime", "np.datetime64('now')", "np.datetime64"),
    ("complex dtype", "np.complex64(data)", "np.complex64"),
    ("frombuffer", "np.frombuffer(data)", "np.frombuffer"),
    ("fromstring", "np.fromstring('1')", "np.fromstring"),
    ("address of the data", "np.byte_bounds(data)", "np.byte_bounds"),
    ("array interface", "data.__array_interface__", "'.__array_interface__'"),
    ("ctypes of the data", "data.ctypes.data", "'.data'"),
    ("memory of the data", "data.data", "'.data'"),
    ("base of the data", "data.base", "'.base'"),
    ("flat of the data", "data.flat", "'.flat'"),
    ("flags of the data", "data.flags", "'.flags'"),
    ("strides of the data", "data.strides", "'.strides'"),
    ("view as another dtype", "data.view('O')", "'.view'"),
    ("type of a dtype", "data.dtype.type", "'.type'"),
    ("setflags", "data.setflags(write=True)", "'.setflags'"),
    ("setfield", "data.setfield(0, 'u1')", "'.setfield'"),
    ("getfield", "data.getfield('O')", "'.getfield'"),
    ("resize in place", "data.resize((9,))", "'.resize'"),
    ("byteswap in place", "data.byteswap(True)", "'.byteswap'"),
    ("sort in place", "data.sort()", "'.sort'"),
    ("partition in place", "data.partition(1)", "'.partition'"),
    ("fill in place", "data.fill(0)", "'.fill'"),
    ("put in place", "data.put(0, 1)", "'.put'"),
    ("itemset in place", "data.itemset(0, 1)", "'.itemset'"),
    ("put", "np.put(data, 0, 1)", "np.put"),
    ("putmask", "np.putmask(data, data > 0, 1)", "np.putmask"),
    ("place", "np.place(data, data > 0, [1])", "np.place"),
    ("copyto", "np.copyto(data, 1)", "np.copyto"),
    ("fill_diagonal", "np.fill_diagonal(data, 1)", "np.fill_diagonal"),
    ("nan_to_num in place", "np.nan_to_num(data, copy=False)", "'copy'"),
    ("out by position", "np.add(data, 1, data)", "at most 2"),
    ("out of a reduction by position", "np.sum(data, 0, None, data)", "at most 2"),
    ("out", "np.add(data, 1, out=data)", "'out'"),
    ("where", "np.add(data, 1, where=False)", "'where'"),
    ("like", "np.zeros((2,), like=data)", "'like'"),
    ("subok", "np.array(data, subok=True)", "'subok'"),
    ("casting", "data.astype('f4', casting='unsafe')", "'casting'"),
    ("signature", "np.add(data, 1, signature='dd->d')", "'signature'"),
    ("initial", "np.sum(data, initial=1)", "'initial'"),
    ("field of a structure", "data['a']", "a string"),
    ("fill with text", "np.full((2, 2), 'x')", "a string"),
]

LIMITS = [
    ("huge integer", "data + " + "9" * 40, "2**63"),
    ("negative huge integer", "-9223372036854775808 + data", "2**63"),
    ("length", "x" * 2001, "2001 characters"),
    ("parts", "data" + "+1" * 400, "parts"),
    ("depth of operators", "-" * 100 + "1", "nested"),
    ("depth of a chain", "data" + "+1" * 100, "nested"),
    ("depth of brackets", "(" * 300 + "1" + ")" * 300, "parenthes"),
    ("nothing", "", "empty"),
    ("an open bracket", "data[", "was never closed"),
]

# What is seen only with the values: the message says why.
STEPS = [
    ("power of powers", "9 ** 9 ** 9 + data", "2**63"),
    ("shift of an integer", "(1 << 10 ** 9) + data", "2**63"),
    ("product of integers", "2 ** 62 * 2 + data", "2**63"),
    ("list repetition", "[0] * 1000000000", "no array"),
    ("object dtype", "data.astype('O')", "no dtype"),
    ("object dtype by name", "np.array(data, dtype='object')", "no dtype"),
    ("objects", "np.array([None])", "an array of objects"),
    ("ragged list", "np.array([[1], [1, 2]])", "an array of objects"),
    ("array of dtypes", "np.array([np.float32])", "the dtype float32"),
    ("structured dtype", "data.astype('f4,f4')", "no dtype"),
    ("subarray dtype", "np.zeros(3, (np.float32, (9, 9)))", "no dtype"),
    ("huge subarray dtype", "data.astype('(1000000,1000000)f8')", "no dtype"),
    ("text dtype", "data.astype('U9')", "no dtype"),
    ("bytes dtype", "data.astype('S9')", "no dtype"),
    ("void dtype", "data.astype('V9')", "no dtype"),
    ("datetime dtype", "data.astype('M8')", "no dtype"),
    ("timedelta dtype", "data.astype('m8')", "no dtype"),
    ("complex dtype by name", "data.astype('c16')", "no dtype"),
    ("huge zeros", "np.zeros((10**9, 10**9))", "elements"),
    ("huge eye", "np.eye(10**9)", "elements"),
    ("huge repeat", "np.repeat(data, 10**9)", "elements"),
    ("huge tile", "np.tile(data, (10**9,))", "elements"),
    ("huge pad", "np.pad(data, 10**9, 'constant')", "elements"),
    ("huge arange", "np.arange(1e20)", "elements"),
    ("fine arange", "np.arange(0, 1, 1e-20)", "elements"),
    ("huge linspace", "np.linspace(0, 1, 10**12)", "elements"),
    ("huge resize", "np.resize(data, (10**12,))", "elements"),
    ("huge broadcast", "np.broadcast_to(data, (10**9, 2, 3, 4, 4))", "elements"),
    ("broadcast of two", "np.zeros((100000, 1)) + np.zeros(100000)", "elements"),
    ("huge matrix product", "np.zeros((100000, 1)) @ np.zeros((1, 100000))", "elements"),
    (
        "slow matrix product",
        "np.zeros((10**4, 10**3), np.int8) @ np.zeros((10**3, 10**3), np.int8)",
        "multiplications",
    ),
    (
        "slow dot",
        "np.dot(np.zeros((10**4, 10**3), bool), np.zeros((10**3, 10**3), bool))",
        "multiplications",
    ),
    ("huge outer product", "np.outer(np.zeros(10**5), np.zeros(10**5))", "elements"),
    ("many percentiles", "np.percentile(data, np.zeros(10**7, np.float16))", "elements"),
    ("huge index", "np.zeros((1000, 1000))[np.zeros((1000, 1000), int)]", "elements"),
    ("huge take", "np.zeros((1000, 1000)).take(np.zeros(10**6, int), 0)", "elements"),
    (
        "too many dimensions",
        "data.reshape((2, 3, 16) + (1, 1, 1, 1, 1, 1) + (1,))[" + "None, " * 23 + "...]",
        "32",
    ),
]


def ids(rows: list[tuple[str, str, str]]) -> list[str]:
    return [name for name, _, _ in rows]


REFUSED = [*PYTHON, *NUMPY, *LIMITS]


@pytest.mark.parametrize(("name", "text", "word"), REFUSED, ids=ids(REFUSED))
def test_it_is_refused_before_there_is_data(name: str, text: str, word: str) -> None:
    with pytest.raises(InputError, match=r"^input transform: .*\(column \d+\)") as caught:
        transform.parse(text)
    message = caught.value.problems[0].message.split("\n")[0]
    assert word in message, name
    assert caught.value.problems[0].hint


@pytest.mark.parametrize(("name", "text", "word"), STEPS, ids=ids(STEPS))
def test_it_is_refused_before_it_is_computed(name: str, text: str, word: str) -> None:
    checked = transform.parse(text)
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=r"^input transform: .*\(column \d+\)") as caught:
            checked(DATA)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert word in caught.value.problems[0].message.split("\n")[0], name
    # Numpy reports its memory too: these are the operands of some rows.
    assert peak < 50e6


def test_the_command_leaves_with_the_status_of_wrong_input(
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, text, _ in REFUSED[::10]:
        argv = ["pack", "m.mge", "-d", "#rand(0,1)", "-o", "o.mge", f"--input-transform={text}"]
        assert cli.main(argv) == ExitStatus.INPUT, name
        assert "input transform: " in capfd.readouterr().err, name


def test_time_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "TIME_LIMIT", -1)
    with pytest.raises(InputError, match="takes longer than"):
        transform.parse("data + 1")(DATA)
