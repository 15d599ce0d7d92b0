"""Every wheel before the rules, every torch wheel before the kernel rule: what is left, ranked; what was refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Catalog, Wheel, WheelContents
from gpuenv.select import kernels, rules
from gpuenv.select.candidates import Entry, Facts, parse_entry
from gpuenv.select.docket import Docket
from gpuenv.select.kernels import Served, Unknown
from gpuenv.select.prepare import Wishes
from gpuenv.select.rank import Ages, Rank, rank
from gpuenv.select.rules import Case
from gpuenv.select.target import Refusal


@dataclass(slots=True, kw_only=True)
class Hearing:
    """The state of one decision: the case, the verdicts so far, and the candidates that are left."""

    case: Case
    profile: Profile
    wishes: Wishes
    facts: Facts
    docket: Docket
    companions: list[Entry]
    """Wheels of other projects that passed the rules."""
    nightly: bool
    """Nightly wheels were offered."""
    standing: list[tuple[Rank, Served | Unknown]]
    judged: list[tuple[Entry, Refusal]]
    """Torch wheels of this platform that a rule about channel, version, build, driver or code refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """A catalog after the rules that need no reading. It holds for any facts: a second round need not repeat it."""

    entries: Mapping[str, Entry]
    """Every wheel whose name can be read, by URL."""
    passed: tuple[Entry, ...]
    refused: tuple[tuple[Wheel, Refusal], ...]
    nightly: bool


def sift(case: Case, catalog: Catalog) -> Sifted:
    """Put every wheel of a catalog before the rules."""
    entries: dict[str, Entry] = {}
    passed: list[Entry] = []
    refused: list[tuple[Wheel, Refusal]] = []
    for wheel in distinct(catalog.wheels):
        entry = parse_entry(wheel, case.knowledge)
        if entry is None:
            refused.append((wheel, Refusal("platform", "its name holds no readable version and tags")))
            continue
        entries[wheel.url] = entry
        said = rules.judge(case, entry)
        if isinstance(said, Refusal):
            refused.append((wheel, said))
        else:
            passed.append(said)
    nightly = any(wheel.channel == "nightly" for wheel in catalog.wheels)
    return Sifted(entries=entries, passed=tuple(passed), refused=tuple(refused), nightly=nightly)


def hear(case: Case, profile: Profile, wishes: Wishes, sifted: Sifted, facts: Mapping[str, WheelContents]) -> Hearing:
    """Put every torch wheel that is left before the kernel rule, and rank those that pass."""
    hearing = Hearing(
        case=case,
        profile=profile,
        wishes=wishes,
        facts=Facts(facts, sifted.entries),
        docket=Docket(sifted.refused),
        companions=[entry for entry in sifted.passed if entry.wheel.project != "torch"],
        nightly=sifted.nightly,
        standing=[],
        judged=[
            (sifted.entries[wheel.url], refusal)
            for wheel, refusal in sifted.refused
            if wheel.project == "torch" and refusal.reason not in ("platform", "libc", "excluded")
        ],
    )
    _examine(hearing, [entry for entry in sifted.passed if entry.wheel.project == "torch"])
    return hearing


def distinct(wheels: Sequence[Wheel]) -> list[Wheel]:
    """One row a URL, sorted: a file that several pages list is one wheel, and the row with a hash tells most."""
    found: dict[str, Wheel] = {}
    for wheel in wheels:
        other = found.get(wheel.url)
        if other is None or _tells_more(wheel) < _tells_more(other):
            found[wheel.url] = wheel
    return [found[url] for url in sorted(found)]


def _tells_more(wheel: Wheel) -> tuple[bool, bool, str]:
    return (wheel.sha256 is None, wheel.metadata_sha256 is None, repr(wheel))


def _examine(hearing: Hearing, torch: Sequence[Entry]) -> None:
    case = hearing.case
    standing: list[Served | Unknown] = []
    for entry in torch:
        outcome = kernels.examine(case, entry, hearing.facts)
        if isinstance(outcome, Unknown) and entry.wheel.url in case.unanswered:
            reason = Refusal("unknown-kernels", case.unanswered[entry.wheel.url])
            outcome = kernels.insisted(case, entry) if case.request.insist_unknown else reason
        if isinstance(outcome, Refusal):
            refuse_torch(hearing, entry, outcome)
        else:
            standing.append(outcome)
    ages = Ages([outcome.entry for outcome in standing])
    hearing.standing = sorted(((rank(case, outcome, ages), outcome) for outcome in standing), key=lambda pair: pair[0])


def refuse_torch(hearing: Hearing, entry: Entry, refusal: Refusal) -> None:
    """Enter the refusal of a torch wheel, for the docket and for the words."""
    hearing.docket.refuse(entry.wheel, refusal)
    hearing.judged.append((entry, refusal))
