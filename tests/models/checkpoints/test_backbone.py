"""VideoMAE files in every public layout fill the network that their definitions describe, or nothing at all."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.backbones.base import Backbone
from models.backbones.slowfast import SlowFast
from models.backbones.videomae import ClipClassifier, VideoMAE
from models.checkpoints import load_backbone, save_backbone
from models.config import SLOWFAST, AdapterConfig, VideoMAEConfig

Makers = Mapping[str, Callable[[VideoMAEConfig], dict[str, Tensor]]]
LAYOUTS = [
    "authors",
    "authors_pretraining",
    "mmaction2",
    "transformers_4",
    "transformers_5",
    "transformers_4_pretraining",
    "transformers_5_pretraining",
    "transformers_5_bare",
]


def slow_videomae(config: VideoMAEConfig, parts: Mapping[str, Tensor], positions: Tensor, clip: Tensor) -> Tensor:
    """VideoMAE's features of one clip at its construction resolution, written out from the paper."""
    p, side = config.patch, config.image_size // config.patch
    filters = parts["patch.weight"].flatten(1)
    tokens = []
    for t in range(config.clip_frames // 2):
        for row in range(side):
            for column in range(side):
                cube = clip[:, 2 * t : 2 * t + 2, row * p : (row + 1) * p, column * p : (column + 1) * p]
                tokens.append(filters @ cube.flatten() + parts["patch.bias"])
    x = torch.stack(tokens) + positions[0]
    size = config.width // config.heads
    for i in range(config.depth):
        b = {name.removeprefix(f"{i}."): value for name, value in parts.items() if name.startswith(f"{i}.")}
        normed = F.layer_norm(x, (config.width,), b["norm1.weight"], b["norm1.bias"], eps=1e-6)
        query = normed @ b["query.weight"].T + b["query.bias"]
        key = normed @ b["key.weight"].T
        value = normed @ b["value.weight"].T + b["value.bias"]
        heads = []
        for h in range(config.heads):
            part = slice(h * size, (h + 1) * size)
            heads.append((query[:, part] @ key[:, part].T / math.sqrt(size)).softmax(-1) @ value[:, part])
        x = x + torch.cat(heads, dim=1) @ b["proj.weight"].T + b["proj.bias"]
        normed = F.layer_norm(x, (config.width,), b["norm2.weight"], b["norm2.bias"], eps=1e-6)
        x = x + F.gelu(normed @ b["fc1.weight"].T + b["fc1.bias"]) @ b["fc2.weight"].T + b["fc2.bias"]
    return x


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_features_of_the_definition(
    backbone_config: VideoMAEConfig,
    tmp_path: Path,
    videomae_files: Makers,
    videomae_weights: Callable[[VideoMAEConfig], dict[str, Tensor]],
    position_table: Callable[[VideoMAEConfig], Tensor],
    layout: str,
) -> None:
    torch.save(videomae_files[layout](backbone_config), tmp_path / "w.pth")
    backbone = VideoMAE(backbone_config).eval()
    load_backbone(backbone, tmp_path / "w.pth")
    clip = torch.randn(3, 16, 32, 32)
    slow = slow_videomae(backbone_config, videomae_weights(backbone_config), position_table(backbone_config), clip)
    maps = backbone(clip[None])[0][0].detach()
    torch.testing.assert_close(maps.flatten(1).T, slow, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "module._orig_mod.", "backbone.", "model."])
@pytest.mark.parametrize("container", ["", "module", "model", "state_dict", "model_state", "state_dict_ema"])
def test_containers_and_prefixes_of_frameworks_are_seen_through(
    backbone_config: VideoMAEConfig, tmp_path: Path, videomae_files: Makers, wrapper: str, container: str
) -> None:
    tensors = videomae_files["authors"](backbone_config)
    wrapped = {wrapper + name: value for name, value in tensors.items()}
    torch.save({container: wrapped, "epoch": 3, "optimizer": {}} if container else wrapped, tmp_path / "w.pth")
    backbone = VideoMAE(backbone_config)
    load_backbone(backbone, tmp_path / "w.pth")
    assert all(torch.equal(value, tensors[name]) for name, value in backbone.state_dict().items())


def test_weights_in_half_precision_are_widened(
    backbone_config: VideoMAEConfig, tmp_path: Path, videomae_files: Makers
) -> None:
    halves = {name: value.half() for name, value in videomae_files["mmaction2"](backbone_config).items()}
    torch.save(halves, tmp_path / "w.pth")
    backbone = VideoMAE(backbone_config)
    load_backbone(backbone, tmp_path / "w.pth")
    assert backbone.blocks[0].norm1.weight.dtype == torch.float32
    assert torch.equal(backbone.patch_embed.proj.bias, halves["backbone.patch_embed.projection.bias"].float())


def test_a_saved_classifier_fills_a_backbone_bit_for_bit(backbone_config: VideoMAEConfig, tmp_path: Path) -> None:
    classifier, backbone = ClipClassifier(backbone_config, 5), VideoMAE(backbone_config)
    save_backbone(tmp_path / "deep" / "weights.pth", classifier.state_dict())
    load_backbone(backbone, tmp_path / "deep" / "weights.pth")
    theirs = classifier.state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in backbone.state_dict().items())
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["weights.pth"]


