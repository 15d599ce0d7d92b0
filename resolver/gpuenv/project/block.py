"""Regions of a person's ``pyproject.toml`` that gpuenv wrote for uv, marked, so that they come out byte for byte.

A region begins and ends with a line of ours. What it replaces stands in it as comments. That the file had no line's
end at its end, which a region needs, is told by its first line. Other tools write between our lines (``uv add`` puts a
source into the table that is there): such lines are the person's, and stay.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from gpuenv.project.statements import Statement, statements

OPENING = "# >>> gpuenv: written by `gpuenv export --format uv`, taken out by `gpuenv export --format uv --undo`"
CLOSING = "# <<< gpuenv"
INDEX = "gpuenv-"
"""What the names of our indexes begin with."""
UV = ("tool", "uv")
SOURCES = (*UV, "sources")
GROUPS = ("dependency-groups",)
KEYS = ("constraint-dependencies", "conflicts", "index")
_KEPT = "#| "
"""Begins a line that stood there before."""
_ENDED = " (a line's end was added at the end of the file)"


def region(lines: list[str], *, replaced: str, newline: str, ended: bool) -> str:
    """A region with ``lines`` in the place of ``replaced``, which are whole lines of the file. ``ended``: the file got
    a line's end for it."""
    kept = "".join(f"{_KEPT}{line}" for line in _lines(replaced))
    rows = "".join(f"{line}{newline}" for line in lines)
    return f"{OPENING}{_ENDED if ended else ''}{newline}{kept}{rows}{CLOSING}{newline}"


def without_regions(text: str) -> str:
    """The text before :func:`region` was put into it, with what others wrote there since."""
    rows = list(_marked(text))
    bare = "".join(line for line, ours in rows if not ours)
    ended = any(line.startswith(OPENING + _ENDED) for line, ours in rows if ours)
    return re.sub(r"\r?\n\Z", "", bare) if ended else bare


def read_past_regions(text: str) -> str:
    """The text as it asks for packages without our regions, every other line at its place."""
    return "".join("\n" if ours else line for line, ours in _marked(text))


def _marked(text: str) -> Iterator[tuple[str, bool]]:
    """Each line as it was before, and whether it is one of ours."""
    lines = _lines(text)
    if not any(line.startswith(OPENING) for line in lines):
        yield from ((line, False) for line in lines)
        return
    theirs = _theirs(text)
    inside = False
    for number, line in enumerate(lines):
        opens, closes = line.startswith(OPENING), inside and line.startswith(CLOSING)
        inside = (inside or opens) and not closes
        if inside and line.startswith(_KEPT):
            yield line.removeprefix(_KEPT), False
        else:
            yield line, opens or closes or (inside and number not in theirs)


def _theirs(text: str) -> frozenset[int]:
    """The lines of statements that are none of ours, and of the headers above them."""
    found: set[int] = set()
    header: Statement | None = None
    lines = text.split("\n")
    rows = list(statements(text))
    groups = {group for row in rows if (row.table, row.key) == (UV, "conflicts") for group in _groups(lines, row)}
    for place, row in enumerate(rows):
        if not row.key:
            header = row
        elif not _is_ours(lines, rows, place, groups):
            found |= {*range(row.start, row.end), *(range(header.start, header.end) if header else ())}
    return frozenset(found)


def _is_ours(lines: list[str], rows: list[Statement], place: int, groups: set[str]) -> bool:
    row = rows[place]
    if row.table == UV:
        return row.key in KEYS
    if row.table == SOURCES:
        entry = _value(lines, row)
        entries = entry if isinstance(entry, list) else [entry]
        return all(isinstance(each, dict) and str(each.get("index", "")).startswith(INDEX) for each in entries)
    if row.table == GROUPS:
        return row.key in groups
    if row.table == (*UV, "index"):
        first = max(number for number in range(place + 1) if not rows[number].key)
        last = next((number for number in range(place, len(rows)) if not rows[number].key), len(rows))
        names = [_value(lines, each) for each in rows[first + 1 : last] if each.key == "name"]
        return any(str(name).startswith(INDEX) for name in names)
    return False


def _groups(lines: list[str], row: Statement) -> set[str]:
    """The groups that the last entry of ``conflicts`` names: ours."""
    value = _value(lines, row)
    entries = value[-1] if isinstance(value, list) and value and isinstance(value[-1], list) else []
    return {str(each["group"]) for each in entries if isinstance(each, dict) and "group" in each}


def _value(lines: list[str], row: Statement) -> object:
    try:
        return next(iter(tomllib.loads("\n".join(lines[row.start : row.end]) + "\n").values()))
    except tomllib.TOMLDecodeError:
        return None


def _lines(text: str) -> list[str]:
    """Lines with their ends, by TOML's meaning of a line."""
    return re.findall(r"[^\n]*\n|[^\n]+\Z", text)
