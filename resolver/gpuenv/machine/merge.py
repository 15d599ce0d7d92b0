"""Put each GPU together from NVML, the kernel's list and nvidia-smi, in this order of trust; pure."""

from __future__ import annotations

from typing import TypeVar

from gpuenv.dataclass import dataclass
from gpuenv.machine import diagnosis
from gpuenv.machine.linux import KernelGpu
from gpuenv.machine.nvml import NvmlFailure, NvmlGpu
from gpuenv.machine.problem import DriverProblem, Evidence
from gpuenv.machine.smi import SmiGpu
from gpuenv.model.machine import ComputeCapability, Gpu

Fact = TypeVar("Fact", str, ComputeCapability)

KERNEL_LIST = "/proc/driver/nvidia/gpus"
DEAD = frozenset({8, 11, 15, 16})
"""No power, no interrupts, lost, reset required (nvml.h): whatever else is known of the card, it cannot compute."""
REQUIRED = ("handle", "uuid", "name", "capability", "values")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The GPUs that can be named, and why others cannot. ``usable_by_cuda`` leaves out those in MIG mode without a MIG
    device. ``by_smi``: NVML gave nothing, nvidia-smi everything."""

    gpus: tuple[Gpu, ...] = ()
    sources: tuple[tuple[str, str], ...] = ()
    troubles: tuple[DriverProblem, ...] = ()
    usable_by_cuda: int = 0
    by_smi: bool = False


def merge(evidence: Evidence) -> Found:
    """Join what was read of each GPU; one without uuid, name or capability becomes a trouble, not a GPU."""
    answers = evidence.answer.gpus
    lines = evidence.smi.gpus if evidence.smi else ()
    by_smi = not answers and bool(lines)
    if by_smi:
        answers = tuple(NvmlGpu(index=gpu.index) for gpu in lines)
    gpus: list[Gpu] = []
    sources: dict[str, str] = {}
    troubles: list[DriverProblem] = []
    empty = 0
    for answer in answers:
        facts = _Facts(answer, _line_of(answer, lines), _kernel_of(answer, evidence))
        gpu = facts.gpu()
        if gpu is None:
            troubles.append(diagnosis.of_gpu(_reason(answer), evidence, facts.subject(answer.index)))
            continue
        sources |= {f"gpus[{len(gpus)}].{fact}": source for fact, source in facts.sources.items()}
        gpus.append(gpu)
        empty += answer.slices == 0
    return Found(
        gpus=tuple(gpus),
        sources=tuple(sorted(sources.items())),
        troubles=() if by_smi else tuple(troubles),  # then NVML's own reason for the whole machine says more
        usable_by_cuda=len(gpus) - empty,
        by_smi=by_smi and bool(gpus),
    )


class _Facts:
    """The facts of one GPU, each from the first that knew it."""

    def __init__(self, answer: NvmlGpu, line: SmiGpu | None, kernel: KernelGpu | None) -> None:
        self.sources: dict[str, str] = {}
        self.answer, self.line = answer, line
        line = line or SmiGpu(index=answer.index)
        kernel = kernel or KernelGpu(address="", name=None, uuid=None)
        self.uuid = self._first("uuid", nvml=answer.uuid, smi=line.uuid, kernel=kernel.uuid)
        self.name = self._first("name", nvml=answer.name, smi=line.name, kernel=kernel.name)
        self.bus = answer.bus or line.bus or kernel.address
        self.capability = self._first("compute_capability", nvml=answer.compute_capability, smi=line.compute_capability)
        if self.capability is None and self.name and (found := capability_by_name(self.name)):
            self.capability, self.sources["compute_capability"] = found, "the GPU's name, by table"

    def _first(self, fact: str, *, nvml: Fact | None, smi: Fact | None, kernel: Fact | None = None) -> Fact | None:
        for value, source in ((nvml, "nvml"), (smi, "nvidia-smi"), (kernel, KERNEL_LIST)):
            if value:
                self.sources[fact] = source
                return value
        return None

    def gpu(self) -> Gpu | None:
        dead = any(
            name == "handle" or (name in REQUIRED and failure.code in DEAD) for name, failure in self.answer.failures
        )
        if dead or not (self.uuid and self.name and self.capability):
            return None
        memory, mig = self.answer.memory_bytes, self.answer.mig
        self.sources |= {"memory_bytes": "nvml" if memory is not None else "not told by the driver", "mig": "nvml"}
        if memory is None and self.line is not None and self.line.memory_bytes is not None:
            memory = self.line.memory_bytes
            self.sources["memory_bytes"] = "nvidia-smi, in whole MiB"
        if self.sources["uuid"] == "nvidia-smi" and self.line is not None:
            mig = self.line.mig
            self.sources["mig"] = "nvidia-smi"
        return Gpu(
            index=self.answer.index,
            uuid=self.uuid,
            name=self.name,
            compute_capability=self.capability,
            memory_bytes=memory,
            mig=mig,
        )

    def subject(self, index: int) -> str:
        """How a person finds the card: number, name, place on the bus, as far as known."""
        known = ", ".join(text for text in (self.name, self.bus) if text)
        return f"GPU {index} ({known})" if known else f"GPU {index}"


def capability_by_name(name: str) -> ComputeCapability | None:
    """The capability that the table of GPU names gives, if it gives exactly one."""
    from gpuenv import knowledge

    found = {row.compute_capability for row in knowledge.load().gpu_by_name(name)}
    return found.pop() if len(found) == 1 else None


def _line_of(answer: NvmlGpu, lines: tuple[SmiGpu, ...]) -> SmiGpu | None:
    if answer.uuid is not None:
        return next((line for line in lines if line.uuid == answer.uuid), None)
    return next((line for line in lines if line.index == answer.index), None)


def _kernel_of(answer: NvmlGpu, evidence: Evidence) -> KernelGpu | None:
    """The kernel's entry for the GPU: by uuid or place on the bus, else by order where nothing is left out.

    NVML counts GPUs in the order of the bus, as the folder names sort.
    """
    listed = evidence.host.kernel_gpus if evidence.host is not None else ()
    for kernel in listed:
        if answer.uuid is not None and kernel.uuid == answer.uuid:
            return kernel
        if answer.bus is not None and _place(kernel.address) == _place(answer.bus):
            return kernel
    known = answer.uuid is not None or answer.bus is not None
    in_step = not known and len(listed) == len(evidence.answer.gpus) and answer.index < len(listed)
    return listed[answer.index] if in_step else None


def _place(address: str) -> str:
    """``00000000:01:00.0`` (NVML) and ``0000:01:00.0`` (kernel) are one place."""
    domain, _, rest = address.lower().partition(":")
    return f"{domain[-4:]}:{rest}"


def _reason(answer: NvmlGpu) -> NvmlFailure:
    reasons = dict(answer.failures)
    for name in REQUIRED:
        if name in reasons:
            return reasons[name]
    return NvmlFailure(function="NVML", code=None, text="no reason was given")
