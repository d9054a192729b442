"""From a policy to the way a window goes through the backbone.

All ways compute the same numbers; tests hold them to it. A plain execution keeps whatever autograd keeps; the others
are in the files beside this one.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from models.adapters import Run, run_plainly
from models.adapters.ladder import AdapterLadder
from models.backbones.base import Backbone
from models.backbones.videomae import VideoMAE
from models.config import EngineConfig
from models.engine.beside import beside
from models.engine.chain import chained
from models.engine.clips import Clips
from models.engine.offload import to_device
from models.engine.recompute import recomputing
from models.engine.reference import full_resolution_ladder, run_reentrant
from models.representation import pool_space

Pathways = list[Float[Tensor, "video _ _"]]


def pathways(
    backbone: Backbone,
    ladder: AdapterLadder | None,
    normalise: Callable[[Tensor], Tensor],
    frames: UInt8[Tensor, "video 3 frame height width"],
    device: torch.device,
    engine: EngineConfig,
) -> Pathways:
    """Return the backbone's output averaged over space, adapted where there are adapters.

    Args:
        backbone: any, with or without adapters inside.
        ladder: adapters beside it.
        normalise: makes float pixels of bytes.
        frames: the windows, on the device or on the host as the engine says.
        device: where to compute.
        engine: how.
    """
    if isinstance(backbone, VideoMAE) and engine.policy == "fixed" and engine.keep != "everything":
        clips = Clips(frames, backbone.config.clip_frames, device, engine.inputs_on == "host")
        if ladder is not None:
            return [beside(backbone, ladder, normalise, clips, engine)]
        series = chained(backbone, normalise, clips, engine)
        return [rearrange(series, "(b n) t c -> b c (n t)", n=clips.per_video)]
    return _at_once(backbone, ladder, normalise, frames, device, engine)


def _at_once(
    backbone: Backbone,
    ladder: AdapterLadder | None,
    normalise: Callable[[Tensor], Tensor],
    frames: Tensor,
    device: torch.device,
    engine: EngineConfig,
) -> Pathways:
    pixels = normalise(to_device(frames, device) if engine.inputs_on == "host" else frames)
    if ladder is None:
        frozen = not any(parameter.requires_grad for parameter in backbone.parameters())
        with torch.no_grad() if frozen else nullcontext():
            return pool_space(backbone(pixels, runner(engine)))
    if engine.policy == "reference" and isinstance(backbone, VideoMAE):
        return full_resolution_ladder(backbone, ladder, pixels)
    return ladder(backbone, pixels, runner(engine))


def runner(engine: EngineConfig) -> Run:
    """Return what runs a block, or an adapter, over a whole window."""
    if engine.policy == "reference":
        return run_reentrant
    return run_plainly if engine.keep == "everything" else recomputing(engine.keep_on)
