"""One trial from its job to its row, in one process and without Ray.

    job -> fit -> mAP, peak memory -> row in the tables

Whatever happens, a row says so: running out of memory, a loss that is not a number and an exception are
results. Only a process that is killed leaves none; then the checkpoint is what the next attempt starts from.
"""

import json
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.allocator import keep_freed_memory
from harness.config import TrialConfig, digest, flatten, unflatten
from harness.data.guard import BATCH_TIMEOUT_S
from harness.study import State
from harness.tables.storage import Location, TableUnwritable
from harness.tables.write import write_curves, write_row
from models.config import EngineConfig

if TYPE_CHECKING:
    from harness.training.loop import Places
    from harness.training.report import Reporter

PACKAGES = ("torch", "ray", "decord", "timm", "pyarrow", "numpy", "tadscale")
"""Whose versions every row records."""
UNWRITTEN = "unwritten"
"""Under this name the outcome of a trial holds its row and curve, where they could not be written."""


@dataclass(frozen=True, kw_only=True)
class TrialJob:
    """Everything a worker needs to run one trial; travels as JSON."""

    study: str
    name: str
    """For people."""
    config: TrialConfig
    attempt: int
    results: Path
    """The study's own folder: checkpoints, and the tables unless `tables` says where."""
    dataset: Path
    weights: Path | None
    device: str
    threads: int
    data_workers: int
    predicted_peak_bytes: int | None
    slot: str
    """`warm`, `fresh` or `inline`."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Columns the driver knows: git commit, argv."""
    predicted_host_bytes: int = 0
    """What the engine keeps on the host, as predicted."""
    tables: str | None = None
    """Where rows go if not into `results`: a URI such as `s3://bucket/study`."""
    features: Path | None = None
    """Offline features that were given; None: the trial extracts its own where it needs any."""
    class_scores: Path | None = None
    """File of an external classifier."""
    cache_bytes: int = 0
    """How much the frame cache of the machine that runs the trial may hold; 0: no cache."""
    batch_timeout_s: float = BATCH_TIMEOUT_S
    """Longest wait for a batch without any sign of life from those who load it; then the trial has failed."""
    engine: EngineConfig | None = None
    """What the planner made of `auto`; None: the config's own policy, or it is planned where the trial runs."""
    validate_every: int = 0
    """Score the test subset after every n-th epoch, which changes no result; 0: at the end only."""

    @property
    def digest(self) -> str:
        """The trial's identity."""
        return digest(self.config)

    @property
    def rows(self) -> Location:
        """Where the trial's row and curves are written."""
        return self.tables or self.results

    @property
    def work(self) -> Path:
        """Folder of the trial's checkpoint and detections, shared by its attempts."""
        return self.results / "work" / self.digest

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "study": self.study,
            "name": self.name,
            "digest": self.digest,
            "config": json.loads(json.dumps(flatten(self.config))),
            "attempt": self.attempt,
            "results": str(self.results),
            "dataset": str(self.dataset),
            "weights": str(self.weights) if self.weights else None,
            "device": self.device,
            "threads": self.threads,
            "data_workers": self.data_workers,
            "predicted_peak_bytes": self.predicted_peak_bytes,
            "slot": self.slot,
            "provenance": dict(self.provenance),
            "predicted_host_bytes": self.predicted_host_bytes,
            "tables": self.tables,
            "features": str(self.features) if self.features else None,
            "class_scores": str(self.class_scores) if self.class_scores else None,
            "cache_bytes": self.cache_bytes,
            "batch_timeout_s": self.batch_timeout_s,
            "engine": asdict(self.engine) if self.engine else None,
            "validate_every": self.validate_every,
        }

    @classmethod
    def from_json(cls, job: Mapping[str, Any]) -> "TrialJob":
        """Rebuild a job."""
        values = {item.name: job[item.name] for item in fields(cls)}
        return cls(
            **{
                **values,
                "config": unflatten(job["config"]),
                "results": Path(job["results"]),
                "dataset": Path(job["dataset"]),
                **{name: Path(job[name]) if job[name] else None for name in ("weights", "features", "class_scores")},
                "engine": EngineConfig(**job["engine"]) if job["engine"] else None,
            }
        )


def execute(job: Mapping[str, Any], reporter: "Reporter") -> dict[str, Any]:
    """Run one trial attempt, write its row (rank 0) and return the row's core columns."""
    trial = TrialJob.from_json(job)
    row = _row_of_attempt(trial) if job.get("hand_out", 1) > 1 else None
    return run(trial, reporter) if row is None else row


def _row_of_attempt(job: TrialJob) -> dict[str, Any] | None:
    """Return the core columns of the attempt's row: a worker may have died between writing it and saying so."""
    import pyarrow.compute as pc

    from harness.tables.query import load
    from harness.tables.storage import place_of

    if not place_of(job.rows).is_folder:
        return None
    mine = (pc.field("digest") == job.digest) & (pc.field("attempt") == job.attempt)
    rows = load(job.rows).filter(mine).to_pylist()
    return summary(rows[0]) if rows else None


