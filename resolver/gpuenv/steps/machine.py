"""Which machine a command is about: this one, one in a file, or the weakest of a class that shares a lock."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.dataclass import dataclass
from gpuenv.errors import UsageError
from gpuenv.model.machine import Driver, Libc, Machine
from gpuenv.model.profile import Profile
from gpuenv.steps.context import Context
from gpuenv.system.files import present, read_text

if TYPE_CHECKING:
    from gpuenv.system.process import Child, NotStarted

REFERENCE = Path("lockfiles") / "machines"
"""Machines that the committed locks are made for, one file a profile."""

LARGEST = 16 << 20
"""Bytes of the largest file that is taken for a machine file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetMachine:
    """A machine, and whether it is the one gpuenv runs on; ``origin`` is its file where it is not."""

    facts: Machine
    here: bool
    notes: tuple[str, ...] = ()
    origin: str = ""
    broken: str = ""
    """Why the NVIDIA GPU that is there cannot be used, where a CPU environment was asked for all the same."""


def begin(context: Context) -> None:
    """Start to ask NVML, where a machine will be detected: a child does, while the rest of the command is loaded."""
    if context.options.machine is None and sys.platform != "darwin":
        from gpuenv.machine import nvml

        _begun(context).child = nvml.begin(environ=context.environ)


@dataclass(slots=True, kw_only=True)
class _Begun:
    """The child that asks NVML, for whoever detects first; it is gone when the run ends."""

    child: Child | NotStarted | None = None
    taken: bool = False

    def take(self) -> Child | NotStarted | None:
        taken, self.taken = self.taken, True
        return None if taken else self.child

    def close(self) -> None:
        from gpuenv.system.process import Child, stop

        if isinstance(self.child, Child):
            stop(self.child)


def _begun(context: Context) -> _Begun:
    return context.run.once(_Begun, by=_begun, key=None)


def detect_or_read(context: Context) -> TargetMachine:
    """Detect this machine, or read ``--machine``.

    A driver that does not work is an error, never "no GPU"; whoever asks for the CPU by name needs no driver.
    """
    if context.options.machine is not None:
        from gpuenv.machine.notes import notes_of_system

        facts = complete(_from_file(context))
        origin = context.options.machine.as_posix()
        return TargetMachine(facts=facts, here=False, notes=notes_of_system(facts), origin=origin)
    from gpuenv.machine import detect

    detection = detect.detect(environ=context.environ, child=_begun(context).take())
    if detection.problem is not None and _cpu_is_asked_for(context):
        bare = replace(detection.machine, gpus=(), driver=None)
        return TargetMachine(facts=bare, here=True, notes=detection.notes, broken=detection.problem.summary)
    return TargetMachine(facts=complete(detect.require(detection)), here=True, notes=detection.notes)


def _cpu_is_asked_for(context: Context) -> bool:
    from gpuenv.steps.profile import load_profile

    profile = load_profile(context)
    return "cpu" in (context.options.variant, profile.variant, profile.accelerator)


def _from_file(context: Context) -> Machine:
    """The machine in a file; where there is none of that name, the card that it names."""
    from gpuenv.machine.file import parse_machine

    named = context.options.machine
    if named is not None and not present(context.project / named):
        from gpuenv.steps.named_machine import is_named, named_machine

        if is_named(named.name):
            return named_machine(named.name)
    return parse_machine(machine_text(context), origin=str(context.options.machine))


def machine_text(context: Context) -> str:
    """The text of the file that ``--machine`` names."""
    assert context.options.machine is not None
    path = context.project / context.options.machine
    shown = str(context.options.machine)
    if not present(path):
        from gpuenv.machine.file import WRITE_ONE

        raise UsageError(f"there is no machine file {shown}", hints=(WRITE_ONE, "Or name a card: `--machine rtx5090`"))
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


def in_scope(context: Context, machine: Machine) -> Machine:
    """The machine with only the GPUs that count (all, or those of ``--gpu``)."""
    from gpuenv.select.request import gpus_in_scope
    from gpuenv.steps.profile import bare_request

    return replace(machine, gpus=gpus_in_scope(machine, bare_request(context)))


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineClass:
    """Machines that may share a lock: same system, CPU and compute capabilities. ``machine`` is the weakest of
    them: what runs on its driver and its C library runs on all."""

    name: str
    machine: TargetMachine
    members: tuple[str, ...]


def with_reference(context: Context, profile: Profile) -> Context:
    """With ``--all`` a profile is locked for its reference machine, where it has one and no other was named."""
    reference = REFERENCE / f"{profile.name}.json"
    if context.options.machine is None and (context.project / reference).is_file():
        return replace(context, options=replace(context.options, machine=reference))
    return context


def classes(context: Context, files: Sequence[Path]) -> tuple[MachineClass, ...]:
    """Read machine files and group them, sorted by class name."""
    groups: dict[str, list[tuple[str, TargetMachine]]] = {}
    for path in files:
        machine = detect_or_read(replace(context, options=replace(context.options, machine=path)))
        groups.setdefault(class_name(machine.facts), []).append((path.as_posix(), machine))
    found = []
    for name, rows in sorted(groups.items()):
        machine = rows[0][1]
        for _, other in rows[1:]:
            if weaker(other.facts, machine.facts):
                machine = other
        found.append(MachineClass(name=name, machine=machine, members=tuple(sorted(path for path, _ in rows))))
    return tuple(found)


def class_name(machine: Machine) -> str:
    """Name a machine's class in letters, digits and ``-``: ``linux-x86-64-sm90``.

    >>> from gpuenv.model.machine import Machine
    >>> class_name(Machine(os="linux", arch="x86_64", libc=None, wsl=False, container=False, driver=None, gpus=()))
    'linux-x86-64-cpu'
    """
    capabilities = sorted({gpu.compute_capability for gpu in machine.gpus})
    code = "-".join(f"sm{item.major}{item.minor}" for item in capabilities) or "cpu"
    return f"{machine.os}-{machine.arch.replace('_', '-')}-{code}"


def weaker(one: Machine, other: Machine) -> bool:
    """Tell whether ``one`` has the older driver, or the same with the older C library."""
    from gpuenv.knowledge.rules import compare_versions

    if one.driver is not None and other.driver is not None:
        order = compare_versions(one.driver.version, other.driver.version)
        if order:
            return order < 0
    return (Libc.parse(one.libc) or ()) < (Libc.parse(other.libc) or ())


def say_machine(context: Context, machine: TargetMachine, profile: Profile) -> None:
    """Say first what this is. Without a GPU the first line says so, and that it is CPU."""
    from gpuenv.select.request import wants_cpu
    from gpuenv.steps.profile import bare_request

    facts = machine.facts
    if wants_cpu(profile, facts, bare_request(context)):
        found = "No NVIDIA GPU in this machine" if not facts.gpus else f"Found {in_words(facts)}"
        if machine.broken:
            found = f"No NVIDIA GPU can be used ({machine.broken})"
        why = (
            f"profile {profile.name} asks for it"
            if profile.accelerator == "cpu"
            else "gpuenv serves NVIDIA GPUs and the CPU"
        )
        if (facts.gpus or machine.broken) and profile.accelerator != "cpu":
            why = "--variant cpu asks for it"
        context.reporter.say(f"{found}: this is a CPU environment ({why})")
    else:
        where = "Detected" if machine.here else f"For the machine in {machine.origin}:"
        context.reporter.say(f"{where} {in_words(facts)}")
    for note in machine.notes:
        context.reporter.say(f"  {note}")
