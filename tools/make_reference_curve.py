"""Make resolver/gpuenv/verify/reference_curve.json: the small model's losses in double precision on a CPU.

Run with a Python that has a CPU build of torch:  python tools/make_reference_curve.py [--check]
The text and the weights come from the standard library's generator, so that every torch makes the same curve to about
1e-12; --check recomputes it and compares instead of writing. Writing takes some minutes: it also computes how far each
loss moves when operations are rounded.
"""

from __future__ import annotations

import importlib
import json
import math
import runpy
import sys
from pathlib import Path
from typing import Any

VERIFY = Path(__file__).resolve().parent.parent / "resolver" / "gpuenv" / "verify"
TARGET = VERIFY / "reference_curve.json"
CLOSE = 1e-9
SEEDS = (1, 2, 3, 4)
COPIES = ("zeros", "ones", "empty", "fill", "clone", "copy", "detach", "view", "transpose", "new_", "one_hot")
"""Beginnings of the names of operations that compute nothing."""
PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "scaled_dot_product")
"""Operations that autocast computes in 16 bits here, with their gradients: operands and results are rounded."""


class Quiet:
    """A channel that drops what it is told."""

    def emit(self, event: str, **values: object) -> None:
        """Drop one event."""


def spread(numbers: Any, batches: list[list[list[int]]], losses: list[float], precision: str) -> list[float]:
    """Return how far each loss moves where operations are rounded once: a root mean square over seeds, never falling.

    Each operand and result of every operation (of products, in 16 bits), forward and backward, is multiplied by
    1 + u · r, r uniform in (-1, 1) and u the unit roundoff, as a rounding would. The rest is computed far more
    precisely: what comes of it is a property of the model, the text and the type, not of any machine.
    """
    torch = importlib.import_module("torch")
    mode = importlib.import_module("torch.utils._python_dispatch").TorchDispatchMode
    unit = importlib.import_module("gpuenv_payload.bounds").UNITS[precision]
    products = precision != "fp32"

    class Rounded(mode):  # type: ignore[misc,valid-type]  # torch is not installed where types are checked
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.generator = torch.Generator().manual_seed(seed)

        def rounded(self, item: Any) -> Any:
            if not isinstance(item, torch.Tensor) or not item.dtype.is_floating_point:
                return item
            return item * (1 + unit * (2 * torch.rand(item.shape, generator=self.generator, dtype=item.dtype) - 1))

        def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = func._schema.name.rpartition(":")[2].lstrip("_")
            alias = any(item.alias_info is not None for item in func._schema.returns)
            if alias or (not name.startswith(PRODUCTS) if products else name.startswith(COPIES)):
                return func(*args, **(kwargs or {}))
            if products:
                args = tuple(self.rounded(item) for item in args)
            out = func(*args, **(kwargs or {}))
            return tuple(self.rounded(item) for item in out) if isinstance(out, (tuple, list)) else self.rounded(out)

    squares = [0.0] * len(losses)
    for seed in SEEDS:
        with Rounded(seed):
            exact = "fp32" if products else "fp64"
            moved = numbers.curve(Quiet(), "cpu", batches, numbers.starting_weights(), precision=exact)
        squares = [total + (a - b) ** 2 for total, a, b in zip(squares, moved, losses, strict=True)]
    made = [math.sqrt(total / len(SEEDS)) for total in squares]
    return [float(f"{max(made[: step + 1]):.3g}") for step in range(len(made))]


def main(arguments: list[str]) -> int:
    """Write the curve, or compare it with what is there."""
    runpy.run_path(str(VERIFY / "payload" / "__main__.py"))["load"]()
    torch = importlib.import_module("torch")
    language = importlib.import_module("gpuenv_payload.language")
    numbers = importlib.import_module("gpuenv_payload.numbers")
    shape = importlib.import_module("gpuenv_payload.gpt").MARKOV
    torch.set_num_threads(1)
    batches = language.markov_batches(steps=numbers.STEPS, batch=numbers.BATCH, length=shape.context, seed=numbers.SEED)
    losses = numbers.curve(Quiet(), "cpu", batches, numbers.starting_weights(), precision="fp64")
    made = {
        "about": "losses of the small GPT on the Markov language, double precision, CPU; nats a token",
        "made_by": "tools/make_reference_curve.py",
        "torch": str(torch.__version__),
        "language_sha256": language.fingerprint(batches),
        "entropy": language.ENTROPY,
        "symbols": language.SYMBOLS,
        "parameters": shape.parameters(),
        "losses": losses,
    }
    if "--check" in arguments:
        there = json.loads(TARGET.read_text("utf-8"))
        worst = max(abs(a - b) for a, b in zip(there["losses"], losses, strict=True))
        same = there["language_sha256"] == made["language_sha256"] and worst <= CLOSE
        print(f"largest difference {worst:.3g}: {'same' if same else 'DIFFERENT'}")
        return 0 if same else 1
    made["spread"] = {name: spread(numbers, batches, losses, name) for name in ("fp32", "fp16", "bf16")}
    TARGET.write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    print(f"{TARGET}: {losses[0]:.7f} ... {losses[-1]:.7f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
