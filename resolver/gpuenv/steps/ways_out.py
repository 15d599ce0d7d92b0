"""What there is instead where no set of versions meets what was asked for: each bound given up alone, and tried."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gpuenv import knowledge as tables
from gpuenv.dataclass import dataclass
from gpuenv.errors import GpuenvError, NoSolutionError
from gpuenv.lock.model import Lock
from gpuenv.model.asked import Stated
from gpuenv.model.profile import Profile
from gpuenv.report import Silent
from gpuenv.steps.advice import retyped
from gpuenv.steps.context import Context, Options
from gpuenv.steps.machine import TargetMachine
from gpuenv.steps.project import asked_of
from gpuenv.steps.pythons import other_pythons
from gpuenv.steps.source_hints import source_hints

MOST_TRIED = 8
"""Resolutions for the sake of advice; a few uv runs each."""
MOST_SAID = 2

Again = Callable[[Context], Lock]
"""Locks with other options; raises what a lock raises."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WayOut:
    """One bound given up: how it was put, the options without it, and what is typed for that."""

    said: str
    options: Options
    option: str
    values: tuple[str, ...] = ()


def with_ways_out(
    context: Context, error: NoSolutionError, *, profile: Profile, machine: TargetMachine, again: Again
) -> NoSolutionError:
    """The error with the places of what stands in the way, and with each change that was tried and gives an answer."""
    places = tuple(f"{row.place} asks for {row.text}" for row in _bounds(context, error.blamed))
    hints: list[str] = []
    for way in list(ways(context, error.blamed, profile=profile, machine=machine))[:MOST_TRIED]:
        silent = replace(context, reporter=Silent(), options=way.options)
        try:
            lock = again(silent)
        except GpuenvError:
            continue
        hints.append(_hint(context, way, lock, error.blamed, profile))
        if len(hints) == MOST_SAID:
            break
    if machine.here:
        asked = (*profile.packages, *(row.text for row in asked_of(context).stated))
        hints += source_hints(context, error.wheelless, asked, profile=profile.name, python=context.options.python)
    return NoSolutionError(
        error.message, causes=(*places, *error.causes), hints=(*hints, *error.hints), blamed=error.blamed
    )


def _hint(context: Context, way: WayOut, lock: Lock, blamed: Sequence[str], profile: Profile) -> str:
    versions = {name: package.version for name, package in lock.by_name.items()}
    named = [*(canonicalize_name(each) for each in blamed), "torch"]
    gives = " and ".join(f"{name} {versions[name]}" for name in dict.fromkeys(named) if name in versions)
    values = way.values or ((f"=={lock.decision.torch}",) if way.option == "torch" else (lock.decision.variant,))
    command = retyped(context.words, {way.option: values}, profile=profile.name)
    return f"{way.said[0].upper()}{way.said[1:]}, {gives} go together: `{command}`"


def ways(context: Context, blamed: Sequence[str], *, profile: Profile, machine: TargetMachine) -> Iterator[WayOut]:
    """The bounds that may be given up, those of what stands in the way first."""
    options, family = context.options, tables.load().family
    seen: set[str] = set()
    for row in _bounds(context, blamed):
        named = canonicalize_name(Requirement(row.text).name)
        name = "torch" if named in family else str(named)
        if name not in seen:
            seen.add(name)
            relax = (*options.relax, name)
            said = f"without {row.text} ({row.place})"
            yield WayOut(said=said, options=replace(options, relax=relax), option="relax", values=relax)
    if options.torch is not None:
        yield WayOut(said=f"without --torch {options.torch}", options=replace(options, torch=None), option="torch")
    if options.variant is not None:
        said = f"without --variant {options.variant}"
        yield WayOut(said=said, options=replace(options, variant=None), option="variant")
    for python in other_pythons(context, profile=profile, machine=machine):
        if python != options.python:
            said = f"with Python {python}"
            yield WayOut(said=said, options=replace(options, python=python), option="python", values=(python,))


def _bounds(context: Context, blamed: Sequence[str]) -> list[Stated]:
    """The lines of the project that bound a version of what stands in the way, or of torch's family."""
    names = {canonicalize_name(each) for each in blamed} | tables.load().family
    rows = [(row, Requirement(row.text)) for row in asked_of(context).stated]
    found = [row for row, named in rows if canonicalize_name(named.name) in names and str(named.specifier)]
    return sorted(found, key=lambda row: canonicalize_name(Requirement(row.text).name) in tables.load().family)
