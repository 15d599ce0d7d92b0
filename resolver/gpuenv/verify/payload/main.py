"""Which task to run: settings in, events out."""

from __future__ import annotations

import importlib
import json
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from .channel import Channel

Settings = dict[str, Any]  # JSON from the parent; each task reads its own keys
Task = Callable[[Settings, Channel], None]
TASKS = {name: name for name in ("driver", "training", "native", "numbers", "families", "ranks", "nodes", "probe")}
TASKS["compile"] = "compiled"
"""The module that does each task."""


def main(arguments: Sequence[str]) -> int:
    """Run one task. 0: it ran to its end, whatever it measured; 1: it raised, and said so in a ``failed`` event."""
    channel = Channel()
    settings: Settings = json.loads(arguments[0])
    # Without -S the interpreter has done this already; with it, start-up files of the environment never run.
    sys.path.extend(path for path in settings.get("paths", ()) if path not in sys.path)
    channel.emit("started", task=settings["task"], python=sys.version.split()[0], executable=sys.executable)
    try:
        _task(settings, channel)(settings, channel)
    except BaseException as error:
        channel.emit(
            "failed",
            kind=type(error).__name__,
            message=str(error)[:4000],
            where=traceback.format_exc()[-6000:],
        )
        return 1
    channel.emit("finished")
    return 0


def _task(settings: Settings, channel: Channel) -> Task:
    """Import late: a task that needs no torch starts in milliseconds, and the import of torch is timed by itself."""
    name = settings["task"]
    if name not in TASKS:
        raise ValueError(f"no such task: {name}")
    if name != "driver":
        _report_warnings(channel)
    if name != "driver" and settings.get("torch", True):
        from .devices import load_torch

        load_torch(channel)
    run: Task = importlib.import_module(f".{TASKS[name]}", __package__).run
    return run


def _report_warnings(channel: Channel) -> None:
    """Send warnings as events: torch only warns of a card that it has no kernels for."""
    left = [50]

    def show(message: Warning | str, category: type[Warning], *_where: object, **_more: object) -> None:
        if left[0] > 0:
            left[0] -= 1
            channel.emit("warning", kind=category.__name__, message=str(message)[:1000])

    warnings.simplefilter("default")
    warnings.showwarning = show
