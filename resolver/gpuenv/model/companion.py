"""The companion packages of a decision: which wheel of each, beside which torch, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gpuenv.model.wheel import Wheel


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
    def requirement(self) -> str:
        """What the resolver is to be given: the exact version, or the address with the hash."""
        if self.wheel is None or not self.version:
            return self.project
        if self.wheel.source != "find-links":
            return f"{self.project}=={self.version}"
        hashed = f"#sha256={self.wheel.sha256}" if self.wheel.sha256 else ""
        return f"{self.project} @ {self.wheel.url}{hashed}"
