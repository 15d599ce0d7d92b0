"""The one JSON object a command prints with ``--json``, on failure too (version 1)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from gpuenv.report import escaped
from gpuenv.steps.context import Failure

SCHEMA = {"name": "gpuenv", "version": "1"}


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
    return escaped(text) + "\n"


def encodes_all(encoding: str) -> bool:
    """Whether a code page has every character, as UTF-8 does."""
    return encoding.lower().replace("-", "").startswith("utf")
