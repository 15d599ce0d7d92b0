"""Where an environment keeps its interpreter and its packages, as uv, venv, conda and systems lay them out."""

from __future__ import annotations

import os
import re
from pathlib import Path

_INTERPRETERS = ("bin/python", "bin/python3", "Scripts/python.exe", "python.exe")
_VERSION = re.compile(r"\d{1,9}\.\d{1,9}(?:\.\d{1,9}(?:(?:a|b|rc)\d{1,9})?)?", re.ASCII)
"""What counts of ``3.12.4.final.0``, as virtualenv writes it."""
_FOLDER = re.compile(r"python(\d+)\.(\d+)(t?)")


def find_python(environment: Path) -> Path | None:
    """The interpreter of an environment that can be started, ``None`` where there is none.

    Never resolved: a link's own place makes the environment.
    """
    for name in _INTERPRETERS:
        path = environment / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None


def configuration(environment: Path) -> dict[str, str]:
    """The settings of ``pyvenv.cfg`` (PEP 405), keys in lower case; empty where there is none."""
    try:
        text = (environment / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    lines = text.replace("\0", "").splitlines()  # no path holds a NUL byte
    pairs = (line.partition("=") for line in lines if "=" in line)
    return {key.strip().lower(): value.strip() for key, _, value in pairs}


def python_version(environment: Path) -> str:
    """The Python version that ``pyvenv.cfg`` names (``version_info`` of uv, ``version`` of venv), empty without one.

    virtualenv's ``3.12.4.final.0`` is ``3.12.4``.
    """
    settings = configuration(environment)
    found = _VERSION.match(settings.get("version_info") or settings.get("version") or "")
    return found[0] if found else ""


def library_folder(environment: Path) -> Path | None:
    """The ``lib/pythonX.Y`` that the environment's interpreter uses, ``None`` where there is none (Windows).

    Several may lie there: conda has links beside it, and an upgrade leaves the old one. ``pyvenv.cfg`` tells which it
    is, else the interpreter's own name behind its link, else conda's record of its Python; with none of these the
    newest.
    """
    found = {match[0]: path for path in library_folders(environment) if (match := _FOLDER.fullmatch(path.name))}
    if not found:
        return None
    for name in _told(environment):
        if name in found:
            return found[name]
    return found[max(found, key=_number)]


def library_folders(environment: Path) -> tuple[Path, ...]:
    """Every ``lib/pythonX.Y`` that is no link, oldest first."""
    found = [each for each in environment.glob("lib/python3.*") if _FOLDER.fullmatch(each.name) and each.is_dir()]
    return tuple(sorted((each for each in found if not each.is_symlink()), key=lambda each: _number(each.name)))


def package_folders(environment: Path) -> tuple[Path, ...]:
    """The folders that hold an environment's packages, the main one first; empty where there is none."""
    library = library_folder(environment)
    places = [environment / "Lib" / "site-packages"]
    if library is not None:
        places.append(library / "site-packages")
        places.append(environment / "lib64" / library.name / "site-packages")
        places.append(library / "dist-packages")
    places.append(environment / "lib" / "python3" / "dist-packages")  # Debian's own packages
    found: dict[Path, Path] = {}
    for place in places:
        if place.is_dir():
            found.setdefault(Path(os.path.realpath(place)), place)  # lib64 is a link to lib, as a rule
    return tuple(found.values())


def site_packages(environment: Path) -> Path | None:
    """The folder that packages are installed into, ``None`` where there is none."""
    return next(iter(package_folders(environment)), None)


def base_packages(settings: dict[str, str], version: str) -> tuple[Path, ...]:
    """The package folders of the interpreter an environment was made from, where ``pyvenv.cfg`` lets it see them."""
    home = settings.get("home", "")
    if not home or settings.get("include-system-site-packages", "false").lower() != "true":
        return ()
    prefix = Path(home).parent if Path(home).name in ("bin", "Scripts") else Path(home)
    name = f"python{'.'.join(version.split('.')[:2])}"
    own, debian = f"lib/{name}/site-packages", f"lib/{name}/dist-packages"
    folders = (own, debian, f"local/{debian}", "lib/python3/dist-packages", "Lib/site-packages")
    places = (prefix / folder for folder in folders)
    return tuple(place for place in places if os.path.isdir(place))  # noqa: PTH112 - Path raises for what is too long


def version_of_folder(site: Path | None) -> str:
    """``3.12`` of ``lib/python3.12/site-packages``; empty where the folder does not tell."""
    match = _FOLDER.search(site.parent.name) if site else None
    return f"{match[1]}.{match[2]}" if match else ""


def _told(environment: Path) -> list[str]:
    names = []
    version = python_version(environment).split(".")
    if len(version) > 1:
        names += [f"python{version[0]}.{version[1]}", f"python{version[0]}.{version[1]}t"]
    python = find_python(environment)
    if python is not None:
        names.append(Path(os.path.realpath(python)).name)
    for record in sorted(environment.glob("conda-meta/python-3.*.json")):
        names.append("python" + ".".join(record.name.split("-")[1].split(".")[:2]))
    return names


def _number(name: str) -> tuple[int, int, str]:
    match = _FOLDER.fullmatch(name)
    return (int(match[1]), int(match[2]), match[3]) if match else (0, 0, "")
