"""Show which torch runs on which GPU, by the tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gpuenv import knowledge as tables
from gpuenv.commands.context import Context, Outcome
from gpuenv.knowledge import matrix as laying
from gpuenv.knowledge.matrix import Matrix

Format = Literal["text", "markdown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixOutcome(Outcome):
    """The matrix, and how a person wants to read it."""

    matrix: Matrix
    format: Format


def run(context: Context, *, gpus: Sequence[str], platform: str, format: Format) -> MatrixOutcome:
    """Lay out the matrix. ``gpus`` are names, generations or compute capabilities; none: all."""
    known = tables.load()
    capabilities = [item for text in gpus for item in laying.capabilities_of(known, text)]
    found = laying.matrix(
        known,
        capabilities=capabilities,
        torch=context.wishes.torch or "",
        platform=platform,
        variant=context.wishes.variant or "",
    )
    return MatrixOutcome(matrix=found, format=format)
