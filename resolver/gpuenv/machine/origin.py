"""Which way the loader found a driver library: a variable, a file of ld.so, a mount of the container's runtime."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.machine.linux import text_of

Way = Literal["LD_PRELOAD", "LD_LIBRARY_PATH", "ld.so.conf", "mount", "folder"]
"""``folder``: one of those the loader always looks into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """``where`` is the variable's entry, the file of ld.so that lists the folder, the mount point, or the folder;
    ``left`` is what remains of the variable or of the file's folders without it."""

    way: Way
    where: str
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CdiSpec:
    """A specification of the Container Device Interface, and the driver whose libraries it mounts."""

    file: str
    driver: str


def origin_of(file: str, *, name: str, environ: Mapping[str, str], root: Path = Path("/")) -> Origin:
    """Tell what made the loader take ``file`` (links resolved) when it was asked for ``name``, such as libcuda.so.1."""
    for entry in re.split(r"[:\s]+", environ.get("LD_PRELOAD", "")):
        if entry and _same(Path(entry), file):
            return Origin(way="LD_PRELOAD", where=entry)
    entries = [entry for entry in re.split("[:;]", environ.get("LD_LIBRARY_PATH", "")) if entry]
    through = [entry for entry in entries if _holds(entry, name, file, Path("/"))]
    if through:
        left = tuple(entry for entry in entries if entry not in through)
        return Origin(way="LD_LIBRARY_PATH", where=through[0], left=left)
    for conf, folders in _configured(root):
        here = [folder for folder in folders if _holds(folder, name, file, root)]
        if here:
            left = tuple(folder for folder in folders if folder not in here)
            return Origin(way="ld.so.conf", where=conf, left=left)
    mounts = [mount for mount in _mounts(root) if file == mount or file.startswith(f"{mount}/")]
    if mounts:
        return Origin(way="mount", where=max(mounts, key=len))
    return Origin(way="folder", where=file.rpartition("/")[0])


def cdi_specs(root: Path = Path("/")) -> tuple[CdiSpec, ...]:
    """The specifications of this host that mount a libcuda, by file."""
    found = []
    for folder in ("etc/cdi", "var/run/cdi", "run/cdi"):
        for path in sorted((root / folder).glob("*")):
            if path.suffix in (".yaml", ".yml", ".json") and (
                match := re.search(r"/libcuda\.so\.(\d+(?:\.\d+)+)", text_of(path))
            ):
                found.append(CdiSpec(file=f"/{path.relative_to(root).as_posix()}", driver=match[1]))
    return tuple(found)


def _holds(folder: str, name: str, file: str, root: Path) -> bool:
    if folder.rstrip("/") == file.rpartition("/")[0]:
        return True
    inside = root / folder.lstrip("/") if root != Path("/") else Path(folder)
    return _same(inside / name, file)


def _same(path: Path, file: str) -> bool:
    try:
        return str(path.resolve(strict=True)) == file
    except (OSError, RuntimeError, ValueError):
        return False


def _configured(root: Path) -> Iterator[tuple[str, list[str]]]:
    """The files that tell ldconfig where to look, with their folders, in the order in which it reads them."""
    for path in (*sorted((root / "etc/ld.so.conf.d").glob("*.conf")), root / "etc/ld.so.conf"):
        lines = [line.partition("#")[0].strip() for line in text_of(path).splitlines()]
        folders = [line for line in lines if line and not line.startswith("include")]
        if folders:
            yield f"/{path.relative_to(root).as_posix()}", folders


def _mounts(root: Path) -> Iterator[str]:
    """Mount points below which only single files or folders of the host are shown (not the root, not /proc …)."""
    for line in text_of(root / "proc/self/mountinfo").splitlines():
        fields = line.split()
        if len(fields) > 4 and fields[4] not in ("/", "/usr", "/lib", "/usr/lib"):
            yield fields[4]
