"""Ask for packages, or no longer: the file, the lock and the environment change together, or none of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from packaging.utils import canonicalize_name

from gpuenv.commands import create, lock
from gpuenv.commands.create import CreateOptions, CreateOutcome
from gpuenv.commands.lock import LockOptions, OneLock
from gpuenv.dataclass import dataclass
from gpuenv.errors import UsageError
from gpuenv.installed.places import find_python
from gpuenv.metadata import parse_requirement
from gpuenv.report import Once
from gpuenv.shell import quote
from gpuenv.steps.asking import AskingFile, asking_file, edited, written
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.lock_file import find_lock, place_of
from gpuenv.steps.machine import detect_or_read, in_scope
from gpuenv.steps.profile import load_profile


@dataclass(frozen=True, slots=True, kw_only=True)
class EditOptions:
    """What `add` and `remove` take beyond the common options."""

    verify: bool = True
    lock_only: bool = False
    """Write the file and the lock, and build nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EditOutcome(Outcome):
    """What was written, and what came of it."""

    file: str
    """Relative to the project."""
    change: str
    """A unified diff."""
    locked: OneLock
    created: CreateOutcome | None


def add(context: Context, texts: Sequence[str], options: EditOptions) -> EditOutcome:
    """Write requirements (PEP 508) into the project's file, and lock and build what it asks for then."""
    for text in texts:
        if parse_requirement(text) is None:
            raise UsageError(
                f"{text} is no requirement", hints=('Write a name with a range: `gpuenv add "six>=1.17"`',)
            )
    file = asking_file(context)

    def change(before: str) -> str:
        for text in texts:
            before = file.with_requirement(before, text.strip())
        return before

    return _change(context, file, change(file.text), options)


def remove(context: Context, names: Sequence[str], options: EditOptions) -> EditOutcome:
    """Take requirements out of the project's file, and lock and build what it asks for then."""
    file, after = asking_file(context), ""
    text = file.text
    for name in names:
        requirement = parse_requirement(name)
        _refuse_environment(context, name)
        if requirement is None:
            raise UsageError(f"{name!r} is no package", hints=("Name packages: `gpuenv remove six`",))
        after = file.without_requirement(text, requirement.name)
        if after == text:
            raise _not_asked(context, file, requirement.name)
        text = after
    return _change(context, file, text, options)


def _change(context: Context, file: AskingFile, text: str, options: EditOptions) -> EditOutcome:
    context = replace(context, reporter=Once(context.reporter))  # lock and create both say the machine
    profile = load_profile(context)
    place = place_of(context, profile.name, in_scope(context, detect_or_read(context).facts))
    _, change = edited(file, lambda _: text)
    if not change:
        context.reporter.say(f"{file.shown} says so already")
    with written(context, file, text, also=(place,)):
        if change:
            context.reporter.say(change)
        (locked,) = lock.run(context, LockOptions()).locks
        created = None
        if not options.lock_only:
            created = create.run(context, CreateOptions(verify=options.verify))
    return EditOutcome(file=file.shown, change=change, locked=locked, created=created)


def _refuse_environment(context: Context, name: str) -> None:
    """A folder is an environment, and a name a package: which is meant is never guessed."""
    folder = context.project / name
    if "/" in name or find_python(folder) is not None:
        raise UsageError(
            f"`gpuenv remove {name}` would take a package out of the project, and {name} is a folder",
            hints=(f"Remove the environment: `gpuenv remove --env {quote(name)}`",),
        )


def _not_asked(context: Context, file: AskingFile, name: str) -> UsageError:
    locked = find_lock(context, load_profile(context).name, in_scope(context, detect_or_read(context).facts)).lock
    wanted = canonicalize_name(name)
    needed = [each.name for each in locked.packages if wanted in (each.dependencies or ())] if locked else []
    return UsageError(
        f"{file.shown} does not ask for {name}",
        causes=(f"it is there because of {', '.join(needed[:4])}",) if needed else (),
        hints=(f"See what it asks for: `cat {quote(file.shown)}`",),
    )
