"""Whether a package with compiled code runs beside a torch: what loads, and which code serves each card."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import Knowledge
from gpuenv.knowledge.packages import choose_cuda, gpu_package
from gpuenv.knowledge.rules import NoCode, serve
from gpuenv.knowledge.torch_exports import TorchExports, load_exports
from gpuenv.model.library import LibraryFacts, PackageFacts
from gpuenv.model.machine import ComputeCapability

Load = Literal["loads", "missing-symbol", "other-cuda", "other-python", "unknown"]
CodeState = Literal["native", "ptx", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a package is put beside. Nothing in it is read from this machine."""

    torch: str
    """Its version: ``"2.15.0"``, with or without a local part."""
    cuda: str
    """The CUDA it is built with (``"13.2"``); empty for a CPU build."""
    python: str
    """``"3.12"``."""
    capabilities: tuple[ComputeCapability, ...] = ()
    driver_cuda: str | None = None
    """The newest CUDA that the driver knows; ``None``: not known, so that PTX is refused."""
    platform: str = "linux_x86_64"

    @property
    def cuda_major(self) -> int | None:
        return int(self.cuda.partition(".")[0]) if self.cuda else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardCode:
    """What a library with device code has for one card.

    ``by`` is the code that serves it, empty for none; ``detail`` says what is lacking or slow.
    """

    capability: ComputeCapability
    code: CodeState
    by: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryVerdict:
    """One library. ``cards`` is empty where it has no device code: it needs none, or another library has it."""

    library: LibraryFacts
    load: Load
    missing: tuple[str, ...] = ()
    """The symbols that this torch lacks; where ``load`` is ``unknown`` those that nobody can tell of."""
    cards: tuple[CardCode, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadVerdict:
    """All libraries that count. Vendored copies and libraries for another CUDA of several do not."""

    package: PackageFacts
    libraries: tuple[LibraryVerdict, ...]

    @property
    def load(self) -> Load:
        """``loads`` where every library does; else what stands in the way, what is certain first.

        A library for another Python beside others that load is no more than absent: sglang-kernel has one in a wheel
        for any Python.
        """
        found = {each.load for each in self.libraries} | ({"unknown"} if self.package.unread else set())
        if found - {"other-python"}:
            found.discard("other-python")
        order: tuple[Load, ...] = ("other-cuda", "missing-symbol", "other-python", "unknown")
        return next((load for load in order if load in found), "loads")

    @property
    def missing(self) -> tuple[str, ...]:
        """The missing symbols of all libraries, sorted."""
        return tuple(sorted({name for each in self.libraries for name in each.missing if each.load != "unknown"}))

    def code(self, capability: ComputeCapability) -> CodeState | None:
        """The best that a library which loads has for a card; ``None`` where none of them holds device code."""
        found = {
            card.code
            for each in self.libraries
            if each.load in ("loads", "unknown")
            for card in each.cards
            if card.capability == capability
        }
        order: tuple[CodeState, ...] = ("native", "ptx", "none")
        return next((code for code in order if code in found), None)

    def without(self, capability: ComputeCapability) -> tuple[str, ...]:
        """Paths of the libraries with device code that have none for a card."""
        return tuple(
            each.library.path
            for each in self.libraries
            if any(card.capability == capability and card.code == "none" for card in each.cards)
        )


def judge_package(
    package: PackageFacts,
    beside: Surroundings,
    *,
    knowledge: Knowledge,
    exports: TorchExports | None = None,
) -> LoadVerdict:
    """Say of each library that counts whether it loads beside a torch and what it has for each card."""
    known = exports or load_exports()
    row = gpu_package(package.project)
    own = row is not None and row.own
    chosen = chosen_libraries(package.own, row.library if row is not None else "", beside.cuda)
    return LoadVerdict(
        package=package,
        libraries=tuple(_judge(each, beside, known, knowledge, own_cuda=own) for each in chosen),
    )


def chosen_libraries(libraries: Sequence[LibraryFacts], pattern: str, cuda: str) -> tuple[LibraryFacts, ...]:
    """Of libraries that differ in nothing but the CUDA in their names the one that the package opens; all others stay.

    ``pattern`` is the table's for a package that picks one of several (``libbitsandbytes_cuda([0-9]+)``).
    """
    numbered = {each.path: found[1] for each in libraries if pattern and (found := re.search(pattern, each.name))}
    if not numbered:
        return tuple(libraries)
    versions = {number: f"{number[:2]}.{number[2:]}" for number in numbered.values()}
    picked = choose_cuda(sorted(versions.values()), cuda)
    return tuple(each for each in libraries if each.path not in numbered or versions[numbered[each.path]] == picked)


def _judge(
    library: LibraryFacts, beside: Surroundings, exports: TorchExports, knowledge: Knowledge, *, own_cuda: bool
) -> LibraryVerdict:
    load, missing = _load(library, beside, exports, own_cuda=own_cuda)
    cards = tuple(_card(library, each, beside, knowledge) for each in beside.capabilities)
    return LibraryVerdict(library=library, load=load, missing=missing, cards=cards if library.has_device_code else ())


def _load(
    library: LibraryFacts, beside: Surroundings, exports: TorchExports, *, own_cuda: bool
) -> tuple[Load, tuple[str, ...]]:
    if library.python.startswith("cpython-") and library.python != f"cpython-{beside.python.replace('.', '')}":
        return "other-python", ()
    if not own_cuda and library.cuda_major not in (None, beside.cuda_major):
        return "other-cuda", ()
    missing = exports.missing(library.torch_symbols, beside.torch)
    if missing:
        return "missing-symbol", missing
    unknown = exports.unknown(library.torch_symbols, beside.torch)
    return ("unknown", unknown) if unknown else ("loads", ())


def _card(library: LibraryFacts, capability: ComputeCapability, beside: Surroundings, knowledge: Knowledge) -> CardCode:
    answer = serve(
        capability,
        sass=library.sass,
        ptx=library.ptx,
        cuda=library.ptx_cuda or beside.cuda,
        driver_cuda=beside.driver_cuda,
        platform=beside.platform,
        rules=knowledge.code_rules,
    )
    if isinstance(answer, NoCode):
        return CardCode(capability=capability, code="none", detail=answer.detail)
    return CardCode(capability=capability, code=answer.support, by=answer.by, detail=answer.warning)
