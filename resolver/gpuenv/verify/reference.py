"""The shipped curve of the small model: what right numbers look like."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from importlib.resources import files

BOUNDS = {"fp32": 1e-3, "bf16": 3e-2}
"""Largest difference at any step, nats. Seen on an H200: 2.3e-5 and 5.7e-3."""
FIRST_BOUND = 1e-5
ABOVE_FLOOR = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Losses in double precision, and the text they belong to."""

    losses: tuple[float, ...]
    language: str
    entropy: float
    first: float


def load() -> Reference:
    """Read the curve that ships with the package; ``tools/make_reference_curve.py`` makes it."""
    data = json.loads((files("gpuenv.verify") / "reference_curve.json").read_text("utf-8"))
    return Reference(
        losses=tuple(data["losses"]),
        language=data["language_sha256"],
        entropy=data["entropy"],
        first=math.log(data["symbols"]),
    )
