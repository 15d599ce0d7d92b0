"""Measure gpuenv against what people use today, in one run on one index. Prints, asserts nothing.

    make bench-peers                               the whole table (minutes), needs root: it makes a network of its own
    python tools/bench_peers.py --repeat 3 --delays 0,80 --write

The index is PyTorch's as it was recorded, every row of 2026-05-19, under its real address: a network namespace has
nothing but loopback, ``/etc/hosts`` in it leads PyTorch's host to a server of this process with a certificate made
for the run. So uv's ``--torch-backend=auto`` and light-the-torch, whose addresses are fixed, ask the same pages as the
others. The server waits the delay before it answers each request. The machine is one for all: Linux on x86_64, driver
580.95.05, an RTX 5090; the question is torch, torchvision and torchaudio for this interpreter.

Each tool runs ``--repeat`` times cold (an empty cache each time) and as often warm (the cache of the run before), in
turn with the others. Said are medians with the least and the most: seconds from start to end, seconds of CPU with
its children's, the most memory of one process, requests and bytes of answers.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

import ssl  # noqa: E402

from packaging.requirements import InvalidRequirement, Requirement  # noqa: E402
from packaging.version import Version  # noqa: E402

from support.cli import machine_json  # noqa: E402 # after the folder of the stand-ins
from support.index_server import IndexServer  # noqa: E402
from support.recorded import recording  # noqa: E402
from support.serving import Fault  # noqa: E402
from support.wheels import build_wheel, normalize  # noqa: E402

DAY = "2026-05-19"
DRIVER, CUDA = "580.95.05", "13.0"
FAMILY = ("torch", "torchvision", "torchaudio")
HOST = "download.pytorch.org"
TORCH_INDEX = f"https://{HOST}/whl"
EXPLICIT = "cu130"
"""The variant that somebody who knows the driver's table writes down: the newest that the driver reaches exactly."""
PEERS = ROOT / "build" / "peers"
PAGE = ROOT / "docs" / "performance.md"
PLOT = ROOT / "docs" / "performance-peers.svg"
BEGIN, END = "<!-- peers: begin -->", "<!-- peers: end -->"
MEASURE = """import os, sys, time
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
start = time.perf_counter()
files = [(os.POSIX_SPAWN_DUP2, out, number) for number in (1, 2)]
_, status, used = os.wait4(os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ, file_actions=files), 0)
print(os.waitstatus_to_exitcode(status), time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """One way of asking. ``command`` takes the folder of its cache; ``left_out`` is why it cannot be asked here."""

    name: str
    question: str
    command: Callable[[Path], Sequence[str]]
    left_out: str | None = None
    ends: int = 0
    """With what it ends. light-the-torch's pip downloads the wheels in a dry run too, and the bodies served here are
    small ones that have not the recorded hash: it names its choice, and ends with 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run: seconds, seconds of CPU, MB, requests, bytes of answers, and what was chosen."""

    wall: float
    cpu: float
    memory: float
    requests: int
    sent: int
    chosen: str


def tools(folder: Path, simple: str) -> list[Tool]:
    """What is compared: the choice alone, then the whole lock with its hashes."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    machine, wanted = folder / "machine.json", folder / "family.in"
    machine.write_text(machine_json("12.0", driver=DRIVER, cuda=CUDA), encoding="utf-8")
    wanted.write_text("\n".join(FAMILY) + "\n", encoding="utf-8")
    (folder / "profiles").mkdir()
    family = ", ".join(f'"{name}"' for name in FAMILY)
    (folder / "profiles" / "family.toml").write_text(f'description = "b"\npackages = [{family}]\n', encoding="utf-8")
    bin_folder = Path(sys.executable).parent
    gpuenv, uv = str(bin_folder / "gpuenv"), str(bin_folder / "uv")

    def ours(verb: str, *more: str) -> Callable[[Path], Sequence[str]]:
        asked = ("--profile", "family", "--machine", str(machine), "--python", python, "--index", simple)
        return lambda cache: [gpuenv, verb, *asked, "--cache-dir", str(cache), *more]

    def compiled(*more: str) -> Callable[[Path], Sequence[str]]:
        target = ("--python-platform", "x86_64-manylinux_2_28", "--python", sys.executable, "--default-index", simple)
        return lambda cache: [uv, "pip", "compile", "-q", *target, "--cache-dir", str(cache), *more, str(wanted)]

    def pip(program: Sequence[str], *more: str) -> Callable[[Path], Sequence[str]]:
        words = ("install", "--dry-run", "--ignore-installed", "--only-binary=:all:", "--disable-pip-version-check")
        return lambda cache: [*program, *words, "--cache-dir", str(cache), *more, *FAMILY]

    explicit = ("--index", f"{TORCH_INDEX}/{EXPLICIT}")
    own = pip([sys.executable, "-m", "pip"], "--index-url", f"{TORCH_INDEX}/{EXPLICIT}", "--no-deps")
    whole = pip([sys.executable, "-m", "pip"], "--index-url", f"{TORCH_INDEX}/{EXPLICIT}", "--extra-index-url", simple)
    ltt = PEERS / "bin" / "ltt"
    missing = None if ltt.is_file() else "it could not be installed"
    pixi = shutil.which("pixi")
    choice, lock = "which three", "locked, hashes"
    return [
        Tool(name="gpuenv resolve", question=choice, command=ours("resolve")),
        Tool(name=f"uv pip compile, {EXPLICIT}", question=choice, command=compiled("--no-deps", *explicit)),
        Tool(name="uv --torch-backend=auto", question=choice, command=compiled("--no-deps", "--torch-backend=auto")),
        Tool(name=f"pip, {EXPLICIT}", question=choice, command=own),
        Tool(name="light-the-torch", question=choice, command=pip([str(ltt)], "--no-deps"), left_out=missing, ends=1),
        Tool(name="gpuenv lock", question=lock, command=ours("lock", "--upgrade")),
        Tool(name=f"uv pip compile, {EXPLICIT}", question=lock, command=compiled("--generate-hashes", *explicit)),
        Tool(
            name="uv --torch-backend=auto",
            question=lock,
            command=compiled("--generate-hashes", "--torch-backend=auto"),
        ),
        Tool(name=f"pip, {EXPLICIT}, --report", question=lock, command=lambda c: [*whole(c), "--report", os.devnull]),
        Tool(
            name="pixi",
            question=lock,
            command=lambda _: [],
            left_out="not to be had from a Python package index" if pixi is None else "it reads conda channels alone",
        ),
    ]


