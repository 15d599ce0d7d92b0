"""Run a program in an environment: its variables set, its family looked at first."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from gpuenv.environment.guard import activated
from gpuenv.errors import CheckFailedError, UsageError
from gpuenv.installed import places
from gpuenv.installed.drift import moved_family
from gpuenv.installed.marker import read_marker
from gpuenv.project.block import OPENING
from gpuenv.shell import quote
from gpuenv.steps.context import Context
from gpuenv.steps.environment import standing_at
from gpuenv.system.become import become
from gpuenv.system.files import present, read_text


def run(context: Context, *, environment: Path | None, words: Sequence[str], check: bool, cwd: Path) -> NoReturn:
    """Become the program that ``words`` name; a ``.py`` file is run by the environment's interpreter.

    Raises :class:`~gpuenv.errors.CheckFailedError` where the family is not the one that was built and proved.
    """
    target = standing_at(context, environment)
    if not words:
        raise UsageError("no program is named", hints=("Run `gpuenv run -- python -V`",))
    if check:
        refuse_moved(context, target)
    environ = activated(context.environ, target)
    program, arguments = words[0], list(words[1:])
    if program.endswith(".py") and (cwd / program).is_file():
        program, arguments = "python", [program, *arguments]
    python = places.find_python(target)
    found = shutil.which(program, path=environ["PATH"])
    if "/" in program:
        found = shutil.which(str(cwd / program)) or str(cwd / program)  # with the ending that Windows knows
    if program == "python" and python is not None:
        found = str(python)
    if found is None and program.endswith(".py"):
        raise UsageError(f"there is no file {program} in {cwd}", hints=("Name one that is there, or a program",))
    if found is None:
        folder = "Scripts" if (target / "Scripts").is_dir() else "bin"
        raise UsageError(
            f"there is no program {program} in {context.shown(target)}, nor on PATH",
            hints=(f"See what is there: `ls {quote(f'{context.shown(target)}{os.sep}{folder}')}`",),
        )
    try:
        become(Path(found), arguments, environ=environ, cwd=cwd)
    except OSError as error:
        raise UsageError(f"{program} cannot be started", causes=(error.strerror or str(error),)) from None


def refuse_moved(context: Context, target: Path) -> None:
    """Stop where torch's family is not what gpuenv installed: nothing proved what is there now."""
    marker = read_marker(target)
    moved = moved_family(target, marker) if marker is not None else ()
    if marker is not None and moved:
        shown = quote(context.shown(target))
        unbound = present(context.project / "pyproject.toml") and not _bound(context)
        raise CheckFailedError(
            f"torch's family in {context.shown(target)} is not what was built and proved",
            causes=moved,
            hints=(
                f"Build it again: `gpuenv create --profile {quote(marker.profile)} {shown}`",
                f"See who did it: `gpuenv doctor {shown}`",
                *(("Keep `uv sync` and `uv run` from it: `gpuenv export --format uv`",) if unbound else ()),
                f"Run it all the same: `gpuenv run --no-check --env {shown} -- ...`",
            ),
        )


def _bound(context: Context) -> bool:
    """Whether the project tells uv to keep the family."""
    return OPENING in read_text(context.project / "pyproject.toml", what="pyproject.toml")
