"""What only a diagnosis looks at, because it takes time or matters to nobody else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gpuenv.machine import cuda
from gpuenv.machine.cuda import CudaAnswer
from gpuenv.machine.detection import Detection
from gpuenv.machine.origin import CdiSpec, Origin, cdi_specs, origin_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """``cuda`` is ``None`` where CUDA was not asked. ``origin`` is how the libcuda in use is found, ``None`` where that
    is not known. ``mps`` is the folder of a Multi-Process Service that runs, empty where none does."""

    cuda: CudaAnswer | None = None
    origin: Origin | None = None
    mps: str = ""
    cdi: tuple[CdiSpec, ...] = ()


def check_up(
    detection: Detection, *, environ: Mapping[str, str], root: Path = Path("/"), timeout: float = 20.0
) -> Checkup:
    """Look closer at a machine that was detected; CUDA is asked only where a GPU was found."""
    evidence, machine = detection.evidence, detection.machine
    answer = cuda.ask(environ, timeout=timeout) if machine.gpus and evidence is not None else None
    library = answer.library if answer is not None and answer.library else None
    if library is None and evidence is not None:
        library = evidence.answer.libcuda
    return Checkup(
        cuda=answer,
        origin=origin_of(library, name="libcuda.so.1", environ=environ, root=root) if library else None,
        mps=_mps(environ, root),
        cdi=() if machine.container or machine.os != "linux" else cdi_specs(root),
    )


def _mps(environ: Mapping[str, str], root: Path) -> str:
    """The folder with the control pipe of a running MPS daemon (nvidia-cuda-mps-control(1))."""
    folder = environ.get("CUDA_MPS_PIPE_DIRECTORY") or "/tmp/nvidia-mps"
    place = Path(folder) if "CUDA_MPS_PIPE_DIRECTORY" in environ else root / folder.lstrip("/")
    return folder if (place / "control").exists() else ""
