"""Which symbols the libraries of each torch export, as far as wheels were read: what compiled packages bind to.

The table knows minor releases by what one wheel of each exports. Symbols that all of them export are kept as digests of
four bytes, 158 kB in place of 3 MB: one name in a hundred thousand is taken for one of them that is none.
"""

from __future__ import annotations

import base64
import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

from gpuenv.knowledge import files

_MINOR = re.compile(r"(\d+)\.(\d+)")
_STABLE = re.compile(r"(?:aoti_)?torch_\w+")
_CUDA = re.compile(r"_Z\w*?(?:4cuda|4CUDA|4nccl|5cudnn|10_cuda_)")
"""What only the CUDA libraries of torch define, by the namespaces in its name."""
_WIDTH = 4


def is_stable(symbol: str) -> bool:
    """Whether a symbol is one of torch's stable C interface, by its name."""
    return _STABLE.fullmatch(symbol) is not None


def minor_of(torch: str) -> str:
    """The minor release of a version: ``2.10`` of 2.10.0+cu128. Empty for what is no version."""
    found = _MINOR.match(torch)
    return f"{found[1]}.{found[2]}" if found else ""


def digest(symbol: str) -> bytes:
    """The four bytes by which a symbol is known that every torch of the table exports."""
    return hashlib.blake2b(symbol.encode(), digest_size=_WIDTH).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The minors of the table that export a set of symbols. ``unknown`` holds those of which it cannot be said."""

    loads: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def lowest(self) -> str | None:
        """The lowest minor that has them all; ``None`` where none is known."""
        return self.loads[0] if self.loads else None

    @property
    def highest_known(self) -> str | None:
        """The highest minor known to have them all: a later torch may, too."""
        return self.loads[-1] if self.loads else None


class TorchExports:
    """The table as answers."""

    def __init__(self, table: files.Table) -> None:
        self.minors: tuple[str, ...] = tuple(row["minor"] for row in table["torch"])
        """Ascending."""
        self._cuda = frozenset(row["minor"] for row in table["torch"] if row["cuda"])
        self._everywhere = base64.b85decode("".join(table["everywhere"].split()))
        places = {minor: place for place, minor in enumerate(self.minors)}
        self._ranges: dict[str, list[tuple[int, int]]] = {}
        for line in table["symbols"].splitlines():
            span, _, symbol = line.partition(" ")
            first, _, last = span.partition("-")
            until = places[last] if last else len(self.minors)
            self._ranges.setdefault(symbol, []).append((places[first] if first else 0, until))

    def exports(self, symbol: str, torch: str) -> bool | None:
        """Whether a torch exports a symbol; ``None``: the table cannot say.

        A torch newer than the table keeps the stable interface, by its makers' promise, and nothing else for certain.
        """
        minor = minor_of(torch)
        if minor not in self.minors:
            newer = bool(minor) and _numbers(minor) > _numbers(self.minors[-1])
            return True if newer and is_stable(symbol) and self.exports(symbol, self.minors[-1]) else None
        ranges = self._ranges.get(symbol)
        if ranges is not None:
            place = self.minors.index(minor)
            return any(first <= place <= last for first, last in ranges)
        if self._known_everywhere(symbol):
            return True
        if minor not in self._cuda and _CUDA.match(symbol):
            return None
        return False if self._everywhere else None

    def missing(self, symbols: Iterable[str], torch: str) -> tuple[str, ...]:
        """The symbols that a torch certainly lacks."""
        return tuple(symbol for symbol in symbols if self.exports(symbol, torch) is False)

    def unknown(self, symbols: Iterable[str], torch: str) -> tuple[str, ...]:
        """The symbols of which the table cannot say whether a torch has them."""
        return tuple(symbol for symbol in symbols if self.exports(symbol, torch) is None)

    def span(self, symbols: Iterable[str]) -> Span:
        """The minors that have them all, ascending."""
        wanted = tuple(symbols)
        answers = {minor: {self.exports(symbol, minor) for symbol in wanted} for minor in self.minors}
        return Span(
            loads=tuple(minor for minor, found in answers.items() if found <= {True}),
            unknown=tuple(minor for minor, found in answers.items() if None in found and False not in found),
        )

    def _known_everywhere(self, symbol: str) -> bool:
        wanted, table = digest(symbol), self._everywhere
        place = bisect_left(
            range(len(table) // _WIDTH), wanted, key=lambda at: table[at * _WIDTH : at * _WIDTH + _WIDTH]
        )
        return table[place * _WIDTH : place * _WIDTH + _WIDTH] == wanted


@cache
def load_exports() -> TorchExports:
    """The packaged table."""
    return TorchExports(files.read("torch_exports"))


def _numbers(minor: str) -> tuple[int, ...]:
    return tuple(map(int, minor.split(".")))
