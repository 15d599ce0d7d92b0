"""Turns the text of TOML and JSON documents into plain values, with one error for every way that can fail.

The parsers of the standard library raise their own error, ``RecursionError`` for deep nesting and ``ValueError`` for a
number of more than 4,300 digits; and they accept ``NaN``, which is no JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from gpuenv.errors import ConfigurationError

_NUMBER = re.compile(r"\d{1000}")
"""No number of a person's is that long, and Python refuses to convert it, here or wherever it is read as a version."""

_STRIDE = 100
_SAMPLED = re.compile(r"\d{10}")
"""What every hundredth character of such a number gives: looked for first, in a hundredth of the time."""

_TOO_DEEP = "it is nested too deeply"

_LINE = re.compile(r"\bline (\d+)")
_CONFLICT = re.compile(r"^<{7}(?: .*)?$", re.MULTILINE)
"""What git writes above the two sides of a merge that it leaves to a person (git-merge(1))."""

Pairs = Callable[[list[tuple[str, object]]], object]


class DocumentError(ValueError):
    """A text is not the document it should be; the message says why, ``place`` where in the text, if that is known."""

    def __init__(self, reason: str, *, place: str = "") -> None:
        super().__init__(reason)
        self.place = place


def conflict_line(text: str) -> int | None:
    """The line of the first merge conflict that git marked in a file, from 1; ``None`` for none.

    >>> conflict_line("a = 1\\n<<<<<<< HEAD\\nb = 1\\n=======\\nb = 2\\n>>>>>>> other\\n")
    2
    """
    found = _CONFLICT.search(text)
    return None if found is None else text.count("\n", 0, found.start()) + 1


def conflicted(shown: str, line: int) -> ConfigurationError:
    """The error for a file with a merge conflict in it. ``shown`` is its name to a person."""
    return ConfigurationError(
        f"{shown}:{line}: a merge conflict stands here unresolved (<<<<<<<)",
        hints=("Keep what shall hold of both sides, remove the lines of marks, and run the same again",),
    )


def not_toml(shown: str, text: str, error: Exception) -> ConfigurationError:
    """The error for a file that a TOML parser refused: with the line, or the merge conflict that stands in it."""
    if (line := conflict_line(text)) is not None:
        return conflicted(shown, line)
    found = _LINE.search(str(error))
    place = f"{shown}:{found[1]}" if found else shown
    return ConfigurationError(f"{place}: is not valid TOML", causes=(str(error),))


def parse_toml(text: str) -> dict[str, object]:
    """Parse TOML. Raises :class:`DocumentError`.

    >>> parse_toml("a = [1, 2]")
    {'a': [1, 2]}
    """
    import tomllib

    _check(text)
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise DocumentError(_TOO_DEEP) from None
    except ValueError as error:
        raise DocumentError(str(error)) from None


def parse_json(text: str, *, pairs: Pairs | None = None) -> object:
    """Parse JSON; ``pairs`` makes the objects, as ``object_pairs_hook`` does. Raises :class:`DocumentError`.

    >>> parse_json('{"a": NaN}')
    Traceback (most recent call last):
    gpuenv.documents.DocumentError: NaN is not a number in JSON
    """
    import json

    _check(text)
    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=_refuse)
    except RecursionError:
        raise DocumentError(_TOO_DEEP) from None
    except json.JSONDecodeError as error:
        raise DocumentError(error.msg, place=f"line {error.lineno}, column {error.colno}") from None


@cache
def shipped(module: str, name: str) -> Mapping[str, Any]:  # Any: a table of ours, whose reader knows what it holds
    """The table ``NAME.toml`` that lies beside a module of the package (its ``__file__``)."""
    import tomllib

    return tomllib.loads(Path(module).with_name(f"{name}.toml").read_text("utf-8"))


def filled(page: Path, **parts: str) -> str:
    """A page that ships with the package, with each ``@NAME@`` in it replaced."""
    return re.sub("@([A-Z]+)@", lambda found: parts[found[1]], page.read_text("utf-8"))


def parts(value: object, *names: str) -> dict[str, object]:
    """The attributes of a value that a program is told, by name."""
    return {name: getattr(value, name) for name in names}


def _check(text: str) -> None:
    if _SAMPLED.search(text[::_STRIDE]) is None:
        return
    if (found := _NUMBER.search(text)) is not None:
        line = text.count("\n", 0, found.start()) + 1
        raise DocumentError(f"it holds a number of 1,000 digits or more on line {line}")


def _refuse(constant: str) -> object:
    raise DocumentError(f"{constant} is not a number in JSON")
