"""Chooses how much training is done: what one step took, put to the time that is left. Pure, without torch."""

from __future__ import annotations

from collections.abc import Sequence

SMALLER = ("gpt2", "gpt2-small", "gpt2-tiny")
"""Models by size. Where the planned one is too slow, the next one takes its place."""
LEAST_STEPS = 6
"""With fewer the learning rate has not risen to its full height, and the loss has not fallen far enough to tell."""
LEAST_SHARE = 0.25
"""The part of the budget that is the training's whatever else took: what proves most, and takes three seconds on a GPU,
is not left out because something before it was slow."""
NUMBERS_SHARE = 0.5
"""The part of a CPU's budget in which the numbers may begin something more, so that the training comes to its turn."""
LEAST_CURVE = 4
"""Steps of the small model: from the second on every kernel of it has run, on gradients of moved weights."""
EXTRA_STEPS = 2
"""What comes after the training, counted in steps: one more under the profiler, and a product of matrices."""


def left_seconds(budget: float, *, elapsed: float) -> float:
    """Return the time for training after ``elapsed`` seconds went to all else.

    >>> left_seconds(20.0, elapsed=12.0), left_seconds(20.0, elapsed=19.0)
    (8.0, 5.0)
    """
    return max(budget - elapsed, LEAST_SHARE * budget)


def model_that_fits(
    planned: str, *, probe_seconds: float, probe_parameters: int, parameters: dict[str, int], steps: int, left: float
) -> str:
    """Return the largest model that does ``steps`` steps in ``left`` seconds, the smallest where none does.

    A step's arithmetic grows with the parameters, and a small model uses a processor worse than a large one: scaling
    the probe's seconds by parameters gives the most that a step can take.

    >>> sizes = {"gpt2-small": 10_000_000, "gpt2-tiny": 1_000_000}
    >>> rule = dict(probe_parameters=1_000_000, parameters=sizes, steps=14)
    >>> model_that_fits("gpt2-small", probe_seconds=0.1, left=40.0, **rule)
    'gpt2-small'
    >>> model_that_fits("gpt2-small", probe_seconds=0.4, left=40.0, **rule)
    'gpt2-tiny'
    """
    for model in SMALLER[SMALLER.index(planned) :]:
        if fits(probe_seconds * parameters[model] / probe_parameters, steps=steps, left=left):
            return model
    return SMALLER[-1]


def steps_that_fit(step_seconds: Sequence[float], *, planned: int, left: float) -> int:
    """Return how many steps to do in all, after some were done and ``left`` seconds remain; asked after each step.

    The first step loads kernels and is left out as soon as there is another. At least :data:`LEAST_STEPS`, or all that
    are planned where those are fewer.

    >>> steps_that_fit([9.0, 1.0], planned=14, left=30.0)
    14
    >>> steps_that_fit([9.0, 1.0], planned=14, left=9.0)
    9
    >>> steps_that_fit([9.0, 9.0], planned=14, left=1.0)
    6
    """
    steady = sorted(step_seconds[1:] or step_seconds)
    median = steady[len(steady) // 2]
    more = int(min(left / median, planned + EXTRA_STEPS)) - EXTRA_STEPS if median > 0 else planned
    return max(min(planned, len(step_seconds) + max(more, 0)), min(planned, LEAST_STEPS))


def fits(step_seconds: float, *, steps: int, left: float) -> bool:
    """Say whether ``steps`` more steps fit beside what comes after the training.

    >>> fits(0.1, steps=14, left=2.0), fits(1.0, steps=14, left=2.0)
    (True, False)
    """
    return step_seconds * (steps + EXTRA_STEPS) <= left
