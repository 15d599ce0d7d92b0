"""Whether the packages around torch are of its build; pure over an examination.

An index for each build and a name for each CUDA major let installers mix what cannot work together, and none of their
own checks sees it: the builds differ in the local part of the version only, or not even there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from urllib.parse import unquote

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gpuenv.doctor.examination import Examination
from gpuenv.doctor.finding import Finding
from gpuenv.doctor.requirements import Unmet, unmet
from gpuenv.installed.environment import EnvironmentFacts
from gpuenv.installed.torch import TorchFacts
from gpuenv.knowledge import packages
from gpuenv.knowledge.base import Knowledge
from gpuenv.knowledge.built_against import built_against
from gpuenv.shell import quote

Found = Callable[..., Finding]
"""Makes a finding of the family whose fix builds the environment again."""

_ABI = re.compile(r"cxx11abi(true|false)")


def diagnose_family(examination: Examination, *, knowledge: Knowledge, fix: str) -> tuple[Finding, ...]:
    """Compare torch's companions, compiler and CUDA libraries with torch."""
    facts = examination.facts
    found = partial(Finding, subject="family", fix=fix)
    asked = list(_requirements(examination, knowledge, fix))
    if facts.torch is None:
        return tuple(asked)
    findings = [
        *_variants(facts, facts.torch, knowledge, found),
        *asked,
        *_compiled_for(examination, facts.torch, fix),
        *_extensions(examination, facts.torch, found),
        *_majors(facts, facts.torch, found),
        *_compilers(facts, knowledge, found),
    ]
    if not any(finding.subject == "family" for finding in findings):
        names = [f"{name} {facts.versions[name]}" for name in sorted(knowledge.family) if name in facts.versions]
        together = "belong together" if len(names) > 1 else "has no companions here"
        findings.append(Finding(subject="family", severity="ok", summary=f"{', '.join(names)} {together}"))
    return tuple(findings)


def _variants(facts: EnvironmentFacts, torch: TorchFacts, knowledge: Knowledge, found: Found) -> Iterator[Finding]:
    """Companions whose version names another build than torch's (``+cpu`` beside CUDA, another ``+cu``)."""
    own = knowledge.variant_of(torch.cuda) if torch.cuda else "cpu"
    for name in sorted(knowledge.family & facts.versions.keys() - {"torch"}):
        if knowledge.role(name) not in ("companion", "extension"):
            continue
        variant = variant_in(facts.versions[name])
        if variant is not None and variant != own and not torch.hip:
            yield found(
                severity="error",
                kind="companion-of-another-build",
                summary=f"{name} {facts.versions[name]} is a build for {variant}, torch {torch.version} one for {own}",
                detail="operators of the other build are missing or fail at first use",
            )


def variant_in(version: str) -> str | None:
    """The build that the local part of a version names, if it names one.

    >>> variant_in("0.25.0+cpu"), variant_in("2.8.3+cu12torch2.7cxx11abifalse"), variant_in("0.25.0")
    ('cpu', None, None)
    """
    local = version.partition("+")[2]
    match = re.fullmatch(r"cu[0-9]{3,4}|cpu|xpu|rocm[0-9.]+", local.partition(".git")[0])
    return match[0] if match else None


def _requirements(examination: Examination, knowledge: Knowledge, fix: str) -> Iterator[Finding]:
    """What packages ask for, against what is there: torchvision's exact torch, triton, CUDA libraries, all others."""
    found = unmet(examination.facts, examination.machine)
    compilers = [each for each in found if knowledge.role(each.name) == "compiler" and each.owner in knowledge.family]
    others = [each for each in found if each not in compilers]
    if compilers:
        first = compilers[0]
        yield Finding(
            subject="family",
            severity="warning" if first.found is None else "error",
            kind="compiler-requirement",
            summary=str(first),
            detail="torch.compile needs it",
            fix=fix,
        )
    family = [each for each in others if each.owner in knowledge.family or each.name in knowledge.family]
    for subject, some in (("family", family), ("packages", [each for each in others if each not in family])):
        if some:
            yield Finding(
                subject=subject,
                severity="error",
                kind="family-requirement" if subject == "family" else "requirement",
                summary="; ".join(map(str, some[:3])) + (f"; and {len(some) - 3} more" if len(some) > 3 else ""),
                detail="Requires-Dist of their METADATA",
                fix=fix if subject == "family" else _install(examination, some, fix),
            )


def _install(examination: Examination, missing: Iterable[Unmet], fix: str) -> str:
    """The command that installs what is asked for. Where somebody changed what gpuenv built, it is built again."""
    if examination.changes:
        return fix
    names = " ".join(dict.fromkeys(quote(f"{each.requirement.name}{each.requirement.specifier}") for each in missing))
    return f"uv pip install --python {quote(examination.shown)} {names}"


