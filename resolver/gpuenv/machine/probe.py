"""Ask the driver's libraries, one fact per line. Runs alone, in a child: they may abort or hang.

    python -I -S probe.py nvml FILE_OF_PYNVML       what NVML knows
    python -I -S probe.py cuda                      whether CUDA starts

Imports nothing of gpuenv. Every line of output is a JSON array, written before the next call begins, so that a crash
loses only the fact that was being asked for:

    ["call", FUNCTION, GPU]                what is being called now; GPU is null for the machine
    ["fact", NAME, GPU, VALUE]
    ["fail", NAME, GPU, FUNCTION, CODE, TEXT]
    ["end"]

What NVML answers says nothing of CUDA: a driver that lists every GPU may refuse to compute on each (cuda.h: 802, 803,
804, 999). The GPUs that CUDA_VISIBLE_DEVICES hides stay untouched. CUDA's facts:

    ["fact", "init", null, CODE]           what cuInit returned
    ["fact", "start", UUID, CODE]          what making a context on that GPU returned
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any  # the binding is untyped

TRANSIENT = frozenset({10, 11, 19, 20, 23, 27, 29})
"""Time-out, interrupt, in use, memory, resources, not ready, invalid state (nvml.h): worth one more try."""
FUNCTION_NOT_FOUND = 13
LIBRARY_NOT_FOUND = 12
VIRTUAL_GPU = 2
"""NVML_GPU_VIRTUALIZATION_MODE_VGPU: this system is a guest with a part of a GPU."""
RETRY_SECONDS = 0.1

Emit = Callable[..., None]


def open_channel() -> Emit:
    """Keep the real standard output for facts; whatever the library prints goes to standard error."""
    channel = os.dup(1)
    os.dup2(2, 1)

    def emit(*items: object) -> None:
        os.write(channel, (json.dumps(items, default=plain) + "\n").encode())

    return emit


def windows_places(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Where the binding looks for the library on Windows, in its order."""
    system, programs = environ.get("WINDIR", "C:\\Windows"), environ.get("PROGRAMFILES", "C:\\Program Files")
    return f"{system}\\System32\\nvml.dll", f"{programs}\\NVIDIA Corporation\\NVSMI\\nvml.dll"


class Prober:
    """The calls, each noted before it is made and answered by a value or a reason."""

    def __init__(self, nvml: Any, emit: Emit) -> None:
        self.nvml = nvml
        self.emit = emit

    def call(self, name: str, gpu: int | None, function: str, *arguments: Any, tell: bool = True) -> Any:
        """Call ``function``; report its value as the fact ``name`` unless ``tell`` is false. ``None`` on failure."""
        for attempt in (1, 2):
            self.emit("call", function, gpu)
            try:
                value = getattr(self.nvml, function)(*arguments)
            except self.nvml.NVMLError as error:
                code = int(error.value)
                if attempt == 1 and code in TRANSIENT:
                    time.sleep(RETRY_SECONDS)
                    continue
                self.emit("fail", name, gpu, function, code, str(error))
                return None
            except Exception as error:  # an answer the binding cannot read must not end the other facts
                self.emit("fail", name, gpu, function, None, f"{type(error).__name__}: {error}")
                return None
            if tell:
                self.emit("fact", name, gpu, value)
            return value
        return None

    def initialise(self) -> bool:
        """Start NVML; drivers older than ``nvmlInitWithFlags`` know ``nvmlInit_v2``."""
        self.emit("call", "nvmlInit", None)
        code, text = 0, ""
        for attempt in (1, 2):
            try:
                self.nvml.nvmlInit()
                code = 0
            except self.nvml.NVMLError as error:
                code, text = int(error.value), str(error)
            if code == FUNCTION_NOT_FOUND and self.nvml.nvmlLib is not None:
                older = getattr(self.nvml.nvmlLib, "nvmlInit_v2", None)
                code = int(older()) if older is not None else code
            if code not in TRANSIENT or attempt == 2:
                break
            time.sleep(RETRY_SECONDS)
        self.locate("library", "libnvidia-ml.so")
        if code:
            self.emit("fail", "init", None, "nvmlInit", code, text)
            if code == LIBRARY_NOT_FOUND:
                self.explain_loading()
        return code == 0

    def explain_loading(self) -> None:
        """Say why the loader refused the library; the binding keeps that to itself."""
        import ctypes

        places = windows_places(os.environ) if sys.platform == "win32" else ("libnvidia-ml.so.1",)
        there = [place for place in places if sys.platform != "win32" or os.path.isfile(place)]  # noqa: PTH113 (no pathlib in the child)
        if not there:
            self.emit("fact", "loader", None, f"there is neither {' nor '.join(places)}")
        for place in there:
            try:
                ctypes.CDLL(place)
            except OSError as error:
                shown = f"{place}: {error}" if sys.platform == "win32" else str(error)
                self.emit("fact", "loader", None, shown)
                return

    def locate(self, name: str, stem: str) -> None:
        """Report which file of that name the loader took, with links resolved."""
        if path := mapped(stem):
            self.emit("fact", name, None, path)

    def machine(self) -> None:
        self.call("driver", None, "nvmlSystemGetDriverVersion")
        cuda = self.call("cuda", None, "nvmlSystemGetCudaDriverVersion_v2")
        if cuda is None:
            self.call("cuda-known", None, "nvmlSystemGetCudaDriverVersion")
        if not sys.platform.startswith("win"):
            self.compute_library()

    def compute_library(self) -> None:
        """Report which libcuda CUDA programs get: one of the driver, or a compatibility package's."""
        if not mapped("libcuda.so"):
            import ctypes

            self.emit("call", "dlopen libcuda.so.1", None)
            try:
                ctypes.CDLL("libcuda.so.1")
            except OSError:
                return
        self.locate("libcuda", "libcuda.so")

    def gpu(self, index: int) -> Any:
        """Ask what is required of one GPU; return its handle."""
        handle = self.call("handle", index, "nvmlDeviceGetHandleByIndex", index, tell=False)
        if handle is None:
            return None
        self.call("uuid", index, "nvmlDeviceGetUUID", handle)
        self.call("name", index, "nvmlDeviceGetName", handle)
        self.call("capability", index, "nvmlDeviceGetCudaComputeCapability", handle)
        return handle

    def details(self, index: int, handle: Any) -> None:
        """Ask what one GPU need not answer; after the required facts of all, so that a crash here costs none."""
        pci = self.call("bus", index, "nvmlDeviceGetPciInfo", handle, tell=False)
        if pci is not None:
            self.emit("fact", "bus", index, plain(pci.busId))
        memory = self.call("memory", index, "nvmlDeviceGetMemoryInfo", handle, tell=False)
        if memory is not None:
            self.emit("fact", "memory", index, int(memory.total))
        mode = self.call("mig", index, "nvmlDeviceGetMigMode", handle)
        if mode and mode[0]:
            self.slices(index, handle)
        self.fabric(index, handle)
        self.call("mode", index, "nvmlDeviceGetComputeMode", handle)
        if self.call("virtualization", index, "nvmlDeviceGetVirtualizationMode", handle) == VIRTUAL_GPU:
            self.licence(index, handle)

    def licence(self, index: int, handle: Any) -> None:
        """Report whether a virtual GPU has the licence without which it is slowed down and refuses CUDA."""
        found = self.call("licence", index, "nvmlDeviceGetGridLicensableFeatures", handle, tell=False)
        if found is not None and found.isGridLicenseSupported:
            features = list(found.gridLicensableFeatures)[: found.licensableFeaturesCount]
            self.emit("fact", "licensed", index, any(bool(feature.featureState) for feature in features))

    def fabric(self, index: int, handle: Any) -> None:
        """Report whether an NVSwitch machine has joined the GPU to its fabric; CUDA answers 802 until then."""
        if not hasattr(self.nvml, "c_nvmlGpuFabricInfo_v2_t"):
            return
        info = self.nvml.c_nvmlGpuFabricInfo_v2_t()
        done = self.call("fabric", index, "nvmlDeviceGetGpuFabricInfoV", handle, self.nvml.byref(info), tell=False)
        if done is not None:
            self.emit("fact", "fabric", index, int(info.state) & 0xFF)  # one byte in nvml.h, four in the binding

    def slices(self, index: int, handle: Any) -> None:
        """Count the MIG devices of a GPU in MIG mode; with none, CUDA finds nothing on it."""
        count = self.call("slices", index, "nvmlDeviceGetMaxMigDeviceCount", handle, tell=False)
        if count is None:
            return
        found = 0
        self.emit("call", "nvmlDeviceGetMigDeviceHandleByIndex", index)
        for position in range(count):
            try:
                self.nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, position)
            except self.nvml.NVMLError:
                continue
            found += 1
        self.emit("fact", "slices", index, found)


