"""The driver library by itself, without torch: does it load, start, see the GPUs, and does its PTX compiler run."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

from .channel import Channel

PTX = """.version {version}
.target {target}
.address_size 64
.visible .entry gpuenv_control(.param .u64 out)
{{
    ret;
}}
"""
PTX_TARGETS = (("6.0", "sm_50"), ("6.3", "sm_70"), ("7.0", "sm_80"), ("7.8", "sm_90"), ("8.7", "sm_120"))
"""PTX runs on every later card, but a driver drops old targets one day: the first that loads is the control."""


LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def visible() -> list[str]:
    """Return the UUIDs of the devices that CUDA shows this process, in its order; none where it does not start."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return []
    count, handle = ctypes.c_int(0), ctypes.c_int(0)
    if library.cuInit(0) != 0 or library.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    found = []
    for number in range(count.value):
        library.cuDeviceGet(ctypes.byref(handle), number)
        found.append(_uuid(library, handle))
    return found


def run(settings: dict[str, Any], channel: Channel) -> None:
    """Load libcuda, start it, list its devices by UUID; with ``ptx`` set, hand it a module that holds PTX only."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError as error:
        channel.emit("driver", loaded=False, message=str(error), path="", status=-1, devices=[])
        return
    status = int(library.cuInit(0))
    version = ctypes.c_int(0)
    library.cuDriverGetVersion(ctypes.byref(version))
    devices = _devices(library) if status == 0 else []
    channel.emit(
        "driver",
        loaded=True,
        message=_words(library, status),
        path=mapped("libcuda.so"),
        status=status,
        cuda=f"{version.value // 1000}.{version.value % 1000 // 10}",
        devices=devices,
    )
    if settings.get("ptx") and devices:
        for number in range(len(devices)):
            channel.emit("ptx", device=devices[number]["uuid"], attempts=_load_ptx(library, number))


def _devices(library: ctypes.CDLL) -> list[dict[str, object]]:
    count = ctypes.c_int(0)
    library.cuDeviceGetCount(ctypes.byref(count))
    found: list[dict[str, object]] = []
    for number in range(count.value):
        handle = ctypes.c_int(0)
        library.cuDeviceGet(ctypes.byref(handle), number)
        name = ctypes.create_string_buffer(256)
        library.cuDeviceGetName(name, 256, handle)
        found.append(
            {
                "index": number,
                "uuid": _uuid(library, handle),
                "name": name.value.decode(errors="replace"),
                "memory_clock_khz": _attribute(library, handle, 36),
                "memory_bus_bits": _attribute(library, handle, 37),
                "multiprocessors": _attribute(library, handle, 16),
                "clock_khz": _attribute(library, handle, 13),
            }
        )
    return found


def _uuid(library: ctypes.CDLL, handle: ctypes.c_int) -> str:
    raw = (ctypes.c_ubyte * 16)()
    # The second version answers with a MIG slice's own UUID; drivers before it have only the first.
    ask = getattr(library, "cuDeviceGetUuid_v2", None) or library.cuDeviceGetUuid
    ask(ctypes.byref(raw), handle)
    text = bytes(raw).hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _attribute(library: ctypes.CDLL, handle: ctypes.c_int, number: int) -> int:
    value = ctypes.c_int(0)
    library.cuDeviceGetAttribute(ctypes.byref(value), number, handle)
    return value.value


def _load_ptx(library: ctypes.CDLL, number: int) -> list[dict[str, object]]:
    handle, context = ctypes.c_int(0), ctypes.c_void_p()
    library.cuDeviceGet(ctypes.byref(handle), number)
    status = int(library.cuDevicePrimaryCtxRetain(ctypes.byref(context), handle))
    if status != 0:
        return [{"target": "context", "status": status, "message": _words(library, status)}]
    library.cuCtxSetCurrent(context)
    attempts: list[dict[str, object]] = []
    for version, target in PTX_TARGETS:
        module = ctypes.c_void_p()
        text = PTX.format(version=version, target=target).encode()
        status = int(library.cuModuleLoadData(ctypes.byref(module), ctypes.c_char_p(text)))
        attempts.append({"target": target, "status": status, "message": _words(library, status)})
        if status == 0:
            library.cuModuleUnload(module)
    return attempts


def _words(library: ctypes.CDLL, status: int) -> str:
    name, text = ctypes.c_char_p(), ctypes.c_char_p()
    library.cuGetErrorName(status, ctypes.byref(name))
    library.cuGetErrorString(status, ctypes.byref(text))
    parts = [part.value.decode(errors="replace") for part in (name, text) if part.value]
    return ": ".join(parts)


def mapped(name: str) -> str:
    """Return the real path of a library as the kernel mapped it into this process; empty where it is not."""
    try:
        lines = Path("/proc/self/maps").read_text(errors="replace").splitlines()
    except OSError:
        return ""
    return next((fields[5] for line in lines if len(fields := line.split(None, 5)) == 6 and name in fields[5]), "")
