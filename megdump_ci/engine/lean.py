"""Importing MegEngine 1.13.0 without what it loads for things that no run does.

``megengine/utils/http_download.py`` takes megfile (with boto3, paramiko and cryptography) and
requests, for downloads; ``megengine/_env_initlization.py`` takes pkg_resources, to look for two
names among all packages. Together they are nearly half of the import's time. While MegEngine is
imported, others stand in for them; whoever imports them later gets the real ones, MegEngine and
the user's code alike.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from types import ModuleType, SimpleNamespace
from typing import Any

_LATER = ("megfile", "requests")
_CLASHING = ("megbrain", "megenginelite")
"""Packages beside which MegEngine does not want to be imported."""


def load() -> None:
    """Import MegEngine."""
    with _stand_ins():
        importlib.import_module("megengine")


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    found: dict[str, ModuleType] = {name: _Later(name) for name in _LATER}
    found["pkg_resources"] = _Installed("pkg_resources")
    added = {name: module for name, module in found.items() if name not in sys.modules}
    sys.modules.update(added)
    try:
        yield
    finally:
        for name in added:
            del sys.modules[name]


class _Later(ModuleType):
    """Stands in for a package, which is loaded when something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is not self:
            return getattr(importlib.import_module(self.__name__), name)
        return self._deferred(name)

    def _deferred(self, name: str) -> Callable[..., Any]:
        """A function for one of the package: MegEngine takes some out of it by name."""

        def call(*arguments: Any, **options: Any) -> Any:
            return getattr(self, name)(*arguments, **options)

        return call


class _Installed(ModuleType):
    """Stands in for pkg_resources: of all packages it has those that MegEngine asks for."""

    @property
    def working_set(self) -> list[SimpleNamespace]:
        """Those that are installed."""
        return [SimpleNamespace(key=name) for name in _CLASHING if _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
