"""The one JSON object a command prints with ``--json``, on failure too (version 1)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from gpuenv.commands.context import Problem

SCHEMA = {"name": "gpuenv", "version": "1"}


def envelope(*, command: str, exit_code: int, data: Mapping[str, object], problems: Iterable[Problem]) -> str:
    """Render the envelope. ``status`` is ``ok`` exactly when ``exit_code`` is 0."""
    document = {
        "schema": SCHEMA,
        "command": command,
        "status": "ok" if exit_code == 0 else "error",
        "exit_code": exit_code,
        "data": data,
        "errors": [
            {"code": row.code, "message": row.message, "causes": list(row.causes), "hints": list(row.hints)}
            for row in problems
        ],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"
