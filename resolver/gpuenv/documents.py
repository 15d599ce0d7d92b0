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

_NUMBER = re.compile(r"\d{1000}")
"""No number of a person's is that long, and Python refuses to convert it, here or wherever it is read as a version."""

_STRIDE = 100
_SAMPLED = re.compile(r"\d{10}")
"""What every hundredth character of such a number gives: looked for first, in a hundredth of the time."""

_TOO_DEEP = "it is nested too deeply"

Pairs = Callable[[list[tuple[str, object]]], object]


class DocumentError(ValueError):
    """A text is not the document it should be; the message says why, ``place`` where in the text, if that is known."""

    def __init__(self, reason: str, *, place: str = "") -> None:
        super().__init__(reason)
        self.place = place


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
