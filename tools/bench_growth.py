"""Measure how the cost of a command grows with what it is given. Prints, asserts nothing.

    python tools/bench_growth.py [NAME …] [--write]     decision, check, lock, build, unchanged, verify

decision   CPU and memory of `resolve`, its page cached, against the rows of torch's page
check      CPU and memory of `check` of a requirements file against the packages that it pins
lock       CPU of `lock` with its own cache empty, uv's warm, against the requirements of a profile, each a project
build      CPU of `create --no-verify` against the files that it installs, the wheels in uv's cache
unchanged  CPU of a `create` with nothing to do against the files of the environment
verify     seconds of a whole verification of a real CPU build (--torch-env FOLDER) against the cores it may use

The last column is the exponent between the last two sizes (1 = linear, 0 = not at all): the logarithm of the ratio of
the costs over that of the sizes. What a command costs at size nothing is in every figure, so that the exponent of small
sizes is below the true one.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tools"))

from bench import GPUENV, MEASURE  # noqa: E402 # after the folders
from bench_peers import processor  # noqa: E402

from support.cli import Person, machine_json  # noqa: E402
from support.index_server import IndexServer  # noqa: E402
from support.serving import Fault  # noqa: E402
from support.wheels import build_wheel, torch_wheel  # noqa: E402

ROWS = (1_000, 5_000, 20_000, 50_000, 100_000, 200_000)
PACKAGES = (10, 100, 300, 1_000, 3_000)
REQUIREMENTS = (1, 10, 50, 100, 200)
FILES = (1_000, 4_000, 16_000, 64_000)
REPEAT = 5
PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance-growth.svg"
BEGIN, END = "<!-- growth: begin -->", "<!-- growth: end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The cost at one size: seconds (median, least, most), MB of the largest process, requests."""

    size: int
    seconds: tuple[float, ...]
    memory: float
    requests: int = 0

    @property
    def median(self) -> float:
        return statistics.median(self.seconds)


def cost(person: Person, *words: str, code: int = 0) -> tuple[float, float]:
    """Seconds of CPU of a run and of its children, and MB of its largest process."""
    call = [sys.executable, "-I", "-S", "-c", MEASURE, GPUENV, *words]
    done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=person.project, env=person.world())
    ended, seconds, kilobytes = done.stdout.split()
    if int(ended) != code:
        raise SystemExit(f"gpuenv {' '.join(words)} ended with {ended}: {person.run(*words).err}")
    return float(seconds), int(kilobytes) / 1000


def repeated(size: int, person: Person, *words: str) -> Point:
    """One point of ``REPEAT`` runs."""
    costs = [cost(person, *words) for _ in range(REPEAT)]
    return Point(size=size, seconds=tuple(each[0] for each in costs), memory=max(each[1] for each in costs))


