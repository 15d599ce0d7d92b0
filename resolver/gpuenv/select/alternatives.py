"""What there is instead: a refusal decided again without each of the person's constraints, then without pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import combinations, product

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import Knowledge
from gpuenv.model.asked import Stated
from gpuenv.model.decision import Alternative, Change, Constraint, Decision
from gpuenv.model.machine import Gpu, Machine
from gpuenv.model.profile import Profile
from gpuenv.select.candidates import label, nightly_day
from gpuenv.select.prepare import specifier
from gpuenv.select.request import Request, gpus_in_scope
from gpuenv.select.unmet import exactly, nearest_variant
from gpuenv.select.words import gpu_list

MOST = 3
"""Alternatives that are named. More would be a menu, not advice."""

Again = Callable[[Profile, Request], Decision | None]
"""Decides again; ``None`` where there is no answer either."""
Question = tuple[Profile, Request]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unanswered:
    """What a refusal was given for, and what else there is."""

    machine: Machine
    profile: Profile
    request: Request
    pythons: tuple[str, ...]
    auto: Profile | None
    family: frozenset[str]
    meant: str | None
    """The variant that is named most like one that there is not (``cuda12.8``: ``cu128``)."""


def alternatives(
    machine: Machine,
    profile: Profile,
    request: Request,
    knowledge: Knowledge,
    *,
    pythons: tuple[str, ...],
    auto: Profile | None,
    again: Again,
) -> tuple[Alternative, ...]:
    """Find the smallest sets of constraints without which there is an answer, as changes that were tried.

    ``pythons`` are those that could be had for the asking, best first; ``auto`` is the profile that leaves everything
    to the machine. Each alternative was decided with its changes made as they will be typed, so that its command gives
    what it says.
    """
    asked = request.variant or profile.variant
    named = asked in (None, "cpu") or knowledge.cuda_of(asked or "") is not None
    meant = None if named else nearest_variant(knowledge, asked or "")
    given = _Unanswered(
        machine=machine, profile=profile, request=request, pythons=pythons, auto=auto,
        family=knowledge.family, meant=meant,
    )  # fmt: skip
    constraints = _constraints(given)
    for size in (1, 2):
        if found := _of(given, combinations(constraints, size), again):
            return found
    if len(constraints) > 2 and (found := _of(given, _fewest(given, constraints, again), again)):
        return found
    if found := _of(given, ((constraint,) for constraint in _last_resorts(given)), again):
        return found
    if profile.accelerator == "cpu":
        return ()
    others = [constraint for constraint in constraints if constraint not in ("variant", "gpu")]
    cpu = replace(given, request=replace(request, variant="cpu"))
    groups = (("accelerator", *group) for group in ((), *_fewest(cpu, others, again)))
    return _of(given, groups, again)[:1]


def _fewest(given: _Unanswered, constraints: Sequence[Constraint], again: Again) -> Iterator[tuple[Constraint, ...]]:
    """A set of constraints that help together, of which none can be kept; nothing where all of them do not help."""

    def helps(group: Sequence[Constraint]) -> bool:
        question: Question = (given.profile, given.request)
        for constraint in group:
            for way in _ways(given, constraint)[-1:]:
                question = way.asks(question)
        return again(*question) is not None

    if not constraints or not helps(constraints):
        return
    kept = list(constraints)
    for constraint in reversed(constraints):
        fewer = [each for each in kept if each != constraint]
        if helps(fewer):
            kept = fewer
    yield tuple(kept)


def _of(given: _Unanswered, groups: Iterator[tuple[Constraint, ...]], again: Again) -> tuple[Alternative, ...]:
    found: list[Alternative] = []
    for group in groups:
        for way in product(*(_ways(given, constraint) for constraint in group)):
            if any(set(_gpus(group, way)) < set(_gpus_of(other)) for other in found):
                continue  # these GPUs and more have an answer already
            alternative = _try(given, group, way, again)
            if alternative is not None and _typed_words(alternative) not in map(_typed_words, found):
                found.append(alternative)
                if len(found) == MOST:
                    return tuple(found)
            if alternative is not None and "gpu" not in group:
                break
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """One way to give up a constraint: what is asked then, and the values where the answer does not tell them."""

    asks: Callable[[Question], Question]
    values: tuple[str, ...] = ()


def _typed_words(alternative: Alternative) -> list[tuple[str, tuple[str, ...]]]:
    """What is typed for it: two constraints may come down to the same command."""
    return [(change.option or change.said, change.values) for change in alternative.changes]


def _gpus(group: tuple[Constraint, ...], way: tuple[_Way, ...]) -> tuple[str, ...]:
    return next((each.values for constraint, each in zip(group, way, strict=True) if constraint == "gpu"), ())


def _gpus_of(alternative: Alternative) -> tuple[str, ...]:
    return next((change.values for change in alternative.changes if change.constraint == "gpu"), ())


def _try(given: _Unanswered, group: tuple[Constraint, ...], way: tuple[_Way, ...], again: Again) -> Alternative | None:
    question: Question = (given.profile, given.request)
    for each in way:
        question = each.asks(question)
    decision = again(*question)
    if decision is None:
        return None
    for date in _dates(decision) if "exclude-newer" in group else ("",):
        changes = tuple(
            _change(given, constraint, each, decision, date) for constraint, each in zip(group, way, strict=True)
        )
        typed: Question = question
        for change in changes:
            typed = _typed(typed, change)
        answer = decision if typed == question else again(*typed)
        if answer is not None:
            return _alternative(given, changes, answer)
    return None


def _dates(decision: Decision) -> tuple[str, ...]:
    """Limits to try, the smallest change first: the day of the oldest release that would do, then of the newest."""
    torch = [wheel for wheel in (decision.packages[0], *decision.alternatives) if wheel.project == "torch"]
    days = sorted({(nightly_day(wheel.version) or wheel.upload_time or "")[:10] for wheel in torch} - {""})
    days = [f"{day[:4]}-{day[4:6]}-{day[6:]}" if "-" not in day else day for day in days]
    return tuple(dict.fromkeys([*days[:1], *days[-1:]])) or ("",)


def _alternative(given: _Unanswered, changes: tuple[Change, ...], decision: Decision) -> Alternative:
    wanted = {canonicalize_name(Requirement(text).name) for text in given.profile.optional_packages}
    return Alternative(
        changes=changes,
        gives=label(decision.packages[0]),
        lacks=tuple(sorted(wanted - {wheel.project for wheel in decision.packages} - {"torch"} - _others(decision))),
    )


def _others(decision: Decision) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in decision.others}


# --- the constraints -------------------------------------------------------------------------------------------------


def _constraints(given: _Unanswered) -> list[Constraint]:
    """What was asked for, in the order in which it is best given up."""
    machine, profile, request = given.machine, given.profile, given.request
    variant = request.variant or profile.variant
    there: dict[Constraint, bool] = {
        "variant": variant not in (None, "cpu"),
        "python": bool(set(given.pythons) - set(request.pythons)),
        "channel": (request.channel or profile.channel) != "auto",
        "exclude-newer": request.exclude_newer is not None,
        "build": request.torch is not None and "+" in (exactly(specifier(request.torch)) or ""),
        "torch": request.torch is not None,
        "stated": bool(_bounds(given)),
        "gpu": len(_choices(given)) > 0,
        "profile-python": profile.python is not None,
        "profile-torch": any(str(Requirement(text).specifier) for text in _named(profile, torch=True)),
        "profile-companions": any(str(Requirement(text).specifier) for text in _named(profile, torch=False)),
        "required": len(profile.packages) > 1,
        "profile": bool(given.auto and profile.accelerator == "cpu" and variant not in (None, "cpu") and machine.gpus),
    }
    return [constraint for constraint, is_there in there.items() if is_there]


def _last_resorts(given: _Unanswered) -> list[Constraint]:
    """What is given up only where nothing else helps: the profile as a whole, and that what is unknown is refused."""
    found: list[Constraint] = []
    if given.auto is not None and given.profile.name != given.auto.name and given.profile.accelerator != "cpu":
        found.append("profile")
    return [*found, *(() if given.request.insist_unknown else ("certainty",))]


def _named(profile: Profile, *, torch: bool) -> list[str]:
    texts = (*profile.packages, *profile.optional_packages)
    return [text for text in texts if (canonicalize_name(Requirement(text).name) == "torch") is torch]


def _choices(given: _Unanswered) -> list[tuple[int, ...]]:
    """Sets of GPUs to decide for alone: all of one or several capabilities, the largest sets first."""
    machine, now = given.machine, {gpu.index for gpu in gpus_in_scope(given.machine, given.request)}
    kinds = sorted({gpu.compute_capability for gpu in machine.gpus})
    sets = [
        tuple(gpu.index for gpu in machine.gpus if gpu.compute_capability in chosen)
        for size in range(len(kinds) - 1, 0, -1)
        for chosen in combinations(kinds, size)
    ]
    return [each for each in sets if set(each) != now]


# --- giving one up ----------------------------------------------------------------------------------------------------


def _ways(given: _Unanswered, constraint: Constraint) -> list[_Way]:
    def asks(**values: object) -> _Way:
        return _Way(asks=lambda question: (question[0], replace(question[1], **values)))  # type: ignore[arg-type]  # its fields

    def profiled(change: Callable[[Profile], Profile]) -> _Way:
        return _Way(asks=lambda question: (change(question[0]), question[1]))

    match constraint:
        case "variant":
            anyone = _Way(asks=lambda q: (replace(q[0], variant=None), replace(q[1], variant=None)))
            meant = given.meant
            return [asks(variant=meant), anyone] if meant else [anyone]
        case "python":
            return [asks(pythons=given.pythons)]
        case "channel":
            return [_Way(asks=lambda q: (replace(q[0], channel="auto"), replace(q[1], channel="auto")))]
        case "exclude-newer":
            return [asks(exclude_newer=None)]
        case "build":
            return [asks(torch="==" + str(exactly(specifier(given.request.torch or ""))).partition("+")[0])]
        case "torch":
            return [asks(torch=None)]
        case "stated":
            return [asks(stated=_without_bounds(given))]
        case "certainty":
            return [asks(insist_unknown=True)]
        case "accelerator":
            return [asks(variant="cpu")]
        case "gpu":
            return [_Way(asks=asks(gpus=chosen).asks, values=tuple(map(str, chosen))) for chosen in _choices(given)]
        case "profile":
            return [] if given.auto is None else [profiled(lambda _: given.auto or given.profile)]
        case "profile-python":
            return [profiled(lambda profile: replace(profile, python=None))]
        case "profile-torch":
            return [profiled(lambda profile: _unpinned(profile, torch=True))]
        case "profile-companions":
            return [profiled(lambda profile: _unpinned(profile, torch=False))]
        case "required":
            return [profiled(_optional)]


def _unpinned(profile: Profile, *, torch: bool) -> Profile:
    named = set(_named(profile, torch=torch))

    def bare(texts: Sequence[str]) -> tuple[str, ...]:
        return tuple(Requirement(text).name if text in named else text for text in texts)

    return replace(profile, packages=bare(profile.packages), optional_packages=bare(profile.optional_packages))


def _bounds(given: _Unanswered) -> list[Stated]:
    """The lines of the project that bound a version of what is decided here."""
    rows = [(row, Requirement(row.text)) for row in given.request.stated]
    return [row for row, named in rows if canonicalize_name(named.name) in given.family and str(named.specifier)]


def _without_bounds(given: _Unanswered) -> tuple[Stated, ...]:
    bounds = _bounds(given)
    stated = given.request.stated
    return tuple(replace(row, text=Requirement(row.text).name) if row in bounds else row for row in stated)


def _optional(profile: Profile) -> Profile:
    torch = tuple(text for text in profile.packages if text in _named(profile, torch=True))
    rest = tuple(text for text in profile.packages if text not in torch)
    return replace(profile, packages=torch, optional_packages=(*profile.optional_packages, *rest))


# --- what is typed instead --------------------------------------------------------------------------------------------


def _change(given: _Unanswered, constraint: Constraint, way: _Way, decision: Decision, date: str) -> Change:
    torch = decision.packages[0]
    exact = torch.version if "+" in torch.version and torch.variant is None else torch.version.partition("+")[0]
    options: dict[Constraint, tuple[str, tuple[str, ...]]] = {
        "variant": ("variant", (decision.variant,)),
        "python": ("python", (decision.python,)),
        "channel": ("channel", ("auto" if decision.channel == "nightly" else "stable",)),
        "exclude-newer": ("exclude-newer", (date,) if date else ()),
        "build": ("torch", (f"=={exact}",)),
        "torch": ("torch", (f"=={exact}",)),
        "stated": ("relax", ("torch",)),
        "gpu": ("gpu", way.values),
        "profile": ("profile", (given.auto.name,) if given.auto else ()),
        "certainty": ("allow-unknown-kernels", ()),
        "accelerator": ("variant", ("cpu",)),
    }
    option, values = options.get(constraint, ("", ()))
    return Change(constraint=constraint, said=_said(given, constraint), option=option, values=values)


def _typed(question: Question, change: Change) -> Question:
    """What is asked with an option as it will be typed."""
    profile, request = question
    value = change.values[0] if change.values else None
    match change.constraint:
        case "variant":
            return profile, replace(request, variant=value)
        case "python":
            return profile, replace(request, pythons=change.values)
        case "channel":
            return profile, replace(request, channel="auto" if value == "auto" else "stable")
        case "exclude-newer":
            return profile, replace(request, exclude_newer=value)
        case "build" | "torch":
            return profile, replace(request, torch=value)
        case _:
            return question


def _said(given: _Unanswered, constraint: Constraint) -> str:
    """A constraint as the person put it; empty for what nobody typed and no profile says."""
    profile, request = given.profile, given.request
    of = f"of profile {profile.name}"
    match constraint:
        case "variant":
            return f"--variant {request.variant}" if request.variant else f"variant {profile.variant} {of}"
        case "python":
            return f"--python {request.pythons[0]}" if len(request.pythons) == 1 else ""
        case "channel":
            return f"--channel {request.channel}" if request.channel else f"channel {profile.channel} {of}"
        case "exclude-newer":
            return f"--exclude-newer {request.exclude_newer}"
        case "build" | "torch":
            return f"--torch {request.torch}"
        case "stated":
            return " and ".join(f"{row.text} ({row.place})" for row in _bounds(given))
        case "gpu":
            return "all of " + gpu_list(_in_scope(given))
        case "profile":
            return f"--profile {profile.name}"
        case "profile-python":
            return f"python {profile.python} {of}"
        case "profile-torch":
            return f"{', '.join(_named(profile, torch=True))} {of}"
        case "profile-companions":
            return f"{', '.join(_named(profile, torch=False))} {of}"
        case "required":
            return ", ".join(text for text in profile.packages if text in _named(profile, torch=False))
        case "certainty" | "accelerator":
            return ""


def _in_scope(given: _Unanswered) -> tuple[Gpu, ...]:
    return gpus_in_scope(given.machine, given.request)
