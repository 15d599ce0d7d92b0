"""The place of an environment: what it must be, and whose packages building there would take away."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from gpuenv.environment.previous import failed_place
from gpuenv.environment.target import check_target, is_ours, refuse_name
from gpuenv.errors import TargetError, UsageError
from gpuenv.installed import places
from gpuenv.installed.marker import read_marker
from gpuenv.lock.model import Lock
from gpuenv.metadata import parse_requirement
from gpuenv.model.profile import Profile
from gpuenv.shell import quote
from gpuenv.steps.advice import aimed
from gpuenv.steps.context import Context
from gpuenv.steps.profile import load_profile
from gpuenv.system.files import require_inside

if TYPE_CHECKING:  # what stands at the target is read where something does
    from gpuenv.installed.distribution import Distribution


def target_of(context: Context, named: Path | None, profile: Profile) -> Path:
    """Where the environment stands: as named, else as the profile says, which must not lead out of the project.

    Raises :class:`~gpuenv.errors.FileError`.
    """
    if named is None:
        require_inside((context.project / profile.environment).parent, context.project, what="the environment's folder")
    return context.project / (named or profile.environment)


def standing_at(context: Context, named: Path | None) -> Path:
    """The environment that a command works in: as named, else the profile's own.

    Raises :class:`~gpuenv.errors.UsageError` where none stands there that has an interpreter.
    """
    target = target_of(context, named, load_profile(context))
    if places.find_python(target) is None:
        shown = context.shown(target)
        if is_ours(target):
            raise UsageError(
                f"the environment {shown} is broken: its interpreter is gone",
                hints=(f"See what is wrong, and what fixes it: `gpuenv doctor {quote(shown)}`",),
            )
        raise UsageError(
            f"there is no environment at {shown}",
            causes=() if target.is_dir() else ("there is no such folder",),
            hints=("Build one: `gpuenv create`", "See which there are: `gpuenv list`"),
        )
    return target


def evidence_of(context: Context, named: Path | None, name: str) -> Path:
    """Where evidence goes: as named, else a folder of the project, which must not lead out of it.

    Raises :class:`~gpuenv.errors.FileError`.
    """
    if named is not None:
        return context.project / named
    folder = context.project / "evidence" / name
    for each in (folder, failed_place(folder)):
        require_inside(each, context.project, what="the folder of the evidence")
    return folder


def verified_name(target: Path) -> str:
    """The name of the evidence that `verify` writes of an environment."""
    return f"verify-{target.name.strip('.')}"


def refuse_target(context: Context, target: Path) -> None:
    """Refuse the home folder, the project, and all above them; then whatever the build would refuse at the place.

    Raises :class:`~gpuenv.errors.TargetError`. The hint names a folder inside, never a way to move what is there.
    """
    refuse_name(target.name, shown=target)
    if any("\udc80" <= letter <= "\udcff" for letter in str(target)):  # bytes that are no UTF-8 (PEP 383)
        raise TargetError(
            f"{target.name} cannot be built there: the name of a folder is not UTF-8, and uv takes no such path",
            hints=("Rename the folder, or name another with its whole path: `gpuenv create /home/me/gpu-env`",),
        )
    real, profile = Path(os.path.realpath(target)), context.options.profile or "auto"
    homes = [context.environ[name] for name in ("HOME", "USERPROFILE") if context.environ.get(name)]
    for kept, what in (
        (context.project, "the folder of the project"),
        *((Path(home), "your home folder") for home in homes),
    ):
        place = Path(os.path.realpath(kept))
        if real == place or real in place.parents:
            words = what if real == place else f"above {what}"
            raise TargetError(
                f"{target} is {words}, and an environment takes a folder of its own",
                causes=("what stands there would have to go",),
                hints=(
                    f"Leave it out for the profile's own folder: `{aimed(context, target, profile=profile)}`",
                    f"Or name a new one: `{aimed(context, target, 'FOLDER', profile=profile)}`",
                ),
            )
    check_target(target)


def refuse_another_profile(context: Context, target: Path, profile: Profile, *, replace: bool) -> None:
    """Stop where the target is no place for an environment, or holds one that another profile is for."""
    there = check_target(target)
    marker = read_marker(there.path) if there.exists else None
    if marker is None or marker.profile == profile.name or replace:
        return
    shown = context.shown(target)
    other = f"{shown}-{profile.name}"
    raise TargetError(
        f"{shown} is the environment of the profile {marker.profile}; it was left as it is",
        causes=(f"built {marker.created} from {marker.lock_name}",),
        hints=(
            f"Choose another folder: `{aimed(context, target, other, profile=profile.name)}`",
            f"Or replace it: `{aimed(context, target, '--replace', shown, profile=profile.name)}`",
        ),
    )


def refuse_to_discard(context: Context, target: Path, profile: Profile, lock: Lock, *, discard: bool) -> None:
    """Stop where building again would take away what somebody installed into the environment."""
    there = check_target(target)
    if discard or not there.exists:
        return
    shown = context.shown(target)
    names = [each.name for each in lock.packages]
    gone = added_to(there.path, names=names)
    if not gone:
        return
    needed = {
        canonicalize_name(found.name) for each in gone for row in each.requires if (found := parse_requirement(row))
    }
    wanted = [each.name for each in gone if each.name not in needed] or [each.name for each in gone]
    command = f"gpuenv create --profile {quote(profile.name)} --discard-added {quote(shown)}"
    refuse_added(
        there.path,
        names=names,
        doing=f"building {shown} again",
        hints=(f"Keep them, locked: `gpuenv add {' '.join(wanted)}`", f"Or give them up: `{command}`"),
    )


def refuse_added(environment: Path, *, names: Collection[str], doing: str, hints: Sequence[str]) -> None:
    """Stop where an environment holds packages that were added to it, and are none of ``names``: what will be there.

    Raises :class:`~gpuenv.errors.TargetError` with each; ``doing`` is what would take them away.
    """
    gone = added_to(environment, names=names)
    if gone:
        many = len(gone) > 1
        raise TargetError(
            f"{doing} would take away {len(gone)} package{'s' if many else ''} that {'were' if many else 'was'} "
            f"added to it; it was left as it is",
            causes=tuple(
                f"{each.name} {each.version}" + (f", by {each.installer}" if each.installer else "") for each in gone
            ),
            hints=hints,
        )


def added_to(environment: Path, *, names: Collection[str]) -> tuple[Distribution, ...]:
    """Packages that somebody added to an environment of ours, beside ``names``; none where it is not of ours."""
    if read_marker(environment) is None:
        return ()
    from gpuenv.installed.drift import added
    from gpuenv.installed.environment import read_environment

    return added(read_environment(environment, files=False), locked=names)
