"""Builds the stand-in for libnvidia-ml and libcuda, and describes the machine they pretend to be.

    environ = FakeMachine(gpus=(FakeGpu(),)).environ(folder)      # environment for a child that loads NVML

The libraries are compiled once a test session for each set of left-out symbols, with the system's C compiler.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("fake_nvml.c")
CUDA_SOURCE = Path(__file__).with_name("fake_cuda.c")


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeGpu:
    """One GPU. ``mig``: -1 a card without it, 0 off, 1 on. ``fabric``: nvmlGpuFabricState_t, 0 not supported.
    ``mode``: nvmlComputeMode_t. ``virtual``: nvmlGpuVirtualizationMode_t, 2 a guest's part of a GPU, which needs to be
    ``licensed``. ``start`` is what making a CUDA context on it returns."""

    name: str = "NVIDIA GeForce RTX 5090"
    capability: tuple[int, int] = (12, 0)
    memory_bytes: int = 34190917632
    uuid: str = "GPU-aaaaaaaa-0000-4000-8000-000000000000"
    bus: str = "00000000:01:00.0"
    mig: int = -1
    slices: int = 0
    fabric: int = 0
    mode: int = 0
    virtual: int = 0
    licensed: bool = False
    start: int = 0


H200 = FakeGpu(
    name="NVIDIA H200",
    capability=(9, 0),
    memory_bytes=150754820096,
    uuid="GPU-bbbbbbbb-0000-4000-8000-000000000001",
    bus="00000000:02:00.0",
    mig=0,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FakeMachine:
    """What the stand-in says. ``faults`` maps ``function`` or ``function:gpu`` to a code, ``hang``, ``abort``, ``segv``
    or ``once11`` (that code on the first call only). ``libcuda`` is the version in that file's name, ``None`` for a
    machine without one."""

    gpus: tuple[FakeGpu, ...] = (FakeGpu(),)
    driver: str = "570.86.10"
    cuda: int = 12080
    cuda_known: int | None = None
    faults: Mapping[str, str | int] = field(default_factory=dict)
    without: frozenset[str] = frozenset()
    """Functions the library lacks, as an older or stub library would."""
    library_version: str | None = None
    """Version in the library's file name; the driver's, when ``None``."""
    libcuda: str | None = None
    init: int | str = 0
    """What cuInit returns, or ``hang`` or ``abort``."""
    noise: str = ""

    def environ(self, folder: Path, **more: str) -> dict[str, str]:
        """Lay the libraries into ``folder`` and return the environment in which a child finds them."""
        folder.mkdir(parents=True, exist_ok=True)
        _lay(folder, "libnvidia-ml", self.library_version or self.driver, library(self.without))
        if self.libcuda is not None:
            _lay(folder, "libcuda", self.libcuda, cuda_library())
        return {"PATH": str(folder), "LD_LIBRARY_PATH": str(folder), **self.told(), **more}

    def told(self) -> dict[str, str]:
        """The variables that tell the libraries what to say."""
        rows = "\n".join(
            f"{gpu.name}|{gpu.capability[0]}|{gpu.capability[1]}|{gpu.memory_bytes}|{gpu.uuid}|{gpu.bus}"
            f"|{gpu.mig}|{gpu.slices}|{gpu.fabric}|{gpu.mode}|{gpu.virtual}|{int(gpu.licensed)}"
            for gpu in self.gpus
        )
        environ = {
            "FAKE_NVML_GPUS": rows,
            "FAKE_NVML_DRIVER": self.driver,
            "FAKE_NVML_CUDA": str(self.cuda),
            "FAKE_CUDA_INIT": str(self.init),
            "FAKE_CUDA_GPUS": ",".join(
                f"{gpu.uuid.removeprefix('GPU-').replace('-', '')}={gpu.start}" for gpu in self.gpus
            ),
            "FAKE_NVML_FAULTS": ",".join(f"{function}={code}" for function, code in self.faults.items()),
        }
        if self.cuda_known is not None:
            environ["FAKE_NVML_CUDA_KNOWN"] = str(self.cuda_known)
        if self.noise:
            environ["FAKE_NVML_NOISE"] = self.noise
        return environ


def _lay(folder: Path, stem: str, version: str, built: Path) -> None:
    """As a driver package does: the file carries the version, the name the loader asks for is a link to it."""
    real = folder / f"{stem}.so.{version}"
    if not real.exists():
        shutil.copyfile(built, real)
    link = folder / f"{stem}.so.1"
    if not link.exists():
        link.symlink_to(real.name)


@cache
def _workshop() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="fake-nvml-")


@cache
def library(without: frozenset[str] = frozenset()) -> Path:
    """Compile the stand-in, hiding the functions named in ``without``."""
    folder = Path(_workshop().name)
    name = "libnvidia-ml" + "".join(f"-{function}" for function in sorted(without))
    script = folder / f"{name}.map"
    hidden = "".join(f" {function};" for function in sorted(without))
    script.write_text("{ global: *;" + (f" local:{hidden}" if hidden else "") + " };\n")
    target = folder / f"{name}.so"
    _compile(SOURCE, target, soname="libnvidia-ml.so.1", options=(f"-Wl,--version-script={script}",))
    return target


@cache
def cuda_library() -> Path:
    """Compile a libcuda that starts, or does not, and makes contexts."""
    target = Path(_workshop().name) / "libcuda.so"
    _compile(CUDA_SOURCE, target, soname="libcuda.so.1")
    return target


def _compile(source: Path, target: Path, *, soname: str, options: tuple[str, ...] = ()) -> None:
    command = ["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-format-truncation", "-shared", "-fPIC"]
    command += [f"-Wl,-soname,{soname}", *options, "-o", str(target), str(source)]
    subprocess.run(command, check=True)
