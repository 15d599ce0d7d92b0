"""The programs of one run, looked for once: uv, and the Python interpreters it knows."""

from __future__ import annotations

from gpuenv.environment.interpreters import Interpreter, find_interpreters
from gpuenv.environment.uv import Uv, find_uv
from gpuenv.steps.context import Context


def uv_of(context: Context) -> Uv:
    """The uv that was named, else the one beside gpuenv, else the one on PATH; its version is asked for once."""
    return context.run.once(lambda: find_uv(context.environ, explicit=context.uv), by=uv_of, key=None)


def interpreters_of(context: Context, *, downloads: bool) -> tuple[Interpreter, ...]:
    """The interpreters that are installed, with ``downloads`` those that uv could fetch too."""
    return context.run.once(
        lambda: find_interpreters(uv_of(context), cwd=context.project, reporter=context.reporter, downloads=downloads),
        by=interpreters_of,
        key=downloads,
    )
