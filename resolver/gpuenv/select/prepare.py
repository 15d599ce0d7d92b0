"""The arguments of a decision, taken apart once: which versions of which projects, for which GPUs."""

from __future__ import annotations

from collections.abc import Sequence

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from gpuenv.errors import ConfigurationError, UsageError
from gpuenv.knowledge import Knowledge
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile
from gpuenv.select.request import Constraints, Request, gpus_in_scope, wants_cpu
from gpuenv.select.rules import Problem
from gpuenv.select.target import TargetTags


def prepare(machine: Machine, profile: Profile, request: Request, knowledge: Knowledge) -> Problem:
    """Prepare a request for the decision. Raises for version ranges that cannot be read."""
    cpu = wants_cpu(profile, machine, request)
    variant = request.variant or profile.variant
    return Problem(
        machine=machine,
        profile=profile,
        request=request,
        constraints=_constraints(profile, request, knowledge),
        knowledge=knowledge,
        target=TargetTags(machine, _pythons(profile, request), request.insist_unknown),
        gpus=() if cpu else gpus_in_scope(machine, request),
        cpu=cpu,
        channel=request.channel or profile.channel,
        variant=None if variant == "cpu" else variant,
        driver_cuda=knowledge.machine_cuda(machine),
        unanswered=dict(request.unanswered),
    )


def _constraints(profile: Profile, request: Request, knowledge: Knowledge) -> Constraints:
    versions: dict[str, list[SpecifierSet]] = {}
    required: set[str] = set()
    optional: set[str] = set()
    others: list[str] = []
    named = [row.text for row in request.stated if row.role == "requirement"]
    limits = [row.text for row in request.stated if row.role != "requirement"]
    asked: tuple[tuple[Sequence[str], set[str]], ...] = (
        (profile.packages, required),
        (profile.optional_packages, optional),
        ((*request.pins, *named), required),
        (limits, set()),
    )
    for text, companions in ((text, companions) for texts, companions in asked for text in texts):
        requirement = Requirement(text)
        project = canonicalize_name(requirement.name)
        if project not in knowledge.family:
            others.append(text)
            continue
        versions.setdefault(project, []).append(requirement.specifier)
        if project != "torch":
            companions.add(project)
    if request.torch:
        versions.setdefault("torch", []).append(specifier(request.torch))
    return Constraints(
        versions={project: tuple(sets) for project, sets in versions.items()},
        required=tuple(sorted(required)),
        optional=tuple(sorted(optional - required)),
        others=tuple(dict.fromkeys(others)),
    )


def specifier(text: str) -> SpecifierSet:
    """Read what ``--torch`` takes: a range, or a bare version."""
    try:
        return SpecifierSet(text if text[:1] in "<>=!~" else f"=={text}")
    except InvalidSpecifier as error:
        raise UsageError(
            f"--torch {text}: is not a version range", hints=('Write one such as `--torch "==2.10.0"`',)
        ) from error


def _pythons(profile: Profile, request: Request) -> tuple[str, ...]:
    if profile.python is None:
        return request.pythons
    try:
        specifier = SpecifierSet(profile.python)
    except InvalidSpecifier as error:
        raise ConfigurationError(f"{profile.origin}: python: is not a version range: {profile.python}") from error
    return tuple(each for each in request.pythons if specifier.contains(each.removesuffix("t")))
