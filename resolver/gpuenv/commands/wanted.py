"""What the person asked for, before anything is decided: the profile, the request, the GPUs that count."""

from __future__ import annotations

from dataclasses import replace

from gpuenv import knowledge as tables
from gpuenv import profile as profiles
from gpuenv import select
from gpuenv.commands.context import Context
from gpuenv.errors import MachineMismatchError
from gpuenv.model.machine import Machine
from gpuenv.model.profile import Profile
from gpuenv.select.request import gpus_in_scope
from gpuenv.system.files import read_text


def profile_of(context: Context, name: str | None = None) -> Profile:
    """Read the profile ``name``, else the one of ``--profile``, else ``auto``."""
    wanted = name or context.wishes.profile or "auto"
    return profiles.load(wanted, project=context.project, user=context.config, read=read_text)


def bare_request(context: Context) -> select.Request:
    """The request as far as it is known before interpreters are looked for: all that judges machine and profile."""
    return select.Request(pythons=(), gpus=context.wishes.gpus, variant=context.wishes.variant)


def in_scope(context: Context, machine: Machine) -> Machine:
    """The machine with only the GPUs that count (all, or those of ``--gpu``)."""
    return replace(machine, gpus=gpus_in_scope(machine, bare_request(context)))


def check_fit(context: Context, machine: Machine, profile: Profile) -> None:
    """Stop before any request where the profile is for another machine, by :class:`MachineMismatchError`."""
    mismatch = select.fits(profile, machine, bare_request(context), tables.load())
    if mismatch is not None:
        raise MachineMismatchError(mismatch.message, hints=mismatch.hints)
