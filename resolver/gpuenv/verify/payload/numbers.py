"""Numbers: a small GPT on a language of known entropy, and each kernel family against the CPU in double precision."""

from __future__ import annotations

from typing import Any

import torch

from . import devices, families
from .channel import Channel
from .gpt import MARKOV, initial, loss
from .language import ENTROPY, fingerprint, markov_batches, normal_numbers

SEED = 1
STEPS = 60
BATCH = 32
RATE = 3e-3
BETAS = (0.9, 0.99)


def run(settings: dict[str, Any], channel: Channel) -> None:
    """Follow the curve in fp32, in bf16 where the card has it, then compare the kernel families; on every device."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    channel.emit("starting-cuda")
    names = ["cpu"] if settings["device"] == "cpu" else [f"cuda:{i}" for i in devices.in_scope(torch, settings)]
    batches = markov_batches(steps=settings.get("steps", STEPS), batch=BATCH, length=MARKOV.context, seed=SEED)
    channel.emit("language", entropy=ENTROPY, fingerprint=fingerprint(batches), steps=len(batches))
    weights = starting_weights()
    for name in names:
        if name != "cpu":
            torch.cuda.set_device(name)
        curve(channel, name, batches, weights, precision="fp32")
        if name != "cpu" and devices.has_bf16(torch):
            curve(channel, name, batches, weights, precision="bf16")
        families.compare(name, channel)


def starting_weights() -> list[Any]:
    """Draw the weights in double precision, once: every device and type starts from the same numbers."""
    numbers = iter(normal_numbers(count=MARKOV.parameters(), seed=SEED))

    def draw(size: tuple[int, ...], deviation: float) -> Any:
        count = 1
        for edge in size:
            count *= edge
        return torch.tensor([next(numbers) * deviation for _ in range(count)], dtype=torch.float64).reshape(size)

    return initial(MARKOV, draw, like=torch.zeros(1, dtype=torch.float64))


def curve(
    channel: Channel, device: str, batches: list[list[list[int]]], weights: list[Any], *, precision: str
) -> list[float]:
    """Train and report every loss. ``precision``: ``fp64`` (the reference), ``fp32`` or ``bf16`` (autocast)."""
    kind = torch.float64 if precision == "fp64" else torch.float32
    parameters = [tensor.detach().to(device=device, dtype=kind).clone().requires_grad_() for tensor in weights]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, betas=BETAS, weight_decay=0.0)
    losses = []
    for number, rows in enumerate(batches):
        table = torch.tensor(rows, dtype=torch.long, device=device)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(device.partition(":")[0], dtype=torch.bfloat16, enabled=precision == "bf16"):
            value = loss(MARKOV, parameters, table[:, :-1], table[:, 1:])
        value.backward()
        optimizer.step()
        losses.append(float(value.item()))
        if number % 10 == 9:
            channel.emit("progress", of=f"numbers {precision} {device}", done=number + 1, total=len(batches))
    channel.emit("curve", device=device, precision=precision, losses=losses)
    return losses
