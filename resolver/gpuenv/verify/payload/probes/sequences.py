"""Probes of causal-conv1d and mamba-ssm."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Parts = Iterator[tuple[Any, ...]]  # Any: tensors; torch is not installed where types are checked


def causal_conv1d(device: str) -> Parts:
    """The convolution over the past four entries, forward and its gradients."""
    import torch
    from causal_conv1d import causal_conv1d_fn

    signal = ((torch.arange(2 * 64 * 128) * 7) % 11 - 5).reshape(2, 64, 128)
    weight = ((torch.arange(64 * 4) * 5) % 7 - 3).reshape(64, 4)
    low = [each.to(device, torch.float32).requires_grad_() for each in (signal, weight)]
    out = causal_conv1d_fn(*low)
    out.sum().backward()
    past = torch.nn.functional.pad(signal, (3, 0)).unfold(2, 4, 1)
    yield "forward", out, (past * weight.reshape(1, 64, 1, 4)).sum(3)
    yield "gradient of the weight", low[1].grad, past.sum(dim=(0, 2))
    tail = torch.nn.functional.pad(torch.ones(128, dtype=torch.int64), (0, 3)).unfold(0, 4, 1)
    yield "gradient of the signal", low[0].grad, (tail @ weight.flip(1).t()).t().expand(2, 64, 128)


def mamba_ssm(device: str) -> Parts:
    """The selective scan with nothing forgotten (A = 0): a running sum of whole numbers."""
    import torch
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    size = (2, 16, 64)
    signal, step, left, right = (((torch.arange(2 * 16 * 64) * by) % 5 - 2).reshape(size) for by in (3, 7, 11, 13))
    step = step.abs() + 1
    low = [each.to(device, torch.float32) for each in (signal, step, torch.zeros(16, 16), left, right)]
    got = selective_scan_fn(*low)
    state = torch.einsum("bdl,bnl->bdnl", step * signal, left).cumsum(3)
    yield "selective_scan", got, torch.einsum("bdnl,bnl->bdl", state, right)
