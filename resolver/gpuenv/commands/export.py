"""Write a lock in the forms that other tools read: uv's project, requirements, a container, conda."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from gpuenv import knowledge as tables
from gpuenv.dataclass import dataclass
from gpuenv.errors import FileError, UsageError
from gpuenv.lock.codec import to_requirements
from gpuenv.lock.model import Lock
from gpuenv.project.conda_export import to_environment
from gpuenv.project.containers import MADE_BY, to_devcontainer, to_dockerfile
from gpuenv.project.uv_export import UvClass, UvIndex, with_family, without_family
from gpuenv.project.writing import difference
from gpuenv.shell import quote, with_variable
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.lock import read_sound
from gpuenv.steps.lock_file import lock_path
from gpuenv.system.files import present, read_text, require_inside, write_atomic, write_edited

Format = Literal["uv", "requirements", "dockerfile", "devcontainer", "conda"]
FORMATS: tuple[Format, ...] = ("uv", "requirements", "dockerfile", "devcontainer", "conda")
_PYPROJECT = "pyproject.toml"
_CHANNELS = {"stable": "", "nightly": "nightly/", "test": "test/"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A file: its text, and how it differs from what stood there (a unified diff, empty where it does not)."""

    path: str
    """Relative to the project."""
    text: str
    change: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOutcome(Outcome):
    """What was exported. ``text`` is what no file was named for; ``steps`` are commands that come next."""

    format: Format
    locks: tuple[str, ...]
    dry_run: bool
    files: tuple[Written, ...] = ()
    text: str = ""
    steps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What `export` takes beyond the common options. ``names`` are those of locks; empty: the profile's."""

    format: Format
    names: tuple[str, ...] = ()
    output: Path | None = None
    dry_run: bool = False
    undo: bool = False


def run(context: Context, options: ExportOptions) -> ExportOutcome:
    """Export the locks that stand in the project; none is made. What is written holds no user name and no password."""
    if options.undo:
        return _undo(context, options)
    names = options.names or (context.options.profile or "auto",)
    locks = [(name, lock_of(context, name)) for name in names]
    if options.format == "uv":
        return _uv(context, options, locks)
    if len(locks) > 1:
        raise UsageError(f"--format {options.format} takes one lock", hints=("Only --format uv takes several",))
    (name, lock), title = locks[0], context.project.name
    match options.format:
        case "requirements":
            return _one(context, options, name, to_requirements(lock))
        case "conda":
            return _one(context, options, name, to_environment(lock, name=name, title=title))
        case "dockerfile":
            return _one(context, options, name, to_dockerfile(lock, name=name, cuda=_floor_cuda(lock)))
        case _:
            folder = options.output or Path(".devcontainer")
            texts = {
                folder / "devcontainer.json": to_devcontainer(lock, name=name, title=title),
                folder / "Dockerfile": to_dockerfile(lock, name=name, cuda=_floor_cuda(lock)),
            }
            files = tuple(_written(context, path, text, options) for path, text in texts.items())
            return _outcome(options, (name,), files=files)


def lock_of(context: Context, name: str) -> Lock:
    """The lock of that name, which has to stand in the project already."""
    path = lock_path(context, name)
    lock = read_sound(context, path, profile=name)
    if lock is None:
        raise UsageError(
            f"there is no lock {context.shown(path)} to export",
            hints=(f"Make it: `gpuenv lock --profile {quote(name)}`",),
        )
    return lock


def _floor_cuda(lock: Lock) -> str | None:
    least = lock.decision.least_driver
    return tables.load().driver_cuda(least, lock.inputs.target.os) if least else None


def _outcome(options: ExportOptions, names: Sequence[str], **fields: object) -> ExportOutcome:
    return ExportOutcome(format=options.format, locks=tuple(names), dry_run=options.dry_run, **fields)  # type: ignore[arg-type] # fields of the outcome


def _one(context: Context, options: ExportOptions, name: str, text: str) -> ExportOutcome:
    if options.output is None:
        return _outcome(options, (name,), text=text)
    return _outcome(options, (name,), files=(_written(context, options.output, text, options, named=True),))


