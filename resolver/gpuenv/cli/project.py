"""Which folder a command works in, and what a path means that was typed in another."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gpuenv.cli.options import BY_NAME
from gpuenv.cli.settings import Setting, Value, expanded
from gpuenv.errors import UsageError

_HOST = re.compile(r"(?:localhost|[a-z0-9-]+(?:\.[a-z0-9-]+)*\.(?:[a-z]{2,}|\d+))(?::\d+)?(?:/.*)?", re.IGNORECASE)


class PathOrName(str):
    """An argument that may be a path, beside names and addresses."""

    __slots__ = ()


def find(current: Path, *, home: Path | None) -> Path:
    """The project of a folder: itself, or the nearest folder above that is one; itself where none is.

    A project has a ``pyproject.toml``, a ``gpuenv.toml`` or locks in ``lockfiles/``. The home folder and the root are
    projects only for those who stand in them, and a file is believed only from the owner of the current folder, from
    oneself or from root: what lies above, in a folder open to all, could be anybody's, and names programs to run.
    """
    if any(_marks(current)):
        return current
    trusted = {current.stat().st_uid, os.geteuid() if hasattr(os, "geteuid") else 0, 0}
    for folder in current.parents:
        if folder in (home, Path(folder.anchor)):
            break
        if any(mark.stat().st_uid in trusted for mark in _marks(folder)):
            return folder
    return current


def _marks(folder: Path) -> list[Path]:
    try:
        files = [each for name in ("gpuenv.toml", "pyproject.toml") if (each := folder / name).is_file()]
        locks = (each for form in ("pylock.*.toml", "hashed.*.txt") for each in (folder / "lockfiles").glob(form))
        return files or list(locks)[:1]
    except OSError:  # a folder that may be passed and not read
        return []


def anchor_arguments(arguments: argparse.Namespace, *, current: Path, project: Path) -> None:
    """Let the paths among a verb's own arguments mean what they mean in the current folder."""

    def meant(value: Path, name: str) -> Path:
        return Path(_anchored(_from_home(str(value), name.upper(), current), current, project))

    for name, value in vars(arguments).items():
        if isinstance(value, Path):
            setattr(arguments, name, meant(value, name))
        elif isinstance(value, list) and all(isinstance(item, Path) for item in value):
            setattr(arguments, name, [meant(item, name) for item in value])
        elif isinstance(value, PathOrName) and value != "lock":  # `diff lock ENV` means the profile's lock
            _refuse_without_scheme(value, name.upper(), current, project)
            setattr(arguments, name, _if_there(_from_home(value, name.upper(), current), current))


def _from_home(text: str, place: str, current: Path) -> str:
    """``~`` in front as the home folder, where no file here has that name: Windows' shells replace none, and those of
    POSIX not behind ``--env=``."""
    return expanded(text, place) if text.startswith("~") and not os.path.lexists(current / text) else text


def anchor_settings(settings: Mapping[str, Setting], *, current: Path, project: Path) -> dict[str, Setting]:
    """Let the paths of options and variables mean what they mean in the current folder; a file's, in the project."""
    return {name: _anchored_setting(name, row, current, project) for name, row in settings.items()}


def _anchored_setting(name: str, setting: Setting, current: Path, project: Path) -> Setting:
    option = BY_NAME[name]
    typed = setting.origin.startswith(("--", "GPUENV_"))
    many = setting.value if isinstance(setting.value, tuple) else (setting.value,)
    values: list[object] = []
    for text in many:
        if option.location and isinstance(text, str):
            _refuse_without_scheme(text, setting.origin, current if typed else project, project)
        if not typed or not isinstance(text, str):
            values.append(text)
        elif option.kind in ("path", "paths"):
            values.append(_anchored(text, current, project))
        elif option.location or text.endswith(".toml"):
            values.append(_if_there(text, current))
        else:
            values.append(text)
    value: Value = tuple(values) if isinstance(setting.value, tuple) else values[0]  # type: ignore[assignment] # as it was
    return replace(setting, value=value)


def _anchored(text: str, current: Path, project: Path) -> str:
    """The path in the current folder; one that exists only in the project is meant there, as our hints write it."""
    there = not os.path.lexists(current / text) and os.path.lexists(project / text)
    return text if there or current == project else str(current / text)


def _if_there(text: str, current: Path) -> str:
    return str(current / text) if text and "://" not in text and os.path.lexists(current / text) else text


def _refuse_without_scheme(text: str, place: str, current: Path, project: Path) -> None:
    if _HOST.fullmatch(text) and "/" in text and not any(os.path.lexists(each / text) for each in (current, project)):
        raise UsageError(
            f"{place}: {text} is nothing in this folder, and an address begins with its scheme",
            hints=(f"If an address is meant, write https://{text}",),
        )
