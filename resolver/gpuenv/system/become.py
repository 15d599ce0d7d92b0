"""Turning this process into another program: its exit status, its signals and its terminal are ours."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn


def become(program: Path, arguments: Sequence[str], *, environ: Mapping[str, str], cwd: Path | None = None) -> NoReturn:
    """Run ``program`` in the place of this process. Raises ``OSError`` where the system does not start it.

    On Windows, where a process cannot be replaced, it runs as a child, and this process ends with its exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    if cwd is not None:
        os.chdir(cwd)
    if sys.platform == "win32":
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the child's
        raise SystemExit(subprocess.call([str(program), *arguments], env=dict(environ)))
    # Python ignores these two for itself, and a program would inherit that: `gpuenv run -- yes | head` never ended.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execve(program, [str(program), *arguments], dict(environ))
