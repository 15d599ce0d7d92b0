"""What the payload said: messages, and questions that judges put to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gpuenv.verify.events import EVENTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One event of one process. ``values`` is JSON from another process: read it through the typed methods."""

    job: str
    event: str
    at: float
    values: Mapping[str, object]

    def value(self, key: str) -> object:
        """Return a value, ``None`` where the event came without it; raises ``KeyError`` where it never holds it."""
        event = EVENTS[self.event]
        if key not in event.always and key not in event.sometimes:
            raise KeyError(f"the event {self.event} never holds {key}")
        return self.values.get(key)

    def text(self, key: str) -> str:
        """Return a text, empty where there is none."""
        value = self.value(key)
        return value if isinstance(value, str) else ""

    def number(self, key: str) -> float | None:
        """Return a number; ``nan`` and ``inf`` travel as words and come back as such."""
        return as_number(self.value(key))

    def whole(self, key: str) -> int:
        """Return a whole number, 0 where there is none."""
        value = self.value(key)
        return value if isinstance(value, int) and not isinstance(value, bool) else 0

    def flag(self, key: str) -> bool:
        """Return a yes or no; anything else is no."""
        return self.value(key) is True

    def rows(self, key: str) -> tuple[Mapping[str, object], ...]:
        """Return the objects of a list."""
        value = self.value(key)
        return tuple(item for item in value if isinstance(item, dict)) if isinstance(value, list) else ()

    def numbers(self, key: str) -> tuple[float, ...]:
        """Return the numbers of a list."""
        value = self.value(key)
        found = (as_number(item) for item in value) if isinstance(value, list) else ()
        return tuple(item for item in found if item is not None)

    def table(self, key: str) -> Mapping[str, object]:
        """Return an object, empty where there is none."""
        value = self.value(key)
        return value if isinstance(value, dict) else {}


def as_number(value: object) -> float | None:
    """Return a JSON value as a number, ``None`` where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    return float(value) if value in ("nan", "inf", "-inf") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Every message of a verification, in the order of arrival."""

    messages: tuple[Message, ...]

    def all(self, event: str, *, job: str | None = None) -> tuple[Message, ...]:
        """Return the messages of one kind, of one job or of all."""
        return tuple(self._matching(event, job))

    def first(self, event: str, *, job: str | None = None) -> Message | None:
        """Return the first message of one kind, ``None`` where there is none."""
        return next(self._matching(event, job), None)

    def _matching(self, event: str, job: str | None) -> Iterator[Message]:
        return (m for m in self.messages if m.event == event and (job is None or m.job == job))


def collect(messages: Sequence[Message]) -> Seen:
    """Freeze what was heard."""
    return Seen(messages=tuple(messages))
