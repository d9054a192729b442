"""The training loop, read top to bottom: build, restore, train, save, test.

    dataset (-> offline features) -> windows -> batches -> train_step ... -> averaged weights
        -> test windows -> detections -> mAP (at the end; between epochs too, where somebody wants to watch it)

It knows neither Ray nor tables. What it has to say goes through a `Reporter`; what it needs to find is in
`Places`. Everything random derives from the trial's seed and the position, so a run that was killed and resumed
ends with the same numbers as one that was not.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from harness.atomic import whole_file
from harness.config import TrialConfig, digest
from harness.data.cache import FrameCache
from harness.data.guard import BATCH_TIMEOUT_S
from harness.data.index import load_index
from harness.data.loader import Batch, train_loader
from harness.evaluation.average_precision import MapResult
from harness.training.checkpoint import CHECKPOINT, CURVE, Position, load_checkpoint, save_checkpoint
from harness.training.distributed import any_rank, broadcast_parameters
from harness.training.extract import ensure_features
from harness.training.infer import check_class_scores, score
from harness.training.optim import learning_rate_factor, set_learning_rate
from harness.training.report import Interrupted, Meter, Metrics, Reporter
from harness.training.step import Trainee, train_step
from harness.training.validation import Validation
from models.checkpoints import load_backbone
from models.config import EngineConfig
from models.detector import Detector, build_detector


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where things are and what they run on; none of it changes a result."""

    dataset: Path
    """The index that `prepare_dataset` wrote."""
    weights: Path | None
    """Pretrained backbone; None: random initialisation."""
    work: Path
    """Folder of this trial's checkpoints and detections."""
    device: str = "cpu"
    threads: int = 1
    """Threads of one operator on the CPU."""
    data_workers: int = 0
    """Decoding processes; 0 decodes in the training process."""
    features: Path | None = None
    """Folder for features that trials share; None: this trial's own. With an offline backbone: the user's features."""
    class_scores: Path | None = None
    """What an external classifier says of the test videos."""
    cache: FrameCache | None = None
    """Where decoded frames are kept; None: every epoch decodes anew."""
    batch_timeout_s: float = BATCH_TIMEOUT_S
    """Longest wait for a batch without any sign of life from those who load it."""
    engine: EngineConfig | None = None
    """How steps are executed, where the planner decided it; None: as the config says."""
    saved: Callable[[], None] = lambda: None
    """Told, on rank 0, that there is a new checkpoint."""
    validate_every: int = 0
    """Score the test subset after every n-th epoch, for whoever compares trials under way; 0: at the end only."""


@dataclass
class Fit:
    """What a training run leaves behind."""

    result: MapResult
    params_total: int
    params_trainable: int
    step_seconds: float
    """Median over the optimiser steps of this attempt, waiting for data included."""
    data_wait_share: float
    """Share of the step time spent waiting for data."""
    train_seconds: float
    """Training time over all attempts, without the test."""
    test_seconds: float
    epochs_done: int
    unreadable: dict[str, str] = field(default_factory=dict)
    """Videos that could not be read during the run, and why."""
    curve: list[dict[str, float | int]] = field(default_factory=list)
    """One entry per epoch: loss, its parts and the learning rate, over all attempts; `map_avg` where it was scored."""


