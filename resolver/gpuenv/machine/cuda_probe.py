"""Ask the driver's CUDA library whether it starts, one fact a line. Runs alone, in a child: it may abort or hang.

    python -I -S cuda_probe.py

Imports nothing of gpuenv. What NVML answers says nothing of this: a driver that lists every GPU may refuse to compute
on each (cuda.h: 802, 803, 804, 999). The GPUs that CUDA_VISIBLE_DEVICES hides stay untouched.

    ["fact", "library", null, FILE]
    ["fact", "init", null, CODE]          what cuInit returned
    ["fact", "start", UUID, CODE]         what making a context on that GPU returned
    ["end"]
"""

from __future__ import annotations

import ctypes
import json
import os
import sys


def emit(channel: int, *items: object) -> None:
    os.write(channel, (json.dumps(items) + "\n").encode())


def mapped(stem: str) -> str | None:
    """The path of the mapped file whose name begins with ``stem``; ``None`` where the system does not tell."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:  # noqa: PTH123 (pathlib costs 4 ms)
            for line in maps:
                fields = line.rstrip("\n").split(maxsplit=5)
                if len(fields) == 6 and fields[5].rpartition("/")[2].startswith(stem):
                    return fields[5]
    except OSError:
        pass
    return None


def main() -> None:
    channel = os.dup(1)
    os.dup2(2, 1)  # whatever the library prints goes to standard error
    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        init = cuda.cuInit
    except (OSError, AttributeError) as error:
        emit(channel, "fail", "library", None, str(error))
        emit(channel, "end")
        return
    if path := mapped("libcuda.so"):
        emit(channel, "fact", "library", None, path)
    code = int(init(0))
    emit(channel, "fact", "init", None, code)
    if code == 0:
        gpus(cuda, channel)
    emit(channel, "end")
    os._exit(0)  # unloading the library can hang on a sick GPU


def gpus(cuda: ctypes.CDLL, channel: int) -> None:
    """Make a context on each GPU and give it back: the first thing a program does that needs the GPU itself."""
    count, device, context = ctypes.c_int(), ctypes.c_int(), ctypes.c_void_p()
    uuid = (ctypes.c_ubyte * 16)()
    if cuda.cuDeviceGetCount(ctypes.byref(count)):
        return
    for index in range(count.value):
        if cuda.cuDeviceGet(ctypes.byref(device), index) or cuda.cuDeviceGetUuid(ctypes.byref(uuid), device):
            continue
        digits = bytes(uuid).hex()
        name = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        code = int(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device))
        emit(channel, "fact", "start", f"GPU-{name}", code)
        if code == 0:
            cuda.cuDevicePrimaryCtxRelease(device)


if __name__ == "__main__":
    main()
