"""The order of preference among torch wheels: one sort key, every element documented, total."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from packaging.version import Version

from gpuenv.select.candidates import CatalogEntry, public_version
from gpuenv.select.kernels import Served, Unknown
from gpuenv.select.rules import Problem, check_driver

_SOURCES = ("pytorch", "mirror", "find-links", "package-index")


class Rank(NamedTuple):
    """Smaller is better; elements compare from the first on (docs/architecture.md, order of preference)."""

    support: int
    """0: machine code for every GPU. 1: PTX for at least one. 2: unknown, insisted on."""
    channel: int
    """0: stable, 1: nightly. Where a channel was asked for, only that one is left."""
    age: int
    """Place of the torch release among those offered, newest first. A variant never comes before it: an index that
    stops with one variant must not keep torch back."""
    doubt: int
    """1: the machine code is listed, and perhaps of no use (an old GPU beside a new cuDNN)."""
    compatibility: int
    """0: the driver knows the variant's own CUDA. 1: minor-version compatibility carries it."""
    cuda: tuple[int, ...]
    """CUDA of the variant. Among those the driver knows, the newest first (negated). Among those it does not know, the
    oldest first: the nearest to the driver leaves the least to what minor-version compatibility excludes."""
    python: int
    """Place of the interpreter in the request."""
    source: int
    """PyTorch's index, a mirror, a folder, the default package index."""
    build: tuple[int, str]
    """Build tag, newest first (negated number; PEP 427)."""
    platform: tuple[int, ...]
    """A checked manylinux tag before a plain one, the newest first (negated characters)."""
    url: str
    """The total tie-break: the identity of a wheel."""


class Ages:
    """Places of releases, newest first, among the candidates."""

    def __init__(self, entries: Sequence[CatalogEntry]) -> None:
        versions = sorted({public_version(entry.wheel.version) for entry in entries}, reverse=True)
        self._places: dict[Version, int] = {version: place for place, version in enumerate(versions)}

    def of(self, entry: CatalogEntry) -> int:
        """The place of a wheel's release."""
        return self._places[public_version(entry.wheel.version)]


def rank(problem: Problem, outcome: Served | Unknown, ages: Ages) -> Rank:
    """The sort key of a torch wheel. One that was not read yet is ranked by the best it can turn out to be."""
    entry = outcome.entry
    cuda = problem.knowledge.cuda_of(entry.variant) if entry.variant else None
    full = True if entry.variant is None or problem.cpu else check_driver(problem, entry.variant).full
    return Rank(
        support=_support(outcome),
        channel=int(entry.wheel.channel == "nightly"),
        age=ages.of(entry),
        doubt=int(isinstance(outcome, Served) and outcome.doubtful),
        compatibility=int(not full),
        cuda=tuple((-int(part) if full else int(part)) for part in cuda.split(".")) if cuda else (),
        python=problem.target.pythons.index(entry.pythons[0]),
        source=_SOURCES.index(entry.wheel.source),
        build=(-entry.build_tag[0], entry.build_tag[1]),
        platform=tuple(-ord(each) for each in _padded(entry.tags.platform)),
        url=entry.wheel.url,
    )


def _support(outcome: Served | Unknown) -> int:
    match outcome:
        case Unknown():
            return 0
        case Served(gpus=gpus) if any(gpu.by == "unknown" for gpu in gpus):
            return 2
        case Served(native=native):
            return 0 if native else 1


def _padded(tag: str) -> str:
    """A platform tag that sorts by number: ``manylinux_2_28`` above ``manylinux_2_5`` above ``linux``."""
    return "_".join(part.zfill(4) if part.isdecimal() else part for part in tag.split("_"))
