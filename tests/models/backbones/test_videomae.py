import math

import pytest
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from models.adapters import TokenGrid
from models.backbones.videomae import (
    Attention,
    ClipClassifier,
    VideoMAE,
    resize_table,
)
from models.config import VIDEOMAE, AdapterConfig, VideoMAEConfig
from models.positions import sinusoid_table


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "classes", "bare", "with_norm", "with_head"),
    [
        ("videomae-s", 400, 21_879_168, 21_879_936, 22_033_936),
        ("videomae-b", 400, 86_225_664, 86_227_200, 86_534_800),
        ("videomae-l", 400, 303_858_688, 303_860_736, 304_270_736),
        ("videomae-h", 400, 631_604_480, 631_607_040, 632_119_440),
        ("videomae-g", 710, 1_011_607_936, 1_011_610_752, 1_012_611_142),
    ],
)
def test_published_parameter_counts(name: str, classes: int, bare: int, with_norm: int, with_head: int) -> None:
    with torch.device("meta"):
        classifier = ClipClassifier(VIDEOMAE[name], classes)
        assert count(VideoMAE(VIDEOMAE[name])) == bare
    assert count(classifier) - count(classifier.head) == with_norm
    assert count(classifier) == with_head


def test_parameter_names_are_those_of_the_authors(backbone_config: VideoMAEConfig) -> None:
    per_block = {
        *(f"{norm}.{kind}" for norm in ("norm1", "norm2") for kind in ("weight", "bias")),
        *("attn.qkv.weight", "attn.q_bias", "attn.v_bias", "attn.proj.weight", "attn.proj.bias"),
        *(f"mlp.{layer}.{kind}" for layer in ("fc1", "fc2") for kind in ("weight", "bias")),
    }
    expected = {"patch_embed.proj.weight", "patch_embed.proj.bias"}
    expected |= {f"blocks.{index}.{name}" for index in range(4) for name in per_block}
    assert set(VideoMAE(backbone_config).state_dict()) == expected
    extra = {"fc_norm.weight", "fc_norm.bias", "head.weight", "head.bias"}
    assert set(ClipClassifier(backbone_config, 5).state_dict()) == expected | extra


