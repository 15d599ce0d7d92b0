"""Measure a whole `create` from a lock beside bare uv, on the wall. Prints, asserts nothing.

    python tools/bench_create.py [--files 16000] [--rounds 9]

One wheel with as many files as torch has, from a loopback index, in uv's cache. In turn, so that a busy machine hurts
all: `create` with nothing at the target, `create --rebuild`, `create` with nothing changed; uv's `venv` and `pip sync`
of the same lock with nothing at the target, and over what stands there (`venv --clear`). Verification is left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import GPUENV
from bench_growth import created

from gpuenv.environment.interpreters import running_interpreter
from gpuenv.environment.uv import find_uv
from support.cli import Person

CREATE = (GPUENV, "create", "--profile", "bench", "--no-verify")


def seconds(person: Person, *commands: Sequence[str]) -> float:
    """On the wall, of commands that run one after the other."""
    start = time.perf_counter()
    for command in commands:
        subprocess.run(command, cwd=person.project, env=person.world(), check=True, capture_output=True)
    return time.perf_counter() - start


def of_uv(person: Person, *options: str) -> Sequence[Sequence[str]]:
    """uv's own two commands for the lock that `create` wrote."""
    uv, python, target = str(find_uv(os.environ).path), running_interpreter().request, ".venv-uv"
    sync = [uv, "pip", "sync", "lockfiles/pylock.bench.toml", "--python", target, "--require-hashes", "--offline"]
    return (
        [uv, "venv", "-q", "--relocatable", "--no-project", "--python", python, *options, target],
        [*sync, "--preview-features", "pylock"],
    )


def measure(person: Person, rounds: int) -> dict[str, list[float]]:
    """Seconds of each way, in turn."""

    def gone(folder: str) -> None:
        shutil.rmtree(person.project / folder, ignore_errors=True)

    ways: dict[str, tuple[Callable[[], None], Sequence[Sequence[str]]]] = {
        "gpuenv create, nothing there": (lambda: gone(".venv-gpu"), [CREATE]),
        "gpuenv create --rebuild": (lambda: None, [[*CREATE, "--rebuild"]]),
        "gpuenv create, nothing changed": (lambda: None, [CREATE]),
        "uv venv, uv pip sync": (lambda: gone(".venv-uv"), of_uv(person)),
        "uv venv --clear, uv pip sync": (lambda: None, of_uv(person, "--clear")),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, (before, commands) in ways.items():
            before()
            took = seconds(person, *commands)
            if number:  # the first round warms the caches
                found[name].append(took)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=16_000)
    parser.add_argument("--rounds", type=int, default=9)
    asked = parser.parse_args()
    for person, _ in created(asked.files):
        found = measure(person, asked.rounds)
        for name, each in found.items():
            print(f"{name:<32} min {min(each):6.3f} s   median {statistics.median(each):6.3f} s")
        bare, clear = found["uv venv, uv pip sync"], found["uv venv --clear, uv pip sync"]
        for name, beside in (("gpuenv create, nothing there", bare), ("gpuenv create --rebuild", clear)):
            pairs = [ours - theirs for ours, theirs in zip(found[name], beside, strict=True)]
            print(f"{name}: {statistics.median(pairs):+.3f} s over uv, pair by pair (limit +0.3 s)")
        files = sum(len(names) for _, _, names in os.walk(Path(person.project) / ".venv-gpu"))
        print(f"{files:,} files; load {os.getloadavg()[0]:.1f} at the end")


if __name__ == "__main__":
    main()
