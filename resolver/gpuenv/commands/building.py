"""Build the environment of a lock: the step of `create` that asks uv."""

from __future__ import annotations

from pathlib import Path

from gpuenv.commands import deciding
from gpuenv.commands.context import Context
from gpuenv.commands.keeping import from_store
from gpuenv.commands.locked import Locked
from gpuenv.commands.verifying import Proof
from gpuenv.environment.build import BuildOptions, Built, build
from gpuenv.environment.interpreters import find_interpreters, require_interpreter
from gpuenv.environment.uv import find_uv


def build_locked(
    context: Context,
    locked: Locked,
    *,
    target: Path,
    proof: Proof | None,
    deep: bool = False,
    keep_failed: bool = False,
) -> Built:
    """Build beside ``target``, prove it by ``proof`` where there is one, swap it in; what the store keeps is taken."""
    uv = find_uv(context.environ, explicit=context.uv)
    interpreters = find_interpreters(uv, cwd=context.project, reporter=context.reporter, downloads=not context.offline)
    python = require_interpreter(locked.lock.inputs.target.python, interpreters)
    plan = deciding.source_plan(context)
    built = build(
        locked.path,
        locked.lock,
        target=target,
        python=python,
        uv=uv,
        state=context.state,
        reporter=context.reporter,
        verify=proof,
        options=BuildOptions(
            offline=context.offline,
            keep_failed=keep_failed,
            deep=deep,
            sync_from=from_store(context, locked.lock, name=locked.path.name),
            python_downloads=python.path is None,
            extra_env=deciding.uv_environment(context, plan) | deciding.uv_credentials(plan),
        ),
    )
    context.reporter.say(
        f"{'Replaced' if built.replaced else 'Built'} {target.name}: {len(locked.lock.packages)} packages, "
        f"compared with the wheels' RECORD: {built.compared.words}"
    )
    return built