def run(job: TrialJob, reporter: "Reporter") -> dict[str, Any]:
    """Run one trial attempt; see `execute`."""
    from harness.data.cache import cache_here
    from harness.memory.ladder import leaner
    from harness.training.copies import Copies, fetch_if_missing
    from harness.training.extract import features_folder
    from harness.training.loop import Places

    if job.device == "cpu":
        keep_freed_memory()
    _forget_host_peak()
    started, clock = datetime.now(UTC), time.perf_counter()
    copies = Copies(job.tables, job.work)
    places = Places(
        dataset=job.dataset,
        weights=job.weights,
        work=job.work,
        device=job.device,
        threads=job.threads,
        data_workers=job.data_workers,
        features=job.features or features_folder(job.results),
        class_scores=job.class_scores,
        cache=cache_here(job.cache_bytes),
        batch_timeout_s=job.batch_timeout_s,
        engine=_engine(job),
        validate_every=job.validate_every,
        saved=copies.saved,
    )
    job.work.mkdir(parents=True, exist_ok=True)
    fetch_if_missing(job.tables, job.dataset)
    copies.fetch(alone=reporter.world_size == 1)
    planned, ended = None, _attempt(job, places, reporter)
    if ended.state == "out_of_memory" and job.config.engine.policy == "auto":
        # The prediction was wrong, so once a leaner policy is tried: it computes the same.
        assert places.engine is not None
        lean = leaner(job.config, places.engine)
        if lean is not None:
            planned, places = places.engine, replace(places, engine=lean)
            ended = _attempt(job, places, reporter)
    copies.settle()
    meter, outcome, state, error = ended.meter, ended.outcome, ended.state, ended.error
    row = {
        **_identity(job, state, error, started),
        "engine_used": _engine_as_json(places.engine),
        "engine_planned": _engine_as_json(planned),
        "memory_source": meter.source,
        "peak_bytes": meter.peak_bytes,
        "peak_reserved_bytes": meter.reserved_bytes,
        "host_peak_bytes": _host_peak_bytes(),
        "device_name": _device_name(job.device),
        "device_bytes": _device_bytes(job.device),
        "num_workers": reporter.world_size,
        "total_seconds": time.perf_counter() - clock,
        **(_results(outcome) if outcome else _so_far(state, ended.curve)),
    }
    if reporter.rank == 0:
        whole = {**row, **flatten(job.config)}
        curve = outcome.curve if outcome else ended.curve if state == "stopped_early" else ()
        try:
            write_record(job, whole, curve)
        except TableUnwritable:
            # The result travels to the driver, which tries again; the checkpoint stays for the next start.
            return {**summary(row), UNWRITTEN: {"row": whole, "curve": list(curve)}}
        if outcome:
            _keep_only_results(job.work)
            copies.keep_only_results()
        if state == "failed":
            copies.keep(job.work / f"traceback-{job.attempt}.txt")
    return summary(row)


def write_record(job: TrialJob, row: Mapping[str, Any], curve: Sequence[Mapping[str, float | int]]) -> None:
    """Write an attempt's curve and row.

    Raises:
        TableUnwritable: the folder is read-only, the disk is full...; no file is there in part.
    """
    # The row comes last: whoever finds it needs nothing more of this attempt, even if its worker died right then.
    if curve:
        write_curves(job.rows, job.digest, job.attempt, curve, study=job.study)
    write_row(job.rows, row)


@dataclass(frozen=True)
class _Ended:
    """How one attempt with one engine policy ended."""

    meter: Any
    outcome: Any
    state: State
    error: str | None
    curve: Sequence[Mapping[str, float | int]] = ()
    """Of the epochs that were finished, where the trial was asked to stop."""


def _attempt(job: TrialJob, places: "Places", reporter: "Reporter") -> _Ended:
    """Train and test with the policy of `places`; whatever happens to a process of its own is a state."""
    import torch

    from harness.memory.measure import meter_for
    from harness.training.loop import fit
    from harness.training.report import Interrupted

    meter = meter_for(job.device, places.engine)
    try:
        with meter:
            return _Ended(meter, fit(job.config, places, reporter, meter), "finished", None)
    except Interrupted as stop:
        # A scheduler that compares trials ends one for good; a study that is stopped goes on later.
        return _Ended(meter, None, getattr(reporter, "stop_state", "interrupted"), str(stop), stop.curve)
    except torch.OutOfMemoryError as failure:
        if reporter.world_size > 1:
            raise
        # Not retried as it is: the same trial would ask for the same memory again.
        return _Ended(meter, None, "out_of_memory", one_line(failure))
    except Exception as failure:
        if reporter.world_size > 1:
            raise  # the other ranks wait in a collective; only ending the whole group frees them
        return _Ended(meter, None, "failed", f"{one_line(failure)}{_keep_traceback(job)}")


