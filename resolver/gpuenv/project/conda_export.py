"""A lock as an ``environment.yml``: Python by conda, every package by pip, with its hash."""

from __future__ import annotations

import json

from gpuenv.lock.codec import to_requirements
from gpuenv.lock.model import Lock
from gpuenv.lock.text import one_line
from gpuenv.project.containers import MADE_BY


def to_environment(lock: Lock, *, name: str, title: str) -> str:
    """Write the file. Two solvers never choose one package: conda's part is the interpreter and pip alone."""
    python = lock.inputs.target.python
    interpreter = f"python-freethreading={python[:-1]}" if python.endswith("t") else f"python={python}"
    lines = [
        f"# {one_line(f'torch {lock.decision.torch}: {MADE_BY} --format conda {name}`')}",
        f"name: {json.dumps(title)}",
        "channels:",
        "  - conda-forge",
        "  - nodefaults",
        "dependencies:",
        f"  - {interpreter}",
        "  - pip",
        "  - pip:",
        "      - --require-hashes",
    ]
    rows = (line for line in to_requirements(lock).splitlines() if not line.startswith("#"))
    return "\n".join([*lines, *(f"      - {json.dumps(row, ensure_ascii=False)}" for row in rows)]) + "\n"
