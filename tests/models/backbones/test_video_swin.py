from dataclasses import replace
from typing import Any

import pytest
import torch
from einops import rearrange, reduce
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.models.video.swin_transformer import SwinTransformer3d

from models.adapters import TokenGrid, run_plainly
from models.adapters.ladder import AdapterLadder
from models.backbones.video_swin import VideoSwin
from models.config import (
    VIDEO_SWIN,
    ActionFormerConfig,
    AdapterConfig,
    DetectorConfig,
    EngineConfig,
    VideoSwinConfig,
)
from models.detector import Detector, build_detector
from models.engine.recompute import run_recomputed

TOY = VideoSwinConfig(name="toy", width=12, blocks=(2, 1, 2), heads=(1, 2, 3), window=(4, 3, 3), drop_path=0.0)
SIZES = [(8, 48, 48), (16, 32, 32), (18, 40, 56), (6, 36, 20), (17, 33, 46), (2, 4, 4), (1, 3, 5)]
"""Frames, rows, columns: windows, pairs and patches that come out even, odd ones, and less than one of each."""


def torchvision_net(config: VideoSwinConfig) -> SwinTransformer3d:
    return SwinTransformer3d(
        patch_size=list(config.patch),
        embed_dim=config.width,
        depths=list(config.blocks),
        num_heads=list(config.heads),
        window_size=list(config.window),
        mlp_ratio=config.mlp_ratio,
        stochastic_depth_prob=config.drop_path,
        num_classes=7,
    )


def torchvision_maps(net: SwinTransformer3d, pixels: Tensor) -> Tensor:
    return rearrange(net.norm(net.features(net.patch_embed(pixels))), "b t h w c -> b c t h w")


def parameters_of(net: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in net.named_parameters() if not name.startswith("head.")}


def awake(module: nn.Module) -> Any:
    """Give every parameter something to say; norms stay near the identity, so that no block drowns."""
    for name, parameter in module.named_parameters():
        nn.init.normal_(parameter, mean=float(name.endswith(("norm1.weight", "norm2.weight"))), std=0.2)
    return module


def blocks_of(backbone: VideoSwin) -> list[Any]:
    return [block for stage in backbone.features[::2] for block in stage.children()]


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "published", "channels"),
    [("videoswin-t", 28_158_070, 768), ("videoswin-s", 49_816_678, 768), ("videoswin-b", 88_048_984, 1024)],
)
def test_parameters_are_torchvisions_by_name_shape_and_published_count(
    name: str, published: int, channels: int
) -> None:
    config = VIDEO_SWIN[name]
    with torch.device("meta"):
        backbone, theirs = VideoSwin(config), torchvision_net(config)
    assert count(backbone) == published - (channels * 400 + 400)
    shapes = {key: value.shape for key, value in backbone.state_dict().items()}
    assert shapes == {key: value.shape for key, value in parameters_of(theirs).items()}
    assert backbone.layer_channels[-1] == config.channels == channels
    assert len(backbone.layer_channels) == config.layers


def test_tia_in_every_block_of_b_has_the_published_count() -> None:
    with torch.device("meta"):
        plain, adapted = VideoSwin(VIDEO_SWIN["videoswin-b"]), VideoSwin(VIDEO_SWIN["videoswin-b"], AdapterConfig())
    assert count(adapted) - count(plain) == 3_956_120
    assert adapted.layer_channels == (128,) * 2 + (256,) * 2 + (512,) * 18 + (1024,) * 2


@pytest.mark.parametrize("size", SIZES)
def test_features_equal_torchvisions_at_any_size(size: tuple[int, int, int]) -> None:
    backbone, theirs = VideoSwin(TOY).double().eval(), awake(torchvision_net(TOY)).double().eval()
    backbone.load_state_dict(parameters_of(theirs))
    pixels = torch.randn(2, 3, *size, dtype=torch.float64)
    (maps,) = backbone(pixels)
    torch.testing.assert_close(maps, torchvision_maps(theirs, pixels), rtol=0, atol=1e-10)
    # Torchvision's classifier sees the same features.
    logits = maps.mean((2, 3, 4)) @ theirs.head.weight.T + theirs.head.bias
    torch.testing.assert_close(theirs(pixels), logits, rtol=0, atol=1e-10)


def test_swin_t_equals_torchvisions_in_single_precision() -> None:
    config = VIDEO_SWIN["videoswin-t"]
    backbone, theirs = VideoSwin(config).eval(), torchvision_net(config).eval()
    backbone.load_state_dict(parameters_of(theirs))
    for size in ((16, 64, 64), (18, 56, 84)):
        pixels = torch.randn(1, 3, *size)
        with torch.no_grad():
            torch.testing.assert_close(backbone(pixels)[0], torchvision_maps(theirs, pixels), rtol=0, atol=1e-5)


