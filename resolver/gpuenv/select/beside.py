"""Whether a wheel of a companion goes with a torch on some cards, and what is missing where it does not; pure.

What its libraries say decides, where they are known; else its name, its version and the tables. The decision, `check`
and the doctor ask here, so that no two of them say different things of one package.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import Knowledge, companion_sets, packages
from gpuenv.knowledge.companion_facts import facts_by_hash, facts_by_name
from gpuenv.knowledge.names import public
from gpuenv.knowledge.rules import Code, NoCode, code_of, serve
from gpuenv.metadata import parse_range
from gpuenv.model.library import PackageFacts
from gpuenv.model.machine import ComputeCapability
from gpuenv.model.wheel import Wheel
from gpuenv.select.companion_verdict import LoadVerdict, Surroundings, judge_package

Lack = Literal["version", "empty", "platform", "python", "torch", "cuda", "card"]
"""What a wheel is not for, in the order in which it is looked at; ``empty``: it has no kernels at all."""

Support = Literal["native", "ptx", "idle", "no-code", "unknown"]
"""``idle``: no code for a card, and of use without it. ``no-code``: nothing for a device in it, and none needed."""

FactsOf = Callable[[Wheel], PackageFacts | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """It goes with this torch. ``said`` is what a person should hear of it, without its name; empty where it runs
    natively. ``by`` is the code that serves the card that is served least."""

    support: Support
    by: str = ""
    said: str = ""
    source: str = ""
    detail: str = ""
    goes: Literal[True] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """It does not: what it is not for, and the fact."""

    lacks: Lack
    detail: str
    source: str = ""
    said: str = ""
    card: ComputeCapability | None = None
    """The card that it has no code for, where that is what it lacks."""
    goes: Literal[False] = False


def facts_in_table(wheel: Wheel) -> PackageFacts | None:
    """What the table knows of a wheel: by its hash; by its name where it is the package index's own."""
    found = facts_by_hash(wheel.sha256) if wheel.sha256 else None
    if found is None and wheel.source == "package-index" and "+" not in wheel.version:
        found = facts_by_name(wheel.filename)
    return found


def in_tables(wheel: Wheel, platform: str) -> bool:
    """Whether a row of the tables is about this wheel of the package index, though nobody has read this very file."""
    own = wheel.source == "package-index" and "+" not in wheel.version
    return own and packages.code_in(wheel.project, wheel.version, platform, cuda=None) is not None


def beside(
    project: str,
    version: str,
    around: Surroundings,
    *,
    facts: PackageFacts | None,
    knowledge: Knowledge,
    of_index: bool = True,
) -> Fit | Unfit:
    """Say whether a package goes with a torch: does it load, is its CUDA torch's, has it code for each card.

    The rows of the tables are about wheels of the package index: ``of_index`` says that this may be one.
    """
    row = None
    if facts is None and of_index and "+" not in version:
        row = packages.code_in(project, version, around.platform, cuda=around.cuda or None)
    if (apart := _named_apart(project, version, around, facts, row)) is not None:
        return apart
    if facts is not None:
        return _by_facts(judge_package(facts, around, knowledge=knowledge), around)
    return _by_table(project, version, around, row, knowledge)


def _named_apart(
    project: str,
    version: str,
    around: Surroundings,
    facts: PackageFacts | None,
    row: packages.PackageCode | None,
) -> Unfit | None:
    """What name, version and table say against it. The torch in a name counts where no library's symbols are known: one
    that is bound loads wherever all of them are."""
    name, torch = f"{project} {version}", public(around.torch)
    named = packages.torch_in(version)
    told = facts is not None and any(each.torch_symbols for each in facts.own)
    build = packages.any_build(project, version)
    if not told and named is not None and torch and torch != named and not torch.startswith(f"{named}."):
        return Unfit(lacks="torch", detail=f"{name} is built for torch {named}", source="its version")
    if companion_sets.other_abi(version, torch):
        return Unfit(lacks="torch", detail=f"{name} is built for the older C++ ABI of torch", source="its version")
    ranges = [row] if row is not None else [build] if facts is None and build is not None else []
    for known in ranges:
        if known.torch and torch and not _within(torch, known.torch):
            return Unfit(lacks="torch", detail=f"{name} loads with torch{known.torch}", source=known.source)
    major, source = packages.cuda_major(project, version) or "", "its name"
    if not major and row is not None:
        major, source = row.cuda.partition(".")[0], row.source
    if not major and facts is not None:
        major, source = _own_major(project, facts), f"its libraries, {facts.date}"
    if major and around.cuda_major is not None and int(major) != around.cuda_major:
        return _of_cuda(name, major, around, source=source)
    return None


def _own_major(project: str, facts: PackageFacts) -> str:
    """The one CUDA major that the libraries ask for of a package that looks for a CUDA of its own: with another beside
    it in one process it does not load, or crashes. Empty for others, whose libraries are judged one by one."""
    known = packages.gpu_package(project)
    majors = {each.cuda_major for each in facts.own} - {None}
    return str(majors.pop()) if known is not None and known.own and len(majors) == 1 else ""


def _of_cuda(name: str, major: str, around: Surroundings, *, source: str) -> Unfit:
    theirs = f"torch {around.torch} brings those of CUDA {around.cuda_major}"
    return Unfit(lacks="cuda", detail=f"{name} needs the libraries of CUDA {major}, {theirs}", source=source)


def _within(version: str, text: str) -> bool:
    allowed = parse_range(text)
    return allowed is None or allowed.contains(version, prereleases=True)


