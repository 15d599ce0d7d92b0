"""Which symbols the libraries of each torch export, as far as wheels were read: what compiled packages bind to.

The table knows minor releases by what one wheel of each exports. Symbols that all of them export are kept as digests of
four bytes, 130 kB in place of 2.5 MB: one name in a hundred thousand is taken for one of them that is none.
"""

from __future__ import annotations

import base64
import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterable
from functools import cache

from gpuenv.dataclass import dataclass
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
    """The minors of the table that export a set of symbols. ``unknown`` holds those of which it cannot be said,
    ``lacks`` the others, each with the symbols that it has not."""

    loads: tuple[str, ...]
    unknown: tuple[str, ...]
    lacks: tuple[tuple[str, tuple[str, ...]], ...]

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
        self._everywhere = _digests(table["everywhere"])
        self._ranges: dict[str, list[tuple[int, int]]] = {}
        for line in table["symbols"].splitlines():
            span, _, symbol = line.partition(" ")
            first, _, last = span.partition("-")
            places = (self.minors.index(first) if first else 0, self.minors.index(last) if last else len(self.minors))
            self._ranges.setdefault(symbol, []).append(places)
        self._cuda_read: tuple[str, ...] = tuple(table["cuda"]["read"])
        """Ascending: the minors whose CUDA libraries were read."""
        self._cuda = [(frozenset(row["minors"]), _digests(row["digests"])) for row in table["cuda"]["exported"]]

    def exports(self, symbol: str, torch: str) -> bool | None:
        """Whether a torch exports a symbol; ``None``: the table cannot say.

        A torch newer than the table keeps the stable interface, by its makers' promise, and nothing else for certain.
        """
        minor = minor_of(torch)
        if symbol.startswith("?"):  # MSVC's spelling: the libraries of Windows were not read
            return None
        if minor not in self.minors:
            newer = bool(minor and self.minors) and _numbers(minor) > _numbers(self.minors[-1])
            return True if newer and is_stable(symbol) and self.exports(symbol, self.minors[-1]) else None
        if self._common(symbol, minor):
            return True
        return self._by_cuda(symbol, minor)

    def missing(self, symbols: Iterable[str], torch: str) -> tuple[str, ...]:
        """The symbols that a torch certainly lacks."""
        return tuple(symbol for symbol in symbols if self.exports(symbol, torch) is False)

    def unknown(self, symbols: Iterable[str], torch: str) -> tuple[str, ...]:
        """The symbols of which the table cannot say whether a torch has them."""
        return tuple(symbol for symbol in symbols if self.exports(symbol, torch) is None)

    def span(self, symbols: Iterable[str]) -> Span:
        """The minors that have them all, ascending."""
        wanted = tuple(symbols)
        lacks = {minor: self.missing(wanted, minor) for minor in self.minors}
        unknown = tuple(minor for minor, lack in lacks.items() if not lack and self.unknown(wanted, minor))
        return Span(
            loads=tuple(minor for minor, lack in lacks.items() if not lack and minor not in unknown),
            unknown=unknown,
            lacks=tuple((minor, lack) for minor, lack in lacks.items() if lack),
        )

    def _common(self, symbol: str, minor: str) -> bool:
        """Whether the libraries that a CPU build has, too, export it."""
        key = digest(symbol)
        ranges = self._ranges.get(symbol) or self._ranges.get(f"#{key.hex()}")
        if ranges is not None:
            place = self.minors.index(minor)
            return any(first <= place <= last for first, last in ranges)
        return _holds(self._everywhere, key)

    def _by_cuda(self, symbol: str, minor: str) -> bool | None:
        """Whether the CUDA libraries export it, of which not every minor's were read.

        What the next below and the next above export is taken to be there between them.
        """
        key = digest(symbol)
        minors = next((minors for minors, digests in self._cuda if _holds(digests, key)), frozenset())
        if minor in self._cuda_read:
            return minor in minors
        if not minors and not _CUDA.match(symbol):
            return False
        place = _numbers(minor)
        below = [each for each in self._cuda_read if _numbers(each) < place]
        above = [each for each in self._cuda_read if _numbers(each) > place]
        return True if below and above and {below[-1], above[0]} <= minors else None


def _digests(text: str) -> bytes:
    """Sorted digests, one behind the other."""
    return base64.b64decode("".join(text.split()))


def _holds(table: bytes, key: bytes) -> bool:
    place = bisect_left(range(len(table) // _WIDTH), key, key=lambda at: table[at * _WIDTH : at * _WIDTH + _WIDTH])
    return table[place * _WIDTH : place * _WIDTH + _WIDTH] == key


@cache
def load_exports() -> TorchExports:
    """The packaged table."""
    return TorchExports(files.read("torch_exports"))


def _numbers(minor: str) -> tuple[int, ...]:
    return tuple(map(int, minor.split(".")))
