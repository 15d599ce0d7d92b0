"""The verdicts: every wheel of the catalog gets exactly one, grouped by candidate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import overload

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

    @property
    def refused(self) -> int:
        """How many wheels were refused."""
        return len(self._before) + len(self._refusals)

    def rejected(self, *reasons: Reason) -> tuple[Rejected, ...]:
        """The refused wheels, one row per candidate and reason, newest version first; those of ``reasons`` where any
        is named."""
        rows = [row for row in (*self._before, *self._refusals.values()) if not reasons or row[1].reason in reasons]
        # Wheels that are alike were given one and the same refusal: each is put into words once.
        alike = Counter((_named(wheel), id(refusal)) for wheel, refusal in rows)
        refusals = {id(refusal): refusal for _, refusal in rows}
        wheels = {_named(wheel): wheel for wheel, _ in rows}
        groups: dict[tuple[str, Reason], list[tuple[Wheel, str, int]]] = {}
        for (named, which), count in alike.items():
            key = (label(wheels[named]), refusals[which].reason)
            groups.setdefault(key, []).append((wheels[named], refusals[which].detail, count))
        places = _newest_first({group[0][0].version for group in groups.values()})
        order = sorted(groups)
        order.sort(key=lambda key: places[groups[key][0][0].version])
        order.sort(key=lambda key: (groups[key][0][0].project != "torch", groups[key][0][0].project))
        return tuple(
            Rejected(
                candidate=candidate,
                project=groups[candidate, reason][0][0].project,
                version=groups[candidate, reason][0][0].version,
                reason=reason,
                detail=_join(detail for _, detail, _ in groups[candidate, reason]),
                wheels=sum(count for _, _, count in groups[candidate, reason]),
            )
            for candidate, reason in order
        )


class Rejections(Sequence[Rejected]):
    """The refused wheels as rows, put into words when somebody looks at them: a decision itself needs none."""

    def __init__(self, verdicts: Verdicts) -> None:
        """``verdicts`` are complete."""
        self._verdicts = verdicts

    @cached_property
    def rows(self) -> tuple[Rejected, ...]:
        """All of them, in the order of :meth:`Verdicts.rejected`."""
        return self._verdicts.rejected()

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, place: int) -> Rejected: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[Rejected, ...]: ...
    def __getitem__(self, place: int | slice) -> Rejected | tuple[Rejected, ...]:
        return self.rows[place]

    def __iter__(self) -> Iterator[Rejected]:
        return iter(self.rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self.rows == tuple(other)

    def __hash__(self) -> int:
        return hash(self.rows)

    def __repr__(self) -> str:
        return repr(self.rows)


def _named(wheel: Wheel) -> tuple[str | None, ...]:
    """All that names the candidate of a wheel."""
    return (wheel.project, wheel.version, wheel.variant, wheel.channel)


def _newest_first(versions: set[str]) -> dict[str, int]:
    """The place of each version, the newest first; equal ones share theirs, and what is no version comes last."""
    read = {text: parse_version(text) for text in versions}
    places = {
        version: place for place, version in enumerate(sorted({each for each in read.values() if each}, reverse=True))
    }
    return {text: len(places) if version is None else places[version] for text, version in read.items()}


def _join(details: Iterable[str]) -> str:
    """The distinct details of a group, sorted; a long list is cut, with the number left out."""
    found = sorted(set(details))
    shown = "; ".join(found[:_DETAILS_SHOWN])
    return f"{shown}; and {len(found) - _DETAILS_SHOWN} more" if len(found) > _DETAILS_SHOWN else shown
