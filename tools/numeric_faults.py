"""Faults put into torch one at a time, and what the verification's numeric checks make of each."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


def share(values: Mapping[str, Any]) -> float:
    """Return how much of its bound a family took."""
    return max(values["error"] / values["bound"], values["rms"] / values["rms_bound"])


@dataclass(frozen=True)
class Fault:
    """A fault, what it is put in place of, the families that are asked, and the wrong function."""

    name: str
    place: str
    families: tuple[str, ...]
    make: Any


def _faults() -> list[Fault]:
    """Describe the faults; each replaces one function of torch by one that is wrong in one way."""
    torch = importlib.import_module("torch")

    def spoiled(change: Any) -> Any:
        def make(right: Any) -> Any:
            return lambda *given, **named: change(right(*given, **named))

        return make

    def element(out: Any) -> Any:
        out = out.clone()
        out.flatten()[out.numel() // 2] += 1
        return out

    def tile(out: Any) -> Any:
        out = out.clone()
        out[..., 16:32, 16:32] = 0
        return out

    def overflow(out: Any) -> Any:
        return torch.where(out.abs() >= 128, float("inf"), out) if out.dtype == torch.float16 else out

    def flip(right: Any) -> Any:
        calls = [0]

        def wrong(*given: Any, **named: Any) -> Any:
            out, calls[0] = right(*given, **named), calls[0] + 1
            if calls[0] == 5:
                bits = out.view(torch.int32 if out.element_size() == 4 else torch.int16)
                bits.flatten()[bits.numel() // 3] ^= 1
            return out

        return wrong

    def short(right: Any) -> Any:
        return lambda a, b: right(a[..., :-1], b[..., :-1, :])

    def turned(right: Any) -> Any:
        return lambda x, w, **named: right(x, w.transpose(2, 3).contiguous(), **named)

    def crossed(right: Any) -> Any:
        return lambda a, b: right(a, b.transpose(-1, -2)) if b.shape[-1] == b.shape[-2] else right(a, b)

    def cut(x: Any) -> Any:
        """Round to the ten fraction bits of TF32, to nearest."""
        return ((x.contiguous().view(torch.int32) + 0x1000) & -0x2000).view(torch.float32)

    def coarse(right: Any) -> Any:
        return lambda a, b: right(cut(a), cut(b)) if a.dtype == torch.float32 else right(a, b)

    def unmasked(right: Any) -> Any:
        return lambda q, k, v, **named: right(q, k, v, **{**named, "is_causal": False})

    def forgetful(right: Any) -> Any:
        def wrong(self: Any, *given: Any, **named: Any) -> Any:
            open_nodes = [self.grad_fn]
            while open_nodes:
                node = open_nodes.pop()
                if hasattr(node, "variable"):
                    node.variable.grad = None
                open_nodes += [item for item, _ in node.next_functions if item is not None]
            return right(self, *given, **named)

        return wrong

    def stale(right: Any) -> Any:
        def wrong(self: Any, closure: Any = None) -> None:
            before = {id(p): {k: _copied(v) for k, v in self.state[p].items()} for p in self.param_groups[0]["params"]}
            right(self, closure)
            for p in self.param_groups[0]["params"]:
                if before[id(p)]:
                    self.state[p].update(before[id(p)])

        return wrong

    def last_wins(right: Any) -> Any:
        class Lookup(torch.autograd.Function):  # type: ignore[misc]  # torch is not installed where types are checked
            @staticmethod
            def forward(context: Any, rows: Any, table: Any) -> Any:
                context.save_for_backward(rows)
                context.shape = table.shape
                return right(rows, table)

            @staticmethod
            def backward(context: Any, push: Any) -> Any:
                out = push.new_zeros(context.shape)
                out[context.saved_tensors[0]] = push
                return None, out

        return Lookup.apply

    f = "torch.nn.functional"
    attention = tuple(f"attention {name}" for name in ("math", "flash"))
    return [
        Fault("one wrong element, by one", "torch.matmul", ("matmul",), spoiled(element)),
        Fault("one 16×16 tile of zeros", "torch.matmul", ("matmul",), spoiled(tile)),
        Fault("the last term dropped", "torch.matmul", ("matmul",), short),
        Fault("a transposed operand", "torch.matmul", ("repetition",), crossed),
        Fault("a transposed filter", f"{f}.conv2d", ("convolution",), turned),
        Fault("scale 1.1 in a layer", f"{f}.linear", ("linear",), spoiled(lambda out: out * 1.1)),
        Fault("a layer without its bias", f"{f}.linear", ("linear",), lambda right: lambda x, w, b: right(x, w, b * 0)),
        Fault("missing mask", f"{f}.scaled_dot_product_attention", attention, unmasked),
        Fault("a gradient not accumulated", "torch.Tensor.backward", ("accumulation",), forgetful),
        Fault("only the last of repeated rows", f"{f}.embedding", ("embedding",), last_wins),
        Fault("TF32 for fp32", "torch.matmul", ("matmul",), coarse),
        Fault("overflow to inf in fp16", "torch.matmul", ("matmul",), spoiled(overflow)),
        Fault("stale momentum", "torch.optim.SGD.step", ("sgd",), stale),
        Fault("stale moments", "torch.optim.AdamW.step", ("adamw, later steps",), stale),
        Fault("a bit that flips in one step", "torch.matmul", ("repetition",), flip),
        Fault("scale 1.1 in softmax", f"{f}.softmax", ("softmax",), spoiled(lambda out: out * 1.1)),
        Fault("GELU by tanh", f"{f}.gelu", ("gelu",), lambda right: lambda x: right(x, approximate="tanh")),
        Fault("variance over n - 1", f"{f}.layer_norm", ("layer norm",), spoiled(lambda out: out * (255 / 256) ** 0.5)),
    ]


def _copied(value: Any) -> Any:
    return value.clone() if hasattr(value, "clone") else value


@contextlib.contextmanager
def replaced(place: str, make: Any) -> Iterator[None]:
    """Put a wrong function where torch's is."""
    owner_name, _, name = place.rpartition(".")
    try:
        owner = importlib.import_module(owner_name)
    except ImportError:
        module, _, kind = owner_name.rpartition(".")
        owner = getattr(importlib.import_module(module), kind)
    right = getattr(owner, name)
    setattr(owner, name, make(right))
    try:
        yield
    finally:
        setattr(owner, name, right)


