"""Many hosts that only exist as recorded facts and evidence: time and memory of classes, locks and report.

By hand: ``PYTHONPATH=tests .venv/bin/python -m fleet.simulated 50 100 200 400``. One row per number of hosts, each in a
process of its own: seconds of CPU and MB at most of `gpuenv fleet lock` and of `gpuenv fleet report`, whole.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpuenv.fleet.desk import Desk
from support.index_server import IndexServer
from support.wheels import torch_wheel

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "docs/evidence/h200/evidence.json"
"""Real evidence of one H200; each simulated host has it with figures of its own."""
DRIVERS = ("580.65.06", "580.82.07", "570.124.06", "570.133.20")
CARDS = (
    ("9.0", "NVIDIA H200"), ("12.0", "NVIDIA GeForce RTX 5090"), ("8.0", "NVIDIA A100-SXM4-80GB"), ("8.9", "NVIDIA L4"),
)  # fmt: skip


def machine(number: int) -> dict[str, Any]:
    """One of 16 classes, by turns."""
    capability, name = CARDS[number % 4]
    gpus = [
        {"index": index, "uuid": f"GPU-{number:08x}-0000-4000-8000-{index:012x}", "name": name,
         "compute_capability": capability, "memory_bytes": 85899345920, "mig": False}
        for index in range(8)
    ]  # fmt: skip
    driver = {"version": DRIVERS[number // 4 % 4], "cuda": None, "source": "nvml"}
    return {"os": "linux", "arch": "x86_64", "libc": "glibc 2.39", "wsl": False, "container": False, "driver": driver,
            "gpus": gpus}  # fmt: skip


def record(folder: Path, count: int) -> None:
    """Write what ``count`` hosts would have said."""
    desk, recorded = Desk(folder), json.loads(RECORDED.read_text("utf-8"))
    for number in range(count):
        name, facts = f"gpu{number:04}", machine(number)
        slow = 0.8 if number % 37 == 5 else 1.0
        rates = [{**row, "value": row["value"] * slow} for row in recorded["rates"]]
        desk.keep(name, "host.json", {"name": name, "pythons": ["3.12"]})
        desk.keep(name, "machine.json", facts)
        built = {"lock_sha256": "", "driver": facts["driver"]["version"], "verified": True, "seconds": 60.0}
        desk.keep(name, "built.json", built)
        desk.keep(name, "evidence/evidence.json", {**recorded, "machine": facts, "rates": rates})


def measured(count: int) -> Mapping[str, float]:
    """What the locks and the report of ``count`` hosts take, each in a child of its own."""
    with tempfile.TemporaryDirectory() as folder, IndexServer() as index:
        for variant in ("cu126", "cu128", "cu130"):
            index.add(torch_wheel("2.10.0", variant, tag="cp312-cp312-manylinux_2_28_x86_64"), folder=variant)
        record(Path(folder) / "fleet", count)
        world = {"GPUENV_TORCH_INDEX": index.torch_index, "GPUENV_INDEX": index.default_index}
        locked = run("lock", folder, world)
        reported = run("report", folder, world)
        report = reported.said["data"]["report"]
        assert len(report["hosts"]) == count
        assert all(each["lock"] for each in report["classes"])
        page = (Path(folder) / "fleet/report.html").stat().st_size
    named = sum(bool(host["deviations"]) for host in report["hosts"])
    return {
        "hosts": count, "classes": len(report["classes"]), "named": named,
        "lock s": locked.cpu, "lock MB": locked.memory,
        "report s": reported.cpu, "report MB": reported.memory, "page kB": page / 1000,
    }  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a command said, its seconds of CPU and its MB at most."""

    said: Any  # Any: what was measured
    cpu: float
    memory: float


def run(action: str, folder: str, world: Mapping[str, str]) -> Ran:
    command = [sys.executable, "-m", "gpuenv", "fleet", action, "--json", "-q"]
    environ = {**os.environ, "HOME": folder, "PIP_CONFIG_FILE": os.devnull, **world}
    child = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, env=environ)
    assert child.stdout is not None
    said = child.stdout.read()
    _, _, usage = os.wait4(child.pid, 0)
    return Ran(said=json.loads(said), cpu=usage.ru_utime + usage.ru_stime, memory=usage.ru_maxrss / 1024)


if __name__ == "__main__":
    for number in map(int, sys.argv[1:] or ("200",)):
        print("  ".join(f"{key} {value:.4g}" for key, value in measured(number).items()), flush=True)
