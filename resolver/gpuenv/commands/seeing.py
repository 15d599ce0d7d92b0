"""Which machine a command is about: this one, detected, or another, read from a file."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gpuenv.commands.context import Context
from gpuenv.model.machine import Driver, Machine
from gpuenv.system.files import read_text

LARGEST = 16 << 20
"""Bytes of the largest file that is taken for a machine file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A machine, and whether it is the one gpuenv runs on; ``origin`` is its file where it is not."""

    machine: Machine
    here: bool
    notes: tuple[str, ...] = ()
    origin: str = ""
    broken: str = ""
    """Why the NVIDIA GPU that is there cannot be used, where a CPU environment was asked for all the same."""


def see(context: Context) -> Seen:
    """Detect this machine, or read ``--machine``.

    A driver that does not work is an error, never "no GPU"; whoever asks for the CPU by name needs no driver.
    """
    if context.wishes.machine is not None:
        return Seen(machine=complete(_from_file(context)), here=False, origin=context.wishes.machine.as_posix())
    from gpuenv.machine import detect

    detection = detect.detect(environ=context.environ)
    if detection.problem is not None and _cpu_is_asked_for(context):
        bare = replace(detection.machine, gpus=(), driver=None)
        return Seen(machine=bare, here=True, notes=detection.notes, broken=detection.problem.summary)
    return Seen(machine=complete(detect.require(detection)), here=True, notes=detection.notes)


def _cpu_is_asked_for(context: Context) -> bool:
    from gpuenv.commands.wanted import profile_of

    profile = profile_of(context)
    return "cpu" in (context.wishes.variant, profile.variant, profile.accelerator)


def _from_file(context: Context) -> Machine:
    from gpuenv.machine.file import parse_machine

    return parse_machine(machine_text(context), origin=str(context.wishes.machine))


def machine_text(context: Context) -> str:
    """The text of the file that ``--machine`` names."""
    assert context.wishes.machine is not None
    path = context.project / context.wishes.machine
    shown = str(context.wishes.machine)
    return read_text(path, what="the machine file", shown=shown, most=LARGEST)


def complete(machine: Machine) -> Machine:
    """Fill in the driver's CUDA by table where it was not read; the source says so."""
    driver = machine.driver
    if driver is None or driver.cuda is not None:
        return machine
    from gpuenv import knowledge

    cuda = knowledge.load().machine_cuda(machine)
    sources = {**dict(machine.sources), "driver.cuda": "the driver's version, by table"}
    return replace(
        machine,
        driver=Driver(version=driver.version, cuda=cuda, source=driver.source),
        sources=tuple(sorted(sources.items())),
    )


def in_words(machine: Machine) -> str:
    """Say the machine in one line: GPUs, driver, CUDA, with the source of the driver's version.

    Example: ``2 × NVIDIA H200 (9.0), driver 580.159.04 (NVML), CUDA 13.0``.
    """
    if not machine.gpus and machine.driver is None:
        return f"no NVIDIA GPU, {machine.os} {machine.arch}"
    counts: dict[str, int] = {}
    for gpu in machine.gpus:
        label = f"{gpu.name} ({gpu.compute_capability})"
        counts[label] = counts.get(label, 0) + 1
    gpus = ", ".join(label if count == 1 else f"{count} × {label}" for label, count in counts.items()) or "no GPU"
    if machine.driver is None:
        return f"{gpus}, no driver"
    source = "NVML" if machine.driver.source == "nvml" else machine.driver.source
    return f"{gpus}, driver {machine.driver.version} ({source}), CUDA {machine.driver.cuda or 'unknown'}"
