"""Kernels of every family, run where the driver may not compile: a kernel without machine code for the card fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from . import devices
from .channel import Channel

LOST = ("device-side", "unspecified launch")
"""What CUDA says when its context is lost."""


def run(settings: dict[str, Any], channel: Channel) -> None:
    """Touch each family on each device in scope; the parent set ``CUDA_DISABLE_PTX_JIT``."""
    channel.emit("starting-cuda", jit_disabled=os.environ.get("CUDA_DISABLE_PTX_JIT"))
    for index in devices.in_scope(torch, settings):
        torch.cuda.set_device(index)
        device = f"cuda:{index}"
        uuid = devices.describe(torch, index)["uuid"]
        for name, work in WORK.items():
            try:
                failure = "" if work(device) else "the result is not finite"
                torch.cuda.synchronize(device)
            except Exception as error:  # the CUDA error's words are the finding
                failure = f"{type(error).__name__}: {error}"[:1500]
            channel.emit("kernel", device=device, uuid=uuid, name=name, message=failure)
            if any(sign in failure for sign in LOST):
                return  # nothing after this means anything


def _finite(tensor: Any) -> bool:
    return bool(torch.isfinite(tensor.float()).all().item())


def _type() -> Any:
    return torch.bfloat16 if devices.has_bf16(torch) else torch.float16


def _elementwise(device: str) -> bool:
    return _finite(torch.tanh(torch.randn(4096, device=device)) * 2 + 1)


def _matmul(device: str) -> bool:
    x = torch.randn(256, 256, device=device)
    return _finite(x @ x) and _finite(x.to(_type()) @ x.to(_type()))


def _convolution(device: str) -> bool:
    image = torch.randn(2, 8, 32, 32, device=device, requires_grad=True)
    weight = torch.randn(16, 8, 3, 3, device=device, requires_grad=True)
    F.conv2d(image, weight, padding=1).sum().backward()
    return _finite(weight.grad) and _finite(image.grad)


def _attention(device: str) -> bool:
    q, k, v = (torch.randn(2, 4, 64, 64, device=device, dtype=_type(), requires_grad=True) for _ in range(3))
    out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    out.sum().backward()
    return _finite(out) and _finite(q.grad)


def _backward(device: str) -> bool:
    x = torch.randn(64, 128, device=device, requires_grad=True)
    w = torch.ones(128, device=device, requires_grad=True)
    F.cross_entropy(F.layer_norm(x, (128,), w), torch.arange(64, device=device)).backward()
    return _finite(x.grad) and _finite(w.grad)


def _optimizer(device: str) -> bool:
    x = torch.randn(1000, device=device, requires_grad=True)
    optimizer = torch.optim.AdamW([x], fused=True)
    (x * x).sum().backward()
    optimizer.step()
    return _finite(x)


def _linear_algebra(device: str) -> bool:
    x = torch.randn(32, 32, device=device)
    return _finite(torch.linalg.solve(x @ x.t() + 32 * torch.eye(32, device=device), x))


WORK: dict[str, Callable[[str], bool]] = {
    "elementwise": _elementwise,
    "matmul": _matmul,
    "convolution": _convolution,
    "attention": _attention,
    "backward": _backward,
    "fused optimizer": _optimizer,
    "linear algebra": _linear_algebra,
}
