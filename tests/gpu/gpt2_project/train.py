"""Train GPT-2 (124M, from scratch) on generated arithmetic for 14 steps of 4 samples, as the reference run did.

    python train.py OUT

No download: bytes are the tokens, the weights are drawn. Writes OUT/training.json and prints a line a step. The time
runs from before the first step to after the last, the start of the kernels included.
"""

from __future__ import annotations

import json
import platform
import random
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from transformers import GPT2Config, GPT2LMHeadModel

STEPS, BATCH, TOKENS = 14, 4, 64


def samples(count: int) -> torch.Tensor:
    """Lines such as ``12 + 30 = 42`` as bytes, filled up to one length."""
    source = random.Random(2026)
    rows = []
    for _ in range(count):
        text = ""
        while len(text) < TOKENS:
            left, right = source.randrange(100), source.randrange(100)
            text += f"{left} + {right} = {left + right}\n"
        rows.append(list(text.encode()[:TOKENS]))
    return torch.tensor(rows)


def main(out: Path) -> None:
    set_seed(1)
    accelerator = Accelerator(mixed_precision="bf16")
    model = GPT2LMHeadModel(GPT2Config())
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4)
    loader = torch.utils.data.DataLoader(samples(STEPS * BATCH), batch_size=BATCH)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    model.train()
    losses = []
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for batch in loader:
        loss = model(input_ids=batch, labels=batch).loss
        accelerator.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        print(f"step {len(losses):2}  loss {losses[-1]:.4f}  {time.perf_counter() - begin:.2f} s", flush=True)
    torch.cuda.synchronize()
    seconds = time.perf_counter() - begin
    found = {
        "model": "GPT-2, 124M parameters, from scratch",
        "parameters": sum(each.numel() for each in model.parameters()),
        "device": torch.cuda.get_device_name(),
        "compute_capability": ".".join(map(str, torch.cuda.get_device_capability())),
        "parameters_on": sorted({str(each.device) for each in model.parameters()}),
        "packages": {name: version(name) for name in ("torch", "transformers", "accelerate", "numpy")},
        "python": platform.python_version(),
        "steps": STEPS,
        "batch": BATCH,
        "tokens": TOKENS,
        "seconds": round(seconds, 3),
        "samples_per_second": round(STEPS * BATCH / seconds, 1),
        "losses": [round(each, 4) for each in losses],
        "reference": {"seconds": 1.74, "samples_per_second": 31.7, "final_loss": 4.15, "device": "RTX 5090"},
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "training.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"{found['samples_per_second']} samples a second in {seconds:.2f} s, final loss {losses[-1]:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
