"""List the environments that gpuenv built on this machine."""

from __future__ import annotations

from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.environments import KnownEnvironment, known_environments


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOutcome(Outcome):
    """The environments by path. ``project`` is the folder that the command works in."""

    environments: tuple[KnownEnvironment, ...]
    project: Path


def run(context: Context) -> ListOutcome:
    """Look at every environment that is registered or stands in the project."""
    return ListOutcome(environments=known_environments(context), project=context.project)
