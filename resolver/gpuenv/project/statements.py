"""A TOML text as statements: which lines hold which key of which table."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from gpuenv.dataclass import dataclass

_LONGEST = 2000
"""Lines of the longest value that is understood."""
_HEADER = re.compile(r"\s*\[\[?[^=]*\]\]?\s*(?:#.*)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A header, or a key with its value. Lines count from 0, ``end`` is behind the last."""

    start: int
    end: int
    table: tuple[str, ...]
    """The table it stands in, or that it opens."""
    key: str = ""
    """The first part of the key; empty for a header."""


def statements(text: str) -> Iterator[Statement]:
    """Find the statements of a text that is valid TOML, in their order.

    >>> [(each.table, each.key, each.end) for each in statements("[a.b]\\nc = [\\n 1]\\n")]
    [(('a', 'b'), '', 1), (('a', 'b'), 'c', 3)]
    """
    lines = text.split("\n")
    table: tuple[str, ...] = ()
    number = 0
    while number < len(lines):
        start, line = number, lines[number].strip()
        number += 1
        if not line or line.startswith("#"):
            continue
        header = _parsed(line) if _HEADER.fullmatch(line) else None
        if header is not None:
            table = _path(header)
            yield Statement(start=start, end=number, table=table)
            continue
        for end in range(number, min(len(lines), start + _LONGEST) + 1):
            found = _parsed("\n".join(lines[start:end]))
            if found is not None:
                number = end
                yield Statement(start=start, end=end, table=table, key=next(iter(found)))
                break


def _parsed(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text + "\n")
    except tomllib.TOMLDecodeError:
        return None


def _path(document: object) -> tuple[str, ...]:
    """The only path of a document that is one header."""
    path: list[str] = []
    while document:
        if isinstance(document, list):
            document = document[0]
        elif isinstance(document, dict):
            path += document
            document = next(iter(document.values()))
    return tuple(path)
