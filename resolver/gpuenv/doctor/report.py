"""The report of a diagnosis: one file that a person can send, as JSON, without what is only theirs; pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.doctor.finding import Finding
from gpuenv.doctor.redaction import Redaction
from gpuenv.documents import DocumentError, parse_json
from gpuenv.errors import ConfigurationError
from gpuenv.installed.environment import EnvironmentFacts
from gpuenv.knowledge.rules import Code
from gpuenv.machine.detection import Detection
from gpuenv.machine.file import REPORT
from gpuenv.machine.problem import DriverProblem
from gpuenv.model.library import PackageFacts
from gpuenv.model.machine import Machine
from gpuenv.report import escaped

FILENAME = "gpuenv-report.json"
"""Where a report is written where no other name is given."""

LARGEST = 16 << 20
"""Bytes of the largest file that is taken for a report."""

CONTENT = (
    "this machine as `gpuenv detect` shows it, the findings, versions, names and versions of the installed packages, "
    "NVIDIA's libraries, names of settings and variables with where each is set"
)
LEFT_OUT = (
    "values of settings and variables that no finding names, credentials, paths of addresses, names of user and host, "
    "the home folder, identifiers of GPUs"
)
_TELLING = (
    "CUDA", "NVIDIA", "LD_", "PYTHON", "TORCH", "PYTORCH", "NCCL", "UV_", "PIP_", "GPUENV_", "CONDA", "VIRTUAL_ENV",
    "SLURM", "PBS", "LSB_", "KUBERNETES", "RAY_", "TRITON", "XDG_CACHE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "SSL_CERT", "REQUESTS_CA", "BNB_", "CC", "CXX",
)  # fmt: skip
"""How the variables begin whose being set tells something of a GPU environment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is known beside machine and environment."""

    created: str
    """When, RFC 3339, UTC."""
    versions: Mapping[str, str]
    """Of gpuenv, this Python, the kernel."""
    settings: Mapping[str, str]
    """Where each option was said, by its name."""
    variables: Iterable[str]
    """Names of the variables that are set."""


def make_report(
    *,
    circumstances: Circumstances,
    detection: Detection,
    facts: EnvironmentFacts | None,
    shown: str,
    extensions: Sequence[PackageFacts],
    findings: Sequence[Finding],
    redaction: Redaction,
) -> str:
    """Write the report as JSON. The same values give the same bytes.

    A machine file is read out of it (``--machine``), and `gpuenv doctor --from` shows its findings.
    """
    machine = _machine(detection.machine, redaction)  # first, so that GPU-0 is the first GPU
    document = {
        "schema": {"name": REPORT, "version": "1"},
        "created": circumstances.created,
        "versions": dict(circumstances.versions),
        "machine": machine,
        "errors": redaction.all([_problem(detection.problem)] if detection.problem is not None else []),
        "notes": redaction.all(detection.notes),
        "driver_libraries": redaction.all(_driver_libraries(detection)),
        "schedulers": [job.name for job in detection.evidence.jobs] if detection.evidence is not None else [],
        "settings": redaction.all(dict(sorted(circumstances.settings.items()))),
        "variables": sorted(name for name in circumstances.variables if name.upper().startswith(_TELLING)),
        "environment": None if facts is None else _environment(facts, shown, extensions, redaction),
        "findings": [
            {key: value if key in ("severity", "kind") else redaction.all(value) for key, value in asdict(each).items()}
            for each in findings
        ],
    }
    return escaped(json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)) + "\n"


def _machine(machine: Machine, redaction: Redaction) -> dict[str, object]:
    """The machine file. Its values of a few forms name nobody, whatever a user is called."""
    gpus = tuple(replace(gpu, uuid=redaction(gpu.uuid)) for gpu in machine.gpus)
    sources = tuple((path, redaction(source)) for path, source in machine.sources)
    return replace(machine, gpus=gpus, sources=sources).to_json()


def _problem(problem: DriverProblem) -> dict[str, object]:
    """As `gpuenv detect --json` prints it."""
    return {"code": problem.kind, "message": problem.summary, "causes": problem.causes, "hints": problem.advice}


def _driver_libraries(detection: Detection) -> list[str]:
    evidence = detection.evidence
    if evidence is None:
        return []
    found = [evidence.answer.libcuda, *evidence.remains.libraries]
    return list(dict.fromkeys(each for each in found if each))


def _environment(
    facts: EnvironmentFacts, shown: str, extensions: Sequence[PackageFacts], redaction: Redaction
) -> dict[str, object]:
    marker = facts.marker
    built = None
    if marker is not None:
        built = {"gpuenv": marker.gpuenv, "uv": marker.uv, "profile": marker.profile, "lock": marker.lock_name,
                 "created": marker.created}  # fmt: skip
    return {
        "path": redaction(shown),
        "kind": facts.kind,
        "python": facts.python_version,
        "base": redaction(facts.base),
        "system_site_packages": facts.system_site_packages,
        "built_by_gpuenv": built,
        "torch": None if facts.torch is None else asdict(facts.torch),
        "nvidia": {name: version for name, version in sorted(facts.versions.items()) if name.startswith("nvidia-")},
        "device_code": [
            {"name": each.project, "version": each.version, "sass": _codes(each, "sass"), "ptx": _codes(each, "ptx")}
            for each in extensions
            if any(library.has_device_code for library in each.libraries)
        ],
        "distributions": [
            {
                "name": each.name,
                "version": redaction(each.version),
                "installer": each.installer,
                "origin": redaction(each.origin),
                "problem": redaction(each.problem),
            }
            for each in (*facts.inherited, *facts.distributions)
        ],
    }


def _codes(package: PackageFacts, kind: Literal["sass", "ptx"]) -> list[str]:
    """The architectures that its libraries have code for, ascending."""
    found = {code for each in package.libraries for code in (each.sass if kind == "sass" else each.ptx)}
    return sorted(found, key=lambda code: (Code.parse(code) or (), code))


def read_findings(text: str, *, origin: str) -> tuple[str | None, tuple[Finding, ...]]:
    """Read the environment's name and the findings of a report; ``origin`` names the file in errors.

    Raises :class:`~gpuenv.errors.ConfigurationError` for what is none.
    """
    hint = "Write one on the machine in question: `gpuenv doctor --report`"
    try:
        value = parse_json(text)
    except DocumentError as error:
        raise ConfigurationError(f"{origin}: not JSON ({error})", hints=(hint,)) from error
    schema = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(schema, dict) or schema.get("name") != REPORT:
        raise ConfigurationError(f"{origin} is not a report of `gpuenv doctor --report`", hints=(hint,))
    rows, there = value.get("findings"), value.get("environment")
    path = there.get("path") if isinstance(there, dict) else None
    try:
        findings = tuple(_finding(row) for row in rows) if isinstance(rows, list) else ()
    except (TypeError, ValueError):
        raise ConfigurationError(f"{origin}: its findings cannot be read", hints=(hint,)) from None
    return path if isinstance(path, str) else None, findings


def _finding(row: object) -> Finding:
    if not isinstance(row, dict) or not all(isinstance(value, str) for value in row.values()):
        raise TypeError
    if row.get("severity") not in ("ok", "warning", "error"):
        raise ValueError
    return Finding(**row)
