"""What only a diagnosis looks at, because it takes time or matters to nobody else.

CUDA itself is asked whether it starts, in a child with a time limit: that takes a context.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.machine.detection import Detection
from gpuenv.machine.nvml import PROBE, lines_of
from gpuenv.machine.origin import CdiSpec, Origin, cdi_specs, origin_of
from gpuenv.system.ending import how_ended
from gpuenv.system.process import Ended, Limits, NotStarted, TimedOut, run


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaAnswer:
    """What CUDA said. ``init`` is what cuInit returned, ``None`` where it did not; ``starts`` pairs the UUID of each
    GPU that is visible here with what making a context on it returned (0: it computes). Codes are cuda.h's."""

    ending: Literal["answered", "crashed", "hung", "not-asked"]
    init: int | None = None
    starts: tuple[tuple[str, int], ...] = ()
    library: str | None = None
    reason: str = ""

    @property
    def works(self) -> bool:
        """Whether CUDA started, and on every GPU that it counts."""
        return self.init == 0 and all(code == 0 for _, code in self.starts)


def ask(environ: Mapping[str, str], *, timeout: float = 20.0) -> CudaAnswer:
    """Start CUDA as a program of this session would; never raises."""
    if not sys.executable:
        return CudaAnswer(ending="not-asked", reason="this interpreter does not know its own path")
    limits = Limits(deadline=timeout, reap=1.0)
    match run([sys.executable, "-I", "-S", str(PROBE), "cuda"], environ=environ, limits=limits):
        case NotStarted(reason=reason):
            return CudaAnswer(ending="not-asked", reason=reason)
        case TimedOut(stdout=stdout, seconds=seconds):
            return fold(stdout, otherwise=CudaAnswer(ending="hung", reason=f"no answer within {seconds:g} s"))
        case Ended(stdout=stdout, returncode=status):
            return fold(stdout, otherwise=CudaAnswer(ending="crashed", reason=how_ended(status).removeprefix("was ")))


def fold(text: str, *, otherwise: CudaAnswer) -> CudaAnswer:
    """Make one answer of the child's lines; ``otherwise`` where they do not come to their end."""
    answer, ended = otherwise, False
    for items in lines_of(text):
        match items:
            case ["fact", "init", None, int(code)]:
                answer = replace(answer, init=code)
            case ["fact", "start", str(uuid), int(code)]:
                answer = replace(answer, starts=(*answer.starts, (uuid, code)))
            case ["fact", "library", None, str(path)]:
                answer = replace(answer, library=path)
            case ["fail", "library", None, str(), None, str(why)]:
                return replace(answer, ending="not-asked", reason=why)
            case ["end"]:
                ended = True
            case _:
                pass
    ending: Literal["answered", "not-asked"] = "not-asked" if answer.init is None else "answered"
    return replace(answer, ending=ending, reason="") if ended else answer


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
    answer = ask(environ, timeout=timeout) if machine.gpus and evidence is not None else None
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
