"""Where a study says what happens: the display, TensorBoard, the live file, the folder of tracebacks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.config import TrialConfig
from harness.orchestrate.live import FILE as LIVE
from harness.orchestrate.tensorboard import FOLDER as TENSORBOARD

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Telling:
    """What a run needs to know in order to show itself; none of it changes a result."""

    folder: Path
    """The study's own folder."""
    console: Console
    quiet: bool = False
    """Whether the console stays empty."""
    describe: Callable[[TrialConfig], Mapping[str, Any]] = lambda config: {}
    """Returns a trial's axes and their values, which TensorBoard shows as its hyper-parameters."""
    on_row: Callable[[Row], None] = lambda row: None
    """Called with the core columns of each row of a listed trial once it is written."""

    @property
    def logs(self) -> Path:
        """Folder of the tracebacks of failed trials."""
        return self.folder / "work" / "logs"

    @property
    def live(self) -> Path:
        """File that `tadscale watch` reads."""
        return self.folder / LIVE

    @property
    def curves(self) -> Path:
        """Folder that TensorBoard reads."""
        return self.folder / TENSORBOARD

    def say(self, line: str) -> None:
        """Print a line, unless the console stays empty."""
        if not self.quiet:
            self.console.print(line, style="dim")
