"""The one JSON object a command prints with ``--json``, on failure too (version 1)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from gpuenv.steps.context import Failure

SCHEMA = {"name": "gpuenv", "version": "1"}


#: What JSON lets stand in a text and no terminal or encoder does: DEL, C1, halves of a surrogate pair (a file's name
#: that is no UTF-8).
_UNSAFE = re.compile("[\x7f-\x9f\ud800-\udfff]")


def envelope(
    *,
    command: str,
    exit_code: int,
    data: Mapping[str, object],
    problems: Iterable[Failure],
    encoding: str = "utf-8",
) -> str:
    """Render the envelope. ``status`` is ``ok`` exactly when ``exit_code`` is 0.

    Where ``encoding`` lacks characters, all that are not ASCII are written as ``\\uXXXX``.
    """
    document = {
        "schema": SCHEMA,
        "command": command,
        "status": "ok" if exit_code == 0 else "error",
        "exit_code": exit_code,
        "data": data,
        "errors": [asdict(row) for row in problems],
    }
    text = json.dumps(document, indent=2, ensure_ascii=not encodes_all(encoding))
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def parts(value: object, *names: str) -> dict[str, object]:
    """The attributes of a value that a program is told, by name."""
    return {name: getattr(value, name) for name in names}


def encodes_all(encoding: str) -> bool:
    """Whether a code page has every character, as UTF-8 does."""
    return encoding.lower().replace("-", "").startswith("utf")
