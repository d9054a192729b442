"""A trained detector as one file that says what it is: config, classes, what trained, and which weights stayed frozen.

    detector.pt = {"format", "version", "config": JSON, "classes": [name], "ema": {name: tensor},
                   "frozen": {"digest", "path"} or None}

The frozen backbone is not in it, so that the file of a 1 B-parameter backbone is about as large as the head. It is
found where it lay while training, or below `--weights`, and is told by its digest. A backbone that started from random
weights comes from the trial's seed.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from harness.config import TrialConfig, flatten, unflatten, with_values
from harness.training.checkpoint import write_atomically
from models.checkpoints import load_detector
from models.checkpoints.reading import read_file
from models.config import OfflineConfig
from models.detector import Detector
from models.digest import weights_digest
from models.tuning import trainable_state

FORMAT, VERSION = "tadscale detector", 1
FILE_NAME = "detector.pt"


@dataclass(frozen=True, kw_only=True)
class SavedDetector:
    """What a detector file says of itself."""

    path: Path
    config: TrialConfig
    classes: tuple[str, ...]
    frozen_digest: str
    """Of the pretrained weights that stayed as they were; empty: there are none."""
    frozen_path: Path | None
    """Where they lay while training."""


def save_detector(
    path: Path, detector: Detector, config: TrialConfig, classes: Sequence[str], weights: Path | None
) -> None:
    """Write what training changed, and all that is needed to build the rest; whole or not at all.

    Args:
        path: where.
        detector: with the weights to keep, usually their average.
        config: the trial.
        classes: names of its classes, in the order of its outputs.
        weights: the pretrained backbone it started from.
    """
    frozen = weights is not None and config.model.tuning != "full"
    content = {
        "format": FORMAT,
        "version": VERSION,
        "config": json.dumps(flatten(config)),
        "classes": list(classes),
        "ema": {name: value.detach().cpu().clone() for name, value in trainable_state(detector).items()},
        "frozen": {"digest": weights_digest(weights), "path": str(weights.resolve())} if frozen and weights else None,
    }
    write_atomically(path, content)


def is_saved(content: object) -> bool:
    """Whether a file's content is a detector that `save_detector` wrote."""
    return isinstance(content, Mapping) and content.get("format") == FORMAT


def read_saved(path: Path) -> SavedDetector | None:
    """Return what a detector file says of itself; None if it is a file of another kind.

    Raises:
        ValueError: the file cannot be read safely, was damaged, or was written by another version.
    """
    content = read_file(path)
    if not is_saved(content):
        return None
    assert isinstance(content, Mapping)
    if content.get("version") != VERSION:
        raise ValueError(f"{path} is a detector of format {content.get('version')}, expected {VERSION}")
    config, classes, frozen = _config(path, content.get("config")), content.get("classes"), content.get("frozen")
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise ValueError(f"{path} has no list of class names, expected a detector as `tadscale train` writes it")
    if len(classes) != config.data.num_classes:
        raise ValueError(f"{path} names {len(classes)} classes, expected the {config.data.num_classes} of its config")
    if frozen is not None and not _is_frozen(frozen):
        raise ValueError(f"{path} does not say which weights stayed frozen, expected their digest and path")
    return SavedDetector(
        path=path,
        config=config,
        classes=tuple(classes),
        frozen_digest=frozen["digest"] if frozen else "",
        frozen_path=Path(frozen["path"]) if frozen else None,
    )


def open_saved(saved: SavedDetector, weights: Path | None = None) -> Detector:
    """Build the detector and fill it, ready to detect; frozen weights other than those of the training are refused.

    Args:
        saved: what `read_saved` returned.
        weights: the frozen weights; None: from where they lay while training.

    Raises:
        ValueError: they are not there or not the same, or the file does not fit its own config.
    """
    from harness.training.loop import Places, prepare_detector

    config = saved.config
    if isinstance(config.model.backbone, OfflineConfig):
        raise ValueError(
            f"{saved.path} detects on the features {config.model.backbone.name}, which are not made from video here; "
            "expected a detector with a backbone"
        )
    if config.model.tuning == "features":
        # The head sees what the frozen backbone gives, extracted before or not.
        config = with_values(config, {"model.tuning": "frozen"})
    torch.manual_seed(config.seed)
    places = Places(dataset=Path(), weights=_frozen_weights(saved, weights), work=Path())
    detector = prepare_detector(config, places)
    load_detector(detector, saved.path)
    return detector.eval()


def _frozen_weights(saved: SavedDetector, weights: Path | None) -> Path | None:
    if not saved.frozen_digest:
        return None
    path = weights or saved.frozen_path
    assert path is not None
    name = saved.config.model.backbone.name
    if not path.exists():
        raise ValueError(
            f"{path} is not there, which {saved.path} needs for its frozen backbone; expected --weights with the file "
            f"of {name} whose digest is {saved.frozen_digest}"
        )
    found = weights_digest(path)
    if found != saved.frozen_digest:
        raise ValueError(
            f"{path} has the digest {found}, but {saved.path} was trained beside weights of {name} with "
            f"{saved.frozen_digest}; expected those"
        )
    return path


def _config(path: Path, text: Any) -> TrialConfig:
    try:
        return unflatten(json.loads(text))
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise ValueError(f"{path} has no usable config ({error}); expected one that this version can read") from None


def _is_frozen(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(value.get(name), str) for name in ("digest", "path"))
