"""Whether torch.compile can work on a GPU: triton has its code assembled for exactly that card."""

from __future__ import annotations

import re

from gpuenv.knowledge.rules import code_of
from gpuenv.select import family
from gpuenv.select.candidates import CatalogEntry
from gpuenv.select.evaluation import Evaluation
from gpuenv.select.words import gpu_words

_PINNED = re.compile(r"triton\s*==\s*([0-9.]+)(?![0-9.*+])")


def compile_warnings(evaluation: Evaluation, torch: CatalogEntry) -> tuple[str, ...]:
    """Say for which GPU it cannot work. Nothing is said where the triton that torch asks for was never read."""
    problem = evaluation.problem
    if problem.cpu or problem.machine.os != "linux":
        return ()
    requires = family.requires_of(problem, torch, evaluation.facts)
    release = problem.knowledge.releases.get(torch.wheel.version.partition("+")[0])
    if requires is None and release is not None and release.triton is not None:
        requires = (release.triton.requirement,)
    pinned = (found[1] for text in requires or () if (found := _PINNED.match(text)))
    known = [row for version in pinned if (row := problem.knowledge.assemblers.get(version)) is not None]
    lost = {
        gpu_words(gpu): (row, code_of(gpu.compute_capability))
        for row in known
        for gpu in problem.gpus
        if gpu.compute_capability not in row.capabilities
    }
    return tuple(
        f"torch.compile cannot work on {name}: the assembler of triton {row.triton}, which this torch asks for, "
        f"makes no code for {code} ({row.source})"
        for name, (row, code) in lost.items()
    )
