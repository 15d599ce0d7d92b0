"""Reads which files conda rewrites for the place of an environment, out of conda's own records in it."""

from __future__ import annotations

import json
from pathlib import Path

from gpuenv.errors import GpuenvError
from gpuenv.system.files import read_bytes


def rewritten(environment: Path) -> frozenset[str]:
    """Files, relative to the environment, that hold its prefix in place of the one they were built with.

    ``conda-meta/NAME.json`` names them (``paths_data``, ``prefix_placeholder``). Their size is not that of RECORD.
    """
    found: set[str] = set()
    for record in (environment / "conda-meta").glob("*.json"):
        try:
            rows = json.loads(read_bytes(record, what="conda's record"))["paths_data"]["paths"]
            found.update(row["_path"] for row in rows if row.get("prefix_placeholder"))
        except (GpuenvError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue
    return frozenset(found)
