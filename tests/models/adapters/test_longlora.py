import math

import torch
from torch import Tensor

from models.adapters import TokenGrid, build_adapter
from models.adapters.longlora import group_masks
from models.config import VIDEOMAE, AdapterConfig

GRID = TokenGrid(num_clips=3, time=4, height=2, width=2)


def naive_attention(adapter: torch.nn.Module, series: Tensor, heads: int, groups: int) -> Tensor:
    """Attention over one position's (time, channel) series, key by key."""
    p = dict(adapter.named_parameters())
    q, k, v = (series @ p[f"{name}.weight"].T + p[f"{name}.bias"] for name in ("query", "key", "value"))
    length, width = series.shape
    size, per_head = math.ceil(length / groups), width // heads
    out = torch.zeros_like(series)
    for head in range(heads):
        shift = 0 if head < heads // 2 else size // 2
        part = slice(head * per_head, (head + 1) * per_head)
        for t in range(length):
            seen = [s for s in range(length) if (s + shift) // size == (t + shift) // size]
            weights = torch.stack([q[t, part] @ k[s, part] / math.sqrt(per_head) for s in seen]).softmax(0)
            out[t, part] = sum(w * v[s, part] for w, s in zip(weights, seen, strict=True))
    return (out @ p["up_proj.weight"].T + p["up_proj.bias"]) * p["gamma"]


def test_attention_over_time_equals_a_loop() -> None:
    adapter = build_adapter(8, AdapterConfig(kind="longlora", attention_groups=3)).double()
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    tokens = torch.randn(2 * 3, 4 * 4, 8, dtype=torch.float64)
    change = adapter.change(tokens, GRID).view(2, 3, 4, 4, 8)
    windows = tokens.view(2, 3, 4, 4, 8)
    for video in range(2):
        for position in range(4):
            series = windows[video, :, :, position].reshape(12, 8)
            expected = naive_attention(adapter, series, heads=2, groups=3)
            torch.testing.assert_close(change[video, :, :, position].reshape(12, 8), expected, rtol=1e-10, atol=1e-10)


def test_shifted_groups_join_neighbours_and_do_not_wrap() -> None:
    plain, shifted = group_masks(8, 2, torch.device("cpu"))
    assert plain[0].tolist() == [True] * 4 + [False] * 4
    assert shifted[2].tolist() == [False] * 2 + [True] * 4 + [False] * 2
    assert shifted[0].tolist() == [True] * 2 + [False] * 6
    assert not shifted[0, -1]
    assert group_masks(7, 9, torch.device("cpu"))[0].equal(torch.eye(7, dtype=torch.bool))


def test_the_published_28_million_parameters_for_b() -> None:
    config = VIDEOMAE["videomae-b"]
    with torch.device("meta"):
        adapter = build_adapter(config.width, AdapterConfig(kind="longlora"))
    total = config.depth * sum(parameter.numel() for parameter in adapter.parameters())
    assert total == 12 * (4 * (768 * 768 + 768) + 1)
    assert round(total / 1e6, 1) == 28.3


def test_only_the_output_projection_moves_in_the_first_step() -> None:
    adapter = build_adapter(8, AdapterConfig(kind="longlora"))
    adapter(torch.randn(6, 16, 8), GRID).square().sum().backward()
    moving = {name for name, p in adapter.named_parameters() if p.grad is not None and p.grad.any()}
    assert moving == {"up_proj.weight", "up_proj.bias"}
