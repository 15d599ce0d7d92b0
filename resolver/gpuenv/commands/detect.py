"""Show this machine, or the one in a file, as gpuenv sees it."""

from __future__ import annotations

from gpuenv.dataclass import dataclass
from gpuenv.model.machine import Machine
from gpuenv.steps.context import Context, Failure, Outcome
from gpuenv.steps.machine import complete, detect_or_read


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectOutcome(Outcome):
    """The machine, and what a person should know of how it was seen."""

    machine: Machine
    notes: tuple[str, ...]


def run(context: Context) -> DetectOutcome:
    """Detect. A driver that does not answer ends with exit 3, and what is known is still shown."""
    if context.options.machine is not None:
        read = detect_or_read(context)
        return DetectOutcome(machine=read.facts, notes=(*read.notes, *_libc(read.facts)))
    from gpuenv.machine import detect

    detection = detect.detect(environ=context.environ)
    notes = (*detection.notes, *_libc(detection.machine))
    problem = detection.problem
    if problem is None:
        return DetectOutcome(machine=complete(detection.machine), notes=notes)
    return DetectOutcome(
        machine=detection.machine,
        notes=notes,
        exit_code=3,
        problems=(Failure(code="driver-broken", message=problem.summary, causes=problem.causes, hints=problem.advice),),
    )


def _libc(machine: Machine) -> tuple[str, ...]:
    """That nothing of torch will run with this C library, where that is so: `lock` refuses it."""
    if machine.libc_family != "musl":
        return ()
    return (f"PyTorch has no wheels for {machine.libc}: they are built for glibc",)
