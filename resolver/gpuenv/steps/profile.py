"""The profile that was asked for, and whether a machine is one it is for."""

from __future__ import annotations

from gpuenv import knowledge as tables
from gpuenv import profile as profiles
from gpuenv.errors import MachineMismatchError
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile
from gpuenv.select.request import Request, fits
from gpuenv.steps.context import Context
from gpuenv.system.files import read_text


def load_profile(context: Context, name: str | None = None) -> Profile:
    """Read the profile ``name``, else the one of ``--profile``, else ``auto``."""
    wanted = name or context.options.profile or "auto"
    return profiles.load(wanted, project=context.project, user=context.config, read=read_text)


def known_profile(context: Context, name: str) -> Profile | None:
    """The profile ``name``, ``None`` where there is none of that name any more."""
    known = {row.name for row in profiles.find_all(project=context.project, user=context.config)}
    return load_profile(context, name) if name in known else None


def bare_request(context: Context) -> Request:
    """The request as far as it is known before interpreters are looked for: all that judges machine and profile."""
    return Request(pythons=(), gpus=context.options.gpus, variant=context.options.variant)


def check_fit(context: Context, machine: Machine, profile: Profile) -> None:
    """Stop before any request where the profile is for another machine, by :class:`MachineMismatchError`."""
    mismatch = fits(profile, machine, bare_request(context), tables.load())
    if mismatch is not None:
        hints = mismatch.hints
        if not machine.gpus and context.options.machine is None and context.options.gpus is None:
            hints = (*_elsewhere(context, profile), *hints)
        raise MachineMismatchError(mismatch.message, hints=hints)


def _elsewhere(context: Context, profile: Profile) -> tuple[str, ...]:
    """How an environment for another machine is made on one without a GPU, such as a cluster's login node."""
    import shutil

    from gpuenv.knowledge.scheduler import queue
    from gpuenv.system.process import absolute_path

    taken = queue(which=lambda name: shutil.which(name, path=absolute_path(context.environ)))
    name, start = taken or ("", "")
    where = f"in a {name} job with a GPU" if name else "on the machine with the GPU"
    begin = f"{start} " if start else ""
    return (
        f"Let a machine with the GPU say what it is, {where}: `{begin}gpuenv detect --json > machine.json`",
        f"Then build for it here: `gpuenv create --profile {profile.name} --machine machine.json --no-verify`",
        f"And prove it there: `{begin}gpuenv verify`",
    )
