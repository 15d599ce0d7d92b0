"""Replaces or rolls back a small environment again and again, killed at one step later each time.

``python -m support.swap_driver FOLDER keep|roll-back exchange|turns``: what stands in ``FOLDER/start`` is copied to
``FOLDER/0``, ``FOLDER/1``, … for one process each, which kills itself when the interpreter announces its Nth change of
the file system, before it is done. The last one comes to its end. The target is ``env`` there, a new one is ``new``.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import sys
from pathlib import Path

from gpuenv.environment.previous import roll_back, settle, swap_in_keeping
from gpuenv.environment.target import check_target, only_one, staging
from gpuenv.report import Silent

STEPS = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "ctypes.dlsym", "shutil.rmtree"})


def arm(step: int) -> None:
    """Kill this process before its ``step``-th change."""
    left = step

    def hear(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in STEPS or writes:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)


def work(folder: Path, doing: str, *, exchange: bool) -> None:
    """Do the whole of it, as a build and a roll-back do."""
    target = check_target(folder / "env")
    with only_one(target, state=folder / "state", timeout=10, reporter=Silent()):
        settle(target, Silent())
        if doing == "roll-back":
            roll_back(target, exchange=exchange)
            return
        with staging(target) as stage:
            (folder / "new").rename(stage / "env")
            swap_in_keeping(stage / "env", target, exchange=exchange)


def main(folder: Path, doing: str, mode: str) -> None:
    for step in itertools.count():
        place = folder / str(step)
        shutil.copytree(folder / "start", place)
        child = os.fork()
        if child == 0:
            arm(step)
            work(place, doing, exchange=mode == "exchange")
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
