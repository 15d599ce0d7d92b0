"""Runs payload processes side by side and takes in their events, under a deadline and a watchdog.

The variables they get are built from nothing, so that a person's shell cannot bend the result.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.documents import DocumentError, parse_json
from gpuenv.system import process
from gpuenv.system.process import Child, Limits, NotStarted, TimedOut
from gpuenv.verify.messages import Message, problem_of

PAYLOAD = Path(__file__).parent / "payload" / "__main__.py"
MOST_EVENTS = 100_000
MOST_LINES = 400
GRACE = 5.0
"""Seconds that a killed process may take to vanish; one stuck in the kernel is left behind and said so."""

Ending = Literal["exited", "signal", "deadline", "silence", "not-started"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadJob:
    """One payload process. ``waits``: it pauses before what it times, until every job without this flag has ended."""

    name: str
    python: Path
    settings: Mapping[str, object]
    environ: Mapping[str, str]
    isolated: bool = True
    """Keep the environment's start-up files (``sitecustomize``, ``.pth``) from running."""
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadEnded:
    """How a process ended. ``status`` is its exit code or the number of the signal."""

    job: str
    ending: Ending
    status: int
    stderr: tuple[str, ...]
    """The last lines of it."""
    last: str
    """The last event before the end: what it was doing."""
    seconds: float
    stuck: bool = False
    """True where even a kill did not end it."""


class _Running:
    """What one process said so far."""

    def __init__(self, job: PayloadJob, on_message: Callable[[Message], None]) -> None:
        self.job = job
        self.last, self.waiting = "start", False
        self._count = 0
        self._on_message = on_message
        self._odd: list[str] = []

    def start(self) -> Child | NotStarted:
        # -I: no PYTHON* variables, no user site, not the current folder. -S: no site, so no start-up code at all.
        flags = ["-I", "-S"] if self.job.isolated else ["-I"]
        return process.start(
            [str(self.job.python), *flags, str(PAYLOAD), json.dumps(dict(self.job.settings))],
            environ=self.job.environ,
            on_stdout=self.take,
            progress=lambda _: None if self.waiting else self._count,
            talks=True,
        )

    def take(self, line: str) -> None:
        """Take a line of standard output: an event, or what something else printed there."""
        if self._count >= MOST_EVENTS:
            return
        try:
            values = parse_json(line)
            if not isinstance(values, dict):
                raise DocumentError("no object")
            event, at = str(values.pop("event")), float(values.pop("at", 0.0))
        except (ValueError, KeyError, TypeError):
            self._odd = [*self._odd[1 - MOST_LINES :], f"not an event: {line[:200]!r}"]
            return
        if problem := problem_of(event, values):  # a slip of ours: the job counts as failed, not as silent
            event, values = "failed", {"kind": "unknown message", "message": problem, "where": line[:200]}
        message = Message(job=self.job.name, event=event, at=at, values=values)
        self._count += 1
        self.waiting = message.event == "waiting"
        if message.event != "warning":
            self.last = message.event
        self._on_message(message)

    def release(self, child: Child) -> None:
        self.waiting = False
        child.tell("go")

    def ended(self, result: process.Ended | TimedOut | NotStarted) -> PayloadEnded:
        ending: Ending
        stuck, seconds, said = False, 0.0, ""
        match result:
            case NotStarted(reason=said):
                ending, status = "not-started", -1
            case TimedOut(stderr=said, seconds=seconds):
                ending, status = "deadline" if result.limit == "deadline" else "silence", -1
                stuck = not result.gone
            case process.Ended(returncode=code, stderr=said, seconds=seconds):
                ending, status = "signal" if code < 0 else "exited", abs(code)
        lines = [*self._odd, *(line.rstrip() for line in said.splitlines())]
        return PayloadEnded(
            job=self.job.name,
            ending=ending,
            status=status,
            stderr=tuple(lines[-MOST_LINES:]),
            last=self.last,
            seconds=seconds,
            stuck=stuck,
        )


def run_jobs(
    jobs: Sequence[PayloadJob], *, deadline: float, silence: float, on_message: Callable[[Message], None]
) -> tuple[PayloadEnded, ...]:
    """Run all jobs at once and return how each ended, in the order given.

    ``deadline`` is a point of :func:`time.monotonic`; ``silence`` the longest time in seconds without an event of a
    job that is not waiting. Both end the job's whole process group. No process of ours is left when this returns,
    also when it is interrupted.
    """
    every = [_Running(job, on_message) for job in jobs]
    limits = Limits(deadline=max(0.0, deadline - time.monotonic()), stall=silence, reap=GRACE)
    running: dict[Child, _Running] = {}
    refused: dict[_Running, NotStarted] = {}

    def release(left: Sequence[Child]) -> None:
        """Let the waiting jobs go once they are the only ones left, all at the same moment."""
        if all(running[child].job.waits and running[child].waiting for child in left):
            for child in left:
                running[child].release(child)

    try:
        for one in every:
            child = one.start()
            if isinstance(child, NotStarted):
                refused[one] = child
            else:
                running[child] = one
    except BaseException:
        for child in running:
            process.stop(child)
        raise
    results = dict(zip(running.values(), process.finish(list(running), limits=limits, on_turn=release), strict=True))
    return tuple(one.ended(results.get(one) or refused[one]) for one in every)


KEPT = frozenset(
    {
        "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ", "TMPDIR", "TEMP", "TMP", "XDG_RUNTIME_DIR",
        "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "LOCALAPPDATA", "APPDATA",
        "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE", "PROCESSOR_ARCHITEW6432",
        "CC", "CXX", "OMP_NUM_THREADS", "MKL_NUM_THREADS",
        "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES",
        "TORCH_SYMM_MEM_DISABLE_MULTICAST", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA",
    }
)  # fmt: skip
"""``CUDA_VISIBLE_DEVICES`` is kept on purpose, and so is what limits the processor's instructions: every program of
this user will see them, so they belong to the verdict."""
KEPT_PREFIXES = ("LC_", "NCCL_", "NVSHMEM_", "GLOO_")
"""Switches of the communication libraries protect shared machines (NVLink multicast, network interfaces)."""
TELLING = ("PYTHON", "LD_", "CUDA", "CUBLAS", "CUDNN", "NVIDIA_", "PYTORCH_", "TORCH", "TRITON_")
"""Prefixes of variables that change what Python, the loader, CUDA or torch do."""


def scrub(environ: Mapping[str, str], *, scratch: str) -> dict[str, str]:
    """Return the variables for a payload; every cache leads into ``scratch``, which is empty at the start."""
    kept = {name: value for name, value in environ.items() if name in KEPT or name.startswith(KEPT_PREFIXES)}
    return kept | {
        "CUDA_CACHE_PATH": f"{scratch}/cuda",
        "TRITON_CACHE_DIR": f"{scratch}/triton",
        "TORCHINDUCTOR_CACHE_DIR": f"{scratch}/inductor",
        "TORCH_EXTENSIONS_DIR": f"{scratch}/extensions",
        "CUPY_CACHE_DIR": f"{scratch}/cupy",
        # Its worker processes would start without the environment's packages on their path.
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "PYTORCH_NVML_BASED_CUDA_CHECK": "0",
        # Threads that wait for each other sleep: spinning takes the core from the one that is waited for (GNU's and
        # Intel's OpenMP). With two other programs on two cores a step took a tenth of the time.
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
    }


def dropped(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Name the variables that were left out although they change what programs do."""
    return tuple(
        sorted(
            name
            for name in environ
            if name.startswith(TELLING) and name not in KEPT and not name.startswith(KEPT_PREFIXES)
        )
    )
