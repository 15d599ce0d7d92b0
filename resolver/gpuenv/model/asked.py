"""What a person's project asks for beside the profile: requirements, each with the place where it was written."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.net.location import Location, redact

Role = Literal["requirement", "constraint", "override"]
"""``constraint``: counts for a package that something else needs (``-c``, ``constraint-dependencies``). ``override``:
takes the place of what packages say of theirs (``override-dependencies``)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """One requirement as it was written. ``text`` is PEP 508; ``place`` is ``requirements.txt:3``, or the option."""

    text: str
    place: str
    role: Role = "requirement"
    hashes: tuple[str, ...] = ()
    """sha256 that its file has to have, where the line names any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedBuild:
    """A build of torch that an index line or a source of a project names: ``cu118`` or ``cpu``."""

    variant: str
    place: str
    text: str
    """The address, or the source's table, as it may be shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedSource:
    """An index or a page of links that a project names for packages outside the family; ``packages`` are those that
    come from it and nowhere else, empty where it serves any."""

    address: Location
    place: str
    packages: tuple[str, ...] = ()
    links: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """All that was read of a project. Empty where there is none, or where it asks for nothing."""

    stated: tuple[Stated, ...] = ()
    pythons: tuple[Stated, ...] = ()
    """``requires-python`` of each file that has one: ``text`` is the range."""
    builds: tuple[NamedBuild, ...] = ()
    sources: tuple[NamedSource, ...] = ()
    files: tuple[str, ...] = ()
    """What was taken, as a person is told: ``pyproject.toml: 4 requirements, group train``."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""
    recorded: tuple[str, ...] = ()
    """What a lock records of it: everything that shapes a lock, no place, sorted; what ``--relax`` gives up as it
    stands in the files. Made where none is given."""

    def __post_init__(self) -> None:
        named = (f"{each.address} {' '.join(each.packages)}".strip() for each in self.sources)
        texts = ((each.role, redact(each.text)) for each in self.stated)
        lines = {
            *(text if role == "requirement" else f"{role}: {text}" for role, text in texts),
            *(f"python: {each.text}" for each in self.pythons),
            *(f"build: {each.variant}" for each in self.builds),
            *(f"source: {each}" for each in named),
        }
        object.__setattr__(self, "recorded", self.recorded or tuple(sorted(lines)))

    def texts(self, role: Role) -> tuple[str, ...]:
        """The requirements of one role, each once, sorted: no order of lines or files changes a lock."""
        return tuple(sorted({each.text for each in self.stated if each.role == role}))


def together(parts: Iterable[Asked]) -> Asked:
    """Join what several files and options ask for, in their order."""
    found = tuple(parts)
    return Asked(
        stated=tuple(row for each in found for row in each.stated),
        pythons=tuple(row for each in found for row in each.pythons),
        builds=tuple(row for each in found for row in each.builds),
        sources=tuple(row for each in found for row in each.sources),
        files=tuple(row for each in found for row in each.files),
        notes=tuple(row for each in found for row in each.notes),
    )
