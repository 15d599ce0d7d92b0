"""torch.compile on a small function, compared with the same function run eagerly."""

from __future__ import annotations

import time
from typing import Any

import torch

from . import devices
from .channel import Channel


def run(settings: dict[str, Any], channel: Channel) -> None:
    """Compile, run, compare; a missing compiler or Triton is the finding, not an error of the payload."""
    channel.emit("starting-cuda")
    names = ["cpu"] if settings["device"] == "cpu" else [f"cuda:{i}" for i in devices.in_scope(torch, settings)]
    if not names:
        channel.emit("no-device", found=0)
        return
    device = names[0]
    channel.emit("compiling", device=device)

    def function(x: Any, y: Any) -> Any:
        return torch.nn.functional.gelu(x * y + 1.0).sum(dim=-1)

    x, y = (torch.randn(128, 257, device=device, generator=torch.Generator(device).manual_seed(i)) for i in (1, 2))
    start = time.perf_counter()
    try:
        got = torch.compile(function)(x, y)
        devices.synchronize(torch, device)
    except Exception as error:  # inductor wraps everything; the words tell which part is missing
        channel.emit("compiled", device=device, message=f"{type(error).__name__}: {error}"[:3000], error=None)
        return
    seconds = time.perf_counter() - start
    want = function(x.double(), y.double())
    miss = float((got.double() - want).abs().max() / want.square().mean().sqrt())
    channel.emit("compiled", device=device, message="", error=miss, bound=2e-5, seconds=seconds)
