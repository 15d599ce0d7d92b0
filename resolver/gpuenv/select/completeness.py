"""At equal torch the complete family comes before the newer variant; and which torch would bring what is left out."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from packaging.version import Version

from gpuenv.dataclass import dataclass
from gpuenv.model.decision import Question
from gpuenv.select import family
from gpuenv.select.candidates import CatalogEntry, public_version
from gpuenv.select.evaluation import Evaluation
from gpuenv.select.kernels import Served, Unknown
from gpuenv.select.rank import Rank

_RELEASES_ASKED = 3
"""How many releases back companions are read for a piece of advice: each costs a request or two."""

FamilyOf = Callable[[CatalogEntry], family.Outcome]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """The torch wheel that is taken, with its family. ``passed`` are builds of the same release that rank before it and
    have less of the family."""

    outcome: Served
    found: family.TorchFamily
    passed: tuple[tuple[CatalogEntry, family.TorchFamily], ...] = ()


def fullest(
    evaluation: Evaluation, place: int, first: family.TorchFamily, family_of: FamilyOf
) -> Chosen | tuple[Question, ...]:
    """Choose among the wheels that are equal in code, channel and release to the one at ``place``, which comes first:
    the one that leaves out the least. Where something has to be read for that, the questions."""
    rank, outcome = evaluation.candidates[place]
    assert isinstance(outcome, Served)
    best, passed = Chosen(outcome=outcome, found=first), [(outcome.entry, first)]
    for other, peer in evaluation.candidates[place + 1 :]:
        if not best.found.left_out or not _equal(rank, other):
            break
        found = family_of(peer.entry)
        if isinstance(found, family.Missing) or len(found.left_out) >= len(best.found.left_out):
            continue
        if isinstance(found, family.Needed):
            return found.questions
        if isinstance(peer, Unknown):
            return (Question(wheel=peer.entry.wheel, about=peer.about),)
        best = Chosen(outcome=peer, found=found, passed=tuple(passed))
        passed.append((peer.entry, found))
    return best


def other_release(evaluation: Evaluation, chosen: Chosen, family_of: FamilyOf) -> Version | tuple[Question, ...] | None:
    """The newest other release of torch that would be chosen with its whole family, were it asked for by number."""
    for number, group in enumerate(_releases(evaluation)):
        version = public_version(group[0].entry.wheel.version)
        if version == public_version(chosen.outcome.entry.wheel.version):
            continue
        for outcome in group:
            found = family_of(outcome.entry)
            if isinstance(found, family.Missing) or found.left_out or isinstance(outcome, Unknown):
                continue
            if isinstance(found, family.TorchFamily):
                return version
            return found.questions if number <= _RELEASES_ASKED else None
    return None


def _releases(evaluation: Evaluation) -> Iterator[list[Served | Unknown]]:
    """The candidates by release, best first; of each release those among which the fullest family decides."""
    seen: set[Version] = set()
    for place, (rank, outcome) in enumerate(evaluation.candidates):
        version = public_version(outcome.entry.wheel.version)
        if version in seen:
            continue
        seen.add(version)
        peers = [outcome]
        for other, peer in evaluation.candidates[place + 1 :]:
            if not _equal(rank, other):
                break
            peers.append(peer)
        yield peers


def _equal(one: Rank, other: Rank) -> bool:
    """Alike in everything that comes before the completeness of the family: code, channel, release, doubt."""
    return one[:4] == other[:4]
