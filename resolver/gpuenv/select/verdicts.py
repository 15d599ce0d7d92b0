"""The verdicts: every wheel of the catalog gets exactly one, grouped by candidate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gpuenv.metadata import parse_version
from gpuenv.model.decision import Accepted, Reason, Rejected
from gpuenv.model.wheel import Wheel
from gpuenv.select.candidates import label
from gpuenv.select.target import Refusal

_DETAILS_SHOWN = 6


class Verdicts:
    """Verdicts by wheel. A second verdict on the same wheel is a mistake of ours, so it raises.

    ``refused`` are verdicts given before, by the rules that need no reading.
    """

    def __init__(self, refused: Sequence[tuple[Wheel, Refusal]] = ()) -> None:
        self._before = refused
        self._refusals: dict[str, tuple[Wheel, Refusal]] = {}
        self._accepted: dict[str, tuple[Wheel, int, str]] = {}

    def refuse(self, wheel: Wheel, refusal: Refusal) -> None:
        """Enter a refusal."""
        self._enter(wheel)
        self._refusals[wheel.url] = (wheel, refusal)

    def accept(self, wheel: Wheel, *, rank: int, python: str) -> None:
        """Enter an acceptance."""
        self._enter(wheel)
        self._accepted[wheel.url] = (wheel, rank, python)

    def _enter(self, wheel: Wheel) -> None:
        if self.has(wheel):
            raise AssertionError(f"second verdict on {wheel.url}")

    def has(self, wheel: Wheel) -> bool:
        """Whether a wheel that passed the rules has its verdict."""
        return wheel.url in self._refusals or wheel.url in self._accepted

    def accepted(self) -> tuple[Accepted, ...]:
        """The accepted wheels, best rank first, torch before its companions."""
        rows = sorted(self._accepted.values(), key=lambda row: (row[1], row[0].project != "torch", row[0].url))
        return tuple(
            Accepted(candidate=label(wheel), project=wheel.project, version=wheel.version, rank=rank, python=python)
            for wheel, rank, python in rows
        )

    def rejected(self) -> tuple[Rejected, ...]:
        """The refused wheels, one row per candidate and reason, newest version first."""
        groups: dict[tuple[str, Reason], list[tuple[Wheel, Refusal]]] = {}
        for wheel, refusal in (*self._before, *self._refusals.values()):
            groups.setdefault((label(wheel), refusal.reason), []).append((wheel, refusal))
        order = sorted(groups)
        order.sort(key=lambda key: _newness(groups[key][0][0]), reverse=True)
        order.sort(key=lambda key: (groups[key][0][0].project != "torch", groups[key][0][0].project))
        return tuple(
            Rejected(
                candidate=candidate,
                project=groups[candidate, reason][0][0].project,
                version=groups[candidate, reason][0][0].version,
                reason=reason,
                detail=_join(refusal.detail for _, refusal in groups[candidate, reason]),
                wheels=len(groups[candidate, reason]),
            )
            for candidate, reason in order
        )


def _newness(wheel: Wheel) -> tuple[object, ...]:
    version = parse_version(wheel.version)
    return (version is not None, version) if version is not None else (False,)


def _join(details: Iterable[str]) -> str:
    """The distinct details of a group, sorted; a long list is cut, with the number left out."""
    found = sorted(set(details))
    shown = "; ".join(found[:_DETAILS_SHOWN])
    return f"{shown}; and {len(found) - _DETAILS_SHOWN} more" if len(found) > _DETAILS_SHOWN else shown
