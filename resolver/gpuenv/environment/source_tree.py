"""An archive of source on the disk: unpacked without running anything of it, and what it says of its own build."""

from __future__ import annotations

import errno
import lzma
import os
import posixpath
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.documents import DocumentError, parse_toml
from gpuenv.errors import IntegrityError
from gpuenv.system.files import present, read_text

MOST_UNPACKED = 4 * 1024**3
"""Bytes: no source of a package is larger, submodules included; beyond that an archive is made to fill the disk."""
_DAMAGES = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, KeyError, ArithmeticError,
    RuntimeError,
)  # fmt: skip
"""What the readers of archives raise for one that is cut off, changed, locked or made to end its reader."""
_NAMES = frozenset(
    {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EILSEQ, errno.EINVAL}
)
"""What the system says where two members are in each other's way, or it has no such names."""
_MOST_LINKS = 40
"""How many links are followed to the end of one, as in Linux (``MAXSYMLINKS``)."""
_LEGACY = ("setuptools", "wheel")
"""What a source without ``[build-system]`` is built with (PEP 517, "Source trees")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTree:
    """An unpacked archive. ``names`` are the files in it, ``requires`` what its build asks for."""

    folder: Path
    names: tuple[str, ...]
    requires: tuple[str, ...]


def unpack(archive: Path, *, filename: str, into: Path) -> SourceTree:
    """Unpack an archive below ``into``. What would lie outside it, links and devices included, is refused.

    Raises :class:`~gpuenv.errors.IntegrityError` for an archive that is damaged or no source of one package.
    """
    try:
        names = _unpack_zip(archive, into) if filename.endswith(".zip") else _unpack_tar(archive, into)
    except _DAMAGES as error:
        raise _damaged(filename, str(error)) from None
    except OSError as error:
        if error.errno not in _NAMES:
            raise
        raise _damaged(filename, f"a name in it cannot be made: {error.strerror}") from None
    tops = sorted({name.partition("/")[0] for name in names})
    if len(tops) != 1 or not (into / tops[0]).is_dir():
        raise _damaged(filename, f"it holds {', '.join(tops[:3]) or 'nothing'}, not one folder")
    folder = into / tops[0]
    return SourceTree(folder=folder, names=tuple(names), requires=_requires(folder, filename))


def _unpack_tar(archive: Path, into: Path) -> list[str]:
    with tarfile.open(archive) as file:
        members = file.getmembers()
        _bounded(sum(each.size for each in members))
        if hasattr(tarfile, "data_filter"):
            file.extractall(into, members=members, filter="data")
        else:
            extract(file, members, into)
    return [each.name.removeprefix("./") for each in members if each.name not in (".", "./")]


def extract(file: tarfile.TarFile, members: Sequence[tarfile.TarInfo], into: Path) -> None:
    """What the filter "data" of the standard library does, for Pythons before 3.11.4 (Debian 12's is 3.11.2).

    Of two members of one name the last counts. Links come last, so that nothing is written through one, and lead
    straight to what other links end at. Raises ValueError for what would lie or lead outside, and for devices; owners
    and special modes are not taken over.
    """
    last = {posixpath.normpath(each.name): each for each in members}
    links = {name: each for name, each in last.items() if each.issym() or each.islnk()}
    ends = {name: _leads_to(name, links) for name in links}
    into = Path(os.path.normpath(into))
    for name, each in last.items():
        # Windows has two separators, and drives: what follows one is a path of its own to whoever makes the link.
        if os.name == "nt" and not {":", "\\"}.isdisjoint(each.name + each.linkname):
            raise ValueError(f"{each.name} would lie or lead outside")
        for place in (name, ends.get(name, name)):
            if not Path(os.path.normpath(into / place)).is_relative_to(into):
                raise ValueError(f"{each.name} would lie or lead outside")
        if not (each.isreg() or each.isdir() or name in links):
            raise ValueError(f"{each.name} is a device")
    for name, each in last.items():
        if each.isdir():
            (into / name).mkdir(parents=True, exist_ok=True)
        elif name not in links:
            _write(file, each, into / name)
    for name, each in links.items():
        path, end = into / name, ends[name]
        path.parent.mkdir(parents=True, exist_ok=True)
        if each.issym():
            path.symlink_to(os.path.relpath(into / end, path.parent))
        elif end in last and last[end].isreg():
            _write(file, last[end], path)
        else:
            raise ValueError(f"{each.name} is a link to no file of the archive")


def _write(file: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    source = file.extractfile(member)
    with path.open("xb") as target:
        if source is not None:
            shutil.copyfileobj(source, target)
    path.chmod(member.mode & 0o755 | 0o600 if member.mode & 0o100 else member.mode & 0o644 | 0o600)
    os.utime(path, (member.mtime, member.mtime))


def _leads_to(name: str, links: Mapping[str, tarfile.TarInfo]) -> str:
    """The path in the archive that a link ends at, folders that are links followed too: a symbolic link starts in its
    own folder, a hard one at the top."""
    done: list[str] = []
    todo, followed = name.split("/")[::-1], 0
    while todo:
        part = todo.pop()
        if part in ("", "."):
            continue
        if part == "..":
            if not done:
                raise ValueError(f"{name} is a link that leads outside")
            done.pop()
            continue
        done.append(part)
        link = links.get("/".join(done))
        if link is None:
            continue
        followed += 1
        if followed > _MOST_LINKS or posixpath.isabs(link.linkname):
            raise ValueError(f"{name} is a link that leads outside, or to itself")
        done = done[:-1] if link.issym() else []
        todo += link.linkname.split("/")[::-1]
    return "/".join(done) or "."


def _unpack_zip(archive: Path, into: Path) -> list[str]:
    with zipfile.ZipFile(archive) as file:
        _bounded(sum(each.file_size for each in file.infolist()))
        if outside := [name for name in file.namelist() if name.startswith("/") or ".." in Path(name).parts]:
            raise ValueError(f"{outside[0]} would lie outside")
        file.extractall(into)
    return file.namelist()


def _bounded(total: int) -> None:
    if total > MOST_UNPACKED:
        raise ValueError(f"it would unpack to {total / 1e9:.0f} GB")


def _requires(folder: Path, filename: str) -> tuple[str, ...]:
    path = folder / "pyproject.toml"
    if not present(path):
        return _LEGACY
    try:
        system = parse_toml(read_text(path, what="pyproject.toml of the source")).get("build-system")
    except DocumentError as error:
        raise _damaged(filename, f"its pyproject.toml is no TOML: {error}") from None
    asked = system.get("requires") if isinstance(system, dict) else _LEGACY
    if not isinstance(asked, Sequence) or isinstance(asked, str) or not all(isinstance(each, str) for each in asked):
        raise _damaged(filename, "its pyproject.toml does not say what its build requires")
    return tuple(asked)


def _damaged(filename: str, why: str) -> IntegrityError:
    return IntegrityError(f"{filename} is not the source of a package", causes=(why,))
