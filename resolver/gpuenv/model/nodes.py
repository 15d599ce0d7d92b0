"""What several hosts proved together: who took part, which sums and copies were right, how fast."""

from __future__ import annotations

from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.model.verification import Check, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Meeting:
    """Which hosts are to meet where. ``names`` is empty where only their number is known."""

    nodes: int
    names: tuple[str, ...]
    endpoint: str
    """``HOST:PORT`` of the rendezvous."""
    serves: bool | None
    """Whether this host holds the rendezvous; ``None``: torch finds out by the endpoint's name."""
    run: str
    """What tells this run from another at the same place."""
    node: str
    """This host's own name."""
    wait: float
    """Seconds to wait for the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRank:
    """One process of the group. ``name`` is that of its card, ``CPU`` where there is none."""

    rank: int
    node: str
    device: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bus:
    """An all-reduce of so many bytes: the time of its slowest rank, and the bus bandwidth that follows."""

    bytes: int
    seconds: float
    slowest: int
    ranks: int

    @property
    def gigabytes(self) -> float:
        """Bus bandwidth in GB/s: bytes / seconds × 2 (n - 1) / n (nccl-tests, doc/PERFORMANCE.md)."""
        return self.bytes / self.seconds * 2 * (self.ranks - 1) / self.ranks / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A copy from one rank to another, as its receiver timed and compared it."""

    source: int
    target: int
    within: bool
    """Whether both are on one host."""
    bytes: int
    seconds: float
    wrong: int

    @property
    def gigabytes(self) -> float:
        """Bandwidth one way, in GB/s."""
        return self.bytes / self.seconds / 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class NodesReport:
    """The whole of it, as one host saw it: every rank tells every host what it found."""

    verdict: Verdict
    accelerator: Literal["cuda", "cpu"]
    meeting: Meeting
    nodes: tuple[str, ...]
    """Those that met, in the order of their ranks; empty where they did not."""
    ranks: tuple[NodeRank, ...]
    checks: tuple[Check, ...]
    buses: tuple[Bus, ...]
    links: tuple[Link, ...]
    log: tuple[str, ...]
    seconds: float
