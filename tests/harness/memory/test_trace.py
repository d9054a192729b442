"""A trace says when and where the peak is, what a step costs, and is the same for shortened networks."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from harness import presets
from harness.config import TrialConfig, with_values
from harness.data.datasets import dataset_of
from harness.memory.allocator import Pool
from harness.memory.cuda_rules import cuda_rules
from harness.memory.shortened import trace_quickly
from harness.memory.timeline import Timeline
from harness.memory.trace import trace_step
from harness.memory.words import moment_in_words
from models.config import ActionFormerConfig, VideoMAEConfig

pytestmark = pytest.mark.usefixtures("one_thread")

DEEP = with_values(
    presets.paper(dataset_of("thumos14")),
    {
        "engine.policy": "fixed",
        "training.batch_size": 1,
        "model.backbone": VideoMAEConfig(
            name="deep", width=32, depth=18, heads=2, mlp_hidden=128, patch=16, image_size=32, drop_path=0.1
        ),
        "model.head": ActionFormerConfig(width=32, embed_layers=1, stem_layers=1, levels=2),
        "data.window.frames": 256,
        "data.window.resolution": 32,
        "data.window.span": 256,
        "data.window.features": 64,
    },
)
OUTSIDE = {"model.adapter.placement": "outside"}
WIDE = ActionFormerConfig(width=128, embed_layers=1, stem_layers=1, levels=2)
LEAN = {
    "engine.keep_on": "host",
    "engine.clips": 2,
    "engine.inputs_on": "host",
    "engine.averages_on": "host",
    "engine.optimizer_on": "host",
}
"""On the host, a short window's step needs most for its optimiser, a long one's for what blocks left there."""


@pytest.mark.parametrize(
    "changes",
    [
        {"engine.policy": "reference"},
        {"engine.policy": "reference", **OUTSIDE},
        {"engine.keep_on": "host", "engine.clips": 2, "engine.weights": "bf16"},
        {"engine.every": 2, "engine.clips": 2},
        {"engine.keep": "nothing", "engine.clips": 2, "engine.inputs_on": "host", **OUTSIDE},
        {**LEAN, "data.window.frames": 256},
        {**LEAN, "data.window.frames": 1024, "data.window.span": 1024},
        {**LEAN, "engine.weights": "bf16", "data.window.frames": 2048, "data.window.span": 2048, "model.head": WIDE},
    ],
)
def test_a_shortened_trace_finds_the_peak_of_the_whole(changes):
    config = with_values(DEEP, changes)
    whole, quick = trace_step(config, "cuda"), trace_quickly(config, "cuda")
    assert quick.peak.bytes == pytest.approx(whole.peak.bytes, rel=1e-3)
    assert (quick.peak.phase, quick.peak.layer) == (whole.peak.phase, whole.peak.layer)
    assert sum(quick.peak.breakdown.values()) == pytest.approx(quick.peak.bytes, rel=1e-6)
    assert quick.host_bytes == pytest.approx(whole.host_bytes, rel=1e-3)
    assert quick.work.flops == pytest.approx(whole.work.flops, rel=1e-6)
    assert (quick.params_total, quick.params_trainable) == (whole.params_total, whole.params_trainable)


def test_recomputing_costs_up_to_one_forward_pass_more():
    def flops(keep: str) -> float:
        return trace_quickly(with_values(DEEP, {"engine.keep": keep}), "cuda").work.flops

    # Forward and backward cost as much as each other where weights are frozen, so a block is 3 instead of 2; less for
    # the head, which is not computed again, and for adapters, whose weights need gradients.
    assert 1.3 < flops("blocks") / flops("everything") < 1.5


def test_phases_and_layers_are_those_at_work():
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 256))
    with Timeline() as timeline:
        timeline.watch(model)
        timeline.begin()
        model(torch.zeros(8, 64)).square().sum().backward()
        torch.zeros(4)
    phases = {life.phase for life in timeline.lives}
    assert phases == {"forward", "backward", "optimiser step"}
    places = {(life.phase, life.layer) for life in timeline.lives}
    assert {("forward", "0"), ("forward", "1"), ("backward", "1"), ("backward", "0")} <= places
    assert timeline.work.full_flops == 2 * 8 * 64 * (64 + 256) * 2 + 2 * 8 * 64 * 256


def test_kept_and_transient_are_told_apart():
    with Timeline() as timeline:
        weight = torch.ones(256, 256, requires_grad=True)
        timeline.hold("trainable weights", [weight])
        timeline.begin()
        kept = (torch.ones(256, 256) @ weight).exp()
        kept.sum().backward()
    peak = max(timeline.peaks(), key=lambda peak: peak.bytes)
    size = 256 * 256 * 4
    assert peak.phase == "backward"
    assert peak.breakdown["trainable weights"] == size
    # The input of the product and the output of exp, beside a few bytes for the sum.
    assert peak.breakdown["activations kept"] == pytest.approx(2 * size, abs=2048)


def test_cuda_rules_hold_inside_their_block_only():
    values, norm = torch.randn(2, 4, dtype=torch.bfloat16), nn.LayerNorm(4)

    def formats() -> list[torch.dtype]:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            made = (norm(values), F.softmax(values, -1), values.sum(), values**2, F.gelu(values), values @ values.T)
        return [each.dtype for each in made]

    on_cpu, wide, half = formats(), torch.float32, torch.bfloat16
    with cuda_rules():
        assert formats() == [wide, wide, wide, wide, half, half]
    assert formats() == on_cpu == [half] * 6


def test_an_allocator_reuses_splits_and_joins():
    pool, mib = Pool(small=False), 2**20
    first, second = pool.take(12 * mib), pool.take(30 * mib)
    assert pool.reserved == 42 * mib
    pool.give_back(second)
    parts = [pool.take(10 * mib) for _ in range(3)]
    assert pool.reserved == 42 * mib
    for part in parts:
        pool.give_back(part)
    assert pool.take(30 * mib).size == 30 * mib
    assert pool.reserved == 42 * mib
    pool.take(2 * mib)
    assert pool.reserved == 62 * mib
    pool.give_back(first)


def test_an_undecided_policy_cannot_be_traced():
    with pytest.raises(ValueError, match=r"engine\.policy is auto"):
        trace_step(_auto(DEEP), "cpu")


def _auto(config: TrialConfig) -> TrialConfig:
    return with_values(config, {"engine.policy": "auto"})


def test_moments_are_said_in_words():
    assert moment_in_words("backward", "backbone.blocks.39.mlp", layers=40) == "backward, block 40 of 40, MLP"
    assert moment_in_words("forward", "ladder.adapters.11", layers=12) == "forward, adapter beside block 12 of 12"
    assert moment_in_words("optimiser step", "", layers=12) == "optimiser step"
