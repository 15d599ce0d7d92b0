"""TOML as a lock writes it: the few shapes it needs, the same bytes every time.

A library that keeps what it read decides about quotes and line breaks by history; a lock's bytes must follow from its
values alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping

from gpuenv.dataclass import dataclass
from gpuenv.report import escaped

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Moment:
    """A time, written as TOML's own offset date-time. ``text`` is RFC 3339."""

    text: str


Scalar = str | int | float | bool | Moment
Value = Scalar | Iterable["Value"] | Mapping[str, "Value | None"]
Entries = Mapping[str, Value | None]


def key(text: str) -> str:
    """Write a key, bare where TOML allows it."""
    return text if _BARE_KEY.fullmatch(text) else string(text)


def string(text: str) -> str:
    """Write a basic string on one line.

    >>> print(string('a "b"\\n'))
    "a \\"b\\"\\n"

    Raises ``UnicodeEncodeError`` for text that no UTF-8 file can hold (lone surrogates).
    """
    text.encode("utf-8")
    # JSON's escapes are a subset of TOML's. What both allow raw and would act on a terminal is written out too.
    return escaped(json.dumps(text, ensure_ascii=False))


def one_line(text: str) -> str:
    """A text for a comment: on one line, with nothing in it that could end the comment or act on a terminal."""
    return "".join(character if character.isprintable() else " " for character in text)


def value(item: Value) -> str:
    """Write a value on one line. Entries of a table that are ``None`` are left out."""
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int | float):
        return str(item)
    if isinstance(item, str):
        return string(item)
    if isinstance(item, Moment):
        return item.text
    if isinstance(item, Mapping):
        entries = [f"{key(name)} = {value(entry)}" for name, entry in item.items() if entry is not None]
        return "{ " + ", ".join(entries) + " }" if entries else "{}"
    return "[" + ", ".join(value(entry) for entry in item) + "]"


def table(entries: Entries) -> list[str]:
    """Write a table's lines. ``None`` is left out; a list of several sentences gets one line per entry."""
    lines: list[str] = []
    for name, item in entries.items():
        if item is None:
            continue
        if isinstance(item, tuple | list) and len(item) > 1 and not all(_is_short(entry) for entry in item):
            lines += [f"{key(name)} = [", *(f"  {value(entry)}," for entry in item), "]"]
        else:
            lines.append(f"{key(name)} = {value(item)}")
    return lines


def _is_short(item: Value) -> bool:
    return isinstance(item, str) and len(item) <= 16
