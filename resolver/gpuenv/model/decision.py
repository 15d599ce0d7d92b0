"""What was decided and why: the value that selection produces, a lock records, and ``resolve`` shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.model.machine import ComputeCapability
from gpuenv.model.wheel import Channel, SourceKind, Wheel

About = Literal["kernels", "metadata", "build"]
"""What can be asked of a wheel: its code for GPUs (torch), its METADATA, the CUDA it is built with (a companion)."""

Reason = Literal[
    "platform", "python", "abi", "libc", "channel", "version", "variant", "driver", "kernels", "companion", "yanked",
    "too-new", "hash", "unknown-kernels", "excluded",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A candidate that was not accepted. ``candidate`` names project, version and, where that hides them, folder and
    channel; ``detail`` holds the fact and its source. ``wheels`` counts the files of that candidate (one per Python and
    platform) that ended this way."""

    candidate: str
    project: str
    version: str
    reason: Reason
    detail: str
    wheels: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """A candidate that passes every rule; rank 0 was chosen."""

    candidate: str
    project: str
    version: str
    rank: int
    python: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernels:
    """Code in the chosen torch wheel. ``origin`` is ``table`` or ``wheel``; ``detail`` names row or member."""

    sass: tuple[str, ...]
    ptx: tuple[str, ...]
    origin: Literal["table", "wheel"]
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSupport:
    """Which code of the wheel serves one GPU: ``by`` is ``sm_86`` (native) or ``compute_120`` (PTX)."""

    index: int
    name: str
    compute_capability: ComputeCapability
    support: Literal["native", "ptx"]
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DriverSupport:
    """``full`` is true where the driver's own CUDA is at least the variant's; otherwise minor-version compatibility
    carries it: compiled kernels run, PTX of the newer toolkit does not."""

    required: str
    found: str
    full: bool
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Companion:
    """A package with code for GPUs that was chosen beside torch."""

    project: str
    version: str
    wheel: Wheel | None
    """``None`` where the resolver takes it, and nobody could say anything of it beforehand."""
    place: str
    """Where it comes from, for a person."""
    support: Literal["native", "ptx", "idle", "no-code", "unknown"]
    by: str = ""
    """The code that serves the card which is served least."""
    because: str = ""
    """What it does there and why no newer one was taken, without its name."""
    source: str = ""
    """Where the facts are from."""

    @property
    def words(self) -> str:
        """The choice and its reason: ``onnxruntime-gpu 1.26.0 (PyPI) runs natively by sm_90``."""
        name = f"{self.project} {self.version}".strip()
        return f"{name} ({self.place}) {self.because}" if self.place else f"{name} {self.because}"

    @property
    def address(self) -> str:
        """Where the wheel lies, with its hash, where the resolver knows no place that lists it; empty else."""
        if self.wheel is None or self.wheel.source != "find-links":
            return ""
        return f"{self.wheel.url}#sha256={self.wheel.sha256}" if self.wheel.sha256 else self.wheel.url


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The family of wheels for one machine, and the whole reasoning."""

    profile: str
    accelerator: Literal["cuda", "cpu"]
    python: str
    channel: Channel
    variant: str
    """``cu128`` or ``cpu``; for a wheel without a variant folder, derived from the CUDA it was built with."""
    source: SourceKind
    packages: tuple[Wheel, ...]
    """The family, torch first, then by name."""
    requires: tuple[tuple[str, tuple[str, ...]], ...]
    """Known Requires-Dist of the chosen wheels by project: (("torch", ("triton==3.6.0; …", …)), …)."""
    others: tuple[str, ...]
    """The profile's requirements that are not of the family, as written."""
    kernels: Kernels | None
    """``None`` for a CPU build."""
    gpus: tuple[GpuSupport, ...]
    driver: DriverSupport | None
    because: tuple[str, ...]
    warnings: tuple[str, ...]
    accepted: tuple[Accepted, ...]
    rejected: Sequence[Rejected]
    """Made when somebody looks at them."""
    refused: int = 0
    """How many wheels ``rejected`` is about."""
    alternatives: tuple[Wheel, ...] = ()
    """Wheels of the family, one per project and release, that would serve this machine too as far as is known, for the
    same Python and from the same source; the chosen ones among them. A package that needs another torch picks here."""
    torches: tuple[Wheel, ...] = ()
    """Where there are ``others``: of each release of torch the best wheel of each CUDA major, the chosen one first, as
    in ``alternatives``. A companion of another CUDA picks here."""
    companions: tuple[Companion, ...] = ()
    """The packages with code for GPUs among ``others`` that were chosen with torch, and what is said of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Something the decision must know of one wheel before it can go on."""

    wheel: Wheel
    about: About


@dataclass(frozen=True, slots=True, kw_only=True)
class Questions:
    """No decision yet: read these, add the answers, ask again. Never empty."""

    items: tuple[Question, ...]


Constraint = Literal[
    "variant", "python", "channel", "exclude-newer", "build", "torch", "stated", "gpu",
    "profile-python", "profile-torch", "profile-companions", "required", "certainty", "profile", "accelerator",
]  # fmt: skip
"""What a person may have asked for, by option, project or profile: ``stated`` is what the project's lines say of the
family's versions, ``build`` is the local part of a pinned version, ``required``
that the profile's companions must be there, ``certainty`` that what is not known is refused, ``accelerator`` that it is
to be for a GPU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A constraint that is given up for another. ``said`` is how it was put (``--variant cu128``), empty where nobody
    put it; ``option`` takes ``values`` instead (``variant``, ``("cu126",)``). Without an option it is to be changed in
    the profile."""

    constraint: Constraint
    said: str
    option: str = ""
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """An answer that there is once the ``changes``, the fewest that help, are made. ``gives`` is the torch that is
    chosen then; ``lacks`` are packages that are left out beside it."""

    changes: tuple[Change, ...]
    gives: str
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NoDecision:
    """Nothing fits. ``summary`` is one sentence that names the deciding rule; ``hints`` are things to type, and
    ``alternatives`` what the machine could have after the smallest change of what was asked for."""

    summary: str
    causes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    rejected: Sequence[Rejected] = ()
    wants_nightly: bool = False
    """True where stable channels were exhausted and the profile allows looking at nightlies, which were not offered."""
    alternatives: tuple[Alternative, ...] = ()
    contradiction: bool = False
    """True where what was asked for cannot be, on any machine: the command line is wrong, not the machine."""
