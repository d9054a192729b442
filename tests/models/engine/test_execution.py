from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from models.engine.recompute import run_recomputed

Batch = tuple[Tensor, Tensor, Tensor, Tensor]
HOW = ["frozen", "full", "tia-inside", "tia-inside-2", "tia-outside", "plain-inside"]


def step(detector: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    torch.manual_seed(5)
    loss = detector.train().loss(*batch)["loss"]
    loss.backward()
    gradients = {name: p.grad for name, p in detector.named_parameters() if p.grad is not None}
    return loss.detach(), gradients, torch.rand(())


@pytest.mark.parametrize("drop_path", [0.0, 0.5])
@pytest.mark.parametrize("how", HOW)
def test_recomputation_changes_neither_loss_nor_gradients(
    make_detector: Any, batch: Batch, how: str, drop_path: float
) -> None:
    segments = batch[2].double()
    batch = (batch[0], batch[1], segments, batch[3])
    results = [
        step(make_detector(how, keep=keep, drop_path=drop_path).double(), batch) for keep in ("everything", "blocks")
    ]
    (plain, gradients, after), (recomputed, again, after_again) = results
    torch.testing.assert_close(plain, recomputed, rtol=1e-12, atol=0)
    assert gradients.keys() == again.keys()
    for name, value in gradients.items():
        torch.testing.assert_close(value, again[name], rtol=1e-9, atol=1e-12, msg=name)
    assert torch.equal(after, after_again), "the random stream went another way"


def test_drop_path_is_in_the_gradients_that_were_compared(make_detector: Any, batch: Batch) -> None:
    losses = {drop: step(make_detector("tia-inside", drop_path=drop).double(), batch)[0] for drop in (0.0, 0.5)}
    assert losses[0.0] != losses[0.5]


def saved_bytes(detector: Any, batch: Batch) -> int:
    """Bytes that the backbone's forward pass leaves behind for its backward pass (weights and repeats left out)."""
    own = {p.untyped_storage().data_ptr() for p in detector.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        detector.train().features(batch[0], 32)
    return sum(kept.values())


def test_blocks_before_the_first_adapter_keep_nothing(make_detector: Any, batch: Batch) -> None:
    kept = [saved_bytes(make_detector(how), batch) for how in ("frozen", "tia-inside-1", "tia-inside-2", "tia-inside")]
    assert kept[0] == 0
    assert kept == sorted(set(kept))


def test_recomputation_computes_more_but_only_adapted_blocks(make_detector: Any, batch: Batch) -> None:
    def flops(how: str, keep: str) -> int:
        detector = make_detector(how, keep=keep).train()
        with FlopCounterMode(display=False) as counter:
            detector.loss(*batch)["loss"].backward()
        return counter.get_total_flops()

    extra = {how: flops(how, "blocks") - flops(how, "everything") for how in ("frozen", "tia-inside-2", "tia-inside")}
    assert extra["frozen"] == 0
    assert 0 < extra["tia-inside-2"] < extra["tia-inside"]


def test_nothing_is_recomputed_without_gradients(make_detector: Any) -> None:
    detector = make_detector("tia-inside", keep="blocks")
    calls = []
    detector.backbone.blocks[0].register_forward_pre_hook(lambda *_: calls.append(1))
    tokens, grid = detector.backbone.embed(torch.randn(2, 3, 16, 32, 32), 2)
    with torch.no_grad():
        run_recomputed(detector.backbone.blocks[0], tokens, grid)
    assert calls == [1]
    run_recomputed(detector.backbone.blocks[0], tokens, grid).sum().backward()
    assert calls == [1, 1, 1]
