"""Optimizer steps with powers of two as rates: exact in fp32, whatever the kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from .exact import Kind, Part, mixed, odd, placed

Tensor = Any
SIZE = (37, 53)


def _modes(device: str) -> list[dict[str, bool]]:
    return [{"foreach": False}, {"foreach": True}, *([] if device == "cpu" else [{"fused": True}])]


def _named(mode: dict[str, bool]) -> str:
    return next((name for name, on in mode.items() if on), "single tensors")


def sgd(device: str, kind: Kind) -> Iterator[Part]:
    """Four steps with momentum 1/2, rate 1/8 and decay 1/4: a stale or lost state changes the second step on.

    Gradients have 8 bits; decay adds 2 fraction bits a step, momentum one, the rate three: 12 + 4 · 2 + 3 < 24.
    """
    start = mixed(*SIZE, seed=71) % 255 - 127
    pushes = [odd(*SIZE, bits=5, seed=72 + step) for step in range(3)]
    for mode in _modes(device):
        parameter = placed(start, device, kind).requires_grad_()
        optimizer = torch.optim.SGD([parameter], lr=0.125, momentum=0.5, weight_decay=0.25, **mode)
        weight, speed = start.to(torch.float64), torch.zeros(SIZE, dtype=torch.float64)
        for step, push in enumerate(pushes):
            parameter.grad = placed(push, device, kind)
            optimizer.step()
            speed = speed * 0.5 + (push + weight * 0.25)
            weight = weight - speed * 0.125
            name = f"step {step + 1} ({_named(mode)})"
            yield Part(name, parameter.detach().clone(), weight, _bits(weight, 5 * (step + 1)))


def _bits(value: Tensor, fraction: int) -> Any:
    """Return the largest number in units of the last fraction bit; intermediate sums are below four times it."""
    most = 4 * float(value.abs().max()) * 2**fraction
    return lambda: most


def adamw(device: str, kind: Kind) -> Iterator[Part]:
    """The first step: the moments' ratio is the gradient's sign, so that each weight decays and moves by the rate.

    With betas 1/2 and 3/4 the corrections are 1/2 and 1/4, roots and quotients exact; epsilon, 1e-8, is below half a
    unit of a gradient of at least one (Kingma and Ba, Adam, 2015, algorithm 1; Loshchilov and Hutter, 2019).
    """
    start, push = mixed(*SIZE, seed=75) % 255 - 127, odd(*SIZE, bits=7, seed=76)
    rate, decay = 0.0625, 0.25
    want = start.to(torch.float64) * (1 - rate * decay) - rate * push.sign()
    for mode in _modes(device):
        parameter = placed(start, device, kind).requires_grad_()
        parameter.grad = placed(push, device, kind)
        torch.optim.AdamW([parameter], lr=rate, betas=(0.5, 0.75), weight_decay=decay, **mode).step()
        yield Part(f"step 1 ({_named(mode)})", parameter, want, _bits(want, 6))
