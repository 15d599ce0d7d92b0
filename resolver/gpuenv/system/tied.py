"""What ties a child's life to ours: on Linux the kernel's signal, on Windows a job object."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpuenv.system.job import JobObject

_PR_SET_PDEATHSIG = 1


def die_with_parent() -> Callable[[], None] | None:
    """What the child does between fork and exec: ask the kernel to be killed when we are.

    Two system calls through a library that is already loaded: safe after fork even with other threads running here.
    The signal follows the *thread* that started the child, and that one waits in :func:`finish`.
    """
    if sys.platform != "linux":
        return None
    import ctypes

    try:
        prctl = ctypes.CDLL(None).prctl
    except (OSError, AttributeError):
        return None
    parent = os.getpid()

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def windows_job(platform: str = sys.platform) -> tuple[int, Callable[[int], JobObject | None]]:
    """The flag to start a child with on Windows, and what holds it then; 0 and nothing elsewhere."""
    if platform != "win32":
        return 0, lambda _pid: None
    from gpuenv.system import job

    return job.SUSPENDED, job.hold
