"""Runs child processes: read while they run, held to time limits, and ended with everything they started.

    result = run(["uv", "--version"], environ=environ, limits=Limits(deadline=20))
    match result:
        case Ended(returncode=0, stdout=text): ...
        case TimedOut(gone=False): ...             # it sleeps inside a driver: not even SIGKILL ends it
        case NotStarted(reason=reason): ...

:func:`start` and :func:`finish` are the two halves of :func:`run`, for children that run side by side and for work
between the two. Each child leads a session of its own, which has no terminal to ask for passwords on and is ended as a
whole: at the end of the child, at a limit, on Ctrl-C and on any other exception. On Windows it is a job object that
holds the child with all it starts (:mod:`gpuenv.system.job`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from queue import Empty, Queue
from threading import Event, Thread, current_thread, main_thread
from typing import IO, TYPE_CHECKING, Literal

from gpuenv.dataclass import dataclass

if TYPE_CHECKING:
    from gpuenv.system.job import JobObject

POLL_SECONDS = 0.25
"""How often limits and progress are looked at while nothing is said."""

DRAIN_SECONDS = 1.0
"""How long what an ended child said last may take to arrive: a process that left its session can hold the pipe open."""

LONGEST_LINE = 1 << 20
"""Bytes of a line; a longer one arrives in pieces."""

_KEPT_CHARACTERS = 2_000_000
"""Of the beginning and of the end of each output stream; a child that says more loses its middle, never our memory."""

_QUEUED_LINES = 256

OnLine = Callable[[str], None]
Progress = Callable[["Child"], int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a child may take, in seconds since its start.

    ``stall`` is how long its progress may stay below ``least``. ``grace`` is the time between SIGTERM and SIGKILL, 0
    for SIGKILL at once; ``reap`` how long a killed process may take to vanish before it is left behind.
    """

    deadline: float
    stall: float | None = None
    least: int = 1
    grace: float = 0.0
    reap: float = 5.0


