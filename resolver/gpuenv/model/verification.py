"""What a verification saw: checks, each a value, and the report they make."""

from __future__ import annotations

import math
from typing import Literal

from gpuenv.dataclass import dataclass

Status = Literal["passed", "unusual", "failed", "warned", "not-applicable"]
"""``unusual``: a figure lies outside what is usual and inside what a right environment can give (how far: ``cause``).
``warned``: something a person wants to know that is no figure."""

Verdict = Literal["passed", "unusual", "failed"]
"""Right, unusual, wrong. What is unusual is kept and said; only what is wrong is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question put to the environment. ``cause`` and ``hint`` are empty for a check that passed."""

    name: str
    """Stable kebab-case name: ``import``, ``devices``, ``native-code``, ``training``, ``speed`` …"""
    title: str
    status: Status
    seen: str
    expected: str
    cause: str = ""
    hint: str = ""
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStep:
    """One optimizer step: loss in nats a token, wall time in seconds, peak device memory in bytes so far."""

    step: int
    loss: float
    seconds: float
    memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """A training run. ``samples_per_second`` is the rate after warm-up (median of the steps after the first three);
    ``samples_seen`` is steps × batch size."""

    model: str
    parameters: int
    device: str
    precision: str
    batch_size: int
    tokens_per_sample: int
    samples_available: int
    samples_seen: int
    steps: tuple[TrainingStep, ...]
    seconds: float
    samples_per_second: float
    final_loss: float
    peak_memory_bytes: int | None
    mode: Literal["eager", "graph"] = "eager"
    """``graph``: the same steps replayed as one CUDA graph."""
    seed: int = 1
    shortest_step_seconds: float | None = None
    """The time that a step's arithmetic and memory traffic take at the card's stated limits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A run of the small model beside its reference. ``largest`` is the difference that comes nearest to its bound or
    passes it by most, ``bound`` the bound at that step, both in nats."""

    device: str
    precision: str
    losses: tuple[float, ...]
    reference: tuple[float, ...]
    bounds: tuple[float, ...]
    """What each step may differ by: it grows with the step."""
    step: int
    """The step of ``largest``, from 1."""
    bound: float
    largest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFamily:
    """One kernel family in one type; ``error`` is ``None`` where it did not run (``note``).

    By the rule ``exact`` every element has one right value, ``wrong`` counts those that have another, and ``error`` is
    the largest difference of ``part``; ``bound`` is above zero where an algorithm may round in spite of that. By the
    rule ``bound`` errors are in unit roundoffs: of the element's magnitude the largest, of the result's the root mean
    square.
    """

    device: str
    family: str
    type: str
    rule: Literal["exact", "bound"]
    error: float | None
    bound: float
    part: str = ""
    rms: float | None = None
    rms_bound: float | None = None
    wrong: int = 0
    elements: int = 0
    note: str = ""

    @property
    def name(self) -> str:
        """The family and its type, as sentences name them."""
        return f"{self.family} in {self.type}"

    @property
    def share(self) -> float | None:
        """The part of its bound that was reached; ``None`` for an exact rule, which has none, and what did not run."""
        if self.rule == "exact" or self.error is None or not self.bound:
            return None
        shares = (self.error / self.bound, (self.rms or 0.0) / (self.rms_bound or 1.0))
        return math.nan if any(math.isnan(share) for share in shares) else max(shares)

    @property
    def summary(self) -> str:
        """What was found, in one line."""
        if self.error is None:
            return f"not run: {self.note}"
        if self.rule == "exact":
            count = f"{self.wrong:,} of {self.elements:,} elements differ"
            return f"exact: {count}" + (f", by {self.error:.3g} in {self.part}" if self.wrong else "")
        text = f"{self.error:.3g} u of {self.bound:.3g} allowed"
        return f"{text}; root mean square {self.rms or 0.0:.3g} u of {self.rms_bound or 0.0:.3g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a card reached. ``limit`` is what its maker states, ``None`` where that is not known."""

    device: str
    what: str
    value: float
    unit: str
    limit: float | None = None
    source: str = ""

    @property
    def share(self) -> float | None:
        """The part of the limit that was reached."""
        return self.value / self.limit if self.limit else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole verification. ``facts`` are named measurements and versions, sorted by name."""

    verdict: Verdict
    accelerator: Literal["cuda", "cpu"]
    checks: tuple[Check, ...]
    training: Training | None
    facts: tuple[tuple[str, str], ...]
    log: tuple[str, ...]
    """What the payload said, line by line."""
    seconds: float
    runs: tuple[Training, ...] = ()
    """Every training run: ``training`` first, then its graph, then those of other GPUs."""
    curves: tuple[Curve, ...] = ()
    families: tuple[KernelFamily, ...] = ()
    rates: tuple[Rate, ...] = ()
    final_losses: tuple[tuple[int, float], ...] = ()
    """Final loss by seed, on the first device."""