def environment(folder: Path, authority: Path) -> dict[str, str]:
    """Of every run: nothing of the person's configuration, the driver for uv, the certificate for all."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    asked = folder / "nvidia-smi"  # what light-the-torch asks for the driver's version
    asked.write_text(f"#!/bin/sh\necho driver_version\necho {DRIVER}\n", encoding="utf-8")
    asked.chmod(0o755)
    return {
        "PATH": f"{Path(sys.executable).parent}:{folder}:/usr/bin:/bin", "HOME": str(home), "LANG": "C.UTF-8",
        "SSL_CERT_FILE": str(authority), "REQUESTS_CA_BUNDLE": str(authority), "PIP_CERT": str(authority),
        "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INPUT": "1", "UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never",
        "UV_CUDA_DRIVER_VERSION": DRIVER, "UV_INDEX_STRATEGY": "first-index", "NO_COLOR": "1",
    }  # fmt: skip


def run(tool: Tool, cache: Path, folder: Path, environ: dict[str, str], server: IndexServer) -> Sample:
    """One run, measured by a small process: the memory of whoever starts a program counts as the program's own."""
    said, command = folder / "said", tool.command(cache)
    before = len(server.log)
    call = [sys.executable, "-I", "-S", "-c", MEASURE, str(said), *command]
    done = subprocess.run(call, capture_output=True, text=True, check=True, cwd=folder, env=environ)
    code, wall, cpu, kilobytes = done.stdout.split()
    text = said.read_text(encoding="utf-8", errors="replace")
    if code != str(tool.ends):
        raise SystemExit(f"{' '.join(command)} ended with {code}:\n{text[-3000:]}")
    asked = server.log[before:]
    return Sample(
        wall=float(wall),
        cpu=float(cpu),
        memory=int(kilobytes) / 1000,
        requests=len(asked),
        sent=sum(request.sent for request in asked),
        chosen=chosen(text, folder),
    )


