"""What is wrong with an environment, and the one command that fixes it; pure over an examination."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from shlex import quote

from packaging.utils import canonicalize_name

from gpuenv.doctor.examination import Examination
from gpuenv.doctor.family import diagnose_family
from gpuenv.doctor.finding import Finding, worst_first
from gpuenv.doctor.requirements import unfit, unmet
from gpuenv.installed.compare import CHANGED, Difference
from gpuenv.installed.drift import Change
from gpuenv.installed.torch import TorchFacts
from gpuenv.knowledge.base import Knowledge
from gpuenv.knowledge.rules import NoCode
from gpuenv.model.machine import Gpu, Machine

SHOWN = 4
"""How many packages or files a finding names before it only counts."""


def diagnose_environment(examination: Examination, *, knowledge: Knowledge) -> tuple[Finding, ...]:
    """Judge an environment, errors first: its files, its origin, torch against the machine, torch's family."""
    facts = examination.facts
    findings = [*_files(examination), *_origin(examination), *_sets(examination, knowledge)]
    if facts.torch is None:
        findings.append(
            Finding(
                subject="torch",
                severity="error",
                summary="torch is not installed in this environment",
                detail=str(facts.site or facts.path),
                fix=rebuild(examination),
            )
        )
    else:
        findings += _torch(examination, facts.torch, knowledge)
        findings += _compile(examination, facts.torch)
    findings += diagnose_family(examination, knowledge=knowledge, fix=rebuild(examination))
    return worst_first(findings)


def rebuild(examination: Examination) -> str:
    """The command that builds this environment again, and touches nothing else; for one that is not ours, the one that
    builds another beside it."""
    facts, target = examination.facts, quote(examination.shown)
    if facts.marker is None:
        build = f"gpuenv create --profile {quote(examination.profile)}" if examination.profile else "gpuenv create"
        if facts.marker_problem:
            return f"mv {target} {quote(f'{examination.shown}.old')} && {build} {target}"
        return f"{build} {quote(examination.beside)}"
    profile = quote(facts.marker.profile)
    build = f"gpuenv create --profile {profile} {target}"
    if examination.additions:
        build += " --discard-added"
    return f"gpuenv lock --profile {profile} --upgrade && {build}" if examination.lock_refuses else build


def _reinstall(examination: Examination, packages: Iterable[str]) -> str:
    """The command that brings packages back: from the lock, or, where gpuenv did not build, from where they came."""
    facts, names = examination.facts, sorted(set(packages))
    versions = {each.name: each.version for each in facts.distributions}
    if facts.marker is not None or facts.marker_problem or any("+" in versions.get(name, "+") for name in names):
        return rebuild(examination)
    wanted = " ".join(quote(f"{name}=={versions[name]}") for name in names)
    return f"uv pip install --python {quote(examination.shown)} --no-deps --reinstall {wanted}"


def _files(examination: Examination) -> Iterator[Finding]:
    facts, compared = examination.facts, examination.compared
    findings = [*_broken(examination), *_changed_files(examination), *_clashes(examination), *_leftovers(examination)]
    starting = [each for each in compared.differences if each.kind == "startup"]
    if starting:
        findings.append(
            Finding(
                subject="files",
                severity="warning",
                summary=f"{_some([each.path for each in starting])} runs at every start of the interpreter",
                detail="; ".join(each.detail for each in starting[:SHOWN]),
                fix=_without(examination, starting),
            )
        )
    yield from findings
    if not findings:
        packages = _count(facts.distributions, "package", "packages")
        yield Finding(subject="files", severity="ok", summary=f"{packages}; compared with RECORD: {compared.summary}")


def _without(examination: Examination, starting: list[Difference]) -> str:
    owners = sorted({each.package for each in starting if each.package})
    if owners:
        return f"uv pip uninstall --python {quote(examination.shown)} {' '.join(owners)}"
    return " ".join(["rm", *(quote(f"{examination.shown}/{each.path}") for each in starting)])


def _broken(examination: Examination) -> Iterator[Finding]:
    facts = examination.facts
    if facts.problems:
        halves = [each.name for each in facts.distributions if each.problem]
        whole = facts.python is not None and facts.site is not None
        yield Finding(
            subject="files",
            severity="error",
            summary="the environment is broken: " + facts.problems[0],
            detail="; ".join(facts.problems[1:]),
            fix=_reinstall(examination, halves) if whole else rebuild(examination),
        )


