"""The companions of a decision: their wheels at every place that has some, and the set that is chosen with torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from packaging.utils import canonicalize_name

from gpuenv import knowledge as tables
from gpuenv.companions.memory import LibraryMemory
from gpuenv.companions.wheel import list_libraries, read_package
from gpuenv.errors import GpuenvError, PackageIndexError
from gpuenv.index.config import Place
from gpuenv.index.wheelfile import open_wheel
from gpuenv.knowledge import companion_sets, packages
from gpuenv.knowledge.names import public
from gpuenv.metadata import parse_requirement
from gpuenv.model.decision import Decision, NoDecision
from gpuenv.model.library import PackageFacts
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import SourceKind, Wheel
from gpuenv.net.location import Location
from gpuenv.report import Silent
from gpuenv.select.beside import facts_in_table, in_tables
from gpuenv.select.companion_set import Places, companions_of, is_companion, platform_of, settle_set, wheel_at
from gpuenv.select.companions import Offer, Torch
from gpuenv.select.request import Request
from gpuenv.steps.advice import retyped
from gpuenv.steps.context import Context
from gpuenv.steps.decision import Decided, NothingFitsError, decide
from gpuenv.steps.source_hints import source_hints
from gpuenv.steps.sources import ask, open_http
from gpuenv.steps.ways_out import ways

MOST_TRIED = 6
"""Changes of what was asked for that are tried for the sake of advice."""
SMALL = 16 * 1024 * 1024
"""So many bytes of a wheel's libraries are fetched before the decision; a larger wheel is read when it was fetched."""
MOST_READ = 6
"""Wheels that are read for one decision."""
_OFFERED, _INDEX, _PAGE = 0, 1, 2
"""How near a place is: what a person configured as folders and pages, package indexes, the pages of the table."""


def with_companions(context: Context, decided: Decided, *, advise: bool = True) -> Decided:
    """Choose the companions among the packages beside torch, and torch again where they need another.

    Raises :class:`~gpuenv.steps.decision.NothingFitsError` where no torch has a wheel of each. Costs nothing where
    there are none.
    """
    if not companions_of(decided.decision.others):
        return decided
    places = _Offered(context=context, decided=decided)
    runs: dict[str, Decided] = {}

    def again(request: Request) -> Decision | NoDecision:
        try:
            found = decide(context, machine=decided.machine, profile=decided.profile, pins=request.pins)
        except NothingFitsError as error:
            return error.answer
        runs[found.decision.packages[0].url] = found
        return found.decision

    answer = settle_set(
        decided.machine.facts,
        decided.profile,
        decided.decision,
        decided.request,
        tables.load(),
        Places(offers=places.of, facts=places.facts, picked=decided.picked),
        again,
    )
    if isinstance(answer, NoDecision):
        raise NothingFitsError(answer, hints=_hints(context, decided) if advise else ())
    run = runs.get(answer.packages[0].url, decided)
    return replace(run, decision=answer)


def without_source_only(decision: Decision) -> Decision:
    """The decision without the companions that the package index has no wheels of: uv finds no solution with them."""
    others = tuple(text for text in decision.others if not _elsewhere(text))
    return replace(decision, others=others)


def _elsewhere(text: str) -> bool:
    named = parse_requirement(text)
    if named is None:
        return False
    name = canonicalize_name(named.name)
    row = packages.gpu_package(name)
    return is_companion(name) and (
        (row is not None and row.built == "install") or companion_sets.has_pages(name) or named.url is not None
    )


