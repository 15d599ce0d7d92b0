"""What a person types, or an editor is told, to work in an environment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.installed.places import find_python
from gpuenv.shell import quote

_SCRIPTS = {"fish": "activate.fish", "csh": "activate.csh", "tcsh": "activate.csh", "nu": "activate.nu"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """The command that activates an environment in the shell in use, and its interpreter (``None``: it is missing)."""

    activate: str
    interpreter: Path | None


def entrance(environment: Path, *, shown: str, environ: Mapping[str, str]) -> Entrance:
    """The ways into an environment; ``shown`` is what a person calls it."""
    return Entrance(activate=_activate(environment, shown, environ), interpreter=find_python(environment))


def _activate(environment: Path, shown: str, environ: Mapping[str, str]) -> str:
    if (environment / "Scripts").is_dir():
        power = "PSModulePath" in environ and "PROMPT" not in environ
        return f"{shown}\\Scripts\\{'activate.ps1' if power else 'activate.bat'}"
    shell = Path(environ.get("SHELL", "")).name
    script = quote(f"{shown}/bin/{_SCRIPTS.get(shell, 'activate')}")
    if shell == "nu":
        return f"overlay use {script}"
    return f"{'.' if shell in ('sh', 'dash') else 'source'} {script}"