def chosen(text: str, folder: Path) -> str:
    """The torch that a tool named, in its own words or in the lock it wrote."""
    lock = folder / "lockfiles" / "pylock.family.toml"
    found = re.search(r"\btorch[ =-]+=?\s*(\d[\w.+]*)", text)
    if found is None and lock.is_file():
        found = re.search(r"torch-(\d[\w.]*(?:\+|%2B)\w+)-", lock.read_text(encoding="utf-8"))
    return found[1].replace("%2B", "+") if found else "?"


def supply(server: IndexServer) -> None:
    """Put on the default package index whatever the family's wheels of the day ask for: small wheels, real names."""
    interpreter = f"cp{sys.version_info.major}{sys.version_info.minor}"
    here = {row.project for row in recording().on(DAY)}
    added: set[tuple[str, str]] = set()
    for row in recording().on(DAY, projects=FAMILY):
        if row.platform != "linux_x86_64" or f"-{interpreter}-" not in row.filename or row.channel != "stable":
            continue
        for text in recording().requirements(row).requires:
            for name, version in needed(text, skipped=here & {"torch", "triton", "pytorch-triton"}):
                if (name, version) not in added:
                    added.add((name, version))
                    server.add_package(build_wheel(name, version))


def needed(text: str, *, skipped: set[str]) -> Iterable[tuple[str, str]]:
    """Project and version of a wheel that fulfils a requirement."""
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return
    name = normalize(requirement.name)
    bounds = [each.version.removesuffix(".*") for each in requirement.specifier if each.operator in ("==", ">=", "~=")]
    if name not in skipped:
        yield name, str(max(map(Version, bounds))) if bounds else "99.0"


