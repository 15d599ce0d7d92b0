"""Pure rules over the tables: which code runs on which GPU, which driver is newer, which CUDA a driver knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import cmp_to_key, lru_cache
from itertools import zip_longest
from typing import Literal, NamedTuple

from gpuenv.dataclass import dataclass
from gpuenv.model.machine import ComputeCapability

_CODE = re.compile(r"(?:sm|compute)_([0-9]+)([0-9])([af]?)")
_Runs = Callable[["Code"], bool]


class Code(NamedTuple):
    """One architecture of a wheel, ordered by what it is compiled for.

    >>> Code.parse("sm_120a")
    Code(major=12, minor=0, suffix='a')
    >>> Code.parse("sm_86").number
    '86'
    """

    major: int
    minor: int
    suffix: str

    @classmethod
    @lru_cache(maxsize=1024)
    def parse(cls, text: str) -> Code | None:
        """Read ``sm_86`` or ``compute_90a``; ``None`` for what is neither."""
        found = _CODE.fullmatch(text)
        return cls(int(found[1]), int(found[2]), found[3]) if found else None

    @property
    def number(self) -> str:
        return f"{self.major}{self.minor}"

    def is_of(self, capability: ComputeCapability) -> bool:
        """Whether it is architecture-specific code of exactly that capability."""
        return (self.major, self.minor) == capability

    def is_of_family(self, capability: ComputeCapability) -> bool:
        """Whether it is for the same major and a minor that is not above it."""
        return self.major == capability.major and self.minor <= capability.minor


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeException:
    """An exception to the rule of major and minor. ``code`` holds numbers without suffix.

    Code is refused on the capabilities of ``not_on``; with ``only_on`` it runs there and nowhere else. With
    ``until_cuda`` the exception holds for builds by an older CUDA (and for builds whose CUDA is not known); with
    ``driver_cuda`` also on drivers that know an older CUDA (and where that is not known).
    """

    code: frozenset[str]
    not_on: frozenset[ComputeCapability]
    only_on: frozenset[ComputeCapability]
    until_cuda: str | None = None
    why: str
    driver_cuda: str | None = None
    """The CUDA that the driver must know too, where the build alone does not lift the exception."""

    def holds(self, cuda: str | None, driver_cuda: str | None) -> bool:
        """Whether it holds for a build by ``cuda`` on a driver that knows ``driver_cuda``."""
        if self.until_cuda is None or not cuda or compare_versions(cuda, self.until_cuda) < 0:
            return True
        if self.driver_cuda is None:
            return False
        return driver_cuda is None or compare_versions(driver_cuda, self.driver_cuda) < 0

    def says(self, code: Code, capability: ComputeCapability) -> bool | None:
        """True: runs by exception. False: refused by it. None: it says nothing of this pair."""
        if code.number not in self.code:
            return None
        if self.only_on:
            return capability in self.only_on
        return False if capability in self.not_on else None


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryFloor:
    """A library of the wheel that, from version ``since`` on, needs at least ``capability``."""

    library: str
    since: str
    capability: ComputeCapability


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRules:
    """The part of the rules that stands in tables."""

    exceptions: tuple[CodeException, ...]
    cudnn: tuple[LibraryFloor, ...]
    doubt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Support:
    """A GPU is served. ``by`` is the code that does it; ``warning`` is empty or one sentence."""

    support: Literal["native", "ptx"]
    by: str
    warning: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoCode:
    """A GPU is not served: ``what`` it lacks, the ``codes`` there are (``None``: they do not matter), and a note."""

    what: str
    codes: tuple[str, ...] | None = None
    note: str = ""

    @property
    def detail(self) -> str:
        """All of it as a sentence."""
        return self._said(self.codes)

    @property
    def brief(self) -> str:
        """The sentence with a long list of code cut to its ends."""
        codes = self.codes or ()
        return self._said((codes[0], "…", codes[-1]) if len(codes) > 3 else self.codes)

    def _said(self, codes: Sequence[str] | None) -> str:
        listed = "" if codes is None else f": {' '.join(codes) or 'none at all'}"
        return f"{self.what}{listed}" + (f" ({self.note})" if self.note else "")


@lru_cache(maxsize=8192)  # a decision asks the same of a wheel for each Python, a refusal once more for each rule
def serve(
    capability: ComputeCapability,
    *,
    sass: tuple[str, ...],
    ptx: tuple[str, ...],
    cuda: str | None,
    driver_cuda: str | None,
    platform: str,
    cudnn: str | None = None,
    doubtful: tuple[str, ...] = (),
    first_cuda: str | None = None,
    rules: CodeRules,
) -> Support | NoCode:
    """Say which code of a wheel serves a GPU, machine code before PTX, or why none does.

    ``cuda`` is the toolkit the wheel was built with, ``driver_cuda`` the CUDA the driver knows; where one of them is
    not known, PTX is refused: unknown is not compatible. ``cudnn`` is the version that comes with the wheel, where it
    is known. ``doubtful`` names code that is listed and perhaps of no use: it serves, with a warning. ``first_cuda`` is
    the first toolkit that knows the GPU, where that is known.
    """
    refused: list[str] = []
    lacks, listed = f"no code for {code_of(capability)}", (*sass, *ptx)
    exceptions = [each for each in rules.exceptions if each.holds(cuda, driver_cuda)]
    native = _best(sass, lambda code: _sass_runs(code, capability, exceptions, refused))
    fallback = _best(ptx, lambda code: _ptx_runs(code, capability, exceptions, refused))
    if native is None and fallback is None:
        note = f"{'; '.join(dict.fromkeys(refused))}; {platform}" if refused else ""
        return NoCode(what=lacks, codes=listed, note=note)
    if floor := _cudnn_refuses(capability, cudnn, rules):
        return NoCode(what=floor)
    if native is not None:
        return Support(support="native", by=native, warning=rules.doubt if native in doubtful else "")
    assert fallback is not None
    if problem := _libraries_lack(capability, cuda, first_cuda):
        return NoCode(what=lacks, codes=listed, note=f"PTX {fallback} alone does not do: {problem}")
    if problem := _ptx_too_new(cuda, driver_cuda):
        return NoCode(what=f"{lacks}, only PTX {fallback}: {problem}")
    warning = f"{fallback} is compiled for {code_of(capability)} by the driver at first use: the first start is slow"
    return Support(support="ptx", by=fallback, warning=warning)


def code_of(capability: ComputeCapability) -> str:
    """Name the machine code of a capability: 8.6 is ``sm_86``."""
    return f"sm_{capability.major}{capability.minor}"


def _best(texts: Sequence[str], runs: _Runs) -> str | None:
    """The newest code that runs; without suffix before with one, so that the answer does not depend on order."""
    found = [
        (code.major, code.minor, code.suffix == "", text) for text in texts if (code := Code.parse(text)) and runs(code)
    ]
    return max(found)[-1] if found else None


# "Binary code is compatible from one minor revision to the next one, but not from one minor revision to the previous
# one or across major revisions": CUDA C++ Programming Guide, Binary Compatibility; restated, with the suffixes, in
# research/torch-matrix.md, "Compatibility rules".
def _sass_runs(
    code: Code, capability: ComputeCapability, exceptions: Sequence[CodeException], refused: list[str]
) -> bool:
    for exception in exceptions:
        match exception.says(code, capability):
            case True:
                return True
            case False:
                if code.major == capability.major:
                    refused.append(exception.why)
                return False
            case None:
                pass
    # "f", family-specific, follows the line of code without suffix: same major, minor at least
    return code.is_of(capability) if code.suffix == "a" else code.is_of_family(capability)


# PTX of a virtual architecture is compiled by the driver for any device at least as new; suffixes bind as for machine
# code (CUDA C++ Programming Guide, PTX Compatibility). The embedded chips are excepted from it too: what keeps a server
# build off them is its toolchain and driver, not its instructions.
def _ptx_runs(
    code: Code, capability: ComputeCapability, exceptions: Sequence[CodeException], refused: list[str]
) -> bool:
    for exception in exceptions:
        if exception.says(code, capability) is False:
            if capability in exception.not_on:
                refused.append(exception.why)
                return False
            if code.suffix:
                return False
    if code.suffix:
        return code.is_of(capability) if code.suffix == "a" else code.is_of_family(capability)
    return (code.major, code.minor) <= capability


# "PTX made by a newer toolkit than the driver knows is refused": NVIDIA CUDA Compatibility, Minor Version
# Compatibility, limitations.
def _ptx_too_new(cuda: str | None, driver_cuda: str | None) -> str:
    if not cuda:
        return "the CUDA it was built with is not known, so that no driver can be said to take it"
    if driver_cuda is None:
        return "the CUDA that the driver knows could not be established"
    if compare_versions(driver_cuda, cuda) < 0:
        return f"made by CUDA {cuda}, and the driver knows CUDA {driver_cuda}"
    return ""


# The driver compiles the PTX of torch's own kernels, and of nothing else: cuBLAS and cuDNN come with the wheel, of its
# CUDA, and those of a toolkit that does not know an architecture have no code for it (docs/decisions.md).
def _libraries_lack(capability: ComputeCapability, cuda: str | None, first_cuda: str | None) -> str:
    if not first_cuda or not cuda or compare_versions(cuda, first_cuda) >= 0:
        return ""
    return f"the libraries of CUDA {cuda} do not know {code_of(capability)}, CUDA {first_cuda} is the first that does"


# cuDNN 9.11 dropped everything below 7.5: cuDNN release notes, as cited in pytorch/pytorch issue 162574.
def _cudnn_refuses(capability: ComputeCapability, cudnn: str | None, rules: CodeRules) -> str:
    for floor in rules.cudnn:
        if cudnn and capability < floor.capability and compare_versions(cudnn, floor.since) >= 0:
            return (
                f"{floor.library} {cudnn} of this wheel needs compute capability {floor.capability}, "
                f"from {floor.library} {floor.since} on"
            )
    return ""


def compare_versions(a: str, b: str) -> int:
    """Compare dotted numbers component by component; missing components count as zero. -1, 0 or 1.

    Versions of CUDA and, as NVIDIA numbers them, of drivers; never as decimal fractions.

    >>> compare_versions("12.9", "12.10"), compare_versions("570.26", "570.124.06")
    (-1, -1)
    >>> compare_versions("580.65.06", "580.65.6")
    0
    """
    pairs = zip_longest(_components(a), _components(b), fillvalue=0)
    return next(((left > right) - (left < right) for left, right in pairs if left != right), 0)


def newest(versions: Iterable[str]) -> str | None:
    """The highest of some dotted numbers; ``None`` of none."""
    return max(versions, key=cmp_to_key(compare_versions), default=None)


def is_dotted(text: str) -> bool:
    """Whether a text is dotted numbers, as :func:`compare_versions` takes them. Whoever reads one asks first.

    >>> is_dotted("570.124.06"), is_dotted("9.10."), is_dotted("١٢")
    (True, False, False)
    """
    return all(part.isascii() and part.isdecimal() and len(part) < 10 for part in text.split("."))


@lru_cache(maxsize=4096)  # the few versions of tables and page are compared tens of thousands of times a decision
def _components(text: str) -> tuple[int, ...]:
    parts = text.strip().split(".")
    if not all(part.isascii() and part.isdecimal() for part in parts):
        raise ValueError(f"not a dotted version number: {text!r}")
    return tuple(int(part) for part in parts)
