"""Probes of FlashAttention 2 and 3, and of xFormers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

Parts = Iterator[tuple[Any, ...]]  # Any: tensors; torch is not installed where types are checked
KEYS = 128


def flash_attn(device: str) -> Parts:
    """FlashAttention 2: equal scores give the mean of the values, scores far apart the copy of one."""
    from flash_attn import flash_attn_func

    yield from _attention(device, flash_attn_func)


def flash_attn_3(device: str) -> Parts:
    """FlashAttention 3: as its second version."""
    from flash_attn_interface import flash_attn_func

    def call(query: Any, key: Any, value: Any, **options: Any) -> Any:
        made = flash_attn_func(query, key, value, **options)
        return made[0] if isinstance(made, tuple) else made  # some releases return the sums of the weights too

    yield from _attention(device, call)


def _attention(device: str, function: Callable[..., Any]) -> Parts:
    """Weights of 1/128 or of one and nothing: every sum of whole numbers stays exact (verify/payload/exact_attention).

    The value of the last key that a row may see is copied where its score is 1,024 above the others: of another row
    where the causal mask is missing. The kernels raise 2 to ``score * scale * log2(e)`` less the largest of these, one
    product rounded and the other not: a scale of ln 2 makes the factor one, and the difference exact.
    """
    import math

    import torch

    rows = torch.arange(KEYS).reshape(1, KEYS, 1, 1)
    value = (rows * (rows + torch.arange(64) + 3) % 5 - 2).expand(1, KEYS, 2, 64)
    low = value.to(device, torch.float16)
    zero = torch.zeros_like(low)
    means = value.double().mean(dim=1, keepdim=True).expand(1, KEYS, 2, 64)
    yield "equal scores", function(zero, zero, low, softmax_scale=math.log(2)), means
    steps = zero.clone()
    steps[..., 0] = torch.arange(KEYS, device=device, dtype=torch.float16).reshape(1, KEYS, 1) * 8
    ones = zero.clone()
    ones[..., 0] = 128
    yield "causal", function(ones, steps, low, softmax_scale=math.log(2), causal=True), value


def xformers(device: str) -> Parts:
    """Its own kernels for sparse weights: the two of four entries that stay are those that were not zero."""
    import torch
    from xformers.ops import sp24  # noqa: F401 - registers the operators

    tile = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]])
    places = torch.arange(128 * 128).reshape(128, 128)
    weight = tile.repeat(32, 32) * ((places * 7) % 120 + 1)
    low = weight.to(device, torch.float16)
    packed = torch.ops.xformers.sparse24_sparsify_both_ways(low, "largest_abs_values_greedy", "cutlass")
    yield "sparse24_apply_dense_output", torch.ops.xformers.sparse24_apply_dense_output(low, packed[4]), weight
