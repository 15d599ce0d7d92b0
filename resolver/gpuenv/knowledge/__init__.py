"""What is known beforehand: tables of kernels, drivers, releases and GPUs, and the pure rules over them.

``load()`` gives the packaged tables; each is parsed when first asked for. Rules that need no table row by themselves
are in :mod:`gpuenv.knowledge.rules`, the table of what runs where in :mod:`gpuenv.knowledge.matrix`.
"""

from __future__ import annotations

from functools import cache

from gpuenv.knowledge.base import Knowledge
from gpuenv.knowledge.facts import Disagreement, DriverFloor

__all__ = ["Disagreement", "DriverFloor", "Knowledge", "load"]


@cache
def load() -> Knowledge:
    """The packaged tables, the same object each time: they do not change while a program runs."""
    return Knowledge()
