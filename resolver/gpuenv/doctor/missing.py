"""Libraries that an environment's packages need of Windows and that it does not have; pure over an examination."""

from __future__ import annotations

from collections.abc import Iterator

from gpuenv.doctor.examination import Examination
from gpuenv.doctor.finding import UNNAMED, Finding
from gpuenv.installed.missing import MissingLibrary


def diagnose_missing(examination: Examination, *, fix: str) -> Iterator[Finding]:
    """One finding for each thing that brings some of them. ``fix`` builds the environment again."""
    groups: dict[tuple[str, str], list[MissingLibrary]] = {}
    for each in examination.missing:
        groups.setdefault((each.brings, each.hint), []).append(each)
    for (_, hint), found in groups.items():
        names = ", ".join(each.name for each in found)
        verb = "is" if len(found) == 1 else "are"
        yield Finding(
            subject="libraries",
            severity="error",
            kind="system-library-missing",
            summary=f"{names} {verb} not on this system, and {found[0].wanted_by} does not load without (WinError 126)",
            detail="; ".join(map(str, found)),
            fix=f"Install what is missing: `{hint}`"
            if hint
            else f"Install what brings {names}, or lock another torch and build again: `{fix}`",
            by="yourself",
            check=UNNAMED,
        )
