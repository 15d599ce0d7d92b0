"""In which type a training computes, and the scaling of gradients that fp16 needs."""

from __future__ import annotations

from typing import Any

import torch

from . import devices

FIRST_WITH_FAST_FP16 = (7, 0)
"""The first compute capability with matrix units, for fp16 (CUDA C++ Programming Guide, "Warp Matrix Functions")."""
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


def choose(planned: str, *, gpu: bool) -> str:
    """Return ``bf16``, ``fp16`` or ``fp32``: what is planned where the device has it in hardware, else the nearest.

    A GPU without bf16 trains in fp16, one without matrix units in fp32; a CPU trains in fp32 unless fp16 is asked for.
    """
    if not gpu:
        return "fp16" if planned == "fp16" else "fp32"
    if planned == "bf16" and not devices.has_bf16(torch):
        return "fp16" if torch.cuda.get_device_capability() >= FIRST_WITH_FAST_FP16 else "fp32"
    return planned


def described(precision: str) -> str:
    """Return the precision as reports name it."""
    return {"bf16": "bf16 autocast", "fp16": "fp16 autocast, scaled gradients"}.get(precision, precision)


class Scaler:
    """Scales the loss so that small gradients survive fp16, and skips a step whose gradients overflowed.

    torch's own ``GradScaler`` does the work; its name moved from ``torch.cuda.amp`` to ``torch.amp``.
    """

    def __init__(self, device: str, *, scale: float | None = None) -> None:
        more = {} if scale is None else {"init_scale": scale}
        if hasattr(torch.amp, "GradScaler"):
            self.scaler = torch.amp.GradScaler(device.partition(":")[0], **more)
        else:
            self.scaler = torch.cuda.amp.GradScaler(**more)
        self.skipped = 0
        self._before = float(self.scaler.get_scale())

    @property
    def scale(self) -> float:
        """The factor by which the next loss is multiplied."""
        return float(self.scaler.get_scale())

    def step(self, value: Any, optimizer: Any, parameters: list[Any], *, largest_norm: float) -> None:
        """Backward, clipping in true units, and the update; nothing waits for the device."""
        self.scaler.scale(value).backward()
        self.scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(parameters, largest_norm, foreach=True)
        self.scaler.step(optimizer)
        self.scaler.update()

    def count(self) -> None:
        """Look whether the last step was skipped: the scale falls then, and only then."""
        now = self.scale
        self.skipped += now < self._before
        self._before = now

    def state(self) -> list[Any]:
        """Return the tensors that a captured graph changes."""
        return [self.scaler._scale, self.scaler._growth_tracker]
