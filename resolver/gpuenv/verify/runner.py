"""Runs payload processes side by side, under a deadline and a watchdog, and ends what does not end."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

from gpuenv.verify.seen import Message

PAYLOAD = Path(__file__).parent / "payload" / "__main__.py"
LONGEST_LINE = 1 << 20
MOST_EVENTS = 100_000
MOST_WORDS = 400
GRACE = 5.0
"""Seconds that a killed process may take to vanish; one stuck in the kernel is left behind and said so."""

Ending = Literal["exited", "signal", "deadline", "silence", "not-started"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One payload process. ``waits``: it pauses before what it times, until every job without this flag has ended."""

    name: str
    python: Path
    settings: Mapping[str, object]
    environ: Mapping[str, str]
    isolated: bool = True
    """Keep the environment's start-up files (``sitecustomize``, ``.pth``) from running."""
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a process ended. ``status`` is its exit code or the number of the signal."""

    job: str
    ending: Ending
    status: int
    words: tuple[str, ...]
    """The last lines of its standard error."""
    last: str
    """The last event before the end: what it was doing."""
    seconds: float
    stuck: bool = False
    """True where even a kill did not end it."""


@dataclass(slots=True)
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    started: float
    heard: float
    words: list[str] = field(default_factory=list)
    last: str = "start"
    waiting: bool = False
    events: int = 0
    open_pipes: int = 2
    ended: float = 0.0


Line = tuple[_Running, Literal["event", "words", "closed"], bytes]


def run_jobs(
    jobs: Sequence[Job], *, deadline: float, silence: float, on_message: Callable[[Message], None]
) -> tuple[Ended, ...]:
    """Run all jobs at once and return how each ended, in the order given.

    ``deadline`` is a point of :func:`time.monotonic`; ``silence`` the longest time in seconds without an event of a
    job that is not waiting. Both end the job's whole process group. No process of ours is left when this returns,
    also when it is interrupted.
    """
    lines: queue.Queue[Line] = queue.Queue()
    ended: dict[str, Ended] = {}
    running: list[_Running] = []
    try:
        for job in jobs:
            try:
                running.append(_start(job, lines))
            except OSError as error:
                ended[job.name] = Ended(
                    job=job.name, ending="not-started", status=-1, words=(str(error),), last="start", seconds=0.0
                )
        while running:
            _take(lines, on_message)
            _release(running)
            for one in list(running):
                if (result := _ending(one, deadline=deadline, silence=silence)) is not None:
                    running.remove(one)
                    ended[one.job.name] = result
    finally:
        for one in running:
            _end(one)
    return tuple(ended[job.name] for job in jobs)


def _start(job: Job, lines: queue.Queue[Line]) -> _Running:
    # -I: no PYTHON* variables, no user site, not the current folder. -S: no site, so no start-up code at all.
    flags = ["-I", "-S"] if job.isolated else ["-I"]
    process = subprocess.Popen(
        [str(job.python), *flags, str(PAYLOAD), json.dumps(dict(job.settings))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(job.environ),
        # A group of its own: the compilers and workers that a task starts end with it.
        start_new_session=True,
    )
    now = time.monotonic()
    one = _Running(job=job, process=process, started=now, heard=now)
    assert process.stdout is not None
    assert process.stderr is not None
    for pipe, kind in ((process.stdout, "event"), (process.stderr, "words")):
        threading.Thread(target=_read, args=(one, pipe, kind, lines), daemon=True).start()
    return one


def _read(one: _Running, pipe: IO[bytes], kind: Literal["event", "words"], lines: queue.Queue[Line]) -> None:
    with contextlib.suppress(ValueError, OSError):
        while line := pipe.readline(LONGEST_LINE):
            lines.put((one, kind, line))
    lines.put((one, "closed", b""))


def _take(lines: queue.Queue[Line], on_message: Callable[[Message], None]) -> None:
    """Handle what has arrived, waiting a tenth of a second for the first."""
    wait = 0.1
    while True:
        try:
            one, kind, line = lines.get(timeout=wait)
        except queue.Empty:
            return
        wait = 0.0
        if kind == "closed":
            one.open_pipes -= 1
        elif kind == "words":
            one.words = [*one.words[1 - MOST_WORDS :], line.decode("utf-8", errors="replace").rstrip()]
        elif one.events < MOST_EVENTS:
            one.events += 1
            _hear(one, line, on_message)


def _hear(one: _Running, line: bytes, on_message: Callable[[Message], None]) -> None:
    try:
        values = json.loads(line)
        event = values.pop("event")
        message = Message(job=one.job.name, event=str(event), at=float(values.pop("at", 0.0)), values=values)
    except (ValueError, KeyError, TypeError, AttributeError):
        one.words.append(f"not an event: {line[:200]!r}")
        return
    one.heard, one.waiting = time.monotonic(), message.event == "waiting"
    if message.event != "warning":
        one.last = message.event
    on_message(message)


def _release(running: Sequence[_Running]) -> None:
    """Let the waiting jobs go once they are the only ones left, all at the same moment."""
    if any(not one.job.waits for one in running) or not all(one.waiting for one in running):
        return
    for one in running:
        one.waiting, one.heard = False, time.monotonic()
        assert one.process.stdin is not None
        with contextlib.suppress(OSError):
            one.process.stdin.write(b"go\n")
            one.process.stdin.flush()


def _ending(one: _Running, *, deadline: float, silence: float) -> Ended | None:
    now = time.monotonic()
    if _has_exited(one.process):
        one.ended = one.ended or now
        _kill_group(one.process)  # what it started would keep the pipes open
        if one.open_pipes > 0 and now - one.ended < GRACE:
            return None  # what it said last is still in them
        _end(one)
        status = one.process.returncode
        return _ended(one, "signal" if status < 0 else "exited", abs(status))
    if now > deadline:
        return _ended(one, "deadline", -1, stuck=not _end(one))
    if not one.waiting and now - one.heard > silence:
        return _ended(one, "silence", -1, stuck=not _end(one))
    return None


def _has_exited(process: subprocess.Popen[bytes]) -> bool:
    """Look without collecting: until it is collected, its number cannot be given to another process's group."""
    if sys.platform == "win32":
        return process.poll() is not None
    try:
        return os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _ended(one: _Running, ending: Ending, status: int, *, stuck: bool = False) -> Ended:
    return Ended(
        job=one.job.name,
        ending=ending,
        status=status,
        words=tuple(one.words[-MOST_WORDS:]),
        last=one.last,
        seconds=time.monotonic() - one.started,
        stuck=stuck,
    )


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that is not collected yet, with everything it started."""
    if process.returncode is not None:
        return
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)


def _end(one: _Running) -> bool:
    """Kill the process with its group and say whether it is gone."""
    _kill_group(one.process)
    try:
        one.process.wait(GRACE)
    except subprocess.TimeoutExpired:
        return False
    if one.process.stdin is not None:
        with contextlib.suppress(OSError):
            one.process.stdin.close()
    return True
