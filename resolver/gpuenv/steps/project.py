"""What the project that a command works in asks for, read once a run, and what of it counts for a decision."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gpuenv import knowledge as tables
from gpuenv.errors import UsageError
from gpuenv.lock.recorded import is_library, without_bound
from gpuenv.metadata import applies, parse_range, parse_requirement
from gpuenv.model.asked import Asked, NamedBuild, Stated, together
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile
from gpuenv.project import lines
from gpuenv.select.request import wants_cpu
from gpuenv.select.stated import refused_build
from gpuenv.steps.context import Context
from gpuenv.steps.machine import TargetMachine, detect_or_read, in_scope
from gpuenv.steps.profile import bare_request
from gpuenv.system.files import present, read_text

LARGEST = 4 << 20
"""Bytes of the largest file of requirements that is read."""

_PYPROJECT = "pyproject.toml"
_MOST_PATCHES = 40


def asked_of(context: Context) -> Asked:
    """Read what the project, the files of ``-r`` and ``--with`` ask for, with what ``--relax`` gives up applied."""
    options = context.options
    key = (
        options.machine, options.python, options.requirements, options.with_requirements, options.extras,
        options.groups, options.no_project, options.relax, options.install_project,
    )  # fmt: skip
    return context.run.once(lambda: _relaxed(_read(context), options.relax), by=asked_of, key=key)


def read_again(context: Context) -> Asked:
    """What the files ask for now, after they were written; nothing given up."""
    return _read(context)


def say_project(context: Context) -> None:
    """Say which files requirements were taken from, and what of them was left out."""
    asked, options = asked_of(context), context.options
    for line in asked.files:
        context.reporter.say(f"Project {line}")
    for note in asked.notes:
        context.reporter.warn(note)
    pyproject = context.project / _PYPROJECT
    if options.no_project and present(pyproject):
        by = options.origins.get("no-project", "as the lock was made")
        context.reporter.detail(f"{_PYPROJECT} is left out ({by})")
    elif not asked.files and not options.no_project:
        _say_untaken(context)


def _say_untaken(context: Context) -> None:
    """Where nothing was taken, name the file of requirements that stands there all the same."""
    for name in ("requirements.txt", "environment.yml"):
        if present(context.project / name):
            context.reporter.say(f"{name} stands here and is not taken: `-r {name}` takes it")
    if present(context.project / _PYPROJECT):
        context.reporter.detail(f"{_PYPROJECT} asks for no package")


def _read(context: Context) -> Asked:
    options = context.options
    parts: list[Asked] = []
    there = present(context.project / _PYPROJECT)
    if options.install_project and not there:
        raise UsageError(
            f"--install-project: there is no {_PYPROJECT} in {context.project}", hints=("Leave --install-project out",)
        )
    taken = options.no_project or not there
    if taken and (options.extras or options.groups):
        kind = "--extra" if options.extras else "--group"
        why = "--no-project leaves it out" if options.no_project else f"there is no {_PYPROJECT} in {context.project}"
        raise UsageError(f"{kind} is of a project, and {why}", hints=(f"Leave {kind} out",))
    if not taken:
        parts.append(_file(context, context.project / _PYPROJECT, extras=options.extras, groups=options.groups))
    for name in options.requirements:
        parts.append(_file(context, context.project / name))
    parts.append(Asked(stated=tuple(_typed(context, text) for text in options.with_requirements)))
    return together(parts)


def _typed(context: Context, text: str) -> Stated:
    place = context.options.origins.get("with", "--with")
    return Stated(text=lines.checked(text, place=place, folder=context.project), place=place)


def _file(context: Context, path: Path, *, extras: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> Asked:
    """Read one file by what its name says it is."""
    shown = context.shown(path)
    if path.suffix == ".toml":
        from gpuenv.project.pyproject import Choice, read_pyproject

        return read_pyproject(
            read_text(path, what="the project", shown=shown, most=LARGEST),
            path=path,
            shown=shown,
            choice=Choice(extras=extras, groups=groups),
            family=tables.load().family,
            applies=_on_machine(context),
            read_file=lambda each: _file(context, each, extras=extras, groups=groups),
        )
    if path.suffix in (".yml", ".yaml"):
        from gpuenv.project.conda import read_environment

        text = read_text(path, what="the environment file", shown=shown, most=LARGEST)
        return read_environment(text, shown=shown, pip=lambda rows: _pip_part(context, path, rows))
    from gpuenv.project.requirements import asked_by_file
    from gpuenv.project.requirements_file import read_requirements

    found = read_requirements(path, shown=shown, environ=context.environ)
    return asked_by_file(found, folder=context.project)


def _pip_part(context: Context, path: Path, rows: Sequence[tuple[str, int]]) -> Asked:
    """Read the pip part of an environment file as the requirements file that conda makes of it, each line where it
    stands."""
    from gpuenv.project.requirements import asked_by_file
    from gpuenv.project.requirements_file import read_requirements

    placed: list[str] = []
    for text, number in rows:
        placed += [""] * (number - 1 - len(placed))
        placed.append(text)
    found = read_requirements(path, shown=context.shown(path), environ=context.environ, text="\n".join(placed))
    return asked_by_file(found, folder=context.project, count=False)


def _on_machine(context: Context) -> Callable[[str], bool]:
    """Whether a marker holds on the machine that is decided for, as far as its system and processor tell."""
    values = _environment(context)

    def holds(marker: str) -> bool:
        requirement = parse_requirement(f"x; {marker}")
        return requirement is None or applies(requirement, {**values, "extra": ""})

    return holds


def _environment(context: Context) -> dict[str, str]:
    from packaging.markers import default_environment

    usual = {name: str(value) for name, value in default_environment().items()}
    if context.options.machine is None:
        return usual
    facts = detect_or_read(context).facts
    return _values(facts, context.options.python or usual["python_version"])


def _values(machine: Machine, python: str) -> dict[str, str]:
    from gpuenv.lock.model import MachineTarget
    from gpuenv.lock.target import marker_environment

    target = MachineTarget(
        os=machine.os,
        arch=machine.arch,
        libc=None,
        python=python.removesuffix("t"),
        compute_capabilities=(),
        driver=None,
    )
    return marker_environment(target)


# --- giving up a bound -----------------------------------------------------------------------------------------------


def _relaxed(asked: Asked, names: Sequence[str]) -> Asked:
    """Take the versions out of what is asked of ``names``; of torch's whole family, and of the libraries of CUDA that a
    frozen list pins beside it, where torch is named."""
    free = given_up(asked, names)
    torch = "torch" in free
    kept = [row for row in asked.stated if not (torch and is_library(_name(row)))]
    stated = tuple(_bare(row) if _name(row) in free else row for row in kept)
    return replace(asked, stated=stated, builds=() if torch else asked.builds)  # and recorded as it stands


def given_up(asked: Asked, names: Sequence[str]) -> frozenset[str]:
    """The packages whose bounds count for nothing where ``names`` are relaxed; raises
    :class:`~gpuenv.errors.UsageError` for one that nothing asks for."""
    free: set[str] = {canonicalize_name(each) for each in names}
    known = {_name(each) for each in asked.stated}
    for name in sorted(free - known - {"torch"}):
        there = ", ".join(sorted(known)) or "nothing"
        raise UsageError(f"--relax {name}: nothing asks for it", hints=(f"What is asked for: {there}",))
    return frozenset(free | (tables.load().family if "torch" in free else set()))


def _bare(row: Stated) -> Stated:
    return replace(row, text=without_bound(Requirement(row.text)), hashes=())


# --- what counts for a decision --------------------------------------------------------------------------------------


def stated_on(asked: Asked, machine: Machine, python: str) -> tuple[Stated, ...]:
    """The lines that a decision for ``machine`` and ``python`` goes by: those on the family whose marker holds, without
    it; the requirements on everything else as they are."""
    if not asked.stated:
        return ()
    family, values = tables.load().family, {**_values(machine, python), "extra": ""}
    found: list[Stated] = []
    for row in asked.stated:
        requirement = Requirement(row.text)
        if canonicalize_name(requirement.name) not in family:
            found += [row] if row.role == "requirement" else []
        elif applies(requirement, values):
            pin = lines.pinned_by_file(requirement) if requirement.url else str(requirement.specifier)
            extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
            found.append(replace(row, text=f"{requirement.name}{extras}{pin}"))
    return tuple(dict.fromkeys(found))


def python_groups(
    asked: Asked, machine: Machine, pythons: Sequence[str]
) -> list[tuple[tuple[str, ...], tuple[Stated, ...]]]:
    """The interpreters, best first, by the lines that count for them: markers may ask for another torch by Python."""
    found: dict[tuple[Stated, ...], list[str]] = {}
    for python in pythons:
        found.setdefault(stated_on(asked, machine, python), []).append(python)
    return [(tuple(group), stated) for stated, group in found.items()] or [((), stated_on(asked, machine, "3"))]


def allows(asked: Asked, python: str) -> Stated | None:
    """The ``requires-python`` that leaves out a version of Python such as ``3.12``; ``None`` where all take it.

    A bound on a patch release (``>=3.10.4``) is met by the minor version: which patch there will be is not known here.
    """
    minor = python.removesuffix("t")
    for row in asked.pythons:
        wanted = parse_range(row.text)
        if wanted is not None and not any(wanted.contains(f"{minor}.{patch}") for patch in range(_MOST_PATCHES)):
            return row
    return None


def builds_to_try(
    context: Context, asked: Asked, *, profile: Profile, machine: TargetMachine
) -> tuple[NamedBuild, ...]:
    """The builds that the project names and the machine may run, in the order of the files; what is not followed is
    said with its place. None where a build was asked for by option or profile."""
    if context.options.variant or profile.variant:
        return ()
    facts, found = in_scope(context, machine.facts), []
    cpu = wants_cpu(profile, facts, bare_request(context))
    for build in asked.builds:
        why = refused_build(build, facts, tables.load())
        if cpu and build.variant != "cpu":
            why = "is built for CUDA, and a build for the CPU is wanted"
        if why:
            say_once(context, f"{build.place}: {build.text}: {build.variant} {why}: not followed")
        elif build.variant != "cpu":
            found.append(build)
    return tuple({build.variant: build for build in reversed(found)}.values())[::-1]


def say_once(context: Context, sentence: str) -> None:
    """Warn of something that a run may find several times."""
    context.run.once(partial(context.reporter.warn, sentence), by=context.reporter.warn, key=sentence)


def others_of(asked: Asked, role: str) -> tuple[str, ...]:
    """Constraints or overrides on packages outside the family, sorted."""
    family = tables.load().family
    return tuple(sorted({row.text for row in asked.stated if row.role == role and _name(row) not in family}))


def _name(row: Stated) -> str:
    return canonicalize_name(Requirement(row.text).name)
