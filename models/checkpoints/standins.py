"""What published checkpoints hold besides tensors, and inert objects to read in its place.

Checkpoints carry their training's arguments, loss curves and settings as pickled objects. Reading them with
`weights_only=True` is refused by torch for every class that is not on its list, and putting the real classes there
would run their constructors. Nothing of it is wanted here, so each name below is answered with a stand-in that
keeps nothing and calls nothing: the class it stands for is neither imported nor run. Any other name is refused.
"""

from collections.abc import Callable


class Ignored:
    """Takes the place of an object that nobody will look at."""

    def __new__(cls, *args: object, **kwargs: object) -> "Ignored":
        """Take any arguments and forget them."""
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        """Take any arguments and forget them."""

    def __setstate__(self, state: object) -> None:
        """Forget the pickled attributes."""


def ignored_mapping(*args: object) -> dict[object, object]:
    """Return a dict in place of a `defaultdict`, whose factory is a callable."""
    return {}


NAMES = (
    # Arguments of the training script: MCG-NJU/VideoMAE and OpenGVLab/VideoMAEv2 store them as `args`.
    "argparse.Namespace",
    "pathlib.Path",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    # Accuracies and losses as NumPy scalars and arrays; `numpy._core` since NumPy 2.
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
    # The loss curves of OpenMMLab's runner, in its `message_hub`; pickled as bound methods, hence getattr.
    "mmengine.logging.history_buffer.HistoryBuffer",
    "builtins.getattr",
    # Factories of a `defaultdict`.
    "builtins.dict",
    "builtins.list",
    "builtins.int",
    # DeepSpeed's loss scalers, beside the weights of `module`.
    "deepspeed.runtime.fp16.loss_scaler.LossScaler",
    "deepspeed.runtime.fp16.loss_scaler.DynamicLossScaler",
)

STAND_INS: list[Callable[..., object] | tuple[Callable[..., object], str]] = [
    *((Ignored, name) for name in NAMES),
    (ignored_mapping, "collections.defaultdict"),
]
"""For `torch.serialization.safe_globals`: what to build instead, and the name that asks for it."""
