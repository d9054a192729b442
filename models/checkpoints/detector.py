"""Filling a whole detector from a published checkpoint or one of our own, strictly."""

from pathlib import Path

from torch import Tensor

from models.checkpoints.backbone import COUNTER
from models.checkpoints.containers import Contents, read_contents
from models.checkpoints.layout import Translated
from models.checkpoints.opentad import NAME, is_opentad, is_own, translate_detector
from models.checkpoints.registry import recognise
from models.checkpoints.strict import fill
from models.config import DetectorConfig
from models.detector import Detector
from models.tuning import trainable_state

OWN_NAME = "a detector of ours"
OWN_TRAINING_NAME = "a training checkpoint of ours, which holds what trains and no frozen weights"
OWN_CONTAINERS = ("trainable", "ema")


def load_detector(detector: Detector, path: Path, *, ema: bool = True) -> None:
    """Fill a detector from a checkpoint of OpenTAD (AdaTAD), or from one of our own.

    A training checkpoint of ours fills what trains; the frozen backbone of such a detector has to be loaded with
    `load_backbone`, before or after.

    Args:
        detector: what to fill.
        path: the checkpoint.
        ema: take the moving average of the weights, if the file has one; False: the weights themselves.

    Raises:
        ValueError: the file cannot be read safely, is no detector, or does not fit exactly; the detector is unchanged
            then.
    """
    contents = read_contents(path, averaged=ema)
    if contents.averaged and not ema:
        raise ValueError(f"{path} holds only the moving average of the weights, expected the weights (ema=False)")
    config = detector.config
    subject = f"{path} does not fit the detector ({config.backbone.name}, {config.head.kind})"
    what = detector_name(contents)
    if not what:
        raise ValueError(f"{subject}: it looks like {_other_name(contents)}, expected a whole detector")
    subject += f": it looks like {what}"
    try:
        translated = translate(contents, config)
    except ValueError as error:
        raise ValueError(f"{subject}; {error}") from None
    fill(wanted_of(detector, contents), translated, subject=subject)


def detector_name(contents: Contents) -> str:
    """Say what kind of detector a file holds; empty if it holds none."""
    if is_opentad(contents.tensors):
        return NAME
    if is_own(contents.tensors):
        return OWN_TRAINING_NAME if contents.container in OWN_CONTAINERS else OWN_NAME
    return ""


def translate(contents: Contents, config: DetectorConfig) -> Translated:
    """Return a detector's file under the names of the `state_dict()` of a detector with this config.

    Raises:
        ValueError: its head or backbone is of another kind.
    """
    if is_opentad(contents.tensors):
        return translate_detector(contents.tensors, config)
    return Translated(state={name: value for name, value in contents.tensors.items() if not name.endswith(COUNTER)})


def wanted_of(detector: Detector, contents: Contents) -> dict[str, Tensor]:
    """Return the detector's tensors that such a file has to fill."""
    training = detector_name(contents) == OWN_TRAINING_NAME
    state = trainable_state(detector) if training else detector.state_dict()
    return {name: value for name, value in state.items() if not name.endswith(COUNTER)}


def _other_name(contents: Contents) -> str:
    found = recognise(contents.tensors)
    return found.layout.name if found else "nothing that is known"
