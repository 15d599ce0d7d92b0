"""What `create` does not touch: places that no environment may take, and what stands there unless it is given up."""

from __future__ import annotations

from pathlib import Path
from shlex import quote

from gpuenv.commands.context import Context
from gpuenv.environment.target import check_target
from gpuenv.errors import TargetError
from gpuenv.installed.drift import added
from gpuenv.installed.environment import read_environment
from gpuenv.installed.marker import read_marker
from gpuenv.lock.model import Lock
from gpuenv.model.profile import Profile


def refuse_target(context: Context, target: Path) -> None:
    """Refuse the home folder, the project, and all above them; then whatever the build would refuse at the place.

    Raises :class:`~gpuenv.errors.TargetError`. The hint names a folder inside, never a way to move what is there.
    """
    real = target.absolute().resolve()
    homes = [context.environ[name] for name in ("HOME", "USERPROFILE") if context.environ.get(name)]
    for kept, what in (
        (context.project, "the folder of the project"),
        *((Path(home), "your home folder") for home in homes),
    ):
        place = kept.absolute().resolve()
        if real == place or real in place.parents:
            words = what if real == place else f"above {what}"
            raise TargetError(
                f"{target} is {words}, and an environment takes a folder of its own",
                causes=("what stands there would have to go",),
                hints=("Run `gpuenv create` for the profile's own folder", "Or name a new one: `gpuenv create FOLDER`"),
            )
    check_target(target)


def refuse_another_profile(context: Context, target: Path, profile: Profile, *, replace: bool) -> None:
    """Stop where the target is no place for an environment, or holds one that another profile is for."""
    there = check_target(target)
    marker = read_marker(there.path) if there.exists else None
    if marker is None or marker.profile == profile.name or replace:
        return
    shown = context.shown(target)
    command = f"gpuenv create --profile {quote(profile.name)}"
    raise TargetError(
        f"{shown} is the environment of the profile {marker.profile}; it was left as it is",
        causes=(f"built {marker.created} from {marker.lock_name}",),
        hints=(
            f"Choose another folder: `{command} {quote(f'{shown}-{profile.name}')}`",
            f"Or replace it: `{command} --replace {quote(shown)}`",
        ),
    )


def refuse_to_discard(context: Context, target: Path, profile: Profile, lock: Lock, *, discard: bool) -> None:
    """Stop where building again would take away what somebody installed into the environment."""
    there = check_target(target)
    if discard or not there.exists or read_marker(there.path) is None:
        return
    gone = added(read_environment(there.path), locked=[each.name for each in lock.packages])
    if not gone:
        return
    shown = context.shown(target)
    command = f"gpuenv create --profile {quote(profile.name)} --discard-added {quote(shown)}"
    raise TargetError(
        f"building {shown} again would take away {len(gone)} package{'s' if len(gone) > 1 else ''} that "
        f"{'were' if len(gone) > 1 else 'was'} added to it; it was left as it is",
        causes=tuple(
            f"{each.name} {each.version}" + (f", by {each.installer}" if each.installer else "") for each in gone
        ),
        hints=(f"Give them up: `{command}`", "Or name them among the packages of the profile, so that they are locked"),
    )
