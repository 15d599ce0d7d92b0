"""Ask the driver's management library (NVML) through pynvml, in a child with a time limit.

A driver library that aborts or hangs takes the process along that called it, so the calls are made by
``probe.py`` in a process of its own; here its lines are folded into a value.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import field, replace
from importlib.machinery import PathFinder
from operator import itemgetter
from pathlib import Path
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.model.machine import ComputeCapability
from gpuenv.report import visible
from gpuenv.system.process import Child, Ended, Limits, NotStarted, TimedOut, finish, start

Ending = Literal["answered", "refused", "crashed", "hung", "not-asked", "late"]
"""``refused``: NVML returned an error for the whole machine. ``not-asked``: the question could not be put at all;
``late``: it was not put in the time there was, so that nothing is known of the driver."""

PROBE = Path(__file__).with_name("probe.py")

REAP_SECONDS = 1.0
"""How long a killed child may take to disappear. One that sleeps inside a driver never does: it is left behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NvmlFailure:
    """One call that gave no value. ``code`` is nvml.h's, ``None`` where no code came back (a crash, a hang)."""

    function: str
    code: int | None
    text: str

    def __str__(self) -> str:
        code = "" if self.code is None else f" returned {self.code}"
        return f"{self.function}{code}: {self.text}" if self.text else f"{self.function}{code}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NvmlGpu:
    """One GPU as NVML described it. Each fact is a value, or ``None`` with the reason in ``failures``."""

    index: int
    uuid: str | None = None
    name: str | None = None
    compute_capability: ComputeCapability | None = None
    memory_bytes: int | None = None
    bus: str | None = None
    mig: bool = False
    slices: int | None = None
    """MIG devices on the GPU; ``None`` when it is not in MIG mode."""
    fabric: int | None = None
    """nvmlGpuFabricState_t: 0 not supported, 1 not started, 2 in progress, 3 completed."""
    mode: int | None = None
    """nvmlComputeMode_t: 0 default, 1 exclusive thread, 2 prohibited, 3 exclusive process."""
    licensed: bool | None = None
    """Whether a virtual GPU (vGPU) has its licence; ``None`` for one that needs none."""
    failures: tuple[tuple[str, NvmlFailure], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NvmlAnswer:
    """What the child said before it ended, and how it ended."""

    ending: Ending
    failure: NvmlFailure | None = None
    """Why there is no (complete) answer; for ``crashed`` and ``hung`` the call that was being made."""
    driver: str | None = None
    driver_failure: NvmlFailure | None = None
    cuda: str | None = None
    cuda_failure: NvmlFailure | None = None
    """Set when libcuda could not be asked; ``cuda`` is then what NVML knows by itself."""
    library: str | None = None
    """The file of libnvidia-ml that the loader took, links resolved."""
    libcuda: str | None = None
    loader: str | None = None
    """The loader's words where it refused the library."""
    gpus: tuple[NvmlGpu, ...] = ()


def begin(*, environ: Mapping[str, str]) -> Child | NotStarted:
    """Start the child that asks NVML, so that there is time for other things until :func:`finished` waits for it.

    The library is found where the user's own programs would find it: ``environ`` goes to the child as it is.
    """
    if not sys.executable:
        return NotStarted(reason="this interpreter does not know its own path (sys.executable is empty)")
    binding = _binding()
    if binding is None:
        return NotStarted(reason="pynvml (nvidia-ml-py) is not installed beside gpuenv")
    # Not tied: that would load ctypes before the child starts, and this one has nothing to leave behind.
    return start([sys.executable, "-I", "-S", str(PROBE), "nvml", str(binding)], environ=environ, tied=False)


def shadow() -> str | None:
    """The file that ``import pynvml`` takes where that is not NVIDIA's; ``None`` where nothing stands in its way."""
    first = PathFinder.find_spec("pynvml")
    taken = None if first is None or first.origin is None else first.origin
    binding = _binding()
    return taken if taken is not None and binding is not None and Path(taken) != binding else None


def _binding() -> Path | None:
    """The file of NVIDIA's own binding: the one beside the metadata of nvidia-ml-py, wherever PYTHONPATH points first.

    Another package and many a person's folder hold a pynvml too, old, changed or broken.
    """
    for folder in sys.path:
        file = Path(folder or ".") / "pynvml.py"
        if file.is_file() and any(file.parent.glob("nvidia_ml_py-*.dist-info")):
            return file
    found = PathFinder.find_spec("pynvml")
    return None if found is None or found.origin is None else Path(found.origin)


def finished(child: Child | NotStarted, *, timeout: float) -> NvmlAnswer:
    """Wait for the child, until ``timeout`` seconds after its start, and fold what it said."""
    limits = Limits(deadline=timeout, reap=REAP_SECONDS)
    result = child if isinstance(child, NotStarted) else finish([child], limits=limits)[0]
    match result:
        case NotStarted(reason=reason):
            return NvmlAnswer(ending="not-asked", failure=NvmlFailure(function="NVML", code=None, text=reason))
        case TimedOut(stdout="", seconds=seconds):  # before the first call: nothing of the driver's was touched
            late = f"the process that asks it had not begun after {seconds:g} s, as on a machine that is very busy"
            return NvmlAnswer(ending="late", failure=NvmlFailure(function="NVML", code=None, text=late))
        case TimedOut(stdout=stdout, seconds=seconds, gone=gone):
            stuck = "" if gone else "; it sleeps inside the kernel driver and cannot be ended"
            return fold(stdout, ending="hung", ended_by=f"no answer within {seconds:g} s{stuck}")
        case Ended(returncode=returncode, stdout=stdout, stderr=stderr):
            return fold(stdout, ending="crashed", ended_by=_death(returncode, stderr))


def lines_of(stdout: str) -> Iterator[list[object]]:
    """The child's lines; those that are not its own (a library that writes on every descriptor) are passed over."""
    import json  # here, because the parent should start the child before it loads anything it can load later

    for line in stdout.splitlines():
        with suppress(ValueError, RecursionError):
            items = json.loads(line)
            if isinstance(items, list):
                yield items


def fold(stdout: str, *, ending: Literal["crashed", "hung"], ended_by: str) -> NvmlAnswer:
    """Make one answer of the child's lines. ``ending`` and ``ended_by`` hold unless the lines are complete."""
    state = _State()
    for items in lines_of(stdout):
        state.take(items)
    return state.answer(ending=ending, ended_by=ended_by)


@dataclass(slots=True)
class _State:
    facts: dict[tuple[str, int | None], object] = field(default_factory=dict)
    failures: dict[tuple[str, int | None], NvmlFailure] = field(default_factory=dict)
    calling: tuple[str, int | None] = ("start of the child", None)
    complete: bool = False

    def take(self, items: list[object]) -> None:
        match items:
            case ["call", str(function), int() | None as gpu]:
                self.calling = (function, gpu)
            case ["fact", str(name), int() | None as gpu, value]:
                self.facts[name, gpu] = value
            case ["fail", str(name), int() | None as gpu, str(function), int() | None as code, str(text)]:
                self.failures[name, gpu] = NvmlFailure(function=function, code=code, text=text)
            case ["end"]:
                self.complete = True
            case _:  # not ours
                pass

    def answer(self, *, ending: Literal["crashed", "hung"], ended_by: str) -> NvmlAnswer:
        function, gpu = self.calling
        where = function if gpu is None else f"{function} for GPU {gpu}"
        broken = NvmlFailure(function=where, code=None, text=ended_by)
        how: Ending = ending
        failure: NvmlFailure | None = broken
        if self.complete:
            refusal = self.failures.get(("init", None)) or self.failures.get(("count", None))
            binding = self.failures.get(("binding", None))
            failure = binding or refusal
            how = "not-asked" if binding else "refused" if refusal else "answered"
        return NvmlAnswer(
            ending=how,
            failure=failure,
            driver=version_in(self.text("driver")),
            driver_failure=self.failures.get(("driver", None)),
            cuda=_cuda(self.facts.get(("cuda", None))) or _cuda(self.facts.get(("cuda-known", None))),
            cuda_failure=self.failures.get(("cuda", None)),
            library=self.text("library"),
            libcuda=self.text("libcuda"),
            loader=self.text("loader"),
            gpus=tuple(self.gpu(index, None if self.complete else (gpu, broken)) for index in self.indices()),
        )

    def text(self, name: str, gpu: int | None = None) -> str | None:
        value = self.facts.get((name, gpu))
        return visible(value) if isinstance(value, str) and value else None

    def indices(self) -> list[int]:
        count = self.facts.get(("count", None))
        named = {gpu for _, gpu in (*self.facts, *self.failures) if gpu is not None}
        return sorted(named | set(range(count if isinstance(count, int) and 0 <= count <= 1024 else 0)))

    def gpu(self, index: int, broken: tuple[int | None, NvmlFailure] | None) -> NvmlGpu:
        failures = [(name, failure) for (name, gpu), failure in self.failures.items() if gpu == index]
        mode = self.facts.get(("mig", index))
        found = NvmlGpu(
            index=index,
            uuid=self.text("uuid", index),
            name=self.text("name", index),
            compute_capability=_capability(self.facts.get(("capability", index))),
            memory_bytes=_count(self.facts.get(("memory", index))),
            bus=self.text("bus", index),
            mig=isinstance(mode, list) and bool(mode) and mode[0] == 1,
            slices=_number(self.facts.get(("slices", index))),
            fabric=_number(self.facts.get(("fabric", index))),
            mode=_number(self.facts.get(("mode", index))),
            licensed=licensed if isinstance(licensed := self.facts.get(("licensed", index)), bool) else None,
        )
        whole = found.uuid and found.name and found.compute_capability
        if broken is not None and not whole:
            at, failure = broken
            reason = failure if at == index else NvmlFailure(function="NVML", code=None, text=f"not asked: {failure}")
            failures.append(("handle", reason))
        elif not failures and not whole:
            failures.append(("values", NvmlFailure(function="NVML", code=None, text="gave implausible values")))
        return replace(found, failures=tuple(sorted(failures, key=itemgetter(0))))


def version_in(text: str | None) -> str | None:
    """A driver's version, or ``None`` for what is none (``"N/A"``, ``"0"``)."""
    return text if text is not None and re.fullmatch(r"[0-9]+(?:\.[0-9]+)+", text) else None


def _cuda(value: object) -> str | None:
    """Read ``12080`` as ``"12.8"`` (cuda.h: 1000 × major + 10 × minor); implausible numbers are no fact."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1000 <= value < 100_000:
        return None
    return f"{value // 1000}.{value % 1000 // 10}"


def _capability(value: object) -> ComputeCapability | None:
    match value:
        case [int(major), int(minor)]:
            return ComputeCapability.read(f"{major}.{minor}")
        case _:
            return None


def _count(value: object) -> int | None:
    """A number of bytes; 0 and all-ones are how drivers say "unknown" without an error code."""
    number = _number(value)
    return number if number and number < 2**60 else None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _death(returncode: int, stderr: str) -> str:
    from gpuenv.system.ending import how_ended

    how = how_ended(returncode).removeprefix("was ")
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return f"{how}: {lines[-1][:200]}" if lines else how
