"""Where wheels of companions stand beside the package index, and which of several packages is for which card."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import product
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import files
from gpuenv.knowledge.names import local
from gpuenv.knowledge.rules import compare_versions

_ABI = re.compile(r"cxx11abi(true|false)", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class CompanionPage:
    """A page or an index that has wheels of a project for one torch and one build of it."""

    kind: Literal["links", "index"]
    url: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasedFile:
    """A wheel that a release is known to offer, and that no page lists."""

    version: str
    url: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ByCard:
    """A project whose code stands in one package for each card. ``packages`` are (name, architecture)."""

    packages: tuple[tuple[str, str], ...]
    since: str
    source: str


def pages_of(project: str, *, torch: str, variant: str) -> tuple[CompanionPage, ...]:
    """The pages that may have a project for a torch, ``{torch}`` and ``{variant}`` filled in.

    A package for one card stands where the project does that it belongs to.
    """
    names = {project} | {shim for shim in _by_card() if any(name == project for name, _ in _by_card()[shim].packages)}
    return tuple(
        CompanionPage(kind=row["kind"], url=_address(row, torch=torch, variant=variant), source=row["source"])
        for row in files.read("companion_sets")["pages"]
        if names & set(row["projects"])
    )


def has_pages(project: str) -> bool:
    """Whether wheels of a project stand anywhere beside the package index."""
    return any(project in row["projects"] for row in files.read("companion_sets")["pages"])


def released_files(project: str) -> tuple[ReleasedFile, ...]:
    """The wheels that releases of a project are known to offer."""
    return tuple(
        each for row in files.read("companion_sets")["releases"] if row["project"] == project for each in _files(row)
    )


def _files(row: files.Table) -> Iterator[ReleasedFile]:
    for made in row["rows"]:
        for torch, cuda, python, platform in product(made["torch"], made["cuda"], made["python"], made["platform"]):
            version, abi = made["version"], made["abi"]
            url = _address(row, version=version, cuda=cuda, torch=torch, abi=abi, python=python, platform=platform)
            full = f"{version}+cu{cuda}torch{torch}cxx11abi{abi}"
            yield ReleasedFile(version=full, url=url.replace("+", "%2B"), source=row["source"])


def _address(row: files.Table, **values: str) -> str:
    return f"https://{row['url'].format(**values)}"


def by_card(project: str) -> ByCard | None:
    """The packages for each card that belong to a project; ``None`` for one that has none."""
    return _by_card().get(project)


@cache
def _by_card() -> dict[str, ByCard]:
    return {
        row["project"]: ByCard(
            packages=tuple((f"{row['project']}-{code}", code.replace("sm", "sm_", 1)) for code in row["codes"]),
            since=row["since"],
            source=row["source"],
        )
        for row in files.read("companion_sets")["by_card"]
    }


def works_without_code(project: str) -> bool:
    """Whether a package is of use on a card that it has no compiled code for."""
    return any(row["project"] == project for row in files.read("companion_sets")["works_without"])


def other_abi(version: str, torch: str) -> bool:
    """Whether a local part names the C++ ABI that this torch on Linux is not built with; false where none is named.

    >>> other_abi("2.8+cu12torch2.9cxx11abifalse", "2.9.1"), other_abi("2.8+cu12torch2.9cxx11abiTRUE", "2.9.1")
    (True, False)
    """
    named = _ABI.search(local(version))
    if named is None:
        return False
    newer = compare_versions(torch, files.read("companion_sets")["abi"]["newer_since"]) >= 0
    return newer and named[1].lower() == "false"
