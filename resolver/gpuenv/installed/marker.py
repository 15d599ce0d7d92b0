"""The marker ``gpuenv.json`` inside an environment: what makes it ours, and what it was made from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpuenv.dataclass import dataclass
from gpuenv.documents import parts
from gpuenv.errors import ConfigurationError, FileError
from gpuenv.shell import quote
from gpuenv.system.files import present, read_bytes, with_unix_ends, write_atomic

MARKER = "gpuenv.json"
EXAMINE = "See what is wrong, and what fixes it: `gpuenv doctor {}`"
FAILED_NOTE = "gpuenv-failed.txt"
"""Tells an environment that was kept after a failed proof from one that somebody gave its name."""
PREVIOUS_NOTE = "gpuenv-previous.txt"
"""Tells an environment that was kept when another took its place."""

_SCHEMA = {"name": "gpuenv-environment", "version": "1"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkedPackage:
    """One package as it was installed. ``record`` is the sha256 of its RECORD file then."""

    name: str
    version: str
    record: str
    family: bool = False
    project: bool = False
    """Whether it is the person's own project, which no lock names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What an environment was built from. ``lock`` is the sha256 of the lock's bytes, ``created`` RFC 3339 in UTC."""

    gpuenv: str
    uv: str
    python: str
    profile: str
    lock: str
    lock_name: str
    created: str
    packages: tuple[MarkedPackage, ...]

    @property
    def projects(self) -> dict[str, str]:
        """The person's own project in it, by name: what is there beside the lock and not foreign."""
        return {each.name: each.version for each in self.packages if each.project}


def write_marker(environment: Path, marker: Marker, *, durable: bool = True) -> None:
    """Write the marker into an environment; ``durable`` is as in ``write_atomic``."""
    data = {
        "schema": _SCHEMA,
        **parts(marker, "gpuenv", "uv", "python", "profile"),
        "lock": {"name": marker.lock_name, "sha256": marker.lock},
        "created": marker.created,
        "packages": [_package(each) for each in sorted(marker.packages, key=lambda each: each.name)],
    }
    text = json.dumps(data, indent=1, ensure_ascii=False) + "\n"
    write_atomic(environment / MARKER, text, what="the marker of the environment", durable=durable)


def _package(package: MarkedPackage) -> dict[str, object]:
    row = asdict(package)
    if not package.project:
        del row["project"]  # most environments hold none
    return row


def read_marker(environment: Path) -> Marker | None:
    """Read an environment's marker, ``None`` where there is none.

    Raises :class:`~gpuenv.errors.ConfigurationError` for one that cannot be read or is of a later format.
    """
    path = environment / MARKER
    if not present(path):
        return None
    try:
        data = json.loads(read_bytes(path, what="the marker of the environment"))
    except FileError as error:
        raise ConfigurationError(f"{path} cannot be read", causes=error.causes) from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"{path} cannot be read", causes=(str(error),), hints=(EXAMINE.format(quote(str(environment))),)
        ) from None
    try:
        return _from_json(data)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"{path} is not a marker of this gpuenv",
            causes=(f"{type(error).__name__}: {error}",),
            hints=(EXAMINE.format(quote(str(environment))),),
        ) from None


def digest(path: Path) -> str:
    """The sha256 of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lock_digest(path: Path) -> str:
    """The sha256 of a lock, whatever line ends its file has: git checks it out with Windows' own there
    (``core.autocrlf``). Raises ``OSError``."""
    return hashlib.sha256(with_unix_ends(path.read_bytes())).hexdigest()


def _from_json(data: Any) -> Marker:  # Any: the shape of a file is what this function finds out
    if data["schema"] != _SCHEMA:
        raise ValueError(f"schema is {data['schema']!r}")
    texts = {name: str(data[name]) for name in ("gpuenv", "uv", "python", "profile", "created")}
    packages = [
        MarkedPackage(
            family=bool(each["family"]),
            project=bool(each.get("project", False)),
            **{name: str(each[name]) for name in ("name", "version", "record")},
        )
        for each in data["packages"]
    ]
    lock, lock_name = str(data["lock"]["sha256"]), str(data["lock"]["name"])
    return Marker(**texts, lock=lock, lock_name=lock_name, packages=tuple(packages))
