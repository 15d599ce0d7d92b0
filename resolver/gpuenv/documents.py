"""Turns the text of TOML and JSON documents into plain values, with one error for every way that can fail.

The parsers of the standard library fail in four ways: their own error, ``RecursionError`` for deep nesting,
``ValueError`` for an integer of more than 4,300 digits, and ``NaN``, which is no JSON and which they accept.
"""

from __future__ import annotations

from collections.abc import Callable

Pairs = Callable[[list[tuple[str, object]]], object]


class DocumentError(ValueError):
    """A text is not the document it should be; the message says why and where."""


def parse_toml(text: str) -> dict[str, object]:
    """Parse TOML. Raises :class:`DocumentError`.

    >>> parse_toml("a = [1, 2]")
    {'a': [1, 2]}
    """
    import tomllib

    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DocumentError(_reason(error)) from None


def parse_json(text: str | bytes, *, pairs: Pairs | None = None) -> object:
    """Parse JSON; ``pairs`` makes the objects, as ``object_pairs_hook`` does. Raises :class:`DocumentError`.

    >>> parse_json('{"a": NaN}')
    Traceback (most recent call last):
    gpuenv.documents.DocumentError: NaN is not a number in JSON
    """
    import json

    try:
        return json.loads(text, object_pairs_hook=pairs, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise DocumentError(_reason(error)) from None


def _refuse(constant: str) -> object:
    raise DocumentError(f"{constant} is not a number in JSON")


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if "integer string conversion" in str(error):
        return "it holds an integer of thousands of digits"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 text: byte {error.object[error.start]:#04x} at {error.start}"
    return str(error)
