"""The companions of a torch wheel: one variant, one channel, one source, consistent by their own metadata."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from gpuenv.dataclass import dataclass
from gpuenv.metadata import applies, parse_requirement
from gpuenv.model.decision import Question
from gpuenv.select import builds
from gpuenv.select.candidates import CatalogEntry, ReadContents, public_version
from gpuenv.select.rules import Problem

if TYPE_CHECKING:
    from gpuenv.select.beside import Fit, Unfit

NIGHTLY_DAYS = 7
"""A companion nightly pins torch of its own day or of a few days before (up to four were seen: research/nightlies.md),
so the companions of a torch nightly stand within these days after it."""

NUMBERED_LIKE_TORCH = frozenset({"torchaudio"})
"""Projects whose releases bear torch's number since 2.0, so that one without a requirement can still be placed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchFamily:
    """A consistent family: the torch wheel first, then the companions by name. ``left_out`` says which optional
    package has no consistent wheel, and why."""

    python: str
    members: tuple[CatalogEntry, ...]
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A required companion has no consistent wheel."""

    project: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """Metadata or builds of these have to be read first. ``left_out`` is missing whatever they say."""

    questions: tuple[Question, ...]
    left_out: tuple[tuple[str, str], ...] = ()


Outcome = TorchFamily | Missing | Needed
_LAYERED = frozenset({"pytorch", "mirror"})


class Companions:
    """The companion wheels that passed the rules, by where they may serve. Sorted lists are made once per place."""

    def __init__(self, entries: Iterable[CatalogEntry]) -> None:
        self._by_place: dict[tuple[str, str, str, str | None], list[CatalogEntry]] = {}
        self._folders: set[tuple[str, str, str]] = set()
        self._sorted: dict[tuple[str, str, str, str | None, str], list[CatalogEntry]] = {}
        self._days: dict[tuple[str, str, str, str | None, str], dict[str, list[CatalogEntry]]] = {}
        for entry in entries:
            project = entry.wheel.project
            self._by_place.setdefault((project, *entry.origin, entry.variant), []).append(entry)
            if entry.wheel.variant is not None:
                self._folders.add((project, *entry.origin))

    def beside(self, torch: CatalogEntry, project: str, python: str) -> list[CatalogEntry]:
        """Wheels of a project that may stand beside a torch wheel, best first, before their metadata is looked at.

        Of a nightly the nearest day first, else the newest version first.
        """
        place = (project, *torch.origin, torch.variant, python)
        if place not in self._sorted:
            entries = [entry for entry in self._of_build(torch, project) if python in entry.pythons]
            known = [entry for entry in self._known_elsewhere(torch, project) if python in entry.pythons]
            self._sorted[place] = [*sorted(entries, key=_order, reverse=True), *sorted(known, key=_order, reverse=True)]
            days: dict[str, list[CatalogEntry]] = {}
            for entry in self._sorted[place]:
                days.setdefault(entry.day or "", []).append(entry)
            self._days[place] = days
        if torch.day is None:
            return self._sorted[place]
        days = self._days[place]
        return [entry for day in (*_days_from(torch.day), "") for entry in days.get(day, ())]

    def _of_build(self, torch: CatalogEntry, project: str) -> list[CatalogEntry]:
        """One build, one variant. A wheel that does not say its variant stands beside torch only where its project has
        no variants in that source: one at a channel's root, or in a folder of files without local versions."""
        place = (project, *torch.origin)
        found = list(self._by_place.get((*place, torch.variant), ())) if torch.variant else []
        if place not in self._folders:
            found += [entry for entry in self._by_place.get((*place, None), ()) if entry.build == "unknown"]
        return found

    def _known_elsewhere(self, torch: CatalogEntry, project: str) -> list[CatalogEntry]:
        """Wheels of the package index beside a torch of PyTorch's own: the very files whose libraries the tables know.
        They come last: a build of the variant is better, and no other file of that name is ever taken from there."""
        if torch.wheel.source not in _LAYERED or torch.day is not None or not torch.variant:
            return []
        listed = [
            entry
            for (name, source, _, _), entries in self._by_place.items()
            if name == project and source == "package-index"
            for entry in entries
        ]
        if not listed:
            return []
        from gpuenv.select.beside import facts_in_table

        return [entry for entry in listed if facts_in_table(entry.wheel) is not None]


def find_family(
    problem: Problem,
    torch: CatalogEntry,
    companions: Companions,
    facts: ReadContents,
    *,
    required: Sequence[str],
    optional: Sequence[str],
) -> Outcome:
    """Find the companions of a torch wheel, or what is missing, or what has to be read."""
    best: Outcome = Missing(project="torch", detail="no interpreter")
    for python in torch.pythons:
        outcome = _for_python(problem, torch, python, companions, facts, required=required, optional=optional)
        if isinstance(outcome, Needed) or (isinstance(outcome, TorchFamily) and not outcome.left_out):
            return outcome
        fuller = (
            isinstance(best, TorchFamily)
            and isinstance(outcome, TorchFamily)
            and len(outcome.left_out) < len(best.left_out)
        )
        if not isinstance(best, TorchFamily) or fuller:
            best = outcome
    return best


