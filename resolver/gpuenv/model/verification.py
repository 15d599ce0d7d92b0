"""What a verification saw: checks, each a value, and the report they make."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["passed", "failed", "warned", "not-applicable"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The whole verification. ``facts`` are named measurements and versions, sorted by name."""

    verdict: Literal["passed", "failed"]
    accelerator: Literal["cuda", "cpu"]
    checks: tuple[Check, ...]
    training: Training | None
    facts: tuple[tuple[str, str], ...]
    log: tuple[str, ...]
    """What the payload said, line by line."""
    seconds: float
