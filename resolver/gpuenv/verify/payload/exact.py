"""Kernels on whole numbers: what every correct one computes to the last bit, whatever its order of summation.

A product or sum of whole numbers is not rounded as long as every partial sum stays among the whole numbers that the
type holds (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 2.1: every integer up to 2^p is a
number of a format with p bits). Then order, blocking, split sums and the width of the accumulator do not matter, also
where partial sums are rounded to the type itself: there is one right answer, and it is compared bit by bit with int64.

The entries make each fault change bits. None that takes part is zero, so that a dropped term changes its sum by at
least one; no two rows or columns are alike, so that a wrong tile, a transposed operand or a shifted row gives other
sums; where K is too long for the type, every term is in some rows and none in all. One operand of the wider types is
odd and uses more bits than the next narrower type holds, so that TF32 in place of fp32, or bf16 in place of fp16,
rounds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F

Tensor = Any  # torch.Tensor: torch is not installed where types are checked


@dataclass(frozen=True)
class Kind:
    """A type, the limit of its whole numbers, and how many bits the entries of checks have."""

    name: str
    torch_type: str
    limit: int
    """2^p, p bits of the significand with the leading one: 8 in bf16, 11 in fp16, 24 in fp32 (IEEE 754, table 3.5)."""
    bits: int
    """Bits of the wide operand of a product: 13 are rounded by TF32, which holds 11, 3 leave room for sums in fp16."""
    copied: int
    """Bits of numbers that are copied: as many as the type holds, or enough to need it."""
    unit: float
    """Unit roundoff, 2^-p."""


KINDS = {
    "bfloat16": Kind("bfloat16", "bfloat16", 2**8, 1, 8, 2.0**-8),
    "float16": Kind("float16", "float16", 2**11, 3, 11, 2.0**-11),
    "float32": Kind("float32", "float32", 2**24, 13, 16, 2.0**-24),
    "tf32": Kind("tf32", "float32", 2**24, 11, 11, 2.0**-24),
}
"""``tf32`` is fp32 data that TF32 holds exactly: its products are summed in fp32."""


@dataclass(frozen=True)
class Part:
    """One result beside the only right one. ``most``: the largest sum of absolute values of one element's terms, in
    units of the last bit that occurs; it must not pass the type's limit. ``room``: how far an algorithm that
    transforms its operands may be away; 0 for all others."""

    name: str
    got: Tensor
    want: Tensor
    most: Callable[[], float]
    room: float = 0.0


Check = Callable[[str, Kind], Iterator[Part]]


def mixed(*size: int, seed: int) -> Tensor:
    """Return whole numbers of 31 well-mixed bits, a function of place and seed alone: no generator of torch's is used.

    Thomas Mueller's integer hash, as murmur3's finalizer: every bit of the place reaches every bit of the result.
    """
    x = torch.arange(math.prod(size), dtype=torch.int64) + 1_000_003 * seed
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return ((x ^ (x >> 16)) >> 1).reshape(size)


def odd(*size: int, bits: int, seed: int) -> Tensor:
    """Return odd numbers of exactly ``bits`` bits with mixed signs: with one bit, 1 and -1."""
    x = mixed(*size, seed=seed)
    sign = (x & 1) * 2 - 1
    if bits == 1:
        return sign
    return sign * (2 ** (bits - 1) + ((x >> 1) % 2 ** (bits - 2)) * 2 + 1)


def thinned(x: Tensor, *, terms: int, largest: int, limit: int) -> Tensor:
    """Keep every n-th number along diagonals, so that ``terms`` of them times ``largest`` stay within the limit.

    Along a diagonal no row or column is left out: each term is part of some sums, which a dropped one changes.
    """
    every = -(-terms * largest // limit)
    if every == 1:
        return x
    places = sum(torch.arange(edge).reshape(-1, *[1] * (x.dim() - 1 - axis)) for axis, edge in enumerate(x.shape))
    return x * (places % every == 0)


def placed(x: Tensor, device: str, kind: Kind) -> Tensor:
    """Return whole numbers in the type on the device."""
    return x.to(getattr(torch, kind.torch_type)).to(device)


def _rounds(kind: Kind, count: int) -> Iterator[list[int]]:
    """Yield the bits of ``count`` operands: one of them wide at a time, so that products stay short."""
    for wide in range(count if kind.bits > 1 else 1):
        yield [kind.bits if place == wide else 1 for place in range(count)]


SHAPES = ((256, 384, 192), (48, 4096, 32), (129, 257, 65))
"""Full tiles, a long K that kernels split, and edges that fill no tile."""


def matmul(device: str, kind: Kind) -> Iterator[Part]:
    """Products of matrices, also of operands that are stored transposed, and of a batch."""
    for number, (m, k, n) in enumerate(SHAPES):
        for bits in _rounds(kind, 2):
            left, right = odd(m, k, bits=bits[0], seed=1), odd(k, n, bits=bits[1], seed=2)
            left = thinned(left, terms=k, largest=2 ** max(bits), limit=kind.limit)
            a, b = placed(left, device, kind), placed(right, device, kind)
            if number != 0:
                b = b.t().contiguous().t()
            if number == 2:
                a = a.t().contiguous().t()
            yield _product(f"{m}×{k} by {k}×{n}", torch.matmul(a, b), left, right)
    left, right = odd(3, 33, 96, bits=kind.bits, seed=3), odd(3, 96, 47, bits=1, seed=4)
    got = torch.bmm(placed(left, device, kind), placed(right, device, kind))
    for index in range(3):
        yield _product("a batch", got[index], left[index], right[index])


def _product(name: str, got: Tensor, left: Tensor, right: Tensor) -> Part:
    return Part(name, got, torch.mm(left, right), partial(terms, left, right))


def terms(left: Tensor, right: Tensor, more: int = 0) -> float:
    """Return the largest sum of absolute values of a product of matrices, with something added."""
    return float(torch.mm(left.abs(), right.abs()).max()) + more


def linear(device: str, kind: Kind) -> Iterator[Part]:
    """A layer with bias and its three gradients, at sizes that fill no tile."""
    batch, inner, outer = 117, 163, 89
    for bits in _rounds(kind, 2):
        x, w = odd(batch, inner, bits=bits[0], seed=5), odd(outer, inner, bits=bits[1], seed=6)
        b, push = mixed(outer, seed=7) % 127 - 63, odd(batch, outer, bits=1, seed=8)
        low = [placed(item, device, kind).requires_grad_() for item in (x, w, b)]
        out = F.linear(*low)
        out.backward(placed(push, device, kind))
        yield Part("output", out, torch.mm(x, w.t()) + b, partial(terms, x, w.t(), int(b.abs().max())))
        yield _product("gradient of the input", low[0].grad, push, w)
        yield _product("gradient of the weight", low[1].grad, push.t(), x)
        yield Part("gradient of the bias", low[2].grad, push.sum(0), lambda: float(batch))


CONVOLUTIONS = ((4, 16, 20, 32, 3, 1), (2, 6, 17, 10, 5, 2))
"""Images, channels, edge, filters, edge of a filter, stride."""
TRANSFORM_ROOM = 4
"""Winograd and Fourier convolutions transform the operands and may round even whole numbers: by a few units roundoff at
the largest entry of the result (Barabasz et al., Error Analysis and Improving the Accuracy of Winograd Convolution,
ACM TOMS 46, 2020, table 2: up to four times the error of the direct sum). None was met in any surrounding tried."""


def convolution(device: str, kind: Kind) -> Iterator[Part]:
    """Output and both gradients; the integer result is summed tap by tap."""
    for images, channels, edge, filters, tap, stride in CONVOLUTIONS:
        pad, after = tap // 2, (edge - 1) // stride + 1
        for bits in _rounds(kind, 2):
            image = odd(images, channels, edge, edge, bits=bits[0], seed=9)
            weight = odd(filters, channels, tap, tap, bits=bits[1], seed=10)
            push = odd(images, filters, after, after, bits=1, seed=11)
            terms = max(images * after * after, filters * tap * tap)
            push = thinned(push, terms=terms, largest=2 ** max(bits), limit=kind.limit)
            low = [placed(item, device, kind).requires_grad_() for item in (image, weight)]
            out = F.conv2d(*low, padding=pad, stride=stride)
            out.backward(placed(push, device, kind))
            wants = _taps(image, weight, push, pad, stride)
            sizes = partial(_taps, image.abs(), weight.abs(), push.abs(), pad, stride)
            names = ("output", "gradient of the input", "gradient of the weight")
            for place, (name, got) in enumerate(zip(names, (out, low[0].grad, low[1].grad), strict=True)):
                room = TRANSFORM_ROOM * kind.unit * float(wants[place].abs().max())
                yield Part(name, got, wants[place], partial(_largest, sizes, place), room)


def _largest(sizes: Callable[[], tuple[Tensor, ...]], place: int) -> float:
    return float(sizes()[place].max())


def _taps(image: Tensor, weight: Tensor, push: Tensor, pad: int, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return output, gradient of the image and of the weight as sums of products of shifted images."""
    images, channels, edge, _ = image.shape
    filters, _, tap, _ = weight.shape
    after = push.shape[-1]
    padded = torch.zeros(images, channels, edge + 2 * pad, edge + 2 * pad, dtype=torch.int64)
    padded[:, :, pad : pad + edge, pad : pad + edge] = image
    flat = push.permute(1, 0, 2, 3).reshape(filters, -1)
    out, back, slope = torch.zeros_like(flat), torch.zeros_like(padded), torch.zeros_like(weight)
    for dy in range(tap):
        for dx in range(tap):
            there = (
                slice(None),
                slice(None),
                slice(dy, dy + stride * (after - 1) + 1, stride),
                slice(dx, dx + stride * (after - 1) + 1, stride),
            )
            patch = padded[there].permute(1, 0, 2, 3).reshape(channels, -1)
            out += torch.mm(weight[:, :, dy, dx], patch)
            slope[:, :, dy, dx] = torch.mm(flat, patch.t())
            spread = torch.mm(weight[:, :, dy, dx].t(), flat)
            back[there] += spread.reshape(channels, images, after, after).permute(1, 0, 2, 3)
    out = out.reshape(filters, images, after, after).permute(1, 0, 2, 3)
    return out, back[:, :, pad : pad + edge, pad : pad + edge], slope


