"""Kernels whose results are rounded: softmax, norms, functions, attention with real weights, later AdamW steps.

Each is compared with double precision on the CPU. The magnitude that an element's error is measured by is computed
with it; the roundings are counted beside each check, and :mod:`.bounds` says what follows from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from .bounds import functions
from .exact import Kind
from .exact_attention import BACKENDS

Tensor = Any


@dataclass(frozen=True)
class Near:
    """A result, the true one, the magnitude of each element's error, and the roundings behind it."""

    name: str
    got: Tensor
    want: Tensor
    scale: Tensor
    roundings: int
    weight: float = 1.0
    """By how much a rounding's error is larger, on average, than relative to the result: scores enter as exponents."""


Check = Callable[[str, Kind], Iterator[Near]]


def _random(*size: int, seed: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _cast(x: Tensor, device: str, kind: Kind) -> tuple[Tensor, Tensor]:
    """Return the tensor as the device gets it, and that very value again in double precision on the CPU."""
    low = x.to(getattr(torch, kind.torch_type))
    return low.to(device), low.to(torch.float64)


def softmax(device: str, kind: Kind) -> Iterator[Near]:
    """Difference to the maximum, exp, a sum of 256, quotient, result; the difference's error counts by its size."""
    low, x = _cast(_random(128, 256, seed=1), device, kind)
    narrow = kind.bits < 13
    want = _softmax(x)
    scale = want * (1 + x.amax(1, keepdim=True) - x)
    roundings = 3 + functions(1, narrow=narrow) + (1 if narrow else 256)
    yield Near("output", F.softmax(low, dim=-1), want, scale, roundings)


def _softmax(x: Tensor) -> Tensor:
    raised = torch.exp(x - x.amax(-1, keepdim=True))
    return raised / raised.sum(-1, keepdim=True)


def gelu(device: str, kind: Kind) -> Iterator[Near]:
    """erf, tanh, and five products and sums; errors of erf count by x, of which a negative one cancels the result."""
    (low, x), (other, y) = (_cast(_random(333, 77, seed=seed), device, kind) for seed in (2, 3))
    want = 0.5 * x * (1 + torch.erf(x * 0.5**0.5)) * torch.tanh(y) + x
    got = F.gelu(low) * torch.tanh(other) + low
    yield Near("output", got, want, x.abs() + want.abs(), 5 + functions(2, narrow=kind.bits < 13))


def layer_norm(device: str, kind: Kind) -> Iterator[Near]:
    """Mean and variance over 256, root, and four products and sums; gradients sum over 256 columns or 128 rows."""
    made = [_cast(item, device, kind) for item in (_random(128, 256, seed=4), *(_random(256, seed=s) for s in (5, 6)))]
    low = [pair[0].requires_grad_() for pair in made]
    x, w, b = (pair[1] for pair in made)
    push, g = _cast(_random(128, 256, seed=7), device, kind)
    out = F.layer_norm(low[0], (256,), low[1], low[2])
    out.backward(push)
    center = x.mean(1, keepdim=True)
    spread = (((x - center) ** 2).mean(1, keepdim=True) + 1e-5).sqrt()
    unit, size = (x - center) / spread, (x.abs() + x.abs().mean(1, keepdim=True)) / spread
    yield Near("output", out, unit * w + b, size * w.abs() + b.abs(), 7 + 256)
    gw = g * w
    back = (gw - gw.mean(1, keepdim=True) - unit * (gw * unit).mean(1, keepdim=True)) / spread
    mass = gw.abs() + gw.abs().mean(1, keepdim=True) + size * (gw.abs() * size).mean(1, keepdim=True)
    yield Near("gradient of the input", low[0].grad, back, mass / spread, 12 + 256)
    yield Near("gradient of the weight", low[1].grad, (g * unit).sum(0), (g.abs() * size).sum(0), 7 + 128)
    yield Near("gradient of the bias", low[2].grad, g.sum(0), g.abs().sum(0), 128)


def attention(backend: str) -> Check:
    """Return the check of one backend with real weights: sums over 64 entries and 96 keys, exp, quotient.

    An error of a score counts by the score, and enters each weight; those of the gradients' scores count by the sums
    of absolute values that they cancel from (Dao et al., FlashAttention, 2022, appendix B, has the formulas).
    """

    def check(device: str, kind: Kind) -> Iterator[Near]:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        made = [_cast(_random(2, 4, 96, 64, seed=seed), device, kind) for seed in (11, 12, 13)]
        low = [pair[0].requires_grad_() for pair in made]
        q, k, v = (pair[1] for pair in made)
        push, g = _cast(_random(2, 4, 96, 64, seed=14), device, kind)
        with sdpa_kernel([getattr(SDPBackend, BACKENDS[backend])]):
            out = F.scaled_dot_product_attention(*low, is_causal=True)
            out.backward(push)
        hidden = torch.ones(96, 96, dtype=torch.bool).triu(1)
        scores = torch.matmul(q, k.transpose(2, 3)) / 8
        weights = _softmax(scores.masked_fill(hidden, float("-inf")))
        doubt = weights * (1 + torch.matmul(q.abs(), k.abs().transpose(2, 3)) / 8)
        want = torch.matmul(weights, v)
        slope, mass = torch.matmul(g, v.transpose(2, 3)), torch.matmul(g.abs(), v.abs().transpose(2, 3))
        slope = weights * (slope - (g * want).sum(3, keepdim=True)) / 8
        mass = doubt * (mass + (g * want).abs().sum(3, keepdim=True)) / 8
        weight = float(doubt.sum() / weights.sum())
        few = 3 + functions(1, narrow=kind.bits < 13)
        yield Near("output", out, want, torch.matmul(doubt, v.abs()), few + 64 + 96, weight)
        back, size = torch.matmul(weights.transpose(2, 3), g), torch.matmul(doubt.transpose(2, 3), g.abs())
        yield Near("gradient of the value", low[2].grad, back, size, few + 64 + 96, weight)
        both = few + 2 * 64 + 96
        back, size = torch.matmul(slope, k), torch.matmul(mass, k.abs())
        yield Near("gradient of the query", low[0].grad, back, size, both, weight)
        back, size = torch.matmul(slope.transpose(2, 3), q), torch.matmul(mass.transpose(2, 3), q.abs())
        yield Near("gradient of the key", low[1].grad, back, size, both, weight)

    return check


RATE, BETAS, DECAY = 1e-2, (0.9, 0.99), 0.1


def adamw(device: str, kind: Kind) -> Iterator[Near]:
    """Six steps: 14 roundings a step by the size of its move, 2 by that of the weight."""
    steps = 6
    start, p = _cast(_random(37, 53, seed=21), device, kind)
    parameter = start.clone().requires_grad_()
    optimizer = torch.optim.AdamW([parameter], lr=RATE, betas=BETAS, weight_decay=DECAY)
    one, two = BETAS
    first, second = torch.zeros_like(p), torch.zeros_like(p)
    scale = torch.zeros_like(p)
    for step in range(1, steps + 1):
        low, g = _cast(_random(37, 53, seed=21 + step), device, kind)
        parameter.grad = low
        optimizer.step()
        first, second = one * first + (1 - one) * g, two * second + (1 - two) * g**2
        move = (first / (1 - one**step)) / ((second / (1 - two**step)).sqrt() + 1e-8)
        p = p * (1 - RATE * DECAY) - RATE * move
        scale = torch.maximum(scale, p.abs()) + RATE * move.abs()
        yield Near(f"step {step}", parameter.detach().clone(), p, scale, 16 * step)


def measured(near: Near, kind: Kind) -> tuple[float, float]:
    """Return the largest error in unit roundoffs of its magnitude, and the errors' root mean square likewise."""
    apart = near.got.detach().to("cpu", torch.float64) - near.want
    # A magnitude of nothing allows nothing: the type's smallest number stands for what may underflow.
    tiny = torch.finfo(getattr(torch, kind.torch_type)).tiny
    largest = float((apart.abs() / (near.scale + tiny) / kind.unit).max())
    rms = float(apart.square().mean().sqrt() / near.want.square().mean().sqrt() / kind.unit)
    return (float("nan"), float("nan")) if bool(apart.isnan().any()) else (largest, rms)
