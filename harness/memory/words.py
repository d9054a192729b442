"""Where a peak lies, in words."""

import re


def moment_in_words(phase: str, layer: str, *, layers: int) -> str:
    """Return the moment of a peak for people.

    Args:
        phase: forward, backward or optimiser step.
        layer: path of the module at work; empty outside any.
        layers: blocks of the backbone.
    """
    if phase == "optimiser step" or not layer:
        return phase
    return f"{phase}, {layer_in_words(layer, layers=layers)}"


def layer_in_words(layer: str, *, layers: int) -> str:
    """Return the name of a module for people: `backbone.blocks.39.mlp` is block 40 of 40, its MLP."""
    block = re.match(r"backbone\.blocks\.(\d+)\.?(.*)", layer)
    if block:
        part = {"attn": "attention", "mlp": "MLP", "": ""}.get(block[2].split(".")[0], block[2].split(".")[0])
        return f"block {int(block[1]) + 1} of {layers}" + (f", {part}" if part else "")
    rung = re.match(r"ladder\.adapters\.(\d+)", layer)
    if rung:
        return f"adapter beside block {int(rung[1]) + 1} of {layers}"
    return layer.replace("_", " ").replace(".", " ")
