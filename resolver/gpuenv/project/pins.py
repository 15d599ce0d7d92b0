"""What a project has fixed, whatever tool wrote it down: packages with exact versions, and where each is stated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, Protocol

from packaging.markers import InvalidMarker, Marker, UndefinedComparison, UndefinedEnvironmentName

from gpuenv.dataclass import dataclass
from gpuenv.lock.model import filename_of
from gpuenv.project.requirements_file import FilePlace

Kind = Literal["uv", "gpuenv", "pylock", "requirements", "poetry", "pdm", "pixi", "conda", "environment"]

Environment = Mapping[str, str]
"""Values of a marker's variables on the machine that is asked about (PEP 508)."""

Relevant = Callable[[str], bool]
"""Whether a package of this normalized name can hold code for a GPU, or decides which such code is loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedFile:
    """A file that a lock allows for a package. ``url`` may be an address, a path or a bare file name."""

    url: str
    sha256: str = ""
    size: int | None = None
    name: str = ""
    """What the lock calls it, where its address does not end in its name."""

    @property
    def filename(self) -> str:
        """The file's own name."""
        return self.name or filename_of(self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One package as a project fixes it."""

    name: str
    """Normalized; of conda's packages too."""
    version: str
    """As written, perhaps with a local part; empty where the file leaves it open."""
    place: FilePlace
    stated: str = ""
    """What stands there, for one whose version is open."""
    index: str = ""
    """Address of the index that it comes from; empty where the file does not say."""
    wheels: tuple[PinnedFile, ...] = ()
    """The wheels that may be installed; empty where the file names none."""
    source: bool = False
    """Whether there is only source code to build: a repository, a folder, an archive."""
    conda: str = ""
    """The build of a conda package (``cuda129_mkl_py312_h…``); empty for a wheel."""
    extra_indexes: tuple[str, ...] = ()
    """Indexes whose rows count too, by pip's meaning: the highest version of all is taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PinSet:
    """What is installed together: by default (an empty ``name``), or with an extra, a group or an environment."""

    name: str
    pins: tuple[Pin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkerTarget:
    """The machine that is asked about, as far as it decides what a lock installs: markers, and conda's platform."""

    markers: Environment
    conda: str
    """``linux-64``, ``linux-aarch64``, ``win-64``, ``osx-arm64``, ``osx-64``."""


class Project(Protocol):
    """A file or folder that fixes packages, read."""

    @property
    def kind(self) -> Kind:
        """What wrote it."""
        ...

    @property
    def shown(self) -> str:
        """Its name, as a person gave it."""
        ...

    @property
    def requires_python(self) -> str:
        """The range of Pythons it is for (PEP 440); empty: any."""
        ...

    @property
    def count(self) -> int:
        """How many packages it fixes in all."""
        ...

    def refuses(self, target: MarkerTarget) -> str:
        """For which other machines it is locked, where it cannot be installed on this one; empty where it can."""
        ...

    @property
    def usual_index(self) -> str:
        """The index that most of its packages come from; empty where it names none."""
        ...

    def sets(self, target: MarkerTarget) -> tuple[PinSet, ...]:
        """What it installs on a machine: by default first, then what each extra, group or environment gives."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedPin:
    """A pin with the condition under which it is installed, as most locks write it."""

    pin: Pin
    marker: str = ""
    groups: frozenset[str] = frozenset()
    """The groups it belongs to; empty: it is always installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatProject:
    """A project whose pins carry their own conditions: every format but uv's and pixi's."""

    kind: Kind
    shown: str
    count: int
    pins: tuple[MarkedPin, ...]
    requires_python: str = ""
    default: frozenset[str] = frozenset()
    """Groups that are installed without being asked for."""
    extras: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    """Markers of the machines that it is locked for, of which one has to hold; empty: any."""
    usual_index: str = ""

    def refuses(self, target: MarkerTarget) -> str:
        """Its environments, where none of them is the machine."""
        return excluded(self.environments, target)

    def sets(self, target: MarkerTarget) -> tuple[PinSet, ...]:
        """By default, then with each extra and each group alone."""
        found = [PinSet(name="", pins=self._pins(target, extra="", group=""))]
        found += (PinSet(name=f"extra {each}", pins=self._pins(target, extra=each, group="")) for each in self.extras)
        others = (each for each in self.groups if each not in self.default)
        found += (PinSet(name=f"group {each}", pins=self._pins(target, extra="", group=each)) for each in others)
        return tuple(found)

    def _pins(self, target: MarkerTarget, *, extra: str, group: str) -> tuple[Pin, ...]:
        groups = self.default | ({group} if group else set())
        extras = frozenset({extra} if extra else ())
        return tuple(
            each.pin
            for each in self.pins
            if (not each.groups or each.groups & (groups | extras))
            and holds(each.marker, target.markers, extras=extras, groups=groups)
        )


def excluded(environments: Sequence[str], target: MarkerTarget) -> str:
    """The markers of a lock's environments as words, where none of them holds; empty where one does."""
    holding = not environments or any(holds(each, target.markers) for each in environments)
    return "" if holding else " or ".join(environments)


def holds(
    marker: str,
    environment: Environment,
    *,
    extras: Iterable[str] = (),
    groups: Iterable[str] = (),
) -> bool:
    """Whether a marker holds on a machine, with some extras and dependency groups.

    One that cannot be evaluated holds, as it does for uv. ``extra == "x"`` asks whether x is the one extra; PEP 751's
    ``"x" in extras`` and ``"x" in dependency_groups`` ask all of them.
    """
    if not marker:
        return True
    parsed = _marker(marker)
    if parsed is None:
        return True
    extras = tuple(extras)
    values: dict[str, str | frozenset[str]] = {
        **environment,
        "extra": extras[0] if extras else "",
        "extras": frozenset(extras),
        "dependency_groups": frozenset(groups),
    }
    try:
        return parsed.evaluate(values, context="lock_file")
    except (UndefinedComparison, UndefinedEnvironmentName, ValueError, KeyError, TypeError):
        return True


@lru_cache(maxsize=10_000)
def _marker(text: str) -> Marker | None:
    try:
        return Marker(text)
    except (InvalidMarker, RecursionError):
        return None


def most_usual(indexes: Iterable[str]) -> str:
    """The index that most packages come from, the first by name of several; empty where none is named."""
    counts: dict[str, int] = {}
    for each in indexes:
        if each:
            counts[each] = counts.get(each, 0) + 1
    return min(counts, key=lambda each: (-counts[each], each), default="")
