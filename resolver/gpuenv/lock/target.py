"""The machine a lock is for, as markers and tags see it (PEP 508, PEP 425), whatever machine this is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from packaging.tags import Tag, compatible_tags, cpython_tags, mac_platforms
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from gpuenv.lock.model import MachineTarget
from gpuenv.model.machine import Libc

_SYSTEMS = {
    "linux": ("posix", "linux", "Linux"),
    "windows": ("nt", "win32", "Windows"),
    "macos": ("posix", "darwin", "Darwin"),
}
_MACHINES = {("windows", "x86_64"): "AMD64", ("windows", "aarch64"): "ARM64", ("windows", "arm64"): "ARM64"}
_MACHINES |= {("macos", "aarch64"): "arm64", ("linux", "arm64"): "aarch64"}
_MACOS = (14, 0)
"""The macOS a lock is made for: the one PyTorch's wheels for Apple silicon ask for."""


def platform_machine(target: MachineTarget) -> str:
    """What Python calls the CPU there."""
    return _MACHINES.get((target.os, target.arch), target.arch)


def marker_environment(target: MachineTarget) -> dict[str, str]:
    """Values of a marker's variables on the target; the patch release is taken as 0, as uv does."""
    os_name, sys_platform, system = _SYSTEMS[target.os]
    full = target.python if target.python.count(".") > 1 else f"{target.python}.0"
    return {
        "implementation_name": "cpython",
        "implementation_version": full,
        "os_name": os_name,
        "platform_machine": platform_machine(target),
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": system,
        "platform_version": "",
        "python_full_version": full,
        "python_version": ".".join(full.split(".")[:2]),
        "sys_platform": sys_platform,
    }


def environment_marker(target: MachineTarget) -> str:
    """The machines a lock may be installed on, as far as a marker can say it (PEP 751, ``environments``)."""
    values = marker_environment(target)
    names = ("sys_platform", "platform_machine", "implementation_name")
    return " and ".join(f"{name} == '{values[name]}'" for name in names)


def fits(filename: str, target: MachineTarget) -> bool:
    """Whether an installer may take a wheel on the target."""
    try:
        tags = parse_wheel_filename(filename)[3]
    except InvalidWheelFilename:
        return False
    return not tags.isdisjoint(_tag_set(target))


@lru_cache(maxsize=8)
def _tag_set(target: MachineTarget) -> frozenset[Tag]:
    return frozenset(target_tags(target))


def best_wheel(filenames: Sequence[str], target: MachineTarget) -> str:
    """The one of several wheels of a package that an installer would take on the target.

    More specific tags before general ones, a newer manylinux before an older (PEP 425, "Use"), a higher build number
    before a lower; a file no tag of the target fits comes last. Ends in the name: the answer is always the same.
    """
    ranks = {tag: rank for rank, tag in enumerate(target_tags(target))}

    def order(filename: str) -> tuple[int, tuple[int, ...], str]:
        try:
            _, _, build, tags = parse_wheel_filename(filename)
        except InvalidWheelFilename:
            return len(ranks), (), filename
        rank = min((ranks[tag] for tag in tags if tag in ranks), default=len(ranks))
        return rank, (-build[0],) if build else (0,), filename

    return min(filenames, key=order)


def target_tags(target: MachineTarget) -> tuple[Tag, ...]:
    """Tags a wheel may have on the target, best first."""
    major, minor = (int(part.removesuffix("t")) for part in target.python.split(".")[:2])
    platforms = _platforms(target)
    return (
        *cpython_tags((major, minor), platforms=platforms),
        *compatible_tags((major, minor), interpreter=f"cp{major}{minor}", platforms=platforms),
    )


def _platforms(target: MachineTarget) -> list[str]:
    machine = platform_machine(target)
    match target.os:
        case "windows":
            return [f"win_{machine.lower()}"]
        case "macos":
            return list(mac_platforms(_MACOS, machine))
        case "linux":
            floor = Libc.parse(target.libc) or Libc("glibc", 2, 17)
            names = [f"manylinux_{floor.major}_{number}_{machine}" for number in range(floor.minor, 4, -1)]
            legacy = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
            for number, alias in legacy.items():
                modern = f"manylinux_2_{number}_{machine}"
                if modern in names:
                    names.insert(names.index(modern) + 1, f"{alias}_{machine}")
            return [*names, f"linux_{machine}"]
