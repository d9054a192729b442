"""What waits on the host: who is told of it, what comes back, in which order."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.training.host_adamw import HostAdamW
from models.adapters import TokenGrid
from models.engine import offload
from models.engine.kept import Kept
from models.engine.recompute import recomputing

CPU = torch.device("cpu")


@pytest.fixture
def made_on_host() -> Iterator[list[Tensor]]:
    made: list[Tensor] = []
    offload.observers.append(made.append)
    yield made
    offload.observers.remove(made.append)


def test_a_host_copy_is_a_copy_and_is_told_of(made_on_host: list[Tensor]) -> None:
    values = torch.arange(6.0).view(2, 3)
    waiting = offload.to_host(values)
    values.zero_()
    assert made_on_host == [waiting]
    assert torch.equal(waiting, torch.arange(6.0).view(2, 3))
    back = offload.to_device(waiting, CPU)
    assert torch.equal(back, waiting)
    assert back.data_ptr() != waiting.data_ptr()


@pytest.mark.parametrize("where", ["device", "host"])
def test_what_was_kept_last_comes_back_first(where: Any, made_on_host: list[Tensor]) -> None:
    kept = Kept(where, CPU)
    for number in range(4):
        kept.put(torch.full((2,), float(number)))
    assert len(made_on_host) == (4 if where == "host" else 0)
    kept.fetch()
    kept.fetch()
    assert len(kept) == 4
    assert [kept.take()[0].item() for _ in range(4)] == [3, 2, 1, 0]
    assert len(kept) == 0


class Drops(nn.Module):
    """A block with dropout and one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, 3.0]).double())
        self.dropout = nn.Dropout(0.5)

    def forward(self, tokens: Tensor, grid: TokenGrid) -> Tensor:
        return self.dropout(tokens * self.weight) ** 2


@pytest.mark.parametrize("where", ["device", "host"])
def test_a_recomputed_block_drops_the_same(where: Any) -> None:
    grid = TokenGrid(num_clips=1, time=1, height=1, width=1)
    block = Drops()
    results = []
    for run in (lambda module, tokens, grid: module(tokens, grid), recomputing(where)):
        block.zero_grad()
        torch.manual_seed(0)
        tokens = torch.randn(3, 4, 2, dtype=torch.float64, requires_grad=True)
        out = run(block, run(block, tokens, grid), grid)
        out.sum().backward()
        results.append((out.detach(), tokens.grad, block.weight.grad.clone(), torch.rand(())))  # type: ignore[union-attr]
    for plain, again in zip(*results, strict=True):
        torch.testing.assert_close(plain, again, rtol=1e-12, atol=0)


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(size, generator=generator)) for size in ((4, 3), (5,), (2, 2, 2))]


def run_adamw(kind: type[torch.optim.AdamW], trained: list[nn.Parameter], optimizer: Any, steps: range) -> None:
    for number in steps:
        for index, parameter in enumerate(trained):
            # The last parameter gets no gradient in every other step.
            skip = index == 2 and number % 2
            parameter.grad = None if skip else torch.sin(parameter.detach() * (number + 1))
        for group in optimizer.param_groups:
            group["lr"] = 0.1 / (number + 1)
        optimizer.step()


def groups_of(trained: list[nn.Parameter]) -> list[dict[str, Any]]:
    return [{"params": trained[:2], "weight_decay": 0.1}, {"params": trained[2:], "weight_decay": 0.0}]


def test_adamw_on_the_host_is_adamw(made_on_host: list[Tensor]) -> None:
    here, there = parameters(), parameters()
    run_adamw(torch.optim.AdamW, here, torch.optim.AdamW(groups_of(here), lr=0.1, fused=True), range(6))
    assert not made_on_host
    run_adamw(HostAdamW, there, HostAdamW(groups_of(there), lr=0.1), range(6))
    assert made_on_host
    for mine, theirs in zip(there, here, strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(("before", "after"), [("host", "device"), ("device", "host")])
def test_state_moves_between_host_and_device(before: str, after: str) -> None:
    def build(where: str, trained: list[nn.Parameter]) -> torch.optim.AdamW:
        if where == "host":
            return HostAdamW(groups_of(trained), lr=0.1)
        return torch.optim.AdamW(groups_of(trained), lr=0.1, fused=True)

    straight, broken = parameters(), parameters()
    run_adamw(torch.optim.AdamW, straight, build("device", straight), range(6))
    first = build(before, broken)
    run_adamw(type(first), broken, first, range(3))
    second = build(after, broken)
    second.load_state_dict(first.state_dict())
    run_adamw(type(second), broken, second, range(3, 6))
    for mine, theirs in zip(broken, straight, strict=True):
        assert torch.equal(mine, theirs)
