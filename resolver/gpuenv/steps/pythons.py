"""The Python versions that a decision is made among."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gpuenv.errors import InterpreterError, UsageError
from gpuenv.model.profile import Profile
from gpuenv.steps.context import Context
from gpuenv.steps.machine import TargetMachine
from gpuenv.steps.project import allows, asked_of

if TYPE_CHECKING:  # a decision for a Python that is named starts nothing
    from gpuenv.environment.interpreters import Interpreter
    from gpuenv.environment.uv import Uv

PREFERRED_PYTHONS = ("3.12", "3.13", "3.11", "3.14", "3.10", "3.15", "3.9", "3.8")
"""For a machine that is not this one: the version most of the ecosystem has wheels for, then its neighbours."""


def pythons(context: Context, *, profile: Profile, machine: TargetMachine) -> tuple[str, ...]:
    """List the Python versions to decide among, best first: installed ones here, the usual ones for elsewhere."""
    from packaging.specifiers import SpecifierSet

    asked = asked_of(context)
    if (named := context.options.python) is not None:
        if (refused := allows(asked, named)) is not None:
            raise UsageError(
                f"--python {named}: {refused.place} requires Python {refused.text}",
                hints=("Name a Python that it takes, or leave the project out: `--no-project`",),
            )
        return (named,)
    wanted = SpecifierSet(profile.python or "")
    if not machine.here:
        usual = (version for version in PREFERRED_PYTHONS if wanted.contains(version))
        return tuple(version for version in usual if allows(asked, version) is None)
    from gpuenv.environment.interpreters import running_interpreter

    own = running_interpreter().minor
    for downloads in (False, True):
        minors = dict.fromkeys([own, *(each.minor for each in interpreters_of(context, downloads=downloads))])
        fitting = tuple(minor for minor in minors if wanted.contains(minor) and allows(asked, minor) is None)
        if fitting:
            return fitting
    needs = [f"profile {profile.name} needs Python {profile.python}"] if profile.python else []
    needs += [f"{each.place} requires Python {each.text}" for each in asked.pythons]
    raise InterpreterError(
        f"{' and '.join(needs)}, and no such interpreter is installed",
        hints=("Install one, for example with `uv python install`, or change what asks for it",),
    )


def other_pythons(context: Context, *, profile: Profile, machine: TargetMachine) -> tuple[str, ...]:
    """List the versions that could be had for the asking (``--python``): those at hand first, the nearest to the one
    that was asked for first among them."""
    unasked = replace(context, options=replace(context.options, python=None))
    try:
        here = pythons(unasked, profile=replace(profile, python=None), machine=machine)
    except InterpreterError:
        here = ()
    asked = context.options.python
    first, then = here if machine.here else (), (*here, *PREFERRED_PYTHONS)
    return tuple(dict.fromkeys((*nearest_first(first, asked), *nearest_first(then, asked))))


def nearest_first(versions: Sequence[str], asked: str | None) -> tuple[str, ...]:
    """Versions by their distance from the one that was asked for; as they are where none was.

    >>> nearest_first(("3.12", "3.14", "3.10"), "3.15")
    ('3.14', '3.12', '3.10')
    """
    if asked is None:
        return tuple(versions)
    wanted = _minor(asked)
    return tuple(sorted(versions, key=lambda version: abs(_minor(version) - wanted)))


def _minor(version: str) -> int:
    return int(version.removesuffix("t").partition(".")[2])


def uv_of(context: Context) -> Uv:
    """The uv that was named, else the one beside gpuenv, else the one on PATH.

    It is asked for its version where that is not known from an earlier run, or with ``--refresh``.
    """
    return context.run.once(lambda: _uv(context), by=uv_of, key=None)


def _uv(context: Context) -> Uv:
    from gpuenv.environment.known import KnownVersions
    from gpuenv.environment.uv import find_uv

    versions = None if context.refresh else KnownVersions(context.cache / "wheels" / "uv.json")
    return find_uv(context.environ, explicit=context.uv, versions=versions)


def interpreters_of(context: Context, *, downloads: bool) -> tuple[Interpreter, ...]:
    """The interpreters that are installed, with ``downloads`` those that uv could fetch too.

    uv is asked where they are not known from an earlier run, or with ``--refresh``.
    """
    return context.run.once(lambda: _interpreters(context, downloads=downloads), by=interpreters_of, key=downloads)


def _interpreters(context: Context, *, downloads: bool) -> tuple[Interpreter, ...]:
    from gpuenv.environment.interpreters import find_interpreters, with_running
    from gpuenv.environment.known import KnownInterpreters
    from gpuenv.environment.uv import base_environment, first_program

    uv = first_program(context.environ, explicit=context.uv)
    place = context.cache / "wheels" / "pythons.json"
    memory = KnownInterpreters(place, uv=uv, environ=base_environment(context.environ))
    known = None if downloads or context.refresh else memory.get()
    if known is not None:
        return with_running(known)
    found = find_interpreters(uv_of(context), cwd=context.project, reporter=context.reporter, downloads=downloads)
    if not downloads:
        memory.put(found)
    return found
