"""What trains: everything, nothing but the head, or adapters; and the state that follows from it.

Frozen means requires_grad off and evaluation mode, set when the detector is built: no gradient, no optimiser state,
no average, no checkpoint entry is ever made for a frozen tensor.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from models.adapters import Adapter

if TYPE_CHECKING:
    from models.detector import Detector

GROUPS = ("adapter", "backbone", "head_decay", "head_no_decay")


def freeze(detector: "Detector") -> None:
    """Switch gradients off for what the config does not train."""
    if detector.backbone is None:
        return
    for parameter in detector.backbone.parameters():
        parameter.requires_grad_(detector.config.tuning == "full")
    for module in detector.modules():
        if isinstance(module, Adapter):
            module.requires_grad_(True)
    rest_frozen_modules(detector)


def rest_frozen_modules(detector: "Detector") -> None:
    """Put frozen layers of the backbone in evaluation mode.

    With adapters inside, drop path stays active although the layers it drops are frozen: the published adapters were
    trained so (adatad-facts 2.3). A backbone through which no gradient flows is in evaluation mode altogether.
    """
    backbone = detector.backbone
    if backbone is None:
        return
    if not any(parameter.requires_grad for parameter in backbone.parameters()):
        backbone.eval()
        return
    for module in backbone.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.training = False


def parameter_groups(detector: "Detector") -> dict[str, list[tuple[str, Parameter]]]:
    """Return the trainable parameters by how they are optimised (adatad-facts 7.1); a group may be empty.

    `adapter` and `backbone` decay whole, biases and gamma included. In the head only the weights of convolutions
    decay (`head_decay`); biases, norms and scales do not (`head_no_decay`).
    """
    groups: dict[str, list[tuple[str, Parameter]]] = {name: [] for name in GROUPS}
    in_adapters = {
        parameter for module in detector.modules() if isinstance(module, Adapter) for parameter in module.parameters()
    }
    decaying = {
        module.weight for module in detector.head.modules() if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Linear))
    }
    for name, parameter in detector.named_parameters():
        if not parameter.requires_grad:
            continue
        if parameter in in_adapters:
            groups["adapter"].append((name, parameter))
        elif name.startswith("backbone."):
            groups["backbone"].append((name, parameter))
        else:
            groups["head_decay" if parameter in decaying else "head_no_decay"].append((name, parameter))
    return groups


def trainable_state(detector: "Detector") -> dict[str, Tensor]:
    """Return what training changes: trainable parameters and the head's buffers.

    The tensors share memory with the detector. The names are those of `detector.state_dict()`. No backbone's buffers
    change: they are tables, or statistics of normalisations that stay in evaluation mode.
    """
    trainable = {name for name, parameter in detector.named_parameters() if parameter.requires_grad}
    buffers = {f"head.{name}" for name, _ in detector.head.named_buffers()}
    return {name: value.detach() for name, value in detector.state_dict().items() if name in trainable | buffers}


@torch.no_grad()
def load_trainable_state(detector: "Detector", state: Mapping[str, Tensor]) -> None:
    """Copy a state made by `trainable_state` into the detector.

    Raises:
        ValueError: a name is missing or unknown, or a shape differs; nothing has been copied then.
    """
    own = trainable_state(detector)
    missing, unknown = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or unknown:
        raise ValueError(
            f"the state does not belong to this detector: it lacks {_some(missing)} and has unknown {_some(unknown)}"
        )
    for name, value in own.items():
        if value.shape != state[name].shape:
            raise ValueError(f"the state's {name} has shape {tuple(state[name].shape)}, expected {tuple(value.shape)}")
    for name, value in own.items():
        value.copy_(state[name])


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "") if names else "nothing"