def fit(config: TrialConfig, places: Places, reporter: Reporter, meter: Meter) -> Fit:
    """Train one trial, or the rest of it, and score it on the test subset.

    Raises:
        Interrupted: the reporter asked to stop; the state is in the checkpoint.
        ValueError: the data or the weights do not fit the config.
    """
    torch.set_num_threads(places.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    # With them torch also writes every new tensor full before it is used, 9 % of a tiny step; nothing here reads
    # what was not written, and the losses are the same to the bit.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.manual_seed(config.seed)
    device = torch.device(places.device)
    dataset = load_index(places.dataset)
    if len(dataset.classes) != config.data.num_classes:
        raise ValueError(
            f"data.num_classes is {config.data.num_classes}, but the data has {len(dataset.classes)} classes"
        )
    check_class_scores(config, places.class_scores, dataset)

    identity = digest(config)
    # The planner's policy is no part of the trial's identity: it changes nothing that is computed.
    config = replace(config, engine=places.engine or config.engine)
    detector = prepare_detector(config, places).to(device)
    detector.train()
    trainee = Trainee.create(detector, config, device.type)
    broadcast_parameters(trainee.trainables)
    # Dropout differs between ranks; everything before this line must not.
    torch.manual_seed(config.seed * 1_000_003 + reporter.rank)

    checkpoint, curve_path = places.work / CHECKPOINT, places.work / CURVE
    position = load_checkpoint(checkpoint, trainee, digest=identity) if checkpoint.is_file() else Position()
    curve = _read_curve(curve_path, position.epoch)
    unreadable: dict[str, str] = {}
    features = (
        ensure_features(config, places, dataset, reporter, unreadable) if config.model.tuning == "features" else None
    )
    watch = Validation(trainee, dataset, config, places, reporter, meter, features)
    if curve and watch.due(position.epoch) and position.step == 0 and "map_avg" not in curve[-1]:
        # Killed between an epoch's checkpoint and its score.
        curve[-1]["map_avg"] = watch.score(unreadable)
        _write_curve(curve_path, curve, reporter)
        reporter.report(_progress(curve[-1], trainee, config, meter))
    step_times: list[float] = []
    wait_seconds, seconds_before = 0.0, position.seconds
    started = time.perf_counter()

    for epoch in range(position.epoch, config.training.epochs):
        loader = train_loader(
            dataset,
            config.data,
            batch_size=config.training.batch_size,
            repeat=config.training.repeat,
            seed=config.seed,
            epoch=epoch,
            rank=reporter.rank,
            world_size=reporter.world_size,
            workers=places.data_workers,
            batch_timeout_s=places.batch_timeout_s,
            first_batch=position.step,
            unreadable=unreadable,
            features=features,
            cache=places.cache,
        )
        sums = {name: torch.tensor(value, device=device) for name, value in position.sums.items()}
        steps_per_epoch = position.step + len(loader)
        step_start = time.perf_counter()
        for index, batch in enumerate(_on_device(loader, device, config), start=position.step):
            waited = time.perf_counter() - step_start
            factor = learning_rate_factor(epoch * steps_per_epoch + index, steps_per_epoch, config.training)
            set_learning_rate(trainee.optimizer, factor)
            tensors = _tensors(batch, config)
            with meter.step(detector, trainee.optimizer, trainee.ema.state, trainee.ema.frozen, tensors):
                losses = train_step(trainee, *tensors, config)
            for name, value in losses.items():
                sums[name] = sums.get(name, torch.zeros((), device=device)) + value
            now = time.perf_counter()
            step_times.append(now - step_start)
            wait_seconds += waited
            step_start = now
            position = Position(epoch, index + 1, seconds_before + now - started)
            # Asking every rank costs a message; alone it costs nothing. Short epochs are asked about at their end.
            asks = reporter.world_size == 1 or index % 20 == 19 or index + 1 == steps_per_epoch
            if asks and any_rank(reporter.should_stop()):
                position.sums = {name: float(value) for name, value in sums.items()}
                save_checkpoint(checkpoint, trainee, position, digest=identity)
                _tell(places, reporter)
                raise Interrupted(f"stopped in epoch {epoch + 1} of {config.training.epochs}", curve)
        means = {name: float(value) / steps_per_epoch for name, value in sums.items()}
        if not all(map(math.isfinite, means.values())):
            raise FloatingPointError(f"the loss is not a number in epoch {epoch + 1}")
        last_factor = learning_rate_factor((epoch + 1) * steps_per_epoch - 1, steps_per_epoch, config.training)
        curve.append({"epoch": epoch + 1, "learning_rate_factor": last_factor, **means})
        _write_curve(curve_path, curve, reporter)
        position = Position(epoch + 1, 0, position.seconds)
        save_checkpoint(checkpoint, trainee, position, digest=identity)
        if watch.due(epoch + 1):
            test_start = time.perf_counter()
            curve[-1]["map_avg"] = watch.score(unreadable)
            _write_curve(curve_path, curve, reporter)
            started += time.perf_counter() - test_start  # no part of the training time
        _tell(places, reporter)
        reporter.report(_progress(curve[-1], trainee, config, meter))

    test_start = time.perf_counter()
    with meter.aside():
        result = score(trainee, dataset, config, places, reporter, unreadable, features)
    if places.validate_every:
        curve[-1]["map_avg"] = result.map_avg
    reporter.report({"map_avg": result.map_avg, "peak_bytes": _peak(meter)})
    return Fit(
        result=result,
        params_total=sum(p.numel() for p in detector.parameters()),
        params_trainable=sum(p.numel() for p in trainee.trainables),
        step_seconds=_median(step_times),
        data_wait_share=wait_seconds / max(sum(step_times), 1e-9),
        train_seconds=position.seconds,
        test_seconds=time.perf_counter() - test_start,
        epochs_done=position.epoch,
        unreadable=unreadable,
        curve=curve,
    )


def prepare_detector(config: TrialConfig, places: Places) -> Detector:
    """Return the trial's detector with its pretrained backbone loaded, on the CPU.

    Frozen weights are brought into their stored form here, so that no device ever holds them in float32.
    """
    weights = places.weights
    return build_detector(
        config.model,
        num_classes=config.head_classes,
        features=config.data.window.features,
        resolution=config.data.window.resolution,
        engine=config.engine,
        fill=None if weights is None else lambda backbone: load_backbone(backbone, weights),
    )


def _on_device(loader: Iterable[Batch], device: torch.device, config: TrialConfig) -> Iterator[Batch]:
    for batch in loader:
        if config.engine.inputs_on == "device":
            yield batch.to(device)
        else:
            # The engine brings the frames by itself, a few clips at a time.
            rest = {name: getattr(batch, name).to(device) for name in ("mask", "segments", "labels")}
            yield replace(batch, **rest)


def _tensors(batch: Batch, config: TrialConfig) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    # A head with one class, beside an external classifier, sees actions of that class only.
    return batch.inputs, batch.mask, batch.segments, batch.labels.clamp(max=config.head_classes - 1)


def _progress(entry: dict[str, float | int], trainee: Trainee, config: TrialConfig, meter: Meter) -> Metrics:
    shown: Metrics = {name: value for name, value in entry.items() if name != "learning_rate_factor"}
    rate = max(group["lr"] for group in trainee.optimizer.param_groups)
    return {**shown, "epochs": config.training.epochs, "learning_rate": rate, "peak_bytes": _peak(meter)}


def _tell(places: Places, reporter: Reporter) -> None:
    if reporter.rank == 0:
        places.saved()


def _peak(meter: Meter) -> int | None:
    return getattr(meter, "peak_bytes", None)


def _median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0


def _read_curve(path: Path, epochs: int) -> list[dict[str, float | int]]:
    """Return the curve's first epochs; a line after the checkpoint belongs to an epoch that will be run again."""
    if not path.is_file() or not epochs:
        return []
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return [entry for entry in entries if entry["epoch"] <= epochs]


def _write_curve(path: Path, curve: list[dict[str, float | int]], reporter: Reporter) -> None:
    if reporter.rank:
        return
    with whole_file(path) as temporary:
        temporary.write_text("".join(json.dumps(entry) + "\n" for entry in curve))
