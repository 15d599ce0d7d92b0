"""Whether a nightly could help where no stable wheel fits: it is not looked at where none can."""

from __future__ import annotations

from datetime import timedelta

from packaging.version import Version

from gpuenv.knowledge.rules import compare_versions
from gpuenv.select import unmet
from gpuenv.select.candidates import public_version
from gpuenv.select.conflict import Conflict, smallest
from gpuenv.select.evaluation import Evaluation
from gpuenv.select.rules import Problem, moment

_AHEAD = 12
"""Minor releases that the nightlies of an index may be ahead of its newest stable one: a mirror may have stopped."""
_LISTED = timedelta(days=120)
"""How long a nightly stays on the pages: they keep sixty of each variant (docs/nightlies.md)."""


def could_help(evaluation: Evaluation) -> bool:
    """Tell whether a nightly could be what no stable wheel is."""
    problem = evaluation.problem
    conflict = smallest(evaluation) if evaluation.refused() else None
    if conflict is None:
        return not problem.cpu
    return (
        _number_allowed(problem, conflict)
        and _variant_compiles(problem)
        and _old_enough(problem, conflict)
        and not ("driver" in conflict.parts and not conflict.parts & {"kernels", "unknown-kernels", "companion"})
        and not ("python" in conflict.parts and _older_python(problem, conflict))
        and not unmet.misnamed(problem)
    )


def _number_allowed(problem: Problem, conflict: Conflict) -> bool:
    """Whether the versions asked for admit a development version after the newest release."""
    newest = max(public_version(row.entry.wheel.version) for row in conflict.rows)
    sets = problem.constraints.versions["torch"]
    if any(specifiers.prereleases for specifiers in sets):
        return True
    coming = (f"{newest.major}.{newest.minor + ahead}.0.dev20990101" for ahead in range(1, _AHEAD))
    return any(all(each.contains(Version(text), prereleases=True) for each in sets) for text in coming)


def _variant_compiles(problem: Problem) -> bool:
    """Whether the toolkit of the variant that was asked for knows every GPU."""
    cuda = problem.knowledge.cuda_of(problem.variant or "")
    firsts = [problem.knowledge.first_cuda_for(gpu.compute_capability) for gpu in problem.gpus]
    return cuda is None or all(first is None or compare_versions(cuda, first) >= 0 for first in firsts)


def _old_enough(problem: Problem, conflict: Conflict) -> bool:
    cutoff = problem.request.exclude_newer
    stamps = [row.entry.wheel.upload_time for row in conflict.rows if row.entry.wheel.upload_time]
    if cutoff is None or not stamps:
        return True
    return moment(cutoff, end=True) > moment(max(stamps), end=False) - _LISTED


def _older_python(problem: Problem, conflict: Conflict) -> bool:
    """Whether each Python that was asked for is older than all that the newest stable release is for."""
    newest = max(public_version(row.entry.wheel.version) for row in conflict.rows)
    of_newest = (row.entry for row in conflict.rows if public_version(row.entry.wheel.version) == newest)
    oldest = min((minor for entry in of_newest for minor in unmet.minors(entry)), default=0)
    return all(int(each.removesuffix("t").partition(".")[2]) < oldest for each in problem.target.pythons)
