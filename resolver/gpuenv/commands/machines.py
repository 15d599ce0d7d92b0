"""Which machines a lock is made for: this one, one in a file, or several that share locks by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gpuenv.commands.context import Context
from gpuenv.commands.seeing import Seen, see
from gpuenv.knowledge.rules import compare_drivers
from gpuenv.lock.making import glibc_of
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile

REFERENCE = Path("lockfiles") / "machines"
"""Machines that the committed locks are made for, one file a profile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Class:
    """Machines that may share a lock: same system, CPU and compute capabilities. ``seen`` is the weakest of them:
    what runs on its driver and its C library runs on all."""

    name: str
    seen: Seen
    members: tuple[str, ...]


def with_reference(context: Context, profile: Profile) -> Context:
    """With ``--all`` a profile is locked for its reference machine, where it has one and no other was named."""
    reference = REFERENCE / f"{profile.name}.json"
    if context.wishes.machine is None and (context.project / reference).is_file():
        return replace(context, wishes=replace(context.wishes, machine=reference))
    return context


def classes(context: Context, files: Sequence[Path]) -> tuple[Class, ...]:
    """Read machine files and group them, sorted by class name."""
    groups: dict[str, list[tuple[str, Seen]]] = {}
    for path in files:
        seen = see(replace(context, wishes=replace(context.wishes, machine=path)))
        groups.setdefault(class_name(seen.machine), []).append((path.as_posix(), seen))
    found = []
    for name, rows in sorted(groups.items()):
        seen = rows[0][1]
        for _, other in rows[1:]:
            if weaker(other.machine, seen.machine):
                seen = other
        found.append(Class(name=name, seen=seen, members=tuple(sorted(path for path, _ in rows))))
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
    if one.driver is not None and other.driver is not None:
        order = compare_drivers(one.driver.version, other.driver.version)
        if order:
            return order < 0
    return (glibc_of(one.libc) or (0, 0)) < (glibc_of(other.libc) or (0, 0))
