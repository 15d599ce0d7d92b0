"""What every input must come to: an answer or one of our errors, shown as one harmless line, within time and memory.

A reader that waits, loops or fills the memory is stopped: ``CPU_SECONDS`` and ``WALL_SECONDS`` are many times what any
input takes, so that only a hang reaches them.
"""

from __future__ import annotations

import hashlib
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.mutate import Kind
from gpuenv.cli.console import Console
from gpuenv.errors import GpuenvError
from gpuenv.net.location import secrets_of
from gpuenv.report import visible
from gpuenv.system.files import system_error

SECRET = "t0p-s3cret"
"""Stands in the addresses of the samples, and in nothing that is said."""

CPU_SECONDS, WALL_SECONDS = 10.0, 60.0
MEMORY = 512 << 20
"""Bytes that one input of at most a mebibyte may take beside what the process has anyway."""


class Wrong(AssertionError):
    """What came out is none of what is allowed."""


class Hang(BaseException):
    """The time is over. No ``Exception``: a reader that catches everything does not catch it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One kind of input: real ``samples`` of it, and the reader of it. ``short`` inputs are part of the tests."""

    name: str
    kind: Kind
    samples: Callable[[], list[bytes]]
    read: Callable[[bytes, Path], object]
    short: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Something that must not be. ``key`` is the same for the same fault."""

    target: str
    key: str
    words: str
    data: bytes = field(repr=False)


@dataclass(slots=True)
class Memory:
    """The most that the process held at once, in bytes; 0 where the system does not tell."""

    peak: int = 0

    def start(self) -> int:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")

    def stop(self, before: int) -> int:
        high = _status("VmHWM")
        self.peak = max(self.peak, high)
        return high - before if high else 0


def judge(target: Target, data: bytes, room: Path, *, memory: Memory | None = None) -> Found | None:
    """Give one input to a target's reader; what is wrong with what it came to, ``None`` where nothing is."""
    memory = memory or Memory()
    before = memory.start()
    try:
        with _limits():
            try:
                target.read(data, room)
            except GpuenvError as error:
                check_error(error, secret_at_stake(data))
            except OSError as error:  # what the system refuses is shown by the command line
                check_error(system_error(error), secret_at_stake(data))
        if (taken := memory.stop(before)) > MEMORY:
            raise Wrong(f"it took {taken >> 20} MiB")
    except (Exception, Hang) as error:
        return Found(target=target.name, key=_key(error), words=_words(error), data=data)
    return None


def check_error(error: GpuenvError, secret: bool) -> None:
    """An error of ours has an exit code for people, and says one line that commands no terminal and tells no secret."""
    if error.exit_code not in (1, 2, 3, 4, 5, 6):
        raise Wrong(f"exit code {error.exit_code}: {error.message}") from error
    if not error.message or ("\n" in error.message.strip("\n") and len(error.message.splitlines()) > 1):
        raise Wrong(f"the message is not one line: {error.message!r}") from error
    err = io.StringIO()
    console = Console(environ={}, err=err, out=io.StringIO())
    console.error(error.message, causes=error.causes, hints=error.hints)
    check_words(err.getvalue(), secret)


def check_words(text: str, secret: bool) -> None:
    """What is printed holds no control character, can be written, and does not hold the secret."""
    for line in text.split("\n"):
        if visible(line) != line:
            raise Wrong(f"it prints control characters: {line!r}")
    text.encode("utf-8")
    if secret and SECRET in text:
        raise Wrong(f"it tells the secret: {text!r}")


def secret_at_stake(data: bytes) -> bool:
    """Whether the secret still stands in an address, where it is one."""
    text = data.decode("utf-8", "replace")
    words = [each.strip("\"'<>()[],") for each in text.split() if SECRET in each]
    return bool(words) and all(each.count(SECRET) == 1 and SECRET in "".join(secrets_of(each)) for each in words)


@contextmanager
def _limits() -> Iterator[None]:
    """Raise :class:`Hang` in whatever runs when its time is over."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def over(number: int, frame: object) -> None:
        raise Hang(f"it did not end within {CPU_SECONDS:g} s of CPU or {WALL_SECONDS:g} s")

    old = {number: signal.signal(number, over) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WALL_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in old.items():
            signal.signal(number, handler)


def _status(name: str) -> int:
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
    return 0


def _key(error: BaseException) -> str:
    """The kind of error and the last place of ours it went through; of a hang only that."""
    places = [
        f"{Path(frame.filename).name}:{frame.name}"
        for frame in traceback.extract_tb(error.__traceback__)
        if f"{os.sep}gpuenv{os.sep}" in frame.filename
    ]
    cause = error.__cause__
    if isinstance(error, Wrong) and cause is not None:
        places = [f"{type(cause).__name__}"]
    last = "" if isinstance(error, Hang) and not places else (places or ["?"])[-1]
    what = type(error).__name__ if not isinstance(error, Wrong) else str(error).partition(":")[0]
    return f"{what} {last}"


def _words(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))[-6000:]


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