def embedding(device: str, kind: Kind) -> Iterator[Part]:
    """Copies of rows, and their gradients: repeated rows have to be added up, which is where kernels go wrong."""
    rows = torch.arange(256) * 7 % 50
    chosen = torch.nn.functional.one_hot(rows, 64)
    table = odd(64, 128, bits=kind.copied, seed=12)
    push = mixed(256, 128, seed=13) % (kind.limit // 4) - kind.limit // 8
    push = torch.where(push == 0, 1, push)
    low = placed(table, device, kind).requires_grad_()
    out = F.embedding(rows.to(device), low)
    out.backward(placed(push, device, kind))
    yield Part("output", out, table[rows], lambda: float(table.abs().max()))
    yield _product("gradient of the table", low.grad, chosen.t(), push)


def reduction(device: str, kind: Kind) -> Iterator[Part]:
    """Sums along each axis, over all, running sums, a mean of a power of two, and maxima."""
    x = odd(250, 256, bits=1, seed=14)
    few = thinned(odd(250, 256, bits=kind.bits, seed=15), terms=250 * 256, largest=2**kind.bits, limit=kind.limit)
    large = odd(250, 256, bits=kind.copied, seed=16)
    low, sparse = placed(x, device, kind), placed(few, device, kind)
    yield Part("sum over rows", low.sum(dim=0), x.sum(0), lambda: 250.0)
    yield Part("sum over columns", low.sum(dim=1), x.sum(1), lambda: 256.0)
    yield Part("sum of the transposed", low.t().sum(dim=0), x.sum(1), lambda: 256.0)
    yield Part("sum over all", sparse.sum(), few.sum(), lambda: float(few.abs().sum()))
    yield Part("running sum", low.cumsum(dim=1), x.cumsum(1), lambda: 256.0)
    yield Part("mean", low.mean(dim=1), x.sum(1).to(torch.float64) / 256, lambda: 256.0)
    yield Part("maximum", placed(large, device, kind).amax(dim=1), large.amax(1), lambda: float(large.abs().max()))


def elementwise(device: str, kind: Kind) -> Iterator[Part]:
    """Products, sums and a threshold of operands that lie in memory differently, and their gradient."""
    x, y = odd(333, 77, bits=max(kind.copied - 3, 1), seed=17), odd(77, 333, bits=2, seed=18).t()
    low = placed(x, device, kind).requires_grad_()
    out = F.relu(low * placed(y, device, kind) + low)
    push = odd(333, 77, bits=1, seed=19)
    out.backward(placed(push, device, kind))
    value = x * y + x
    yield Part("output", out, value.clamp_min(0), lambda: float((x * y).abs().add(x.abs()).max()))
    yield Part("gradient", low.grad, torch.where(value > 0, push * (y + 1), 0), lambda: 4.0)


def accumulation(device: str, kind: Kind) -> Iterator[Part]:
    """Gradients of two batches that add up in one tensor."""
    weight = placed(odd(48, 64, bits=1, seed=20), device, kind).requires_grad_()
    parts = [(odd(60, 64, bits=kind.bits, seed=21 + i), odd(60, 48, bits=1, seed=31 + i)) for i in range(2)]
    for x, push in parts:
        F.linear(placed(x, device, kind), weight).backward(placed(push, device, kind))
    x, push = (torch.cat([part[place] for part in parts]) for place in range(2))
    yield _product("gradient of two batches", weight.grad, push.t(), x)


def repetition(device: str, kind: Kind) -> Iterator[Part]:
    """One product many times, every one compared: a fault that comes and goes shows as one of them that differs."""
    times, size = (8, 192) if device == "cpu" else (100, 768)
    left = thinned(odd(size, size, bits=kind.bits, seed=41), terms=size, largest=2**kind.bits, limit=kind.limit)
    right = odd(size, size, bits=1, seed=42)
    a, b = placed(left, device, kind), placed(right, device, kind)
    want = torch.mm(left, right)
    there = placed(want, device, kind)
    differing = torch.stack([(torch.matmul(a, b) != there).sum() for _ in range(times)])
    top = float(torch.mm(left.abs(), right.abs()).max())
    yield Part(f"{times} times the same product", differing, torch.zeros(times, dtype=torch.int64), lambda: top)


def float8(device: str, kind: Kind) -> Iterator[Part]:
    """Products of e4m3 numbers as inference libraries call them, scaled by powers of two; the output is bf16.

    Odd numbers of four bits are rounded by e5m2, which holds three. Sums stay within 256, far below what the
    narrowest accumulator holds (14 bits on Hopper: DeepSeek-V3 Technical Report, 2024, section 3.3.2).
    """
    for bits, every in ((1, 1), (4, 16)):
        left, right = odd(64, 128, bits=bits, seed=51), odd(96, 128, bits=1, seed=52).t()
        left = thinned(left, terms=every, largest=1, limit=1)
        a = left.to(torch.float32).to(torch.float8_e4m3fn).to(device)
        b = right.t().contiguous().to(torch.float32).to(torch.float8_e4m3fn).to(device).t()
        scales = [torch.tensor(value, device=device) for value in (2.0, 0.25)]
        got = torch._scaled_mm(a, b, scale_a=scales[0], scale_b=scales[1], out_dtype=torch.bfloat16)
        want = torch.mm(left, right).to(torch.float64) / 2
        yield Part(f"entries of {bits} bits", got, want, partial(terms, left, right))


def compared(part: Part) -> tuple[int, float, int]:
    """Return how many elements differ from the right ones, by how much at most, and how many there are."""
    got = part.got.detach().to("cpu", torch.float64)
    if got.shape != part.want.shape:
        return part.want.numel(), float("inf"), part.want.numel()
    apart = (got - part.want.to(torch.float64)).abs()
    largest = float("nan") if bool(apart.isnan().any()) else float(apart.max())
    return int((~(apart == 0)).sum()), largest, part.want.numel()
