"""Ctrl-C, SIGKILL and two builds at once: what stood there stands there, and the next build is clean."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpuenv.installed.marker import read_marker
from support.locked import trickle
from support.workshop import Workshop, alpha, torch

TESTS = Path(__file__).parents[2]


def start(workshop: Workshop, version: str, pause: float | Path = 0.0) -> subprocess.Popen[str]:
    """Start a build in a process of its own; its verification lasts ``pause`` seconds, or until that file is there."""
    for wheel in (alpha(version), torch(version)):
        workshop.server.files[wheel.filename] = wheel.body
    return subprocess.Popen(
        [sys.executable, "-m", "support.build_driver", str(workshop.folder), workshop.server.url, version, str(pause)],
        cwd=TESTS,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])},
    )


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == word:
            return
    raise AssertionError(f"the build ended {process.wait()} before {word!r}")


def finish(process: subprocess.Popen[str]) -> int:
    process.communicate(timeout=300)
    return process.returncode


def own_processes(folder: Path) -> list[str]:
    """Commands of processes that name the folder: uv, and what it started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in command:
            found.append(command)
    return found


def settled(folder: Path) -> list[str]:
    """:func:`own_processes` once the kernel has ended what was to be ended."""
    for _ in range(3000):
        left = own_processes(folder)
        if not left:
            return []
        time.sleep(0.02)
    return left


@pytest.fixture
def standing(workshop: Workshop) -> Workshop:
    """An environment of version 1.0 stands."""
    workshop.build([alpha(), torch()])
    return workshop


def test_ctrl_c_during_the_download_leaves_nothing(standing: Workshop) -> None:
    before = read_marker(standing.target)
    standing.server.faults[torch("2.0").filename] = trickle(60)
    process = start(standing, "2.0")
    wait_for(process, "building")
    while f"GET {torch('2.0').filename}" not in standing.server.requests:
        time.sleep(0.02)

    process.send_signal(signal.SIGINT)

    assert finish(process) == 130
    assert settled(standing.folder) == []
    assert standing.leftovers() == []
    assert read_marker(standing.target) == before
    assert standing.look().differences == ()


def test_ctrl_c_during_verification_leaves_nothing(standing: Workshop) -> None:
    before = read_marker(standing.target)
    process = start(standing, "2.0", pause=60)
    wait_for(process, "verifying")

    process.send_signal(signal.SIGINT)

    assert finish(process) == 130
    assert standing.leftovers() == []
    assert read_marker(standing.target) == before


def test_a_kill_during_the_download_takes_uv_along(standing: Workshop) -> None:
    standing.server.faults[torch("2.0").filename] = trickle(60)
    process = start(standing, "2.0")
    while f"GET {torch('2.0').filename}" not in standing.server.requests:
        time.sleep(0.02)

    process.kill()
    finish(process)

    assert settled(standing.folder) == []
    assert standing.look().differences == ()
    standing.server.faults.clear()
    standing.build([alpha("2.0"), torch("2.0")])
    assert standing.look().differences == ()
    assert standing.leftovers() == []


@pytest.mark.parametrize("moment", [0.0, 0.04, 0.07, 0.1, 0.15])
def test_a_kill_at_any_moment(standing: Workshop, moment: float) -> None:
    """From the first step of a build with a warm cache, some 0.2 s long, to beyond its end."""
    standing.build([alpha("2.0"), torch("2.0")])
    standing.build([alpha(), torch()])
    process = start(standing, "2.0")
    wait_for(process, "building")
    time.sleep(moment)

    process.kill()
    finish(process)

    assert settled(standing.folder) == []
    marker = read_marker(standing.target)
    assert marker is not None
    assert len({each.version for each in marker.packages}) == 1
    assert standing.look().differences == ()
    standing.build([alpha("3.0"), torch("3.0")])
    assert standing.look().differences == ()
    assert standing.leftovers() == []


def test_a_kill_after_the_old_one_was_moved_aside(standing: Workshop) -> None:
    """Where names cannot be exchanged the old environment moves aside; the next build puts it back before all else."""
    from gpuenv.environment.target import ASIDE_PREFIX, check_target

    before = read_marker(standing.target)
    key = check_target(standing.target).key
    standing.target.rename(standing.project / f"{ASIDE_PREFIX}{key}-1")
    standing.server.files.clear()

    with pytest.raises(Exception, match="gone from its index"):
        standing.build_from_nowhere([alpha("2.0")])

    assert read_marker(standing.target) == before
    assert standing.leftovers() == []


def test_two_builds_at_once_take_turns(workshop: Workshop) -> None:
    first, second = start(workshop, "1.0", pause=0.3), start(workshop, "2.0", pause=0.3)

    assert [finish(first), finish(second)] == [0, 0]

    events = (workshop.folder / "events").read_text().splitlines()
    assert events in (sorted(events), sorted(events, key=lambda each: (-float(each.split()[0]), each)))
    marker = read_marker(workshop.target)
    assert marker is not None
    assert len({each.version for each in marker.packages}) == 1
    assert workshop.look().differences == ()
    assert workshop.leftovers() == []


def test_a_build_that_runs_is_not_swept(workshop: Workshop) -> None:
    """Another state folder, as another container has it: the locks do not meet, the staging folders do."""
    ready = workshop.folder / "ready"
    process = start(workshop, "1.0", pause=ready)
    wait_for(process, "verifying")
    other = Workshop(folder=workshop.folder / "elsewhere", server=workshop.server)
    other.build([alpha("2.0")], target=workshop.target)
    ready.touch()

    assert finish(process) == 0
    marker = read_marker(workshop.target)
    assert marker is not None
    assert marker.packages[0].version == "1.0"
    assert workshop.look().differences == ()
    assert workshop.leftovers() == []