@dataclass(slots=True, kw_only=True)
class _Offered:
    """The wheels of companions, each place asked once."""

    context: Context
    decided: Decided
    _asked: dict[tuple[str, str], Sequence[Offer] | None] = field(default_factory=dict)
    _kept: dict[str, PackageFacts | None] = field(default_factory=dict)
    _reads: int = 0

    def of(self, project: str, torch: Torch) -> Sequence[Offer] | None:
        """Everything that is offered of a project for a torch; ``None`` where no place answered."""
        answers = [self._from(place, project, rank) for place, rank in self._places()]
        answers += [self._from(place, project, _PAGE) for place in self._pages(project, torch)]
        answers.append(_released(project) if self._open else None)
        if all(each is None for each in answers):
            return None
        return [offer for each in answers for offer in each or ()]

    def _places(self) -> list[tuple[Place, int]]:
        plan = self.decided.plan
        default = plan.default_index or plan.fallback()
        indexes = [*([default] if default is not None else []), *plan.extra_indexes]
        return [*((place, _OFFERED) for place in plan.find_links), *((place, _INDEX) for place in indexes)]

    @property
    def _open(self) -> bool:
        """Whether places beside the package index are asked: not where the command line names an index, which stands
        alone, nor where pip's configuration wants none, nor offline."""
        plan = self.decided.plan
        alone = self.context.options.index is not None or self.context.offline
        return not alone and (plan.default_index or plan.fallback()) is not None

    def _pages(self, project: str, torch: Torch) -> list[Place]:
        """The pages of the table for a torch."""
        if not self._open:
            return []
        variant = tables.load().variant_of(torch.cuda)
        found = companion_sets.pages_of(project, torch=public(torch.wheel.version), variant=variant)
        kinds: dict[str, SourceKind] = {"links": "find-links", "index": "package-index"}
        return [
            Place(
                kind=kinds[each.kind],
                location=Location.parse(each.url, origin="companion_sets.toml"),
                configured_by="companion_sets.toml",
            )
            for each in found
        ]

    def _from(self, place: Place, project: str, rank: int) -> Sequence[Offer] | None:
        key = (place.location.url, project)
        if key not in self._asked:
            self._asked[key] = self._ask(place, project, rank)
        return self._asked[key]

    def _ask(self, place: Place, project: str, rank: int) -> Sequence[Offer] | None:
        try:
            found = ask(self.context, place, projects=[project]).wheels
        except PackageIndexError as error:
            self.context.reporter.detail(f"{project}: {error.message}")
            return None
        # What stands on a page of the table is taken by its address: uv is told of no such place.
        rows = [replace(each, source="find-links") for each in found] if rank == _PAGE else found
        return [Offer(wheel=each, place=place.shown, rank=rank) for each in rows]

    def facts(self, wheel: Wheel) -> PackageFacts | None:
        """What the libraries of a wheel hold: by table; else they are read, where they are small or here."""
        known = facts_in_table(wheel)
        if known is not None or in_tables(wheel, platform_of(self.decided.machine.facts, tables.load())):
            return known
        if wheel.url not in self._kept:
            self._kept[wheel.url] = self._remembered(wheel)
        return self._kept[wheel.url]

    def _remembered(self, wheel: Wheel) -> PackageFacts | None:
        """What an earlier run read of a remote wheel, else what is read of it now: a file may change where it lies."""
        if not wheel.url.startswith("http"):
            return self._read_small(wheel)
        memory = LibraryMemory(self.context.cache / "libraries")
        known = memory.get(wheel)
        if known is None and (known := self._read_small(wheel)) is not None:
            memory.put(wheel, known)
        return known

    def _read_small(self, wheel: Wheel) -> PackageFacts | None:
        """Read a wheel; ``None`` for a large one, which is read when it was fetched, and for one that cannot be."""
        place = Location.parse(wheel.url, origin=wheel.filename, folder=self.context.project)
        if self._reads >= MOST_READ:
            return None
        self._reads += 1
        try:
            with open_wheel(place, http=open_http(self.context), filename=wheel.filename) as file:
                listed = list_libraries(file)
                if not file.local and listed.packed > SMALL:
                    return None
                return read_package(file, listed, project=wheel.project, version=wheel.version)
        except GpuenvError as error:
            self.context.reporter.detail(f"{wheel.filename}: {error.message}")
            return None


def _released(project: str) -> Sequence[Offer] | None:
    """The files that releases of a project are known to offer; ``None`` where the table has none."""
    found = []
    for each in companion_sets.released_files(project):
        if (wheel := wheel_at(project, each.url)) is not None:
            found.append(Offer(wheel=wheel, place=each.url.rpartition("/")[0], rank=_PAGE))
    return found or None


def _hints(context: Context, decided: Decided) -> tuple[str, ...]:
    """What there is instead: each bound given up alone, tried, as the command that gives it."""
    profile: Profile = decided.profile
    names = [each.name for each in companions_of(decided.decision.others)]
    for way in list(ways(context, names, profile=profile, machine=decided.machine))[:MOST_TRIED]:
        silent = replace(context, reporter=Silent(), options=way.options)
        try:
            other = decide(silent, machine=decided.machine, profile=profile)
            other = with_companions(silent, other, advise=False)
        except GpuenvError:
            continue
        torch = other.decision.packages[0].version
        gives = " and ".join(
            [f"torch {torch}", *(f"{each.project} {each.version}" for each in other.decision.companions)]
        )
        values = way.values or ((f"=={torch}",) if way.option == "torch" else (other.decision.variant,))
        command = retyped(context.words, {way.option: values}, profile=profile.name)
        together = f"{way.said[0].upper()}{way.said[1:]}, {gives} go together: `{command}`"
        return (together, *_from_source(context, decided, names))
    return (
        *_from_source(context, decided, names),
        "Name a page or a folder that has a wheel of it for this torch: `--find-links DIR`",
    )


def _from_source(context: Context, decided: Decided, names: Sequence[str]) -> tuple[str, ...]:
    """How what is there as source alone is built, where that can be done and helps: on the machine itself, which has no
    card below those that it is written for."""
    if not decided.machine.here:
        return ()
    cards = [gpu.compute_capability for gpu in decided.decision.gpus]
    rows = [row for name in names if (row := packages.gpu_package(canonicalize_name(name))) is not None]
    helped = [row.project for row in rows if row.built == "install" and row.serves(cards)]
    python, others = decided.decision.python, decided.decision.others
    return source_hints(context, helped, others, profile=decided.profile.name, python=python)
