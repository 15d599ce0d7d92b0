"""Probes of torchao and bitsandbytes."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Any

Parts = Iterator[tuple[Any, ...]]  # Any: tensors; torch is not installed where types are checked


def torchao(device: str) -> Parts:
    """A matrix product in fp8 with a sparse weight: sums of at most 64 ones, exact in bf16."""
    import torch
    from torchao import ops

    places = torch.arange(256 * 128).reshape(256, 128)
    weight = torch.where((places // 4 + places) % 4 < 2, 1, 0) * ((places // 3) % 2 * 2 - 1)
    rows = ((torch.arange(128 * 128) * 5 // 3) % 2 * 2 - 1).reshape(128, 128)
    narrow = torch.float8_e4m3fn
    packed, meta = ops.to_sparse_semi_structured_cutlass_sm9x_f8(weight.to(device, torch.bfloat16).to(narrow))
    scales = [torch.ones(count, device=device, dtype=torch.float32) for count in (128, 256)]
    got = ops.rowwise_scaled_linear_sparse_cutlass_f8f8(
        rows.to(device, torch.bfloat16).to(narrow), scales[0], packed, meta, scales[1], out_dtype=torch.bfloat16
    )
    yield "rowwise_scaled_linear_sparse_cutlass_f8f8", got, rows @ weight.t()


def bitsandbytes(device: str) -> Parts:
    """Quantizing to 8 bits by rows whose largest entry is 127, and values of the 4-bit type there and back."""
    import torch
    from bitsandbytes import cextension, functional
    from bitsandbytes.cuda_specs import get_cuda_specs

    # Where its library does not load, the package goes on without it and says so at the first call only.
    ctypes.CDLL(str(cextension.get_cuda_bnb_library_path(get_cuda_specs())))
    whole = (torch.arange(64 * 128) * 31 % 255 - 127).reshape(64, 128)
    whole[:, 0] = 127
    quantized, scales, _ = torch.ops.bitsandbytes.int8_vectorwise_quant(whole.to(device, torch.float16))
    yield "int8_vectorwise_quant", quantized, whole
    yield "its scales", scales, [127.0] * 64

    values = functional.get_4bit_type("nf4", device="cpu").repeat(64) * 4
    packed, state = functional.quantize_4bit(values.to(device), blocksize=64, quant_type="nf4")
    yield "nf4", functional.dequantize_4bit(packed, state), values
