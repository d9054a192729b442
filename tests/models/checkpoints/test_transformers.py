"""Hugging Face's own VideoMAE, saved by its own code, loaded here: the same features.

Two settings of published files are not followed, because the published detectors do not: the norms' epsilon (1e-12 in
many configs, 1e-6 in the network) and the small model's number of heads (16 there, 6 in the network). Another number
of heads is another network with the same tensors, so nothing but this comparison would notice.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.backbones.videomae import VideoMAE
from models.checkpoints import identify, load_backbone
from models.config import VIDEOMAE, VideoMAEConfig
from models.positions import sinusoid_table

transformers = pytest.importorskip("transformers", reason="transformers is not installed: uv sync brings it")

# Two blocks are enough of a network. Of g, half the width: its head size, MLP ratio and patch are what differs, and
# Hugging Face computes positions one by one, which takes seconds at full width.
SHAPES = {name: replace(VIDEOMAE[f"videomae-{name}"], depth=2, drop_path=0.0) for name in ("s", "b")}
SHAPES["g"] = replace(VIDEOMAE["videomae-g"], width=704, heads=8, mlp_hidden=3072, depth=2, drop_path=0.0)


def hugging_face(config: VideoMAEConfig, resolution: int, kind: str, heads: int | None = None) -> Any:
    settings = transformers.VideoMAEConfig(
        hidden_size=config.width,
        num_hidden_layers=config.depth,
        num_attention_heads=heads or config.heads,
        intermediate_size=config.mlp_hidden,
        patch_size=config.patch,
        image_size=resolution,
        num_frames=16,
        tubelet_size=2,
        layer_norm_eps=1e-6,
        initializer_range=0.05,
        decoder_num_hidden_layers=1,
        decoder_hidden_size=64,
        decoder_num_attention_heads=2,
        decoder_intermediate_size=64,
        num_labels=5,
    )
    model = getattr(transformers, kind)(settings).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # biases are zero and norms one at the start, which would hide them
                parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def features(model: Any, clips: Tensor, config: VideoMAEConfig) -> Tensor:
    """Return Hugging Face's last hidden state as maps, with the positions that the published detectors have."""
    core = getattr(model, "videomae", model)
    resolution, built = clips.shape[-1], config.image_size // config.patch
    side = resolution // config.patch
    if side != built:
        # It would compute sinusoids for its own grid; the published detectors resample those of 224 pixels.
        # The sinusoids are compared where the grids agree, at 224 pixels.
        table = sinusoid_table(8 * built * built, config.width)
        grid = table.reshape(8, built, built, config.width).permute(0, 3, 1, 2)
        small = F.interpolate(grid, size=(side, side), mode="bicubic", align_corners=False)
        core.embeddings.position_embeddings = small.permute(0, 2, 3, 1).reshape(1, -1, config.width)
    with torch.no_grad():
        hidden = core(clips.transpose(1, 2)).last_hidden_state
    return hidden.reshape(len(clips), 8, side, side, config.width).permute(0, 4, 1, 2, 3)


@pytest.mark.parametrize(
    ("shape", "resolution", "kind"),
    [
        ("s", 160, "VideoMAEForVideoClassification"),
        ("s", 224, "VideoMAEModel"),
        ("b", 160, "VideoMAEForPreTraining"),
        ("b", 224, "VideoMAEForVideoClassification"),
        ("g", 160, "VideoMAEForVideoClassification"),
        ("g", 224, "VideoMAEForVideoClassification"),
    ],
)
def test_features_are_those_of_hugging_face(tmp_path: Path, shape: str, resolution: int, kind: str) -> None:
    config = SHAPES[shape]
    model = hugging_face(config, resolution, kind)
    model.save_pretrained(tmp_path)
    backbone = VideoMAE(config).eval()
    load_backbone(backbone, tmp_path)
    clips = torch.randn(1, 3, 16, resolution, resolution)
    with torch.no_grad():
        ours = backbone(clips)[0]
    torch.testing.assert_close(ours, features(model, clips, config), atol=1e-5, rtol=0)


def test_another_number_of_heads_would_be_another_network(tmp_path: Path) -> None:
    config = SHAPES["s"]
    model = hugging_face(config, 224, "VideoMAEModel", heads=16)
    model.save_pretrained(tmp_path)
    backbone = VideoMAE(config).eval()
    load_backbone(backbone, tmp_path)
    clips = torch.randn(1, 3, 16, 224, 224)
    with torch.no_grad():
        ours = backbone(clips)[0]
    assert (ours - features(model, clips, config)).abs().max() > 1e-2


def test_a_sharded_folder_is_the_same_as_a_whole_one(tmp_path: Path) -> None:
    config = SHAPES["s"]
    model = hugging_face(config, 224, "VideoMAEForVideoClassification")
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "shards", max_shard_size="3MB")
    assert len(list((tmp_path / "shards").glob("*.safetensors"))) > 1
    whole, shards = VideoMAE(config), VideoMAE(config)
    load_backbone(whole, tmp_path / "whole")
    load_backbone(shards, tmp_path / "shards")
    theirs = shards.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in whole.state_dict().items())


def test_the_published_small_model_is_recognised(tmp_path: Path) -> None:
    model = hugging_face(VIDEOMAE["videomae-s"], 224, "VideoMAEForVideoClassification", heads=16)
    model.save_pretrained(tmp_path)
    found = identify(tmp_path)
    assert (found.backbones, found.problem) == (("videomae-s",), "")
