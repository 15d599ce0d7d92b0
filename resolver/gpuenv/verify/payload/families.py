"""Each kernel family once: whole numbers compared bit by bit, and those that must round within what analysis allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from . import bounded, bounds, devices, exact, exact_optimizer
from .channel import Channel
from .exact import KINDS, Kind
from .exact_attention import BACKENDS, attention

EXACT: dict[str, exact.Check] = {
    "matmul": exact.matmul,
    "linear": exact.linear,
    "convolution": exact.convolution,
    "embedding": exact.embedding,
    "reduction": exact.reduction,
    "elementwise": exact.elementwise,
    "accumulation": exact.accumulation,
    "repetition": exact.repetition,
}
OPTIMIZER: dict[str, exact.Check] = {"sgd": exact_optimizer.sgd, "adamw": exact_optimizer.adamw}
BOUNDED: dict[str, bounded.Check] = {
    "softmax": bounded.softmax,
    "gelu": bounded.gelu,
    "layer norm": bounded.layer_norm,
}
TYPES = ("float32", "float16", "bfloat16")
PRODUCTS = ("matmul", "linear", "convolution")
"""What TF32 changes."""


def run(settings: dict[str, Any], channel: Channel) -> None:
    """Compare some types on every GPU in a process of their own: cuDNN compiles its attention, seconds a type."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    channel.emit("starting-cuda")
    for index in devices.in_scope(torch, settings):
        torch.cuda.set_device(index)
        compare(f"cuda:{index}", channel, types=settings["types"])


def compare(device: str, channel: Channel, *, types: Sequence[str] = TYPES) -> None:
    """Report one ``family`` event a kernel family, type and rule: what differs, or why it did not run."""
    for values in results(device, types=types):
        channel.emit("family", device=device, **values)


def results(device: str, *, types: Sequence[str] = TYPES) -> Iterator[dict[str, object]]:
    """Yield the values of each event. What is for no type or for fp32 alone comes with ``float32``."""
    gpu = device != "cpu"
    lacking = "bfloat16" if gpu and not devices.has_bf16(torch) else ""
    kinds = [KINDS[name] for name in types if name != lacking]
    for kind in kinds:
        for family, check in EXACT.items():
            yield exactly(family, check, device, kind)
        for family, near in BOUNDED.items():
            yield nearly(family, near, device, kind)
        for backend in BACKENDS if gpu else ("math", "flash"):
            if gpu and kind.name == "float32" and backend in ("flash", "cudnn"):
                continue  # they are for 16 bits only
            yield exactly(f"attention {backend}", attention(backend), device, kind)
            yield nearly(f"attention {backend}, softmax", bounded.attention(backend), device, kind)
    if "float32" not in types:
        return
    for family, check in OPTIMIZER.items():
        yield exactly(family, check, device, KINDS["float32"])
    yield nearly("adamw, later steps", bounded.adamw, device, KINDS["float32"])
    if gpu:
        yield from _narrow(device)


def _narrow(device: str) -> Iterator[dict[str, object]]:
    """Types of matrix units only: TF32, switched on for its checks alone, and fp8."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    matmul.allow_tf32 = cudnn.allow_tf32 = True
    try:
        for family in PRODUCTS:
            yield exactly(family, EXACT[family], device, KINDS["tf32"])
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
    yield {**exactly("matmul", exact.float8, device, KINDS["bfloat16"]), "type": "float8"}


def exactly(family: str, check: exact.Check, device: str, kind: Kind) -> dict[str, object]:
    """Return one event's values: how many elements differ from the right ones, and the first part that does."""
    values: dict[str, Any] = {"family": family, "type": kind.name, "rule": "exact", "error": None, "bound": 0.0}
    wrong = elements = 0
    try:
        for part in check(device, kind):
            differing, largest, count = exact.compared(part)
            wrong, elements = wrong + differing, elements + count
            beyond = not largest <= part.room
            if differing and (beyond or not wrong - differing) and not values.get("beyond"):
                values |= {"part": part.name, "error": largest, "bound": part.room, "beyond": beyond}
    except Exception as problem:  # "no kernel image", "not supported": the parent tells them apart by the words
        return values | {"error": None, "message": _words(problem)}
    return values | {"error": values["error"] or 0.0, "wrong": wrong, "elements": elements, "message": ""}


def nearly(family: str, check: bounded.Check, device: str, kind: Kind) -> dict[str, object]:
    """Return one event's values: the errors that come nearest to their bounds."""
    values: dict[str, Any] = {"family": family, "type": kind.name, "rule": "bound", "error": None, "bound": 0.0}
    worst = -1.0
    try:
        for near in check(device, kind):
            error, rms = bounded.measured(near, kind)
            limit, rms_limit = bounds.largest(near.roundings), bounds.mean_square(near.roundings, near.weight)
            ratio = max(error / limit, rms / rms_limit)
            if not ratio <= worst:
                worst = ratio
                values |= {"part": near.name, "error": error, "bound": limit, "rms": rms, "rms_bound": rms_limit}
            if ratio != ratio:
                break
    except Exception as problem:  # as above
        return values | {"error": None, "message": _words(problem)}
    return values | {"message": ""}


def _words(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}"[:600]
