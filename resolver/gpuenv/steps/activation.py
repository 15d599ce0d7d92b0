"""What a person types, or an editor is told, to work in an environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.installed.places import find_python
from gpuenv.shell import program, quote

_SCRIPTS = {"fish": "activate.fish", "csh": "activate.csh", "tcsh": "activate.csh", "nu": "activate.nu"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """The ways into an environment, as they are typed."""

    activate: str | None
    """``None`` where no shell can: its folder cannot stand on PATH."""
    run: str
    kernel: str
    verify: str
    again: str
    """Proves it where nothing has changed since it was."""
    interpreter: Path | None
    """``None``: it is missing."""


def entrance(
    environment: Path, *, shown: str, environ: Mapping[str, str], named: bool = False, again: str = ""
) -> Entrance:
    """The ways into an environment; ``shown`` is what a person calls it. ``named``: commands have to say which."""
    name = quote(shown)
    return Entrance(
        activate=_activate(environment, shown, environ),
        run=f"gpuenv run --env {name} -- python" if named else "gpuenv run -- python",
        kernel=f"gpuenv kernel --env {name}" if named else "gpuenv kernel",
        verify=f"gpuenv verify {name}" if named else "gpuenv verify",
        again=again,
        interpreter=find_python(environment),
    )


def _activate(environment: Path, shown: str, environ: Mapping[str, str]) -> str | None:
    if os.pathsep in str(environment):
        return None
    shell = Path(environ.get("SHELL", "")).name
    if (environment / "Scripts").is_dir():
        if "MSYSTEM" in environ:  # Git's shell
            return "source " + quote(f"{shown}/Scripts/activate".replace("\\", "/"), platform="linux")
        power = {name.upper() for name in environ} >= {"PSMODULEPATH"} and "PROMPT" not in environ
        script = f"{shown}\\Scripts\\{'activate.ps1' if power else 'activate.bat'}"
        return program(script, platform="win32") if power else quote(script, platform="win32")
    script = quote(f"{shown}/bin/{_SCRIPTS.get(shell, 'activate')}", platform="linux")
    if shell == "nu":
        return f"overlay use {script}"
    return f"{'.' if shell in ('sh', 'dash') else 'source'} {script}"