def absolute_path(environ: Mapping[str, str]) -> str:
    """``PATH`` without its relative entries: what lies in the working directory is not a program."""
    folders = environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if Path(folder).is_absolute())


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The child ended by itself; ``returncode`` is negative for the signal that ended it."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimedOut:
    """A limit was reached, of ``seconds``; the output is what had arrived by then."""

    limit: Literal["deadline", "stall"] = "deadline"
    seconds: float
    stdout: str
    stderr: str
    gone: bool = True
    """False where not even SIGKILL ended it (it sleeps in the kernel); it is left behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStarted:
    """The operating system did not start the program."""

    reason: str


def run(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    limits: Limits,
    cwd: Path | None = None,
    on_stderr: OnLine | None = None,
    progress: Progress | None = None,
    meanwhile: Callable[[], None] | None = None,
    tied: bool = True,
) -> Ended | TimedOut | NotStarted:
    """Run ``command`` to its end or to a limit, and return what it said; see :func:`start` and :func:`finish`.
    ``meanwhile`` is done while it runs; whatever that raises ends the child first."""
    child = start(command, environ=environ, cwd=cwd, on_stderr=on_stderr, progress=progress, tied=tied)
    if isinstance(child, NotStarted):
        return child
    try:
        if meanwhile is not None:
            meanwhile()
    except BaseException:
        stop(child)
        raise
    return finish([child], limits=limits)[0]


def start(
    command: Sequence[str],
    *,
    environ: Mapping[str, str],
    cwd: Path | None = None,
    on_stdout: OnLine | None = None,
    on_stderr: OnLine | None = None,
    progress: Progress | None = None,
    talks: bool = False,
    tied: bool = True,
) -> Child | NotStarted:
    """Start ``command`` and return at once; :func:`finish` or :func:`stop` must follow.

    ``environ`` is the child's whole environment. ``on_stdout`` and ``on_stderr`` get each line as it comes, in the
    thread that waits in :func:`finish`. ``progress`` returns a number that grows while the child gets on, and ``None``
    where that cannot be told or does not count. ``talks``: the child may be told something (:meth:`Child.tell`).
    ``tied``: on Linux the kernel ends the child when we are killed outright, so that nothing goes on writing into a
    folder that the next run sweeps away (loads ctypes, 4 ms). On Windows it always does.
    """
    from gpuenv.system import tied as tied_life

    suspended, hold = tied_life.windows_job()
    try:
        with _interrupts_held() as held:
            process = subprocess.Popen(
                [str(word) for word in command],
                cwd=cwd,
                env=dict(environ),
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=tied_life.die_with_parent() if tied else None,
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0) | suspended,
            )
            holder = hold(process.pid)
    # Not of the system: a NUL byte in a word or in the environment.
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return NotStarted(reason=getattr(error, "strerror", None) or str(error))
    child = Child(process, holder, on_stdout=on_stdout, on_stderr=on_stderr, progress=progress)
    if held:
        stop(child)
        raise KeyboardInterrupt
    return child


@contextlib.contextmanager
def _interrupts_held() -> Iterator[list[int]]:
    """Note a Ctrl-C instead of raising it: raised in what Python calls around a fork, it is printed and forgotten."""
    held: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or current_thread() is not main_thread():
        yield held  # ignored, somebody else's, or a thread that no signal reaches
        return
    signal.signal(signal.SIGINT, lambda number, _frame: held.append(number))
    try:
        yield held
    finally:
        signal.signal(signal.SIGINT, before)


def finish(
    children: Sequence[Child],
    *,
    limits: Limits,
    on_turn: Callable[[Sequence[Child]], None] | None = None,
) -> tuple[Ended | TimedOut, ...]:
    """Wait until every child has ended or was ended, and return what became of them, in the order given.

    ``on_turn`` gets those that still run, a few times a second. Whatever it or a callback raises, Ctrl-C included, ends
    all children before it goes on.
    """
    results: dict[Child, Ended | TimedOut] = {}
    wake = Event()
    for child in children:
        child.wake = wake
    with contextlib.ExitStack() as stack:
        for child in children:
            stack.callback(child.abandon, limits)
        left = list(children)
        while left:
            for child in left:
                child.deliver()
                if (result := child.result(limits)) is not None:
                    results[child] = result
            left = [child for child in left if child not in results]
            if left:
                if on_turn is not None:
                    on_turn(left)
                wake.wait(min(POLL_SECONDS, *(child.left(limits) for child in left)))
                wake.clear()
    return tuple(results[child] for child in children)


def stop(child: Child) -> None:
    """End a child, with what it started, without asking what it would say."""
    child.abandon(Limits(deadline=0, reap=DRAIN_SECONDS))


def bytes_written(pid: int) -> int | None:
    """Bytes a process has written so far, files and pipes together (Linux: ``wchar`` of ``/proc/PID/io``)."""
    try:
        text = Path(f"/proc/{pid}/io").read_text(encoding="ascii")
    except OSError:
        return None
    return next((int(line.partition(":")[2]) for line in text.splitlines() if line.startswith("wchar:")), None)


class Child:
    """A running program. Threads read its output, so that it never waits for us; :func:`finish` hands it on."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        holder: JobObject | None,
        *,
        on_stdout: OnLine | None,
        on_stderr: OnLine | None,
        progress: Progress | None,
    ) -> None:
        self.pid = process.pid
        self.started = time.monotonic()
        self.wake = Event()
        """Set whenever there is something to deliver, or the child has ended."""
        self._process, self._holder = process, holder
        self._progress = progress
        self._mark, self._moved = 0, self.started
        self._lines: Queue[tuple[_Stream, bytes]] = Queue(_QUEUED_LINES)
        self._out, self._err = _Stream(on_stdout), _Stream(on_stderr)
        self._exited = Event()
        self._delivered = False
        Thread(target=self._wait, daemon=True).start()
        for pipe, stream in ((process.stdout, self._out), (process.stderr, self._err)):
            Thread(target=self._read, args=(pipe, stream), daemon=True).start()

    def tell(self, line: str) -> None:
        """Write a line to the child's standard input; one that is gone does not hear it."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()

    def deliver(self) -> None:
        """Hand on what has arrived."""
        with contextlib.suppress(Empty):
            while True:
                stream, line = self._lines.get_nowait()
                stream.take(line)

    def left(self, limits: Limits) -> float:
        """Seconds until the deadline."""
        return max(0.0, self.started + limits.deadline - time.monotonic())

    def result(self, limits: Limits) -> Ended | TimedOut | None:
        """Say how it ended; end it where a limit is reached. ``None`` while it may go on."""
        limit: Literal["deadline", "stall"]
        still = self._standstill(limits)
        if self._exited.is_set():
            self.end(limits)
            return Ended(
                returncode=self._process.returncode,
                stdout=self._out.text(),
                stderr=self._err.text(),
                seconds=time.monotonic() - self.started,
            )
        if self.left(limits) <= 0:
            limit, seconds = "deadline", limits.deadline
        elif limits.stall is not None and still >= limits.stall:
            limit, seconds = "stall", limits.stall
        else:
            return None
        gone = self.end(limits)
        return TimedOut(limit=limit, seconds=seconds, stdout=self._out.text(), stderr=self._err.text(), gone=gone)

    def end(self, limits: Limits) -> bool:
        """End the child with its session, deliver what is left, say whether it is gone; nothing where that is done."""
        if self._delivered:
            return self._exited.is_set()
        try:
            if limits.grace and not self._exited.is_set() and sys.platform != "win32":
                self._signal(signal.SIGTERM)
                self._exited.wait(limits.grace)
        finally:
            # Always: the leader may be gone while something it started is not. The leader is not collected yet, so
            # that its number, which is the group's, cannot have been given to another.
            self._signal(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM)
            if self._holder is not None:
                self._holder.close()
        gone = self._exited.wait(limits.reap)
        if gone:
            self._process.wait()
        until = time.monotonic() + (DRAIN_SECONDS if gone else 0)
        while not (self._out.closed and self._err.closed) and time.monotonic() < until:
            self.deliver()
            self.wake.wait(0.01)
            self.wake.clear()
        self.deliver()
        self._delivered = True
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        return gone

    def abandon(self, limits: Limits) -> None:
        """End the child, and hand on nothing more of what it says."""
        self._out.on_line = self._err.on_line = None
        self.end(limits)

    def _standstill(self, limits: Limits) -> float:
        """Seconds since the child last got on."""
        now = time.monotonic()
        progress = self._progress(self) if self._progress is not None else None
        if progress is None or progress - self._mark >= limits.least:
            self._mark, self._moved = progress or self._mark, now
        return now - self._moved

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(OSError):
            if sys.platform != "win32":
                os.killpg(self.pid, number)
            elif self._holder is not None:
                self._holder.end()
            else:
                self._process.send_signal(number)

    def _wait(self) -> None:
        if hasattr(os, "waitid"):
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._process.wait()
        self._exited.set()
        self.wake.set()

    def _read(self, pipe: IO[bytes] | None, stream: _Stream) -> None:
        assert pipe is not None
        with contextlib.suppress(OSError, ValueError), pipe:
            while not self._delivered and (line := pipe.readline(LONGEST_LINE)):
                self._lines.put((stream, line))
                self.wake.set()
        self._lines.put((stream, b""))
        self.wake.set()


class _Stream:
    """What one output stream said: its beginning and its end."""

    def __init__(self, on_line: OnLine | None) -> None:
        self.closed = False
        self.on_line = on_line
        self._head: list[str] = []
        self._tail: deque[str] = deque()
        self._room, self._size = _KEPT_CHARACTERS, 0

    def take(self, raw: bytes) -> None:
        """Keep a line and hand it on; an empty one is the end of the stream."""
        self.closed = self.closed or not raw
        line = raw.decode("utf-8", "replace")
        if self._room > 0:
            self._head.append(line)
            self._room -= len(line)
        else:
            self._tail.append(line)
            self._size += len(line)
            while self._size > _KEPT_CHARACTERS:
                self._size -= len(self._tail.popleft())
        if self.on_line is not None and raw:
            self.on_line(line.rstrip("\r\n"))

    def text(self) -> str:
        return "".join((*self._head, *self._tail))
