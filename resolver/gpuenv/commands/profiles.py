"""List the profiles, or show one with where it comes from."""

from __future__ import annotations

from gpuenv import profile as profiles
from gpuenv.dataclass import dataclass
from gpuenv.errors import ConfigurationError
from gpuenv.model.profile import Profile
from gpuenv.steps.context import Context, Failure, Outcome
from gpuenv.system.files import read_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A profile, where it stands, and the text of its file."""

    profile: Profile
    kind: str
    path: str
    hides: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfilesOutcome(Outcome):
    """The profiles by name. ``single``: one was asked for, and its whole text is wanted."""

    profiles: tuple[Listed, ...]
    single: bool


def run(context: Context, *, name: str | None) -> ProfilesOutcome:
    """Read every profile that can be named, or only ``name``."""
    rows = profiles.find_all(project=context.project, user=context.config)
    if name is not None:
        profiles.load(
            name, project=context.project, user=context.config, read=read_text
        )  # the error for an unknown name
        rows = tuple(row for row in rows if row.name == name)
    listed, problems = [], []
    for row in rows:
        try:
            profile = profiles.load(row.name, project=context.project, user=context.config, read=read_text)
        except ConfigurationError as error:  # one that is broken hides no other
            if name is not None:
                raise
            problems.append(Failure.of(error))
            continue
        listed.append(
            Listed(
                profile=profile,
                kind=row.kind,
                path=f"bundled:{row.name}" if row.kind == "bundled" else str(row.path),
                hides=tuple(str(path) for path in row.hides),
                text=read_text(row.path, what="the profile"),
            )
        )
    return ProfilesOutcome(
        profiles=tuple(listed), single=name is not None, problems=tuple(problems), exit_code=2 if problems else 0
    )
