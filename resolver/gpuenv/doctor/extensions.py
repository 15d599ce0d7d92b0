"""Whether the compiled packages beside torch load there and hold code for each card; pure over an examination."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from gpuenv.doctor.examination import Examination
from gpuenv.doctor.finding import UNNAMED, Finding, Kind
from gpuenv.installed.torch import TorchFacts
from gpuenv.knowledge import packages
from gpuenv.knowledge.base import Knowledge
from gpuenv.model.library import PackageFacts
from gpuenv.model.machine import Machine
from gpuenv.select.beside import Fit, Lack, Unfit, beside
from gpuenv.select.companion_verdict import Surroundings
from gpuenv.shell import quote, with_variable

_SHOWN = 3
_KINDS: dict[Lack, Kind] = {
    "torch": "extension-of-another-torch",
    "cuda": "extension-of-another-cuda",
    "python": "extension-of-another-python",
    "card": "extension-without-code",
}


def diagnose_extensions(examination: Examination, *, knowledge: Knowledge) -> Iterator[Finding]:
    """One finding for each distribution that does not load beside torch, lacks code for a card, or has PTX alone: what
    the decision asks before it takes one."""
    machine, torch = examination.machine, examination.facts.torch
    if machine is None or torch is None:
        return
    around = surroundings(examination, machine, torch, knowledge)
    for package in examination.extensions:
        if not any(each.has_device_code or each.torch_symbols or each.nvidia for each in package.own):
            continue  # nothing in it is for a GPU or for torch
        fit = beside(package.project, package.version, around, facts=package, knowledge=knowledge)
        match fit:
            case Unfit() if fit.lacks == "cuda" and _has_its_own(examination, package):
                pass
            case Unfit():
                yield _unfit(examination, machine, package, fit)
            case Fit(support="ptx"):
                yield _by_ptx(examination, machine, package, fit)
            case Fit():
                pass
            case _:
                assert_never(fit)


def surroundings(examination: Examination, machine: Machine, torch: TorchFacts, knowledge: Knowledge) -> Surroundings:
    """What the packages of an environment stand beside."""
    try:
        platform: str = knowledge.platform_of(machine.os, machine.arch)
    except ValueError:
        platform = f"{machine.os}_{machine.arch}"
    return Surroundings(
        torch=torch.version,
        cuda=torch.cuda or "",
        python=examination.minor,
        capabilities=tuple(dict.fromkeys(gpu.compute_capability for gpu in machine.gpus)),
        driver_cuda=knowledge.machine_cuda(machine),
        platform=platform,
    )


def _has_its_own(examination: Examination, package: PackageFacts) -> bool:
    """Whether a package that looks for a CUDA of its own has the runtime of that beside it."""
    row, versions = packages.gpu_package(package.project), examination.facts.versions
    majors = {str(each) for each in package.cuda_majors} | {packages.cuda_major(package.project, package.version)}
    there = {
        packages.cuda_major(name, versions[name])
        for major in majors
        for name in packages.runtime_of(major or "")
        if name in versions
    }
    return row is not None and row.own and bool(there & (majors - {None}))


def _unfit(examination: Examination, machine: Machine, package: PackageFacts, unfit: Unfit) -> Finding:
    cards = ", ".join(dict.fromkeys(f"{gpu.name} ({gpu.compute_capability})" for gpu in machine.gpus))
    here = f"; this machine has {cards}" if unfit.lacks == "card" else ""
    return Finding(
        subject="extensions",
        severity="error",
        kind=_KINDS[unfit.lacks],
        summary=f"{unfit.detail}{here}",
        detail=_read_from(package),
        fix=_compiled(examination, machine, package, "that goes with it"),
        by="yourself",
        check=UNNAMED,
    )


def _by_ptx(examination: Examination, machine: Machine, package: PackageFacts, fit: Fit) -> Finding:
    return Finding(
        subject="extensions",
        severity="warning",
        kind="extension-by-ptx",
        summary=f"{package.project} {package.version} {fit.said}: the first start is slow",
        detail=_read_from(package),
        fix=_compiled(examination, machine, package, "that has code for it"),
        by="yourself",
        check=UNNAMED,
    )


def _read_from(package: PackageFacts) -> str:
    files = [each.path for each in package.own if each.has_device_code or each.torch_symbols][:_SHOWN]
    return f"read from {', '.join(files)}" if files else "read from its libraries"


def _compiled(examination: Examination, machine: Machine, package: PackageFacts, which: str) -> str:
    pin = quote(f"{package.project}=={package.version.partition('+')[0]}")
    wanted = ";".join(dict.fromkeys(str(gpu.compute_capability) for gpu in machine.gpus))
    command = (
        f"uv pip install --python {quote(examination.shown)} --no-deps --no-build-isolation --reinstall "
        f"--no-binary {package.project} {pin}"
    )
    compile_it = with_variable("TORCH_CUDA_ARCH_LIST", wanted, command)
    return f"Take a release of {package.project} {which}, or compile this one: `{compile_it}`"
