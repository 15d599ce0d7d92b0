"""A decision as JSON and as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TypeVar, assert_never, get_args

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from gpuenv.errors import UsageError
from gpuenv.model.decision import Accepted, Decision, NoDecision, Reason, Rejected
from gpuenv.model.wheel import Wheel

_TITLES: dict[Reason, str] = {
    "platform": "for another system",
    "python": "for another Python",
    "abi": "for another Python ABI",
    "libc": "for another libc",
    "channel": "of another channel",
    "version": "not a version that was asked for",
    "variant": "another build",
    "driver": "the driver does not run it",
    "kernels": "no code for a GPU of this machine",
    "companion": "without its companions, or a companion without its torch",
    "yanked": "yanked",
    "too-new": "too new, or of unknown age",
    "hash": "without a hash",
    "unknown-kernels": "what it holds is not known",
    "excluded": "not decided here",
}
_TELLING: tuple[Reason, ...] = (
    "kernels", "driver", "companion", "unknown-kernels", "variant", "version", "channel", "yanked", "too-new", "hash",
    "libc", "abi", "python", "platform", "excluded",
)  # fmt: skip
assert set(_TELLING) == set(get_args(Reason)) == set(_TITLES)


def decision_to_json(decision: Decision) -> dict[str, object]:
    """Give the ``data`` of ``resolve --json`` (docs/architecture.md, command line)."""
    return {
        "profile": decision.profile,
        "accelerator": decision.accelerator,
        "python": decision.python,
        "channel": decision.channel,
        "variant": decision.variant,
        "source": decision.source,
        "packages": [_package(wheel) for wheel in decision.packages],
        "requires": {project: list(requires) for project, requires in decision.requires},
        "others": list(decision.others),
        "kernels": None
        if decision.kernels is None
        else {
            "sass": list(decision.kernels.sass),
            "ptx": list(decision.kernels.ptx),
            "from": decision.kernels.origin,
            "detail": decision.kernels.detail,
        },
        "gpus": [
            {
                "index": gpu.index,
                "name": gpu.name,
                "compute_capability": str(gpu.compute_capability),
                "support": gpu.support,
                "by": gpu.by,
            }
            for gpu in decision.gpus
        ],
        "driver": None
        if decision.driver is None
        else {
            "required": decision.driver.required,
            "found": decision.driver.found,
            "full": decision.driver.full,
            "source": decision.driver.source,
        },
        "because": list(decision.because),
        "warnings": list(decision.warnings),
        "accepted": [
            {"candidate": row.candidate, "rank": row.rank, "detail": f"Python {row.python}"}
            for row in decision.accepted
        ],
        "rejected": rejected_to_json(decision.rejected),
    }


def no_decision_to_json(nothing: NoDecision) -> dict[str, object]:
    """Give the ``data`` of ``resolve --json`` where nothing fits."""
    return {
        "summary": nothing.summary,
        "causes": list(nothing.causes),
        "wants_nightly": nothing.wants_nightly,
        "rejected": rejected_to_json(nothing.rejected),
    }


def rejected_to_json(rows: Iterable[Rejected]) -> list[dict[str, object]]:
    """Give rejected candidates in their order: newest first within a project."""
    return [
        {"candidate": row.candidate, "reason": row.reason, "detail": row.detail, "wheels": row.wheels} for row in rows
    ]


def explain(answer: Decision | NoDecision) -> tuple[str, ...]:
    """Give the lines of ``resolve --explain``: why, what else would do, and every refusal, grouped by reason."""
    match answer:
        case Decision():
            lines = [*answer.because, *(f"warning: {text}" for text in answer.warnings)]
            lines += _accepted_lines(answer)
        case NoDecision():
            lines = [f"{answer.summary}.", *(f"cause: {text}" for text in answer.causes)]
        case _:
            assert_never(answer)
    for reason in _TELLING:
        lines += _reason_lines(reason, [row for row in answer.rejected if row.reason == reason])
    return tuple(lines)


def _accepted_lines(decision: Decision) -> list[str]:
    torch = [row for row in decision.accepted if row.project == "torch"]
    lines = ["", f"accepted ({len(torch)} torch wheels, best first)"]
    beside: dict[int, list[str]] = {}
    for row in decision.accepted:
        if row.project != "torch":
            beside.setdefault(row.rank, []).append(row.candidate)
    builds: dict[str, list[Accepted]] = {}
    for row in torch:
        builds.setdefault(row.candidate, []).append(row)
    for place, (candidate, rows) in enumerate(builds.items()):
        pythons = ", ".join(dict.fromkeys(row.python for row in rows))
        others = dict.fromkeys(other for row in rows for other in beside.get(row.rank, ()))
        line = f"  {place:3}  {candidate}  Python {pythons}"
        lines.append(f"{line}, with {', '.join(others)}" if others else line)
    return lines


def _reason_lines(reason: Reason, rows: list[Rejected]) -> list[str]:
    if not rows:
        return []
    wheels = sum(row.wheels for row in rows)
    lines = ["", f"{reason}: {_TITLES[reason]} ({len(rows)} candidates, {wheels} wheels)"]
    by_detail: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        by_detail.setdefault((row.project, row.detail), []).append(row.candidate.removeprefix(f"{row.project} "))
    return [*lines, *(f"  {project} {', '.join(found)}: {detail}" for (project, detail), found in by_detail.items())]


def _package(wheel: Wheel) -> dict[str, object]:
    return {
        "name": wheel.project,
        "version": wheel.version,
        "filename": wheel.filename,
        "url": wheel.url,
        "sha256": wheel.sha256,
        "size": wheel.size,
        "requires_python": wheel.requires_python,
    }


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
