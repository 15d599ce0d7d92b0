"""What becomes of a pinned package on a machine, and what it is held against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from gpuenv.dataclass import dataclass
from gpuenv.knowledge import Knowledge
from gpuenv.model.decision import Question
from gpuenv.model.machine import Machine
from gpuenv.model.wheel import WheelContents
from gpuenv.project.requirements_file import FilePlace

Word = Literal[
    "native", "ptx", "fits", "cpu", "no-compile",
    "no-code", "driver", "cuda-major", "will-not-load", "no-wheel", "cpu-build", "no-gpu",
    "unknown",
]  # fmt: skip
"""``fits``: goes with torch, and runs where that does. ``cpu``: runs on the CPU of a machine without GPU.
``no-compile``: torch.compile fails, and nothing else does.
``cpu-build``: a build without CUDA would leave the GPU idle. ``no-gpu``: a CUDA build where there is none.
``no-wheel``: nothing to install for this system or Python."""

RUNS: frozenset[Word] = frozenset({"native", "ptx", "fits", "cpu", "no-compile"})
FAILS: frozenset[Word] = frozenset(
    {"no-code", "driver", "cuda-major", "will-not-load", "no-wheel", "cpu-build", "no-gpu"}
)
_LEAST_FIRST: tuple[Word, ...] = ("no-code", "unknown", "ptx", "native")


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageVerdict:
    """What becomes of one package on one machine. ``facts`` are what it follows from, each with its source."""

    word: Word
    detail: str
    by: str = ""
    """The code that serves: ``sm_120``, ``compute_90``; of several GPUs that of the one served least."""
    facts: tuple[str, ...] = ()
    question: Question | None = None
    """What would tell, for ``unknown``: a wheel that can be read."""
    tells: str = ""
    """What would tell, in words, where no wheel can be read."""


def least(verdicts: Iterable[PackageVerdict]) -> PackageVerdict:
    """The verdict of the GPU that is served least; the first of equals."""
    return min(verdicts, key=lambda each: _LEAST_FIRST.index(each.word))


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One package and what became of it: ``build`` is how it is built (``cu128``, ``cpu``), empty where that is not
    known."""

    name: str
    version: str
    build: str
    verdict: PackageVerdict
    place: FilePlace
    members: tuple[str, ...] = ()
    """Of a row that stands for several: their names with versions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a set of pins is held against: the machine, the interpreter, what was read of wheels."""

    machine: Machine
    python: str
    knowledge: Knowledge
    facts: Mapping[str, WheelContents]
    usual_index: str = ""
    """The index that everything else comes from: a plain version of torch there is PyPI's build."""

    @property
    def platform(self) -> str:
        """The tables' name of the machine's platform; a made-up one where torch is not built for it."""
        try:
            return self.knowledge.platform_of(self.machine.os, self.machine.arch)
        except ValueError:
            return f"{self.machine.os}_{self.machine.arch}"