def test_adapters_keep_their_values(backbone_config: VideoMAEConfig, tmp_path: Path) -> None:
    bare, adapted = VideoMAE(backbone_config), VideoMAE(backbone_config, AdapterConfig())
    before = {name: value.clone() for name, value in adapted.state_dict().items() if ".adapter." in name}
    save_backbone(tmp_path / "w.pth", bare.state_dict())
    load_backbone(adapted, tmp_path / "w.pth")
    after = adapted.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in (bare.state_dict() | before).items())


def refused(backbone: Backbone, path: Path, message: str) -> None:
    """Assert that loading fails with these words and leaves the network as it was."""
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        load_backbone(backbone, path)
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


Q = "videomae.encoder.layer.1.attention.attention.query"
POSITIONS = "backbone.pos_embed"


@pytest.mark.parametrize(
    ("layout", "change", "message"),
    [
        ("authors", {"blocks.2.attn.q_bias": None}, r"authors' layout.*: it lacks blocks\.2\.attn\.q_bias"),
        ("authors", {"patch_embed.proj.bias": None}, r"authors' layout.*: it lacks patch_embed\.proj\.bias"),
        ("authors", {"blocks.0.gamma_1": torch.ones(16)}, r"it has unknown blocks\.0\.gamma_1"),
        ("authors", {"cls_token": torch.ones(1, 1, 16)}, r"it has unknown cls_token"),
        ("authors", {"blocks.0.norm1.weight": torch.ones(8)}, r"norm1\.weight has shape \(8,\), expected \(16,\)"),
        ("authors", {"blocks.0.norm1.weight": torch.full((16,), math.nan)}, r"not numbers .* blocks\.0\.norm1\.weight"),
        ("authors", {"blocks.0.norm1.weight": torch.ones(16).long()}, r"not numbers .* blocks\.0\.norm1\.weight"),
        ("mmaction2", {POSITIONS: torch.randn(1, 128, 16)}, r"pos_embed holds learned positions"),
        (
            "mmaction2",
            {POSITIONS: torch.randn(1, 72, 16)},
            r"pos_embed has shape .* expected 128 positions \(32 pixels\)",
        ),
        ("transformers_4", {f"{Q}.weight": None}, r"key\.weight does not form a projection .*"),
        ("transformers_5", {f"{Q}.bias": None}, r"transformers name it: it lacks blocks\.1\.attn\.q_bias"),
        ("transformers_5", {Q.replace("query", "key") + ".bias": torch.ones(16)}, r"key\.bias is not zero"),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(
    backbone_config: VideoMAEConfig,
    tmp_path: Path,
    videomae_files: Makers,
    layout: str,
    change: dict[str, Tensor | None],
    message: str,
) -> None:
    changed = {**videomae_files[layout](backbone_config), **change}
    torch.save({name: value for name, value in changed.items() if value is not None}, tmp_path / "w.pth")
    refused(VideoMAE(backbone_config), tmp_path / "w.pth", message)


def test_a_key_bias_of_zero_is_what_videomae_has(
    backbone_config: VideoMAEConfig, tmp_path: Path, videomae_files: Makers
) -> None:
    zero = {Q.replace("query", "key") + ".bias": torch.zeros(16)}
    torch.save(videomae_files["transformers_5"](backbone_config) | zero, tmp_path / "w.pth")
    load_backbone(VideoMAE(backbone_config), tmp_path / "w.pth")


def test_many_differences_are_counted_and_the_first_named(
    backbone_config: VideoMAEConfig, tmp_path: Path, videomae_files: Makers
) -> None:
    torch.save(videomae_files["authors"](replace(backbone_config, depth=2)), tmp_path / "w.pth")
    message = r"lacks blocks\.2\.norm1\.weight, blocks\.2\.norm1\.bias, blocks\.2\.attn\.q_bias and 23 more"
    refused(VideoMAE(backbone_config), tmp_path / "w.pth", message)


def test_a_file_of_another_size_is_told_by_its_name(tmp_path: Path) -> None:
    other = VideoMAEConfig(name="other", width=16, depth=4, heads=2, mlp_hidden=32, patch=8, image_size=32)
    from models.config import VIDEOMAE

    save_backbone(tmp_path / "w.pth", VideoMAE(VIDEOMAE["videomae-tiny"]).state_dict())
    refused(VideoMAE(other), tmp_path / "w.pth", "does not fit other: it looks like .* and fits videomae-tiny: ")


def test_a_file_of_another_family_is_told(
    backbone_config: VideoMAEConfig, tmp_path: Path, videomae_files: Makers
) -> None:
    torch.save(videomae_files["transformers_4"](backbone_config), tmp_path / "w.pth")
    refused(SlowFast(SLOWFAST["slowfast-tiny"]), tmp_path / "w.pth", "Hugging Face.*, expected weights of slowfast")


def test_keys_that_nobody_uses_are_shown(backbone_config: VideoMAEConfig, tmp_path: Path) -> None:
    torch.save({"layer.weight": torch.ones(1)}, tmp_path / "w.pth")
    refused(VideoMAE(backbone_config), tmp_path / "w.pth", r"of no layout that is known: layer\.weight")
