"""What is wrong with an environment, and the one command that mends it; pure over an examination."""

from __future__ import annotations

from collections.abc import Iterator, Sized

from gpuenv.doctor.examination import Examination
from gpuenv.doctor.family import diagnose_family
from gpuenv.doctor.finding import Finding, worst_first
from gpuenv.environment.drift import Change
from gpuenv.environment.inspect import EnvironmentFacts, TorchFacts
from gpuenv.knowledge.base import Knowledge
from gpuenv.knowledge.rules import Refusal
from gpuenv.model.machine import Gpu, Machine

SHOWN = 4
"""How many packages or files a finding names before it only counts."""


def diagnose_environment(examination: Examination, *, knowledge: Knowledge) -> tuple[Finding, ...]:
    """Judge an environment, errors first: its files, its origin, torch against the machine, torch's family."""
    facts = examination.facts
    findings = [*_files(examination), *_origin(examination)]
    if facts.torch is None:
        findings.append(
            Finding(
                subject="torch",
                severity="error",
                summary="torch is not installed in this environment",
                detail=str(facts.site or facts.path),
                mend=_rebuild(facts),
            )
        )
    else:
        findings += _torch(examination, facts.torch, knowledge)
        findings += diagnose_family(examination, knowledge=knowledge, mend=_rebuild(facts))
        findings += _compile(examination, facts.torch)
    return worst_first(findings)


def _rebuild(facts: EnvironmentFacts) -> str:
    return f"gpuenv create --profile {facts.marker.profile}" if facts.marker else "gpuenv create"


def _files(examination: Examination) -> Iterator[Finding]:
    facts = examination.facts
    if facts.broken:
        yield Finding(
            subject="files",
            severity="error",
            summary="the environment is broken: " + facts.broken[0],
            detail="; ".join(facts.broken[1:]),
            mend=_rebuild(facts),
        )
    missing = [each for each in examination.damaged if each.kind in ("missing", "size", "hash", "link", "record")]
    starting = [each for each in examination.damaged if each.kind == "startup"]
    if missing:
        packages = sorted({each.package for each in missing if each.package})
        yield Finding(
            subject="files",
            severity="error",
            summary=f"{_count(missing, 'file is', 'files are')} missing or not what RECORD says, of {_some(packages)}",
            detail="; ".join(str(each) for each in missing[:SHOWN]),
            mend=_rebuild(facts),
        )
    if starting:
        yield Finding(
            subject="files",
            severity="warning",
            summary=f"{_some([each.path for each in starting])} runs at every start of the interpreter",
            detail="; ".join(each.detail for each in starting[:SHOWN]),
            mend=_rebuild(facts),
        )
    if not (facts.broken or missing or starting):
        yield Finding(
            subject="files",
            severity="ok",
            summary=f"{_count(facts.packages, 'package', 'packages')}, every file as recorded",
        )


def _origin(examination: Examination) -> Iterator[Finding]:
    facts = examination.facts
    if facts.marker is None:
        yield Finding(
            subject="origin",
            severity="warning",
            summary="gpuenv did not build this environment, so nothing says what should be in it",
            detail=f"{facts.path} has no gpuenv.json (it is a {facts.kind} environment)",
            mend="gpuenv create",
        )
    elif examination.lock_moved_on:
        yield Finding(
            subject="origin",
            severity="warning",
            summary=f"{facts.marker.lock_name} has changed since this environment was built from it",
            detail=f"built {facts.marker.created}",
            mend=_rebuild(facts),
        )
    against = examination.lock_name or "what it was built with"
    family = [each for each in examination.changes if each.family]
    others = [each for each in examination.changes if not each.family]
    if family:
        yield Finding(
            subject="drift",
            severity="error",
            summary=f"torch's family is not as in {against}: {_some([_said(each) for each in family])}",
            detail="; ".join(f"{each.name}: by {each.by} at {each.when}" for each in family if each.by),
            mend=_rebuild(facts),
        )
    if others:
        yield Finding(
            subject="drift",
            severity="warning",
            summary=f"{_count(others, 'package is', 'packages are')} not as in {against}: "
            + _some([_said(each) for each in others]),
            mend=_rebuild(facts),
        )


def _said(change: Change) -> str:
    match change.kind:
        case "added":
            return f"{change.name} {change.found} was added"
        case "removed":
            return f"{change.name} {change.expected} was removed"
        case "changed":
            return f"{change.name} {change.expected} became {change.found}"
        case "replaced":
            return f"{change.name} {change.found} was replaced by another build"
        case "broken":
            return f"{change.name} is broken ({change.detail})"


