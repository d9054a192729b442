"""From `--checkpoint` to a detector that is ready: our own files say what they are, OpenTAD's need to be told.

detector.pt ---------------------------------------> config, classes --+
OpenTAD's .pth -> its networks, + --on, --classes -> config, classes --+--> --set -> detector on the device
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.options import UserError
from harness.cli.terminal import Terminal
from harness.config import TrialConfig, parse_value, with_values

if TYPE_CHECKING:
    from harness.detection import ClassScores
    from harness.training.saved import SavedDetector
    from models.checkpoints import DetectorFound
    from models.detector import Detector

CHANGEABLE = ("data.window.", "data.test_overlap", "detection.", "training.precision", "engine.")
"""What `--set` may change of a trained detector; the rest is in its weights."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A detector on its device, with all that it takes to use it."""

    detector: "Detector"
    config: TrialConfig
    classes: tuple[str, ...]
    classifier: "ClassScores | None"
    device: str


def open_detector(given: argparse.Namespace, terminal: Terminal) -> Ready:
    """Open the checkpoint that the options name.

    Raises:
        ValueError: one sentence that says what is wrong with the file or missing beside it.
    """
    from harness.memory.devices import find_device
    from harness.training.infer import open_class_scores
    from harness.training.saved import read_saved

    saved = read_saved(given.checkpoint)
    if saved is not None:
        detector, config, classes = _own(saved, given)
    else:
        detector, config, classes = _published(given, terminal)
    device = "cpu" if find_device(given.device).name == "cpu" else "cuda"
    return Ready(
        detector=detector.to(device).eval(),
        config=config,
        classes=classes,
        classifier=open_class_scores(config, given.class_scores),
        device=device,
    )


def _own(saved: "SavedDetector", given: argparse.Namespace) -> "tuple[Detector, TrialConfig, tuple[str, ...]]":
    from harness.training.saved import open_saved

    for name in ("on", "classes"):
        if getattr(given, name) is not None:
            raise UserError(f"--{name} goes with OpenTAD's checkpoints only; {saved.path} says it itself")
    saved = replace(saved, config=_changed(saved.config, given.set))
    return open_saved(saved, given.weights), saved.config, saved.classes


def _published(given: argparse.Namespace, terminal: Terminal) -> "tuple[Detector, TrialConfig, tuple[str, ...]]":
    from models.checkpoints import identify, load_backbone, load_detector
    from models.detector import build_detector

    path: Path = given.checkpoint
    identified = identify(path)
    if identified.detector is None:
        why = identified.problem or f"it looks like {identified.layout}"
        raise UserError(f"{path} is no detector that can be used ({why}); expected one of OpenTAD's, or a detector.pt")
    found = identified.detector
    if given.on is None:
        guess = f"; its head is that of {found.setting}" if found.setting else ""
        raise UserError(f"{path} does not say what it was trained on, expected --on NAME{guess}")
    classes = _classes(given, found.num_classes)
    config = _config(found, given, len(classes))
    terminal.note(f"{path}: {identified.layout}, {config.model.backbone.name}, {found.num_classes} classes")
    detector = build_detector(
        config.model,
        num_classes=config.head_classes,
        features=config.data.window.features,
        resolution=config.data.window.resolution,
        engine=config.engine,
    )
    if identified.container in ("trainable", "ema"):
        if given.weights is None:
            raise UserError(
                f"{path} holds no frozen weights, expected --weights with the backbone it was trained beside"
            )
        assert detector.backbone is not None
        load_backbone(detector.backbone, given.weights)
    load_detector(detector, path)
    return detector, config, classes


def _config(found: "DetectorFound", given: argparse.Namespace, num_classes: int) -> TrialConfig:
    """Return the settings of the data set around the networks of the file."""
    from harness import presets
    from harness.cli.dataset import on_dataset
    from harness.data.datasets import dataset_of
    from harness.study import Grid
    from models.config import OfflineConfig

    if isinstance(found.config.backbone, OfflineConfig):
        raise UserError(f"{given.checkpoint} detects on offline features, expected a detector with a backbone")
    base = with_values(presets.thumos_adatad(), {"model.backbone": found.config.backbone})
    base = on_dataset(Grid(base=base, axes={}), dataset_of(given.on), "opentad", external=found.num_classes == 1).base
    named = found.num_classes == num_classes
    # Not the data set's published networks but those of the file; a head with more classes than one names them itself.
    values: dict[str, Any] = {"model": found.config, "data.num_classes": num_classes}
    if named:
        values["detection.external"] = "none"
    config = with_values(base, {**values, **_overrides(base, given.set, (*CHANGEABLE, "model."))})
    if config.head_classes != found.num_classes:
        raise UserError(
            f"{given.checkpoint} has {found.num_classes} classes, but {given.classes or given.on} names {num_classes}; "
            "expected as many, or one class and --set detection.external=KIND"
        )
    return config


def _changed(config: TrialConfig, overrides: Sequence[str]) -> TrialConfig:
    return with_values(config, _overrides(config, overrides, CHANGEABLE))


def _overrides(config: TrialConfig, overrides: Sequence[str], allowed: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in overrides:
        path, _, value = text.partition("=")
        if not path or not value:
            raise UserError(f"--set is {text}, expected PATH=VALUE")
        if not path.startswith(allowed):
            raise UserError(f"--set is {text}, but what a trained detector can change is {', '.join(allowed)}")
        values[path] = parse_value(config, path, value)
    return values


def _classes(given: argparse.Namespace, in_head: int) -> tuple[str, ...]:
    """Return the names of the classes; `in_head` of them unless an external classifier tells them apart."""
    from harness.data.classes import read_classes
    from harness.data.datasets import dataset_of

    known = read_classes(given.classes) if given.classes is not None else dataset_of(given.on).classes
    if not known:
        number = f"{in_head} names" if in_head > 1 else "its names"
        raise UserError(f"{given.on} has no fixed list of classes, expected --classes FILE with {number}, one a line")
    return tuple(known)
