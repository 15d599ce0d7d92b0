"""What a list of visible devices and a scheduler leave of this machine's GPUs; pure.

What a scheduler gave is never widened: its own option gets more, not its variable unset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import takewhile

from gpuenv.doctor.finding import Finding
from gpuenv.knowledge.scheduler import NO_DEVICE, Scheduler, owner_of_mask
from gpuenv.model.machine import Machine
from gpuenv.shell import unset

MASK = "CUDA_VISIBLE_DEVICES"

_found = partial(Finding, subject="environment")


def diagnose_job(machine: Machine, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Examine CUDA_VISIBLE_DEVICES as the CUDA runtime reads it, and who has set it."""
    if not machine.gpus:
        return
    mask = environ.get(MASK)
    job = owner_of_mask(environ)
    if mask is None:
        if job is not None and job.given is False:
            yield _not_given(job, "its variables count no GPU")
        return
    shown = shown_by(mask, machine)
    if job is not None:
        yield from _of_job(job, mask, shown, machine)
    elif not shown:
        detail = f"this machine has {len(machine.gpus)}, numbered from 0"
        summary = f"{MASK}={mask} hides every GPU"
        yield _found(severity="error", kind="mask-hides-all", summary=summary, detail=detail, fix=unset(MASK))
    elif shown < len(machine.gpus):
        summary = f"{MASK}={mask} shows {shown} of {len(machine.gpus)} GPUs"
        yield _found(severity="warning", kind="mask-hides-some", summary=summary, fix=unset(MASK))


def shown_by(mask: str, machine: Machine) -> int:
    """How many entries CUDA takes: its list ends at the first entry that is not valid (CUDA C++ Programming Guide)."""
    entries = (part.strip() for part in mask.split(","))
    return sum(1 for _ in takewhile(lambda entry: _visible(entry, machine), entries))


def _of_job(job: Scheduler, mask: str, shown: int, machine: Machine) -> Iterator[Finding]:
    if mask.strip().lower() in NO_DEVICE:
        yield _not_given(job, f"{MASK}={mask}")
    elif not shown:
        yield _found(
            severity="error",
            kind="mask-outside-the-job",
            summary=f"{job.place} set {MASK}={mask}, and shows {_count(len(machine.gpus))} numbered from 0",
            detail="the list counts the node's GPUs, the device control group shows only the job's: CUDA finds none",
            fix=f"Let {job.name} count devices within the job (Slurm: ConstrainDevices in cgroup.conf with gres.conf)",
            by="the site's administrator",
            check="`gpuenv doctor` in a new job names the GPU as visible",
        )
    else:
        yield _found(
            severity="ok",
            summary=f"{job.place} was given {shown} of the {_count(len(machine.gpus))} seen here",
            detail=f"{MASK}={mask}",
        )


def _not_given(job: Scheduler, detail: str) -> Finding:
    return _found(
        severity="error",
        kind="job-without-gpu",
        summary=f"this {job.place} was given no GPU",
        detail=detail,
        fix=job.ask,
        by="yourself",
        check="`gpuenv doctor` in the new job names its GPU",
    )


def _count(number: int) -> str:
    return f"{number} GPU" if number == 1 else f"{number} GPUs"


def _visible(entry: str, machine: Machine) -> bool:
    if entry.isdecimal():
        return len(entry) < 10 and int(entry) < len(machine.gpus)
    if entry.startswith("MIG-"):
        return any(gpu.mig for gpu in machine.gpus)
    short = re.fullmatch(r"GPU-[0-9a-fA-F-]+", entry)
    return short is not None and sum(gpu.uuid.lower().startswith(entry.lower()) for gpu in machine.gpus) == 1
