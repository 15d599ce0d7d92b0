"""The words of a command while it works: a protocol, so that nothing below ``cli`` prints.

``cli`` implements it on a terminal; tests and library users pass :class:`Silent`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

#: Everything that moves a cursor, changes colours or reorders what is read: C0 (but tab), DEL, C1, line and paragraph
#: separators, and the bidirectional controls of Unicode (UAX #9); and half a surrogate pair, which no stream takes.
_CONTROLS = re.compile(
    "[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


#: Those of them that may stand raw in a string of JSON or TOML.
_LEFT_RAW = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(line: str) -> str:
    r"""The line with its control characters written out: a name cannot move the cursor or colour what follows.

    >>> visible("RTX \x1b[31m5090")
    'RTX \\x1b[31m5090'
    """
    return _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], line)


def escaped(document: str) -> str:
    r"""A JSON or TOML text with the control characters written out that both let stand in a string; it means the same.

    >>> escaped('{"name": "a\u202eb"}')
    '{"name": "a\\u202eb"}'
    """
    return _LEFT_RAW.sub(lambda found: f"\\u{ord(found[0]):04x}", document)


class Task(Protocol):
    """One running piece of work with a known or unknown total."""

    def advance(self, amount: int, /) -> None:
        """Add ``amount`` (bytes, steps, files) to what is done."""

    def update(self, *, total: int | None = None, text: str | None = None) -> None:
        """Learn the total late, or change the words beside the bar."""


class Reporter(Protocol):
    """Where a command says what it does. Every line goes to stderr."""

    def say(self, line: str, /) -> None:
        """A finished phase or a fact a person wants to know."""

    def notice(self, line: str, /) -> None:
        """What nobody may miss, shown with ``-q`` too: that torch comes from somewhere else than PyTorch's index."""

    def warn(self, line: str, /) -> None:
        """Something that works, and will surprise."""

    def detail(self, line: str, /) -> None:
        """Shown with ``-v`` only."""

    def task(self, title: str, /, *, total: int | None = None, unit: str = "") -> AbstractContextManager[Task]:
        """A progress bar while the block runs. ``unit`` is ``"B"`` for bytes, else a word."""


class _SilentTask:
    def advance(self, amount: int, /) -> None: ...

    def update(self, *, total: int | None = None, text: str | None = None) -> None: ...


class Silent:
    """A reporter that says nothing."""

    def say(self, line: str, /) -> None: ...

    def notice(self, line: str, /) -> None: ...

    def warn(self, line: str, /) -> None: ...

    def detail(self, line: str, /) -> None: ...

    def task(self, title: str, /, *, total: int | None = None, unit: str = "") -> AbstractContextManager[Task]:
        return nullcontext(_SilentTask())


class Once(Silent):
    """A reporter for steps that would say the same twice: each line is passed on once."""

    def __init__(self, inner: Reporter) -> None:
        self._inner = inner
        self._said: set[str] = set()

    def say(self, line: str, /) -> None:
        self._once(self._inner.say, line)

    def notice(self, line: str, /) -> None:
        self._once(self._inner.notice, line)

    def warn(self, line: str, /) -> None:
        self._once(self._inner.warn, line)

    def detail(self, line: str, /) -> None:
        self._once(self._inner.detail, line)

    def task(self, title: str, /, *, total: int | None = None, unit: str = "") -> AbstractContextManager[Task]:
        return self._inner.task(title, total=total, unit=unit)

    def _once(self, say: Callable[[str], None], line: str) -> None:
        if line not in self._said:
            self._said.add(line)
            say(line)
