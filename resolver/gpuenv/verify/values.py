"""What a verification is told beforehand: what the lock promises, and what the cards can do at most."""

from __future__ import annotations

from dataclasses import dataclass

from gpuenv.model.machine import ComputeCapability
from gpuenv.verify.hints import Hints


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedGpu:
    """One GPU that the environment was made for. ``uuid`` as NVML writes it (``GPU-…``)."""

    uuid: str
    compute_capability: ComputeCapability
    index: int = 0
    """NVML's index, for sentences only."""


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
    gpus: tuple[ExpectedGpu, ...] = ()
    """The GPUs in scope; empty: every GPU of the machine."""
    packages: tuple[ExpectedPackage, ...] = ()
    lock: str | None = None
    """Where the lock lies, relative to the project, for the evidence."""
    profile: str | None = None
    environment: str | None = None
    """The environment as a person names it, where it is verified in a staging folder; for sentences and evidence."""
    hints: Hints | None = None
    """How commands are spelled here; ``None``: for the profile's own environment, as ``gpuenv verify`` does."""

    @property
    def companions(self) -> tuple[ExpectedPackage, ...]:
        """The packages beside torch itself."""
        return tuple(item for item in self.packages if item.project != "torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class CardLimits:
    """What a card's maker states: dense matrix rate in bf16 (fp16 where there is no bf16) and memory bandwidth."""

    name: str
    matmul_tflops: float | None
    memory_gigabytes_per_second: float | None
    source: str
