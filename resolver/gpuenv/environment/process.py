"""A child process that cannot outlive us, run past its deadline, or stand still unnoticed.

uv retries a stalled server for minutes and never gives up on one that sends ten bytes a second, so both limits stand
outside it. The child leads a process group of its own, which is ended whole on deadline, stall, Ctrl-C and any other
exception; on Linux the kernel ends the child when we are killed outright (``PR_SET_PDEATHSIG``), so that nothing goes
on writing into a folder that the next run sweeps away.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

POLL_SECONDS = 0.25
"""How often progress is looked at while a child runs."""

GRACE_SECONDS = 1.5
"""How long a child may take to end after the polite signal."""

_KEPT_CHARACTERS = 4_000_000
"""Of each output stream; a child that says more loses its middle, never our memory."""

_PR_SET_PDEATHSIG = 1


class DeadlineError(Exception):
    """The child was ended because its time was up. ``seconds`` is the limit it ran under."""

    def __init__(self, seconds: float, stderr: str) -> None:
        super().__init__(f"ended after {seconds:.0f} s")
        self.seconds = seconds
        self.stderr = stderr


class StallError(DeadlineError):
    """The child was ended because nothing moved for ``seconds``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Completed:
    """A child that ended by itself. ``returncode`` is negative for a signal, as :mod:`subprocess` counts."""

    stdout: str
    stderr: str
    returncode: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times a child may take, in seconds. ``stall`` is how long its progress may stay below ``least_bytes``."""

    deadline: float
    stall: float | None = None
    least_bytes: int = 1


def run_child(
    command: Sequence[str],
    *,
    cwd: Path,
    environ: Mapping[str, str],
    limits: Limits,
    on_stderr: Callable[[str], None] | None = None,
    on_poll: Callable[[int], int | None] | None = None,
) -> Completed:
    """Run ``command`` to its end, or end it.

    ``on_stderr`` gets each line of standard error as it comes, from another thread. ``on_poll`` is called with the
    child's pid a few times a second and returns a number that grows while the child gets on (bytes, usually), or
    ``None`` where that cannot be told; lines of standard error count as progress too.

    Raises :class:`DeadlineError` or :class:`StallError` after the group was ended, ``OSError`` where the command cannot
    be started.
    """
    started = time.monotonic()
    child = subprocess.Popen(
        list(command),
        cwd=cwd,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0 if os.name == "posix" else None,
        preexec_fn=_die_with_parent(),
    )
    assert child.stdout is not None
    assert child.stderr is not None
    out, err = _Reader(child.stdout, None), _Reader(child.stderr, on_stderr)
    try:
        _wait(child, err, started=started, limits=limits, on_poll=on_poll)
    except BaseException:
        end_group(child)
        raise
    finally:
        out.finish()
        err.finish()
    seconds = time.monotonic() - started
    return Completed(stdout=out.text(), stderr=err.text(), returncode=child.returncode, seconds=seconds)


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child and everything it started: politely, then not."""
    _signal_group(child, signal.SIGTERM)
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # Always: the leader may be gone while something it started is not, and the group's number stays taken so long.
        _signal_group(child, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    child.wait()


def bytes_written(pid: int) -> int | None:
    """Bytes a process has written so far, files and pipes together (Linux: ``wchar`` of ``/proc/PID/io``)."""
    try:
        text = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
    except OSError:
        return None
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == "wchar":
            return int(value)
    return None


def _wait(
    child: subprocess.Popen[bytes],
    err: _Reader,
    *,
    started: float,
    limits: Limits,
    on_poll: Callable[[int], int | None] | None,
) -> None:
    mark, moved = 0, started
    while True:
        left = started + limits.deadline - time.monotonic()
        if _ended(child, max(0.0, min(POLL_SECONDS, left))):
            return
        now = time.monotonic()
        if now >= started + limits.deadline:
            raise DeadlineError(limits.deadline, err.text())
        progress = on_poll(child.pid) if on_poll is not None else None
        if limits.stall is None or progress is None:
            continue
        progress += err.lines * limits.least_bytes
        if progress - mark >= limits.least_bytes:
            mark, moved = progress, now
        elif now - moved >= limits.stall:
            raise StallError(limits.stall, err.text())


def _ended(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for the child to end, at most ``seconds``. A pidfd answers at once, ``Popen.wait`` within 50 ms."""
    if sys.platform == "linux" and child.poll() is None:
        try:
            handle = os.pidfd_open(child.pid)
        except OSError:
            pass
        else:
            try:
                watch = select.poll()
                watch.register(handle, select.POLLIN)
                watch.poll(seconds * 1000)
            finally:
                os.close(handle)
            seconds = 0.0
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


class _Reader:
    """Drains one pipe in a thread, so that a child never waits for us."""

    def __init__(self, pipe: IO[bytes], on_line: Callable[[str], None] | None) -> None:
        self.lines = 0
        self._parts: list[str] = []
        self._size = 0
        self._pipe = pipe
        self._on_line = on_line
        self._thread = threading.Thread(target=self._drain, daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        with self._pipe:
            for raw in self._pipe:
                line = raw.decode("utf-8", "replace")
                self.lines += 1
                if self._size < _KEPT_CHARACTERS:
                    self._parts.append(line)
                    self._size += len(line)
                if self._on_line is not None:
                    self._on_line(line.rstrip("\r\n"))

    def finish(self) -> None:
        # A grandchild that escaped the group may hold the pipe; what it still says is not waited for.
        self._thread.join(GRACE_SECONDS)

    def text(self) -> str:
        return "".join(self._parts)


def _signal_group(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    try:
        if os.name == "posix":
            os.killpg(child.pid, number)
        else:
            child.send_signal(number)
    except (ProcessLookupError, PermissionError):
        pass


def _die_with_parent() -> Callable[[], None] | None:
    """What the child does between fork and exec: ask the kernel to be killed when we are.

    Two system calls through a library that is already loaded: safe after fork even with the progress bar's thread
    running here. The signal follows the *thread* that started the child, and that one waits in :func:`run_child`.
    """
    if sys.platform != "linux":
        return None
    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask
