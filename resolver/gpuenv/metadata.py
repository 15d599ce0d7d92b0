"""Reads the versions, ranges and requirements that others wrote: ``None`` where one cannot be used.

``packaging`` refuses what no standard knows with an error a kind. A number of more digits than Python reads, and a
marker that compares what cannot be compared, it takes, and fails with them later, on some machine.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

_TOO_LONG = re.compile(r"\d{1000}")


@lru_cache(maxsize=50_000)
def parse_version(text: str) -> Version | None:
    """Read a version (PEP 440); ``None`` for what is none.

    >>> parse_version("2.10.0+cu128"), parse_version("latest")
    (<Version('2.10.0+cu128')>, None)
    """
    try:
        return None if _TOO_LONG.search(text) else Version(text)
    except InvalidVersion:
        return None


@lru_cache(maxsize=1024)
def parse_range(text: str) -> SpecifierSet | None:
    """Read a range of versions (PEP 440), such as Requires-Python; ``None`` for what is none.

    >>> parse_range(">=3.")
    """
    try:
        return None if _TOO_LONG.search(text) else SpecifierSet(text)
    except InvalidSpecifier:
        return None


def parse_requirement(text: str) -> Requirement | None:
    """Read a requirement; ``None`` where the metadata of an old wheel writes it in a way PEP 508 does not know."""
    try:
        return None if _TOO_LONG.search(text) else Requirement(text)
    except InvalidRequirement:
        return None


def applies(requirement: Requirement, environment: Mapping[str, str]) -> bool:
    """Whether a requirement counts where markers have these values.

    One whose marker cannot be evaluated (``os_name ~= "x"``) counts, as it does for uv.
    """
    try:
        return requirement.marker is None or requirement.marker.evaluate(dict(environment))
    except (ValueError, KeyError):  # UndefinedComparison, UndefinedEnvironmentName
        return True