def measure(repeat: int, delays: Sequence[int]) -> dict[tuple[str, str, str, int], list[Sample]]:
    """Samples by (question, tool, "cold" or "warm", delay in milliseconds)."""
    samples: dict[tuple[str, str, str, int], list[Sample]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        authority = certificate(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "server.pem", folder / "key.pem")
        with IndexServer() as simple, IndexServer(tls=context, port=443) as torch:
            simple.log = torch.log  # one list for both: what a run asked is counted once
            torch.serve_day(DAY)
            supply(simple)
            environ = environment(folder, authority)
            compared = [tool for tool in tools(folder, simple.default_index) if tool.left_out is None]
            for delay in delays:
                for server in (torch, simple):
                    server.heal()
                    server.fault("/", Fault(stall=delay / 1000))
                for turn in range(repeat + 1):
                    for number, tool in enumerate(compared):
                        cache = folder / f"cache-{number}"
                        shutil.rmtree(cache, ignore_errors=True)
                        for state in ("cold", "warm"):
                            sample = run(tool, cache, folder, environ, torch)
                            if turn:  # the first turn fills the server's pages and the disk's cache
                                samples.setdefault((tool.question, tool.name, state, delay), []).append(sample)
                print(f"{delay} ms a request: {repeat} runs each", file=sys.stderr, flush=True)
    return samples


def certificate(folder: Path) -> Path:
    """An authority that only this run trusts; beside it what it signed for PyTorch's host, with its key."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)

    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1")
    openssl(*new, "-subj", "/CN=for one run", "-keyout", "ca.key", "-out", "ca.pem")
    names = ("-addext", f"subjectAltName=DNS:{HOST}", "-addext", "basicConstraints=critical,CA:FALSE")
    signed = ("-CA", "ca.pem", "-CAkey", "ca.key")
    openssl(*new, "-subj", f"/CN={HOST}", *names, *signed, "-keyout", "key.pem", "-out", "server.pem")
    return folder / "ca.pem"


def spread(values: Sequence[float], form: str = "{:.2f}") -> str:
    return f"{form.format(statistics.median(values))} ({form.format(min(values))}–{form.format(max(values))})"


def table(samples: dict[tuple[str, str, str, int], list[Sample]], delays: Sequence[int]) -> str:
    """Markdown: a row for each question, tool and state, with a column of seconds for each delay."""
    lines = [
        f"{os.cpu_count()} cores ({processor()}), Python {platform.python_version()}, load {os.getloadavg()[0]:.1f} at "
        f"the end, {date.today()}. Seconds are the median (least–most); CPU, memory and counts are those at "
        f"{delays[0]} ms.", "",
        "| question | tool | cache | " + " | ".join(f"{delay} ms a request" for delay in delays)
        + " | CPU | × uv's | MB | requests | kB | torch |",
        "|---|---|---|" + "---:|" * (len(delays) + 5) + "---|",
    ]  # fmt: skip
    for question, name, state, delay in samples:
        if delay != delays[0]:
            continue
        here = samples[question, name, state, delay]
        baseline = samples[question, f"uv pip compile, {EXPLICIT}", state, delay]
        ratio = statistics.median(s.cpu for s in here) / statistics.median(s.cpu for s in baseline)
        walls = " | ".join(spread([s.wall for s in samples[question, name, state, each]]) for each in delays)
        lines.append(
            f"| {question} | {name} | {state} | {walls} | {spread([s.cpu for s in here])} | {ratio:.1f} | "
            f"{statistics.median(s.memory for s in here):.0f} | {spread([s.requests for s in here], '{:.0f}')} | "
            f"{statistics.median(s.sent for s in here) / 1000:.0f} | {here[-1].chosen} |"
        )
    return "\n".join(lines)


def processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return found[1] if found else platform.machine()


def plot(samples: dict[tuple[str, str, str, int], list[Sample]], delays: Sequence[int]) -> str:
    """An SVG of the cold runs: one bar for each tool and delay, the whisker from the least to the most."""
    rows = [key for key in samples if key[2] == "cold"]
    longest = max(sample.wall for key in rows for sample in samples[key])
    scale, left, step = 480 / longest, 250, 16
    parts, y, shown = [], 24, ""
    for question, name, _, delay in sorted(rows, key=lambda key: (list(samples).index((*key[:3], delays[0])), key[3])):
        walls = [sample.wall for sample in samples[question, name, "cold", delay]]
        if shown != f"{question}: {name}":
            shown, y = f"{question}: {name}", y + 6
            parts.append(f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">{shown}</text>')
        shade = ("#9ecae1", "#4292c6", "#084594")[min(delays.index(delay), 2)]
        width = statistics.median(walls) * scale
        parts.append(f'<rect x="{left}" y="{y}" width="{width:.1f}" height="{step - 4}" fill="{shade}"/>')
        low, high, middle = left + min(walls) * scale, left + max(walls) * scale, y + step / 2 - 2
        parts.append(f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}" stroke="#000"/>')
        parts.append(f'<text x="{high + 6:.1f}" y="{y + 11}">{statistics.median(walls):.2f} s, {delay} ms</text>')
        y += step
    title = f"Cold, seconds from start to end, by delay of a request ({', '.join(map(str, delays))} ms)"
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="860" height="{y + 20}" font-family="sans-serif"'
    return (
        f'{head} font-size="11">\n<text x="8" y="16" font-size="13">{title}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def enter(arguments: Sequence[str]) -> None:
    """Install the peers, then start again in a network and a table of mounts of our own."""
    if not (PEERS / "bin" / "ltt").is_file():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
        # pip 26 moved what light-the-torch patches; its own bound says so
        subprocess.run([str(PEERS / "bin" / "python"), "-m", "pip", "install", "-q", "light-the-torch"], check=False)
    os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, __file__, "--inside", *arguments])


def lead_here() -> None:
    """In the namespace: loopback up, PyTorch's host is this machine."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    with tempfile.NamedTemporaryFile("w", suffix=".hosts", delete=False) as hosts:
        hosts.write(f"127.0.0.1 localhost {HOST}\n")
    subprocess.run(["mount", "--bind", hosts.name, "/etc/hosts"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--delays", default="0,20,80", help="milliseconds, separated by commas")
    parser.add_argument("--write", action="store_true", help="renew the table and the plot in docs/")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    chosen_words = parser.parse_args()
    if not chosen_words.inside:
        enter(sys.argv[1:])
    lead_here()
    delays = [int(each) for each in chosen_words.delays.split(",")]
    samples = measure(chosen_words.repeat, delays)
    written = table(samples, delays)
    with tempfile.TemporaryDirectory() as folder:
        left_out = [tool for tool in tools(Path(folder), "http://127.0.0.1/simple") if tool.left_out]
    written += "".join(f"\n\nLeft out: {tool.name}, {tool.left_out}." for tool in left_out)
    print(written)
    if chosen_words.write:
        page = PAGE.read_text(encoding="utf-8")
        head, _, rest = page.partition(BEGIN)
        PAGE.write_text(f"{head}{BEGIN}\n{written}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
        PLOT.write_text(plot(samples, delays), encoding="utf-8")


if __name__ == "__main__":
    main()
