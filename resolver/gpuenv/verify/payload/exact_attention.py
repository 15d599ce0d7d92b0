"""Attention on whole numbers: softmax weights that are powers of two, or one and nothing.

Two forms have an exact answer. With all scores equal the weights are 1/128 and sums of whole numbers over 128 stay
exact, so that normalization, every key and the gradients of query, key and value show. With scores 1,024 apart the
weight of one key is one and that of the others underflows to zero (exp(-104) is below fp32's smallest number), so that
each row of the output is the copy of one value: of the wrong one where the causal mask is missing, because a masked
key has the larger score.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

from .exact import Check, Kind, Part, mixed, odd, placed, thinned

Tensor = Any
BACKENDS = {"math": "MATH", "flash": "FLASH_ATTENTION", "efficient": "EFFICIENT_ATTENTION", "cudnn": "CUDNN_ATTENTION"}
HEADS = (2, 2)
KEYS = 128
SCALE = 0.25
"""Its root is a power of two as well: some backends scale query and key by the root each."""


def attention(backend: str) -> Check:
    """Return the check of one backend, forced."""

    def check(device: str, kind: Kind) -> Iterator[Part]:
        from torch.nn.attention import SDPBackend, sdpa_kernel

        with sdpa_kernel([getattr(SDPBackend, BACKENDS[backend])]):
            yield from _uniform(device, kind, zero="query")
            yield from _uniform(device, kind, zero="key")
            yield from _copies(device, kind)

    return check


def _uniform(device: str, kind: Kind, *, zero: str) -> Iterator[Part]:
    """All scores are zero because query or key is: weights 1/128.

    Three quarters of a column of values have one sign and one quarter the other, so that the output is 1/2 or -1/2
    and the gradient of the scores a whole number over 128.
    """
    size = (*HEADS, KEYS, 64)
    few = thinned(odd(*size, bits=1, seed=61), terms=KEYS * 6, largest=1, limit=192)
    query, key = (torch.zeros_like(few), few) if zero == "query" else (few, torch.zeros_like(few))
    rows = torch.arange(KEYS).reshape(-1, 1) * 5 + torch.arange(64) * 3
    value = odd(*HEADS, 1, 64, bits=1, seed=62) * torch.where(rows % 4 == 0, -1, 1)
    push = torch.zeros(size, dtype=torch.int64)
    places = mixed(*HEADS, KEYS, 1, seed=63) % 32
    push.scatter_(3, torch.cat([places, places + 32], dim=3), 2 * odd(*HEADS, KEYS, 2, bits=1, seed=64))
    low = [placed(item, device, kind).requires_grad_() for item in (query, key, value)]
    out = F.scaled_dot_product_attention(*low, scale=SCALE)
    out.backward(placed(push, device, kind))
    total = value.sum(2, keepdim=True)
    # The gradient of a score is (push · value - push · output) / 128, as a fraction of 128².
    slope = KEYS * torch.matmul(push, value.transpose(2, 3)) - (push * total).sum(3, keepdim=True)
    unit = KEYS * KEYS / SCALE
    wants = {
        "output": (out, (total / KEYS).expand(size), float(KEYS)),
        "gradient of the value": (low[2].grad, (push.sum(2, keepdim=True) / KEYS).expand(size), _top(push, 2)),
        "gradient of the query": (low[0].grad, torch.matmul(slope, key) / unit, _products(slope, key)),
        "gradient of the key": (low[1].grad, torch.matmul(slope.transpose(2, 3), query) / unit,
                                _products(slope.transpose(2, 3), query)),
    }  # fmt: skip
    for name, (got, want, most) in wants.items():
        yield Part(f"{name}, equal weights", got, want, partial(float, most))


def _top(x: Tensor, axis: int) -> float:
    return float(x.abs().sum(axis).max())


def _products(slope: Tensor, other: Tensor) -> float:
    """Sums of a score's gradient, in units of 1/128, times whole numbers."""
    return float(torch.matmul(slope.abs(), other.abs()).max()) / KEYS


def _copies(device: str, kind: Kind) -> Iterator[Part]:
    """One visible key a row: codes of ±1 that are orthogonal give the scores 1,024 for it, 2,048 for a masked one."""
    codes = torch.ones(1, 1, dtype=torch.int64)
    while len(codes) < KEYS:
        codes = torch.cat([torch.cat([codes, codes], 1), torch.cat([codes, -codes], 1)])
    rows = torch.arange(KEYS)
    seen = torch.stack([(rows * 37 + 11 * head) % (rows + 1) for head in range(HEADS[0] * HEADS[1])])
    later = torch.where(rows < KEYS - 1, rows + 1 + rows * 13 % (KEYS - 1 - rows).clamp_min(1), rows)
    size = (*HEADS, KEYS, KEYS)
    # The last row sees every key, so that none with a larger score can be hidden from it.
    hidden = torch.where((rows < KEYS - 1).reshape(-1, 1), 32 * codes[later], 0)
    query = (16 * codes[seen] + hidden).reshape(size)
    key = (2 * codes).expand(size)
    value = odd(*size, bits=kind.copied, seed=65)
    push = torch.zeros(size, dtype=torch.int64)
    push.scatter_(3, mixed(*HEADS, KEYS, 1, seed=66) % KEYS, odd(*HEADS, KEYS, 1, bits=1, seed=67))
    low = [placed(item, device, kind).contiguous().requires_grad_() for item in (query, key, value)]
    out = F.scaled_dot_product_attention(*low, is_causal=True, scale=SCALE)
    out.backward(placed(push, device, kind))
    chosen = torch.nn.functional.one_hot(seen, KEYS).reshape(size)
    most = float(value.abs().max())
    yield Part("output, one visible key", out, torch.matmul(chosen, value), lambda: most)
    back = torch.matmul(chosen.transpose(2, 3), push)
    yield Part("gradient of the value, one visible key", low[2].grad, back, lambda: _top(push, 2))
    nothing = torch.zeros(size, dtype=torch.int64)
    yield Part("gradient of the query, one visible key", low[0].grad, nothing, lambda: most)
    yield Part("gradient of the key, one visible key", low[1].grad, nothing, lambda: most)
