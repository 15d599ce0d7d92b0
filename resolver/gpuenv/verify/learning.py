"""What a training must have learned after so many steps: half of what right ones learned."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib.resources import files


@cache
def _curves() -> dict[str, list[float]]:
    """Read the losses that right trainings had at each step; the file says where."""
    data: dict[str, list[float]] = json.loads((files("gpuenv.verify") / "training_curves.json").read_text("utf-8"))
    return data


def bound(model: str, *, steps: int, vocabulary: int) -> float:
    """Return the loss (nats a token) that a training shortened to ``steps`` steps has to end below.

    It lies half-way between a model that learned nothing, ln of the vocabulary, and the worst right run at that step.
    After six steps of the smallest model that is 0.5 from either, and eight seeds differ by 0.14; a later step's bound
    is farther from both. Losses may rise from one step to the next while the rate rises: what counts is the worst from
    the step on.

    >>> round(bound("gpt2-tiny", steps=6, vocabulary=256), 2)
    5.05
    """
    losses = _curves()[model]
    return (math.log(vocabulary) + max(losses[min(steps, len(losses)) - 1 :])) / 2
