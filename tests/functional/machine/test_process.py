"""The time limit holds for programs that do not want to end."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from gpuenv.machine.process import Ended, NotStarted, TimedOut, run
from gpuenv.machine.smi import snapshot
from support.detection import smi

ENVIRON = {"PATH": "/usr/bin:/bin"}


def test_a_program_that_ends() -> None:
    result = run(["sh", "-c", "echo out; echo err >&2; exit 3"], environ=ENVIRON, timeout=20)

    assert result == Ended(returncode=3, stdout="out\n", stderr="err\n")


def test_a_program_that_is_not_there() -> None:
    result = run(["/nonexistent/program"], environ=ENVIRON, timeout=20)

    assert result == NotStarted(reason="No such file or directory")


def test_what_was_said_before_the_limit_is_kept() -> None:
    result = run(["sh", "-c", "trap '' TERM INT; echo said; sleep 600"], environ=ENVIRON, timeout=0.5)

    assert result == TimedOut(seconds=0.5, stdout="said\n", stderr="", killed=True)


def test_children_of_the_program_end_with_it(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/child; sleep 600"
    result = run(["sh", "-c", script], environ=ENVIRON, timeout=2)

    assert isinstance(result, TimedOut)
    _wait_until_gone(int((tmp_path / "child").read_text()))


def test_a_child_that_left_the_group_does_not_hold_us(tmp_path: Path) -> None:
    """It keeps the pipe open, as a process does that sleeps in a driver and cannot be ended."""
    script = (
        "import os, sys, time\n"
        "print('said', flush=True)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os.setsid(); time.sleep(5); os._exit(0)\n"
        "time.sleep(600)\n"
    )
    result = run([sys.executable, "-I", "-S", "-c", script], environ=ENVIRON, timeout=0.5)

    assert isinstance(result, TimedOut)
    assert result.stdout == "said\n"


def test_output_that_is_not_text() -> None:
    result = run(["printf", r"\377ok"], environ=ENVIRON, timeout=20)

    assert isinstance(result, Ended)
    assert result.stdout == "\N{REPLACEMENT CHARACTER}ok"


def test_the_snapshot_for_the_evidence(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path)}
    assert snapshot(environ) == "nvidia-smi was not found on PATH\n"

    smi(tmp_path, "echo '| NVIDIA-SMI 580.95.05 |'")
    assert snapshot(environ) == "| NVIDIA-SMI 580.95.05 |\n"

    smi(tmp_path, "echo 'Failed to initialize NVML'; exit 18")
    assert snapshot(environ) == "Failed to initialize NVML\n(nvidia-smi ended with status 18)\n"

    smi(tmp_path, "while :; do :; done")
    assert snapshot(environ, timeout=0.3) == "nvidia-smi did not answer within 0.3 s\n"


def _wait_until_gone(pid: int) -> None:
    """It was killed; that it is gone is seen a moment later."""
    for _ in range(100):
        if not _runs(pid):
            return
        time.sleep(0.05)
    raise AssertionError(f"process {pid} goes on")


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
