"""Measure what the budgets in docs/architecture.md are about. Prints, asserts nothing.

make bench                                   start-up and detection
python tools/bench_build.py WHEEL ...        a build from a lock with a warm cache against bare uv
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

REPEAT = 11


def wall(command: Sequence[str], *, cwd: Path | None = None) -> float:
    """Seconds one run of ``command`` takes."""
    start = time.perf_counter()
    subprocess.run(command, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - start


def compare(title: str, *, ours: Sequence[str], bare: Sequence[str], bare_name: str) -> None:
    """Run both in turn, so that a busy machine hurts both, and print minimum and median of each."""
    wall(ours), wall(bare)
    pairs = [(wall(ours), wall(bare)) for _ in range(REPEAT)]
    row(title, [pair[0] for pair in pairs])
    row(f"  {bare_name}", [pair[1] for pair in pairs])
    row("  difference, pair by pair", [ours_s - bare_s for ours_s, bare_s in pairs])


def row(title: str, seconds: Sequence[float]) -> None:
    milliseconds = [1000 * value for value in seconds]
    print(f"{title:<44} min {min(milliseconds):8.1f} ms   median {statistics.median(milliseconds):8.1f} ms")


def start_up() -> None:
    gpuenv = str(Path(sys.executable).with_name("gpuenv"))
    compare(
        "gpuenv --version",
        ours=[gpuenv, "--version"],
        bare=[sys.executable, "-c", "pass"],
        bare_name="python -c pass",
    )


def detection() -> None:
    gpuenv = str(Path(sys.executable).with_name("gpuenv"))
    code = "import pynvml\ntry:\n    pynvml.nvmlInit()\nexcept pynvml.NVMLError:\n    pass"
    compare(
        "gpuenv detect",
        ours=[gpuenv, "detect"],
        bare=[sys.executable, "-c", code],
        bare_name="import pynvml; pynvml.nvmlInit()",
    )


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {REPEAT} runs each")
    start_up()
    detection()


if __name__ == "__main__":
    main()
