"""Children are heard, held to their limits, and ended with everything they started."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Thread, current_thread

import pytest

from gpuenv.machine.smi import snapshot
from gpuenv.system.process import Child, Ended, Limits, NotStarted, TimedOut, finish, run, start
from support.detection import smi

ENVIRON = {"PATH": "/usr/bin:/bin"}


def test_a_program_that_ends() -> None:
    result = run(["sh", "-c", "echo out; echo err >&2; exit 3"], environ=ENVIRON, limits=Limits(deadline=20))

    assert result == Ended(returncode=3, stdout="out\n", stderr="err\n")


def test_a_program_that_is_not_there() -> None:
    result = run(["/nonexistent/program"], environ=ENVIRON, limits=Limits(deadline=20))

    assert result == NotStarted(reason="No such file or directory")


def test_what_was_said_before_the_limit_is_kept() -> None:
    result = run(["sh", "-c", "trap '' TERM INT; echo said; sleep 600"], environ=ENVIRON, limits=Limits(deadline=3))

    assert result == TimedOut(seconds=3, stdout="said\n", stderr="")


def test_children_of_the_program_end_with_it(tmp_path: Path) -> None:
    script = f"sleep 600 & echo $! > {tmp_path}/child; sleep 600"
    result = run(["sh", "-c", script], environ=ENVIRON, limits=Limits(deadline=2))

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
    result = run([sys.executable, "-I", "-S", "-c", script], environ=ENVIRON, limits=Limits(deadline=3))

    assert isinstance(result, TimedOut)
    assert result.stdout == "said\n"


def test_output_that_is_not_text() -> None:
    result = run(["printf", r"\377ok"], environ=ENVIRON, limits=Limits(deadline=20))

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
    for _ in range(1200):
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


def shell(script: str, **options: object) -> object:
    limits = Limits(deadline=60, stall=1.0, least=10)
    return run(["sh", "-c", script], environ=ENVIRON, limits=limits, **options)  # type: ignore[arg-type]  # of run


def test_a_child_that_gets_nowhere_is_ended() -> None:
    limits = Limits(deadline=60, stall=3.0, least=10)
    command = ["sh", "-c", "echo said; sleep 600"]
    result = run(command, environ=ENVIRON, limits=limits, progress=lambda child: 5)
    assert result == TimedOut(limit="stall", seconds=3.0, stdout="said\n", stderr="")


def test_progress_that_does_not_count_is_no_stall(tmp_path: Path) -> None:
    """It is asked ten times, each after a quarter of a second: longer than the stall."""
    asked: list[int] = []

    def progress(child: Child) -> None:
        asked.append(child.pid)
        if len(asked) == 10:
            (tmp_path / "enough").touch()

    result = shell(f"until [ -e '{tmp_path}/enough' ]; do sleep 0.05; done", progress=progress)
    assert result == Ended(returncode=0, stdout="", stderr="")


def test_lines_come_while_the_child_runs_in_our_own_thread(tmp_path: Path) -> None:
    heard: list[tuple[str, Thread]] = []

    def hear(line: str) -> None:
        heard.append((line, current_thread()))
        (tmp_path / "heard").touch()

    result = shell(
        f"echo said >&2; until [ -e '{tmp_path}/heard' ]; do sleep 0.05; done; echo last >&2", on_stderr=hear
    )
    assert result == Ended(returncode=0, stdout="", stderr="said\nlast\n")
    assert heard == [("said", current_thread()), ("last", current_thread())]


def test_a_listener_that_fails_ends_the_child(tmp_path: Path) -> None:
    def hear(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shell(f"sleep 600 & echo $! > {tmp_path}/child; echo one >&2; echo two >&2; sleep 600", on_stderr=hear)
    _wait_until_gone(int((tmp_path / "child").read_text()))


def test_the_polite_signal_comes_first(tmp_path: Path) -> None:
    script = (
        "import os, pathlib, signal, sys\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('polite'), sys.exit()))\n"
        "pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\n"
        "print('ready', flush=True)\n"
        "signal.pause()\n"
    )
    ready: list[str] = []

    def turn(running: Sequence[Child]) -> None:
        if "ready" in ready:  # the deadline is over once there is something to end
            running[0].started -= 60

    command = [sys.executable, "-I", "-S", "-c", script, str(tmp_path / "child")]
    child = start(command, environ=ENVIRON, on_stdout=ready.append)
    assert isinstance(child, Child)
    result = finish([child], limits=Limits(deadline=60, grace=30), on_turn=turn)
    assert result == (TimedOut(seconds=60, stdout="ready\npolite\n", stderr=""),)
    _wait_until_gone(int((tmp_path / "child").read_text()))


def test_what_a_child_left_behind_ends_with_it(tmp_path: Path) -> None:
    result = run(["sh", "-c", f"sleep 600 & echo $! > {tmp_path}/child"], environ=ENVIRON, limits=Limits(deadline=60))
    assert result == Ended(returncode=0, stdout="", stderr="")
    _wait_until_gone(int((tmp_path / "child").read_text()))


def test_output_without_end_costs_no_memory() -> None:
    script = "seq 1 900000; echo last"
    result = run(["sh", "-c", script], environ=ENVIRON, limits=Limits(deadline=60))
    assert isinstance(result, Ended)
    assert result.stdout.startswith("1\n2\n3\n")
    assert result.stdout.endswith("900000\nlast\n")
    assert 3_900_000 < len(result.stdout) < 4_100_000


@pytest.mark.parametrize(("word", "value"), [("a\0b", ""), ("", "a\0b")])
def test_words_that_no_program_can_be_given(word: str, value: str) -> None:
    result = run(["true", word], environ={**ENVIRON, "X": value}, limits=Limits(deadline=60))
    assert result == NotStarted(reason="embedded null byte")


def test_children_side_by_side_are_told_and_heard(tmp_path: Path) -> None:
    """Each waits for a line; both have spoken before either is told."""
    heard: list[str] = []
    script = "echo ready; read word; echo got $word"
    both = [start(["sh", "-c", script], environ=ENVIRON, on_stdout=heard.append, talks=True) for _ in range(2)]
    children = [child for child in both if isinstance(child, Child)]
    told: list[int] = []

    def turn(running: Sequence[Child]) -> None:
        if heard == ["ready", "ready"] and not told:
            for number, child in enumerate(running):
                told.append(number)
                child.tell(str(number))

    results = finish(
        [child for child in children if isinstance(child, Child)], limits=Limits(deadline=60), on_turn=turn
    )
    assert [result.stdout for result in results] == ["ready\ngot 0\n", "ready\ngot 1\n"]


def test_the_terminal_is_out_of_reach() -> None:
    """A program that asks for a password on it would wait for ever."""
    code = "import os; print(os.getsid(0) == os.getpid())"
    result = run([sys.executable, "-I", "-S", "-c", code], environ=ENVIRON, limits=Limits(deadline=60))
    assert isinstance(result, Ended)
    assert result.stdout == "True\n"


def test_a_child_that_no_signal_ends_is_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that sleeps in the kernel, played by one that no signal reaches."""
    real, numbers = os.killpg, []
    monkeypatch.setattr(os, "killpg", lambda group, number: numbers.append((group, number)))
    result = run(["sleep", "600"], environ=ENVIRON, limits=Limits(deadline=0.2, grace=0.1, reap=0.1))
    monkeypatch.undo()
    real(numbers[0][0], signal.SIGKILL)
    assert result == TimedOut(seconds=0.2, stdout="", stderr="", gone=False)
    assert [number for _, number in numbers] == [signal.SIGTERM, signal.SIGKILL]


def test_ctrl_c_while_python_forks_is_felt() -> None:
    """Raised in what Python calls around a fork, KeyboardInterrupt is printed and forgotten: a build went on."""
    script = """
import os, signal
from gpuenv.system.process import start
signal.signal(signal.SIGINT, signal.default_int_handler)
once = [1]
os.register_at_fork(after_in_parent=lambda: once and (once.pop(), os.kill(os.getpid(), signal.SIGINT)))
try:
    start(["sleep", "60"], environ={"PATH": os.defpath})
except KeyboardInterrupt:
    print("felt", signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert (done.stdout, done.stderr) == ("felt True\n", "")
