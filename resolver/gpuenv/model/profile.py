"""What a user asks for: the value that a profile file holds."""

from __future__ import annotations

from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.model.machine import ComputeCapability

Accelerator = Literal["cuda", "cpu", "auto"]
ChannelChoice = Literal["stable", "nightly", "auto"]


ENVIRONMENT = ".venv-gpu"
"""The folder of an environment, where nobody names another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerificationPlan:
    """How an environment has to prove itself (sizes in samples and steps; ``precision`` ``bf16`` falls back to ``fp16``
    on a card without it, to ``fp32`` on one without matrix units, and says so)."""

    model: Literal["gpt2", "gpt2-small", "gpt2-tiny"] = "gpt2"
    samples: int = 550
    batch_size: int = 4
    steps: int = 14
    precision: Literal["bf16", "fp16", "fp32"] = "bf16"
    loss_below: float = 4.15
    """The final loss must be below this bound (natural logarithm, nats per token)."""
    budget_seconds: int | None = None
    """What the whole verification may take: training is sized by it. ``None``: 20 s on a GPU, 60 s on a CPU."""
    deadline_seconds: int = 600
    """When everything is ended, whatever it does: a last resort."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What is asked for, before any machine or index is read."""

    name: str
    description: str
    origin: str
    """The file it was read from, or ``bundled:NAME``."""
    accelerator: Accelerator
    """``cuda``: a GPU is required. ``cpu``: the CPU is wanted. ``auto``: a GPU, else the CPU, said aloud."""
    packages: tuple[str, ...]
    """Requirements (PEP 508) that must be met; ``torch`` is always among them."""
    optional_packages: tuple[str, ...] = ()
    """Requirements taken where the source has a consistent one, left out with a reason where not."""
    channel: ChannelChoice = "auto"
    variant: str | None = None
    """One variant the user insists on (``cu128``)."""
    python: str | None = None
    """A specifier on ``X.Y`` (``">=3.10,<3.14"``, ``"==3.12"``)."""
    compute_capabilities: tuple[ComputeCapability, ...] = ()
    """The machine must have at least one GPU in scope with one of these; empty: any."""
    least_driver: str | None = None
    environment: str = ENVIRONMENT
    keep: bool = False
    verification: VerificationPlan = VerificationPlan()
