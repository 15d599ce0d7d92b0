"""Places that no environment may take: refused before anything is looked at, asked or written."""

from __future__ import annotations

from pathlib import Path

from gpuenv.commands.context import Context
from gpuenv.environment.target import check_target
from gpuenv.errors import TargetError


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
