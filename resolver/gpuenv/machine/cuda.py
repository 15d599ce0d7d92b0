"""Ask CUDA itself whether it starts, in a child with a time limit; only a diagnosis does: it takes a context."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

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
    script = Path(__file__).with_name("cuda_probe.py")
    if not sys.executable:
        return CudaAnswer(ending="not-asked", reason="this interpreter does not know its own path")
    limits = Limits(deadline=timeout, reap=1.0)
    result = run([sys.executable, "-I", "-S", str(script)], environ=environ, limits=limits)
    match result:
        case NotStarted(reason=reason):
            return CudaAnswer(ending="not-asked", reason=reason)
        case TimedOut(stdout=stdout, seconds=seconds):
            return fold(stdout, otherwise=CudaAnswer(ending="hung", reason=f"no answer within {seconds:g} s"))
        case Ended(stdout=stdout, returncode=status):
            return fold(stdout, otherwise=CudaAnswer(ending="crashed", reason=f"ended with status {status}"))


def fold(text: str, *, otherwise: CudaAnswer) -> CudaAnswer:
    """Make one answer of the child's lines; ``otherwise`` where they do not come to their end."""
    init: int | None = None
    library: str | None = None
    starts: list[tuple[str, int]] = []
    reason, ended = "", False
    for line in text.splitlines():
        try:
            items = json.loads(line)
        except ValueError:
            continue
        match items:
            case ["fact", "init", None, int(code)]:
                init = code
            case ["fact", "start", str(uuid), int(code)]:
                starts.append((uuid, code))
            case ["fact", "library", None, str(path)]:
                library = path
            case ["fail", "library", None, str(why)]:
                reason = why
            case ["end"]:
                ended = True
            case _:  # not ours: a library that writes on every descriptor
                pass
    ending = otherwise.ending if not ended else "not-asked" if init is None else "answered"
    return CudaAnswer(
        ending=ending,
        init=init,
        starts=tuple(starts),
        library=library,
        reason=reason if ended else otherwise.reason,
    )
