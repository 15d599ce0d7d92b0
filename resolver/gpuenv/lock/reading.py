"""A parsed TOML table that knows where it stands, so that every refusal names file and key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import NoReturn, TypeVar

from gpuenv.dataclass import dataclass
from gpuenv.errors import ConfigurationError

_Choice = TypeVar("_Choice", bound=str)
_Kind = TypeVar("_Kind")
_KINDS: dict[type, str] = {
    str: "a string", bool: "true or false", int: "a number", float: "a number", dict: "a table", list: "a list"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LockTable:
    """Typed, checked access to one table of a file. ``path`` is its dotted place (``packages[3].tool.gpuenv``)."""

    origin: str
    path: str
    entries: Mapping[str, object]
    _asked: set[str] = field(default_factory=set)

    def fail(self, key: str, sentence: str) -> NoReturn:
        """Raise :class:`~gpuenv.errors.ConfigurationError` about ``key`` of this table."""
        raise ConfigurationError(f"{self.origin}: {self._at(key)} {sentence}")

    def text(self, key: str) -> str:
        """A string that must be there."""
        found = self.maybe_text(key)
        return self._missing(key) if found is None else found

    def maybe_text(self, key: str) -> str | None:
        """A string, ``None`` where the key is absent."""
        return self._maybe(key, str, "a string")

    def maybe_size(self, key: str) -> int | None:
        """A number of bytes greater than zero, ``None`` where the key is absent."""
        found = self._maybe(key, int, "a number of bytes")
        if found is not None and found <= 0:
            self.fail(key, f"is {found}: no wheel has that size")
        return found

    def index(self, key: str) -> int:
        """A number that is not negative and must be there."""
        found = self._maybe(key, int, "a number")
        if found is None or found < 0:
            self.fail(key, "is not a number" if found is not None else "is missing")
        return found

    def flag(self, key: str) -> bool:
        """True or false, false where the key is absent."""
        return bool(self._maybe(key, bool, "true or false"))

    def maybe_time(self, key: str) -> str | None:
        """An offset date-time as RFC 3339, ``None`` where the key is absent."""
        found = self._maybe(key, datetime, "a date and time")
        return None if found is None else found.isoformat()

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of strings, empty where the key is absent."""
        found = self._get(key)
        if found is None:
            return ()
        if not isinstance(found, list):
            self.fail(key, f"is {_kind(found)}, not a list")
        for place, entry in enumerate(found):
            if not isinstance(entry, str):
                self.fail(f"{key}[{place}]", f"is {_kind(entry)}, not a string")
        return tuple(found)

    def maybe_texts(self, key: str) -> tuple[str, ...] | None:
        """A list of strings, ``None`` where the key is absent."""
        return self.texts(key) if key in self.entries else None

    def choice(self, key: str, choices: tuple[_Choice, ...]) -> _Choice:
        """One of ``choices``."""
        found = self.text(key)
        chosen = next((each for each in choices if each == found), None)
        if chosen is None:
            self.fail(key, f"is {found!r}; it can be " + ", ".join(choices))
        return chosen

    def table(self, key: str) -> LockTable:
        """A table below this one."""
        found = self._get(key)
        if not isinstance(found, Mapping):
            self.fail(key, f"is {_kind(found)}, not a table" if found is not None else "is missing")
        return LockTable(self.origin, self._at(key), found)

    def tables(self, key: str) -> tuple[LockTable, ...]:
        """A list of tables, empty where the key is absent."""
        found = self._get(key)
        if found is None:
            return ()
        if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
            self.fail(key, "is not a list of tables")
        return tuple(LockTable(self.origin, f"{self._at(key)}[{place}]", entry) for place, entry in enumerate(found))

    def end(self) -> None:
        """Refuse keys nobody asked for: a lock made by a newer gpuenv is not half understood."""
        for key in sorted(set(self.entries) - self._asked):
            self.fail(key, "is not known to this gpuenv")

    def _maybe(self, key: str, kind: type[_Kind], what: str) -> _Kind | None:
        found = self._get(key)
        if found is not None and (not isinstance(found, kind) or (isinstance(found, bool) and kind is not bool)):
            self.fail(key, f"is {_kind(found)}, not {what}")
        return found

    def _get(self, key: str) -> object:
        self._asked.add(key)
        return self.entries.get(key)

    def _missing(self, key: str) -> NoReturn:
        self.fail(key, "is missing")

    def _at(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else key


def _kind(item: object) -> str:
    return _KINDS.get(type(item), f"a {type(item).__name__}")