def _by_facts(verdict: LoadVerdict, around: Surroundings) -> Fit | Unfit:
    facts = verdict.package
    name = f"{facts.project} {facts.version}"
    source = f"its libraries, {facts.date}" if facts.date else "its libraries"
    match verdict.load:
        case "other-cuda":
            apart = {str(each.library.cuda_major) for each in verdict.libraries if each.load == "other-cuda"}
            return _of_cuda(name, " and ".join(sorted(apart)), around, source=source)
        case "missing-symbol":
            first, *more = verdict.missing
            others = f" and {len(more)} more" if more else ""
            return Unfit(
                lacks="torch", detail=f"{name} needs {first}{others}, which torch {around.torch} lacks", source=source
            )
        case "other-python":
            bound = next(each.library for each in verdict.libraries if each.load == "other-python")
            return Unfit(lacks="python", detail=f"{name}: {bound.path} is for {bound.python} alone", source=source)
        case "unknown":
            code = _on_cards(verdict, around, name=name, source=source)
            if isinstance(code, Unfit):
                return code
            what = f"symbols of torch that no table has for {public(around.torch)}"
            said = f"needs {what}" if not facts.unread else f"holds libraries that cannot be read: {facts.unread[0]}"
            return Fit(support="unknown", said=said, source=source)
        case "loads" if not _chosen(verdict):
            for_what = f"for CUDA {around.cuda}" if around.cuda else "for a GPU beside a CPU build of torch"
            return Unfit(lacks="cuda", detail=f"{name} has no library {for_what}", source=source)
        case "loads":
            return _on_cards(verdict, around, name=name, source=source)


def _chosen(verdict: LoadVerdict) -> bool:
    """Whether any library with device code counts, where there is one: of several by CUDA none may be for this one."""
    return any(each.library.has_device_code for each in verdict.libraries) or not any(
        each.has_device_code for each in verdict.package.own
    )


def _on_cards(verdict: LoadVerdict, around: Surroundings, *, name: str, source: str) -> Fit | Unfit:
    found: list[Fit] = []
    for capability in around.capabilities:
        cards = [card for each in verdict.libraries for card in each.cards if card.capability == capability]
        match verdict.code(capability):
            case None:
                found.append(Fit(support="no-code", source=source))
            case "native":
                by = max(card.by for card in cards if card.code == "native")
                found.append(Fit(support="native", by=by, source=source))
            case "ptx":
                by = max(card.by for card in cards if card.code == "ptx")
                found.append(Fit(support="ptx", by=by, said=_by_ptx(capability, by), source=source))
            case "none" if companion_sets.works_without_code(verdict.package.project):
                said = f"has no code for {capability}: what it compiled is not used there"
                found.append(Fit(support="idle", said=said, source=source))
            case "none":
                detail = f"{name} has {_no_code(verdict, capability)}"
                return Unfit(lacks="card", detail=detail, source=source, card=capability)
    return _least(found)


def _no_code(verdict: LoadVerdict, capability: ComputeCapability) -> str:
    """What all libraries together lack for a card; where they lack the same, with the reason."""
    details = {card.detail for each in verdict.libraries for card in each.cards if card.capability == capability}
    if len(details) == 1:
        return details.pop()
    codes = {code for each in verdict.libraries for code in (*each.library.sass, *each.library.ptx)}
    ordered = sorted(codes, key=lambda code: (Code.parse(code) or (), code))
    return f"no code for {code_of(capability)}: {' '.join(ordered)}"


def _by_ptx(capability: ComputeCapability, by: str) -> str:
    code = Code.parse(by)
    made = f"{code.major}.{code.minor}" if code is not None else by
    return f"has no machine code for {capability}: PTX {made} through the driver"


def _least(found: list[Fit]) -> Fit:
    """The card that is served least speaks for all."""
    order: tuple[Support, ...] = ("unknown", "idle", "ptx", "native", "no-code")
    return min(found, key=lambda each: order.index(each.support)) if found else Fit(support="no-code")


def _by_table(
    project: str, version: str, around: Surroundings, row: packages.PackageCode | None, knowledge: Knowledge
) -> Fit | Unfit:
    """Its code by the tables of what nobody has read: the card in its name, a row, the least that its makers name."""
    name, card = f"{project} {version}", packages.card_in(project)
    for known in (packages.gpu_package(project), packages.any_build(project, version)):
        for capability in around.capabilities:
            if known is not None and known.least is not None and capability < known.least:
                detail = f"{name} has no code for {code_of(capability)}: it begins at {known.least}"
                return Unfit(lacks="card", detail=detail, source=known.source, card=capability)
    sass = (card,) if card else row.sass if row is not None else None
    if sass is None:
        return Fit(support="unknown", said="holds code that no table knows")
    source = "its name" if card or row is None else row.source
    found = []
    for capability in around.capabilities:
        answer = serve(
            capability,
            sass=sass,
            ptx=row.ptx if row is not None and not card else (),
            cuda=around.cuda,
            driver_cuda=around.driver_cuda,
            platform=around.platform,
            rules=knowledge.code_rules,
        )
        if isinstance(answer, NoCode):
            return Unfit(lacks="card", detail=f"{name} has {answer.detail}", source=source, card=capability)
        said = _by_ptx(capability, answer.by) if answer.support == "ptx" else ""
        found.append(Fit(support=answer.support, by=answer.by, said=said, source=source))
    return _least(found)
