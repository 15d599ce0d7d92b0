"""gpuenv and what it needs as wheels, made from what is installed here: for a machine without network."""

from __future__ import annotations

import base64
import csv
import hashlib
import importlib.metadata
import io
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

import gpuenv
from gpuenv.profile import bundled_folder

_LEFT_OUT = frozenset({"INSTALLER", "REQUESTED", "RECORD", "direct_url.json", "uv_cache.json"})
"""Written by installers, not part of a wheel (PyPA, "Recording installed projects")."""
_EPOCH = (1980, 1, 1, 0, 0, 0)


def own_wheels(folder: Path, *, pure: bool = False) -> tuple[Path, ...]:
    """Write the wheels into ``folder``, uv's with its program. They are for this system and this minor Python.

    ``pure``: without uv, and without machine code, which nothing that gpuenv needs is lost by: for every system and
    Python. Raises ``OSError``, and ``importlib.metadata.PackageNotFoundError`` where gpuenv itself is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return tuple(_wheel(each, folder, pure=pure) for each in _needed() if not (pure and each.name == "uv"))


def state() -> str:
    """A digest of name, size and time of all that :func:`own_wheels` would read: the same while nothing changed."""
    digest = hashlib.sha256()
    for each in _needed():
        for name, source in sorted(_files(each, each.name)):
            found = source.stat()
            digest.update(f"{name}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _needed() -> list[importlib.metadata.Distribution]:
    found: dict[str, importlib.metadata.Distribution] = {}
    waiting = ["gpuenv"]
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found[name] = importlib.metadata.distribution(name)
        for text in found[name].requires or ():
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                continue
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    return [found[name] for name in sorted(found)]


def _wheel(distribution: importlib.metadata.Distribution, folder: Path, *, pure: bool) -> Path:
    stem = f"{re.sub(r'[-_.]+', '_', distribution.metadata['Name']).lower()}-{distribution.version}"
    target = folder / f"{stem}-{'py3-none-any' if pure else _tags(distribution)}.whl"
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, source in sorted(_files(distribution, stem)):
            if pure and source.suffix in (".so", ".pyd"):
                continue
            data = source.read_bytes()
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = (source.stat().st_mode & 0xFFFF) << 16
            archive.writestr(entry, data, zipfile.ZIP_DEFLATED)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.writerow((name, f"sha256={digest}", len(data)))
        record = f"{stem}.dist-info/RECORD"
        rows.writerow((record, "", ""))
        archive.writestr(zipfile.ZipInfo(record, _EPOCH), text.getvalue())
    return target


def _tags(distribution: importlib.metadata.Distribution) -> str:
    text = distribution.read_text("WHEEL") or ""
    tags = [line.partition(":")[2].strip().split("-") for line in text.splitlines() if line.startswith("Tag:")]
    if not tags:
        return "py3-none-any"
    return "-".join(".".join(dict.fromkeys(tag[part] for tag in tags)) for part in range(3))


def _files(distribution: importlib.metadata.Distribution, stem: str) -> Iterator[tuple[str, Path]]:
    """Each file of a wheel by its name there: what RECORD lists, programs that are no entry points, and of gpuenv its
    own code, which an editable installation leaves where it is."""
    made = {each.name for each in distribution.entry_points if each.group in ("console_scripts", "gui_scripts")}
    found: dict[str, Path] = {}
    if canonicalize_name(distribution.metadata["Name"]) == "gpuenv":
        package = Path(gpuenv.__file__).parent
        found |= {f"gpuenv/{each.relative_to(package).as_posix()}": each for each in package.rglob("*")}
        found |= {f"gpuenv/profiles/{each.name}": each for each in bundled_folder().glob("*.toml")}
    for file in distribution.files or ():
        if name := _name(PurePosixPath(file.as_posix()), stem, made):
            found[name] = Path(str(file.locate()))
    for name, source in found.items():
        if source.suffix != ".pyc" and source.is_file():
            yield name, source


def _name(path: PurePosixPath, stem: str, made: set[str]) -> str:
    """The name in a wheel of a file that RECORD lists; empty for one that installers make."""
    top, *rest = path.parts
    if top == "..":
        program = path.parent.name in ("bin", "Scripts") and not {path.name, path.stem} & made
        return f"{stem}.data/scripts/{path.name}" if program else ""
    if top.endswith(".dist-info"):
        return "" if rest[0] in _LEFT_OUT else "/".join((f"{stem}.dist-info", *rest))
    # The path file of an editable installation leads to a folder of this machine.
    return "" if not rest and path.suffix == ".pth" and "editable" in path.name else path.as_posix()