def _changed_files(examination: Examination) -> Iterator[Finding]:
    changed = [each for each in examination.compared.differences if each.kind in CHANGED]
    code, data = [each for each in changed if each.code], [each for each in changed if not each.code]
    for differences, severity, what, note in (
        (code, "error", "code", ""),
        (data, "warning", "data", "a site may have done it on purpose; "),
    ):
        if not differences:
            continue
        packages = sorted({each.package for each in differences if each.package})
        count = _count(differences, f"{what} file is", f"{what} files are")
        yield Finding(
            subject="files",
            severity="error" if severity == "error" else "warning",
            summary=f"{count} missing or not what RECORD says, of {_some(packages)}",
            detail=note + "; ".join(str(each) for each in differences[:SHOWN]),
            fix=_reinstall(examination, packages),
        )


def _clashes(examination: Examination) -> Iterator[Finding]:
    """Files of two packages: one finding for each pair, with who overwrote whom."""
    pairs: dict[tuple[str, str], list[Difference]] = {}
    for each in examination.compared.differences:
        if each.kind == "clash":
            pairs.setdefault((each.by, each.package), []).append(each)
    for (by, package), differences in sorted(pairs.items()):
        grave = any(each.code for each in differences)
        versions = examination.facts.versions
        winner = f"{by} {versions.get(by, '')}" if by else "another package"
        yield Finding(
            subject="files",
            severity="error" if grave else "warning",
            summary=f"{winner} overwrote {_count(differences, 'file', 'files')} of {package} {versions[package]}",
            detail="; ".join(each.path for each in differences[:SHOWN]),
            fix=_part(examination, by, package) if grave else rebuild(examination),
        )


def _part(examination: Examination, by: str, package: str) -> str:
    """The command that takes one of two packages out that share files, and brings the other's files back."""
    facts = examination.facts
    if facts.marker is not None or facts.marker_problem or not by:
        return rebuild(examination)
    python = f"--python {quote(examination.shown)}"
    return f"uv pip uninstall {python} {by} && {_reinstall(examination, [package])}"


def _leftovers(examination: Examination) -> Iterator[Finding]:
    for site in examination.facts.leftovers:
        folder = site.parent.relative_to(examination.facts.path).as_posix()
        yield Finding(
            subject="files",
            severity="warning",
            summary=f"{folder} is of another Python: the interpreter here ({examination.facts.python_version}) "
            "does not use it",
            detail=str(site),
            fix=f"rm -r {quote(f'{examination.shown}/{folder}')}",
        )


def _origin(examination: Examination) -> Iterator[Finding]:
    facts = examination.facts
    if facts.marker_problem:
        yield Finding(
            subject="origin",
            severity="error",
            summary=f"what it was built from is lost: {facts.marker_problem}",
            detail="gpuenv does not replace an environment that it cannot tell to be its own",
            fix=rebuild(examination),
        )
    elif facts.marker is None:
        yield Finding(
            subject="origin",
            severity="ok",
            summary=f"a {facts.kind} environment that gpuenv did not build: nothing says what should be in it",
        )
    elif examination.lock_moved_on:
        yield Finding(
            subject="origin",
            severity="warning",
            summary=f"{facts.marker.lock_name} has changed since this environment was built from it",
            detail=f"built {facts.marker.created}",
            fix=rebuild(examination),
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
            fix=rebuild(examination),
        )
    if others:
        additions = ", ".join(f"{each.name} {each.version}" for each in examination.additions)
        yield Finding(
            subject="drift",
            severity="warning",
            summary=f"{_count(others, 'package is', 'packages are')} not as in {against}: "
            + _some([_said(each) for each in others]),
            detail=f"building it again takes away {additions}" if additions else "",
            fix=rebuild(examination),
        )


