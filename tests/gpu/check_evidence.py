"""Hold evidence of a GPU run against what was promised: check_evidence.py evidence.json [--within SECONDS] [--gpus N]

Every line says what was wanted and what was seen; exit 1 when one is missed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Line = tuple[bool, str]
REFERENCE_RATE = 31.7
"""Samples a second of the run that this project began with: GPT-2, batch 4, 14 steps, RTX 5090."""


def lines_of(value: dict[str, Any], *, within: float | None, gpus: int) -> Iterator[Line]:
    """Yield each promise with whether it was kept."""
    checks = {check["name"]: check for check in value["checks"]}
    runs = {run["mode"]: run for run in reversed(value["runs"])}
    yield value["verdict"] == "passed", f"verdict: {value['verdict']}"
    for name in ("devices", "native-code", "no-jit", "training", "on-device", "graph", "numbers", "kernels", "compile"):
        yield checks[name]["status"] == "passed", f"{name}: {checks[name]['status']}: {checks[name]['seen']}"
    absent = {"samples_per_second": 0.0, "peak_memory_bytes": 0}
    eager, graph = runs.get("eager", absent), runs.get("graph", absent)
    rate = eager["samples_per_second"]
    # Launching kernels is the host's work: 130 to 272 on hosts of H100 and H200, with the same code. What is promised
    # is the reference run, and that the card itself is fast: the graph's rate below.
    yield (
        rate >= REFERENCE_RATE,
        f"step by step at least the {REFERENCE_RATE} samples/s of the reference run: {rate:.1f}",
    )
    rate = graph["samples_per_second"]
    yield rate >= 400, f"as a graph at least 400 samples/s: {rate:.1f}"
    losses = [row["loss"] for row in value["final_losses"]]
    yield len(losses) >= 3 and max(losses) <= 2.8, f"final loss at most 2.8 with three seeds: {losses}"
    peak = eager["peak_memory_bytes"] or 0
    yield peak > 1e9, f"peak memory over 1 GB: {peak / 1e9:.2f}"
    for curve in value["curves"]:
        words = f"{curve['precision']} on {curve['device']} within {curve['bound']}: {curve['largest']:.2g}"
        yield curve["largest"] <= curve["bound"], words
    yield (
        all(rate["share"] for rate in value["rates"]),
        "shares of limits: "
        + ", ".join(f"{rate['what']} {rate['share']:.0%}" for rate in value["rates"] if rate["share"]),
    )
    if within is not None:
        yield value["seconds"] <= within, f"whole verification within {within:g} s: {value['seconds']:.1f}"
    if gpus > 1:
        seen = checks["several-gpus"]
        yield seen["status"] == "passed", f"several-gpus: {seen['status']}: {seen['seen']}"
        devices = {run["device"].split()[0] for run in value["runs"]}
        yield len(devices) == gpus, f"{gpus} GPUs trained by themselves: {', '.join(sorted(devices))}"


def main() -> int:
    """Print every promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("evidence", type=Path)
    parser.add_argument("--within", type=float, default=None)
    parser.add_argument("--gpus", type=int, default=1)
    options = parser.parse_args()
    value = json.loads(options.evidence.read_text("utf-8"))
    missed = 0
    for kept, words in lines_of(value, within=options.within, gpus=options.gpus):
        print(f"{'kept  ' if kept else 'MISSED'} {words}")
        missed += not kept
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
