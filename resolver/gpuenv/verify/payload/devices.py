"""The devices as torch sees them, and which of them are in scope."""

from __future__ import annotations

import sys
import time
from typing import Any

from .channel import Channel


def load_torch(channel: Channel) -> Any:
    """Import torch and say what was imported and how long it took."""
    channel.emit("importing", module="torch")
    start = time.perf_counter()
    import torch

    channel.emit(
        "torch",
        version=str(torch.__version__),
        cuda=torch.version.cuda,
        hip=getattr(torch.version, "hip", None),
        git=getattr(torch.version, "git_version", None),
        seconds=time.perf_counter() - start,
        file=str(getattr(torch, "__file__", "")),
        threads=torch.get_num_threads(),
        python=sys.version.split()[0],
    )
    return torch


def plain_uuid(text: object) -> str:
    """Return a UUID as torch writes it: NVML puts ``GPU-`` or ``MIG-`` before it."""
    low = str(text).lower()
    return low[4:] if low.startswith(("gpu-", "mig-")) else low


def describe(torch: Any, index: int) -> dict[str, object]:
    """Return one device's identity."""
    properties = torch.cuda.get_device_properties(index)
    return {
        "index": index,
        "name": str(properties.name),
        "uuid": plain_uuid(getattr(properties, "uuid", "")),
        "capability": f"{properties.major}.{properties.minor}",
        "memory_bytes": int(properties.total_memory),
        "multiprocessors": int(properties.multi_processor_count),
    }


def in_scope(torch: Any, settings: dict[str, Any]) -> list[int]:
    """Return the indices to work on: the UUIDs asked for, or every visible device where none was named."""
    wanted = {plain_uuid(uuid) for uuid in settings.get("uuids", ())}
    count = int(torch.cuda.device_count())
    found = [index for index in range(count) if str(describe(torch, index)["uuid"]) in wanted]
    # Old torch tells no UUID, and a MIG slice's differs between libraries: work on what is there, the parent decides.
    return found or list(range(count))


def has_bf16(torch: Any) -> bool:
    """Say whether the current card computes bf16 in hardware; emulation is not what is meant."""
    try:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    except TypeError:
        return bool(torch.cuda.is_bf16_supported())


def synchronize(torch: Any, device: str) -> None:
    """Wait for the device; nothing to wait for on a CPU."""
    if device != "cpu":
        torch.cuda.synchronize(device)
