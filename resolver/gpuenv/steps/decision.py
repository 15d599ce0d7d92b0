"""From a machine and a profile to a decision: ask the sources in order, read what the tables do not know, decide.

Sources are asked one after the other and only until one gives a decision. A source that cannot be used is said aloud
and the next one is asked; it never changes *what* is wanted (a GPU machine does not get a CPU build because an index
was down). Where no source gives a decision and one of them could not be used, that is the error.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field, replace
from functools import partial

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gpuenv import knowledge as tables
from gpuenv.dataclass import dataclass
from gpuenv.errors import GpuenvError, NoFittingWheelError, PackageIndexError, UsageError
from gpuenv.index.config import Place, SourcePlan
from gpuenv.index.source import Sources, merge
from gpuenv.model.asked import NamedBuild, Stated
from gpuenv.model.decision import Decision, NoDecision, Rejected
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Attempt, Catalog, Channel, WheelContents
from gpuenv.select.request import Request
from gpuenv.select.settle import settle
from gpuenv.select.stated import excluding, judged
from gpuenv.steps.context import Context
from gpuenv.steps.machine import TargetMachine, in_scope
from gpuenv.steps.profile import bare_request, check_fit
from gpuenv.steps.project import asked_of, builds_to_try, python_groups, say_once
from gpuenv.steps.pythons import pythons
from gpuenv.steps.refusal import Refused, RefusedRun, of_source
from gpuenv.steps.sources import ask, family_of, open_http, source_plan
from gpuenv.steps.wheels import Reader
from gpuenv.system.files import require_writable


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision with all that it follows from, and what it cost."""

    machine: TargetMachine
    profile: Profile
    request: Request
    decision: Decision
    catalog: Catalog
    place: Place
    plan: SourcePlan
    contents: Mapping[str, WheelContents]
    attempts: tuple[Attempt, ...]
    requests: int
    bytes: int
    picked: Mapping[str, str] = field(default_factory=dict)
    """Versions of the packages outside the family that uv picked together with torch; empty where it was not asked."""
    to_build: tuple[str, ...] = ()
    """Requirements on packages that are built from source once torch is chosen: none of the decision's others."""


_BINDING = frozenset({"==", "===", "<", "<=", "~="})
"""Operators of a range that keep a newer torch away."""


class NothingFitsError(NoFittingWheelError):
    """No source has a fitting wheel; carries the rejections for ``--explain``."""

    def __init__(self, answer: NoDecision, *, hints: Sequence[str] = ()) -> None:
        super().__init__(answer.summary, causes=answer.causes, hints=(*hints, *answer.hints))
        self.answer = answer


def request_of(
    context: Context, *, profile: Profile, machine: TargetMachine, exclude: Sequence[str] = (), pins: Sequence[str] = ()
) -> Request:
    """Turn the options into the decision's request; the interpreters that can be had come first."""
    options = context.options
    return replace(
        bare_request(context),
        pythons=pythons(context, profile=profile, machine=machine),
        torch=options.torch,
        channel=options.channel,
        exclude_newer=options.exclude_newer,
        insist_unknown=options.allow_unknown_kernels,
        exclude=tuple(exclude),
        pins=tuple(pins),
    )


def decide(
    context: Context, *, machine: TargetMachine, profile: Profile, exclude: Sequence[str] = (), pins: Sequence[str] = ()
) -> Decided:
    """Decide for a machine; raises :class:`NothingFitsError`, or the index error that kept a decision away.

    ``exclude`` are requirements (``torch==…``) that may not be chosen, ``pins`` those that the profile's other packages
    make.
    """
    check_fit(context, machine.facts, profile)
    require_writable(context.cache, what="the cache")
    asked = asked_of(context)
    request = request_of(context, profile=profile, machine=machine, exclude=exclude, pins=pins)
    plan = source_plan(context)
    for note in plan.notes:
        context.reporter.warn(note)
    refused: NothingFitsError | None = None
    builds = builds_to_try(context, asked, profile=profile, machine=machine)
    for build in (*builds, None):
        for pythons_, stated in python_groups(asked, machine.facts, request.pythons):
            wanted = replace(request, pythons=pythons_, stated=stated)
            wanted = wanted if build is None else replace(wanted, variant=build.variant)
            try:
                decided = _Search(context=context, machine=machine, profile=profile, plan=plan).run(wanted)
            except (NothingFitsError, PackageIndexError, UsageError) as error:
                if build is None and not isinstance(error, NothingFitsError):
                    raise
                refused = error if isinstance(error, NothingFitsError) and build is None and not refused else refused
                continue
            return _apart(context, _because_of_project(decided, build))
        if build is not None:
            say_once(context, f"{build.place}: {build.text}: no set of wheels of {build.variant} fits: not followed")
    assert refused is not None
    raise refused


