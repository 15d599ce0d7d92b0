"""One installed distribution: its metadata by ``importlib.metadata``, and the files its RECORD lists."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from datetime import UTC, datetime
from pathlib import Path

from packaging.utils import canonicalize_name

from gpuenv.dataclass import dataclass
from gpuenv.installed.files import RecordRow, parse_record
from gpuenv.lock.diff import same_version
from gpuenv.net.location import redact


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A ``.dist-info`` (or old ``.egg-info``) folder as it tells of itself."""

    name: str
    """Normalized (PEP 503)."""
    version: str
    info: str
    """The metadata folder, relative to the environment; absolute for one of the base interpreter."""
    rows: tuple[RecordRow, ...] = ()
    """What its RECORD lists; empty where the files were not asked for."""
    record: str = ""
    """sha256 of the RECORD file; empty where there is none."""
    requires: tuple[str, ...] = ()
    """Requires-Dist, as written."""
    requires_python: str = ""
    tags: tuple[str, ...] = ()
    """The tags of the wheel it came from; empty where it does not say."""
    installer: str = ""
    """As INSTALLER says: ``uv``, ``pip``, ``conda``; empty where there is none."""
    origin: str = ""
    """The URL of ``direct_url.json`` without credentials; empty for one that came from an index or a lock."""
    when: str = ""
    """When its RECORD was written (RFC 3339, UTC)."""
    problem: str = ""
    """Why it is not whole."""


def distributions(environment: Path, site: Path, *, owned: bool = True, files: bool = True) -> tuple[Distribution, ...]:
    """Read every distribution of a package folder, sorted by name and version.

    ``owned``: installers put it there, and leave RECORD and INSTALLER; those of a system or of conda need not.
    ``files``: with the rows of their RECORDs.
    """
    inside = site.is_relative_to(environment)
    prefix = site.relative_to(environment).as_posix() if inside else site.as_posix()
    names = sorted(name for name in os.listdir(site) if name.endswith((".dist-info", ".egg-info")))  # noqa: PTH208
    found = [_distribution(site / name, prefix, owned=owned, files=files) for name in names]
    return tuple(sorted(found, key=lambda each: (each.name, each.version, each.info)))


def _distribution(info: Path, prefix: str, *, owned: bool, files: bool) -> Distribution:
    stem, _, kind = info.name.rpartition(".")
    name, _, version = stem.partition("-")
    version = version.partition("-py")[0]
    told = _Told(info)
    egg = kind == "egg-info"
    problem = _incomplete(info) if owned and not egg else ""
    requires: tuple[str, ...] = ()
    requires_python = ""
    if (info / "METADATA").is_file() or egg:
        metadata = told.metadata
        said, its = _field(metadata, "Name"), _field(metadata, "Version")
        if not problem and its and version and not same_version(its, version.replace("_", "+")):
            problem = f"its folder is of {version}, its METADATA of {its}: one was installed over the other"
        name, version = said or name, its or version
        requires, requires_python = tuple(told.requires or ()), _field(metadata, "Requires-Python")
    record = ""
    rows: tuple[RecordRow, ...] = ()
    try:
        body = (info / "RECORD").read_bytes()
        record = hashlib.sha256(body).hexdigest()
        rows = tuple(parse_record(body.decode("utf-8"), prefix=prefix)) if files else ()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except (OSError, ValueError) as error:
        problem = f"its RECORD cannot be read: {error}"
    return Distribution(
        name=canonicalize_name(name),
        version=version,
        info=f"{prefix}/{info.name}",
        rows=rows,
        record=record,
        requires=requires,
        requires_python=requires_python,
        tags=_tags(told.read_text("WHEEL") if not egg else None),
        installer=(told.read_text("INSTALLER") or "").strip()[:80] if not egg else "",
        origin=_origin(info / "direct_url.json"),
        when=_when(info / "RECORD"),
        problem=problem,
    )


class _Told(importlib.metadata.PathDistribution):
    """A metadata folder whose texts can be read whatever bytes they hold."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._folder = folder

    def read_text(self, filename: str | os.PathLike[str]) -> str | None:
        try:
            return (self._folder / filename).read_bytes().decode("utf-8", errors="replace")
        except OSError:
            return None


def _field(metadata: importlib.metadata.PackageMetadata, name: str) -> str:
    return metadata[name] if name in metadata else ""  # noqa: SIM401 - it has no get


def _incomplete(info: Path) -> str:
    if not (info / "RECORD").is_file():
        return "it has no RECORD"
    if not (info / "METADATA").is_file():
        return "it has no METADATA"
    # The signature of an installer that was killed: uv writes INSTALLER last, and never looks at it again.
    return (
        "" if (info / "INSTALLER").is_file() else "it has a RECORD and no INSTALLER: its installation was interrupted"
    )


def _tags(text: str | None) -> tuple[str, ...]:
    lines = (line.partition(":") for line in (text or "").splitlines())
    return tuple(value.strip() for key, _, value in lines if key == "Tag")


def _origin(path: Path) -> str:
    try:
        return redact(str(json.loads(path.read_bytes())["url"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def _when(path: Path) -> str:
    try:
        moment = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return ""
    return moment.isoformat(timespec="seconds").removesuffix("+00:00") + "Z"
