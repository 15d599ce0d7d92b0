"""A decision as JSON and as lines of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import TypeVar, assert_never, get_args

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from gpuenv.documents import parts
from gpuenv.errors import UsageError
from gpuenv.model.decision import Accepted, Decision, NoDecision, Reason, Rejected

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
    kernels, driver = decision.kernels, decision.driver
    wheel = ("version", "filename", "url", "sha256", "size", "requires_python")
    return {
        **parts(decision, "profile", "accelerator", "python", "channel", "variant", "source"),
        "packages": [{"name": each.project, **parts(each, *wheel)} for each in decision.packages],
        "requires": dict(decision.requires),
        "others": decision.others,
        "companions": [
            {"name": each.project, **parts(each, "version", "place", "support", "by", "because", "source")}
            for each in decision.companions
        ],
        "kernels": kernels and {**parts(kernels, "sass", "ptx"), "from": kernels.origin, "detail": kernels.detail},
        "gpus": [asdict(gpu) | {"compute_capability": str(gpu.compute_capability)} for gpu in decision.gpus],
        "driver": driver and parts(driver, "required", "found", "full", "source"),
        **parts(decision, "because", "warnings"),
        "accepted": [
            {"candidate": row.candidate, "rank": row.rank, "detail": f"Python {row.python}"}
            for row in decision.accepted
        ],
        "rejected": rejected_to_json(decision.rejected),
    }


def no_decision_to_json(nothing: NoDecision) -> dict[str, object]:
    """Give the ``data`` of ``resolve --json`` where nothing fits."""
    return {**parts(nothing, "summary", "causes", "wants_nightly"), "rejected": rejected_to_json(nothing.rejected)}


def rejected_to_json(rows: Iterable[Rejected]) -> list[dict[str, object]]:
    """Give rejected candidates in their order: newest first within a project."""
    return [parts(row, "candidate", "reason", "detail", "wheels") for row in rows]


def explain(answer: Decision | NoDecision) -> tuple[str, ...]:
    """Give the lines of ``resolve --explain``: why, what else would do, and every refusal, grouped by reason."""
    match answer:
        case Decision():
            lines = [*answer.because, *(f"{each.words}." for each in answer.companions)]
            lines += [*(f"warning: {text}" for text in answer.warnings)]
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