def _for_python(
    problem: Problem,
    torch: CatalogEntry,
    python: str,
    companions: Companions,
    facts: ReadContents,
    *,
    required: Sequence[str],
    optional: Sequence[str],
) -> Outcome:
    members: list[CatalogEntry] = []
    left_out: list[tuple[str, str]] = []
    questions: list[Question] = []
    for project in (*required, *optional):
        match _one(problem, torch, project, python, companions, facts):
            case CatalogEntry() as entry:
                members.append(entry)
            case Question() as question:
                questions.append(question)
            case str() as detail if project in required:
                return Missing(project=project, detail=detail)
            case str() as detail:
                left_out.append((project, detail))
    if questions:
        return Needed(questions=tuple(questions), left_out=tuple(left_out))
    members.sort(key=lambda entry: entry.wheel.project)
    return TorchFamily(python=python, members=(torch, *members), left_out=tuple(left_out))


def _one(
    problem: Problem, torch: CatalogEntry, project: str, python: str, companions: Companions, facts: ReadContents
) -> CatalogEntry | Question | str:
    """The companion, the question that stands before it, or why there is none."""
    entries = companions.beside(torch, project, python)
    if not entries:
        return _none_words(torch, project, python)
    unread: list[CatalogEntry] = []
    open_ended: list[CatalogEntry] = []
    near: CatalogEntry | None = None
    refused = ""
    for entry in entries:
        requires = requires_of(problem, entry, facts)
        if requires is None:
            if entry.wheel.url in problem.unanswered:
                refused = refused or f"what {project} {entry.wheel.version} requires could not be read"
                continue
            unread.append(entry)
            if torch.day is not None:
                break  # a nearer day is asked before a farther one is taken
            continue
        pins = torch_pins(problem, requires, python)
        conflict = (
            _conflict(problem, torch, entry, pins)
            or _apart(problem, torch, entry, facts)
            or unfit(problem, torch, entry, python)
        )
        if isinstance(conflict, Question):
            return conflict
        if conflict:
            refused = refused or conflict
        elif not builds.same(problem.knowledge, torch, entry, facts.build(entry)):
            near = near or entry  # it would do; one of torch's own build is better, however old
        elif not pins:
            open_ended.append(entry)
        elif not unread or _is_known(problem, torch):
            return entry
    if unread and not (open_ended and _is_known(problem, torch)):
        return Question(wheel=unread[0].wheel, about="metadata")
    return open_ended[0] if open_ended else near or refused


def _apart(problem: Problem, torch: CatalogEntry, entry: CatalogEntry, facts: ReadContents) -> str | Question:
    """Why a companion is of another build than torch, or the question that tells it; empty where it is of the same."""
    unreadable = problem.unanswered.get(entry.wheel.url)
    found = builds.compare(problem.knowledge, torch, entry, facts.build(entry), unreadable=unreadable)
    match found:
        case builds.Unread():
            return Question(wheel=entry.wheel, about="build")
        case builds.Apart(unknown=unknown, detail=detail):
            return "" if unknown and problem.request.insist_unknown else detail
        case None:
            return ""


def unfit(problem: Problem, torch: CatalogEntry, entry: CatalogEntry, python: str) -> str:
    """Why the libraries of a compiled companion do not go with this torch; empty where they do, and where nobody has
    read them. torchvision and torchaudio compare builds themselves."""
    found = stands(problem, torch, entry, python)
    return "" if found is None or found.goes else found.detail


def stands(problem: Problem, torch: CatalogEntry, entry: CatalogEntry, python: str) -> Fit | Unfit | None:
    """What the tables say of a companion beside this torch; ``None`` where no table knows this build of it."""
    if problem.cpu or not torch.variant or problem.knowledge.role(entry.wheel.project) != "extension":
        return None
    from gpuenv.knowledge import packages
    from gpuenv.select.beside import beside, facts_in_table, in_tables
    from gpuenv.select.companion_verdict import Surroundings

    facts = facts_in_table(entry.wheel)
    named = packages.any_build(entry.wheel.project, entry.wheel.version)
    if facts is None and named is None and not in_tables(entry.wheel, problem.platform):
        return None
    around = Surroundings(
        torch=torch.wheel.version,
        cuda=problem.knowledge.cuda_of(torch.variant) or "",
        python=python.removesuffix("t"),
        capabilities=tuple(gpu.compute_capability for gpu in problem.gpus),
        driver_cuda=problem.driver_cuda,
        platform=problem.platform,
    )
    wheel = entry.wheel
    of_index = wheel.source == "package-index"
    return beside(wheel.project, wheel.version, around, facts=facts, knowledge=problem.knowledge, of_index=of_index)


