"""Make resolver/gpuenv/verify/reference_curve.json: the small model's losses in double precision on a CPU.

Run with a Python that has a CPU build of torch:  python tools/make_reference_curve.py [--check]
The text and the weights come from the standard library's generator, so that every torch makes the same curve to about
1e-12; --check recomputes it and compares instead of writing.
"""

from __future__ import annotations

import importlib
import json
import runpy
import sys
from pathlib import Path

VERIFY = Path(__file__).resolve().parent.parent / "resolver" / "gpuenv" / "verify"
TARGET = VERIFY / "reference_curve.json"
CLOSE = 1e-9


class Quiet:
    """A channel that drops what it is told."""

    def emit(self, event: str, **values: object) -> None:
        """Drop one event."""


def main(arguments: list[str]) -> int:
    """Write the curve, or compare it with what is there."""
    runpy.run_path(str(VERIFY / "payload" / "__main__.py"))["load"]()
    torch = importlib.import_module("torch")
    language = importlib.import_module("gpuenv_payload.language")
    numbers = importlib.import_module("gpuenv_payload.numbers")
    shape = importlib.import_module("gpuenv_payload.gpt").MARKOV
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
    TARGET.write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    print(f"{TARGET}: {losses[0]:.7f} ... {losses[-1]:.7f}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