def test_training_draws_torchvisions_drop_paths() -> None:
    config = replace(TOY, drop_path=0.5)
    backbone, theirs = VideoSwin(config).double(), awake(torchvision_net(config)).double()
    backbone.load_state_dict(parameters_of(theirs))
    pixels = torch.randn(4, 3, 8, 16, 16, dtype=torch.float64)
    results = []
    for net in (lambda: backbone(pixels)[0], lambda: torchvision_maps(theirs, pixels)):
        torch.manual_seed(3)
        results.append(net())
    torch.testing.assert_close(*results, rtol=0, atol=1e-10)
    assert not torch.equal(results[0], backbone.eval()(pixels)[0])


def test_drop_path_grows_with_depth_over_all_stages() -> None:
    backbone = VideoSwin(replace(TOY, drop_path=0.4))
    rates = [block.stochastic_depth.p for block in blocks_of(backbone)]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_a_single_block_is_never_dropped() -> None:
    backbone = VideoSwin(replace(TOY, blocks=(1,), heads=(1,), drop_path=0.5))
    assert blocks_of(backbone)[0].stochastic_depth.p == 0


def test_weights_start_as_torchvisions() -> None:
    torch.manual_seed(1)
    config = replace(TOY, width=48)
    ours, theirs = dict(VideoSwin(config).named_parameters()), parameters_of(torchvision_net(config))
    for name, value in theirs.items():
        if value.std() == 0 or value.numel() == 1:
            assert torch.equal(ours[name], value), name
        else:
            # The spread of n draws is known to 1 / sqrt(2 n); five times that, for two samples.
            tolerance = 10 / (2 * value.numel()) ** 0.5
            assert ours[name].std().item() == pytest.approx(value.std().item(), rel=tolerance), name


def test_the_index_of_relative_positions_is_no_part_of_the_state() -> None:
    backbone, theirs = VideoSwin(TOY), torchvision_net(TOY)
    buffers = dict(backbone.named_buffers())
    assert buffers.keys() == dict(theirs.named_buffers()).keys()
    assert all(torch.equal(buffers[name], value) for name, value in theirs.named_buffers())
    assert not buffers.keys() & backbone.state_dict().keys()


@pytest.mark.parametrize("kind", ["tia", "tia_no_residual", "plain", "longlora"])
def test_new_adapters_change_nothing(kind: Any) -> None:
    backbone, adapted = VideoSwin(TOY), VideoSwin(TOY, AdapterConfig(kind=kind))
    missing, unknown = adapted.load_state_dict(backbone.state_dict(), strict=False)
    assert not unknown
    assert all(".adapter." in name for name in missing)
    assert {name.split(".adapter.")[0] for name in missing} == {
        f"features.{stage}.{block}" for stage, block in ((0, 0), (0, 1), (2, 0), (4, 0), (4, 1))
    }
    pixels = torch.randn(2, 3, 8, 20, 24)
    assert torch.equal(adapted(pixels)[0], backbone(pixels)[0])


def test_adapters_end_the_blocks_that_the_config_names() -> None:
    backbone = VideoSwin(TOY, AdapterConfig(layers=(1, 2)))
    adapted = [name for name, module in backbone.named_modules() if name.endswith(".adapter")]
    assert adapted == ["features.0.1.adapter", "features.2.0.adapter"]


def test_tia_mixes_times_that_no_window_joins() -> None:
    config = replace(TOY, blocks=(1,), heads=(1,), window=(2, 3, 3))
    backbone = VideoSwin(config, AdapterConfig()).eval()
    nn.init.normal_(blocks_of(backbone)[0].adapter.up_proj.weight)
    pixels = torch.randn(1, 3, 16, 8, 8)
    changed = pixels.clone()
    changed[:, :, :4] += 1
    difference = (backbone(changed)[0] - backbone(pixels)[0]).abs().amax((0, 1, 3, 4))
    # Steps 0 and 1 share a window; the kernel of three carries their change one step further.
    assert (difference > 0).tolist() == [True, True, True, False, False, False, False, False]


