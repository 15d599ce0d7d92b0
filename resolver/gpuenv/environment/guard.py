"""The drift guard: an environment keeps its family although somebody runs pip or uv in it.

pip reads ``pip.conf`` in the root of the environment it installs into, activated or not; uv has no such file, but reads
``UV_CONSTRAINT``, which the activation scripts set. Both point to a constraints file with exact pins, by URL: uv splits
the variable, and pip the setting, at spaces, and both take ``file:`` URLs. What goes around all that (uv aimed at the
environment from outside) is seen afterwards by :mod:`gpuenv.installed.drift`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpuenv.system.files import read_text, write_atomic, write_edited

CONSTRAINTS = "gpuenv-constraints.txt"

PIP_CONFIGURATIONS = ("pip.conf", "pip.ini")

FILES = frozenset({CONSTRAINTS, *PIP_CONFIGURATIONS})

_SHELL_SAVE = """
# gpuenv: what was decided for this environment stays; pip and uv are told so.
if [ -n "${{UV_CONSTRAINT+_}}" ] ; then
    _OLD_GPUENV_UV_CONSTRAINT="$UV_CONSTRAINT"
fi
_GPUENV_GUARD=1
_GPUENV_ROOT="$VIRTUAL_ENV"
if [ "${{OSTYPE-}}" = "cygwin" ] || [ "${{OSTYPE-}}" = "msys" ] ; then
    # Git's shell on Windows: uv and pip know drives, not its paths.
    _GPUENV_ROOT="/$(cygpath -m "$VIRTUAL_ENV")"
fi
UV_CONSTRAINT="${{UV_CONSTRAINT:+$UV_CONSTRAINT }}file://${{_GPUENV_ROOT// /%20}}/{file}"
export UV_CONSTRAINT
if [ -n "${{PIP_CONSTRAINT+_}}" ] ; then
    # The variable would hide the setting in pip.conf, so it gets the file too.
    _OLD_GPUENV_PIP_CONSTRAINT="$PIP_CONSTRAINT"
fi
PIP_CONSTRAINT="${{PIP_CONSTRAINT:+$PIP_CONSTRAINT }}file://${{_GPUENV_ROOT// /%20}}/{file}"
export PIP_CONSTRAINT
unset _GPUENV_ROOT
"""

_SHELL_RESTORE = """
    if [ -n "${_GPUENV_GUARD-}" ] ; then
        unset UV_CONSTRAINT PIP_CONSTRAINT
        if [ -n "${_OLD_GPUENV_UV_CONSTRAINT+_}" ] ; then
            UV_CONSTRAINT="$_OLD_GPUENV_UV_CONSTRAINT"
            export UV_CONSTRAINT
        fi
        if [ -n "${_OLD_GPUENV_PIP_CONSTRAINT+_}" ] ; then
            PIP_CONSTRAINT="$_OLD_GPUENV_PIP_CONSTRAINT"
            export PIP_CONSTRAINT
        fi
        unset _GPUENV_GUARD _OLD_GPUENV_UV_CONSTRAINT _OLD_GPUENV_PIP_CONSTRAINT
    fi
"""

_FISH_SAVE = """
# gpuenv: what was decided for this environment stays; pip and uv are told so.
set -g _GPUENV_GUARD 1
set -g _OLD_GPUENV_UV_CONSTRAINT $UV_CONSTRAINT
set -g _OLD_GPUENV_PIP_CONSTRAINT $PIP_CONSTRAINT
set -l _gpuenv_file (string replace --all ' ' '%20' "file://$VIRTUAL_ENV/{file}")
set -gx UV_CONSTRAINT (string join ' ' $UV_CONSTRAINT $_gpuenv_file)
set -gx PIP_CONSTRAINT (string join ' ' $PIP_CONSTRAINT $_gpuenv_file)
"""

_FISH_RESTORE = """
    if set -q _GPUENV_GUARD
        set -e UV_CONSTRAINT
        set -e PIP_CONSTRAINT
        test -n "$_OLD_GPUENV_UV_CONSTRAINT"; and set -gx UV_CONSTRAINT $_OLD_GPUENV_UV_CONSTRAINT
        test -n "$_OLD_GPUENV_PIP_CONSTRAINT"; and set -gx PIP_CONSTRAINT $_OLD_GPUENV_PIP_CONSTRAINT
        set -e _GPUENV_GUARD
        set -e _OLD_GPUENV_UV_CONSTRAINT
        set -e _OLD_GPUENV_PIP_CONSTRAINT
    end
