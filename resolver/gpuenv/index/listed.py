"""What an index page lists, and a compact form of that, which is read back in a tenth of the page's own time.

The form is JSON, a column for each field of a wheel. What no page could say is no form.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields
from typing import get_args

from gpuenv.dataclass import dataclass
from gpuenv.model.wheel import Channel, SourceKind, Wheel, wheels_of
from gpuenv.net.location import Location

_TEXT, _PERHAPS = frozenset({str}), frozenset({str, type(None)})
_TYPES = {
    **dict.fromkeys(("project", "version", "filename", "url"), _TEXT),
    **dict.fromkeys(("sha256", "requires_python", "metadata_sha256", "upload_time", "yanked", "variant"), _PERHAPS),
    "size": frozenset({int, type(None)}),
}
_CHOICES: dict[str, tuple[str, ...]] = {"source": get_args(SourceKind), "channel": get_args(Channel)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A link that is a file and no usable wheel, and why."""

    filename: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page lists, in its own order. ``folders`` are links to deeper pages: (name, absolute URL).

    The address of a row is absolute, without fragment, credentials and query; ``%2B`` stays as it is.
    """

    rows: tuple[Wheel, ...]
    skipped: tuple[Skipped, ...]
    folders: tuple[tuple[str, str], ...]
    signed: tuple[Location, ...] = ()
    """Addresses of rows that carry a query: what was signed is part of no row."""


def encode(page: Page) -> bytes | None:
    """The form of a page; ``None`` for one with signed addresses, which are never kept."""
    if page.signed:
        return None
    columns = [_packed([getattr(row, field.name) for row in page.rows]) for field in fields(Wheel)]
    skipped = [[each.filename, each.reason] for each in page.skipped]
    return json.dumps([columns, skipped, page.folders], separators=(",", ":")).encode()


def decode(form: bytes) -> Page | None:
    """Read a form; ``None`` for what :func:`encode` does not write."""
    try:
        columns, skipped, folders = json.loads(form)
        unpacked = [_unpacked(column) for column in columns]
        _check(unpacked, skipped, folders)
        return Page(
            rows=wheels_of(unpacked),
            skipped=tuple(Skipped(filename=filename, reason=reason) for filename, reason in skipped),
            folders=tuple((name, url) for name, url in folders),
        )
    except (ValueError, TypeError, IndexError, RecursionError):
        return None


def _packed(column: list[object]) -> list[object]:
    """A column; where values come again and again, each of them once, and the places in that list."""
    values = list(dict.fromkeys(column))
    if 2 * len(values) > len(column):
        return [column, None]
    places = {value: place for place, value in enumerate(values)}
    return [values, [places[value] for value in column]]


def _unpacked(packed: tuple[list[object], list[int] | None]) -> list[object]:
    values, places = packed
    if not isinstance(values, list):
        raise TypeError("no list of values")
    return values if places is None else [values[place] for place in places]


def _check(columns: Sequence[list[object]], skipped: Sequence[list[object]], folders: Sequence[list[object]]) -> None:
    """Raise ``ValueError`` where a value is of a type that no page gives."""
    if len({len(column) for column in columns}) != 1:
        raise ValueError("columns of different lengths")
    for field, column in zip(fields(Wheel), columns, strict=True):
        found = set(column) if field.name in _CHOICES else set(map(type, column))
        if not found <= set(_CHOICES.get(field.name) or _TYPES[field.name]):
            raise ValueError(f"{field.name} of another type")
    if {type(each) for pair in (*skipped, *folders) for each in pair} - _TEXT:
        raise ValueError("a name that is no text")