def requires_of(problem: Problem, entry: CatalogEntry, facts: ReadContents) -> tuple[str, ...] | None:
    """What a wheel requires, as far as the family is concerned: read out of it, else by table."""
    read = facts.requires(entry)
    return read if read is not None else problem.knowledge.family_requires(entry.wheel)


def torch_pins(problem: Problem, requires: tuple[str, ...], python: str) -> tuple[SpecifierSet, ...]:
    """The version ranges that requirements put on torch, markers evaluated for the target machine."""
    key = (requires, python)
    if key not in problem.pins:
        problem.pins[key] = _read_pins(requires, marker_environment(problem, python))
    return problem.pins[key]


def _read_pins(requires: tuple[str, ...], environment: dict[str, str]) -> tuple[SpecifierSet, ...]:
    found = []
    for text in requires:
        if not text.lower().startswith("torch"):
            continue
        requirement = parse_requirement(text)
        if requirement is None or requirement.name.lower() != "torch" or not applies(requirement, environment):
            continue
        if str(requirement.specifier):
            found.append(requirement.specifier)
    return tuple(found)


def marker_environment(problem: Problem, python: str) -> dict[str, str]:
    """Environment markers (PEP 508) of the target machine, which need not be this one."""
    machine = problem.machine
    plain = python.removesuffix("t")
    system = {"linux": "Linux", "windows": "Windows", "macos": "Darwin"}[machine.os]
    arch = {"windows": {"x86_64": "AMD64", "aarch64": "ARM64", "arm64": "ARM64"}}.get(machine.os, {})
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{plain}.0",
        "os_name": "nt" if machine.os == "windows" else "posix",
        "platform_machine": arch.get(machine.arch, machine.arch),
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": system,
        "platform_version": "",
        "python_full_version": f"{plain}.0",
        "python_version": plain,
        "sys_platform": {"linux": "linux", "windows": "win32", "macos": "darwin"}[machine.os],
        "extra": "",
    }


def _conflict(problem: Problem, torch: CatalogEntry, entry: CatalogEntry, pins: Sequence[SpecifierSet]) -> str:
    """Why a companion with known requirements does not go with this torch; empty where it does."""
    name = f"{entry.wheel.project} {entry.wheel.version}"
    for pin in pins:
        if not pin.contains(torch.version, prereleases=True):
            return f"{name} requires torch{pin}"
    if pins:
        return ""
    if torch.day is not None:
        return "" if entry.day == torch.day else f"{name} is of another day"
    # Without a requirement the metadata allows everything; the release it came with still binds its compiled code.
    release = problem.knowledge.releases.get(torch.wheel.version.partition("+")[0])
    listed = dict(release.companions).get(entry.wheel.project) if release else None
    if listed:
        return "" if str(public_version(entry.wheel.version)) in listed else f"{name} is of another release of torch"
    newer = entry.version.release[:2] > torch.version.release[:2]
    return f"{name} is newer than this torch" if newer and entry.wheel.project in NUMBERED_LIKE_TORCH else ""


def _is_known(problem: Problem, torch: CatalogEntry) -> bool:
    """Whether the tables know this release of torch, and so its companions: then newer ones need not be asked."""
    return torch.wheel.version.partition("+")[0] in problem.knowledge.releases


def _order(entry: CatalogEntry) -> tuple[bool, Version, tuple[int, str], str]:
    """The better wheel of a project has the greater key: one that says its variant, then the newer."""
    return (entry.variant is not None, entry.version, entry.build_tag, entry.wheel.url)


def _days_from(day: str) -> list[str]:
    first = date(int(day[:4]), int(day[4:6]), int(day[6:]))
    return [f"{first + timedelta(days=count):%Y%m%d}" for count in range(NIGHTLY_DAYS + 1)]


def _none_words(torch: CatalogEntry, project: str, python: str) -> str:
    if torch.day is not None:
        where = f" for {torch.variant}" if torch.variant else ""
        return f"no {project} nightly of {day_words(torch.day)} or the days after it{where}, Python {python}"
    where = f"in {torch.variant} " if torch.variant else ""
    return f"no {project} {where}beside it for Python {python} on this platform"


def day_words(day: str) -> str:
    """``20260102`` as ``2026-01-02``."""
    return f"{day[:4]}-{day[4:6]}-{day[6:]}"


def known_requires(members: Sequence[CatalogEntry], facts: ReadContents) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """All that the chosen wheels require, by project, where it was read out of them: a table knows the family alone."""
    found = ((entry.wheel.project, facts.requires(entry)) for entry in members)
    return tuple((project, requires) for project, requires in found if requires is not None)
