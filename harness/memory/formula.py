"""Peak memory by hand: a formula beside the trace, to check it and to rule out early what cannot fit.

    states       weights, gradient, average and two moments of what trains; weights of what is frozen
    kept         per block and token what waits for the backward pass
    at work      per token what a block's backward pass needs at once, for as many clips as are computed at once
    streams      whole windows of the residual stream that exist beside

For vision transformers with clips. The constants count tensors per token in units of the width C: with M = 4 C and
H = C / 4 a block whose weights are frozen keeps 8 C bytes of float32 inputs for its two norms, 8 C of queries, keys,
values and the attention's output, 8 C of the MLP's hidden layer, and about 7 C for its adapter (all in 16 bits), that
is 31 C; its backward pass holds about 20 C of gradients more.
"""

from harness.config import TrialConfig
from models.config import AdapterConfig, TriDetConfig, VideoMAEConfig

KEPT_BY_BLOCK = 31
AT_WORK_BACKWARD = 50
AT_WORK_FORWARD = 30
STREAM = 4
"""Bytes per token and channel of a residual stream in float32."""
COPIES = 5
"""Float32 tensors per trained parameter: weight, gradient, average, two moments."""
FROZEN_BYTES = {"fp32": 4, "bf16": 2, "int8": 1}


def estimate_bytes(config: TrialConfig) -> int | None:
    """Return the peak of a training step in bytes, within about a quarter; None where the formula does not apply."""
    backbone, model, engine = config.model.backbone, config.model, config.engine
    if not isinstance(backbone, VideoMAEConfig) or model.tuning == "features" or engine.policy != "fixed":
        return None
    if model.representation.kind == "snippet":
        return None
    width = tokens(config, backbone) * backbone.width
    return round(_states(config, backbone) + _kept(config, backbone) * width + _transient(config, backbone) * width)


def tokens(config: TrialConfig, backbone: VideoMAEConfig) -> int:
    """Return the tokens of a step's windows."""
    window = config.data.window
    side = window.resolution // backbone.patch
    return config.training.batch_size * window.frames // backbone.tubelet * side * side


def backbone_parameters(backbone: VideoMAEConfig) -> int:
    """Return the parameters of a vision transformer without its classifier (adatad-facts 2.1)."""
    width, hidden = backbone.width, backbone.mlp_hidden
    block = 4 * width**2 + 2 * width * hidden + hidden + 8 * width
    return backbone.depth * block + 3 * backbone.tubelet * backbone.patch**2 * width + width


def adapter_parameters(width: int, adapter: AdapterConfig) -> int:
    """Return the parameters of one adapter (adatad-facts 1.1)."""
    if adapter.kind == "longlora":
        return 4 * width**2
    hidden = int(width * adapter.ratio)
    plain = 2 * width * hidden + width + hidden + 1
    if adapter.kind == "plain":
        return plain
    return plain + (adapter.kernel * adapter.spatial_kernel**2 + 1) * hidden + hidden**2 + hidden


def head_parameters(config: TrialConfig) -> int:
    """Return about as many parameters as the head has: its convolutions and transformer blocks."""
    head = config.model.head
    if head.kind == "gtad":
        return 10 * head.map_width**2
    width, channels = head.width, config.model.backbone.channels
    embedding = 3 * channels * width + 3 * width**2 * (head.embed_layers - 1)
    block = 2 * width * head.sgp_hidden if isinstance(head, TriDetConfig) else 12 * width**2
    towers = 24 if isinstance(head, TriDetConfig) else 12
    return embedding + (head.stem_layers + head.levels - 1) * block + towers * width**2


def _states(config: TrialConfig, backbone: VideoMAEConfig) -> int:
    engine, adapter = config.engine, config.model.adapter
    trained, frozen = head_parameters(config), backbone_parameters(backbone)
    if adapter is not None:
        trained += len(adapter.adapted(backbone.depth)) * adapter_parameters(backbone.width, adapter)
    if config.model.tuning == "full":
        trained, frozen = trained + frozen, 0
    copies = COPIES - (engine.averages_on == "host") - 2 * (engine.optimizer_on == "host")
    return 4 * copies * trained + FROZEN_BYTES[engine.weights] * frozen


def _through(config: TrialConfig) -> bool:
    adapter = config.model.adapter
    return config.model.tuning == "full" or (adapter is not None and adapter.placement == "inside")


def _kept(config: TrialConfig, backbone: VideoMAEConfig) -> float:
    """Return the bytes that wait for the backward pass, per token and channel."""
    engine, adapter = config.engine, config.model.adapter
    adapted = len(adapter.adapted(backbone.depth)) if adapter is not None else 0
    if _through(config):
        blocks = adapted or backbone.depth
        if engine.keep == "everything":
            return KEPT_BY_BLOCK * blocks
        return STREAM * blocks / engine.every if engine.keep_on == "device" else 0
    if engine.keep == "nothing" or engine.keep_on == "host":
        return 0
    # Beside the backbone: what an adapter's first product sees, in 16 bits, and its hidden layer.
    return (4 if engine.keep == "everything" else 2) * adapted


def _transient(config: TrialConfig, backbone: VideoMAEConfig) -> float:
    """Return the bytes of the work at hand and of whole streams, per token and channel."""
    engine = config.engine
    clips = config.training.batch_size * config.data.window.frames // backbone.clip_frames
    share = min(engine.clips / clips, 1) if engine.clips else 1.0
    if not _through(config):
        return AT_WORK_FORWARD * share
    if engine.keep == "everything":
        return STREAM
    streams = 1.7 * (share < 1) + 2 * (engine.keep_on == "host") + (engine.every - 1)
    return AT_WORK_BACKWARD * share + STREAM * streams