"""

_POWERSHELL_SAVE = """
# gpuenv: what was decided for this environment stays; pip and uv are told so.
$global:_GpuenvOldConstraints = @($env:UV_CONSTRAINT, $env:PIP_CONSTRAINT)
$GpuenvFile = ([uri](Join-Path $env:VIRTUAL_ENV "{file}")).AbsoluteUri
$env:UV_CONSTRAINT = (@($env:UV_CONSTRAINT, $GpuenvFile) | Where-Object {{ $_ }}) -join " "
$env:PIP_CONSTRAINT = (@($env:PIP_CONSTRAINT, $GpuenvFile) | Where-Object {{ $_ }}) -join " "
"""

_POWERSHELL_RESTORE = """
    if (Test-Path -Path Variable:_GpuenvOldConstraints) {
        $env:UV_CONSTRAINT, $env:PIP_CONSTRAINT = $global:_GpuenvOldConstraints
        Remove-Variable _GpuenvOldConstraints -Scope global -Force
    }
"""

_SCRIPTS = (
    ("activate", r"^deactivate \(\) \{\s*$", _SHELL_SAVE, _SHELL_RESTORE),
    ("activate.fish", r"^function deactivate\b.*$", _FISH_SAVE, _FISH_RESTORE),
    ("activate.ps1", r"^function global:deactivate\b.*\{\s*$", _POWERSHELL_SAVE, _POWERSHELL_RESTORE),
)
"""Script, the line that opens its deactivation, what is added at the end, and what is added after that line."""


def write_guard(
    environment: Path, *, final: Path, pins: Sequence[tuple[str, str]], lock_name: str, durable: bool = True
) -> tuple[str, ...]:
    """Write constraints, pip's configuration and the exports of the activation scripts into ``environment``.

    ``final`` is where the environment will stand: pip's configuration knows no relative paths. ``pins`` are names with
    versions, ``durable`` is as in ``write_atomic``. Returns the names of activation scripts that were not understood
    and left alone.
    """
    write_atomic(environment / CONSTRAINTS, _constraints(pins, lock_name), what="the constraints", durable=durable)
    write_pip_configuration(environment, final=final, durable=durable)
    folder = environment / ("Scripts" if _windows(environment) else "bin")
    there = [name for name, *_ in _SCRIPTS if (folder / name).is_file()]
    return tuple(name for name in there if not _guard_script(folder, name, durable=durable))


def guard_is_whole(environment: Path, *, pins: Sequence[tuple[str, str]], lock_name: str) -> bool:
    """Whether what :func:`write_guard` writes beside the scripts is there, for where the environment stands."""
    wanted = {CONSTRAINTS: _constraints(pins, lock_name), PIP_CONFIGURATIONS[_windows(environment)]: _pip(environment)}
    try:
        return all((environment / name).read_text(encoding="utf-8") == text for name, text in wanted.items())
    except (OSError, UnicodeDecodeError):
        return False


def activated(environ: Mapping[str, str], environment: Path) -> dict[str, str]:
    """The variables that a process in an environment gets, as its activation script sets them, guard included."""
    found = {name: value for name, value in environ.items() if name not in ("PYTHONHOME", "VIRTUAL_ENV_PROMPT")}
    scripts = str(environment / ("Scripts" if _windows(environment) else "bin"))
    others = [each for each in found.get("PATH", os.defpath).split(os.pathsep) if each != scripts]
    found |= {"VIRTUAL_ENV": str(environment), "PATH": os.pathsep.join([scripts, *others])}
    if (environment / CONSTRAINTS).is_file():
        url = (environment / CONSTRAINTS).as_uri()
        for name in ("UV_CONSTRAINT", "PIP_CONSTRAINT"):
            others = [each for each in found.get(name, "").split(" ") if each and each != url]
            found[name] = " ".join([*others, url])
    return found


def _constraints(pins: Sequence[tuple[str, str]], lock_name: str) -> str:
    lines = [f"# The family of this environment, as locked in {lock_name}; written by gpuenv."]
    return "\n".join([*lines, *(f"{name}=={version}" for name, version in sorted(pins))]) + "\n"


def _pip(final: Path) -> str:
    url = (final / CONSTRAINTS).as_uri()
    return f"# Written by gpuenv: pip keeps the family of this environment.\n[install]\nconstraint = {url}\n"


def write_pip_configuration(environment: Path, *, final: Path, durable: bool = True) -> None:
    """Point pip to the constraints of an environment that will stand at ``final``."""
    path = environment / PIP_CONFIGURATIONS[_windows(environment)]
    write_atomic(path, _pip(final), what="pip's configuration", durable=durable)


def _windows(environment: Path) -> bool:
    return (environment / "Scripts").is_dir()


def _guard_script(folder: Path, name: str, *, durable: bool) -> bool:
    path = folder / name
    text = read_text(path, what="the activation script")
    opening, save, restore = next((o, s, r) for n, o, s, r in _SCRIPTS if n == name)
    match = re.search(opening, text, re.MULTILINE)
    if match is None:
        return False
    guarded = text[: match.end()] + restore + text[match.end() :] + save.format(file=CONSTRAINTS)
    # A new file takes its place, not a new content: the script could be a link into a cache.
    write_edited(path, guarded, what="the activation script", durable=durable)
    return True
