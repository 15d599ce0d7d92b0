"""Numbers: each kernel family against its only right result or a bound, a small GPT against its reference curve."""

from __future__ import annotations

import math
from typing import Any

import torch

from . import devices, families
from .channel import Channel
from .gpt import MARKOV, initial, loss
from .language import ENTROPY, fingerprint, markov_batches, normal_numbers

SEED = 1
STEPS = 60
CPU_STEPS = 16
"""On a CPU the whole curve takes as long as all else; every kernel of it runs from the second step on."""
BATCH = 32
RATE = 3e-3
BETAS = (0.9, 0.99)
TYPES = {"fp64": "float64", "fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
FIRST_SCALE = 2.0**12
"""Of the fp16 gradients: far from both ends of the type in this model, so that no step is skipped or rescaled."""


def run(settings: dict[str, Any], channel: Channel) -> None:
    """Compare the kernel families, then follow the curve in fp32 and in 16 bits; on every device."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    channel.emit("starting-cuda")
    cpu = settings["device"] == "cpu"
    if cpu:
        # Two threads of small kernels on busy cores wait for each other eight times as long as they compute.
        torch.set_num_threads(1)
    names = ["cpu"] if cpu else [f"cuda:{i}" for i in devices.in_scope(torch, settings)]
    batches = markov_batches(steps=STEPS, batch=BATCH, length=MARKOV.context, seed=SEED)
    steps = settings.get("steps", CPU_STEPS if cpu else STEPS)
    channel.emit("language", entropy=ENTROPY, fingerprint=fingerprint(batches), steps=steps)
    weights = starting_weights()
    for name in names:
        if not cpu:
            torch.cuda.set_device(name)
        families.compare(name, channel, types=settings.get("types", families.TYPES))
        for precision in ("fp32",) if cpu else ("fp32", "bf16" if devices.has_bf16(torch) else "fp16"):
            curve(channel, name, batches[:steps], weights, precision=precision)


def starting_weights() -> list[Any]:
    """Draw the weights in double precision, once: every device and type starts from the same numbers."""
    numbers = iter(normal_numbers(count=MARKOV.parameters(), seed=SEED))

    def draw(size: tuple[int, ...], deviation: float) -> Any:
        return torch.tensor([next(numbers) * deviation for _ in range(math.prod(size))], dtype=torch.float64).reshape(
            size
        )

    return initial(MARKOV, draw, like=torch.zeros(1, dtype=torch.float64))


def curve(
    channel: Channel, device: str, batches: list[list[list[int]]], weights: list[Any], *, precision: str
) -> list[float]:
    """Train and report every loss.

    ``precision``: ``fp64`` (the reference), ``fp32``, or ``bf16`` and ``fp16`` by autocast, fp16 with scaled gradients.
    """
    kind = torch.float64 if precision == "fp64" else torch.float32
    where = device.partition(":")[0]
    parameters = [tensor.detach().to(device=device, dtype=kind).clone().requires_grad_() for tensor in weights]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, betas=BETAS, weight_decay=0.0)
    scaler = torch.amp.GradScaler(where, enabled=precision == "fp16", init_scale=FIRST_SCALE)
    low = getattr(torch, TYPES[precision]) if precision in ("bf16", "fp16") else torch.bfloat16
    losses = []
    for number, rows in enumerate(batches):
        table = torch.tensor(rows, dtype=torch.long, device=device)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(where, dtype=low, enabled=precision in ("bf16", "fp16")):
            value = loss(MARKOV, parameters, table[:, :-1], table[:, 1:])
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(float(value.item()))
        if number % 10 == 9:
            channel.emit("progress", of=f"numbers {precision} {device}", done=number + 1, total=len(batches))
    channel.emit("curve", device=device, precision=precision, losses=losses)
    return losses
