"""The values that the tables are read into."""

from __future__ import annotations

from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.model.machine import ComputeCapability

Platform = Literal["linux_x86_64", "linux_aarch64", "win_amd64", "macos_arm64", "macos_x86_64"]
Published = Literal["yes", "expected", "unconfirmed"]
Confidence = Literal["high", "medium", "low"]
FamilyRole = Literal["core", "companion", "compiler", "extension", "old"]


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRow:
    """Code in one build of torch.

    ``read`` is true where it was read out of the wheel itself; else it follows from build configuration. ``doubtful``
    holds architectures that are listed and perhaps of no use.
    """

    torch: str
    variant: str
    platform: str
    sass: tuple[str, ...]
    ptx: tuple[str, ...]
    read: bool = False
    cudnn: str | None = None
    doubtful: tuple[str, ...]
    published: Published = "yes"
    confidence: Confidence = "high"
    source: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Triton:
    """The compiler that a release of torch asks for: project name, requirement and environment marker."""

    name: str
    requirement: str
    marker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """One release of torch. ``pythons`` and ``variants`` are by platform; ``uploaded`` is a date (ISO 8601)."""

    torch: str
    uploaded: str
    git: str
    requires_python: str
    triton: Triton | None
    companions: tuple[tuple[str, tuple[str, ...]], ...]
    pythons: tuple[tuple[str, tuple[str, ...]], ...]
    variants: tuple[tuple[str, tuple[str, ...]], ...]
    notes: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverFloor:
    """The least driver for a CUDA variant.

    ``minimum`` runs the compiled kernels of a wheel (minor-version compatibility); ``full`` knows the variant's own
    CUDA, so that its PTX works too. ``full`` may be a bare branch number, and is ``None`` where none is known.
    ``by`` tells a written row from the rule of the CUDA major version, and from the word of a driver no table knows.
    """

    minimum: str
    full: str | None
    source: str
    by: Literal["table", "major-rule", "driver"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """One compute capability: its generation and the first CUDA that compiles for it.

    ``last_branch`` is the last driver branch that serves it (``None``: current drivers do). ``platforms`` names the
    only ones it exists on (empty: any).
    """

    capability: ComputeCapability
    name: str
    first_cuda: str
    last_branch: str | None = None
    platforms: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuName:
    """A name of a GPU, without a leading "NVIDIA". ``pci_ids`` are device ids in lower-case hexadecimal, which decide
    where the same name stands for several capabilities."""

    name: str
    compute_capability: ComputeCapability
    pci_ids: tuple[str, ...]
    aliases: tuple[str, ...]
    source: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSheet:
    """What a card can do at most, by its data sheet, without sparsity.

    Rates are in TFLOP/s, ``None`` where the card has no such unit or the sheet does not say; ``memory_gb_s`` is the
    memory bandwidth in GB/s (10⁹ bytes). ``fp16`` and ``bf16`` are the tensor cores' where there are any, with fp32
    accumulation.
    """

    name: str
    memory_gb_s: float
    bf16: float | None = None
    fp16: float | None = None
    tf32: float | None = None
    fp32: float
    source: str
    note: str = ""

    @property
    def matmul(self) -> float | None:
        """The rate of torch's products in 16 bits."""
        return self.bf16 or self.fp16


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportCheck:
    """What a companion compares with torch when it is imported. ``compares`` says how much of the two CUDA versions has
    to be equal; ``build`` is the file in its wheel that tells its own."""

    project: str
    compares: Literal["major", "minor"]
    build: str
    source: str

    def passes(self, own: str, torch: str) -> bool:
        """Whether two builds go together, by their CUDA versions (``""``: without CUDA)."""
        parts = 1 if self.compares == "major" else 2
        return own.split(".")[:parts] == torch.split(".")[:parts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembler:
    """What the assembler in a wheel of triton makes code for."""

    triton: str
    capabilities: frozenset[ComputeCapability]
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """Table and wheel say different things of one wheel. ``differences`` reads ``"sass: table …, wheel …"``, sorted."""

    filename: str
    row: str
    differences: tuple[str, ...]
