"""Probes of what computes beside torch: Triton, CuPy, JAX, ONNX Runtime."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Parts = Iterator[tuple[Any, ...]]  # Any: arrays of each library


def triton(device: str) -> Parts:
    """A kernel compiled for the card: whole numbers added and multiplied."""
    import torch

    from . import triton_kernel

    left, right = ((torch.arange(1000, dtype=torch.int32) * by) % 1009 for by in (7, 11))
    out = torch.empty(1000, dtype=torch.int32, device=device)
    triton_kernel.multiply_add[(8,)](left.to(device), right.to(device), out, 1000, BLOCK=128)
    yield "a kernel of its own", out, left * right + left


def cupy(device: str) -> Parts:
    """A kernel compiled by NVRTC, a product by cuBLAS, and a sort, which lies compiled in the wheel."""
    import cupy as cp
    import numpy as np

    with cp.cuda.Device(int(device.partition(":")[2])):
        left = (np.arange(48 * 64) * 7 % 11 - 5).reshape(48, 64)
        right = (np.arange(64 * 32) * 5 % 7 - 3).reshape(64, 32)
        low = cp.asarray(left, dtype=cp.float32)
        yield "elementwise", cp.asnumpy(low * 3 + 1), left * 3 + 1
        yield "matmul", cp.asnumpy(low @ cp.asarray(right, dtype=cp.float32)), left @ right
        mixed = np.arange(5000) * 7919 % 5003
        yield "sort", cp.asnumpy(cp.sort(cp.asarray(mixed))), np.sort(mixed)


def jax(device: str) -> Parts:
    """A product and a sum, compiled for the card by XLA."""
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # the training beside it needs the card's memory too
    import jax as jx
    import numpy as np

    kind, _, number = device.partition(":")
    places = jx.devices()
    if kind == "cuda" and places[0].platform not in ("gpu", "cuda"):
        raise RuntimeError(f"jax computes on the CPU: its devices are {', '.join(map(str, places))}")
    place = places[int(number or 0)]
    left = (np.arange(48 * 64) * 7 % 11 - 5).reshape(48, 64)
    right = (np.arange(64 * 32) * 5 % 7 - 3).reshape(64, 32)
    low = [jx.device_put(each.astype("float32"), place) for each in (left, right)]
    made = jx.jit(lambda a, b: ((a @ b) * 2, a.sum(axis=0)))(*low)
    if any(place not in each.devices() for each in made):
        raise RuntimeError(f"jax computed on {made[0].devices()}, not on {place}")
    yield "matmul", np.asarray(made[0]), left @ right * 2
    yield "sum", np.asarray(made[1]), left.sum(0)


def onnxruntime(device: str) -> Parts:
    """A product, which is cuBLAS's, and its negative, by a kernel of onnxruntime's own.

    The graph may only run where it was asked to: the list of providers tells nothing.
    """
    import numpy as np
    import onnxruntime as ort

    if device != "cpu":
        ort.preload_dlls(directory="")  # CUDA's libraries of the environment, as its documentation says
        folder = Path(ort.__file__).parent / "capi"
        for name in ("shared", "cuda"):
            ctypes.CDLL(str(folder / f"libonnxruntime_providers_{name}.so"), mode=ctypes.RTLD_GLOBAL)
    provider = "CPUExecutionProvider" if device == "cpu" else "CUDAExecutionProvider"
    options = ort.SessionOptions()
    options.log_severity_level = 3
    settings = {} if device == "cpu" else {"device_id": device.partition(":")[2]}
    if device != "cpu":
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    session = ort.InferenceSession(_model(64, 32), options, providers=[(provider, settings)])
    if session.get_providers()[0] != provider:
        raise RuntimeError(f"the session runs on {', '.join(session.get_providers())}, not on {provider}")
    left = (np.arange(48 * 64) * 7 % 11 - 5).reshape(48, 64)
    right = (np.arange(64 * 32) * 5 % 7 - 3).reshape(64, 32)
    inputs = {"x": left.astype("float32"), "y": right.astype("float32")}
    yield "MatMul, Neg", session.run(["z"], inputs)[0], -(left @ right)


def _model(inner: int, columns: int) -> bytes:
    """Write a model of a product and its negative (onnx.proto3: ModelProto, GraphProto, NodeProto) without onnx."""
    product = _text(1, "x") + _text(1, "y") + _text(2, "p") + _text(4, "MatMul")
    negative = _text(1, "p") + _text(2, "z") + _text(4, "Neg")
    graph = _bytes(1, product) + _bytes(1, negative) + _text(2, "g")
    shapes = ((11, "x", (48, inner)), (11, "y", (inner, columns)), (12, "z", (48, columns)))
    for field, name, sizes in shapes:
        shape = b"".join(_bytes(1, _number(1, size)) for size in sizes)
        tensor = _number(1, 1) + _bytes(2, shape)  # 1: FLOAT
        graph += _bytes(field, _text(1, name) + _bytes(2, _bytes(1, tensor)))
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _number(2, 13))


def _varint(number: int) -> bytes:
    low = number & 0x7F
    return bytes([low | 0x80]) + _varint(number >> 7) if number > 0x7F else bytes([low])


def _number(field: int, number: int) -> bytes:
    return _varint(field << 3) + _varint(number)


def _bytes(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, text: str) -> bytes:
    return _bytes(field, text.encode())