def _because_of_project(decided: Decided, build: NamedBuild | None) -> Decided:
    """Name the lines of the project that took part in the decision, before the other reasons."""
    lines = [f"{row.place} asks for {row.text}." for row in decided.request.stated if _bounds(row, {"torch"})]
    lines += [f"{build.place} names {build.variant}, which this machine runs."] if build is not None else []
    decision = decided.decision
    return replace(decided, decision=replace(decision, because=(*lines, *decision.because)))


def _apart(context: Context, decided: Decided) -> Decided:
    """The decision without the packages that are to be built, which stand apart: they take part in no choice.

    Raises :class:`~gpuenv.errors.UsageError` for one of the command line that nothing asks for, or of torch's family.
    """
    wanted = dict.fromkeys(canonicalize_name(each) for each in context.options.build)
    if not wanted:
        return decided
    named = {text: canonicalize_name(Requirement(text).name) for text in decided.decision.others}
    if context.options.origins.get("build") == "--build":
        for name in wanted:
            if name in tables.load().family:
                raise UsageError(f"--build {name}: it belongs to torch's family, which comes from torch's source alone")
            if name not in named.values():
                hints = (f"Ask for it too: `--with {name} --build {name}`",)
                raise UsageError(f"--build {name}: neither profile nor project asks for it", hints=hints)
    others = tuple(text for text, name in named.items() if name not in wanted)
    to_build = tuple(text for text, name in named.items() if name in wanted)
    return replace(decided, decision=replace(decided.decision, others=others), to_build=to_build)


def _with_other_places(decision: Decision) -> Decision:
    """The decision with a sentence on what comes from the package index, though torch does not."""
    said = tuple(
        f"{each.project} {each.version} comes from the package index, as the file that the tables know by its hash: "
        f"torch's source has none for {decision.variant} that goes with torch {decision.packages[0].version}."
        for each in decision.packages[1:]
        if each.source == "package-index" != decision.source
    )
    return replace(decision, because=(*decision.because, *said)) if said else decision


