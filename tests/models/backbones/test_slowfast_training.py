from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from models.adapters import Adapter, TokenGrid, run_plainly
from models.backbones.resnet3d import Bottleneck, ConvNorm, Stem
from models.backbones.slowfast import SlowFast
from models.config import AdapterConfig, SlowFastConfig
from models.engine.recompute import run_recomputed

TOY = SlowFastConfig(name="toy", blocks=(2, 1, 2, 1), width=8, channel_ratio=2, lateral_norm=True)


def awake(adapter: AdapterConfig | None = AdapterConfig(), dtype: torch.dtype = torch.float64) -> SlowFast:  # noqa: B008
    """A network in which every gradient is non-zero."""
    network = SlowFast(TOY, adapter)
    for name, value in network.named_parameters():
        if value.dim() == 1 or "up_proj" in name:
            nn.init.uniform_(value, 0.2, 0.6)
    for module in network.modules():
        if isinstance(module, ConvNorm) and module.bn is not None:
            nn.init.uniform_(module.bn.running_var, 0.5, 1.5)
            nn.init.uniform_(module.bn.running_mean, -0.3, 0.3)
    return network.to(dtype)


def video(dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(2, 3, 16, 32, 32, dtype=dtype)


def total(outputs: list[Tensor]) -> Tensor:
    return sum((output.square().mean() for output in outputs), start=torch.zeros(()))


def freeze_all_but_adapters(network: SlowFast) -> None:
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    for module in network.modules():
        if isinstance(module, Adapter):
            module.requires_grad_(True)


@pytest.mark.parametrize("frozen", [False, True], ids=["full", "adapters"])
def test_recomputing_blocks_changes_no_output_and_no_gradient(frozen: bool) -> None:
    network, pixels = awake(), video()
    if frozen:
        freeze_all_but_adapters(network)
    results = []
    for run in (run_plainly, run_recomputed):
        network.zero_grad()
        outputs = network(pixels, run)
        total(outputs).backward()
        gradients = {name: p.grad for name, p in network.named_parameters() if p.grad is not None}
        results.append(([output.detach() for output in outputs], gradients))
    (kept, gradients), (recomputed, gradients_again) = results
    assert all(torch.equal(a, b) for a, b in zip(kept, recomputed, strict=True))
    assert gradients.keys() == gradients_again.keys()
    assert gradients.keys() == {name for name, p in network.named_parameters() if p.requires_grad}
    for name, value in gradients.items():
        assert value.any(), name
        assert torch.equal(gradients_again[name], value), name


def test_gradients_reach_adapters_only_where_the_rest_is_frozen() -> None:
    network = awake()
    freeze_all_but_adapters(network)
    outputs = network(video())
    assert outputs[0].requires_grad
    assert not outputs[1].requires_grad, "nothing of the fast pathway trains"
    total(outputs).backward()
    for name, parameter in network.named_parameters():
        assert (parameter.grad is not None) == (".adapter." in name), name


def test_a_frozen_backbone_keeps_nothing_for_a_backward_pass() -> None:
    network = awake(None)
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor), lambda _: None):
        network(video())
    assert not kept


def test_a_block_keeps_no_map_for_its_normalisations() -> None:
    """Three convolutions keep their inputs, which are also what the ReLUs keep; the last ReLU keeps the output."""
    block = Bottleneck(32, 8)
    maps = torch.randn(1, 32, 4, 6, 6, requires_grad=True)
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.dim() == 5 and tensor.shape[2:] == maps.shape[2:]:
            kept[tensor.untyped_storage().data_ptr()] = tensor.shape[1]
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        block(maps, block.output_grid(maps))
    assert sorted(kept.values()) == [8, 8, 32, 32]


@pytest.mark.parametrize("adapter", [None, AdapterConfig()], ids=["bare", "adapted"])
def test_statistics_stay_put_and_count_the_same_while_training(adapter: AdapterConfig | None) -> None:
    network = awake(adapter)
    statistics = {name: value.clone() for name, value in network.named_buffers()}
    pixels = video()
    with torch.no_grad():
        resting = network.eval()(pixels)
    training = network.train()(pixels)
    total(training).backward()
    assert all(torch.equal(a, b) for a, b in zip(resting, training, strict=True))
    assert statistics
    assert all(torch.equal(value, statistics[name]) for name, value in network.named_buffers())


def test_every_block_of_both_pathways_is_run_and_the_slow_ones_are_shown() -> None:
    network = awake(None)
    ran: list[tuple[nn.Module, TokenGrid]] = []
    shown: list[int] = []

    def run(module: nn.Module, maps: Tensor, grid: TokenGrid) -> Tensor:
        ran.append((module, grid))
        result = module(maps, grid)
        assert tuple(result.shape[2:]) == (grid.time, grid.height, grid.width)
        return result

    def tap(index: int, tokens: Tensor, grid: TokenGrid) -> None:
        assert tokens.shape == (2, grid.time * grid.height * grid.width, network.layer_channels[index])
        assert grid.num_clips == 1
        shown.append(index)

    network(video(), run, tap)
    assert {module for module, _ in ran} == {m for m in network.modules() if isinstance(m, (Stem, Bottleneck))}
    assert len(ran) == 2 + 12
    assert shown == list(range(6))


@pytest.mark.parametrize("run", [run_plainly, run_recomputed])
def test_a_training_step_runs_on_fake_tensors(run: Any) -> None:
    with FakeTensorMode():
        network = SlowFast(TOY, AdapterConfig())
        slow, fast = network(torch.randn(1, 3, 24, 64, 48), run)
        total([slow, fast]).backward()
        assert (slow.shape, fast.shape) == ((1, 256, 6, 2, 2), (1, 128, 24, 2, 2))
        assert all(parameter.grad is not None for parameter in network.parameters())


def test_half_precision_stays_close_to_single_precision() -> None:
    network, pixels = awake(dtype=torch.float32), video(torch.float32)
    results = []
    for enabled in (False, True):
        network.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            outputs = network(pixels, run_recomputed)
        total([output.float() for output in outputs]).backward()
        gradient = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        results.append((*outputs, gradient))
    single, half = results
    assert half[1].dtype == torch.bfloat16
    for values, reference in zip(half, single, strict=True):
        error = (values.float() - reference).norm() / reference.norm()
        # bfloat16 has 8 bits, and some 20 roundings follow each other.
        assert error < 0.02
