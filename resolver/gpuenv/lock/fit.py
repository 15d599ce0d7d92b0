"""Whether a machine may use a lock, and why not; and whether it could use a newer torch."""

from __future__ import annotations

from typing import Literal

from packaging.version import Version

from gpuenv.dataclass import dataclass
from gpuenv.knowledge.base import Knowledge
from gpuenv.knowledge.facts import Release
from gpuenv.knowledge.rules import NoCode
from gpuenv.lock.model import Lock
from gpuenv.model.machine import Libc, Machine
from gpuenv.select.stated import why_not


@dataclass(frozen=True, slots=True, kw_only=True)
class LockMismatch:
    """Why a lock is not for a machine. ``found`` and ``locked`` are the two facts that do not go together."""

    what: Literal["os", "arch", "libc", "gpu", "driver", "kernels", "cpu"]
    sentence: str
    locked: str
    found: str


def fits_machine(lock: Lock, machine: Machine, knowledge: Knowledge) -> LockMismatch | None:
    """Say why ``machine`` must not use the lock, ``None`` where it may. Only its GPUs in scope should be in it.

    The machine need not be the one the lock was made on: what counts is that every GPU has code in the locked torch and
    that its driver runs it. A CPU build that nobody asked for does not fit a machine with a GPU.
    """
    return other_platform(lock, machine) or _accelerator(lock, machine, knowledge)


def other_platform(lock: Lock, machine: Machine) -> LockMismatch | None:
    """Say why a lock is for another system, processor or C library; ``None`` where it is for this one."""
    target = lock.inputs.target
    arch = "aarch64" if machine.os == "linux" and machine.arch == "arm64" else machine.arch
    if machine.os != target.os:
        return LockMismatch(
            what="os", sentence=f"was made for {target.os}, this is {machine.os}", locked=target.os, found=machine.os
        )
    if arch != target.arch:
        return LockMismatch(
            what="arch", sentence=f"was made for {target.arch}, this is {arch}", locked=target.arch, found=arch
        )
    need, have = Libc.parse(target.libc), Libc.parse(machine.libc)
    if need is not None and (have is None or not have.serves(need)):
        found = machine.libc or "no glibc"
        return LockMismatch(
            what="libc", sentence=f"needs {target.libc}, this has {found}", locked=str(target.libc), found=found
        )
    return None


def _accelerator(lock: Lock, machine: Machine, knowledge: Knowledge) -> LockMismatch | None:
    decision = lock.decision
    if decision.accelerator == "cpu":
        if decision.wish == "cpu" or not machine.gpus:
            return None
        names = ", ".join(gpu.name for gpu in machine.gpus)
        return LockMismatch(
            what="cpu",
            sentence=f"holds a CPU build, made where there was no GPU; this machine has {names}",
            locked="cpu",
            found=names,
        )
    if not machine.gpus or machine.driver is None:
        found = "no NVIDIA GPU" if not machine.gpus else "no NVIDIA driver"
        return LockMismatch(
            what="gpu", sentence=f"needs an NVIDIA GPU, this machine has {found}", locked=decision.variant, found=found
        )
    least, driver = _least_driver(lock, machine, knowledge), machine.driver
    if least is not None and knowledge.driver_reach(machine, least) is None:
        return LockMismatch(
            what="driver",
            sentence=f"{decision.variant} needs driver {least} or newer, this has {driver.version} ({driver.place})",
            locked=least,
            found=driver.version,
        )
    return _kernels(lock, machine, knowledge)


def _least_driver(lock: Lock, machine: Machine, knowledge: Knowledge) -> str | None:
    """The lock's least driver, in the numbers of this machine: a lock for Linux may have been made inside WSL, where
    the numbers of Windows drivers count, and the other way round."""
    variant, least = lock.decision.variant, lock.decision.least_driver
    floors = {os: knowledge.driver_floor(variant, os) for os in ("linux", "windows")}
    here = floors.get(machine.driver_os)
    return here.minimum if here and any(each and each.minimum == least for each in floors.values()) else least


def _kernels(lock: Lock, machine: Machine, knowledge: Knowledge) -> LockMismatch | None:
    decision = lock.decision
    # Decided with the whole wheel at hand; the lock keeps only a part of what was known then. PTX is asked about again,
    # because it depends on the driver.
    native = {gpu.compute_capability for gpu in decision.gpus if gpu.support == "native"}
    for gpu in machine.gpus:
        if gpu.compute_capability in native:
            continue
        answer = knowledge.serve_installed(
            gpu.compute_capability,
            machine=machine,
            sass=decision.sass,
            ptx=decision.ptx,
            cuda=knowledge.cuda_of(decision.variant),
        )
        if isinstance(answer, NoCode):
            return LockMismatch(
                what="kernels",
                sentence=f"torch {decision.torch} does not serve GPU {gpu.index} ({gpu.name}): {answer.detail}",
                locked=" ".join((*decision.sass, *decision.ptx)),
                found=str(gpu.compute_capability),
            )
    return None


def newer_release(lock: Lock, machine: Machine, knowledge: Knowledge) -> Release | None:
    """The newest release of torch in the tables that is newer than the locked one and runs on ``machine``.

    ``None`` for nightlies, which have newer ones every day, and for a lock with a cutoff, which asked for no newer one.
    No network is asked, so an index may have a newer one still, or not all that goes with it.
    """
    target, decision = lock.inputs.target, lock.decision
    if decision.channel != "stable" or lock.inputs.cutoff is not None:
        return None
    platform = knowledge.platform_of(target.os, target.arch)
    python = f"cp{target.python.replace('.', '')}"
    for version, release in reversed(knowledge.releases.items()):
        if Version(version) <= Version(decision.torch.partition("+")[0]):
            return None
        if python not in dict(release.pythons).get(platform, ()):
            continue
        if decision.accelerator == "cpu":
            return release
        builds = [row for (torch, _, where), row in knowledge.kernels.items() if (torch, where) == (version, platform)]
        if not all(why_not(row, machine, knowledge) for row in builds):
            return release
    return None
