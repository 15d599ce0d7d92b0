"""The arguments of a decision, taken apart once: what is wanted, of which projects, for which GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name

from gpuenv.errors import ConfigurationError, UsageError
from gpuenv.knowledge import Knowledge
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile
from gpuenv.select.request import Request, gpus_in_scope, wants_cpu
from gpuenv.select.rules import Case
from gpuenv.select.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The profile's requirements taken apart. ``required`` and ``optional`` are companions of torch, by name."""

    wanted: Mapping[str, tuple[SpecifierSet, ...]]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    others: tuple[str, ...]


def prepare(machine: Machine, profile: Profile, request: Request, knowledge: Knowledge) -> tuple[Case, Wishes]:
    """Make the case of a request. Raises for version ranges that cannot be read."""
    wishes = _wishes(profile, request, knowledge)
    cpu = wants_cpu(profile, machine, request)
    variant = request.variant or profile.variant
    case = Case(
        machine=machine,
        request=request,
        knowledge=knowledge,
        target=Target(machine, _pythons(profile, request), request.insist_unknown),
        gpus=() if cpu else gpus_in_scope(machine, request),
        cpu=cpu,
        channel=request.channel or profile.channel,
        variant=None if variant == "cpu" else variant,
        wanted=wishes.wanted,
        others=wishes.others,
        driver_cuda=knowledge.machine_cuda(machine),
        unanswered=dict(request.unanswered),
    )
    return case, wishes


def _wishes(profile: Profile, request: Request, knowledge: Knowledge) -> Wishes:
    wanted: dict[str, list[SpecifierSet]] = {}
    required: set[str] = set()
    optional: set[str] = set()
    others: list[str] = []
    for text, is_required in [(each, True) for each in profile.packages] + [
        (each, False) for each in profile.optional_packages
    ]:
        requirement = Requirement(text)
        project = canonicalize_name(requirement.name)
        if project not in knowledge.family:
            others.append(text)
            continue
        wanted.setdefault(project, []).append(requirement.specifier)
        if project != "torch":
            (required if is_required else optional).add(project)
    for text in request.pins:
        requirement = Requirement(text)
        project = canonicalize_name(requirement.name)
        wanted.setdefault(project, []).append(requirement.specifier)
        if project != "torch":
            required.add(project)
    if request.torch:
        wanted.setdefault("torch", []).append(_specifier(request.torch))
    return Wishes(
        wanted={project: tuple(sets) for project, sets in wanted.items()},
        required=tuple(sorted(required)),
        optional=tuple(sorted(optional - required)),
        others=tuple(others),
    )


def _specifier(text: str) -> SpecifierSet:
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
