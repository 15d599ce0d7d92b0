"""When what was asked for together was never there: which constraint excludes which, and what there is instead."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from gpuenv.errors import nearest
from gpuenv.knowledge import Knowledge
from gpuenv.select.candidates import CatalogEntry, nightly_day, public_version
from gpuenv.select.conflict import Conflict, Part
from gpuenv.select.rules import Problem
from gpuenv.select.words import join

_SHOWN = 6


def qualified(problem: Problem, parts: Iterable[Part]) -> str:
    """What was asked for, as it stands behind "wheel": `` of torch 2.7.1 in cu128 for Python 3.13``."""
    texts = {
        "version": f" of {version_words(problem)}",
        "variant": f" in {problem.variant}",
        "python": f" for Python {_or(problem.target.pythons)}",
        "channel": f" in the {problem.channel} channel",
        "too-new": f" as old as {problem.request.exclude_newer}",
        "yanked": " that was not yanked",
        "hash": " with a sha256",
    }
    return "".join(text for part, text in texts.items() if part in set(parts))


def version_words(problem: Problem) -> str:
    """The versions of torch that were asked for: ``torch 2.7.1``, ``torch>=2.8,<2.10``."""
    asked = [each for each in problem.constraints.versions["torch"] if str(each)]
    exact = {each for specifiers in asked if (each := exactly(specifiers))}
    if len(exact) == 1 and all(map(exactly, asked)):
        return f"torch {exact.pop()}"
    return join([f"torch{each}" for each in asked]) or "torch"


def exactly(specifiers: SpecifierSet) -> str | None:
    """The one version that a set of specifiers names, ``None`` where it leaves a choice."""
    found = list(specifiers)
    one = len(found) == 1 and found[0].operator in ("==", "===") and not found[0].version.endswith(".*")
    return found[0].version if one else None


def summary(problem: Problem, conflict: Conflict) -> str:
    """One sentence: which of the constraints exclude each other, or which is met by nothing."""
    parts, where = conflict.parts, problem.target.words
    bare = parts - {"channel"}
    if bare == {"variant", "version"} and never_built(problem, conflict):
        return f"{version_words(problem)} was never built for {problem.variant} on {where}"
    if bare == {"version"} and (unknown := _no_release(problem)):
        return unknown
    if parts == {"python"}:
        return f"no torch wheel is for Python {_or(problem.target.pythons)}"
    if parts == {"variant"}:
        return f"no {problem.variant} build of torch is offered for {where}"
    return f"no wheel{qualified(problem, parts) or ' of torch'} is offered for {where}"


def misnamed(problem: Problem) -> bool:
    """Whether the variant that was asked for is none: no CUDA version by its name."""
    return problem.variant is not None and problem.knowledge.cuda_of(problem.variant) is None


def nearest_variant(knowledge: Knowledge, text: str) -> str | None:
    """The variant that is meant by ``cuda12.8``, ``12.8``, ``CU128`` or ``cu12``; ``None`` where none is alike."""
    known = sorted({variant for _, variant, _ in knowledge.kernels if knowledge.cuda_of(variant)}, reverse=True)
    digits = re.sub(r"\D", "", text)
    spelled = [name for name in known if digits and name.startswith(f"cu{digits}")]
    exact = [name for name in spelled if name == f"cu{digits}"]
    return next(iter([*exact, *spelled, *nearest(text.lower(), known)]), None)


def never_built(problem: Problem, conflict: Conflict) -> bool:
    """Whether the tables know every release that was asked for, and that none came in this variant here."""
    versions = {str(public_version(row.entry.wheel.version)) for row in conflict.meeting(frozenset({"version"}))}
    rows = [problem.knowledge.releases.get(version) for version in versions]
    return bool(rows) and all(
        row is not None and problem.variant not in dict(row.variants).get(problem.platform, ()) for row in rows
    )


def _no_release(problem: Problem) -> str:
    """Say of a single version that there is no such release; empty where the tables know it, or cannot know it."""
    asked = [exactly(each) for each in problem.constraints.versions["torch"] if str(each)]
    version = Version(asked[0]) if len(asked) == 1 and asked[0] else None
    if version is None or version.is_prerelease or version.local:
        return ""
    known = [Version(each) for each in problem.knowledge.releases]
    if version in known or version > max(known) or version < min(known):
        return ""
    return f"there is no torch {version}"


def causes(problem: Problem, conflict: Conflict) -> tuple[str, ...]:
    """What there is where one of the constraints is left out, for each of them."""
    found = []
    for part in sorted(conflict.parts):
        rest = conflict.parts - {part}
        entries = [row.entry for row in conflict.meeting(rest)]
        if text := _instead(problem, part, rest, entries):
            found.append(text)
    return tuple(found)


def _instead(problem: Problem, part: Part, rest: frozenset[Part], entries: Sequence[CatalogEntry]) -> str:
    subject = subject_of(problem, rest)
    match part:
        case "variant":
            values = _variants(problem, entries)
            return f"{subject} is there in {join(values)}" if values else ""
        case "version":
            return _versions(problem, subject, entries)
        case "python":
            pythons = _pythons(entries)
            there = "there are wheels" if subject == "torch" else f"{subject} is there"
            return f"{there} for Python {join(pythons)}" if pythons else ""
        case "channel":
            channels = sorted({entry.wheel.channel for entry in entries})
            return f"{subject} is there in the {join(channels)} channel" if channels else ""
        case "too-new":
            return _dates(subject, entries)
        case _:
            return ""


def subject_of(problem: Problem, parts: frozenset[Part]) -> str:
    """What was asked for as a subject: ``torch 2.7.1 in cu128``."""
    head = version_words(problem) if "version" in parts else "torch"
    return head + qualified(problem, parts - {"version"})


def _variants(problem: Problem, entries: Sequence[CatalogEntry]) -> list[str]:
    """Variants by name, oldest CUDA first. A page lists builds for other makers' cards beside them."""
    names = {entry.variant for entry in entries if entry.variant}
    return sorted(names, key=lambda name: (Version(problem.knowledge.cuda_of(name) or "0"), name))