def test_position_table_has_the_published_values() -> None:
    table = sinusoid_table(8 * 14 * 14, 768)
    assert table.shape == (1568, 768)
    assert table.dtype == torch.float32
    assert table[1, 0].item() == pytest.approx(math.sin(1), abs=1e-7)
    assert table[1, 1].item() == pytest.approx(math.cos(1), abs=1e-7)
    assert table[1, 2].item() == pytest.approx(math.sin(10000 ** (-2 / 768)), abs=1e-7)
    for index, channel in ((1567, 0), (1567, 3), (1000, 767), (777, 10)):
        angle = index / 10000 ** (2 * (channel // 2) / 768)
        expected = math.cos(angle) if channel % 2 else math.sin(angle)
        # Half a unit in the last place of float32: the table is exact before it is rounded.
        assert table[index, channel].item() == pytest.approx(expected, abs=6e-8)


def cubic(x: float) -> float:
    """Keys' kernel with a = -0.75, the one behind torch's bicubic mode."""
    x, a = abs(x), -0.75
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def resampling_matrix(old: int, new: int) -> Tensor:
    matrix = torch.zeros(new, old, dtype=torch.float64)
    for row in range(new):
        centre = (row + 0.5) * old / new - 0.5
        for source in range(math.floor(centre) - 1, math.floor(centre) + 3):
            matrix[row, min(max(source, 0), old - 1)] += cubic(centre - source)
    return matrix


@pytest.mark.parametrize(("height", "width"), [(10, 10), (12, 12), (9, 16), (20, 20)])
def test_position_table_is_resized_per_tubelet_by_bicubic_weights(height: int, width: int) -> None:
    table = sinusoid_table(8 * 14 * 14, 24)
    built, wanted = TokenGrid(1, 8, 14, 14), TokenGrid(1, 8, height, width)
    resized = resize_table(table.double(), built, wanted)
    assert resized.shape == (8 * height * width, 24)
    images = rearrange(table.double(), "(t h w) c -> t h w c", t=8, h=14)
    rows, columns = resampling_matrix(14, height), resampling_matrix(14, width)
    expected = torch.einsum("yh, xw, thwc -> tyxc", rows, columns, images).reshape(-1, 24)
    torch.testing.assert_close(resized, expected, rtol=0, atol=1e-12)
    # float32 rounds the sampling positions (up to 14) as well as the values.
    torch.testing.assert_close(resize_table(table, built, wanted).double(), expected, rtol=0, atol=5e-6)


def test_position_table_is_untouched_at_its_own_size() -> None:
    table = sinusoid_table(8 * 4 * 4, 16)
    grid = TokenGrid(1, 8, 4, 4)
    assert resize_table(table, grid, TokenGrid(5, 8, 4, 4)) is table


def test_attention_has_biases_for_queries_and_values_only() -> None:
    attention = Attention(12, 3).double()
    for parameter in attention.parameters():
        torch.nn.init.normal_(parameter)
    tokens = torch.randn(2, 7, 12, dtype=torch.float64)
    weight_q, weight_k, weight_v = attention.qkv.weight.chunk(3)
    query, key, value = (
        tokens @ weight_q.T + attention.q_bias,
        tokens @ weight_k.T,
        tokens @ weight_v.T + attention.v_bias,
    )
    expected = torch.zeros_like(tokens)
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        weights = (query[..., part] @ key[..., part].transpose(1, 2) / math.sqrt(4)).softmax(-1)
        expected[..., part] = weights @ value[..., part]
    expected = expected @ attention.proj.weight.T + attention.proj.bias
    torch.testing.assert_close(attention(tokens), expected, rtol=1e-10, atol=1e-10)


def naive_videomae(state: dict[str, Tensor], clips: Tensor, config: VideoMAEConfig) -> Tensor:
    """The forward pass from the weights alone, one token and one head at a time where that is possible."""
    frames, height, width = clips.shape[2:]
    t, h, w = frames // config.tubelet, height // config.patch, width // config.patch
    patches = rearrange(
        clips[..., : h * config.patch, : w * config.patch],
        "n c (t a) (h p) (w q) -> n (t h w) (c a p q)",
        a=config.tubelet,
        p=config.patch,
        q=config.patch,
    )
    x = patches @ state["patch_embed.proj.weight"].flatten(1).T + state["patch_embed.proj.bias"]
    for token in range(t * h * w):
        for channel in range(config.width):
            angle = token / 10000 ** (2 * (channel // 2) / config.width)
            x[:, token, channel] += math.cos(angle) if channel % 2 else math.sin(angle)
    for index in range(config.depth):
        block = {name.removeprefix(f"blocks.{index}."): value for name, value in state.items()}

        def norm(x: Tensor, name: str, block: dict[str, Tensor] = block) -> Tensor:
            centred = x - x.mean(-1, keepdim=True)
            scale = (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
            return centred / scale * block[f"{name}.weight"] + block[f"{name}.bias"]

        q, k, v = (norm(x, "norm1") @ block["attn.qkv.weight"].T).chunk(3, dim=-1)
        q, v = q + block["attn.q_bias"], v + block["attn.v_bias"]
        heads = []
        for part in torch.arange(config.width).chunk(config.heads):
            logits = q[..., part] @ k[..., part].transpose(1, 2) / math.sqrt(config.width // config.heads)
            heads.append(logits.softmax(-1) @ v[..., part])
        x = x + torch.cat(heads, -1) @ block["attn.proj.weight"].T + block["attn.proj.bias"]
        hidden = norm(x, "norm2") @ block["mlp.fc1.weight"].T + block["mlp.fc1.bias"]
        hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
        x = x + hidden @ block["mlp.fc2.weight"].T + block["mlp.fc2.bias"]
    return rearrange(x, "n (t h w) c -> n c t h w", t=t, h=h, w=w)


def test_the_whole_network_equals_its_equations(backbone_config: VideoMAEConfig) -> None:
    backbone = VideoMAE(backbone_config).double().eval()
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    # 37 pixels hold four whole patches of 8: the rest is ignored.
    clips = torch.randn(2, 3, 16, 37, 32, dtype=torch.float64)
    expected = naive_videomae(backbone.state_dict(), clips, backbone_config)
    # The table is stored in float32, the equations use float64; the residual stream amplifies its rounding.
    torch.testing.assert_close(backbone(clips)[0], expected, rtol=1e-5, atol=1e-5)


def test_clips_do_not_see_each_other_without_an_adapter(backbone_config: VideoMAEConfig) -> None:
    backbone = VideoMAE(backbone_config).eval()
    window = torch.randn(1, 3, 64, 32, 32)
    (together,) = backbone(window)
    apart = torch.cat([backbone(clip)[0] for clip in window.split(16, dim=2)], dim=2)
    torch.testing.assert_close(together, apart)


def test_adapters_make_clips_of_a_video_see_each_other(backbone_config: VideoMAEConfig) -> None:
    backbone = VideoMAE(backbone_config, AdapterConfig()).eval()
    for name, parameter in backbone.named_parameters():
        if "up_proj" in name:
            torch.nn.init.normal_(parameter)
    windows = torch.randn(2, 3, 32, 32, 32)
    changed = windows.clone()
    changed[0, :, :16] += 1
    difference = (backbone(changed)[0] - backbone(windows)[0]).abs().amax((1, 3, 4))
    assert (difference[0, [0, 8]] > 0).all(), "the second clip did not see the first"
    assert not difference[1].any(), "the second video saw the first"


def test_drop_path_grows_with_depth_and_drops_clips_one_by_one(backbone_config: VideoMAEConfig) -> None:
    from dataclasses import replace

    backbone = VideoMAE(replace(backbone_config, drop_path=0.6))
    rates = [block.drop_path.drop_prob for block in backbone.blocks]  # type: ignore[union-attr]
    assert rates == pytest.approx([0, 0.2, 0.4, 0.6])
    last, grid = backbone.blocks[3], TokenGrid(64, 8, 1, 1)
    tokens = torch.randn(64, 8, 16)
    change = (last(tokens, grid) - tokens).abs().amax((1, 2))
    untouched = (change == 0).float().mean().item()
    # A clip skips both branches with probability 0.36; 64 draws spread by 0.06.
    assert 0.36 - 0.24 < untouched < 0.36 + 0.24
    last.eval()
    assert (last(tokens, grid) != tokens).any(-1).all()


def test_classifier_averages_tokens_then_normalises(backbone_config: VideoMAEConfig) -> None:
    classifier = ClipClassifier(backbone_config, 7).eval()
    features = VideoMAE(backbone_config).eval()
    features.load_state_dict(
        {k: v for k, v in classifier.state_dict().items() if not k.startswith(("fc_norm", "head"))}
    )
    clips = torch.randn(3, 3, 16, 32, 32)
    pooled = F.layer_norm(features(clips)[0].mean((2, 3, 4)), (16,), eps=1e-6)
    expected = pooled @ classifier.head.weight.T + classifier.head.bias
    torch.testing.assert_close(classifier(clips), expected)


@pytest.mark.parametrize(
    ("shape", "message"), [((8, 32, 32), "8 frames, expected a multiple of 16"), ((16, 32, 6), "one patch")]
)
def test_impossible_clips_are_refused(
    backbone_config: VideoMAEConfig, shape: tuple[int, int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        VideoMAE(backbone_config)(torch.zeros(1, 3, *shape))