def _written(context: Context, path: Path, text: str, options: ExportOptions, *, named: bool = False) -> Written:
    """Write a file. One that is not ours is replaced only where it was named."""
    place = context.project / path
    shown = context.shown(place)
    before = read_text(place, what="the file to write", shown=shown) if present(place) else ""
    if before and not named and MADE_BY not in before:
        raise FileError(
            f"{shown} is not a file that gpuenv wrote; it was left as it is",
            hints=("Choose another folder: `gpuenv export --format devcontainer --output FOLDER`",),
        )
    if not options.dry_run:
        if not named:
            require_inside(place.parent, context.project, what="the exported file")
        write_atomic(place, text, what="the exported file")
    return Written(path=shown, text=text, change=difference(before, text, shown=shown))


# --- uv ---------------------------------------------------------------------------------------------------------------


def _uv(context: Context, options: ExportOptions, locks: Sequence[tuple[str, Lock]]) -> ExportOutcome:
    shown, text = _pyproject(context)
    classes = [UvClass(name=_group(name), pins=_pins(lock), index=_index(lock)) for name, lock in locks]
    after = with_family(text, classes, shown=shown)
    _warn(context, locks)
    if after != text and not options.dry_run:
        write_edited(context.project / _PYPROJECT, after, what=_PYPROJECT)
    file = Written(path=shown, text=after, change=difference(text, after, shown=shown))
    return _outcome(options, [name for name, _ in locks], files=(file,), steps=_steps(classes))


def _undo(context: Context, options: ExportOptions) -> ExportOutcome:
    if options.format != "uv":
        raise UsageError("--undo takes out what --format uv wrote", hints=("Run `gpuenv export --format uv --undo`",))
    shown, text = _pyproject(context)
    after = without_family(text)
    if after != text and not options.dry_run:
        write_edited(context.project / _PYPROJECT, after, what=_PYPROJECT)
    return _outcome(options, (), files=(Written(path=shown, text=after, change=difference(text, after, shown=shown)),))


def _pyproject(context: Context) -> tuple[str, str]:
    path = context.project / _PYPROJECT
    if not present(path):
        raise UsageError(f"there is no {_PYPROJECT} here to write into", hints=("Make one: `uv init --bare`",))
    return context.shown(path), read_text(path, what=_PYPROJECT, shown=_PYPROJECT)


def _group(name: str) -> str:
    return name.lower().replace("_", "-")


def _pins(lock: Lock) -> tuple[tuple[str, str], ...]:
    return tuple((each.name, each.version) for each in lock.family)


def _index(lock: Lock) -> UvIndex | None:
    """Where the family's wheels are listed, as the lock says; ``None`` where it does not."""
    decision, sources = lock.decision, lock.inputs.sources
    if not sources:
        return None
    base = sources[0].rstrip("/")
    if decision.source in ("pytorch", "mirror"):
        channel = _CHANNELS[decision.channel]
        name = f"gpuenv-{channel.replace('/', '-')}{decision.variant}"
        return UvIndex(name=name, url=f"{base}/{channel}{decision.variant}")
    return UvIndex(name="gpuenv-torch", url=base, flat=decision.source == "find-links")


def _warn(context: Context, locks: Sequence[tuple[str, Lock]]) -> None:
    if present(context.project / "uv.toml"):
        context.reporter.warn(
            "uv.toml stands beside pyproject.toml: uv leaves out the index and the constraints of [tool.uv] for it"
        )
    for name, lock in locks:
        if any(each.url is None for each in lock.family):
            context.reporter.warn(f"the wheels of {name} lie in a folder of this machine: no other will find them")


def _steps(classes: Sequence[UvClass]) -> tuple[str, ...]:
    if len(classes) == 1:
        return ("uv lock", "uv sync")
    return tuple(
        with_variable(
            "UV_PROJECT_ENVIRONMENT",
            f".venv-{each.name}",
            with_variable("UV_NO_SYNC", "1", f"uv sync --group {each.name}"),
        )
        for each in classes
    )