def _torch(examination: Examination, torch: TorchFacts, knowledge: Knowledge) -> Iterator[Finding]:
    machine, facts = examination.machine, examination.facts
    if torch.hip:
        yield Finding(
            subject="torch",
            severity="error" if machine is None or machine.gpus else "warning",
            summary=f"torch {torch.version} is a build for AMD GPUs (ROCm {torch.hip})",
            detail="torch/version.py",
            mend=_rebuild(facts),
        )
    elif not torch.cuda:
        yield from _cpu_build(examination, torch)
    elif machine is not None and not machine.gpus:
        yield Finding(
            subject="torch",
            severity="warning",
            summary=f"torch {torch.version} is a CUDA build; without an NVIDIA GPU here it computes on the CPU",
            detail="torch/version.py",
            mend="gpuenv create --profile cpu",
        )
    else:
        yield Finding(subject="torch", severity="ok", summary=f"torch {torch.version}, built with CUDA {torch.cuda}")
        if machine is not None:
            yield from _driver(machine, torch, knowledge)
            for gpu in machine.gpus:
                yield _kernels(gpu, machine, torch, knowledge, _rebuild(facts))


def _cpu_build(examination: Examination, torch: TorchFacts) -> Iterator[Finding]:
    machine, facts = examination.machine, examination.facts
    package = next((each for each in facts.packages if each.name == "torch"), None)
    by = f", installed by {package.installer}" if package and package.installer else ""
    wanted = facts.marker is not None and facts.marker.profile == "cpu"
    if machine is None or not machine.gpus or wanted:
        yield Finding(subject="torch", severity="ok", summary=f"torch {torch.version}, a CPU build{by}")
        return
    names = ", ".join(gpu.name for gpu in machine.gpus)
    yield Finding(
        subject="torch",
        severity="error",
        summary=f"torch {torch.version} is a CPU build, and this machine has {names}",
        detail=f"torch/version.py has no CUDA version{by}"
        + (f" from {package.origin}" if package and package.origin else ""),
        mend="gpuenv create" if facts.marker is None else _rebuild(facts),
    )


def _driver(machine: Machine, torch: TorchFacts, knowledge: Knowledge) -> Iterator[Finding]:
    driver = machine.driver
    floor = knowledge.driver_floor(knowledge.variant_of(torch.cuda), machine.driver_os)
    if driver is not None and floor is not None and knowledge.driver_reach(machine, floor.minimum) is None:
        yield Finding(
            subject="driver",
            severity="error",
            summary=f"driver {driver.version} ({driver.place}) is too old for CUDA {torch.cuda}, "
            f"which needs {floor.minimum} or newer",
            detail=floor.source,
            mend="gpuenv create",
        )


def _kernels(gpu: Gpu, machine: Machine, torch: TorchFacts, knowledge: Knowledge, mend: str) -> Finding:
    subject, name = f"GPU {gpu.index}", f"{gpu.name} ({gpu.compute_capability})"
    if torch.sass is None:
        return Finding(
            subject=subject,
            severity="warning",
            summary=f"whether torch {torch.version} has code for {name} cannot be told from its files",
            detail=f"{torch.origin} is missing",
            mend="gpuenv verify",
        )
    answer = knowledge.serve_installed(
        gpu.compute_capability, machine=machine, sass=torch.sass, ptx=torch.ptx or (), cuda=torch.cuda
    )
    if isinstance(answer, Refusal):
        return Finding(
            subject=subject,
            severity="error",
            summary=f"torch {torch.version} has no code that runs on {name}",
            detail=f"{answer.detail} ({torch.origin})",
            mend=mend,
        )
    return Finding(
        subject=subject,
        severity="warning" if answer.warning or answer.support == "ptx" else "ok",
        summary=f"{name} is served by {answer.by}" + (f": {answer.warning}" if answer.warning else ""),
        detail=torch.origin,
        mend=mend if answer.support == "ptx" else "",
    )


def _compile(examination: Examination, torch: TorchFacts) -> Iterator[Finding]:
    """torch.compile builds a small C module at its first use, with the system's compiler and Python's headers."""
    machine, facts = examination.machine, examination.facts
    if not torch.cuda or machine is None or not machine.gpus or machine.os != "linux":
        return
    if examination.compiler is None:
        yield Finding(
            subject="torch.compile",
            severity="warning",
            summary="there is no C compiler, so torch.compile will fail at its first use",
            detail="neither CC nor cc, gcc, clang on PATH",
            mend="sudo apt install gcc",
        )
    if not examination.headers:
        version = ".".join(facts.python_version.split(".")[:2])
        yield Finding(
            subject="torch.compile",
            severity="warning",
            summary="Python.h is missing, so torch.compile will fail at its first use",
            detail=f"the base interpreter is in {facts.base}",
            mend=f"uv python install {version}",
        )
    toolkit = examination.toolkit
    if toolkit is not None and toolkit.partition(".")[0] != torch.cuda.partition(".")[0]:
        yield Finding(
            subject="toolkit",
            severity="warning",
            summary=f"the toolkit at CUDA_HOME is {toolkit}, torch was built with {torch.cuda}: "
            "extensions that compile themselves will refuse",
            detail="version.json of the toolkit",
            mend="unset CUDA_HOME",
        )


def _count(things: Sized, one: str, many: str) -> str:
    return f"{len(things)} {one if len(things) == 1 else many}"


def _some(texts: list[str]) -> str:
    more = len(texts) - SHOWN
    return ", ".join(texts[:SHOWN]) + (f" and {more} more" if more > 0 else "")
