"""Which wheel tags a machine accepts, without being that machine.

Python and ABI tags are ``packaging``'s, made for the interpreters that can be had. Its platform tags are those of the
running machine; a decision is made for another one too, and has to say *why* a tag does not fit. Rules: PEP 425 (tags),
PEP 600 (manylinux), PEP 656 (musllinux).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import field
from functools import cache
from itertools import product
from typing import NamedTuple

from packaging.tags import compatible_tags, cpython_tags

from gpuenv.dataclass import dataclass
from gpuenv.knowledge.rules import NoCode
from gpuenv.model.decision import Reason
from gpuenv.model.machine import Libc, Machine


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something was not accepted: ``what``, by which ``source``, and what was ``found`` instead; of code, what each
    group of GPUs lacks (``codes``)."""

    reason: Reason
    what: str = ""
    source: str = ""
    found: str = ""
    codes: tuple[tuple[str, NoCode], ...] = ()

    @property
    def detail(self) -> str:
        """All of it as a sentence, as ``--explain`` shows it."""
        if self.codes:
            return "; ".join(f"{gpus}{lack.detail}" for gpus, lack in self.codes)
        return self.what + (f" ({self.source})" if self.source else "") + (f"; {self.found}" if self.found else "")

    @property
    def brief(self) -> str:
        """Without what the sentences beside it name: the source, the driver here, the middle of a list of code."""
        return "; ".join(f"{gpus}{lack.brief}" for gpus, lack in self.codes) or self.what


class TagSet(NamedTuple):
    """The tag part of a wheel's file name, as written (each may be a compressed set, ``py2.py3``)."""

    python: str
    abi: str
    platform: str


_LEGACY_MANYLINUX = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}  # PEP 600
_MANYLINUX = re.compile(r"(manylinux|musllinux)_(\d+)_(\d+)_")
_WINDOWS_ARCH = {"x86_64": "win_amd64", "aarch64": "win_arm64", "arm64": "win_arm64"}
_OS_WORDS = {"linux": "Linux", "windows": "Windows", "macos": "macOS"}


