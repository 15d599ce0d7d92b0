"""Text on its way to a stream: control characters made visible, wrapped at words, in characters the stream can hold."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

from gpuenv.dataclass import dataclass
from gpuenv.report import visible

NARROWEST = 40
"""Columns. A narrower terminal gets lines of this width."""
_LEAST_COLUMN = 24
"""Columns that must be left for a text that hangs below its own beginning."""

#: Words stay whole, and so does a command in backticks.
_WORD = re.compile(r"(?:`[^`]*`|\S)+")
_GAP = re.compile(r"\S( {2,})(?=\S)")

#: What stands in for a character that a code page lacks, where one says the same.
_PLAIN = {
    "→": "->", "←": "<-", "…": "...", "×": "x", "≥": ">=", "≤": "<=", "≠": "!=", "–": "-", "—": "-", "−": "-", "─": "-",
    "│": "|", "·": "-", "•": "*", "“": '"', "”": '"', "‘": "'", "’": "'", "✓": "ok", "³": "^3", "²": "^2", "µ": "u",
    "±": "+/-", "≈": "~", "\xa0": " ", "§": "section ",
}  # fmt: skip


class Verbatim(str):
    """The text of a file, which a person may copy: shown as it is, never wrapped."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells in columns; where they do not fit, ``narrow`` says the same in narrower tables, else each row is one."""

    heading: tuple[tuple[str, ...], ...]
    """Lines of titles; the last one names the columns."""
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    narrow: tuple[Table, ...] = ()

    def lines(self, width: int | None) -> Iterator[str]:
        """Lay the table out in ``width`` columns; ``None``: as wide as it is."""
        lines = (*self.heading, *self.rows)
        widths = [max(map(columns_of, cells)) for cells in zip(*lines, strict=True)]
        if width is None or sum(widths) + 2 * (len(widths) - 1) <= width:
            if self.title:
                yield self.title
            yield from (_row(line, widths) for line in self.heading)
            yield "  ".join("─" * each for each in widths).rstrip()
            yield from (_row(line, widths) for line in self.rows)
        elif self.narrow:
            for place, table in enumerate(self.narrow):
                if place:
                    yield ""
                yield from table.lines(width)
        else:
            yield from self._blocks(width)

    def _blocks(self, width: int) -> Iterator[str]:
        if self.title:
            yield from wrapped(self.title, width)
        titles = [" ".join(filter(None, parts)) for parts in zip(*self.heading, strict=True)]
        for first, *others in self.rows:
            yield from wrapped(first, width)
            pairs = (f"{title} {cell}" for title, cell in zip(titles[1:], others, strict=True) if cell)
            yield from wrapped("  " + ", ".join(pairs), width)


Line = str | Table
"""What a verb shows: a line of prose, the text of a file, or a table."""


def lines_of(text: Line, width: int | None) -> Iterator[str]:
    """The lines that show ``text`` in ``width`` columns; ``None`` where no terminal wants them wrapped."""
    if isinstance(text, Table):
        yield from map(visible, text.lines(width))
        return
    for line in text.split("\n"):
        shown = visible(line)
        yield from (shown,) if width is None or isinstance(text, Verbatim) else wrapped(shown, width)


def encodable(text: str, encoding: str) -> str:
    r"""The text in characters that ``encoding`` has; others by a plain equivalent, or written out.

    >>> encodable("2.7.0 – 2.11.0 → sm_90 ≥ é", "ascii")
    '2.7.0 - 2.11.0 -> sm_90 >= \\xe9'
    """
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_character(each, encoding) for each in text)
    return text


def _character(character: str, encoding: str) -> str:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return _PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode("ascii")
    return character


def columns_of(text: str) -> int:
    """The columns a terminal takes for a text: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    return len(text) + wide - sum(unicodedata.combining(each) > 0 for each in text)


def size(count: int) -> str:
    """Bytes as people read them.

    >>> size(912), size(5_600_000_000)
    ('0.0 MB', '5.60 GB')
    """
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def wrapped(line: str, width: int, *, hang: int | None = None) -> list[str]:
    """Break a line at spaces. What follows hangs below the text of its last column, or ``hang`` columns in.

    Words, paths, addresses and commands in backticks are never broken; one that is wider than the line has one of its
    own.

    >>> wrapped("hint: Run `gpuenv create --profile cpu` and look", 30, hang=6)
    ['hint: Run', '      `gpuenv create --profile cpu`', '      and look']
    """
    if columns_of(line) <= width:
        return [line]
    indent = " " * (_hanging(line, width) if hang is None else hang)
    lines: list[str] = []
    current, end = "", 0
    for found in _WORD.finditer(line):
        gap = line[end : found.start()]
        end = found.end()
        if not current.strip():
            current += (gap if not lines else "") + found[0]
        elif columns_of(current + gap + found[0]) <= width:
            current += gap + found[0]
        else:
            lines.append(current)
            current = indent + found[0]
    return [*lines, current]


def _hanging(line: str, width: int) -> int:
    leading = len(line) - len(line.lstrip(" "))
    starts = [found.end() for found in _GAP.finditer(line)]
    fitting = [start for start in starts if start <= width * 0.6 and width - start >= min(_LEAST_COLUMN, width * 0.4)]
    return fitting[-1] if fitting else min(leading + 2, width // 2)


def pairs(rows: Sequence[tuple[str, str]], *, indent: int = 2) -> Iterator[str]:
    """Two columns, as help shows options: a name too wide for its column has its meaning on the next line."""
    widest = min(max((columns_of(name) for name, _ in rows), default=0), _LEAST_COLUMN + 4)
    for name, meaning in rows:
        if columns_of(name) > widest:
            yield " " * indent + name
            name = ""
        yield (" " * indent + name.ljust(widest) + "  " + meaning).rstrip()


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (width - columns_of(cell)) for cell, width in zip(cells, widths, strict=True))
    return "  ".join(padded).rstrip()
