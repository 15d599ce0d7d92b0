"""Whether the packages around torch are of its build; pure over an examination.

An index for each build and a name for each CUDA major let installers mix what cannot work together, and none of their
own checks sees it: the builds differ in the local part of the version only, or not even there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from packaging.markers import default_environment
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from gpuenv.doctor.examination import Examination
from gpuenv.doctor.finding import Finding
from gpuenv.environment.inspect import EnvironmentFacts, TorchFacts
from gpuenv.knowledge.base import Knowledge
from gpuenv.model.machine import Os

_MAJOR = re.compile(r"^nvidia-.+-cu([0-9]{2})$")


def diagnose_family(examination: Examination, *, knowledge: Knowledge, mend: str) -> tuple[Finding, ...]:
    """Judge torch's companions, compiler and CUDA libraries against torch."""
    facts = examination.facts
    if facts.torch is None:
        return ()
    findings = [
        *_variants(facts, facts.torch, knowledge, mend),
        *_requirements(examination, knowledge, mend),
        *_extensions(facts, facts.torch, mend),
        *_majors(examination, facts.torch, mend),
        *_compilers(facts, knowledge, mend),
    ]
    if not findings:
        names = [f"{name} {facts.versions[name]}" for name in sorted(knowledge.family) if name in facts.versions]
        together = "belong together" if len(names) > 1 else "has no companions here"
        findings = [Finding(subject="family", severity="ok", summary=f"{', '.join(names)} {together}")]
    return tuple(findings)


def _variants(facts: EnvironmentFacts, torch: TorchFacts, knowledge: Knowledge, mend: str) -> Iterator[Finding]:
    """Companions whose version names another build than torch's (``+cpu`` beside CUDA, another ``+cu``)."""
    own = knowledge.variant_of(torch.cuda) if torch.cuda else "cpu"
    for name in sorted(knowledge.family & facts.versions.keys() - {"torch"}):
        if knowledge.role(name) not in ("companion", "extension"):
            continue
        variant = variant_in(facts.versions[name])
        if variant is not None and variant != own and not torch.hip:
            yield Finding(
                subject="family",
                severity="error",
                summary=f"{name} {facts.versions[name]} is a build for {variant}, torch {torch.version} one for {own}",
                detail="operators of the other build are missing or fail at first use",
                mend=mend,
            )


def variant_in(version: str) -> str | None:
    """The build that the local part of a version names, if it names one.

    >>> variant_in("0.25.0+cpu"), variant_in("2.8.3+cu12torch2.7cxx11abifalse"), variant_in("0.25.0")
    ('cpu', None, None)
    """
    local = version.partition("+")[2]
    match = re.fullmatch(r"cu[0-9]{3,4}|cpu|xpu|rocm[0-9.]+", local.partition(".git")[0])
    return match[0] if match else None


def _requirements(examination: Examination, knowledge: Knowledge, mend: str) -> Iterator[Finding]:
    """What torch and its family ask for, against what is there: torchvision's exact torch, triton, CUDA libraries."""
    facts = examination.facts
    versions = facts.versions
    system = examination.machine.os if examination.machine else None
    unmet: list[tuple[str, str]] = []
    for name in sorted(knowledge.family & examination.requires.keys()):
        for text in examination.requires[name]:
            said = unmet_requirement(text, versions, python=facts.python_version, system=system)
            if said is not None:
                unmet.append((name, said))
    of_compiler = [pair for pair in unmet if _is_compiler(pair[1], knowledge)]
    others = [pair for pair in unmet if pair not in of_compiler]
    if of_compiler:
        owner, said = of_compiler[0]
        yield Finding(
            subject="family",
            severity="error" if " is installed" in said else "warning",
            summary=f"{owner} {versions.get(owner, '')} asks for {said}".replace("  ", " "),
            detail="torch.compile needs it",
            mend=mend,
        )
    if others:
        yield Finding(
            subject="family",
            severity="error",
            summary="; ".join(f"{owner} {versions.get(owner, '')} asks for {said}" for owner, said in others[:3])
            + (f"; and {len(others) - 3} more" if len(others) > 3 else ""),
            detail="Requires-Dist of their METADATA",
            mend=mend,
        )


