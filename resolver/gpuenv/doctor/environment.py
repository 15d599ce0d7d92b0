"""What is wrong with an environment, and the one command that fixes it; pure over an examination."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from functools import partial

from packaging.utils import canonicalize_name

from gpuenv.doctor.compiler import diagnose_compiler
from gpuenv.doctor.examination import Examination
from gpuenv.doctor.extensions import diagnose_extensions
from gpuenv.doctor.family import diagnose_family
from gpuenv.doctor.finding import Finding, worst_first
from gpuenv.doctor.missing import diagnose_missing
from gpuenv.doctor.requirements import unfit, unmet
from gpuenv.installed.compare import CHANGED, Difference
from gpuenv.installed.distribution import Distribution
from gpuenv.installed.drift import PackageChange
from gpuenv.installed.torch import TorchFacts
from gpuenv.knowledge.base import Knowledge
from gpuenv.knowledge.rules import NoCode
from gpuenv.model.machine import Gpu, Machine
from gpuenv.shell import quote, remove_files, remove_folders, then

SHOWN = 4
"""How many packages or files a finding names before it only counts."""

_of_files = partial(Finding, subject="files")


def diagnose_environment(examination: Examination, *, knowledge: Knowledge) -> tuple[Finding, ...]:
    """Examine an environment, errors first: its files, its origin, torch against the machine, torch's family."""
    facts, fix = examination.facts, rebuild(examination)
    findings = [*_files(examination), *_origin(examination, fix), *_sets(examination, knowledge, fix)]
    if facts.torch is None:
        listed = facts.version_of("torch")
        there = f"torch {listed} is installed, and its torch/version.py cannot be read"
        said = there if listed else "torch is not installed in this environment"
        missing = partial(Finding, subject="torch", severity="error", kind="torch-missing", fix=fix)
        findings.append(missing(summary=said, detail=str(facts.site or facts.path)))
    else:
        findings += _torch(examination, facts.torch, knowledge, fix)
        findings += diagnose_compiler(examination, facts.torch, fix=fix)
        findings += diagnose_extensions(examination, knowledge=knowledge)
        findings += diagnose_missing(examination, fix=fix)
    findings += diagnose_family(examination, knowledge=knowledge, fix=fix)
    return worst_first(findings)


def rebuild(examination: Examination, *, upgrade: bool = False) -> str:
    """The command that builds this environment again, and touches nothing else; for one that is not ours, the one that
    builds another beside it. ``upgrade`` decides again, though the lock holds."""
    facts, target = examination.facts, quote(examination.shown)
    if facts.marker is None:
        build = f"gpuenv create --profile {quote(examination.profile)}" if examination.profile else "gpuenv create"
        if facts.marker_problem:
            return then(f"mv {target} {quote(f'{examination.shown}.old')}", f"{build} {target}")
        return f"{build} {quote(examination.beside)}"
    profile = quote(facts.marker.profile)
    build = f"gpuenv create --profile {profile} {target}"
    if examination.additions:
        build += " --discard-added"
    if facts.kind != "gpuenv":  # without a pyvenv.cfg `create` does not take it for one of ours
        return then(f"mv {target} {quote(f'{examination.shown}.old')}", build)
    relocks = upgrade or examination.lock_refuses
    return then(f"gpuenv lock --profile {profile} --upgrade", build) if relocks else build


def _reinstall(examination: Examination, packages: Iterable[str]) -> str:
    """The command that brings packages back: from the lock, or, where gpuenv did not build, from where they came."""
    facts, names = examination.facts, sorted(set(packages))
    versions = {each.name: each.version for each in facts.distributions}
    if facts.marker is not None or facts.marker_problem or any("+" in versions.get(name, "+") for name in names):
        return rebuild(examination)
    pins = " ".join(quote(f"{name}=={versions[name]}") for name in names)
    return f"uv pip install --python {quote(examination.shown)} --no-deps --reinstall {pins}"


