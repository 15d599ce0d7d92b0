"""Each kernel family once, on random data, against the CPU in double precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from . import devices
from .channel import Channel

EXACT = {"float32": 2e-5, "tf32": 1e-2, "bfloat16": 3e-2, "float16": 6e-3, "float8": 5e-2}
"""Largest error over the reference's root mean square. A result of five deviations is rounded by five times half a unit
in the last place (2^-9 for bf16, 2^-12 for fp16); fp32 adds the accumulation's; a wrong kernel misses by about 1."""

ATTENTION_ROOM = 4
"""Gradients of attention pass through probabilities rounded to the type, and a few of them are large: an H200 misses by
0.058 in bf16 at the worst element of 49,152, equally with every backend."""

TYPES = ("float32", "bfloat16", "float16")


def compare(device: str, channel: Channel) -> None:
    """Report one ``family`` event a kernel family and type: its error and bound, or why it did not run."""
    gpu = device != "cpu"
    types = [name for name in TYPES if not gpu or name != "bfloat16" or devices.has_bf16(torch)]
    for name in types:
        _measure(channel, device, "matmul", name, _matmul)
        _measure(channel, device, "convolution", name, _convolution)
    for name in types if gpu else ("float32",):
        for backend in ("MATH", "FLASH_ATTENTION", "EFFICIENT_ATTENTION", "CUDNN_ATTENTION") if gpu else ("MATH",):
            if backend in ("FLASH_ATTENTION", "CUDNN_ATTENTION") and name == "float32":
                continue
            _measure(channel, device, f"attention {backend.partition('_')[0].lower()}", name, _attention(backend))
    for family, work in SIMPLE.items():
        _measure(channel, device, family, "float32", work)
    if gpu:
        _tf32(channel, device)
        _measure(channel, device, "matmul", "float8", _float8)


Work = Callable[[str, str], float]


def _measure(channel: Channel, device: str, family: str, kind: str, work: Work) -> None:
    message, error = "", None
    try:
        error = work(device, kind)
    except Exception as problem:  # "no kernel image", "not supported": the parent tells them apart by the words
        message = f"{type(problem).__name__}: {problem}"[:600]
    bound = EXACT[kind] * (ATTENTION_ROOM if family.startswith("attention") else 1)
    channel.emit("family", device=device, family=family, type=kind, error=error, bound=bound, message=message)


def _random(*size: int, seed: int) -> Any:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _error(got: Any, reference: Any) -> float:
    difference = (got.detach().to("cpu", torch.float64) - reference.detach()).abs().max()
    return float(difference / reference.detach().square().mean().sqrt())


def _cast(tensor: Any, device: str, kind: str) -> tuple[Any, Any]:
    """Return the tensor as the device gets it, and that very value again in double precision on the CPU."""
    low = tensor.to(getattr(torch, kind))
    return low.to(device), low.to(torch.float64)


def _matmul(device: str, kind: str) -> float:
    left, exact_left = _cast(_random(384, 512, seed=1), device, kind)
    right, exact_right = _cast(_random(512, 320, seed=2), device, kind)
    return _error(left @ right, exact_left @ exact_right)


def _convolution(device: str, kind: str) -> float:
    """Forward, and backward into input and weight."""
    image, exact_image = _cast(_random(4, 16, 24, 24, seed=3), device, kind)
    weight, exact_weight = _cast(_random(32, 16, 3, 3, seed=4) / 12, device, kind)
    weights = (image.requires_grad_(), weight.requires_grad_())
    exact = (exact_image.requires_grad_(), exact_weight.requires_grad_())
    out, reference = F.conv2d(*weights, padding=1), F.conv2d(*exact, padding=1)
    push, exact_push = _cast(_random(*reference.shape, seed=5), device, kind)
    out.backward(push)
    reference.backward(exact_push)
    pairs = [(out, reference), *((low.grad, full.grad) for low, full in zip(weights, exact, strict=True))]
    return max(_error(got, want) for got, want in pairs)


def _attention(backend: str) -> Work:
    def work(device: str, kind: str) -> float:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        made = [_cast(_random(2, 4, 96, 64, seed=seed), device, kind) for seed in (6, 7, 8)]
        low = [tensor.requires_grad_() for tensor, _ in made]
        full = [tensor.requires_grad_() for _, tensor in made]
        with sdpa_kernel([getattr(SDPBackend, backend)]):
            out = F.scaled_dot_product_attention(*low, is_causal=True)
            push, exact_push = _cast(_random(*out.shape, seed=9), device, kind)
            out.backward(push)
        reference = F.scaled_dot_product_attention(*full, is_causal=True)
        reference.backward(exact_push)
        return max(_error(out, reference), *(_error(a.grad, b.grad) for a, b in zip(low, full, strict=True)))

    return work


def _of(function: Callable[..., Any], *sizes: tuple[int, ...]) -> Work:
    """Compare a differentiable function's result and gradients."""

    def work(device: str, kind: str) -> float:
        made = [_cast(_random(*size, seed=20 + i), device, kind) for i, size in enumerate(sizes)]
        low = [tensor.requires_grad_() for tensor, _ in made]
        full = [tensor.requires_grad_() for _, tensor in made]
        out, reference = function(*low), function(*full)
        push, exact_push = _cast(_random(*reference.shape, seed=30), device, kind)
        out.backward(push)
        reference.backward(exact_push)
        pairs = [(out, reference), *((a.grad, b.grad) for a, b in zip(low, full, strict=True))]
        return max(_error(got, want) for got, want in pairs)

    return work


def _embedding(table: Any) -> Any:
    # Repeated rows: the backward pass has to add them up, which is where embedding kernels go wrong.
    rows = torch.arange(256, device=table.device) * 7 % 50
    return F.embedding(rows, table)


SIMPLE: dict[str, Work] = {
    "linear": _of(F.linear, (128, 256), (192, 256), (192,)),
    "layer norm": _of(lambda x, w, b: F.layer_norm(x, (256,), w, b), (128, 256), (256,), (256,)),
    "softmax": _of(lambda x: F.softmax(x, dim=-1), (128, 256)),
    "embedding": _of(_embedding, (64, 128)),
    "reduction": _of(lambda x: x.sum(dim=0) + x.mean(dim=1).sum(), (512, 512)),
    "elementwise": _of(lambda x, y: F.gelu(x) * torch.tanh(y) + x, (333, 77), (333, 77)),
}


def _tf32(channel: Channel, device: str) -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    try:
        error = _matmul(device, "float32")
        channel.emit(
            "family", device=device, family="matmul", type="tf32", error=error, bound=EXACT["tf32"], message=""
        )
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def _float8(device: str, _kind: str) -> float:
    """fp8 product as inference libraries call it; older cards refuse, which is no fault."""
    left = _random(64, 128, seed=10).to(torch.float32).to(torch.float8_e4m3fn)
    right = _random(96, 128, seed=11).to(torch.float32).to(torch.float8_e4m3fn)
    one = torch.ones((), device=device)
    out = torch._scaled_mm(left.to(device), right.to(device).t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)
    return _error(out, left.to(torch.float64) @ right.to(torch.float64).t())
