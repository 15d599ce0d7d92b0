"""The file that says what is wanted of a project, changed for a while: it is as it was if what follows fails."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from gpuenv import profile as profiles
from gpuenv.dataclass import dataclass
from gpuenv.documents import DocumentError, parse_toml
from gpuenv.errors import UsageError
from gpuenv.project import writing
from gpuenv.steps.context import Context
from gpuenv.system.files import present, read_bytes, read_text, write_atomic, write_edited

Kind = Literal["pyproject", "requirements", "profile"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AskingFile:
    """Where requirements are written: a project's own file, else a profile's. ``text`` is what stands there, or what a
    new one begins with (``new``)."""

    path: Path
    shown: str
    kind: Kind
    text: str
    new: bool = False
    extra: str | None = None
    group: str | None = None

    def with_requirement(self, text: str, requirement: str) -> str:
        """The text that asks for one requirement more."""
        match self.kind:
            case "pyproject":
                return writing.with_requirement(text, requirement, extra=self.extra, group=self.group)
            case "requirements":
                return writing.with_line(text, requirement)
            case "profile":
                return writing.with_package(text, requirement)

    def without_requirement(self, text: str, name: str) -> str:
        """The text that asks for none of a package."""
        match self.kind:
            case "pyproject":
                return writing.without_requirement(text, name, extra=self.extra, group=self.group)
            case "requirements":
                return writing.without_line(text, name)
            case "profile":
                return writing.without_package(text, name)


def asking_file(context: Context) -> AskingFile:
    """The file of ``-r``, else the project's ``pyproject.toml``, else the profile, copied into the project where it is
    gpuenv's own or the user's.

    Raises :class:`~gpuenv.errors.UsageError` where it cannot be told which.
    """
    options = context.options
    if len(options.requirements) > 1 or len(options.groups) + len(options.extras) > 1:
        raise UsageError(
            "it cannot be told which of several files, groups or extras to write into",
            hints=("Name one with -r, --group or --extra",),
        )
    pyproject = context.project / "pyproject.toml"
    if options.requirements:
        path = context.project / options.requirements[0]
        if path.suffix in (".yml", ".yaml", ".toml"):
            raise UsageError(f"{context.shown(path)} is no requirements file: edit it, and run `gpuenv create`")
        return _found(context, path, "requirements")
    if not options.no_project and present(pyproject):
        extra, group = (names[0] if names else None for names in (options.extras, options.groups))
        found = _found(context, pyproject, "pyproject", extra=extra, group=group)
        if group is not None or _has_project(found.text):
            return found
    return _profile(context)


@contextmanager
def written(context: Context, file: AskingFile, text: str, *, also: tuple[Path, ...] = ()) -> Iterator[None]:
    """Write the file; when what follows fails, in whatever way, it is as it was, and the files of ``also`` too."""
    before = {path: read_bytes(path, what="the file") if present(path) else None for path in (file.path, *also)}
    write_edited(file.path, text, what="the file to write")
    try:
        yield
    except BaseException:
        for path, body in before.items():
            if body is None:
                path.unlink(missing_ok=True)
            elif read_bytes(path, what="the file") != body:
                write_atomic(path, body, what="the file to write")
        context.reporter.say(f"{file.shown} and the lock are as they were")
        raise


def edited(file: AskingFile, change: Callable[[str], str]) -> tuple[str, str]:
    """The new text, and how it differs from what stands there."""
    after = change(file.text)
    return after, writing.difference("" if file.new else file.text, after, shown=file.shown)


def _has_project(text: str) -> bool:
    """Whether a ``pyproject.toml`` is that of a project, and not only settings of tools."""
    try:
        return "project" in parse_toml(text)
    except DocumentError:
        return True  # what is wrong with it is said where it is written


def _found(
    context: Context, path: Path, kind: Kind, *, extra: str | None = None, group: str | None = None
) -> AskingFile:
    text = read_text(path, what="the file to write", shown=context.shown(path)) if present(path) else ""
    return AskingFile(
        path=path, shown=context.shown(path), kind=kind, text=text, new=not text, extra=extra, group=group
    )


def _profile(context: Context) -> AskingFile:
    name = context.options.profile or "auto"
    if name.endswith(".toml"):
        return _found(context, context.project / name, "profile")
    profiles.load(name, project=context.project, user=context.config, read=read_text)  # the error for an unknown name
    (row,) = (each for each in profiles.find_all(project=context.project, user=context.config) if each.name == name)
    own = row.kind == "project"
    path = row.path if own else context.project / "profiles" / f"{name}.toml"
    text = read_text(row.path, what="the profile")
    return AskingFile(path=path, shown=context.shown(path), kind="profile", text=text, new=not own)
