"""Run a foreign program under a time limit that holds even when the program cannot be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

REAP_SECONDS = 1.0
"""How long a killed process may take to disappear. One that sleeps inside a driver never does: it is left behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The program ended by itself; ``returncode`` is negative for the signal that ended it."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut:
    """The time limit was reached; the output is what had arrived by then."""

    seconds: float
    stdout: str
    stderr: str
    killed: bool
    """False where the process did not even answer to SIGKILL (it sleeps in the kernel)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted:
    """The operating system did not start the program."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A running program; its time limit counts from ``began`` (seconds of the monotonic clock)."""

    process: subprocess.Popen[bytes]
    began: float


def run(argv: Sequence[str], *, environ: Mapping[str, str], timeout: float) -> Ended | TimedOut | NotStarted:
    """Run ``argv`` to its end, or for ``timeout`` seconds, and return what it said.

    ``subprocess.run`` waits without limit after its kill, which is for ever when the process sleeps uninterruptibly in
    a driver; this never waits longer than ``timeout`` + :data:`REAP_SECONDS`. The program gets its own process group,
    which is ended as a whole.
    """
    started = start(argv, environ=environ)
    return started if isinstance(started, NotStarted) else finish(started, timeout=timeout)


def start(argv: Sequence[str], *, environ: Mapping[str, str]) -> Started | NotStarted:
    """Start ``argv`` and return at once; :func:`finish` or :func:`stop` must follow."""
    try:
        process = subprocess.Popen(
            argv,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=sys.platform != "win32",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError as error:
        return NotStarted(reason=error.strerror or str(error))
    return Started(process=process, began=time.monotonic())


def finish(started: Started, *, timeout: float) -> Ended | TimedOut:
    """Wait for the end, until ``timeout`` seconds after the start."""
    process = started.process
    left = max(0.0, timeout - (time.monotonic() - started.began))
    try:
        stdout, stderr = process.communicate(timeout=left)
    except subprocess.TimeoutExpired:
        return _give_up(process, timeout)
    except BaseException:
        stop(started)
        raise
    return Ended(returncode=process.returncode, stdout=_text(stdout), stderr=_text(stderr))


def stop(started: Started) -> None:
    """End the program without waiting for what it would say."""
    _give_up(started.process, 0.0)


def _give_up(process: subprocess.Popen[bytes], timeout: float) -> TimedOut:
    _kill(process)
    killed = True
    try:
        stdout, stderr = process.communicate(timeout=REAP_SECONDS)
    except subprocess.TimeoutExpired as expired:
        stdout, stderr = expired.stdout or b"", expired.stderr or b""
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        killed = process.poll() is not None
    return TimedOut(seconds=timeout, stdout=_text(stdout), stderr=_text(stderr), killed=killed)


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", errors="replace")
