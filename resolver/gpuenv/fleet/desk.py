"""The desk's folder of a fleet: what each host said, in plain files, and nothing else that is kept anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, field
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.documents import DocumentError, parse_json
from gpuenv.errors import ConfigurationError, UsageError
from gpuenv.machine.file import failure_in, parse_machine
from gpuenv.model.machine import Machine
from gpuenv.report import escaped, visible
from gpuenv.system.files import present, read_text, write_atomic

LARGEST = 64 << 20
"""Bytes of the largest file of a host that is read."""

EVIDENCE = ("README.md", "evidence.json", "report.html", "training_log.txt", "env_info.txt", "torch_version.txt",
            "cuda_check.txt", "nvidia_smi.txt")  # fmt: skip
"""What is taken from a host's folder of evidence; other names are passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostProblem:
    """Why a step failed on a host. ``kind``: ``unreachable``, or the code of gpuenv's error there."""

    step: str
    kind: str
    message: str
    causes: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetHost:
    """What the desk knows of one host. ``machine`` is ``None`` before its first answer, and where that was an error."""

    name: str
    machine: Machine | None = None
    pythons: tuple[str, ...] = ()
    """Minor versions of Python that an environment can have there, oldest first."""
    problem: HostProblem | None = None
    built: Mapping[str, object] = field(default_factory=dict)
    """What the last build there was: ``lock_sha256``, ``driver``, ``verified``, ``torch``, ``python``, ``seconds``."""
    evidence: Mapping[str, object] | None = None
    """``evidence.json`` of its last proof."""
    health: Mapping[str, object] = field(default_factory=dict)
    """What DCGM, nvbandwidth and nccl-tests said, by their name, where they are installed."""

    def is_done(self, lock_sha256: str, *, proved: bool) -> bool:
        """Whether the environment there was built from this lock under the driver that is there now, and is proved."""
        if self.machine is None or self.built.get("lock_sha256") != lock_sha256:
            return False
        driver = self.machine.driver.version if self.machine.driver is not None else None
        if self.built.get("driver") != driver:
            return False
        if not proved:
            return True
        value = self.evidence or {}
        about, machine = value.get("about"), value.get("machine")
        if value.get("verdict") not in ("passed", "unusual") or not isinstance(about, dict):
            return False
        then = machine.get("driver") if isinstance(machine, dict) else None
        now = then.get("version") if isinstance(then, dict) else None
        return about.get("lock_sha256") == lock_sha256 and now == driver


@dataclass(frozen=True, slots=True)
class Desk:
    """The folder. Host names become folder names; one that is no name of a folder is refused."""

    folder: Path

    def host_folder(self, name: str) -> Path:
        """Where what a host said lies."""
        return self.folder / "hosts" / host_key(name)

    def names(self) -> tuple[str, ...]:
        """The hosts that the desk knows."""
        found = (self.folder / "hosts").glob("*/host.json")
        return tuple(sorted(str(_table(path).get("name", path.parent.name)) for path in found))

    def host(self, name: str) -> FleetHost:
        """Read what is known of a host. Raises :class:`ConfigurationError` for a file that is not what it should be."""
        place = self.host_folder(name)
        about, problem = _table(place / "host.json"), _table(place / "problem.json")
        pythons = about.get("pythons")
        said, broken = self._machine(place / "machine.json")
        evidence = _table(place / "evidence" / "evidence.json")
        return FleetHost(
            name=name,
            machine=said,
            pythons=tuple(map(str, pythons)) if isinstance(pythons, list) else (),
            problem=_problem(problem) or broken,
            built=_table(place / "built.json"),
            evidence=evidence or None,
            health=_table(place / "health.json"),
        )

    def _machine(self, path: Path) -> tuple[Machine | None, HostProblem | None]:
        if not present(path):
            return None, None
        text = read_text(path, what="the machine file", most=LARGEST)
        machine = parse_machine(text, origin=str(path), failed=True)
        failure = failure_in(text)
        if failure is None:
            return machine, None
        problem = HostProblem(
            step="detect", kind="driver-broken", message=failure.summary, causes=failure.causes,
            hints=tuple(map(str, failure.hints)),
        )  # fmt: skip
        return None, problem

    def keep(self, name: str, file: str, value: object) -> None:
        """Write one of a host's files in one step; ``None`` removes it."""
        path = self.host_folder(name) / file
        if value is None:
            path.unlink(missing_ok=True)
            return
        self.write(path, json.dumps(value, indent=1, ensure_ascii=False))

    def keep_problem(self, name: str, problem: HostProblem | None) -> None:
        """Remember why a step failed on a host, or that none did."""
        self.keep(name, "problem.json", None if problem is None else asdict(problem))

    def keep_evidence(self, name: str, files: Mapping[str, object]) -> None:
        """Write the evidence that came from a host, ``evidence.json`` last."""
        for file in sorted(EVIDENCE, key="evidence.json".__eq__):
            text = files.get(file)
            if isinstance(text, str):
                shown = escaped(text) if file.endswith(".json") else "\n".join(map(visible, text.split("\n")))
                write_atomic(self.host_folder(name) / "evidence" / file, shown, what="the evidence")

    def write(self, path: Path, text: str) -> None:
        """Write a file of the desk; what a host said in it commands no terminal."""
        write_atomic(path, escaped(text) + "\n", what="the fleet's file")


def host_key(name: str) -> str:
    """The folder of a host: its name, with ``_`` for what folders' names do not hold everywhere.

    >>> host_key("gpu1.example.org"), host_key("[::1]")
    ('gpu1.example.org', '___1_')
    """
    return re.sub(r"[^A-Za-z0-9._-]|\A\.+", "_", name)


def require_distinct(names: Iterable[str]) -> None:
    """Refuse two hosts whose files would lie in one folder."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(host_key(name), name)
        if other != name:
            raise UsageError(f"hosts {other} and {name} would have one folder: name one of them by an alias")


def _problem(value: Mapping[str, object]) -> HostProblem | None:
    if not value:
        return None

    def texts(key: str) -> tuple[str, ...]:
        found = value.get(key)
        return tuple(map(str, found)) if isinstance(found, list) else ()

    return HostProblem(
        step=str(value.get("step", "")),
        kind=str(value.get("kind", "")),
        message=str(value.get("message", "")),
        causes=texts("causes"),
        hints=texts("hints"),
    )


def _table(path: Path) -> Mapping[str, object]:
    """The object in a JSON file; empty where there is no file."""
    if not present(path):
        return {}
    try:
        value = parse_json(read_text(path, what="the fleet's file", most=LARGEST))
    except DocumentError as error:
        raise ConfigurationError(f"{path} is not JSON", causes=(str(error),)) from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path} holds no object")
    return value
