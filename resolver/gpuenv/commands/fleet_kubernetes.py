"""A lock as work for Kubernetes, printed: gpuenv speaks to no cluster."""

from __future__ import annotations

from gpuenv.commands.export import lock_of
from gpuenv.dataclass import dataclass
from gpuenv.errors import UsageError
from gpuenv.fleet.kubernetes import Kind, Manifest, to_yaml
from gpuenv.project.containers import refuse_local
from gpuenv.steps.context import Context, Outcome
from gpuenv.steps.profile import load_profile


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestOutcome(Outcome):
    """A manifest, which was written nowhere."""

    text: str


def run(context: Context, *, name: str | None, kind: Kind, image: str | None, gpus: int) -> ManifestOutcome:
    """Make the manifest of a lock that stands in the project."""
    name = name or context.options.profile or "auto"
    lock = lock_of(context, name)
    refuse_local(lock, name=name)
    if image is None:
        raise UsageError(
            "--image is missing: the image that the pods run",
            hints=(f"Its Dockerfile: `gpuenv export --format dockerfile {name}`",),
        )
    if gpus < 1:
        raise UsageError("--gpus takes one or more", hints=("See what it takes: `gpuenv fleet --help`",))
    seconds = load_profile(context, lock.inputs.profile).verification.deadline_seconds
    work = Manifest(kind=kind, name=name, image=image, gpus=gpus, seconds=seconds)
    return ManifestOutcome(text=to_yaml(lock, work))
