"""The build of a lock at its target: what uv is given, and what is remembered of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from gpuenv.environment import build
from gpuenv.environment.build import Staged
from gpuenv.environment.interpreters import interpreter_for, require_interpreter
from gpuenv.environment.target import check_target
from gpuenv.errors import MachineMismatchError
from gpuenv.installed.marker import read_marker
from gpuenv.shell import quote
from gpuenv.steps.context import Context
from gpuenv.steps.downloads import open_store, remember
from gpuenv.steps.environments import register
from gpuenv.steps.lock import Locked
from gpuenv.steps.lock_options import builds_of, builds_that_are_gone
from gpuenv.steps.pythons import interpreters_of, uv_of
from gpuenv.steps.sources import uv_credentials, uv_environment


@contextmanager
def staged_environment(
    context: Context,
    locked: Locked,
    *,
    target: Path,
    deep: bool = False,
    keep_failed: bool = False,
    keep_previous: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> Iterator[Staged]:
    """Build beside ``target``, out of the store what it keeps; discarded unless it is swapped in. ``meanwhile`` is done
    while uv installs, as often as that is tried."""
    if gone := builds_that_are_gone(context, locked.lock):
        raise _not_here(context, locked, gone)
    if any(each.signed for each in locked.lock.packages):
        from gpuenv.steps.signed import fetch_signed

        fetch_signed(context, locked.lock)
    remember(context, locked.path, locked.lock)
    project = _with_project(context, target)
    wanted = locked.lock.inputs.target.python
    found = interpreter_for(wanted, interpreters_of(context, downloads=False))
    python = found or require_interpreter(wanted, interpreters_of(context, downloads=not context.offline))
    with build.staged_environment(
        locked.path,
        locked.lock,
        target=target,
        python=python,
        uv=uv_of(context),
        state=context.state,
        reporter=context.reporter,
        options=build.BuildOptions(
            offline=context.offline,
            keep_failed=keep_failed,
            keep_previous=keep_previous,
            deep=deep,
            store=open_store(context),
            extra_env=uv_environment(context) | uv_credentials(context),
            project=context.project if project else None,
            index_env=_index_variables(context) if project else {},
            meanwhile=meanwhile,
        ),
    ) as staged:
        if locked.lock.decision.accelerator == "cuda":
            from gpuenv.steps.companion_check import refuse_unfit

            refuse_unfit(locked.lock, staged.path, reporter=context.reporter)
        yield staged
    if staged.built is not None:
        register(context, staged.built.path)
        if staged.built.previous is not None:
            kept, back = context.shown(staged.built.previous), quote(context.shown(target))
            context.reporter.say(f"Kept the one before as {kept}; `gpuenv create --rollback {back}` puts it back")
        context.reporter.say(
            f"{'Replaced' if staged.built.replaced else 'Built'} {target.name}: {len(locked.lock.packages)} packages, "
            f"compared with the wheels' RECORD: {staged.built.compared.summary}"
        )


def _index_variables(context: Context) -> dict[str, str]:
    """Where what a build of the project needs comes from."""
    from gpuenv.steps.dependencies import indexes_of

    return indexes_of(context).variables()


def _not_here(context: Context, locked: Locked, gone: Sequence[str]) -> MachineMismatchError:
    """The error where a wheel that was built from its source lies on another machine, or was pruned."""
    from gpuenv.steps.advice import retyped

    lock = locked.lock
    command = retyped(context.words, {"build": tuple(sorted(builds_of(lock)))}, profile=lock.inputs.profile)
    rows = [lock.by_name[name] for name in gone]
    return MachineMismatchError(
        f"{locked.shown} holds {' and '.join(gone)} as built from source, and what was built is not here",
        causes=tuple(f"it was {each.path}, sha256 {each.sha256}" for each in rows),
        hints=(f"Build it here, which runs its code, and lock that: `{command}`",),
    )


def _with_project(context: Context, target: Path) -> bool:
    """Whether the person's project goes into the environment: asked for now, or in the one that is built again."""
    if context.options.install_project:
        return True
    there = check_target(target)
    marker = read_marker(there.path) if there.exists else None
    return marker is not None and bool(marker.projects)
