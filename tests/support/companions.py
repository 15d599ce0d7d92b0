"""Companions of torch in plain Python: they compute what the real ones do, each in the slow and obvious way.

A probe says what is right for a real companion's kernel; a stand-in that shares nothing with the probe says whether
that is true.
"""

from __future__ import annotations

from pathlib import Path

MODULES = {
    "torchvision/__init__.py": "",
    "torchvision/ops.py": """
import torch

def nms(boxes, scores, most):
    kept = []
    for number in scores.argsort(descending=True).tolist():
        if all(_overlap(boxes[number], boxes[other]) <= most for other in kept):
            kept.append(number)
    return torch.tensor(kept)

def _overlap(one, two):
    low, high = torch.maximum(one[:2], two[:2]), torch.minimum(one[2:], two[2:])
    both = (high - low).clamp(min=0).prod()
    return both / ((one[2:] - one[:2]).prod() + (two[2:] - two[:2]).prod() - both)

def roi_pool(image, boxes, output_size):
    return torch.nn.functional.max_pool2d(image, image.shape[-1] // output_size[0])

def deform_conv2d(image, offset, weight):
    assert not offset.any()
    windows = image[0].unfold(1, 3, 1).unfold(2, 3, 1)
    return torch.stack([(windows * each[:, None, None]).sum((0, 3, 4)) for each in weight])
""",
    "torchaudio/__init__.py": "",
    "torchaudio/functional.py": """
import torch

def forced_align(scores, labels, blank=0):
    # CTC by dynamic programming: states are the labels with a blank before, between and after them.
    states = [blank] + [state for label in labels[0].tolist() for state in (label, blank)]
    best = {0: (scores[0, 0, states[0]], [0]), 1: (scores[0, 0, states[1]], [1])}
    for frame in range(1, scores.shape[1]):
        made = {}
        for state, label in enumerate(states):
            before = [state, state - 1]
            if label != blank and state > 1 and states[state - 2] != label:
                before.append(state - 2)
            ways = [best[each] for each in before if each in best]
            if ways:
                total, way = max(ways, key=lambda each: each[0])
                made[state] = (total + scores[0, frame, label], [*way, state])
        best = made
    last = [best[each] for each in (len(states) - 1, len(states) - 2) if each in best]
    path = [states[each] for each in max(last, key=lambda each: each[0])[1]]
    return torch.tensor([path]), torch.tensor([[scores[0, frame, label] for frame, label in enumerate(path)]])
""",
    "flash_attn.py": """
import torch

def flash_attn_func(query, key, value, softmax_scale, causal=False):
    score = torch.einsum("bihd,bjhd->bhij", query.float(), key.float()) * softmax_scale
    if causal:
        score += torch.full_like(score, float("-inf")).triu(1)
    return torch.einsum("bhij,bjhd->bihd", score.softmax(-1), value.float())
""",
    "flash_attn_interface.py": """
from flash_attn import flash_attn_func as _two

def flash_attn_func(*arguments, **options):
    return _two(*arguments, **options), None
""",
    "xformers/__init__.py": "",
    "xformers/ops/__init__.py": "",
    "xformers/ops/sp24.py": """
import torch

lib = torch.library.Library("xformers", "DEF")
lib.define("sparse24_sparsify_both_ways(Tensor x, str algorithm, str backend) -> Tensor[]")
lib.define("sparse24_apply_dense_output(Tensor x, Tensor masks) -> Tensor")

def ways(x, algorithm, backend):
    # From each tile of 4 x 4 the largest are taken as long as no row or column has more than two.
    tiles = x.reshape(x.shape[0] // 4, 4, x.shape[1] // 4, 4).transpose(1, 2).reshape(-1, 16)
    keep = torch.zeros_like(tiles, dtype=torch.bool)
    for tile, mask in zip(tiles.abs(), keep):
        rows, columns = [0] * 4, [0] * 4
        for place in tile.argsort(descending=True, stable=True).tolist():
            row, column = divmod(place, 4)
            if rows[row] < 2 and columns[column] < 2:
                mask[place] = True
                rows[row] += 1
                columns[column] += 1
    masks = keep.reshape(x.shape[0] // 4, x.shape[1] // 4, 4, 4).transpose(1, 2).reshape(x.shape)
    return [x, x, x, x, masks]

lib.impl("sparse24_sparsify_both_ways", ways, "CPU")
lib.impl("sparse24_apply_dense_output", lambda x, masks: x * masks, "CPU")
""",
    "torchao/__init__.py": "",
    "torchao/ops.py": """
import torch

def to_sparse_semi_structured_cutlass_sm9x_f8(weight):
    groups = weight.float().reshape(weight.shape[0], -1, 4)
    assert ((groups != 0).sum(2) == 2).all()  # two of four
    places = (groups != 0).nonzero()[:, 2].reshape(*groups.shape[:2], 2)
    return groups.gather(2, places), places

def rowwise_scaled_linear_sparse_cutlass_f8f8(rows, scale, packed, places, scales, out_dtype):
    weight = torch.zeros(*packed.shape[:2], 4).scatter(2, places, packed).reshape(packed.shape[0], -1)
    return ((rows.float() * scale[:, None]) @ (weight * scales[:, None]).t()).to(out_dtype)
""",
    "causal_conv1d.py": """
import torch

def causal_conv1d_fn(x, weight):
    padded = torch.nn.functional.pad(x, (weight.shape[1] - 1, 0))
    return torch.nn.functional.conv1d(padded, weight[:, None], groups=weight.shape[0])
""",
    "mamba_ssm/__init__.py": "",
    "mamba_ssm/ops/__init__.py": "",
    "mamba_ssm/ops/selective_scan_interface.py": """
import torch

def selective_scan_fn(u, delta, A, B, C):
    state, out = torch.zeros(u.shape[0], u.shape[1], A.shape[1]), []
    for t in range(u.shape[2]):
        step = delta[:, :, t, None]
        state = torch.exp(step * A) * state + step * B[:, None, :, t] * u[:, :, t, None]
        out.append((state * C[:, None, :, t]).sum(2))
    return torch.stack(out, 2)
""",
    "pyg_lib/__init__.py": "",
    "pyg_lib/ops.py": """
import torch

def segment_matmul(rows, ends, matrices):
    out = [rows[ends[n]:ends[n + 1]] @ matrices[n] for n in range(len(matrices))]
    return torch.cat(out)
""",
    "torch_scatter.py": """
import torch

def segment_csr(rows, ends, reduce):
    way = {"sum": lambda part: part.sum(0), "max": lambda part: part.max(0).values}[reduce]
    return torch.stack([way(rows[ends[n]:ends[n + 1]]) for n in range(len(ends) - 1)])
""",
    "torch_sparse.py": """
class SparseTensor:
    @classmethod
    def from_dense(cls, dense):
        made = cls()
        made.coo = dense.to_sparse()
        return made

    def __matmul__(self, other):
        return self.coo @ other
""",
    "torch_cluster.py": """
import torch

def grid_cluster(points, size, start, end):
    cells, count = ((points - start) / size).long(), ((end - start) / size).long() + 1
    return (cells * torch.cat([torch.ones(1, dtype=torch.int64), count.cumprod(0)[:-1]])).sum(1)
""",
    "vllm.py": """
import torch

lib = torch.library.Library("_C", "FRAGMENT")
lib.define("silu_and_mul(Tensor! out, Tensor both) -> ()")

def work(out, both):
    half = both.shape[-1] // 2
    out.copy_(torch.nn.functional.silu(both[..., :half].float()) * both[..., half:])

lib.impl("silu_and_mul", work, "CPU")
""",
    "sgl_kernel.py": """
import torch
from vllm import work

lib = torch.library.Library("sgl_kernel", "FRAGMENT")
lib.define("silu_and_mul(Tensor! out, Tensor both) -> ()")
lib.impl("silu_and_mul", work, "CPU")
""",
    "deepspeed/__init__.py": "",
    "deepspeed/ops/__init__.py": "",
    "deepspeed/ops/adam.py": """
import torch

def FusedAdam(weights, lr, betas, eps, weight_decay):
    return torch.optim.AdamW(weights, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
""",
}
"""By file. Those of triton, bitsandbytes, CuPy, JAX and torchcodec were tried with the real ones alone."""


def install(site: Path, *, only: tuple[str, ...] = ()) -> None:
    """Write the stand-ins (``only``: of these packages) into a folder of packages."""
    for name, text in MODULES.items():
        if not only or name.partition("/")[0].removesuffix(".py") in only:
            path = site / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
