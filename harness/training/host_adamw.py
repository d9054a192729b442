"""AdamW whose state lives on the host: the device holds weights and gradients, and nothing else per parameter.

    gradients, weights -> host -> torch's own fused AdamW on the CPU -> weights -> device

The numbers are those of AdamW on the device, and so is the form of its state: checkpoints of both are interchangeable.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

from models.engine.offload import empty_on_host, to_host


class HostAdamW(torch.optim.AdamW):
    """AdamW on the host over parameters on a device."""

    def __init__(self, params: Iterable[Any], **settings: Any) -> None:
        """Take AdamW's arguments."""
        super().__init__(params, **settings, fused=True)
        # A scaler of gradients must decide by itself whether to step, instead of leaving it to a kernel on the device.
        self._step_supports_amp_scaling = False

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        assert closure is None
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            weights, gradients = [to_host(p) for p in parameters], [to_host(p.grad) for p in parameters]
            states = [self._state_of(p) for p in parameters]
            if parameters and parameters[0].is_cuda:
                torch.cuda.current_stream(parameters[0].device).synchronize()
            adamw(
                weights,
                gradients,
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=True,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )
            for parameter, updated in zip(parameters, weights, strict=True):
                parameter.copy_(updated, non_blocking=True)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state; torch brings it to the parameters, from where it returns to the host."""
        super().load_state_dict(state_dict)
        for state in self.state.values():
            for name, value in state.items():
                state[name] = to_host(value) if value.dim() else value.cpu()

    def _state_of(self, parameter: Tensor) -> dict[str, Tensor]:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = (empty_on_host(parameter).zero_() for _ in range(2))
        return state