def _versions(problem: Problem, subject: str, entries: Sequence[CatalogEntry]) -> str:
    releases = {public_version(entry.wheel.version) for entry in entries if nightly_day(entry.wheel.version) is None}
    nightlies = {public_version(entry.wheel.version) for entry in entries if nightly_day(entry.wheel.version)}
    values = sorted(releases or nightlies)
    if not values:
        return ""
    asked = [exactly(each) for each in problem.constraints.versions["torch"] if str(each)]
    if len(asked) == 1 and asked[0]:
        at = public_version(asked[0])
        below, above = [each for each in values if each < at][-1:], [each for each in values if each > at][:1]
        near = [str(each) for each in (*below, *above)]
        if at not in values and len(values) > _SHOWN:
            return f"the nearest that {_is(near)} there{_behind(subject)}: {join(near)}"
    if len(values) <= _SHOWN:
        return f"{subject} is there in version {join(list(map(str, values)))}"
    return f"{subject} is there in versions from {values[0]} to {values[-1]}"


def _behind(subject: str) -> str:
    return subject.removeprefix("torch")


def _is(values: Sequence[str]) -> str:
    return "is" if len(values) == 1 else "are"


def _pythons(entries: Sequence[CatalogEntry]) -> list[str]:
    found = {(minor, "t" if entry.tags.abi.endswith("t") else "") for entry in entries for minor in minors(entry)}
    return [f"3.{minor}{threads}" for minor, threads in sorted(found)]


def minors(entry: CatalogEntry) -> list[int]:
    """The CPython versions that a wheel is for, by the number after "3."."""
    tags = entry.tags.python.split(".")
    return [int(found[1]) for tag in tags if (found := re.fullmatch(r"cp3(\d{1,3})", tag, re.ASCII))]


def _dates(subject: str, entries: Sequence[CatalogEntry]) -> str:
    day: Callable[[CatalogEntry], str] = lambda entry: nightly_day(entry.wheel.version) or ""  # noqa: E731
    stamps = [stamp for entry in entries if (stamp := entry.wheel.upload_time or _dashed(day(entry)))]
    if not stamps:
        return f"the index gives no upload time of {subject}" if entries else ""
    if subject.startswith("torch "):
        return f"by the index, {subject} is of {min(stamps)[:10]}"
    return f"by the index, the oldest{_behind(subject)} is of {min(stamps)[:10]}"


def _dashed(day: str) -> str:
    return f"{day[:4]}-{day[4:6]}-{day[6:]}" if day else ""


def _or(values: Sequence[str]) -> str:
    return f"{', '.join(values[:-1])} or {values[-1]}" if len(values) > 1 else "".join(values)
