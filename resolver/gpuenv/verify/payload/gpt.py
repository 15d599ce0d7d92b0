"""A GPT of the GPT-2 shape as plain functions over a list of tensors.

Written without ``torch.nn`` on purpose: no module hooks, fewer Python calls a step, and nothing between the operators
under test and the numbers they make.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

Tensor = Any  # torch.Tensor: torch is not installed where types are checked


@dataclass(frozen=True)
class Shape:
    """Sizes of one model. ``tied``: the output layer is the embedding (GPT-2), else a layer of its own."""

    layers: int
    heads: int
    width: int
    context: int
    vocabulary: int
    tied: bool = True

    def tensors(self) -> list[tuple[str, tuple[int, ...]]]:
        """Name and size of every parameter, in the order that :func:`loss` takes them."""
        d = self.width
        names: list[tuple[str, tuple[int, ...]]] = [("wte", (self.vocabulary, d)), ("wpe", (self.context, d))]
        for layer in range(self.layers):
            names += [
                (f"{layer}.ln1.w", (d,)),
                (f"{layer}.ln1.b", (d,)),
                (f"{layer}.qkv.w", (3 * d, d)),
                (f"{layer}.qkv.b", (3 * d,)),
                (f"{layer}.proj.w", (d, d)),
                (f"{layer}.proj.b", (d,)),
                (f"{layer}.ln2.w", (d,)),
                (f"{layer}.ln2.b", (d,)),
                (f"{layer}.up.w", (4 * d, d)),
                (f"{layer}.up.b", (4 * d,)),
                (f"{layer}.down.w", (d, 4 * d)),
                (f"{layer}.down.b", (d,)),
            ]
        names += [("ln.w", (d,)), ("ln.b", (d,))]
        return names if self.tied else [*names, ("head.w", (self.vocabulary, d))]

    def parameters(self) -> int:
        """Count the parameters: 124,439,808 for GPT-2."""
        return sum(math.prod(size) for _, size in self.tensors())


SHAPES = {
    "gpt2": Shape(layers=12, heads=12, width=768, context=1024, vocabulary=50257),
    "gpt2-small": Shape(layers=6, heads=6, width=384, context=256, vocabulary=256),
    "gpt2-tiny": Shape(layers=4, heads=4, width=128, context=256, vocabulary=256),
}
MARKOV = Shape(layers=2, heads=4, width=128, context=64, vocabulary=256, tied=False)

CAST = (".qkv.w", ".qkv.b", ".proj.w", ".proj.b", ".up.w", ".up.b", ".down.w", ".down.b", "head.w")

Draw = Callable[[tuple[int, ...], float], Tensor]


def initial(shape: Shape, draw: Draw, *, like: Tensor) -> list[Tensor]:
    """Make the parameters by GPT-2's rule: weights of deviation 0.02, residual ones shrunk, gains 1, biases 0."""
    residual = 0.02 / math.sqrt(2 * shape.layers)
    made = []
    for name, size in shape.tensors():
        if name.endswith(".b") or name == "head.w":
            tensor = torch.zeros(size, device=like.device, dtype=like.dtype)
        elif len(size) == 1:
            tensor = torch.ones(size, device=like.device, dtype=like.dtype)
        else:
            tensor = draw(size, residual if ".proj." in name or ".down." in name else 0.02)
        made.append(tensor.requires_grad_(True))  # noqa: FBT003 - torch's own signature
    return made


def loss(shape: Shape, parameters: list[Tensor], tokens: Tensor, targets: Tensor) -> Tensor:
    """Return the mean cross entropy, in nats a token, of predicting ``targets`` from ``tokens``."""
    d, heads = shape.width, shape.heads
    batch, length = tokens.shape
    wte, wpe = parameters[0], parameters[1]
    x = F.embedding(tokens, wte) + wpe[:length]
    for layer in range(shape.layers):
        ln1w, ln1b, qkvw, qkvb, pw, pb, ln2w, ln2b, upw, upb, downw, downb = parameters[
            2 + 12 * layer : 14 + 12 * layer
        ]
        mixed = F.linear(F.layer_norm(x, (d,), ln1w, ln1b), qkvw, qkvb)
        q, k, v = mixed.view(batch, length, 3, heads, d // heads).permute(2, 0, 3, 1, 4).unbind(0)
        seen = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + F.linear(seen.transpose(1, 2).reshape(batch, length, d), pw, pb)
        hidden = F.gelu(F.linear(F.layer_norm(x, (d,), ln2w, ln2b), upw, upb), approximate="tanh")
        x = x + F.linear(hidden, downw, downb)
    end = 2 + 12 * shape.layers
    x = F.layer_norm(x, (d,), parameters[end], parameters[end + 1])
    logits = F.linear(x, wte if shape.tied else parameters[end + 2])
    # In full precision: CUDA's autocast leaves the loss of bf16 logits in bf16, 5.53125 for ln 256.
    return F.cross_entropy(logits.view(-1, shape.vocabulary).to(wte.dtype), targets.reshape(-1))


class _Together(torch.autograd.Function):  # type: ignore[misc]  # torch is not installed where types are checked
    """Cast many tensors with a few kernels, and their gradients back."""

    @staticmethod
    def forward(_context: Any, kind: Any, *tensors: Tensor) -> tuple[Tensor, ...]:
        made = [torch.empty_like(tensor, dtype=kind) for tensor in tensors]
        torch._foreach_copy_(made, tensors)
        return tuple(made)

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        made = [torch.empty_like(gradient, dtype=torch.float32) for gradient in gradients]
        torch._foreach_copy_(made, gradients)
        return (None, *made)


def low_precision(shape: Shape, parameters: list[Tensor], kind: Any) -> list[Tensor]:
    """Return the parameters with the layers' matrices and biases in ``kind`` (bf16, fp16), as autocast would cast them.

    Autocast's own casts are two hundred small kernels a step; the numbers are the same.
    """
    names = [name for name, _ in shape.tensors()]
    places = [number for number, name in enumerate(names) if name.endswith(CAST)]
    cast = list(parameters)
    for place, tensor in zip(places, _Together.apply(kind, *(parameters[place] for place in places)), strict=True):
        cast[place] = tensor
    return cast
