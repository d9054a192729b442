import math

import torch

from models.losses import diou_loss, sigmoid_focal_loss


def test_focal_loss_equals_its_definition() -> None:
    logits = torch.linspace(-6, 6, 25, dtype=torch.float64)
    for target in (0.0, 1.0, 0.95, 0.05):
        got = sigmoid_focal_loss(logits, torch.full_like(logits, target))
        for logit, value in zip(logits.tolist(), got.tolist(), strict=True):
            p = 1 / (1 + math.exp(-logit))
            cross_entropy = -target * math.log(p) - (1 - target) * math.log(1 - p)
            agreement = p * target + (1 - p) * (1 - target)
            alpha = 0.25 * target + 0.75 * (1 - target)
            assert math.isclose(value, alpha * (1 - agreement) ** 2 * cross_entropy, rel_tol=1e-9, abs_tol=1e-15)


def test_focal_loss_is_finite_far_out() -> None:
    logits = torch.tensor([-100.0, 100.0], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([1.0, 0.0]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_diou_loss_has_a_gradient_where_segments_do_not_touch() -> None:
    predicted = torch.tensor([[0.0, 1.0]], requires_grad=True)
    loss = diou_loss(predicted, torch.tensor([[5.0, 6.0]]))
    loss.sum().backward()
    assert predicted.grad is not None
    assert predicted.grad.sum() < 0, "the segment should move right"


def test_diou_loss_passes_gradcheck() -> None:
    generator = torch.Generator().manual_seed(0)
    predicted = torch.rand(6, 2, dtype=torch.float64, generator=generator).cumsum(-1).requires_grad_()
    truth = torch.rand(6, 2, dtype=torch.float64, generator=generator).cumsum(-1)
    assert torch.autograd.gradcheck(lambda p: diou_loss(p, truth), (predicted,))