def decision() -> Iterator[Point]:
    """Old releases beside one that is chosen: they are read and judged, each at its own version."""
    link = (
        '    <a href="/whl/cu{1}/torch-1.{2}.{0}%2Bcu{1}-cp3{3}-cp3{3}-linux_x86_64.whl#sha256={4:064x}">torch</a><br/>'
    )
    for rows in ROWS:
        with tempfile.TemporaryDirectory() as folder, IndexServer() as server:
            person = Person.at(Path(folder), GPUENV_TORCH_INDEX=server.torch_index)
            person.write("machine.json", machine_json("12.0", driver="580.95.05", cuda="13.0"))
            server.add(torch_wheel("2.9.1", "cu128", tag="cp312-cp312-manylinux_2_28_x86_64"), folder="cu128")
            page = server.answer("/whl/torch/")[1].decode()
            links = (
                link.format(number // 40, (113, 116, 117, 118)[number % 4], 10 + number % 5, 8 + number % 3, number)
                for number in range(rows - 1)
            )
            server.fault("/whl/torch/", Fault(body=page.replace("    <a", "\n".join(links) + "\n    <a", 1).encode()))
            person.write("profiles/one.toml", 'description = "b"\npackages = ["torch"]\n')
            words = ("resolve", "--profile", "one", "--machine", "machine.json", "--python", "3.12")
            cost(person, *words)
            yield repeated(rows, person, *words)


def check() -> Iterator[Point]:
    """A file of pins: torch as a build that the machine serves, the others of no concern to a GPU."""
    for packages in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            person = Person.at(Path(folder))
            pins = [f"package-{number}==1.0" for number in range(packages - 1)]
            person.write("requirements.txt", "\n".join(["torch==2.9.1+cu128", *pins]) + "\n")
            yield repeated(packages, person, "check", "requirements.txt", "--machine", "rtx5090@580.95.05")


def lock() -> Iterator[Point]:
    """With an empty cache each time; uv keeps its own, so that the first run alone asks for the packages."""
    for requirements in REQUIREMENTS:
        with tempfile.TemporaryDirectory() as folder, IndexServer() as server:
            person = Person.at(Path(folder), GPUENV_TORCH_INDEX=server.torch_index, GPUENV_INDEX=server.default_index)
            person.write("machine.json", machine_json("12.0", driver="580.95.05", cuda="13.0"))
            server.add(torch_wheel("2.9.1", "cu128", tag="cp312-cp312-manylinux_2_28_x86_64"), folder="cu128")
            names = [f"package-{number}" for number in range(requirements)]
            for name in names:
                server.add_package(build_wheel(name, "1.0"))
            person.write("profiles/many.toml", f'description = "b"\npackages = {json.dumps(["torch", *names])}\n')
            costs, asked = [], 0
            for number in range(REPEAT):
                before = len(server.log)
                words = ("--machine", "machine.json", "--python", "3.12", "--cache-dir", f"{folder}/cache-{number}")
                costs.append(cost(person, "lock", "--profile", "many", "--upgrade", *words))
                asked = len(server.log) - before
            seconds = tuple(each[0] for each in costs)
            yield Point(size=requirements, seconds=seconds, memory=max(each[1] for each in costs), requests=asked)


def created(files: int) -> Iterator[tuple[Person, IndexServer]]:
    """Somebody with an environment of so many files."""
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    wheel = torch_wheel("2.11.0", "cpu", tag=f"{tag}-{tag}-manylinux_2_28_x86_64", members=files)
    with tempfile.TemporaryDirectory() as folder, IndexServer() as server:
        server.add(wheel, folder="cpu")
        person = Person.at(Path(folder), GPUENV_TORCH_INDEX=server.torch_index, GPUENV_INDEX=server.default_index)
        person.write("profiles/bench.toml", 'description = "b"\naccelerator = "cpu"\npackages = ["torch"]\n')
        cost(person, "create", "--profile", "bench", "--no-verify")
        yield person, server


def unchanged() -> Iterator[Point]:
    for files in FILES:
        for person, _ in created(files):
            yield repeated(files, person, "create", "--profile", "bench", "--no-verify")


def build() -> Iterator[Point]:
    for files in FILES:
        for person, _ in created(files):
            yield repeated(files, person, "create", "--profile", "bench", "--no-verify", "--rebuild")


def verify(environment: Path) -> Iterator[Point]:
    """Seconds from start to end on so many cores, of a standing environment that gpuenv made."""
    for cores in range(1, (os.cpu_count() or 1) + 1):
        allowed = ",".join(map(str, range(cores)))
        seconds = []
        for _ in range(2):
            start = time.perf_counter()
            command = ["taskset", "-c", allowed, GPUENV, "verify", str(environment)]
            subprocess.run(command, check=True, capture_output=True, cwd=environment.parent)
            seconds.append(time.perf_counter() - start)
        yield Point(size=cores, seconds=tuple(seconds), memory=0)


def exponent(points: Sequence[Point]) -> float:
    """Of the growth between the last two sizes."""
    one, two = points[-2:]
    return math.log(two.median / one.median) / math.log(two.size / one.size)


def table(results: dict[str, list[Point]]) -> str:
    lines = [
        f"{os.cpu_count()} cores ({processor()}), load {os.getloadavg()[0]:.1f} at the end, {date.today()}.", "",
        "| what | size | seconds, median (least–most) | MB | requests | exponent |", "|---|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for name, points in results.items():
        for number, point in enumerate(points):
            last = f"{exponent(points):.2f}" if number and number == len(points) - 1 else ""
            spread = f"{point.median:.2f} ({min(point.seconds):.2f}–{max(point.seconds):.2f})"
            lines.append(f"| {name} | {point.size:,} | {spread} | {point.memory:.0f} | {point.requests} | {last} |")
    return "\n".join(lines)


def plot(results: dict[str, list[Point]]) -> str:
    """Size against seconds, both axes in powers of ten: a line of slope one is linear growth."""
    left, top, width, height = 60, 30, 640, 380
    points = [point for each in results.values() for point in each]
    high = math.ceil(math.log10(max(point.size for point in points)))
    least = math.floor(math.log10(min(point.median for point in points)))
    most = math.ceil(math.log10(max(point.median for point in points)))

    def place(size: float, seconds: float) -> tuple[float, float]:
        across = math.log10(size) / high
        up = (math.log10(seconds) - least) / (most - least)
        return left + across * width, top + (1 - up) * height

    parts = []
    for power in range(high + 1):
        x = place(10**power, 10**least)[0]
        parts.append(f'<line x1="{x}" x2="{x}" y1="{top}" y2="{top + height}" stroke="#ddd"/>')
        parts.append(f'<text x="{x}" y="{top + height + 16}" text-anchor="middle">{10**power:,}</text>')
    for power in range(least, most + 1):
        y = place(1, 10**power)[1]
        parts.append(f'<line x1="{left}" x2="{left + width}" y1="{y}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4}" text-anchor="end">{10**power:g} s</text>')
    colours = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#8c564b", "#e377c2")
    for colour, (name, each) in zip(colours, results.items(), strict=False):
        places = [place(point.size, point.median) for point in each]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x, y = places[-1]
        parts.append(f'<text x="{x + 6:.1f}" y="{y + 4:.1f}" fill="{colour}">{name}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 110}" height="{top + height + 40}"'
    title = "Seconds against size, both in powers of ten"
    body = "\n".join(parts)
    head += f' font-family="sans-serif" font-size="11">\n<text x="8" y="16" font-size="13">{title}</text>'
    return f"{head}\n{body}\n</svg>\n"


def main() -> None:
    measures: dict[str, Callable[[], Iterator[Point]]] = {
        "decision": decision, "check": check, "lock": lock, "build": build, "unchanged": unchanged,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *measures, "verify"], metavar="NAME")
    parser.add_argument("--torch-env", type=Path, help="an environment with a CPU build of torch, made by gpuenv")
    parser.add_argument("--write", action="store_true", help="renew the table and the plot in docs/")
    asked = parser.parse_args()
    if asked.torch_env is not None:
        measures["verify"] = lambda: verify(asked.torch_env)
    results: dict[str, list[Point]] = {}
    for name in asked.names or measures:
        results[name] = []
        for point in measures[name]():
            results[name].append(point)
            print(f"{name} {point.size:,}: {point.median:.2f} s, {point.memory:.0f} MB", file=sys.stderr, flush=True)
    written = table(results)
    print(written)
    if asked.write:
        page = PAGE.read_text(encoding="utf-8")
        head, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n{written}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
        PLOT.write_text(plot(results), encoding="utf-8")


if __name__ == "__main__":
    main()