def test_a_tap_sees_every_blocks_output() -> None:
    backbone = awake(VideoSwin(TOY)).double().eval()
    seen: list[tuple[int, Tensor, TokenGrid]] = []
    (maps,) = backbone(torch.randn(2, 3, 10, 36, 20, dtype=torch.float64), tap=lambda *output: seen.append(output))
    assert [index for index, _, _ in seen] == [0, 1, 2, 3, 4]
    grids = [TokenGrid(1, 5, 9, 5)] * 2 + [TokenGrid(1, 5, 5, 3)] + [TokenGrid(1, 5, 3, 2)] * 2
    assert [grid for _, _, grid in seen] == grids
    assert [tokens.shape[2] for _, tokens, _ in seen] == list(backbone.layer_channels)
    _, tokens, grid = seen[-1]
    last = rearrange(backbone.norm(tokens), "b (t h w) c -> b c t h w", t=grid.time, h=grid.height)
    assert torch.equal(maps, last)


def test_every_block_is_executed_by_the_policy() -> None:
    backbone = VideoSwin(TOY).eval()
    run: list[tuple[nn.Module, TokenGrid]] = []

    def policy(module: nn.Module, tokens: Tensor, grid: TokenGrid) -> Tensor:
        run.append((module, grid))
        assert tokens.shape[1:4] == (grid.time, grid.height, grid.width)
        return module(tokens, grid)

    pixels = torch.randn(1, 3, 10, 36, 20)
    assert torch.equal(backbone(pixels, policy)[0], backbone(pixels)[0])
    assert [module for module, _ in run] == blocks_of(backbone)
    assert {grid.num_clips for _, grid in run} == {1}


def gradients(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.grad for name, parameter in module.named_parameters() if parameter.grad is not None}


@pytest.mark.parametrize("trained", ["everything", "adapters", "last adapter"])
@pytest.mark.parametrize("drop_path", [0.0, 0.6])
def test_recomputation_changes_neither_maps_nor_gradients(trained: str, drop_path: float) -> None:
    config = AdapterConfig(last_layers=1 if trained == "last adapter" else None)
    backbone = awake(VideoSwin(replace(TOY, drop_path=drop_path), config)).double()
    for name, parameter in backbone.named_parameters():
        parameter.requires_grad_(trained == "everything" or ".adapter." in name)
    pixels = torch.randn(3, 3, 10, 24, 20, dtype=torch.float64)
    results = []
    for run in (run_plainly, run_recomputed):
        backbone.zero_grad()
        torch.manual_seed(5)
        (maps,) = backbone(pixels, run)
        (maps**3).sum().backward()
        results.append((maps.detach(), gradients(backbone), torch.rand(())))
    (maps, plain, after), (again, recomputed, after_again) = results
    assert torch.equal(maps, again)
    assert plain.keys() == recomputed.keys()
    expected = {name for name, parameter in backbone.named_parameters() if parameter.requires_grad}
    assert plain.keys() == expected
    for name, value in plain.items():
        torch.testing.assert_close(recomputed[name], value, rtol=1e-10, atol=1e-12, msg=name)
    assert torch.equal(after, after_again), "the random stream went another way"


@pytest.mark.parametrize("layers", [(), (1, 2, 4)])
@pytest.mark.parametrize(
    "kind", [{"kind": "tia"}, {"kind": "tia", "spatial_kernel": 3}, {"kind": "plain"}, {"kind": "longlora"}]
)
def test_a_ladder_adds_the_means_of_the_changes_with_all_gradients(kind: Any, layers: tuple[int, ...]) -> None:
    backbone = awake(VideoSwin(TOY)).double().eval()
    ladder = awake(AdapterLadder(backbone, AdapterConfig(placement="outside", layers=layers, **kind))).double()
    pixels = torch.randn(2, 3, 10, 36, 20, dtype=torch.float64)
    outputs: dict[int, tuple[Tensor, TokenGrid]] = {}
    with torch.no_grad():
        (maps,) = backbone(pixels, tap=lambda index, tokens, grid: outputs.update({index: (tokens, grid)}))
    naive = maps.mean((3, 4))
    for index in layers or (2, 3, 4):
        tokens, grid = outputs[index]
        change = ladder.adapters[str(index)].change(tokens, grid)
        sizes = {"t": grid.time, "h": grid.height, "w": grid.width}
        naive = naive + reduce(change, "b (t h w) c -> b c t", "mean", **sizes)
    weight = torch.randn(naive.shape, dtype=torch.float64)
    (naive * weight).sum().backward()
    expected = gradients(ladder)
    ladder.zero_grad()
    (pooled,) = ladder(backbone, pixels)
    (pooled * weight).sum().backward()
    torch.testing.assert_close(pooled, naive, rtol=1e-12, atol=1e-12)
    assert expected.keys() == gradients(ladder).keys() == dict(ladder.named_parameters()).keys()
    for name, value in gradients(ladder).items():
        # Gradients are sums over all tokens of values up to their own size.
        torch.testing.assert_close(value, expected[name], rtol=1e-10, atol=1e-11, msg=name)
    assert not gradients(backbone)


