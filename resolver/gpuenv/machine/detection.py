"""What a detection of this machine comes to."""

from __future__ import annotations

from dataclasses import field
from typing import TYPE_CHECKING

from gpuenv.dataclass import dataclass
from gpuenv.model.machine import Machine

if TYPE_CHECKING:  # not loaded while the child that asks NVML is started
    from gpuenv.machine.problem import DriverProblem, Evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """What was found. ``problem`` says why the NVIDIA GPU that is there cannot be used; ``machine`` then holds what is
    known all the same. ``partial`` holds the troubles of single GPUs beside which others work; each is among the
    ``notes`` too, with everything else that works and will surprise."""

    machine: Machine
    problem: DriverProblem | None = None
    notes: tuple[str, ...] = ()
    partial: tuple[DriverProblem, ...] = ()
    evidence: Evidence | None = field(default=None, compare=False, repr=False)
    """What the diagnosis rests on; ``None`` where there was nothing to ask (macOS)."""
