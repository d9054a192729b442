"""What TensorBoard shows of a study: a run per trial with its curves, and the axes as hyper-parameters.

events --> results/STUDY/tensorboard/TRIAL/events.out.tfevents.*

The driver writes, from what it hears. A trial that goes on after a crash, or is run anew, goes on in its folder; steps
that are there already are not written again. A disk that is full ends the writing and not the study.
"""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.orchestrate.event_files import EventFile, message, read_scalars
from harness.orchestrate.jobs import Event, Job

FOLDER = "tensorboard"
MAP, PEAK, STEP = "test/map_avg", "cost/peak_bytes", "cost/step_seconds"
COSTS = ("peak_bytes", "predicted_peak_bytes", "step_seconds", "total_seconds", "gpu_percent", "gpu_used_bytes")
NO_CURVE = ("epoch", "epochs", "attempt", "hand_out", "slot", "extracted", "videos", "test_batch", "test_batches")
LONGEST_NAME = 120
FAILED = ("failed", "out_of_memory")

Axes = Callable[[str], Mapping[str, Any]]
"""From a trial's digest to what tells it from its neighbours, by config path."""


class TensorBoard:
    """Writes a study's event files; `handle` takes its events."""

    def __init__(self, folder: Path, axes: Axes, warn: Callable[[str], None]) -> None:
        """Know where the study's event files are; nothing is written before the first trial starts.

        Args:
            folder: holds one folder per trial.
            axes: a trial's hyper-parameters.
            warn: is told, once and in one sentence, why nothing is written any more.
        """
        self._folder = folder
        self._axes = axes
        self._warn = warn
        self._jobs: dict[str, Job] = {}
        self._runs: dict[str, _Run] = {}
        self._broken = False

    def know(self, job: Job) -> None:
        """Know a job before it starts."""
        self._jobs[job.digest] = job

    def handle(self, event: Event) -> None:
        """Take an event."""
        if event.job is not None:
            self.know(event.job)
        if self._broken or event.digest not in self._jobs:
            return
        try:
            self._take(event, event.digest)
        except (OSError, ImportError) as error:
            self._broken = True
            self._warn(f"TensorBoard's files in {self._folder} are not written any more: {error}")

    def _take(self, event: Event, digest: str) -> None:
        if event.kind not in ("started", "report", "ended"):
            return
        run = self._runs.get(digest)
        if run is None:
            run = self._runs[digest] = _Run(self._folder / run_name(self._jobs[digest].name, digest))
            run.begin(self._axes(digest))
        if event.kind != "started":
            run.point(event.values)
        if event.kind == "ended":
            if event.state != "interrupted":
                run.end(failed=event.state in FAILED)
            del self._runs[digest]


class _Run:
    """The event file of one trial."""

    def __init__(self, folder: Path) -> None:
        self._file = EventFile(folder)
        self._last: dict[str, int] = {}
        for tag, step, _ in read_scalars(folder):
            self._last[tag] = max(step, self._last.get(tag, 0))
        self._epoch = max(self._last.values(), default=0)
        self._began = bool(self._last)

    def begin(self, axes: Mapping[str, Any]) -> None:
        if not self._began:
            experiment, session = _hyperparameters(axes)
            self._file.summary(experiment)
            self._file.summary(session)

    def point(self, values: Mapping[str, Any]) -> None:
        """Write what a report says, at its epoch; a report that names none belongs to the last one."""
        self._epoch = int(values.get("epoch") or self._epoch)
        named = {tag_of(name): value for name, value in values.items() if name not in NO_CURVE}
        new = {
            tag: float(value)
            for tag, value in named.items()
            if isinstance(value, int | float) and math.isfinite(value) and self._last.get(tag, -1) < self._epoch
        }
        if new:
            self._file.scalars(self._epoch, new)
            self._last.update(dict.fromkeys(new, self._epoch))

    def end(self, *, failed: bool) -> None:
        self._file.summary(_session_end(failed=failed))


def run_name(name: str, digest: str) -> str:
    """Return the folder's name for a trial: what people call it, and enough of its digest to be its own.

    `frames 16, placement beside, seed 0` becomes `frames-16,placement-beside,seed-0.01234567`.
    """
    short = re.sub(r"[^\w.,=+-]+", "-", name.replace(", ", ","))
    return f"{short[:LONGEST_NAME].strip('-,.')}.{digest[:8]}"


def tag_of(name: str) -> str:
    """Return the curve's name; TensorBoard puts into one section what stands before the slash."""
    if name.startswith("map"):
        return f"test/{name}"
    return f"cost/{name}" if name in COSTS else f"train/{name}"


def _hyperparameters(axes: Mapping[str, Any]) -> tuple[Any, Any]:
    from tensorboardX.summary import hparams

    plain = {path: value if isinstance(value, bool | int | float | str) else str(value) for path, value in axes.items()}
    experiment, session, _ = hparams(plain, dict.fromkeys((MAP, PEAK, STEP), 0))
    return experiment, session


def _session_end(*, failed: bool) -> Any:
    summary, hparams = message("summary"), message("plugin_hparams")
    status = message("api").Status.Value("STATUS_FAILURE" if failed else "STATUS_SUCCESS")
    data = hparams.HParamsPluginData(session_end_info=hparams.SessionEndInfo(status=status), version=0)
    kind = summary.SummaryMetadata.PluginData(plugin_name="hparams", content=data.SerializeToString())
    tag = "_hparams_/session_end_info"
    return summary.Summary(value=[summary.Summary.Value(tag=tag, metadata=summary.SummaryMetadata(plugin_data=kind))])