def _sets(examination: Examination, knowledge: Knowledge) -> Iterator[Finding]:
    """The set of packages: two of one name, code without metadata, what does not fit this Python or platform."""
    facts = examination.facts
    twice: dict[str, list[str]] = {}
    for each in facts.distributions:
        twice.setdefault(each.name, []).append(each.version)
    for name, versions in twice.items():
        if len(versions) > 1:
            yield Finding(
                subject="packages",
                severity="error",
                summary=f"{name} is installed {len(versions)} times: {', '.join(versions)}",
                detail="; ".join(each.info for each in facts.distributions if each.name == name),
                fix=_reinstall(examination, [name]),
            )
    asked = {canonicalize_name(each.name) for each in unmet(facts, examination.machine) if each.found is None}
    for folder in facts.orphans:
        name = canonicalize_name(folder.name)
        if name in asked or name == "triton" or knowledge.role(name) in ("core", "companion"):
            yield Finding(
                subject="packages",
                severity="error",
                summary=f"{folder.name} is there without its metadata: no installer sees it, and none will replace it",
                detail=str(folder),
                fix=rebuild(examination),
            )
    strange = list(unfit(facts, examination.machine))
    if strange:
        yield Finding(
            subject="packages",
            severity="error",
            summary="; ".join(strange[:3]) + (f"; and {len(strange) - 3} more" if len(strange) > 3 else ""),
            detail="Requires-Python and the tags of the wheels",
            fix=rebuild(examination),
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
    machine = examination.machine
    if torch.hip:
        yield Finding(
            subject="torch",
            severity="error" if machine is None or machine.gpus else "warning",
            summary=f"torch {torch.version} is a build for AMD GPUs (ROCm {torch.hip})",
            detail="torch/version.py",
            fix=rebuild(examination),
        )
    elif not torch.cuda:
        yield from _cpu_build(examination, torch)
    elif machine is not None and not machine.gpus:
        yield Finding(
            subject="torch",
            severity="warning",
            summary=f"torch {torch.version} is a CUDA build; without an NVIDIA GPU here it computes on the CPU",
            detail="torch/version.py",
            fix=f"gpuenv create --profile cpu {quote(examination.beside)}",
        )
    else:
        yield Finding(subject="torch", severity="ok", summary=f"torch {torch.version}, built with CUDA {torch.cuda}")
        if machine is not None:
            yield from _driver(examination, machine, torch, knowledge)
            for gpu in machine.gpus:
                yield _kernels(examination, gpu, machine, torch, knowledge)


def _cpu_build(examination: Examination, torch: TorchFacts) -> Iterator[Finding]:
    machine, facts = examination.machine, examination.facts
    package = next((each for each in facts.distributions if each.name == "torch"), None)
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
        fix=rebuild(examination),
    )


def _driver(examination: Examination, machine: Machine, torch: TorchFacts, knowledge: Knowledge) -> Iterator[Finding]:
    driver = machine.driver
    floor = knowledge.driver_floor(knowledge.variant_of(torch.cuda), machine.driver_os)
    if driver is not None and floor is not None and knowledge.driver_reach(machine, floor.minimum) is None:
        yield Finding(
            subject="driver",
            severity="error",
            summary=f"driver {driver.version} ({driver.place}) is too old for CUDA {torch.cuda}, "
            f"which needs {floor.minimum} or newer",
            detail=floor.source,
            fix=rebuild(examination),
        )


def _kernels(examination: Examination, gpu: Gpu, machine: Machine, torch: TorchFacts, knowledge: Knowledge) -> Finding:
    fix = rebuild(examination)
    subject, name = f"GPU {gpu.index}", f"{gpu.name} ({gpu.compute_capability})"
    if torch.sass is None:
        return Finding(
            subject=subject,
            severity="warning",
            summary=f"whether torch {torch.version} has code for {name} cannot be told from its files",
            detail=f"{torch.origin} is missing",
            fix=f"gpuenv verify {quote(examination.shown)}",
        )
    answer = knowledge.serve_installed(
        gpu.compute_capability, machine=machine, sass=torch.sass, ptx=torch.ptx or (), cuda=torch.cuda
    )
    if isinstance(answer, NoCode):
        return Finding(
            subject=subject,
            severity="error",
            summary=f"torch {torch.version} has no code that runs on {name}",
            detail=f"{answer.detail} ({torch.origin})",
            fix=fix,
        )
    return Finding(
        subject=subject,
        severity="warning" if answer.warning or answer.support == "ptx" else "ok",
        summary=f"{name} is served by {answer.by}" + (f": {answer.warning}" if answer.warning else ""),
        detail=torch.origin,
        fix=fix if answer.support == "ptx" else "",
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
            fix="sudo apt install gcc",
        )
    if not examination.headers:
        version = ".".join(facts.python_version.split(".")[:2])
        yield Finding(
            subject="torch.compile",
            severity="warning",
            summary="Python.h is missing, so torch.compile will fail at its first use",
            detail=f"the base interpreter is in {facts.base}",
            fix=f"uv python install {version}",
        )
    toolkit = examination.toolkit
    if toolkit is not None and toolkit.partition(".")[0] != torch.cuda.partition(".")[0]:
        yield Finding(
            subject="toolkit",
            severity="warning",
            summary=f"the toolkit at CUDA_HOME is {toolkit}, torch was built with {torch.cuda}: "
            "extensions that compile themselves will refuse",
            detail="version.json of the toolkit",
            fix="unset CUDA_HOME",
        )


def _count(things: Sized, one: str, many: str) -> str:
    return f"{len(things)} {one if len(things) == 1 else many}"


def _some(texts: list[str]) -> str:
    more = len(texts) - SHOWN
    return ", ".join(texts[:SHOWN]) + (f" and {more} more" if more > 0 else "")
