"""The progress bar."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class Bar:
    """A bar in a terminal, gone once it is stopped."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self._task = self._progress.add_task("starting", total=None)
        self.start, self.stop = self._progress.start, self._progress.stop

    def update(self, **values: Any) -> None:
        """Change what it shows: ``description``, ``completed``, ``total``."""
        self._progress.update(self._task, **values)
