"""CUDA's rules of autocast, imposed on a trace of fake CPU tensors.

Autocast decides per operator whether it runs in half precision, in float32 or in the widest format of its inputs, and
the lists differ between devices: a layer norm of bfloat16 returns float32 on CUDA and bfloat16 on the CPU, a softmax
and a sum too. Operators that run in half precision on CUDA do so on the CPU as well; here those that CUDA keeps in
float32 get their rule. `torch.autocast("cuda")` itself disables itself where there is no GPU (scaling-facts C).
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only

FLOAT32 = (
    *("acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt"),
    *("sinh", "tan", "pow.Tensor_Scalar", "pow.Tensor_Tensor", "pow.Scalar", "softplus", "layer_norm"),
    *("native_layer_norm", "group_norm", "frobenius_norm.dim", "cosine_similarity", "nll_loss", "kl_div", "l1_loss"),
    *("smooth_l1_loss", "huber_loss", "mse_loss", "binary_cross_entropy_with_logits", "dist", "cdist", "renorm"),
    *("logsumexp", "upsample_nearest1d", "upsample_nearest2d", "upsample_linear1d", "upsample_bilinear2d"),
    *("upsample_trilinear3d", "upsample_bicubic2d"),
)
"""Operators whose inputs CUDA's autocast brings to float32 (those that a detector can meet)."""
FLOAT32_RESULT = (
    "prod",
    "prod.dim_int",
    "softmax.int",
    "log_softmax.int",
    "cumprod",
    "cumsum",
    "sum",
    "sum.dim_IntList",
)
"""Operators that CUDA's autocast asks for a float32 result where no format is asked for."""
HALF = (torch.float16, torch.bfloat16)


@contextmanager
def cuda_rules() -> Iterator[None]:
    """Let `torch.autocast("cpu")` act by CUDA's rules inside the block. Nothing else may use it meanwhile."""
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        # Where the CPU has a rule of its own, it is the very thing that is to be replaced.
        warnings.simplefilter("ignore")
        for name in FLOAT32:
            library.impl(name, _in_float32(_operator(name)), "AutocastCPU")
        for name in FLOAT32_RESULT:
            library.impl(name, _to_float32(_operator(name)), "AutocastCPU")
    try:
        yield
    finally:
        library._destroy()


def scratch(func: Any, args: Any) -> int:
    """Return the bytes that CUDA's flash attention needs inside its backward pass: the queries' gradient in float32.

    Its sequences are padded to blocks of 128 and its head channels to multiples of 32.
    """
    if func is not torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward.default:
        return 0
    batch, heads, length, channels = args[1].shape
    if args[1].dtype not in HALF:
        return 0
    return 4 * batch * heads * (-(-length // 128) * 128) * (-(-channels // 32) * 32)


def _operator(name: str) -> Any:
    packet, _, overload = name.partition(".")
    return getattr(getattr(torch.ops.aten, packet), overload or "default")


def _below_autocast() -> Any:
    return torch._C._ExcludeDispatchKeyGuard(torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastCPU))


def _in_float32(operator: Any) -> Callable[..., Any]:
    def rule(*args: Any, **kwargs: Any) -> Any:
        wider = tree_map_only(Tensor, lambda value: value.float() if value.dtype in HALF else value, (args, kwargs))
        with _below_autocast():
            return operator(*wider[0], **wider[1])

    return rule


def _to_float32(operator: Any) -> Callable[..., Any]:
    def rule(*args: Any, **kwargs: Any) -> Any:
        if args[0].dtype in HALF and kwargs.get("dtype") is None:
            kwargs = {**_without_format(operator, args), **kwargs, "dtype": torch.float32}
            args = args[: _place_of_format(operator)]
        with _below_autocast():
            return operator(*args, **kwargs)

    return rule


def _place_of_format(operator: Any) -> int:
    names = [argument.name for argument in operator._schema.arguments if not argument.kwarg_only]
    return names.index("dtype") if "dtype" in names else len(names)


def _without_format(operator: Any, args: Any) -> dict[str, Any]:
    """Return the arguments that stand after the format, by name."""
    names = [argument.name for argument in operator._schema.arguments if not argument.kwarg_only]
    place = _place_of_format(operator)
    return dict(zip(names[place + 1 :], args[place + 1 :], strict=False))
