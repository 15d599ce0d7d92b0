"""The packaged tables: their bytes, and their version.

Each table is parsed when somebody asks for it, and once. Nothing outside this folder is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

Table = Mapping[str, Any]  # Any: decoded TOML; only the modules of this folder see it

FOLDER = Path(__file__).parent


@cache
def read(name: str) -> Table:
    """Parse one table of the package, such as ``"drivers"``."""
    import tomllib

    return tomllib.loads((FOLDER / f"{name}.toml").read_text("utf-8"))


def version() -> str:
    """Name the state of all tables: the newest date among them, and a hash over their bytes."""
    import hashlib

    total = hashlib.sha256()
    newest = ""
    for path in sorted(FOLDER.glob("*.toml")):
        data = path.read_bytes()
        total.update(path.name.encode() + b"\0" + hashlib.sha256(data).digest())
        if found := re.search(rb'^date = "([0-9-]+)"$', data, re.MULTILINE):
            newest = max(newest, found[1].decode())
    return f"{newest}+{total.hexdigest()[:12]}"