def _once(examination: Examination, found: list[Distribution]) -> str:
    """The command that leaves one of several distributions of a name. uv takes away what their RECORDs list, and leaves
    metadata that no RECORD, or the other's, does."""
    command, kept = _reinstall(examination, [found[0].name]), found[-1].version
    others = [f"{examination.shown}/{each.info}" for each in found if each.version != kept]
    by_uv = command.startswith("uv pip ") and others
    return then(command, remove_folders(*others)) if by_uv else command


def _files(examination: Examination) -> Iterator[Finding]:
    facts, compared = examination.facts, examination.compared
    findings = [*_broken(examination), *_changed_files(examination), *_clashes(examination), *_leftovers(examination)]
    starting = [each for each in compared.differences if each.kind == "startup"]
    if starting:
        findings.append(
            _of_files(
                severity="warning",
                kind="start-up-code",
                summary=f"{_some([each.path for each in starting])} runs at every start of the interpreter",
                detail="; ".join(each.detail for each in starting[:SHOWN]),
                fix=_without(examination, starting),
            )
        )
    packages = _count(facts.distributions, "package", "packages")
    in_order = _of_files(severity="ok", summary=f"{packages}; compared with RECORD: {compared.summary}")
    yield from findings or [in_order]


def _without(examination: Examination, starting: list[Difference]) -> str:
    owners = sorted({each.package for each in starting if each.package})
    loose = [f"{examination.shown}/{each.path}" for each in starting if not each.package]
    uninstall = f"uv pip uninstall --python {quote(examination.shown)} {' '.join(owners)}"
    if not loose:
        return uninstall if owners else ""
    return then(uninstall, remove_files(*loose)) if owners else remove_files(*loose)


def _broken(examination: Examination) -> Iterator[Finding]:
    facts = examination.facts
    if facts.problems:
        halves = [each.name for each in facts.distributions if each.problem]
        whole = halves and facts.python is not None and facts.site is not None
        yield _of_files(
            severity="error",
            kind="broken",
            summary="the environment is broken: " + facts.problems[0],
            detail="; ".join(facts.problems[1:]),
            fix=_reinstall(examination, halves) if whole else rebuild(examination),
        )


def _changed_files(examination: Examination) -> Iterator[Finding]:
    changed = [each for each in examination.compared.differences if each.kind in CHANGED]
    for code in (True, False):
        differences = [each for each in changed if each.code is code]
        if not differences:
            continue
        what, note = ("code", "") if code else ("data", "a site may have done it on purpose; ")
        packages = sorted({each.package for each in differences if each.package})
        count = _count(differences, f"{what} file is", f"{what} files are")
        yield _of_files(
            severity="error" if code else "warning",
            kind="code-changed" if code else "data-changed",
            summary=f"{count} missing or not what RECORD says, of {_some(packages)}",
            detail=note + "; ".join(map(str, differences[:SHOWN])),
            fix=_reinstall(examination, packages),
        )


