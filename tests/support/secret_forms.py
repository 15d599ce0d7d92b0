"""How secrets are written into addresses, and a uv that writes down what anybody on the machine may read of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gpuenv.environment.uv import find_uv

#: How a secret is written into an address: before the host, and behind the path.
FORMS = {
    "password": ("me:{}@", ""),
    "at": ("me:p@{}@", ""),
    "encoded": ("me:p%40{}@", ""),
    "blank": ("me:p {}@", ""),
    "hash": ("me:p#{}@", ""),
    "slash": ("me:p/{}@", ""),
    "user": ("{}@", ""),
    "token": ("", "?token={}"),
    "signature": ("", "?a=1&sig={}"),
}


def recording_uv(folder: Path) -> Path:
    """The real uv behind a script that writes down every command line: what anybody on a machine may read."""
    script = folder / "uv"
    real = find_uv(os.environ).path
    script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >> "{folder}/command-lines"\nexec "{real}" "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script
