"""The shipped curve of the small model: what right numbers look like."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from gpuenv.verify.payload import bounds

ABOVE_FLOOR = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Losses in double precision, and the text they belong to."""

    losses: tuple[float, ...]
    language: str
    entropy: float
    first: float
    bounds: Mapping[str, tuple[float, ...]]
    """How far each loss may be from the reference, in nats, by precision."""


def load() -> Reference:
    """Read the curve that ships with the package; ``tools/make_reference_curve.py`` makes it."""
    data = json.loads((files("gpuenv.verify") / "reference_curve.json").read_text("utf-8"))
    return Reference(
        losses=tuple(data["losses"]),
        language=data["language_sha256"],
        entropy=data["entropy"],
        first=math.log(data["symbols"]),
        bounds=bounds.curves(data),
    )