@dataclass(slots=True)
class TargetTags:
    """A machine and the interpreters it can have, as far as wheel tags ask. Answers are remembered by tag."""

    machine: Machine
    pythons: tuple[str, ...]
    insist_unknown: bool = False
    _platforms: dict[str, Refusal | None] = field(default_factory=dict)
    _pythons: dict[tuple[str, str], tuple[str, ...] | Refusal] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The machine as a person says it: ``Linux x86_64``."""
        return f"{_OS_WORDS[self.machine.os]} {self.machine.arch}"

    def refuses_platform(self, platform: str) -> Refusal | None:
        """Judge a platform tag or a compressed set of them: ``None`` where one fits."""
        if platform not in self._platforms:
            refusals = [self._refuses_one(tag) for tag in platform.split(".")]
            fits = any(refusal is None for refusal in refusals)
            self._platforms[platform] = None if fits else _best(refusals)
        return self._platforms[platform]

    def accepts_pythons(self, python: str, abi: str) -> tuple[str, ...] | Refusal:
        """Return the interpreters, best first, that a pair of Python and ABI tags runs on."""
        key = (python, abi)
        if key not in self._pythons:
            offered = list(product(python.split("."), abi.split(".")))
            fitting = tuple(each for each in self.pythons if not _pairs(each).isdisjoint(offered))
            self._pythons[key] = fitting or self._refuse_python(python, abi)
        return self._pythons[key]

    def _refuses_one(self, tag: str) -> Refusal | None:
        if tag == "any":
            return None
        os, arch = self.machine.os, self.machine.arch
        if os == "windows":
            return None if tag == _WINDOWS_ARCH[arch] else Refusal("platform", f"for {platform_words(tag)}")
        if os == "macos":
            # The version of macOS is no part of a machine file; the oldest still maintained runs every wheel of torch.
            fits = tag.startswith("macosx_") and tag.endswith((f"_{_mac_arch(arch)}", "_universal2"))
            return None if fits else Refusal("platform", f"for {platform_words(tag)}")
        return self._refuses_linux(tag)

    def _refuses_linux(self, tag: str) -> Refusal | None:
        arch = "aarch64" if self.machine.arch == "arm64" else self.machine.arch
        if "linux" not in tag or not tag.endswith(f"_{arch}"):
            return Refusal("platform", f"for {platform_words(tag)}")
        least, have = libc_of_tag(tag), Libc.parse(self.machine.libc)
        if have is None:
            unknown = Refusal("libc", f"needs {least.family}; this machine's libc is unknown")
            return None if self.insist_unknown else unknown
        if not have.serves(least):
            needed = least if have.family == least.family else least.family
            return Refusal("libc", f"needs {needed}; this machine has {self.machine.libc}")
        return None

    def _refuse_python(self, python: str, abi: str) -> Refusal:
        if any((tag, "none") in _pairs(each) for each in self.pythons for tag in python.split(".")):
            return Refusal("abi", f"for {_abi_words(python, abi)}")
        return Refusal("python", f"for {_python_words(python, abi)}")


def platform_words(tag: str) -> str:
    """Say a platform tag for a person: ``manylinux_2_28_aarch64`` is ``Linux aarch64``."""
    if tag.startswith("win"):
        arch = {"win_amd64": "x86_64", "win_arm64": "arm64", "win32": "32-bit"}.get(tag, tag)
        return f"Windows {arch}"
    if tag.startswith("macosx_"):
        match = re.fullmatch(r"macosx_\d+_\d+_(.+)", tag)
        return f"macOS {match[1] if match else tag}"
    if "linux" in tag:
        match = re.fullmatch(r"(?:manylinux|musllinux|linux)[^_]*(?:_\d+_\d+)?_(.+)", tag)
        return f"Linux {match[1] if match else tag}"
    return tag


def _best(refusals: Sequence[Refusal | None]) -> Refusal | None:
    """Of several refused tags the one that came nearest: the right platform with the wrong libc."""
    found = [refusal for refusal in refusals if refusal is not None]
    return min(found, key=lambda refusal: refusal.reason != "libc") if found else None


def libc_of_tag(tag: str) -> Libc:
    """The C library that a Linux tag asks for.

    >>> str(libc_of_tag("manylinux_2_28_x86_64")), str(libc_of_tag("manylinux2014_x86_64"))
    ('glibc 2.28', 'glibc 2.17')
    """
    if match := _MANYLINUX.match(tag):
        return Libc("glibc" if match[1] == "manylinux" else "musl", int(match[2]), int(match[3]))
    # A plain linux_x86_64 tag promises nothing; the wheels of torch that carry it were built against glibc.
    return Libc("glibc", *_LEGACY_MANYLINUX.get(tag.partition("_")[0], ()))


def _mac_arch(arch: str) -> str:
    return "x86_64" if arch == "x86_64" else "arm64"


@cache
def _pairs(python: str) -> frozenset[tuple[str, str]]:
    """The Python and ABI tags that an interpreter takes; ``3.13t`` is a free-threaded one."""
    major, minor = map(int, python.removesuffix("t").split("."))
    own = f"cp{major}{minor}"
    abi = own + ("t" if python.endswith("t") else "m" if (major, minor) < (3, 8) else "")
    tags = (*cpython_tags((major, minor), [abi], ["any"]), *compatible_tags((major, minor), own, ["any"]))
    return frozenset((tag.interpreter, tag.abi) for tag in tags)


def _dotted(tag: str) -> str:
    digits = tag[2:]
    return f"{digits[0]}.{digits[1:]}" if len(digits) > 1 and digits.isdecimal() else digits


def _python_words(python: str, abi: str) -> str:
    suffix = "t" if abi.endswith("t") and abi != "t" else ""
    return "Python " + ", ".join(f"{_dotted(tag)}{suffix}" for tag in python.split("."))


def _abi_words(python: str, abi: str) -> str:
    if abi.endswith("t"):
        return f"the free-threaded Python {_dotted(python)}t"
    return f"the ABI {abi} of Python {_dotted(python)}"