def _keep_traceback(job: TrialJob) -> str:
    """Write the traceback of the exception that is handled; say where, if the disk took it."""
    trace = job.work / f"traceback-{job.attempt}.txt"
    try:
        trace.write_text(traceback.format_exc())
    except OSError:
        return ""
    return f" (traceback: {trace})"


def _engine(job: TrialJob) -> EngineConfig:
    """Return the policy to run with: the driver's choice, the config's, or one planned here for all of the device."""
    if job.engine is not None or job.config.engine.policy != "auto":
        return job.engine or job.config.engine
    from harness.memory.devices import Device, find_device
    from harness.memory.plan import resolve
    from harness.memory.predict import Tracer

    device = find_device("cpu") if job.device == "cpu" else Device("cuda", _device_bytes(job.device))
    with Tracer(job.results / "work" / "predictions", device=device) as tracer:
        return resolve(job.config, device.usable_bytes, tracer)


def _engine_as_json(engine: EngineConfig | None) -> str | None:
    return None if engine is None else json.dumps(asdict(engine), sort_keys=True)


def ended_without_row(job: TrialJob, state: State, error: str) -> dict[str, Any]:
    """Write the row of a trial whose process could not (killed, too large); return its core columns."""
    row = row_without_result(job, state, error)
    write_row(job.rows, row)
    return summary(row)


def row_without_result(job: TrialJob, state: State, error: str) -> dict[str, Any]:
    """Return the whole row of a trial that has no result."""
    return {**_identity(job, state, error, datetime.now(UTC)), **flatten(job.config)}


def summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns of a row that the study's display and Ray need, as plain JSON values."""
    names = (
        "digest",
        "trial",
        "attempt",
        "state",
        "error",
        "map_avg",
        "peak_bytes",
        "predicted_peak_bytes",
        "step_seconds",
        "total_seconds",
    )
    return {name: row.get(name) for name in names}


def one_line(failure: BaseException) -> str:
    """Return an exception as one line for a table."""
    text = " ".join(str(failure).split()) or "no message"
    return f"{type(failure).__name__}: {text}"[:400]


def _identity(job: TrialJob, state: State, error: str | None, started: datetime) -> dict[str, Any]:
    return {
        "study": job.study,
        "trial": job.name,
        "digest": job.digest,
        "attempt": job.attempt,
        "seed": job.config.seed,
        "state": state,
        "error": error,
        "predicted_peak_bytes": job.predicted_peak_bytes,
        "slot": job.slot,
        "versions": _versions(),
        "data_fingerprint": job.config.data.fingerprint,
        "weights_identity": job.config.model.weights or None,
        "started_utc": started,
        "ended_utc": datetime.now(UTC),
        **job.provenance,
    }


def _results(outcome: Any) -> dict[str, Any]:
    result = outcome.result
    return {
        "map_avg": result.map_avg,
        "map_at": {f"{tiou:g}": value for tiou, value in result.map_at.items()},
        "ap": result.ap_mean,
        "step_seconds": outcome.step_seconds,
        "data_wait_share": outcome.data_wait_share,
        "train_seconds": outcome.train_seconds,
        "test_seconds": outcome.test_seconds,
        "params_total": outcome.params_total,
        "params_trainable": outcome.params_trainable,
        "epochs_done": outcome.epochs_done,
        "num_unreadable_videos": len(outcome.unreadable),
        "num_test_videos": result.num_videos,
        "num_test_actions": result.num_instances,
    }


def _so_far(state: State, curve: Sequence[Mapping[str, float | int]]) -> dict[str, Any]:
    """Return what is known of a trial that a scheduler ended for good: its last mAP, if it was ever scored."""
    if state != "stopped_early":
        return {}
    scores = [entry["map_avg"] for entry in curve if "map_avg" in entry]
    return {"epochs_done": len(curve), "map_avg": scores[-1] if scores else None}


def _keep_only_results(work: Path) -> None:
    """Drop what only a resume would need; the averaged weights and the detections stay."""
    from harness.training.checkpoint import CHECKPOINT, CURVE

    for name in (CHECKPOINT, CURVE):
        (work / name).unlink(missing_ok=True)


def _versions() -> dict[str, str]:
    found = {"python": sys.version.split()[0]}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _forget_host_peak() -> None:
    """Begin to count the highest resident size anew, so that earlier trials of a warm slot have no part in it."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # not Linux, or not allowed: then they have


def _host_peak_bytes() -> int:
    """Return the process's highest resident size during the trial, libraries included."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _device_name(device: str) -> str:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(torch.device(device))
    return cpu_name()


def cpu_name() -> str:
    """Return the processor's model name."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.split(':', 1)[1].strip()} ({os.cpu_count()} cores)"
    import platform

    return f"{platform.processor() or platform.machine()} ({os.cpu_count()} cores)"


def _device_bytes(device: str) -> int:
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_properties(torch.device(device)).total_memory
    import psutil

    return psutil.virtual_memory().total
