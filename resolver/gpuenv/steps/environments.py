"""The environments that gpuenv built on this machine: registered where they were built, and found in the project.

A registration is a file in the state folder that names an environment and its project; the marker in the environment
says everything else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.dataclass import dataclass
from gpuenv.environment.target import Target, is_ours
from gpuenv.errors import ConfigurationError, FileError, GpuenvError
from gpuenv.installed.marker import Marker, lock_digest
from gpuenv.steps.context import Context
from gpuenv.steps.lock_file import FOLDER
from gpuenv.system.files import read_bytes, write_atomic

if TYPE_CHECKING:  # proofs are read by who lists environments, not by who builds one
    from gpuenv.installed.distribution import Distribution
    from gpuenv.verify.earlier import EarlierProof


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownEnvironment:
    """An environment of ours as it stands. ``bytes`` are those of its files, shared ones too."""

    path: Path
    project: Path
    marker: Marker
    proved: EarlierProof | None
    """The last evidence of it; ``None`` where the project holds none."""
    lock_changed: bool
    """The lock it was built from is not the one that stands in the project."""
    added: tuple[Distribution, ...]
    bytes: int

    @property
    def torch(self) -> str | None:
        """The version of torch that it was built with."""
        return next((each.version for each in self.marker.packages if each.name == "torch"), None)


def register(context: Context, environment: Path) -> None:
    """Remember an environment that was built for the project, or found there as it was built."""
    path = _registration(context, environment)
    text = json.dumps({"environment": str(_real(environment)), "project": str(context.project)}, indent=1) + "\n"
    try:
        if not path.is_file() or read_bytes(path, what="the registration of an environment") != text.encode():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, text, what="the registration of an environment")
    except (GpuenvError, OSError) as error:  # it works all the same, and is only not listed elsewhere
        context.reporter.detail(f"{context.shown(environment)} is not registered: {error}")


def forget(context: Context, environment: Path) -> None:
    """Remove the registration of an environment that is gone."""
    _registration(context, environment).unlink(missing_ok=True)


def known_environments(context: Context) -> tuple[KnownEnvironment, ...]:
    """Every environment of ours that is registered or stands in the project, by path; those that are gone are not."""
    found = {_real(path.parent): context.project for path in context.project.glob("*/gpuenv.json")}
    found |= dict(_registered(context))
    return tuple(look(path, project) for path, project in sorted(found.items()) if is_ours(path))


def look(path: Path, project: Path) -> KnownEnvironment:
    """Read one environment of ours, which must be one."""
    from gpuenv.installed.drift import added
    from gpuenv.installed.environment import read_environment

    facts = read_environment(path)
    assert facts.marker is not None
    return KnownEnvironment(
        path=path,
        project=project,
        marker=facts.marker,
        proved=_last_proof(path, project, facts.marker),
        lock_changed=_lock_changed(project, facts.marker),
        added=added(facts),
        bytes=size_of(path),
    )


def size_of(folder: Path) -> int:
    """The bytes of the files in a folder."""
    from gpuenv.installed.files import walk

    return sum(entry.size for entry in walk(folder).values())


def _registered(context: Context) -> Iterator[tuple[Path, Path]]:
    for file in sorted((context.state / "environments").glob("*.json")):
        try:
            row = json.loads(read_bytes(file, what="the registration of an environment"))
            yield Path(row["environment"]), Path(row["project"])
        except (GpuenvError, ValueError, TypeError, LookupError, RecursionError):
            continue


def _registration(context: Context, environment: Path) -> Path:
    key = Target(path=_real(environment), exists=True).key
    return context.state / "environments" / f"{key}.json"


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _last_proof(path: Path, project: Path, marker: Marker) -> EarlierProof | None:
    from gpuenv.verify.earlier import read_proof

    found = []
    for file in project.glob("evidence/*/evidence.json"):
        try:
            proof = read_proof(file.parent)
        except (ConfigurationError, FileError):
            continue
        if proof is not None and proof.lock_sha256 == marker.lock and proof.created >= marker.created:
            found += [proof] if _real(project / proof.environment) == path else []
    return max(found, key=lambda proof: proof.created, default=None)


def _lock_changed(project: Path, marker: Marker) -> bool:
    try:
        return lock_digest(project / FOLDER / Path(marker.lock_name).name) != marker.lock
    except OSError:
        return True
