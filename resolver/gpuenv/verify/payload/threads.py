"""How many threads a CPU is used with: one, or as many as torch takes by itself, whichever is faster here and now.

Every operator ends at a barrier. Where other programs hold the cores, or a container may use fewer than it sees,
a thread that waits there for its turn makes a step ten times slower than one thread alone does it.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from .gpt import SHAPES, initial, loss
from .sizing import SMALLER

if TYPE_CHECKING:
    from .channel import Channel

BATCH, LENGTH = 4, 256


def fastest(channel: Channel) -> float:
    """Measure a forward and backward pass with one thread and with all, keep the faster, return its seconds."""
    most = torch.get_num_threads()
    shape = SHAPES[SMALLER[-1]]
    generator = torch.Generator().manual_seed(0)
    parameters = initial(
        shape, lambda size, deviation: torch.randn(size, generator=generator).mul_(deviation), like=torch.zeros(1)
    )
    rows = torch.randint(shape.vocabulary, (BATCH, LENGTH + 1), generator=generator)

    def measure(threads: int) -> float:
        torch.set_num_threads(threads)
        start = time.perf_counter()
        torch.autograd.grad(loss(shape, parameters, rows[:, :-1], rows[:, 1:]), parameters)
        return time.perf_counter() - start

    measure(1)  # loads what is measured next
    seconds = {threads: measure(threads) for threads in sorted({1, most})}
    best = min(seconds, key=lambda threads: seconds[threads])
    torch.set_num_threads(best)
    channel.emit("threads", chosen=best, seconds={str(threads): took for threads, took in seconds.items()})
    return seconds[best]
