"""The tracker counts what lives, when it lives, on real and fake tensors alike."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from harness.memory.tracker import LiveBytes, tensors_of

KIB = 1024


def test_memory_that_is_freed_no_longer_counts():
    with LiveBytes() as tracker:
        first = torch.zeros(256)  # 1 KiB
        second = torch.zeros(512)  # 2 KiB
        del first
        third = torch.zeros(256)
        assert tracker.live_bytes == 3 * KIB
        del second, third
        assert tracker.live_bytes == 0
    assert tracker.peak_bytes == 3 * KIB


def test_views_share_their_storage_and_sizes_are_rounded_up():
    with LiveBytes() as tracker:
        base = torch.zeros(3)
        views = [base[1:], base.view(3, 1), base.detach()]
        assert tracker.live_bytes == 512
        del base
        assert tracker.live_bytes == 512
        del views
        assert tracker.live_bytes == 0


def test_held_tensors_count_from_the_start_under_their_name():
    layer, inputs = torch.nn.Linear(128, 128), torch.ones(2, 128)
    with LiveBytes() as tracker:
        tracker.hold("weights", layer.parameters())
        output = layer(inputs)
    assert tracker.by_category == {"weights": 128 * 128 * 4 + 512, "activations": output.nbytes}


def test_a_hand_counted_backward_pass():
    # y = relu(x w); keeps x w for relu's backward (its own output), then grads of w and of the product.
    weight = torch.ones(256, 256, requires_grad=True)
    inputs = torch.ones(256, 256)
    size = 256 * 256 * 4
    with LiveBytes() as tracker:
        tracker.hold("held", [weight, inputs])
        loss = (inputs @ weight).relu().sum()
        loss.backward()
    # held 2, product, relu's output (saved), its gradient, the product's gradient: the worst moment.
    assert 4 * size <= tracker.peak_bytes <= 6 * size
    assert tracker.live_bytes == 3 * size + 512  # held, the gradient of w, the loss


@settings(max_examples=15, deadline=None)
@given(batch=st.integers(1, 5), width=st.integers(1, 70), depth=st.integers(1, 4))
def test_fake_tensors_have_the_peak_of_real_ones(batch: int, width: int, depth: int):
    def peak() -> int:
        layers = [torch.nn.Sequential(torch.nn.Linear(width, width), torch.nn.GELU()) for _ in range(depth)]
        model = torch.nn.Sequential(*layers)
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        inputs = torch.ones(batch, width)
        tracker = LiveBytes()
        tracker.hold("weights", model.parameters())
        tracker.hold("inputs", [inputs])
        with tracker:
            for _ in range(2):
                optimizer.zero_grad(set_to_none=True)
                model(inputs).square().mean().backward()
                optimizer.step()
        return tracker.peak_bytes

    real = peak()
    with FakeTensorMode():
        fake = peak()
    assert real == fake


def test_tensors_are_found_in_modules_optimisers_and_containers():
    layer = torch.nn.BatchNorm1d(4)
    layer(torch.randn(3, 4)).sum().backward()
    optimizer = torch.optim.AdamW(layer.parameters())
    optimizer.step()
    assert len(list(tensors_of(layer))) == 2 + 2 + 3  # parameters, gradients, buffers
    assert len(list(tensors_of(optimizer))) == 2 * 3  # step and two moments each
    assert len(list(tensors_of({"a": [torch.ones(1), (torch.ones(1),)], "b": 3}))) == 2


def test_peaks_are_attributed_to_the_named_moment():
    tracker = LiveBytes()
    with tracker:
        tracker.at("small")
        kept = torch.zeros(128)
        tracker.at("large")
        torch.zeros(1024)
        tracker.at("after")
        del kept
    assert tracker.peak_moment == "large"
    assert tracker.at_peak["activations"] == pytest.approx(512 + 4096)
