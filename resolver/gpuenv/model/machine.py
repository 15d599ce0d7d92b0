"""What a machine is: the value that detection produces, a machine file holds, and the decision takes."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Literal, NamedTuple

from gpuenv.dataclass import dataclass

Os = Literal["linux", "windows", "macos"]
Arch = Literal["x86_64", "aarch64", "arm64"]


class ComputeCapability(NamedTuple):
    """A GPU's compute capability, ``major.minor`` (CUDA C++ Programming Guide, "Compute Capabilities").

    >>> ComputeCapability.parse("12.0")
    ComputeCapability(major=12, minor=0)
    >>> str(ComputeCapability(8, 6))
    '8.6'
    """

    major: int
    minor: int

    @classmethod
    def parse(cls, text: str) -> ComputeCapability:
        """Read ``"8.6"``. Raises ``ValueError`` for anything else, implausible numbers included."""
        major, dot, minor = text.partition(".")
        if not (dot and major.isdecimal() and minor.isdecimal() and text.isascii()):
            raise ValueError(f"not a compute capability: {text!r} (expected MAJOR.MINOR, such as 8.6)")
        value = cls(int(major), int(minor))
        if not (1 <= value.major <= 99 and 0 <= value.minor <= 9):
            raise ValueError(f"not a plausible compute capability: {text!r}")
        return value

    @classmethod
    def read(cls, text: str) -> ComputeCapability | None:
        """Read what a program said; ``None`` for what :meth:`parse` refuses."""
        try:
            return cls.parse(text)
        except ValueError:
            return None

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Driver:
    """The NVIDIA kernel driver in use.

    ``version`` compares component by component (570.26 < 570.124). ``cuda`` is the newest CUDA the driver knows
    (``"12.9"``), not an installed toolkit; ``None`` where it could not be read. ``source`` names how the version was
    read: ``nvml``, ``/sys/module/nvidia/version``, ``/proc/driver/nvidia/version``, ``nvidia-smi``, ``file``.
    """

    version: str
    cuda: str | None
    source: str

    @property
    def place(self) -> str:
        """The source as a person reads it: ``NVML``, or the file or program."""
        return "NVML" if self.source == "nvml" else self.source


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU. ``index`` is NVML's order (PCI bus), which need not be CUDA's: match by ``uuid``."""

    index: int
    uuid: str
    name: str
    compute_capability: ComputeCapability
    memory_bytes: int | None
    mig: bool


class Libc(NamedTuple):
    """A C library and its version.

    >>> str(Libc.parse("glibc 2.39.1")), Libc.parse("bionic")
    ('glibc 2.39', None)
    """

    family: str
    major: int = 0
    minor: int = 0

    def __str__(self) -> str:
        return f"{self.family} {self.major}.{self.minor}" if self.major else self.family

    @classmethod
    def parse(cls, text: str | None) -> Libc | None:
        """Read a machine's ``libc``; ``None`` for none and for what is no family and version."""
        found = re.match(r"(glibc|musl) (\d{1,3})\.(\d{1,3})(?!\d)", text or "")
        return cls(found[1], int(found[2]), int(found[3])) if found else None

    def serves(self, least: Libc) -> bool:
        """Whether code that was built against another one runs with this."""
        return self.family == least.family and self >= least


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A machine as far as the decision needs it, this one or another.

    ``libc`` reads ``"glibc 2.39"`` or ``"musl 1.2"``; ``None`` where there is none (Windows, macOS). ``sources`` pairs
    a fact's path (``"os"``, ``"gpus[0].name"``) with how it was learned, sorted by path.
    """

    os: Os
    arch: Arch
    libc: str | None
    wsl: bool
    container: bool
    driver: Driver | None
    gpus: tuple[Gpu, ...]
    sources: tuple[tuple[str, str], ...] = ()

    @property
    def libc_family(self) -> str | None:
        """``"glibc"`` or ``"musl"``; ``None`` where there is none, or none that is known."""
        libc = Libc.parse(self.libc)
        return libc and libc.family

    @property
    def driver_os(self) -> Os:
        """The system whose driver numbers count: inside WSL the driver is the Windows host's, and numbered so."""
        return "windows" if self.wsl else self.os

    def to_json(self) -> dict[str, object]:
        """Return the machine as plain JSON values, as a machine file holds it; ``sources`` only where there are any."""
        driver = self.driver
        value: dict[str, object] = {
            "os": self.os,
            "arch": self.arch,
            "libc": self.libc,
            "wsl": self.wsl,
            "container": self.container,
            "driver": driver and {"version": driver.version, "cuda": driver.cuda, "source": driver.source},
            "gpus": [asdict(gpu) | {"compute_capability": str(gpu.compute_capability)} for gpu in self.gpus],
        }
        return value | ({"sources": dict(self.sources)} if self.sources else {})
