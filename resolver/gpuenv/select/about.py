"""The part of a decision that is about one package: what `resolve --about torch==2.11` shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from gpuenv.errors import UsageError
from gpuenv.model.decision import Accepted, Decision, NoDecision, Rejected

Answer = TypeVar("Answer", Decision, NoDecision)


def about(answer: Answer, text: str) -> Answer:
    """The answer with the candidates alone that ``text`` names: a package, with a range of versions where wanted.

    A version without a local part stands for all its builds. Raises ``UsageError`` for a text that is no requirement,
    and for one that names no candidate, with the packages or the versions that there are.
    """
    try:
        asked = Requirement(text)
    except InvalidRequirement as error:
        raise UsageError(
            f"--about: {text} names no package", hints=("Write it as a requirement: `gpuenv resolve --about torch`",)
        ) from error
    candidates: list[Accepted | Rejected] = [*_accepted(answer), *answer.rejected]
    if not any(_is_of(each, asked) for each in candidates):
        raise _nothing(text, asked, candidates)
    rejected = tuple(row for row in answer.rejected if _is_of(row, asked))
    if isinstance(answer, Decision):
        kept = tuple(row for row in answer.accepted if _is_of(row, asked))
        return replace(answer, accepted=kept, rejected=rejected)
    return replace(answer, rejected=rejected)


def _accepted(answer: Decision | NoDecision) -> tuple[Accepted, ...]:
    return answer.accepted if isinstance(answer, Decision) else ()


def _is_of(row: Accepted | Rejected, asked: Requirement) -> bool:
    named = row.project == canonicalize_name(asked.name)
    return named and (not asked.specifier or asked.specifier.contains(row.version, prereleases=True))


def _nothing(text: str, asked: Requirement, candidates: Sequence[Accepted | Rejected]) -> UsageError:
    project = canonicalize_name(asked.name)
    versions = list(dict.fromkeys(each.version for each in candidates if each.project == project))
    if not versions:
        names = ", ".join(sorted({each.project for each in candidates}))
        return UsageError(f"--about: no candidate is a {project}", causes=(f"candidates are of {names or 'nothing'}",))
    shown = ", ".join(versions[:6]) + (f" and {len(versions) - 6} more" if len(versions) > 6 else "")
    return UsageError(f"--about: no candidate is {text}", causes=(f"candidates of {project}: {shown}",))
