"""What the card reaches: matrix products and copies in its own memory, timed by the device's clock."""

from __future__ import annotations

import time
from typing import Any

import torch

from . import devices
from .channel import Channel

SIZE = 8192
REPEATS = 10
COPY_BYTES = 4 << 30


def measure(device: str, channel: Channel) -> None:
    """Report the rates of one device; a CPU gets a small product, for the record only."""
    if device == "cpu":
        channel.emit("speed", kind="matmul", type="float32", size=1024, tflops=_cpu_product(1024), device="cpu")
        return
    _products(device, channel)
    _copies(device, channel)


def _products(device: str, channel: Channel) -> None:
    kind = torch.bfloat16 if devices.has_bf16(torch) else torch.float16
    free, _total = torch.cuda.mem_get_info(device)
    size = SIZE if free > 8 * SIZE * SIZE * 2 else SIZE // 4
    # Random numbers: a product of zeros toggles no wires and runs a tenth faster than real work.
    left = torch.randn(size, size, device=device, dtype=torch.float32).to(kind)
    right = torch.randn(size, size, device=device, dtype=torch.float32).to(kind)
    seconds = _timed(device, lambda: torch.mm(left, right))
    name = str(kind).rpartition(".")[2]
    channel.emit("speed", kind="matmul", type=name, size=size, tflops=2 * size**3 / seconds / 1e12, device=device)


def _copies(device: str, channel: Channel) -> None:
    free, _total = torch.cuda.mem_get_info(device)
    count = min(COPY_BYTES, free // 4)
    source = torch.empty(count, dtype=torch.uint8, device=device).random_()
    target = torch.empty_like(source)
    seconds = _timed(device, lambda: target.copy_(source))
    # A copy reads and writes each byte: the memory moves twice the size.
    channel.emit("speed", kind="copy", type="uint8", size=count, gigabytes=2 * count / seconds / 1e9, device=device)


def _timed(device: str, work: Any) -> float:
    for _ in range(3):
        work()
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    begin.record()
    for _ in range(REPEATS):
        work()
    end.record()
    torch.cuda.synchronize(device)
    return float(begin.elapsed_time(end)) / 1e3 / REPEATS


def _cpu_product(size: int) -> float:
    left, right = torch.randn(size, size), torch.randn(size, size)
    torch.mm(left, right)
    start = time.perf_counter()
    torch.mm(left, right)
    return float(2 * size**3 / (time.perf_counter() - start) / 1e12)
