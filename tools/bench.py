"""Measure what the budgets in docs/architecture.md are about. Prints, asserts nothing.

make bench                                   start-up, detection, a page, a warm decision, nothing changed, a build
python tools/bench_build.py WHEEL ...        the build alone, of wheels at hand, against bare uv
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from gpuenv.index.page import parse_page  # noqa: E402 # after the folder of the stand-ins
from support.cli import Person, machine_json  # noqa: E402
from support.index_server import IndexServer  # noqa: E402
from support.wheels import build_wheel, torch_wheel  # noqa: E402

REPEAT = 11
GPUENV = str(Path(sys.executable).with_name("gpuenv"))
LINKS = 10_000
FILES = 16_000
"""As many as the wheels of torch and its companions install."""
SITE_FILES = 16_000
"""Of an environment."""


def wall(command: Sequence[str]) -> float:
    """Seconds one run of ``command`` takes."""
    start = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
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
    compare(
        "gpuenv --version",
        ours=[GPUENV, "--version"],
        bare=[sys.executable, "-c", "pass"],
        bare_name="python -c pass",
    )


def detection() -> None:
    code = "import pynvml\ntry:\n    pynvml.nvmlInit()\nexcept pynvml.NVMLError:\n    pass"
    compare(
        "gpuenv detect",
        ours=[GPUENV, "detect"],
        bare=[sys.executable, "-c", code],
        bare_name="import pynvml; pynvml.nvmlInit()",
    )


def page() -> None:
    """A page in PyTorch's format with many links: time, and the peak of memory in another run."""
    name = "/whl/nightly/cu128/torch-2.11.0.dev2026{0:04d}%2Bcu128-cp312-cp312-manylinux_{1}_28_x86_64.whl"
    link = '<a href="' + name + '#sha256={1:064x}" data-requires-python="&gt;=3.10">torch</a><br/>'
    links = "\n".join(link.format(number % 180, number) for number in range(LINKS))  # sixty days, three variants
    body = f"<!DOCTYPE html><html><body>{links}</body></html>".encode()
    seconds = []
    for _ in range(REPEAT):
        start = time.perf_counter()
        parse_page(body, url="http://127.0.0.1/whl/torch/")
        seconds.append(time.perf_counter() - start)
    row(f"a page of {LINKS:,} links", seconds)
    tracemalloc.start()
    parse_page(body, url="http://127.0.0.1/whl/torch/")
    print(f"  peak of memory beside the page itself: {tracemalloc.get_traced_memory()[1] / 1e6:.0f} MB")
    tracemalloc.stop()


MEASURE = """import os, sys
nothing = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
_, status, used = os.wait4(os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=nothing), 0)
print(os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


def cost(command: Sequence[str]) -> tuple[float, float]:
    """Seconds of CPU that a run takes, its children's among them, and its most memory in MB.

    Measured by a small process: the memory of whoever starts a program counts as the program's own.
    """
    call = [sys.executable, "-I", "-S", "-c", MEASURE, *command]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    code, seconds, kilobytes = done.stdout.split()
    if code != "0":
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return float(seconds), int(kilobytes) / 1000


def decision() -> None:
    """A decision over the recorded index, pages cached: CPU and memory, for a machine in a file and for this one."""
    with tempfile.TemporaryDirectory() as folder, IndexServer() as server:
        server.serve_day("2026-05-19", projects=("torch", "torchvision", "torchaudio"))
        machine = Path(folder) / "machine.json"
        machine.write_text(machine_json("12.0"), encoding="utf-8")
        words = [GPUENV, "resolve", "--torch-index", server.torch_index, "--cache-dir", folder]
        named = [*words, "--machine", str(machine), "--python", "3.12"]
        here = [*words, "--profile", "cpu"]
        for title, command in (("pages cached, machine and Python named", named), ("this machine, any Python", here)):
            first, _ = cost(command)
            costs = [cost(command) for _ in range(REPEAT)]
            row(f"gpuenv resolve, {title}", [seconds for seconds, _ in costs])
            most = max(memory for _, memory in costs)
            print(f"  of CPU, {most:.0f} MB; the first time, over loopback: {1000 * first:.0f} ms")


def build() -> None:
    """A build from a lock against bare uv, of one wheel with as many files as torch has."""
    with tempfile.TemporaryDirectory(dir=".", prefix="gpuenv-bench-") as folder:
        wheel = build_wheel("stand-in", "1.0", members=FILES).write(Path(folder))
        subprocess.run([sys.executable, str(ROOT / "tools" / "bench_build.py"), str(wheel)], check=True)


def unchanged() -> None:
    """A `create` with nothing changed, in an environment with as many files as torch's."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    wheel = torch_wheel("2.11.0", "cpu", tag=f"{tag}-{tag}-manylinux_2_28_x86_64", members=SITE_FILES)
    with tempfile.TemporaryDirectory() as folder, IndexServer() as server:
        server.add(wheel, folder="cpu")
        person = Person.at(Path(folder), GPUENV_TORCH_INDEX=server.torch_index, GPUENV_INDEX=server.default_index)
        words = ("create", "--profile", "bench", "--no-verify")
        person.write("profiles/bench.toml", 'description = "b"\naccelerator = "cpu"\npackages = ["torch"]\n')
        if (built := person.run(*words)).code:
            print(f"gpuenv create, nothing changed: {built.err}")
            return
        asked = len(server.log)
        seconds = []
        for _ in range(REPEAT):
            start = time.perf_counter()
            person.run(*words)
            seconds.append(time.perf_counter() - start)
        row(f"gpuenv create, nothing changed, {SITE_FILES:,} files", seconds)
        print(f"  requests: {len(server.log) - asked}")


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {REPEAT} runs each")
    for measure in (start_up, detection, page, decision, unchanged, build):
        measure()
        sys.stdout.flush()


if __name__ == "__main__":
    main()
