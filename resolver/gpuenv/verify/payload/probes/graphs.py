"""Probes of PyTorch Geometric's libraries."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Parts = Iterator[tuple[Any, ...]]  # Any: tensors; torch is not installed where types are checked


def pyg_lib(device: str) -> Parts:
    """Products of three groups of rows, each with a matrix of its own."""
    import torch
    from pyg_lib.ops import segment_matmul

    rows = ((torch.arange(24 * 16) * 7) % 5 - 2).reshape(24, 16)
    matrices = ((torch.arange(3 * 16 * 8) * 3) % 5 - 2).reshape(3, 16, 8)
    pointer = torch.tensor([0, 5, 17, 24], device=device)
    got = segment_matmul(rows.float().to(device), pointer, matrices.float().to(device))
    groups = zip(rows.split([5, 12, 7]), matrices, strict=True)
    yield "segment_matmul", got, torch.cat([group @ matrix for group, matrix in groups])


def torch_scatter(device: str) -> Parts:
    """Sums and largest entries of segments of rows."""
    import torch
    from torch_scatter import segment_csr

    rows = ((torch.arange(24 * 16) * 7) % 101).reshape(24, 16)
    groups = rows.split([5, 12, 7])
    low, pointer = rows.float().to(device), torch.tensor([0, 5, 17, 24], device=device)
    yield "segment_csr sum", segment_csr(low, pointer, reduce="sum"), torch.stack([each.sum(0) for each in groups])
    yield "segment_csr max", segment_csr(low, pointer, reduce="max"), torch.stack([each.amax(0) for each in groups])


def torch_sparse(device: str) -> Parts:
    """A sparse matrix times a dense one."""
    import torch
    from torch_sparse import SparseTensor

    dense = ((torch.arange(32 * 16) * 7) % 5 - 2).reshape(32, 16)
    dense = dense * (dense != 2)
    other = ((torch.arange(16 * 8) * 3) % 5 - 2).reshape(16, 8)
    got = SparseTensor.from_dense(dense.float().to(device)) @ other.float().to(device)
    yield "spmm", got, dense @ other


def torch_cluster(device: str) -> Parts:
    """Points numbered by the cell of a grid that they are in."""
    import torch
    from torch_cluster import grid_cluster

    points = torch.stack([torch.arange(64) % 8, torch.arange(64) // 8], dim=1)
    low, size = points.float().to(device), torch.tensor([2.0, 4.0], device=device)
    got = grid_cluster(low, size, torch.zeros(2, device=device), torch.full((2,), 7.0, device=device))
    yield "grid_cluster", got, points[:, 0] // 2 + points[:, 1] // 4 * 4
