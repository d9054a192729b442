"""Published and own weights: reading files safely, telling whose they are, filling networks strictly."""

from models.checkpoints.backbone import load_backbone
from models.checkpoints.containers import read_state
from models.checkpoints.detector import load_detector
from models.checkpoints.found import DetectorFound
from models.checkpoints.identify import Identified, identify
from models.checkpoints.writing import save_backbone

__all__ = [
    "DetectorFound",
    "Identified",
    "identify",
    "load_backbone",
    "load_detector",
    "read_state",
    "save_backbone",
]
