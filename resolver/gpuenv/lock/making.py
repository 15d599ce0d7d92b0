"""From a decision to what a lock records of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import PurePath

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from gpuenv.errors import MachineError
from gpuenv.lock.model import HashOrigin, LockedDecision, LockedPackage, MachineTarget
from gpuenv.model.decision import Decision
from gpuenv.model.machine import Libc, Machine
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import SourceKind, Wheel
from gpuenv.net.location import host_of, path_of, public
from gpuenv.select.target import libc_of_tag

COMMON_LIBC = Libc("glibc", 2, 28)
"""glibc of manylinux_2_28, which PyTorch builds for. A lock asks for no newer one than that and its family need, so
that machines of one class share a lock whatever their distribution."""


def profile_digest(profile: Profile) -> str:
    """sha256 of what a profile asks for; where it stands, its words and its verification do not count."""
    meaning = {
        "accelerator": profile.accelerator,
        "channel": profile.channel,
        "compute_capabilities": sorted(str(capability) for capability in profile.compute_capabilities),
        "least_driver": profile.least_driver,
        "optional_packages": sorted(profile.optional_packages),
        "packages": sorted(profile.packages),
        "python": profile.python,
        "variant": profile.variant,
    }
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()


def target_of(machine: Machine, *, python: str, filenames: Iterable[str] = ()) -> MachineTarget:
    """The machine as a lock's target. ``filenames`` are the family's wheels: their tags may need a newer libc.

    Raises :class:`~gpuenv.errors.MachineError` for a Linux machine whose libc no wheel of the kind exists for.
    """
    libc = None
    if machine.os == "linux":
        found = Libc.parse(machine.libc)
        if found is None or found.family != "glibc":
            raise MachineError(
                f"a lock needs glibc, and this machine has {machine.libc or 'none that was recognized'}",
                hints=("Use a glibc based system or container, such as Debian, Ubuntu, Fedora or Rocky",),
            )
        libc = str(min(found, max([COMMON_LIBC, *map(libc_floor, filenames)])))
    return MachineTarget(
        os=machine.os,
        arch="aarch64" if machine.os == "linux" and machine.arch == "arm64" else machine.arch,
        libc=libc,
        python=python,
        compute_capabilities=tuple(gpu.compute_capability for gpu in machine.gpus),
        driver=None if machine.driver is None else machine.driver.version,
    )


def reach_of(target: MachineTarget, machine: Machine) -> MachineTarget:
    """The target with the machine's own libc: packages beside torch may need a newer one than PyTorch builds for."""
    found = Libc.parse(machine.libc)
    wide = target.os == "linux" and found is not None and found.family == "glibc"
    return replace(target, libc=str(found)) if wide else target


def raised(target: MachineTarget, packages: Iterable[LockedPackage]) -> MachineTarget:
    """The target with the least libc that serves every package."""
    have = Libc.parse(target.libc)
    if have is None:
        return target
    return replace(target, libc=str(max([have, *(libc_floor(package.filename) for package in packages)])))


def libc_floor(filename: str) -> Libc:
    """The least glibc a wheel's tags ask for, one without a version where they ask for none (PEP 600).

    >>> str(libc_floor("torch-2.10.0+cu128-cp312-cp312-manylinux_2_28_x86_64.whl"))
    'glibc 2.28'
    """
    try:
        floors = [libc_of_tag(tag.platform) for tag in parse_wheel_filename(filename)[3]]
    except InvalidWheelFilename:
        floors = []
    return min((each for each in floors if each.family == "glibc"), default=Libc("glibc"))


def hosts_of(packages: Sequence[LockedPackage], *, family: bool) -> tuple[str, ...]:
    """The hosts that the family's packages lie on, or the others."""
    return tuple(sorted({host_name(package) for package in packages if package.family == family}))


def host_name(package: LockedPackage) -> str:
    """The host a package's file lies on, ``file`` for one of a folder."""
    return host_of(package.url) if package.url is not None else "file"


def decision_of(decision: Decision, profile: Profile, *, single_source: bool = False) -> LockedDecision:
    """What a lock keeps of a decision: the choice and its reasons, not what was turned down."""
    torch = next(wheel for wheel in decision.packages if wheel.project == "torch")
    kernels = decision.kernels
    return LockedDecision(
        accelerator=decision.accelerator,
        wish=profile.accelerator,
        torch=torch.version,
        variant=decision.variant,
        channel=decision.channel,
        source=decision.source,
        family=tuple(sorted(f"{wheel.project}=={wheel.version}" for wheel in decision.packages)),
        single_source=single_source,
        sass=() if kernels is None else kernels.sass,
        ptx=() if kernels is None else kernels.ptx,
        kernels_from="" if kernels is None else ": ".join(part for part in (kernels.origin, kernels.detail) if part),
        least_driver=None if decision.driver is None else decision.driver.required,
        gpus=decision.gpus,
        because=decision.because,
        warnings=decision.warnings,
        companions=tuple(each.words for each in decision.companions),
    )


def package_of(
    wheel: Wheel,
    *,
    sha256: str,
    hash_origin: HashOrigin,
    size: int | None,
    requires: Sequence[str] = (),
    family: bool = True,
    git: str | None = None,
) -> LockedPackage:
    """A row of an index, with its hash known, as a locked package."""
    path = local_path(wheel.url)
    return LockedPackage(
        name=wheel.project,
        version=wheel.version,
        filename=wheel.filename,
        url=public(wheel.url) if path is None else None,
        path=path,
        sha256=sha256,
        size=size,
        upload_time=wheel.upload_time,
        hash_origin=hash_origin,
        source=wheel.source,
        family=family,
        requires=tuple(requires),
        git=git,
    )


def local_path(url: str) -> str | None:
    """The path a ``file:`` URL or a plain path names, with ``/``; ``None`` for anything on a network.

    >>> local_path("file:///srv/wheels/torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl")
    '/srv/wheels/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl'
    """
    if "://" not in url:
        return url.replace("\\", "/")
    path = path_of(url)
    return None if path is None else PurePath(path).as_posix()


def is_known_file(package: LockedPackage, *, source: SourceKind) -> bool:
    """Whether a package beside a torch from ``source`` is an extension of torch's in a wheel of the package index that
    the tables know by its hash: whoever owns the name there, these are the bytes whose libraries were read."""
    if not package.family or package.source != "package-index" or source == "package-index":
        return False
    from gpuenv import knowledge
    from gpuenv.knowledge.companion_facts import facts_by_hash

    return knowledge.load().role(package.name) == "extension" and facts_by_hash(package.sha256) is not None