def plain(text: Any) -> str:
    """Text of the binding, which older releases give as bytes."""
    return text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)


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


def load(file: str) -> Any:
    """Import the binding from its file, whatever else of that name stands beside it."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("pynvml", file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is no module")
    sys.path.append(os.path.dirname(file))  # noqa: PTH120 (pathlib costs 4 ms)
    module = sys.modules["pynvml"] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ask_nvml(emit: Emit, file: str) -> None:
    """Ask NVML everything, with the pynvml in ``file``; a binding that cannot be imported is a fact too."""
    try:
        pynvml = load(file)
    except Exception as error:  # a broken installation of the binding is a fact too
        emit("fail", "binding", None, "import pynvml", None, f"{type(error).__name__}: {error}")
        return
    prober = Prober(pynvml, emit)
    if prober.initialise():
        prober.machine()
        count = prober.call("count", None, "nvmlDeviceGetCount")
        handles = [(index, prober.gpu(index)) for index in range(count or 0)]
        for index, handle in handles:
            if handle is not None:
                prober.details(index, handle)


def ask_cuda(emit: Emit) -> None:
    """Start CUDA, then make a context on each GPU: the first thing a program does that needs the GPU itself."""
    import ctypes

    try:
        cuda = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
        init = cuda.cuInit
    except (OSError, AttributeError) as error:
        emit("fail", "library", None, "dlopen", None, str(error))
        return
    if path := mapped("libcuda.so"):
        emit("fact", "library", None, path)
    code = int(init(0))
    emit("fact", "init", None, code)
    count, device, context = ctypes.c_int(), ctypes.c_int(), ctypes.c_void_p()
    uuid = (ctypes.c_ubyte * 16)()
    if code or cuda.cuDeviceGetCount(ctypes.byref(count)):
        return
    for index in range(count.value):
        if cuda.cuDeviceGet(ctypes.byref(device), index) or cuda.cuDeviceGetUuid(ctypes.byref(uuid), device):
            continue
        digits = bytes(uuid).hex()
        name = "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
        code = int(cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device))
        emit("fact", "start", f"GPU-{name}", code)
        if code == 0:
            cuda.cuDevicePrimaryCtxRelease(device)


def main(what: str, file: str = "") -> None:
    """Ask one of the libraries and say that this is all."""
    emit = open_channel()
    if what == "nvml":
        ask_nvml(emit, file)
    else:
        ask_cuda(emit)
    emit("end")
    os._exit(
        0
    )  # neither library is shut down or unloaded: both can hang on a sick GPU, and the process ends here anyway


if __name__ == "__main__":
    main(*sys.argv[1:])
