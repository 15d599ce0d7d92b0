"""Counts what one training step runs on the device, by the profiler's own records."""

from __future__ import annotations

from typing import Any

import torch

from . import devices
from .channel import Channel

GROUPS = {
    "matmul": ("gemm", "nvjet", "cutlass", "xmma", "matmul", "splitkreduce", "cublas"),
    "attention": ("flash", "fmha", "attention", "sdpa"),
    "normalization": ("layer_norm", "layernorm", "gammabeta"),
    "loss": ("softmax", "nll"),
    "optimizer": ("adam", "multi_tensor"),
}


def profile(trained: Any, channel: Channel) -> None:
    """Count what one more step ran on the device, by the profiler's own records."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    if trained.gpu:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    channel.emit("profiling")
    try:
        with torch.profiler.profile(activities=activities) as profiler:
            trained.step(len(trained.batches), trained.batches[-1])
            devices.synchronize(torch, trained.device)
        found = [
            (str(event.name), float(event.time_range.elapsed_us()), "CPU" in str(event.device_type))
            for event in profiler.events()
        ]
    except Exception as error:  # CUPTI fails in many ways; the parent says what it means
        channel.emit("profile", message=f"{type(error).__name__}: {error}", kernels=0)
        return
    # Beside kernels the device's records hold copies and the marks of Python ranges ("Optimizer.step#AdamW.step").
    marks = ("Mem", "aten::")
    kernels = [(name, us) for name, us, cpu in found if not cpu and not name.startswith(marks) and "#" not in name]
    operators = [name for name, _, cpu in found if cpu and name.startswith("aten::")]
    channel.emit(
        "profile",
        kernels=len(kernels),
        device_seconds=sum(micros for _, micros in kernels) / 1e6,
        operators=len(operators),
        groups=_groups(kernels),
        longest=[[name[:120], micros] for name, micros in sorted(kernels, key=lambda item: -item[1])[:8]],
        message="",
    )


def _groups(kernels: list[tuple[str, float]]) -> dict[str, int]:
    """Sort kernels by the work their names tell; ``attention`` first, since its names hold ``cutlass`` as well."""
    counts = dict.fromkeys((*GROUPS, "other"), 0)
    for name, _ in kernels:
        low = name.lower()
        order = ("attention", "optimizer", "normalization", "loss", "matmul")
        counts[next((group for group in order if any(word in low for word in GROUPS[group])), "other")] += 1
    return counts