def _clashes(examination: Examination) -> Iterator[Finding]:
    """Files of two packages: one finding for each pair, with who overwrote whom."""
    pairs: dict[tuple[str, str], list[Difference]] = {}
    for each in examination.compared.differences:
        if each.kind == "clash":
            pairs.setdefault((each.by, each.package), []).append(each)
    versions = examination.facts.versions
    for (by, package), differences in sorted(pairs.items()):
        grave = any(each.code for each in differences)
        winner = f"{by} {versions.get(by, '')}" if by else "another package"
        yield _of_files(
            severity="error" if grave else "warning",
            kind="code-overwritten" if grave else "data-overwritten",
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
    return then(f"uv pip uninstall {python} {by}", _reinstall(examination, [package]))


def _leftovers(examination: Examination) -> Iterator[Finding]:
    for site in examination.facts.leftovers:
        folder = site.parent.relative_to(examination.facts.path).as_posix()
        version = examination.facts.python_version
        yield _of_files(
            severity="warning",
            kind="another-python",
            summary=f"{folder} is of another Python: the interpreter here ({version}) does not use it",
            detail=str(site),
            fix=remove_folders(f"{examination.shown}/{folder}"),
        )


def _origin(examination: Examination, fix: str) -> Iterator[Finding]:
    facts = examination.facts
    origin, drift = partial(Finding, subject="origin"), partial(Finding, subject="drift", fix=fix)
    if facts.marker_problem:
        yield origin(
            severity="error",
            kind="origin-lost",
            summary=f"what it was built from is lost: {facts.marker_problem}",
            detail="gpuenv does not replace an environment that it cannot tell to be its own",
            fix=fix,
        )
    elif facts.marker is None:
        what = f"a {facts.kind} environment that gpuenv did not build"
        yield origin(severity="ok", summary=f"{what}: nothing says what should be in it")
    elif examination.lock_moved_on:
        yield origin(
            severity="warning",
            kind="lock-moved-on",
            summary=f"{facts.marker.lock_name} has changed since this environment was built from it",
            detail=f"built {facts.marker.created}",
            fix=fix,
        )
    against = examination.lock_name or "what it was built with"
    family = [each for each in examination.changes if each.family]
    others = [each for each in examination.changes if not each.family]
    if family:
        yield drift(
            severity="error",
            kind="family-drifted",
            summary=f"torch's family is not as in {against}: {_some(map(_said, family))}",
            detail="; ".join(
                f"{each.name}: by {each.by}{f' at {each.when}' if each.when else ''}" for each in family if each.by
            ),
        )
    if others:
        count = _count(others, "package is", "packages are")
        additions = ", ".join(f"{each.name} {each.version}" for each in examination.additions)
        yield drift(
            severity="warning",
            kind="packages-drifted",
            summary=f"{count} not as in {against}: {_some(map(_said, others))}",
            detail=f"building it again takes away {additions}" if additions else "",
        )


def _sets(examination: Examination, knowledge: Knowledge, fix: str) -> Iterator[Finding]:
    """The set of packages: two of one name, code without metadata, what does not fit this Python or platform."""
    facts, error = examination.facts, partial(Finding, subject="packages", severity="error")
    twice: dict[str, list[Distribution]] = {}
    for each in facts.distributions:
        twice.setdefault(each.name, []).append(each)
    for name, found in twice.items():
        if len(found) > 1:
            yield error(
                kind="installed-twice",
                summary=f"{name} is installed {len(found)} times: {', '.join(each.version for each in found)}",
                detail="; ".join(each.info for each in found),
                fix=_once(examination, found),
            )
    asked = {canonicalize_name(each.name) for each in unmet(facts, examination.machine) if each.found is None}
    for folder in facts.orphans:
        name = canonicalize_name(folder.name)
        if name in asked or name == "triton" or knowledge.role(name) in ("core", "companion"):
            what = f"{folder.name} is there without its metadata"
            summary = f"{what}: no installer sees it, and none will replace it"
            yield error(kind="without-metadata", summary=summary, detail=str(folder), fix=fix)
    strange = list(unfit(facts, examination.machine))
    if strange:
        more = f"; and {len(strange) - 3} more" if len(strange) > 3 else ""
        read = "Requires-Python and the tags of the wheels"
        yield error(kind="does-not-fit", summary="; ".join(strange[:3]) + more, detail=read, fix=fix)


def _said(change: PackageChange) -> str:
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


def _torch(examination: Examination, torch: TorchFacts, knowledge: Knowledge, fix: str) -> Iterator[Finding]:
    machine, found = examination.machine, partial(Finding, subject="torch")
    if torch.hip:
        yield found(
            severity="error" if machine is None or machine.gpus else "warning",
            kind="torch-for-amd",
            summary=f"torch {torch.version} is a build for AMD GPUs (ROCm {torch.hip})",
            detail="torch/version.py",
            fix=fix,
        )
    elif not torch.cuda:
        yield _cpu_build(examination, torch, fix)
    elif machine is not None and not machine.gpus:
        yield found(
            severity="warning",
            kind="torch-for-a-gpu",
            summary=f"torch {torch.version} is a CUDA build; without an NVIDIA GPU here it computes on the CPU",
            detail="torch/version.py",
            fix=f"gpuenv create --profile cpu {quote(examination.beside)}",
        )
    else:
        yield found(severity="ok", summary=f"torch {torch.version}, built with CUDA {torch.cuda}")
        if machine is not None:
            yield from _driver(examination, machine, torch, knowledge, fix)
            for gpu in machine.gpus:
                yield _kernels(examination, gpu, machine, torch, knowledge, fix)


def _cpu_build(examination: Examination, torch: TorchFacts, fix: str) -> Finding:
    machine, facts = examination.machine, examination.facts
    package = next((each for each in facts.distributions if each.name == "torch"), None)
    by = f", installed by {package.installer}" if package and package.installer else ""
    intended = facts.marker is not None and facts.marker.profile == "cpu"
    if machine is None or not machine.gpus or intended:
        return Finding(subject="torch", severity="ok", summary=f"torch {torch.version}, a CPU build{by}")
    names = ", ".join(gpu.name for gpu in machine.gpus)
    origin = f" from {package.origin}" if package and package.origin else ""
    return Finding(
        subject="torch",
        severity="error",
        kind="torch-for-cpu",
        summary=f"torch {torch.version} is a CPU build, and this machine has {names}",
        detail=f"torch/version.py has no CUDA version{by}{origin}",
        fix=fix,
    )


def _driver(
    examination: Examination, machine: Machine, torch: TorchFacts, knowledge: Knowledge, fix: str
) -> Iterator[Finding]:
    driver = machine.driver
    if driver is None:
        return
    floor = knowledge.floor_for(knowledge.variant_of(torch.cuda), machine)
    if floor is None:
        knows = f", and it knows CUDA {driver.cuda}" if driver.cuda else ""
        yield Finding(
            subject="driver",
            severity="warning",
            kind="driver-untold",
            summary=f"whether driver {driver.version} ({driver.place}) runs CUDA {torch.cuda} cannot be told: "
            f"no table has the least driver for that{knows}",
            detail="torch/version.py",
            fix=f"Prove it by running it: `gpuenv verify {quote(examination.shown)}`",
            by="yourself",
            check="its check of native code passes",
        )
    elif knowledge.driver_reach(machine, floor.minimum) is None:
        yield Finding(
            subject="driver",
            severity="error",
            kind="driver-too-old",
            summary=f"driver {driver.version} ({driver.place}) is too old for CUDA {torch.cuda}, "
            f"which needs {floor.minimum} or newer",
            detail=floor.source,
            fix=fix,
        )


def _kernels(
    examination: Examination, gpu: Gpu, machine: Machine, torch: TorchFacts, knowledge: Knowledge, fix: str
) -> Finding:
    name, found = f"{gpu.name} ({gpu.compute_capability})", partial(Finding, subject=f"GPU {gpu.index}")
    if torch.sass is None:
        return found(
            severity="warning",
            kind="code-untold",
            summary=f"whether torch {torch.version} has code for {name} cannot be told from its files",
            detail=f"{torch.origin} is missing",
            fix=f"Prove it by running it: `gpuenv verify {quote(examination.shown)}`",
            by="yourself",
            check="its check of native code passes",
        )
    answer = knowledge.serve_installed(
        gpu.compute_capability, machine=machine, sass=torch.sass, ptx=torch.ptx or (), cuda=torch.cuda
    )
    if isinstance(answer, NoCode):
        summary = f"torch {torch.version} has no code that runs on {name}"
        detail = f"{answer.detail} ({torch.origin})"
        return found(severity="error", kind="no-code", summary=summary, detail=detail, fix=fix)
    by_ptx = answer.support == "ptx"
    return found(
        severity="warning" if by_ptx else "ok",
        kind="ptx-only" if by_ptx else "in-order",
        summary=f"{name} is served by {answer.by}" + (f": {answer.warning}" if answer.warning else ""),
        detail=torch.origin,
        fix=f"Decide again for this card, and build: `{rebuild(examination, upgrade=True)}`; where no wheel has its "
        "machine code, only the first start is slow"
        if by_ptx
        else "",
        by="yourself" if by_ptx else "",
        check="`gpuenv doctor` names machine code (sm_…) for the card" if by_ptx else "",
    )


def _count(things: Sized, one: str, many: str) -> str:
    return f"{len(things)} {one if len(things) == 1 else many}"


def _some(given: Iterable[str]) -> str:
    texts = list(given)
    more = len(texts) - SHOWN
    return ", ".join(texts[:SHOWN]) + (f" and {more} more" if more > 0 else "")
