"""What a verification is told beforehand: what the lock promises, and the curves that right trainings follow."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from gpuenv.dataclass import dataclass
from gpuenv.model.machine import Gpu
from gpuenv.verify.causes import Hints
from gpuenv.verify.payload import bounds
from gpuenv.verify.probes import OwnProbe

ABOVE_FLOOR = 0.35


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedPackage:
    """A package of the family that must import. ``version`` is ``None`` where the lock is not known."""

    project: str
    version: str | None = None

    @property
    def module(self) -> str:
        """The name to import: projects of the family differ from their modules in dashes and triton's old names."""
        name = self.project.replace("-", "_")
        return "triton" if name in ("pytorch_triton", "triton_windows") else name


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the lock says of the environment. Every field may be unknown: then it is reported, not compared."""

    torch: str | None = None
    """The locked version (``"2.10.0+cu128"``)."""
    cuda: str | None = None
    """CUDA of the build (``"12.8"``), ``""`` for a CPU build."""
    gpus: tuple[Gpu, ...] = ()
    """The GPUs in scope; empty: every GPU of the machine."""
    packages: tuple[ExpectedPackage, ...] = ()
    lock: str | None = None
    """Where the lock lies, relative to the project, for the evidence."""
    profile: str | None = None
    environment: str | None = None
    """The environment as a person names it, where it is verified in a staging folder; for sentences and evidence."""
    probes: tuple[OwnProbe, ...] = ()
    """Those that the project brings."""
    hints: Hints | None = None
    """How commands are spelled here; ``None``: for the profile's own environment, as ``gpuenv verify`` does."""

    @property
    def companions(self) -> tuple[ExpectedPackage, ...]:
        """The packages beside torch itself."""
        return tuple(item for item in self.packages if item.project != "torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """The small model's losses in double precision, and the text they belong to."""

    losses: tuple[float, ...]
    language: str
    entropy: float
    first: float
    bounds: Mapping[str, tuple[float, ...]]
    """How far each loss may be from the reference, in nats, by precision."""


def reference() -> Reference:
    """Read the curve that ships with the package; ``tools/make_reference_curve.py`` makes it."""
    data = _shipped("reference_curve")
    return Reference(
        losses=tuple(data["losses"]),
        language=data["language_sha256"],
        entropy=data["entropy"],
        first=math.log(data["symbols"]),
        bounds=bounds.curves(data),
    )


def learned_bound(model: str, *, steps: int, vocabulary: int) -> float:
    """Return the loss (nats per token) that a training shortened to ``steps`` steps has to end below.

    It lies half-way between a model that learned nothing, ln of the vocabulary, and the worst right run at that step
    (``training_curves.json`` says where they were recorded). After six steps of the smallest model that is 0.5 from
    either, and eight seeds differ by 0.14; a later step's bound is farther from both. Losses may rise from one step to
    the next while the rate rises: what counts is the worst from the step on.

    >>> round(learned_bound("gpt2-tiny", steps=6, vocabulary=256), 2)
    5.05
    """
    losses: list[float] = _shipped("training_curves")[model]
    return (math.log(vocabulary) + max(losses[min(steps, len(losses)) - 1 :])) / 2


@cache
def _shipped(name: str) -> Any:  # Any: JSON that ships with the package
    return json.loads((files("gpuenv.verify") / f"{name}.json").read_text("utf-8"))
