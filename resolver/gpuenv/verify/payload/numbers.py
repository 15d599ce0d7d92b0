"""Numbers: each kernel family against its only right result or a bound, a small GPT against its reference curve."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from . import devices, families, sizing
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
    names = [] if cpu else [f"cuda:{i}" for i in devices.in_scope(torch, settings)]
    batches = markov_batches(steps=STEPS, batch=BATCH, length=MARKOV.context, seed=SEED)
    steps = settings.get("steps", CPU_STEPS if cpu else STEPS)
    channel.emit("language", entropy=ENTROPY, fingerprint=fingerprint(batches), steps=steps)
    weights = starting_weights()
    if cpu:
        _on_the_cpu(settings, channel, batches[:steps], weights)
        return
    for name in names:
        torch.cuda.set_device(name)
        families.compare(name, channel, types=settings.get("types", families.TYPES))
        for precision in ("fp32", "bf16" if devices.has_bf16(torch) else "fp16"):
            curve(channel, name, batches[:steps], weights, precision=precision)


def _on_the_cpu(settings: dict[str, Any], channel: Channel, batches: list[list[list[int]]], weights: list[Any]) -> None:
    """Compare the first type, follow the curve, then compare the other types as far as the time allows."""
    until = sizing.NUMBERS_SHARE * float(settings.get("budget", "inf"))
    first, *others = settings.get("types", families.TYPES)
    begin = channel.elapsed()
    families.compare("cpu", channel, types=(first,))
    took = channel.elapsed() - begin
    more = _in_time(channel, until=until, planned=len(batches))
    curve(channel, "cpu", batches, weights, precision="fp32", more=more)
    for each in others:
        if (left := until - channel.elapsed()) >= took:
            families.compare("cpu", channel, types=(each,))
        else:
            channel.emit("left-out", what=each, step_seconds=took, steps=1, left=left)


def _in_time(channel: Channel, *, until: float, planned: int) -> Callable[[int], bool]:
    """Return what says, after so many steps, whether another one is to be done; from now on it is measured."""
    begin = channel.elapsed()

    def more(done: int) -> bool:
        now = channel.elapsed()
        if done < sizing.LEAST_CURVE or now + (took := (now - begin) / done) <= until:
            return True
        channel.emit("left-out", what="curve", step_seconds=took, steps=planned - done, left=until - now)
        return False

    return more


def starting_weights() -> list[Any]:
    """Draw the weights in double precision, once: every device and type starts from the same numbers."""
    numbers = iter(normal_numbers(count=MARKOV.parameters(), seed=SEED))

    def draw(size: tuple[int, ...], deviation: float) -> Any:
        return torch.tensor([next(numbers) * deviation for _ in range(math.prod(size))], dtype=torch.float64).reshape(
            size
        )

    return initial(MARKOV, draw, like=torch.zeros(1, dtype=torch.float64))


def curve(
    channel: Channel,
    device: str,
    batches: list[list[list[int]]],
    weights: list[Any],
    *,
    precision: str,
    more: Callable[[int], bool] = lambda _done: True,
) -> list[float]:
    """Train and report every loss, until there is no batch any more or ``more`` says to do no further step.

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
        if not more(number):
            break
        table = torch.tensor(rows, dtype=torch.long, device=device)
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(where, dtype=low, enabled=precision in ("bf16", "fp16")):
            value = loss(MARKOV, parameters, table[:, :-1], table[:, 1:])
        scaler.scale(value).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(float(value.item()))
        if number % 10 == 9 or device == "cpu":  # there a step may take as long as all of a GPU's
            channel.emit("progress", of=f"numbers {precision} {device}", done=number + 1, total=len(batches))
    channel.emit("curve", device=device, precision=precision, losses=losses)
    return losses