def _is_compiler(said: str, knowledge: Knowledge) -> bool:
    return knowledge.role(canonicalize_name(re.split(r"[^A-Za-z0-9_.-]", said, maxsplit=1)[0])) == "compiler"


def unmet_requirement(text: str, versions: Mapping[str, str], *, python: str, system: Os | None = None) -> str | None:
    """Say which installed version does not meet a requirement; ``None`` where it is met or does not apply.

    >>> unmet_requirement("torch==2.10.0", {"torch": "2.9.1+cu128"}, python="3.12")
    'torch==2.10.0, and 2.9.1+cu128 is installed'
    """
    try:
        wanted = Requirement(text)
    except InvalidRequirement:
        return None
    if wanted.marker is not None:
        environment = {key: str(value) for key, value in default_environment().items()} | {"extra": ""}
        short = ".".join(python.split(".")[:2])
        if short:
            environment |= {"python_version": short, "python_full_version": python if python.count(".") > 1 else short}
        if system is not None:
            names = {"linux": ("Linux", "linux"), "windows": ("Windows", "win32"), "macos": ("Darwin", "darwin")}
            environment |= dict(zip(("platform_system", "sys_platform"), names[system], strict=True))
        if not wanted.marker.evaluate(environment):
            return None
    shown = f"{wanted.name}{wanted.specifier}"
    have = versions.get(canonicalize_name(wanted.name))
    if have is None:
        return f"{shown}, which is missing"
    try:
        met = wanted.specifier.contains(Version(have), prereleases=True)
    except InvalidVersion:
        met = False
    return None if met else f"{shown}, and {have} is installed"


def _extensions(facts: EnvironmentFacts, torch: TorchFacts, mend: str) -> Iterator[Finding]:
    """Compiled extensions whose version names the torch they were built for (``+cu12torch2.7``, ``+pt24cu121``)."""
    for name, version in sorted(facts.versions.items()):
        built = built_for(version)
        if built is not None and not torch.version.startswith(f"{built}."):
            yield Finding(
                subject="family",
                severity="error",
                summary=f"{name} {version} was compiled for torch {built}, and torch {torch.version} is installed",
                detail="its import ends with an undefined symbol",
                mend=mend,
            )


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


def _majors(examination: Examination, torch: TorchFacts, mend: str) -> Iterator[Finding]:
    """CUDA libraries of another major version beside those that torch asks for: they share folders."""
    if not torch.cuda:
        return
    major = torch.cuda.partition(".")[0]
    wanted = {
        canonicalize_name(re.split(r"[^A-Za-z0-9_.-]", text, maxsplit=1)[0])
        for requires in examination.requires.values()
        for text in requires
    }
    strange = [
        f"{name} {version}"
        for name, version in sorted(examination.facts.versions.items())
        if (match := _MAJOR.match(name)) and match[1] != major and name not in wanted
    ]
    if strange:
        yield Finding(
            subject="family",
            severity="warning",
            summary=f"torch {torch.version} uses CUDA {torch.cuda}; left over from another: {', '.join(strange[:4])}",
            detail="the packages of two CUDA versions write into the same folders below nvidia/",
            mend=mend,
        )


def _compilers(facts: EnvironmentFacts, knowledge: Knowledge, mend: str) -> Iterator[Finding]:
    """Two packages that both hold the module ``triton``: the one installed last wins, in part."""
    present = [
        f"{name} {facts.versions[name]}" for name in sorted(facts.versions) if knowledge.role(name) == "compiler"
    ]
    if len(present) > 1:
        yield Finding(
            subject="family",
            severity="error",
            summary=f"{' and '.join(present)} overwrite each other: both hold the module triton",
            mend=mend,
        )
