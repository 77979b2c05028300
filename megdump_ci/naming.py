"""Names in graphs: those that somebody gave, and those that MegEngine makes up."""

from __future__ import annotations

import re

# Made of the operator's number, and so of what comes before it: conv(x,const{8,3}[4])[9]:o1.
_MADE_UP = re.compile(r"\[\d+\](:o\d+)?(@\d+)?\Z")


def is_stable(name: str) -> bool:
    """Whether a name was given by a person or their code, and not made up by the engine."""
    return bool(name) and _MADE_UP.search(name) is None
