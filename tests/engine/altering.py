"""Alters a constant of a packed file: ``python altering.py PACKED OUT TYPE``.

It is the largest constant that the first operator of this type reads; one element grows by 1 %.
"""

import sys
from pathlib import Path

import numpy as np

from megdump_ci import packed
from megdump_ci.difference import CONSTANTS
from megdump_ci.engine import graph
from megdump_ci.engine.probing import Inside

source, target, kind = sys.argv[1:]
with open(source, "rb") as file:
    layout = packed.read_layout(file, source)
    loaded = graph.load(packed.read(file, layout.graph), source)
inside = Inside.of(loaded, graph.compared_vars(loaded))
network = inside.network
reader = next(operator for operator in network.operators if operator.type == kind)
constants = [value for value in reader.inputs if network.maker(value).type in CONSTANTS]
old = max(inside.values(constants, {}), key=lambda array: array.size)
new = old.copy()
new.reshape(-1)[np.argmax(np.abs(new))] *= np.float32(1.01)
content = Path(source).read_bytes()
assert content.count(old.tobytes()) == 1
Path(target).write_bytes(content.replace(old.tobytes(), new.tobytes()))
