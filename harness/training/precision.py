"""Mixed precision: which numbers a step computes in."""

from contextlib import AbstractContextManager, nullcontext

import torch

from harness.config import Precision

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(precision: Precision, device_type: str) -> AbstractContextManager[object]:
    """Return the context in which forward and loss run; parameters and the residual stream stay float32."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device_type, dtype=DTYPES[precision])


def grad_scaler(precision: Precision, device_type: str) -> torch.amp.GradScaler | None:
    """Return a scaler for fp16, whose small gradients would vanish; bf16 has float32's range and needs none."""
    return torch.amp.GradScaler(device_type) if precision == "fp16" else None
