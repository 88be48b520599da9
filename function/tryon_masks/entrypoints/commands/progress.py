"""What commands show while they work: answers on stdout, a progress bar on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self


class ProgressBar:
    """A bar on stderr; on anything but a terminal only its last state is printed.

    Parameters
    ----------
    total, done
        How many photos there are, and how many of them need no work.
    shown
        False: no bar.
    """

    def __init__(self, total: int, done: int = 0, *, shown: bool = True) -> None:
        # Here, so that --version and --help need not load it.
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._progress = Progress(
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            redirect_stdout=False,
            disable=not shown,
        )
        self._task = self._progress.add_task("", total=total, completed=done)
        self._shown = shown

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def advance(self) -> None:
        """Count one more photo."""
        self._progress.advance(self._task)

    def set(self, done: int) -> None:
        """Say how many photos are done."""
        self._progress.update(self._task, completed=done)

    def print(self, line: str) -> None:
        """Print a line on stdout, above the bar where both are on a terminal."""
        console = self._progress.console
        if self._shown and console.is_terminal and sys.stdout.isatty():
            console.out(line, highlight=False)
        else:
            print(line, flush=True)


def answer_line(answer: Mapping[str, Any], photo: str) -> str:
    """Return an answer as one line of JSON, with the photo that it is for."""
    return json.dumps({**answer, "photo": photo})