def make_detector(how: str, *, keep: Any = "everything", backbone: VideoSwinConfig = TOY) -> Detector:
    adapter = AdapterConfig(placement=how) if how in ("inside", "outside") else None  # type: ignore[arg-type]
    config = DetectorConfig(
        backbone=backbone,
        tuning="adapter" if adapter else how,  # type: ignore[arg-type]
        adapter=adapter,
        head=ActionFormerConfig(width=16, levels=3, path_dropout=0.0),
    )
    torch.manual_seed(0)
    return build_detector(config, num_classes=3, features=16, resolution=24, engine=EngineConfig(keep=keep))


def small_batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    frames = torch.randint(0, 256, (2, 3, 16, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    mask = torch.arange(16) < torch.tensor([16, 11])[:, None]
    segments = torch.tensor([[[2.0, 6.5]], [[3.0, 9.0]]])
    return frames, mask, segments, torch.tensor([[0], [2]])


@pytest.mark.parametrize("how", ["frozen", "inside", "outside", "full"])
def test_gradients_reach_what_trains_and_nothing_else(how: str) -> None:
    detector = make_detector(how)
    for name, parameter in detector.named_parameters():
        if "up_proj" in name:
            nn.init.normal_(parameter, std=0.1)
    detector.train().loss(*small_batch())["loss"].backward()
    reached = gradients(detector)
    names = dict(detector.named_parameters()).keys()
    assert reached.keys() == {
        name for name in names if not name.startswith("backbone.") or how == "full" or ".adapter." in name
    }
    assert any(".adapter" in name for name in reached) == ("side" in how)
    assert all(value.any() for name, value in reached.items() if name.endswith("proj.weight"))


def test_drop_path_works_between_frozen_layers_and_rests_where_nothing_trains() -> None:
    config = replace(TOY, drop_path=0.4)
    for how, active in (("inside", True), ("outside", False), ("frozen", False), ("full", True)):
        backbone = make_detector(how, backbone=config).train().backbone
        assert backbone is not None
        modes = {name: module.training for name, module in backbone.named_modules()}
        assert modes["features.4.1.stochastic_depth"] == active
        assert modes["features.4.1.attn"] == modes["features.1.norm"] == modes["norm"] == (how == "full")


@pytest.mark.parametrize("keep", ["everything", "blocks"])
@pytest.mark.parametrize("how", ["inside", "outside", "full"])
def test_a_training_step_runs_on_fake_tensors(how: str, keep: str) -> None:
    with FakeTensorMode(), torch.autocast("cpu", dtype=torch.bfloat16):
        detector = make_detector(how, keep=keep, backbone=replace(TOY, drop_path=0.2)).train()
        frames = torch.zeros(2, 3, 16, 24, 24, dtype=torch.uint8)
        detector.features(frames, 16).sum().backward()
        trained = {name for name, p in detector.named_parameters() if p.requires_grad and not name.startswith("head.")}
        assert trained == gradients(detector).keys()


def test_swin_b_has_the_published_map_on_fake_tensors() -> None:
    with FakeTensorMode(), torch.no_grad():
        (maps,) = VideoSwin(VIDEO_SWIN["videoswin-b"]).eval()(torch.zeros(1, 3, 32, 224, 224))
        assert maps.shape == (1, 1024, 16, 7, 7)


def test_half_precision_stays_close_and_is_recomputed_to_the_bit() -> None:
    backbone = awake(VideoSwin(replace(TOY, drop_path=0.2), AdapterConfig()))
    pixels = torch.randn(2, 3, 10, 36, 20)
    results = []
    for enabled, run in ((False, run_plainly), (True, run_plainly), (True, run_recomputed)):
        backbone.zero_grad()
        torch.manual_seed(2)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            (maps,) = backbone(pixels, run)
        (maps.float() ** 3).mean().backward()
        results.append((maps.detach().float(), torch.cat([value.flatten() for value in gradients(backbone).values()])))
    (exact, gradient), (half, half_gradient), (again, gradient_again) = results
    # bfloat16 rounds to one part in 512, a few dozen times on the way; measured: 0.005 and 0.014.
    assert 0 < (half - exact).norm() < 0.02 * exact.norm()
    assert 0 < (half_gradient - gradient).norm() < 0.05 * gradient.norm()
    assert torch.equal(half, again)
    assert torch.equal(half_gradient, gradient_again)
