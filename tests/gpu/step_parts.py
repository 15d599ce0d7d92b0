"""On a GPU host with torch: where the time of a training step goes. Prints Markdown.

    python tests/gpu/step_parts.py [STEPS]

The step is the verification's own: GPT-2 with 124 million parameters, 4 samples of 256 tokens, bf16 autocast, AdamW.
Said are, of medians after a warm-up: the step from start to end, what the host needs to launch each part and what the
device needs for it, how many kernels there are and how long the device works, and the same step as one CUDA graph and
through torch.compile.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "resolver"))

import torch  # after the folder of the payload

from gpuenv.verify.payload.training import Trainer, _processor

DEVICE = "cuda:0"
SETTINGS: dict[str, Any] = {"model": "gpt2", "precision": "bf16", "samples": 550, "batch_size": 4, "steps": 130}
WARM = 10


def median_ms(work: Callable[[], object], *, steps: int) -> float:
    """Milliseconds from start to the end of the device's work, the median."""
    took = []
    for _ in range(WARM + steps):
        torch.cuda.synchronize()
        start = time.perf_counter()
        work()
        torch.cuda.synchronize()
        took.append(1000 * (time.perf_counter() - start))
    return statistics.median(took[WARM:])


def parts(trainer: Trainer, *, steps: int) -> dict[str, tuple[float, float]]:
    """Of each part of a step: milliseconds of the host (no waiting in it) and of the device."""
    names = ("data and rate", "forward", "backward", "clipping", "optimizer", "reading the loss")
    host: dict[str, list[float]] = {name: [] for name in names}
    device: dict[str, list[float]] = {name: [] for name in names}
    for number in range(WARM + steps):
        rows = trainer.batches[number % len(trainer.batches)]
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(len(names) + 1)]
        torch.cuda.synchronize()
        times = [time.perf_counter()]
        marks[0].record()

        def done(times: list[float] = times, marks: list[Any] = marks) -> None:
            marks[len(times)].record()
            times.append(time.perf_counter())

        trainer.set_rate(number)
        trainer.optimizer.zero_grad(set_to_none=True)
        done()
        value = trainer.forward(rows)
        done()
        value.backward()
        done()
        torch.nn.utils.clip_grad_norm_(trainer.parameters, 1.0, foreach=True)
        done()
        trainer.optimizer.step()
        done()
        float(value.detach())
        done()
        torch.cuda.synchronize()
        if number >= WARM:
            for place, name in enumerate(names):
                host[name].append(1000 * (times[place + 1] - times[place]))
                device[name].append(marks[place].elapsed_time(marks[place + 1]))
    return {name: (statistics.median(host[name]), statistics.median(device[name])) for name in names}


def kernels(trainer: Trainer, *, steps: int) -> tuple[float, float, float]:
    """Kernels of a step, milliseconds in which the device computes, milliseconds in the calls that launch."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as profiled:
        for number in range(steps):
            trainer.step(number, trainer.batches[number])
        torch.cuda.synchronize()
    events = profiled.events()
    work = [event for event in events if event.device_type == torch.autograd.DeviceType.CUDA]
    launches = [
        event for event in events if event.name in ("cudaLaunchKernel", "cuLaunchKernel", "cudaLaunchKernelExC")
    ]
    busy = sum(event.device_time for event in work) / 1000
    return len(launches) / steps, busy / steps, sum(event.cpu_time for event in launches) / 1000 / steps


def graph(trainer: Trainer, *, steps: int) -> float:
    """Milliseconds of the same step as one CUDA graph."""
    rows = trainer.batches[0].clone()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for number in range(3):
            trainer.step(number, rows)
    torch.cuda.current_stream().wait_stream(side)
    trainer.optimizer.zero_grad(set_to_none=True)
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.graph(captured):
        trainer.work(rows)
    return median_ms(captured.replay, steps=steps)


def compiled(mode: str, *, steps: int) -> str:
    """Milliseconds of a step whose forward and backward torch.compile makes, or why it does not."""
    trainer = Trainer(SETTINGS, device=DEVICE, seed=1)
    begin = time.perf_counter()
    try:
        trainer.forward = torch.compile(trainer.forward, mode=mode)  # type: ignore[method-assign]
        trainer.step(0, trainer.batches[0])
        torch.cuda.synchronize()
        first = time.perf_counter() - begin
        return (
            f"{median_ms(lambda: trainer.step(0, trainer.batches[0]), steps=steps):.2f} ms (first step {first:.0f} s)"
        )
    except Exception as error:  # whatever the compiler says is the answer
        return f"not here: {type(error).__name__}: {str(error).splitlines()[0][:160]}"


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    name = torch.cuda.get_device_name(0)
    print(f"{name}, host {_processor()}, torch {torch.__version__}, {steps} steps\n")
    trainer = Trainer(SETTINGS, device=DEVICE, seed=1)
    eager = median_ms(lambda: float(trainer.step(5, trainer.batches[5])), steps=steps)
    free = median_ms(lambda: [trainer.step(5, trainer.batches[5]) for _ in range(10)], steps=max(steps // 10, 3)) / 10
    print("| part | host, ms | device, ms |\n|---|---:|---:|")
    for part, (host, device) in parts(trainer, steps=steps).items():
        print(f"| {part} | {host:.2f} | {device:.2f} |")
    count, busy, launching = kernels(trainer, steps=10)
    print("\n| the whole step | |\n|---|---:|")
    print(f"| eager, each loss read | {eager:.2f} ms |")
    print(f"| eager, ten steps before a loss is read | {free:.2f} ms |")
    print(f"| one CUDA graph | {graph(Trainer(SETTINGS, device=DEVICE, seed=1), steps=steps):.2f} ms |")
    print(f"| torch.compile | {compiled('default', steps=steps)} |")
    print(f"| torch.compile, reduce-overhead | {compiled('reduce-overhead', steps=steps)} |")
    print(f"| kernels launched | {count:.0f} |")
    print(f"| the device computes | {busy:.2f} ms |")
    print(f"| the host is in the calls that launch, under the profiler | {launching:.2f} ms |")


if __name__ == "__main__":
    main()
