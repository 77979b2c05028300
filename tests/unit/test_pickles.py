"""Nothing here loads a pickle: by the source, and by what is given to numpy."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "megdump_ci"

MODULES = {
    *("pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"),
    # It unpickles the metadata of a model.
    "megengine.utils.network",
}
CALLS = {"np.load", "numpy.load", "mge.load", "megengine.load", "np.memmap"}
ATTRIBUTES = {"user_info", "Unpickler"}
ARRAYS = ("read_array", "write_array")
"""Functions of numpy that take pickles, or not, by an argument."""


def found(text: str) -> list[str]:
    """What in a module could load a pickle."""
    return [reason for node in ast.walk(ast.parse(text)) for reason in reasons(node)]


def reasons(node: ast.AST) -> Iterator[str]:
    """What of it is in one node."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in MODULES)
    elif isinstance(node, ast.ImportFrom):
        names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name for name in [node.module, *names] if name in MODULES)
    elif isinstance(node, ast.Attribute):
        yield from (text for text in [ast.unparse(node)] if text in CALLS)
        yield from {node.attr} & ATTRIBUTES
    elif isinstance(node, ast.Call):
        taken = [ast.unparse(item.value) for item in node.keywords if item.arg == "allow_pickle"]
        named = ast.unparse(node.func).rpartition(".")[2]
        if taken != ["False"] and (taken or named in ARRAYS):
            yield named


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.stem)
def test_no_module_loads_a_pickle(path: Path) -> None:
    assert found(path.read_text()) == []


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from pickle import loads",
        "import marshal as m",
        "from megengine.utils import network",
        "from megengine.utils.network import Network",
        "x = loaded.metadata.user_info",
        "np.load(path)",
        "np.load(path, allow_pickle=flag)",
        "np.lib.format.read_array(file)",
        "read = mge.load",
        "read_array(file, allow_pickle=flag)",
    ],
)
def test_the_look_at_a_module_finds_them(text: str) -> None:
    assert found(text)
