"""Show this machine: system, driver, CUDA, each GPU, every fact with its source."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gpuenv.steps.context import Context

if TYPE_CHECKING:
    from gpuenv.commands.detect import DetectOutcome

EXAMPLES = (
    ("gpuenv detect", "driver, CUDA and each GPU, with the source of each fact"),
    ("gpuenv detect --json > gpu-host.json", "a file for --machine, to decide for this machine on another"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Nothing beyond the common options."""


def run(arguments: argparse.Namespace, context: Context) -> DetectOutcome:
    from gpuenv.commands import detect

    return detect.run(context)


def data(outcome: DetectOutcome) -> dict[str, object]:
    return outcome.machine.to_json()


def text(outcome: DetectOutcome) -> Iterator[str]:
    machine = outcome.machine
    sources = dict(machine.sources)

    def row(label: str, value: object, path: str) -> str:
        source = sources.get(path)
        return f"{label:<20} {value}" + (f"  ({source})" if source else "")

    yield row("system", f"{machine.os} {machine.arch}", "os")
    if machine.libc:
        yield row("C library", machine.libc, "libc")
    for label, flag, path in (("WSL", machine.wsl, "wsl"), ("container", machine.container, "container")):
        yield row(label, "yes" if flag else "no", path)
    if machine.driver is None:
        yield row("NVIDIA driver", "none", "driver")
    else:
        yield row("NVIDIA driver", machine.driver.version, "driver.version")
        yield row("driver's CUDA", machine.driver.cuda or "unknown", "driver.cuda")
    if not machine.gpus:
        yield row("NVIDIA GPUs", "none", "gpus")
    for place, gpu in enumerate(machine.gpus):
        at = f"gpus[{place}]"
        yield row(f"GPU {gpu.index}", gpu.name, f"{at}.name")
        yield row("  compute capability", gpu.compute_capability, f"{at}.compute_capability")
        if gpu.memory_bytes is not None:
            yield row("  memory", f"{gpu.memory_bytes / 2**30:.1f} GiB", f"{at}.memory_bytes")
        yield row("  UUID", gpu.uuid, f"{at}.uuid")
        if gpu.mig:
            yield row("  MIG", "on", f"{at}.mig")
    for note in outcome.notes:
        yield f"note: {note}"
