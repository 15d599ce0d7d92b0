"""Turning this process into another program: its exit status, its signals and its terminal are ours."""

from __future__ import annotations

import contextlib
import errno
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
        batch = program.suffix.lower() in (".bat", ".cmd")
        words = for_cmd(program, arguments) if batch else [str(program), *arguments]
        raise SystemExit(subprocess.call(words, env=dict(environ)))
    # Python ignores these two for itself, and a program would inherit that: `gpuenv run -- yes | head` never ended.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execve(program, [str(program), *arguments], dict(environ))


def for_cmd(program: Path, arguments: Sequence[str]) -> str:
    """The command line of a batch file, whose arguments ``cmd`` would take apart: behind an ``&`` it runs a program.

    As Rust's standard library writes it (CVE-2024-24576): every word in quotes, and a ``%`` before the empty part of a
    variable, so that none is filled in. Raises ``OSError`` for an argument with a line break, which none can hold.
    """
    if any(character in word for word in arguments for character in "\r\n\0"):
        raise OSError(errno.EINVAL, "a batch file takes no argument with a line break")
    words = [f'"{program}"', *(f'"{_doubled(word)}"' for word in arguments)]
    return f'cmd.exe /d /e:on /v:off /s /c "{" ".join(words)}"'


def _doubled(word: str) -> str:
    at_end = len(word) - len(word.rstrip("\\"))  # before the closing quote
    return word.replace('"', '""').replace("%", "%%cd:~,%") + "\\" * at_end
