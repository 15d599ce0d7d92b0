"""The machine a lock is for, as markers see it (PEP 508), whatever machine this is."""

from __future__ import annotations

from gpuenv.lock.model import MachineTarget

_SYSTEMS = {
    "linux": ("posix", "linux", "Linux"),
    "windows": ("nt", "win32", "Windows"),
    "macos": ("posix", "darwin", "Darwin"),
}
_MACHINES = {("windows", "x86_64"): "AMD64", ("windows", "aarch64"): "ARM64", ("windows", "arm64"): "ARM64"}
_MACHINES |= {("macos", "aarch64"): "arm64", ("linux", "arm64"): "aarch64"}


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
