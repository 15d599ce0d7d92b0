"""Groups hosts into classes: those of one class run the same lock, and their figures may be compared."""

from __future__ import annotations

import re
from collections.abc import Mapping

from gpuenv.dataclass import dataclass
from gpuenv.model.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetClass:
    """Hosts with one system, CPU, C library, driver and set of compute capabilities.

    ``machine`` is that of the first member by name: the others differ in nothing that a decision asks for.
    """

    name: str
    machine: Machine
    members: tuple[str, ...]


def class_name(machine: Machine) -> str:
    """Name a host's class in letters, digits and ``-``, as the name of a lock may be (PEP 751).

    >>> class_name(Machine(os="linux", arch="x86_64", libc="glibc 2.39", wsl=False, container=False, driver=None,
    ...                    gpus=()))
    'linux-x86-64-glibc-2-39-no-driver-cpu'
    """
    capabilities = sorted({gpu.compute_capability for gpu in machine.gpus})
    code = "-".join(f"sm{each.major}{each.minor}" for each in capabilities) or "cpu"
    driver = f"driver-{machine.driver.version}" if machine.driver is not None else "no-driver"
    system = "wsl" if machine.wsl else machine.os
    words = (system, machine.arch, machine.libc or "no-libc", driver, code)
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower())


def classes(machines: Mapping[str, Machine]) -> tuple[FleetClass, ...]:
    """Group machines by class, sorted by its name; ``machines`` are by host."""
    groups: dict[str, list[str]] = {}
    for host in sorted(machines):
        groups.setdefault(class_name(machines[host]), []).append(host)
    return tuple(
        FleetClass(name=name, machine=machines[members[0]], members=tuple(members))
        for name, members in sorted(groups.items())
    )
