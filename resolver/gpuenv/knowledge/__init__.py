"""What is known beforehand: tables of kernels, drivers, releases and GPUs, and the pure rules over them.

``load()`` gives the packaged tables; each is parsed when first asked for. Rules that need no table row by themselves
are in :mod:`gpuenv.knowledge.rules`, the table of what runs where in :mod:`gpuenv.knowledge.matrix`.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpuenv.knowledge.base import Knowledge
    from gpuenv.knowledge.facts import Disagreement, DriverFloor

__all__ = ["Disagreement", "DriverFloor", "Knowledge", "load"]


@cache
def load() -> Knowledge:
    """The packaged tables, the same object each time: they do not change while a program runs."""
    from gpuenv.knowledge.base import Knowledge

    return Knowledge()


if not TYPE_CHECKING:  # what detects a machine compares versions, and needs no table

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from gpuenv.knowledge import base, facts

        return getattr(base if name == "Knowledge" else facts, name)
