"""What a build from source needs of this machine: seen before anything runs, and handed to the build as variables."""

from __future__ import annotations

import os
from pathlib import Path

from gpuenv import knowledge as tables
from gpuenv.dataclass import dataclass
from gpuenv.environment.source_tree import SourceTree
from gpuenv.errors import BuildToolError
from gpuenv.knowledge.source_builds import BuildRecipe, compilers_for
from gpuenv.machine.compilers import (
    Toolkit,
    available_memory,
    find_headers,
    find_host_compiler,
    find_toolkit,
    usable_cores,
)
from gpuenv.model.machine import ComputeCapability
from gpuenv.shell import with_variable
from gpuenv.steps.advice import retyped
from gpuenv.steps.context import Context
from gpuenv.steps.decision import Decided
from gpuenv.system.process import absolute_path

PASSED = ("CC", "CXX", "CUDAHOSTCXX", "MAX_JOBS")
"""Variables of the person's that reach a build: which compilers, and how many of them at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What was found, and what the build is for."""

    toolkit: Toolkit | None
    capabilities: tuple[ComputeCapability, ...]
    passed: tuple[tuple[str, str], ...]
    path: str

    def variables(self, recipe: BuildRecipe, *, python: Path) -> dict[str, str]:
        """The variables of a build: what the table says, which toolkit, how many jobs memory and cores allow."""
        found = recipe.switches(self.capabilities)
        if self.toolkit is not None:
            found["CUDA_HOME"] = str(self.toolkit.home)
        memory = available_memory()
        jobs = usable_cores() if memory is None else min(usable_cores(), int(memory // recipe.memory))
        found["MAX_JOBS"] = str(max(1, jobs))
        found |= dict(self.passed)
        found["PATH"] = os.pathsep.join((str(python.parent), self.path))
        return found


def require_tools(context: Context, decided: Decided, tree: SourceTree, *, python: Path | None, what: str) -> Tools:
    """Find what the files of a source have to be compiled with.

    Raises :class:`~gpuenv.errors.BuildToolError` for what is missing, or of another CUDA major than torch's.
    """
    decision, environ = decided.decision, context.environ
    needs = compilers_for(tree.names)
    toolkit = find_toolkit(environ) if decision.accelerator == "cuda" else None
    command = retyped(context.words, {}, profile=decided.profile.name)
    cuda = tables.load().cuda_of(decision.variant) or ""
    major = cuda.partition(".")[0]
    named = with_variable("CUDA_HOME", "/path/to/cuda", command)
    name_it = f"Install the CUDA {major} toolkit, and name its folder: `{named}`"
    if "device" in needs and decision.accelerator == "cuda":
        if toolkit is None:
            raise BuildToolError(
                f"{what} is compiled by nvcc, and there is none",
                causes=("looked for in CUDA_HOME, CUDA_PATH, PATH and /usr/local/cuda",),
                hints=(name_it,),
            )
        if toolkit.cuda.partition(".")[0] != major:
            raise BuildToolError(
                f"{what} is to be built for torch of CUDA {cuda}, and nvcc is of CUDA {toolkit.cuda}",
                causes=(f"found by {toolkit.named}: {toolkit.home}",),
                hints=(name_it,),
            )
    if needs and os.name != "nt":
        if find_host_compiler(environ) is None:
            raise BuildToolError(
                f"{what} is compiled by a C++ compiler, and there is none",
                causes=("looked for CXX, c++, g++ and clang++ on PATH",),
                hints=(f"Install one, or name it: `CXX=/path/to/g++ {command}`",),
            )
        if python is not None and find_headers(python) is None:
            raise BuildToolError(
                f"{what} is compiled with Python.h, and {python} has none",
                causes=("a system's Python has its headers in a package of its own (python3-dev, python3-devel)",),
                hints=(f"Install that, or take a Python that uv brings: `uv python install {decision.python}`",),
            )
    return Tools(
        toolkit=toolkit,
        capabilities=tuple(sorted({gpu.compute_capability for gpu in decision.gpus})),
        passed=tuple((name, environ[name]) for name in PASSED if environ.get(name)),
        path=absolute_path(environ),
    )
