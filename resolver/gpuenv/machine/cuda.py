"""Ask CUDA itself whether it starts, in a child with a time limit; only a diagnosis does: it takes a context."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from gpuenv.machine.nvml import PROBE, lines_of
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
            return fold(stdout, otherwise=CudaAnswer(ending="crashed", reason=f"ended with status {status}"))


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
