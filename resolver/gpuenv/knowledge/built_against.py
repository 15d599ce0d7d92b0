"""What a torch was compiled against without requiring it, as ranges for what is installed beside it."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.specifiers import SpecifierSet

from gpuenv.knowledge import files
from gpuenv.model.machine import Os


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltAgainst:
    """``range`` is what goes with that torch, ``what`` the release in words, ``fails`` what does with another one."""

    project: str
    range: str
    what: str
    fails: str

    @property
    def requirement(self) -> str:
        """What goes with that torch, as a requirement (``"numpy<2"``)."""
        return f"{self.project}{self.range}"

    def goes_with(self, version: str) -> bool:
        """Whether a version of the project is one that torch was compiled for."""
        return SpecifierSet(self.range).contains(version, prereleases=True)


def built_against(torch: str, os: Os) -> tuple[BuiltAgainst, ...]:
    """The packages that a release of torch needs older than it says, on a system; none for most.

    >>> [each.requirement for each in built_against("2.2.2", "macos")]
    ['numpy<2']
    >>> built_against("2.2.2+cpu", "linux") == built_against("2.4.0", "windows") != built_against("2.4.0", "linux")
    True
    """
    return tuple(
        BuiltAgainst(**{name: row[name] for name in ("project", "range", "what", "fails")})
        for row in files.read("built_against")["rows"]
        if os in row["os"] and SpecifierSet(row["torch"]).contains(torch, prereleases=True)
    )