class _Search:
    """One walk through the sources. ``refusals`` says what earlier sources offered in vain."""

    def __init__(self, *, context: Context, machine: TargetMachine, profile: Profile, plan: SourcePlan) -> None:
        self.context, self.machine, self.profile = context, machine, profile
        self.plan, self.http, self.reader = plan, open_http(context), Reader(context)
        self.knowledge = tables.load()
        self.refusals: list[Refused] = []
        self.rejected: tuple[Rejected, ...] = ()
        self.extra_attempts: list[Attempt] = []

    def run(self, request: Request) -> Decided:
        projects = family_of(self.profile, self.knowledge.family, request)
        asked = request.channel or self.profile.channel
        channels: tuple[Channel, ...] = ("nightly",) if asked == "nightly" else ("stable",)
        sources = Sources(self.plan, partial(ask, self.context, projects=projects, channels=channels))
        for place, catalog in sources:
            if not catalog.wheels:
                self._say_failure(place, catalog)
                continue
            catalog = self._with_known(place, catalog, projects)
            answer, catalog = self._settle(place, catalog, request, projects)
            if isinstance(answer, Decision):
                answer = _with_other_places(answer)
                if place.kind != "pytorch":
                    self.context.reporter.notice(f"torch comes from {place.words}, not from PyTorch's own index")
                return self._decided(answer, catalog, request, place, (*sources.attempts, *self.extra_attempts))
            self.refusals.append(Refused(place=place, catalog=catalog, channels=channels, answer=answer))
            self.rejected += tuple(answer.rejected)
        raise self._failure(sources, request)

    def _with_known(self, place: Place, catalog: Catalog, projects: Sequence[str]) -> Catalog:
        """The catalog with what the package index has of torch's extensions, as far as the tables know the very file by
        its hash: what PyTorch's index has no build of may stand there, for any torch of its CUDA major."""
        index = self.plan.default_index or self.plan.fallback()
        names = [each for each in projects if self.knowledge.role(each) == "extension"]
        if place.kind not in ("pytorch", "mirror") or index is None or not names:
            return catalog
        from gpuenv.knowledge.companion_facts import all_facts, facts_by_hash

        named = sorted({each.project for each in all_facts()} & set(names))
        try:
            found = ask(self.context, index, projects=named) if named else None
        except PackageIndexError as error:
            self.context.reporter.detail(f"{' and '.join(named)}: {error.message}")
            return catalog
        wheels = tuple(each for each in (found.wheels if found else ()) if each.sha256 and facts_by_hash(each.sha256))
        return replace(catalog, wheels=(*catalog.wheels, *wheels)) if wheels else catalog

    def _settle(
        self, place: Place, catalog: Catalog, request: Request, projects: Sequence[str]
    ) -> tuple[Decision | NoDecision, Catalog]:
        """Decide on one source; wheels are read when they are asked about, nightlies loaded when only they help."""
        return settle(
            self.machine.facts,
            self.profile,
            catalog,
            self.reader.facts,
            of_source(place, request),
            self.knowledge,
            read=self.reader.read,
            nightly=lambda stable: self._with_nightlies(place, catalog, projects, stable),
        )

    def _with_nightlies(self, place: Place, catalog: Catalog, projects: Sequence[str], stable: NoDecision) -> Catalog:
        self.context.reporter.say(f"Stable wheels of {place.shown}: {stable.summary}. Looking at nightlies")
        try:
            nightly = ask(self.context, place, projects=projects, channels=("nightly",))
        except PackageIndexError as error:
            self.context.reporter.warn(f"nightlies of {place.shown} cannot be looked at: {error.message}")
            return catalog
        self.extra_attempts += nightly.attempts
        return merge((catalog, nightly))

    def _say_failure(self, place: Place, catalog: Catalog) -> None:
        reasons = dict.fromkeys(attempt.failure for attempt in catalog.attempts if attempt.failure)
        why = "; ".join(reasons) or "it lists no wheel of torch"
        self.context.reporter.say(f"Asked {place.words} for torch: {why}")

    def _decided(
        self,
        decision: Decision,
        catalog: Catalog,
        request: Request,
        place: Place,
        attempts: tuple[Attempt, ...],
    ) -> Decided:
        counters = self.http.counters
        return Decided(
            machine=self.machine,
            profile=self.profile,
            request=request,
            decision=self._with_earlier(decision),
            catalog=catalog,
            place=place,
            plan=self.plan,
            contents=dict(self.reader.facts),
            attempts=attempts,
            requests=counters.requests,
            bytes=counters.bytes,
        )

    def _with_earlier(self, decision: Decision) -> Decision:
        """The decision with what was rejected at the sources that were asked before."""
        if not self.rejected:
            return decision
        refused = decision.refused + sum(row.wheels for row in self.rejected)
        return replace(decision, rejected=(*decision.rejected, *self.rejected), refused=refused)

    def _failure(self, sources: Sources, request: Request) -> GpuenvError:
        """Prefer "no wheel fits" when every source answered; an index that did not answer is the cause otherwise."""
        if not self.refusals:
            return sources.nothing()
        refusal = RefusedRun(
            context=self.context, machine=self.machine, profile=self.profile, request=request, reader=self.reader,
            refused=tuple(self.refusals),
        )  # fmt: skip
        answer = replace(refusal.explained(), rejected=self.rejected)
        hints = refusal.hints() if not (request.pins or request.exclude) else ()
        failed = [
            f"{attempt.location} ({attempt.configured_by}) could not be asked: {attempt.failure}"
            for attempt in sources.attempts
            if attempt.failure and not attempt.project
        ]
        answer, certain = self._with_lines(answer, request)
        if failed and sources.errors and not certain:
            error = sources.nothing()
            return type(error)(
                f"{answer.summary}, and not every source could be asked",
                causes=(*failed, *answer.causes),
                hints=(*error.hints, *hints, *answer.hints),
            )
        if answer.contradiction:
            return UsageError(answer.summary, causes=answer.causes, hints=(*hints, *answer.hints))
        return NothingFitsError(answer, hints=hints)

    def _with_lines(self, answer: NoDecision, request: Request) -> tuple[NoDecision, bool]:
        """The refusal in the terms of the project's lines, where they are what nothing meets on this machine; and
        whether that is so by the tables, whatever a source that could not be asked has."""
        machine = in_scope(self.context, self.machine.facts)
        pair = excluding(request.stated, self.knowledge)
        if pair is not None:
            summary = " and ".join(f"{row.text} ({row.place})" for row in pair) + " exclude each other"
            return replace(answer, summary=summary, contradiction=True), True
        reasons = [f"{row.place}: {why}" for row in request.stated if (why := judged(row, machine, self.knowledge))]
        if reasons:
            return replace(answer, summary=reasons[0], causes=(*reasons[1:], answer.summary, *answer.causes)), True
        lines = [f"{row.place} asks for {row.text}" for row in request.stated if _bounds(row, self.knowledge.family)]
        return replace(answer, causes=(*lines, *answer.causes)), False


def _bounds(row: Stated, names: Collection[str]) -> bool:
    """Whether a line keeps newer releases of one of ``names`` away."""
    named = Requirement(row.text)
    return canonicalize_name(named.name) in names and bool({each.operator for each in named.specifier} & _BINDING)


def say_decision(context: Context, decided: Decided) -> None:
    """Say what was chosen, the reason that decided, and what to expect; the other reasons with ``-v``."""
    decision = decided.decision
    names = " ".join(f"{wheel.project} {wheel.version}" for wheel in decision.packages)
    context.reporter.say(f"Selected {names} for Python {decision.python} from {decided.place.words}")
    for sentence in decision.because[:1]:
        context.reporter.say(f"  {sentence}")
    for sentence in decision.because[1:]:
        context.reporter.detail(f"  {sentence}")
    for warning in decision.warnings:
        context.reporter.warn(warning)