def _compiled_for(examination: Examination, torch: TorchFacts, fix: str) -> Iterator[Finding]:
    """Packages that torch was compiled against, in a release that it was not compiled for."""
    facts, machine = examination.facts, examination.machine
    for each in built_against(torch.version, machine.os) if machine is not None else ():
        version = facts.versions.get(each.project)
        if version is not None and not each.goes_with(version):
            asked = Requirement(each.requirement)
            older = Unmet(owner="torch", version=torch.version, requirement=asked, found=version)
            yield Finding(
                subject="packages",
                severity="warning",
                kind="requirement",
                summary=f"torch {torch.version} was compiled for {each.what}, and {each.project} {version} is there",
                detail=each.fails,
                fix=_install(examination, [older], fix),
            )


def _extensions(examination: Examination, torch: TorchFacts, found: Found) -> Iterator[Finding]:
    """Compiled extensions whose version, or the name of the file they came from, names the torch they were built for
    (``+cu12torch2.7cxx11abiFALSE``, ``+pt24cu121``). Of those whose libraries were read these tell it themselves."""
    extension = partial(found, severity="error", kind="extension-of-another-torch")
    facts = examination.facts
    read = {each.project for each in examination.extensions if any(one.torch_symbols for one in each.own)}
    for each in sorted((*facts.inherited, *facts.distributions), key=lambda each: each.name):
        if each.name in read:
            continue
        told = next((text for text in (each.version, file_version(each.origin)) if built_for(text)), "")
        built, abi = built_for(told), _ABI.search(told.lower())
        ends = f"its import ends with an undefined symbol; {told} is what it calls itself"
        if built is not None and not torch.version.startswith(f"{built}."):
            summary = (
                f"{each.name} {each.version} was compiled for torch {built}, and torch {torch.version} is installed"
            )
            yield extension(summary=summary, detail=ends)
        elif abi is not None and torch.cxx11_abi is not None and (abi[1] == "true") is not torch.cxx11_abi:
            own = "newer" if torch.cxx11_abi else "older"
            summary = f"{each.name} {each.version} was not compiled for the {own} C++ ABI of torch {torch.version}"
            yield extension(summary=summary, detail=ends)


def file_version(origin: str) -> str:
    """The version in the name of the wheel that a distribution came from; its metadata may leave out the local part.

    >>> file_version("https://host/flash_attn-2.8.3%2Bcu12torch2.7cxx11abiFALSE-cp312-cp312-linux_x86_64.whl")
    '2.8.3+cu12torch2.7cxx11abiFALSE'
    >>> file_version("https://host/flash-attention.git"), file_version("")
    ('', '')
    """
    parts = unquote(origin.rpartition("/")[2]).split("-")
    return parts[1] if len(parts) > 4 and parts[-1].endswith(".whl") else ""


def built_for(version: str) -> str | None:
    """The torch release (``MAJOR.MINOR``) that the local part of an extension's version names.

    >>> built_for("2.8.3+cu12torch2.7cxx11abifalse"), built_for("2.1.2+pt24cu121"), built_for("0.25.0+cu128")
    ('2.7', '2.4', None)
    """
    local = version.partition("+")[2].lower()
    dotted = re.search(r"torch(\d+)\.(\d+)", local)
    plain = re.search(r"(?:^|\.)pt(\d)(\d{1,2})(?=cu|cpu|\.|$)", local)
    match = dotted or plain
    return f"{match[1]}.{match[2]}" if match else None


def _majors(facts: EnvironmentFacts, torch: TorchFacts, found: Found) -> Iterator[Finding]:
    """CUDA libraries of another generation beside those that torch asks for: they share folders, and of two that write
    the same files the one installed last remains, whoever asked for it."""
    if not torch.cuda:
        return
    major = torch.cuda.partition(".")[0]
    if twice := packages.same_files([*facts.versions]):
        yield found(
            severity="error",
            kind="libraries-left-over",
            summary=f"{' and '.join(f'{name} {facts.versions[name]}' for name in twice)} write the same files",
            detail=f"torch {torch.version} uses CUDA {torch.cuda}; the one that was installed last is there",
        )
    asked = {
        canonicalize_name(re.split(r"[^A-Za-z0-9_.-]", text, maxsplit=1)[0])
        for each in facts.distributions
        for text in each.requires
    }
    strange = [
        f"{name} {version}"
        for name, version in sorted(facts.versions.items())
        if packages.is_library(name) and name not in (*asked, *twice) and _of_another(name, version, major)
    ]
    if strange:
        yield found(
            severity="warning",
            kind="libraries-left-over",
            summary=f"torch {torch.version} uses CUDA {torch.cuda}; left over from another: {', '.join(strange[:4])}",
            detail="the packages of two CUDA versions write into the same folders below nvidia/",
        )


def _of_another(name: str, version: str, major: str) -> bool:
    theirs = packages.cuda_major(name, version)
    return theirs is not None and theirs != major


def _compilers(facts: EnvironmentFacts, knowledge: Knowledge, found: Found) -> Iterator[Finding]:
    """Two packages that both hold the module ``triton``: the one installed last wins, in part."""
    names = sorted(name for name in facts.versions if knowledge.role(name) == "compiler")
    if len(names) > 1:
        present = " and ".join(f"{name} {facts.versions[name]}" for name in names)
        summary = f"{present} overwrite each other: both hold the module triton"
        yield found(severity="error", kind="two-compilers", summary=summary)
