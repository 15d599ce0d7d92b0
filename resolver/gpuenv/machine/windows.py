"""What Windows itself says about the machine: processor, and display adapters with their driver in the registry."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from typing import Any

DISPLAY_ADAPTERS = "{4d36e968-e325-11ce-bfc1-08002be10318}"
"""Device setup class of display adapters (Windows Driver Kit)."""

Adapter = tuple[str, str]
"""A PCI device of the registry: its hardware key (``VEN_10DE&DEV_2B85&…``) and its setup class."""


DRIVERS = "SYSTEM\\CurrentControlSet\\Control\\Class\\" + DISPLAY_ADAPTERS
REGISTRY = "the registry"
"""Where a version that :func:`driver_version` tells was read."""


def processor(environ: Mapping[str, str]) -> str:
    """The processor's own architecture, also from inside a 32-bit or emulated process."""
    return environ.get("PROCESSOR_ARCHITEW6432") or environ.get("PROCESSOR_ARCHITECTURE") or ""


def adapters(read: Callable[[], Iterable[Adapter]] | None = None) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Hardware keys of display adapters that Windows knows, NVIDIA's and those of AMD and Intel, each sorted.

    A removed card may still be among them.
    """
    keys = sorted(key for key, kind in (read or _registry)() if kind.lower() == DISPLAY_ADAPTERS)
    return _of(keys, "VEN_10DE&"), _of(keys, "VEN_1002&", "VEN_8086&")


def driver_version(read: Callable[[], Iterable[tuple[str, str]]] | None = None) -> str | None:
    """NVIDIA's version of the driver that Windows has for an NVIDIA display adapter; the highest of several.

    ``read`` yields the matching device and Windows' own version of each driver of the class.
    """
    found = [version for device, text in (read or _drivers)() if (version := _version(device, text)) is not None]
    return max(found, key=lambda version: [int(part) for part in version.split(".")], default=None)


def _version(device: str, text: str) -> str | None:
    """The last five digits of Windows' version are NVIDIA's: ``32.0.15.7688`` is 576.88 (NVIDIA's driver pages).

    >>> _version("pci\\\\ven_10de&dev_2b85", "32.0.15.7688")
    '576.88'
    """
    parts = text.split(".")
    if "VEN_10DE" not in device.upper() or len(parts) != 4 or not all(part.isdecimal() for part in parts):
        return None
    digits = (parts[2] + parts[3].rjust(4, "0"))[-5:]
    return f"{int(digits[:3])}.{digits[3:]}" if len(digits) == 5 and digits[0] != "0" else None


def _drivers() -> Iterable[tuple[str, str]]:
    if os.name != "nt":
        return
    winreg: Any = import_module("winreg")  # Any: its types exist for a checker on Windows only
    try:
        rows = winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, DRIVERS)
    except OSError:
        return
    with rows:
        for position in range(winreg.QueryInfoKey(rows)[0]):
            with suppress(OSError), winreg.OpenKey(rows, winreg.EnumKey(rows, position)) as row:
                device, version = (winreg.QueryValueEx(row, name)[0] for name in ("MatchingDeviceId", "DriverVersion"))
                yield str(device), str(version)


def _of(keys: Iterable[str], *vendors: str) -> tuple[str, ...]:
    return tuple(key for key in keys if key.upper().startswith(vendors))


def smi_folders(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Folders besides PATH where a driver puts nvidia-smi: current drivers first."""
    windows = environ.get("SYSTEMROOT") or environ.get("WINDIR") or "C:\\Windows"
    programs = environ.get("PROGRAMFILES") or "C:\\Program Files"
    return (f"{windows}\\System32", f"{programs}\\NVIDIA Corporation\\NVSMI")


def _registry() -> Iterable[Adapter]:
    if os.name != "nt":
        return
    winreg: Any = import_module("winreg")  # Any: its types exist for a checker on Windows only
    with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Enum\PCI") as bus:
        for position in range(winreg.QueryInfoKey(bus)[0]):
            hardware = winreg.EnumKey(bus, position)
            with winreg.OpenKey(bus, hardware) as devices:
                for instance in range(winreg.QueryInfoKey(devices)[0]):
                    with winreg.OpenKey(devices, winreg.EnumKey(devices, instance)) as device:
                        try:
                            yield hardware, str(winreg.QueryValueEx(device, "ClassGUID")[0])
                        except OSError:
                            continue
