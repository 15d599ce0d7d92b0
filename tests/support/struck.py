"""Runs gpuenv, and lets a signal or the system strike at a named point: just before the n-th operation that fits.

``python -m support.struck WHAT POINT NUMBER WORDS…``. WHAT is a signal (``SIGKILL``) or an error number (``ENOSPC``);
POINT is a shell pattern over ``EVENT WORDS``, where EVENT is one of Python's own audit events (``os.rename``, ``open``
for writing only, ``subprocess.Popen``) and WORDS are its paths. Nothing of gpuenv is replaced: the interpreter itself
tells what is about to be done. With ``GPUENV_TEST_STRUCK`` the events are written to that file, and a last line where
it struck: a test can tell that it did.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from fnmatch import fnmatchcase

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "subprocess.Popen", "ctypes.dlsym", "os.chmod")


def name_of(event: str, args: tuple[object, ...]) -> str:
    """An event in words; empty where nothing is written."""
    if event == "open":
        flags = args[2]
        return f"open {_text(args[0])}" if isinstance(flags, int) and flags & WRITING else ""
    if event == "subprocess.Popen":
        words = args[1]
        return "subprocess.Popen " + " ".join(map(_text, words if isinstance(words, (list, tuple)) else [words]))
    if event == "ctypes.dlsym":
        return f"ctypes.dlsym {args[1]}"
    return f"{event} {' '.join(_text(each) for each in args[:2] if isinstance(each, (str, bytes, os.PathLike)))}"


def _text(value: object) -> str:
    text = os.fsdecode(value) if isinstance(value, (str, bytes, os.PathLike)) else repr(value)
    return text.replace("\\", "/") if os.name == "nt" else text


def strike(what: str, point: str, number: int) -> None:
    """Lay the trap."""
    left, log = number, os.environ.pop("GPUENV_TEST_STRUCK", "")
    own = os.getpid()
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else -1

    def hook(event: str, args: tuple[object, ...]) -> None:
        nonlocal left
        if (event not in EVENTS and event != "open") or os.getpid() != own:
            return
        name = name_of(event, args)
        if not name or "__pycache__" in name:
            return
        if out >= 0:
            os.write(out, f"{name}\n".encode(errors="surrogateescape"))
        if left and fnmatchcase(name, point):
            left -= 1
            if left == 0:
                if out >= 0:
                    os.write(out, b"struck\n")
                if what == "SIGINT" and os.name == "nt":  # as the system's own thread does at a Ctrl-C
                    signal.raise_signal(signal.SIGINT)
                    return
                if what.startswith("SIG"):
                    # On Windows any other one ends a process at once, as SIGKILL does elsewhere.
                    os.kill(own, signal.SIGTERM if os.name == "nt" else signal.Signals[what])
                    return
                number = getattr(errno, what)
                raise OSError(number, os.strerror(number), _text(args[0]) if event == "open" else None)

    sys.addaudithook(hook)


if __name__ == "__main__":
    strike(sys.argv[1], sys.argv[2], int(sys.argv[3]))
    from gpuenv.cli.main import entry

    sys.argv[:] = ["gpuenv", *sys.argv[4:]]
    sys.exit(entry())
