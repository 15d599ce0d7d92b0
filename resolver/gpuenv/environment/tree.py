"""What lies in an environment's folder: every file with its size, and every distribution with its RECORD."""

from __future__ import annotations

import csv
import hashlib
import os
import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name


@dataclass(frozen=True, slots=True)
class Entry:
    """One file or link. ``link`` is what a symbolic link points to, ``None`` for a file. Positional: there are many."""

    size: int
    mtime: float
    link: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a RECORD. ``sha256`` is urlsafe base64 without padding, ``None`` where the row has none."""

    path: str
    """Relative to the environment, with ``/``; it starts with ``../`` where the row leaves the environment."""
    sha256: str | None
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """One installed distribution as its ``.dist-info`` folder tells it."""

    name: str
    """Normalized (PEP 503)."""
    version: str
    info: str
    """The ``.dist-info`` folder, relative to the environment."""
    rows: tuple[Row, ...]
    record: str
    """sha256 of the RECORD file; empty where there is none."""
    problem: str = ""
    """Why the folder cannot be read as a distribution."""


def walk(root: Path) -> dict[str, Entry]:
    """List every file and link below ``root``, by path relative to it with ``/``. Links are not followed."""
    found: dict[str, Entry] = {}
    folders: list[tuple[str, str]] = [(str(root), "")]
    while folders:
        folder, prefix = folders.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                path = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    folders.append((entry.path, path + "/"))
                    continue
                facts = entry.stat(follow_symlinks=False)
                link = os.readlink(entry.path) if entry.is_symlink() else None  # noqa: PTH115 - a Path a file is slow
                found[path] = Entry(facts.st_size, facts.st_mtime, link)
    return found


def site_packages(environment: Path) -> Path | None:
    """The folder that holds an environment's packages, ``None`` where there is none."""
    windows = environment / "Lib" / "site-packages"
    if windows.is_dir():
        return windows
    found = sorted(environment.glob("lib/python3.*/site-packages"))
    return found[-1] if found else None


def python_version(environment: Path) -> str:
    """The Python version that ``pyvenv.cfg`` names (``version_info`` of uv, ``version`` of venv), empty without one."""
    try:
        text = (environment / "pyvenv.cfg").read_text(encoding="utf-8")
    except OSError:
        return ""
    found = dict(line.partition("=")[::2] for line in text.splitlines() if "=" in line)
    values = {key.strip(): value.strip() for key, value in found.items()}
    return values.get("version_info") or values.get("version") or ""


def distributions(environment: Path, site: Path) -> tuple[Distribution, ...]:
    """Read every ``.dist-info`` folder of ``site``, sorted by name and version."""
    prefix = site.relative_to(environment).as_posix()
    found = []
    for name in sorted(os.listdir(site)):  # noqa: PTH208 - names only
        if name.endswith(".dist-info") and (site / name).is_dir():
            found.append(_distribution(site / name, prefix))
    return tuple(sorted(found, key=lambda each: (each.name, each.version, each.info)))


def parse_record(text: str, *, prefix: str) -> Iterator[Row]:
    """Read a RECORD (PEP 376, PEP 427: ``path,hash,size``) whose paths are relative to ``prefix``.

    Raises ``ValueError`` for a row that is none.

    >>> list(parse_record("../bin/run,sha256=abc,3\\na/b.py,,\\n", prefix="lib/site"))
    [Row(path='lib/bin/run', sha256='abc', size=3), Row(path='lib/site/a/b.py', sha256=None, size=None)]
    """
    # The csv module takes three times as long as a split, and rows with quotes are rare.
    rows: Iterable[list[str]] = (
        csv.reader(text.splitlines()) if '"' in text else (r.split(",") for r in text.splitlines())
    )
    for row in rows:
        if not row or row == [""]:
            continue
        if len(row) != 3:
            raise ValueError(f"not a row of a RECORD: {','.join(row)!r}")
        path, digest, size = row
        kind, _, value = digest.partition("=")
        plain = ".." not in path and "\\" not in path and path[:1] != "/" and "//" not in path and "./" not in path
        yield Row(
            f"{prefix}/{path}" if plain else posixpath.normpath(posixpath.join(prefix, path.replace("\\", "/"))),
            value if kind == "sha256" else None,
            int(size) if size else None,
        )


def sha256_of(path: Path) -> str:
    """The sha256 of a file as RECORD writes it: urlsafe base64 without padding."""
    import base64

    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")


def _distribution(info: Path, prefix: str) -> Distribution:
    name, _, version = info.name.removesuffix(".dist-info").partition("-")
    relative = f"{prefix}/{info.name}"
    rows: tuple[Row, ...] = ()
    record = problem = ""
    try:
        body = (info / "RECORD").read_bytes()
        record = hashlib.sha256(body).hexdigest()
        rows = tuple(parse_record(body.decode("utf-8"), prefix=prefix))
    except FileNotFoundError:
        problem = "it has no RECORD"
    except (OSError, ValueError) as error:
        problem = f"its RECORD cannot be read: {error}"
    if not problem and not (info / "METADATA").is_file():
        problem = "it has no METADATA"
    if not problem and not (info / "INSTALLER").is_file():
        # The signature of an installer that was killed: uv writes INSTALLER last, and never looks at it again.
        problem = "it has a RECORD and no INSTALLER: its installation was interrupted"
    return Distribution(
        name=canonicalize_name(name), version=version, info=relative, rows=rows, record=record, problem=problem
    )
