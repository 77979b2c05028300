"""Importing MegEngine 1.13.0 without what it loads for things that no run does.

``megengine/utils/http_download.py`` takes megfile (with boto3, paramiko and cryptography) and
requests, for downloads; ``megengine/_env_initlization.py`` takes pkg_resources, to look for two
names among all packages; ``megengine/utils/persistent_cache.py`` takes filelock, and
``megengine/utils/deprecation.py`` deprecated, both of which come with asyncio. Together they are
more than half of the import's time. While MegEngine is imported, others stand in for them; whoever
imports them later gets the real ones, MegEngine and the user's code alike. What of MegEngine is
deprecated works, and does not say so.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar

from megdump_ci.sandbox import system

_LATER = ("megfile", "requests", "filelock")
_Function = TypeVar("_Function", bound=Callable[..., Any])
_SLACK = 2_000_000
"""Nanoseconds; what is released later than it could be is what was made in such a time."""
_CLASHING = ("megbrain", "megenginelite")
"""Packages beside which MegEngine does not want to be imported."""


def load() -> None:
    """Import MegEngine."""
    # All that an import makes is there to stay, but for a few: looking for those takes a tenth.
    gc.disable()
    with _stand_ins(), _slack():
        megengine = importlib.import_module("megengine")
        _first_tensor(megengine)
    gc.freeze()
    gc.enable()


def _first_tensor(megengine: ModuleType) -> None:
    """Have MegEngine start the thread that comes with it.

    It looks every 10 us, as long as the process is there, for what can be released
    (``imperative/src/impl/physical_tensor.cpp``).
    """
    try:
        megengine.tensor(0.0).numpy()
    except RuntimeError as error:
        # The engine hides why; with a number, nothing else can be wrong.
        raise MemoryError from error


@contextlib.contextmanager
def _slack() -> Iterator[None]:
    """Threads that start in this context may sleep for longer than they ask for.

    Where that cannot be set, they do not.
    """
    with contextlib.suppress(OSError):
        system.prctl(system.PR_SET_TIMERSLACK, _SLACK)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            # To what it was when this thread began.
            system.prctl(system.PR_SET_TIMERSLACK, 0)


@contextlib.contextmanager
def _stand_ins() -> Iterator[None]:
    found: dict[str, ModuleType] = {name: _Later(name) for name in _LATER}
    found["pkg_resources"] = _Installed("pkg_resources")
    found["deprecated"] = _Undecorated("deprecated")
    found["deprecated.sphinx"] = found["deprecated"]
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


class _Undecorated(ModuleType):
    """Stands in for deprecated: leaves functions as they are."""

    @staticmethod
    def deprecated(**_: str) -> Callable[[_Function], _Function]:
        """A decorator; what it is given is what its warning would say."""
        return lambda function: function


def _is_installed(name: str) -> bool:
    """As importlib.metadata would tell, which takes a while to load."""
    found = (path for entry in sys.path for path in Path(entry or ".").glob("*-*.*-info"))
    return any(path.name.lower().startswith(f"{name}-") for path in found)
