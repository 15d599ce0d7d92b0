"""Probes of the kernels of vLLM, SGLang and DeepSpeed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Parts = Iterator[tuple[Any, ...]]  # Any: tensors; torch is not installed where types are checked


def vllm(device: str) -> Parts:
    """SiLU and product: 64 and -128 have a sigmoid of exactly one and of nothing in fp32."""
    import torch

    yield from _silu(device, lambda out, both: torch.ops._C.silu_and_mul(out, both))


def sgl_kernel(device: str) -> Parts:
    """As vLLM's kernel of that name."""
    import torch

    yield from _silu(device, lambda out, both: torch.ops.sgl_kernel.silu_and_mul.default(out, both))


def _silu(device: str, function: Callable[[Any, Any], object]) -> Parts:
    import torch

    gate = torch.where(torch.arange(32 * 64) % 3 == 0, -128, 64).reshape(32, 64)
    factor = ((torch.arange(32 * 64) * 7) % 5 - 2).reshape(32, 64)
    out = torch.empty(32, 64, device=device, dtype=torch.bfloat16)
    function(out, torch.cat([gate, factor], dim=1).to(device, torch.bfloat16))
    yield "silu_and_mul", out, gate.clamp(min=0) * factor


def deepspeed(device: str) -> Parts:
    """The fused Adam: its first step is the rate towards the gradient's sign, exactly for rates of powers of two."""
    import torch
    from deepspeed.ops.adam import FusedAdam

    start = (torch.arange(4096) * 7) % 101 - 50
    sign = torch.where(torch.arange(4096) % 3 == 0, -1, 1)
    weight = start.float().to(device).requires_grad_()
    optimizer = FusedAdam([weight], lr=0.125, betas=(0.5, 0.75), eps=0.0, weight_decay=0.0)
    weight.grad = (sign * (2 ** (torch.arange(4096) % 4))).float().to(device)
    optimizer.step()
    yield "FusedAdam", weight.detach(), start - 0.125 * sign
