"""What was asked for when a lock was made: it stands in the lock, and holds until something else is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

from gpuenv.lock.model import Lock
from gpuenv.model.profile import ChannelChoice
from gpuenv.steps.context import Context, Options
from gpuenv.steps.project import asked_of

NAMES = ("python", "torch", "channel", "variant")
"""Not ``gpu``: a GPU that was left out of a lock is one that it does not serve, and is said to be so."""

LISTS = {
    "requirements": "requirements", "with": "with_requirements", "extra": "extras", "group": "groups", "relax": "relax",
    "build": "build",
}  # fmt: skip
"""Options of packages that may be repeated, with the field that holds them."""
FLAGS = {"allow-unknown-kernels": "allow_unknown_kernels", "no-project": "no_project"}


def recorded_options(options: Options) -> tuple[str, ...]:
    """The options that shaped a decision, as a lock records them: ``--variant cu128``, sorted."""
    said = [f"--{name} {value}" for name in NAMES if (value := getattr(options, name)) is not None]
    said += [f"--{name} {value}" for name, field in LISTS.items() for value in getattr(options, field)]
    said += [f"--{name}" for name, field in FLAGS.items() if getattr(options, field)]
    return tuple(sorted(said))


def with_lock_options(context: Context, lock: Lock | None, *, say: bool = False) -> Context:
    """The context with what the lock was made for, wherever nothing else was asked for now."""
    if lock is None or not lock.inputs.options:
        return context
    options = context.options
    held: dict[str, str] = {}
    lists: dict[str, tuple[str, ...]] = {}
    flags: set[str] = set()
    for option in lock.inputs.options:
        name, _, value = option.removeprefix("--").partition(" ")
        if name in NAMES:
            held[name] = value
        elif name in LISTS:
            lists[name] = (*lists.get(name, ()), value)
        elif name in FLAGS:
            flags.add(name)
    merged = replace(
        options,
        python=options.python or held.get("python"),
        torch=options.torch or held.get("torch"),
        channel=options.channel or cast(ChannelChoice | None, held.get("channel")),  # as it was typed, and checked then
        variant=options.variant or held.get("variant"),
        allow_unknown_kernels=options.allow_unknown_kernels or "allow-unknown-kernels" in flags,
        no_project=options.no_project or ("no-project" in flags and not (options.extras or options.groups)),
        requirements=options.requirements or lists.get("requirements", ()),
        with_requirements=options.with_requirements or lists.get("with", ()),
        extras=options.extras or (() if options.no_project else lists.get("extra", ())),
        groups=options.groups or (() if options.no_project else lists.get("group", ())),
        relax=options.relax,
        build=options.build or lists.get("build", ()),
    )
    held_relax = lists.get("relax", ())
    if held_relax and not options.relax:  # given up were those lines, not what stands there now
        unchanged = asked_of(replace(context, options=merged)).recorded == lock.inputs.requirements
        merged = replace(merged, relax=held_relax if unchanged else ())
    kept = [option for option in recorded_options(merged) if option not in recorded_options(options)]
    if say and kept:
        context.reporter.say(f"As the lock was made: {' '.join(kept)}")
    return replace(context, options=merged)


def builds_of(lock: Lock) -> frozenset[str]:
    """The packages that a lock was told to have built from their source."""
    return frozenset(each.removeprefix("--build ") for each in lock.inputs.options if each.startswith("--build "))


def builds_that_are_gone(context: Context, lock: Lock) -> tuple[str, ...]:
    """Those of them whose wheel lies neither where the lock says nor in the store: built elsewhere, or pruned."""
    if not builds_of(lock):
        return ()
    from packaging.utils import canonicalize_name

    names = sorted(map(canonicalize_name, builds_of(lock)))
    rows = [lock.by_name[name] for name in names if name in lock.by_name]
    missing = [each for each in rows if each.path and not Path(each.path).is_file()]
    if not missing:
        return ()
    from gpuenv.steps.downloads import open_store

    store = open_store(context)
    return tuple(each.name for each in missing if not store.has(each.sha256))
