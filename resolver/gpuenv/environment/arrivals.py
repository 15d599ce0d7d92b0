"""How much of a lock has arrived, told from what uv says and writes while it works.

uv announces each wheel and its end, but draws bytes only on a terminal of its own; the kernel counts what uv has
written, unpacked. Both together give bytes of wheels: those announced as done, and a share of the one on its way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from packaging.utils import canonicalize_name

from gpuenv.report import Task

_DONE = re.compile(r"^\s*Downloaded (?P<name>[A-Za-z0-9._-]+)")
_UNPACKED = 1.8
"""Bytes written a byte of wheel, as seen for CUDA environments: only the pace of the bar depends on it."""


class Arrivals:
    """Drives one progress bar. ``sizes`` are bytes by normalized name."""

    def __init__(self, task: Task, sizes: Mapping[str, int]) -> None:
        self._task = task
        self._sizes = sizes
        self._done: set[str] = set()
        self._shown = 0

    @property
    def total(self) -> int:
        """Bytes of all wheels expected."""
        return sum(self._sizes.values())

    def hear(self, line: str) -> None:
        """Take a line of uv's standard error."""
        match = _DONE.match(line)
        if match is None:
            return
        name = canonicalize_name(match["name"])
        if name in self._sizes:
            self._done.add(name)
            self._show(sum(self._sizes[each] for each in self._done))

    def written(self, count: int) -> None:
        """Take the bytes uv has written so far. Never shows all of it: what is left is uv's to announce."""
        done = sum(self._sizes[each] for each in self._done)
        on_the_way = self.total - done
        beyond = int(count / _UNPACKED) - done
        self._show(done + max(0, min(beyond, int(on_the_way * 0.98))))

    def finish(self) -> None:
        """Everything is there."""
        self._show(self.total)

    def _show(self, amount: int) -> None:
        if amount > self._shown:
            self._task.advance(amount - self._shown)
            self._shown = amount