def inject(device: str) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield each fault's name and the values of the checks that were asked."""
    families = importlib.import_module("gpuenv_payload.families")
    exact = importlib.import_module("gpuenv_payload.exact")
    bounded = importlib.import_module("gpuenv_payload.bounded")
    attention = importlib.import_module("gpuenv_payload.exact_attention").attention
    for fault in _faults():
        made: list[dict[str, Any]] = []
        with replaced(fault.place, fault.make):
            for family in fault.families:
                names = ("float32",) if family.startswith(("sgd", "adamw")) else ("float32", "float16", "bfloat16")
                for kind in (exact.KINDS[name] for name in names):
                    if family in families.EXACT:
                        made.append(families.exactly(family, families.EXACT[family], device, kind))
                    elif family in families.OPTIMIZER:
                        made.append(families.exactly(family, families.OPTIMIZER[family], device, kind))
                    elif family.startswith("attention"):
                        made.append(families.exactly(family, attention(family.split()[1]), device, kind))
                    else:
                        check = bounded.adamw if family.startswith("adamw") else families.BOUNDED[family]
                        made.append(families.nearly(family, check, device, kind))
        yield fault.name, made
    yield "one GPU's gradient ignored", [_alone(device, exact.KINDS[name]) for name in ("float32", "float16")]


def _alone(device: str, kind: Any) -> dict[str, Any]:
    """Take a rank's gradient for that of the whole batch: what the all-reduce was to add is not there."""
    families = importlib.import_module("gpuenv_payload.families")
    ranks = importlib.import_module("gpuenv_payload.ranks")

    def check(where: str, given: Any) -> Iterator[Any]:
        yield ranks.gradient(where, given, rank=0, world=2, reduce=lambda _gradient: None)

    made: dict[str, Any] = families.exactly("all-reduce", check, device, kind)
    return made


def caught(made: Sequence[Mapping[str, Any]]) -> tuple[float, str]:
    """Return how far beyond its bound a fault is, infinitely for an exact check, and by what it was caught."""
    best, words = 0.0, "not caught"
    for values in made:
        if values["error"] is None:
            continue
        name = f"{values['family']} {values['type']}"
        if values["rule"] == "exact" and values["wrong"]:
            beyond = not values["error"] <= values["bound"]
            factor = float("inf") if beyond else values["error"] / values["bound"]
            text = f"{name}: {values['wrong']:,} of {values['elements']:,} elements differ, by {values['error']:.3g}"
        elif values["rule"] == "bound":
            factor = share(values)
            text = f"{name}: {factor:.3g} times its bound"
        else:
            continue
        if factor > best:
            best, words = factor, text
    return best, words
