"""What the study says on the terminal: stages with progress, notes, errors; stderr when stdout carries JSON."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

FILE_WIDTH = 120
"""Columns of a table that goes to a file or a pipe."""
LINE_EVERY_S = 10.0
"""Seconds between two progress lines where the output is a file."""


class Terminal:
    """Writes for people; silent progress when quiet."""

    def __init__(self, *, json: bool = False, quiet: bool = False) -> None:
        """Choose the stream: with `json`, stdout is left to the machine."""
        stream = sys.stderr if json else sys.stdout
        # A file has no width: there a table's cells are not cut to a terminal's 80 columns.
        width = None if stream.isatty() or "COLUMNS" in os.environ else FILE_WIDTH
        self.console = Console(file=stream, highlight=False, soft_wrap=True, width=width)
        self.quiet = quiet

    def say(self, text: str) -> None:
        """Write a line."""
        self.console.print(text, markup=False)

    def note(self, text: str) -> None:
        """Write a line that is progress, not result."""
        if not self.quiet:
            self.console.print(text, markup=False, style="dim")

    @contextmanager
    def stage(self, name: str) -> Iterator[Callable[[int, int], None]]:
        """Show the progress of one stage; the callback takes (done, to do) and may never be called."""
        if self.quiet:
            yield lambda done, total: None
        elif self.console.is_terminal:
            with self._bar() as bar:
                task = None

                def advance(done: int, total: int) -> None:
                    nonlocal task
                    if task is None:
                        task = bar.add_task(name, total=total)
                    bar.update(task, completed=done, total=total)

                yield advance
        else:
            yield self._lines(name)

    def _bar(self) -> Progress:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
        )
        return Progress(*columns, console=self.console)

    def _lines(self, name: str) -> Callable[[int, int], None]:
        last = 0.0

        def advance(done: int, total: int) -> None:
            nonlocal last
            now = time.monotonic()
            if done == total or now - last >= LINE_EVERY_S:
                last = now
                self.say(f"{name}: {done} of {total}")

        return advance
