"""Print how the numeric checks of the verification fare in many surroundings, and what injected faults they catch.

    python tools/numeric_surroundings.py                     both tables, on the CPU or on the GPU where there is one
    python tools/numeric_surroundings.py --faults            the faults alone
    python tools/numeric_surroundings.py --also PYTHON       one more surrounding: a Python with another torch

Run with a Python that has torch; nothing else is needed. --device cpu keeps to the CPU; --payload names the folder of
the payload where it is not this repository's; --json FILE writes every figure. Ends with 1 where a right surrounding is
not exact or a fault is not caught.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import platform
import runpy
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from numeric_faults import caught, inject, share

HERE = Path(__file__).resolve().parent
PAYLOAD = HERE.parent / "resolver" / "gpuenv" / "verify" / "payload"
MARGIN = 4.0
"""What a right surrounding keeps below a bound, and a fault goes beyond it, at least."""
SHORT = {"fp32": 8, "bf16": 4, "fp16": 4}
"""Steps of the curves on a CPU, which may have no unit for the type: many surroundings take their time."""

ONEDNN = (
    "SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI", "AVX512_CORE_BF16",
    "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX512_CORE_AMX_FP16",
)  # fmt: skip
ATEN = ("default", "avx2", "avx512")


@dataclass
class Found:
    """What one surrounding gave: names of checks that were equal or not, and the share of the bound of the others."""

    surrounding: str
    equal: list[str] = field(default_factory=list)
    unequal: list[str] = field(default_factory=list)
    shares: dict[str, float] = field(default_factory=dict)
    absent: list[str] = field(default_factory=list)
    losses: dict[str, list[float]] = field(default_factory=dict)

    def take(self, values: Mapping[str, Any]) -> None:
        """Add one family's values."""
        name = f"{values['family']} {values['type']}"
        if values["error"] is None:
            self.absent.append(f"{name} ({self.surrounding}): {values['message'][:60]}")
        elif values["rule"] == "exact":
            (self.unequal if values["wrong"] else self.equal).append(name)
        else:
            self.shares[name] = share(values)

    def curve(self, precision: str, losses: Sequence[float], reference: Mapping[str, Any]) -> None:
        """Add a curve's share of its bound at its worst step."""
        bounds = importlib.import_module("gpuenv_payload.bounds").curves(reference)[precision]
        self.losses[precision] = list(losses)
        triples = zip(losses, reference["losses"], bounds, strict=False)
        self.shares[f"curve {precision}"] = max(abs(loss - right) / bound for loss, right, bound in triples)


class Quiet:
    """A channel that drops what it is told."""

    def emit(self, event: str, **values: object) -> None:
        """Drop one event."""


def load(payload: Path) -> None:
    """Make the payload importable as the verification does."""
    runpy.run_path(str(payload / "__main__.py"))["load"]()


def look(name: str, device: str, payload: Path) -> Found:
    """Run every check in this process, as it is set."""
    families = importlib.import_module("gpuenv_payload.families")
    found = Found(name)
    for values in families.results(device):
        found.take(values)
    _curves(found, device, payload)
    return found


def _curves(found: Found, device: str, payload: Path) -> None:
    numbers = importlib.import_module("gpuenv_payload.numbers")
    language = importlib.import_module("gpuenv_payload.language")
    shape = importlib.import_module("gpuenv_payload.gpt").MARKOV
    near = payload / "reference_curve.json"
    reference = json.loads((near if near.exists() else payload.parent / near.name).read_text("utf-8"))
    batches = language.markov_batches(steps=numbers.STEPS, batch=numbers.BATCH, length=shape.context, seed=numbers.SEED)
    weights = numbers.starting_weights()
    for precision in SHORT:
        count = SHORT[precision] if device == "cpu" else len(batches)
        try:
            losses = numbers.curve(Quiet(), device, batches[:count], weights, precision=precision)
        except RuntimeError as problem:  # torch's own refusal, as of AMX's layout without AVX-512
            found.absent.append(f"curve {precision} ({found.surrounding}): {str(problem)[:60]}")
            continue
        found.curve(precision, losses, reference)


def cpu_surroundings(payload: Path, also: Sequence[str]) -> Iterator[Found]:
    """Run each surrounding of the CPU in a process of its own: libraries read these variables once."""
    plain: dict[str, str] = {}
    kinds: list[tuple[str, str, dict[str, str], list[str]]] = [
        ("as it is, one thread", sys.executable, plain, ["--threads", "1"]),
        ("as it is, two threads", sys.executable, plain, ["--threads", "2"]),
        *((f"ATen: {name}", sys.executable, {"ATEN_CPU_CAPABILITY": name}, []) for name in ATEN),
        *((f"oneDNN: {name}", sys.executable, {"ONEDNN_MAX_CPU_ISA": name}, []) for name in ONEDNN),
        ("MKL: compatible results", sys.executable, {"MKL_CBWR": "COMPATIBLE"}, []),
        ("without oneDNN", sys.executable, plain, ["--no-onednn"]),
        *(("another torch", python, plain, []) for python in also),
    ]
    for name, python, environ, more in kinds:
        command = [python, __file__, "--one", name, "--device", "cpu", "--payload", str(payload), *more]
        done = subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"{name}: {done.stderr[-2000:]}")
        found = Found(**json.loads(done.stdout.splitlines()[-1]))
        print(_row(found), flush=True)
        yield found


def gpu_surroundings(payload: Path) -> Iterator[Found]:
    """Switch what torch lets a program switch; every attention backend is a check of each."""
    torch = importlib.import_module("torch")
    backends = torch.backends
    settings: list[tuple[str, dict[str, Any]]] = [
        ("as it is", {}),
        ("cuDNN deterministic", {"deterministic": True}),
        ("cuDNN benchmark", {"benchmark": True}),
        ("cuBLAS", {"blas": "cublas"}),
        ("cuBLASLt", {"blas": "cublaslt"}),
        ("reduced-precision reduction off", {"reduced": False}),
        ("reduced-precision reduction off, cuBLASLt", {"reduced": False, "blas": "cublaslt"}),
        ("fp16 accumulation", {"accumulate": True}),
        ("benchmark, cuBLASLt", {"benchmark": True, "blas": "cublaslt"}),
        ("TF32 on", {"tf32": True}),
        ("TF32 on, benchmark, cuBLASLt", {"tf32": True, "benchmark": True, "blas": "cublaslt"}),
        ("deterministic algorithms", {"algorithms": True, "deterministic": True}),
    ]
    for name, chosen in settings:
        tf32 = bool(chosen.get("tf32"))
        backends.cudnn.deterministic = bool(chosen.get("deterministic"))
        backends.cudnn.benchmark = bool(chosen.get("benchmark"))
        backends.cuda.preferred_blas_library(chosen.get("blas", "default"))
        backends.cuda.matmul.allow_bf16_reduced_precision_reduction = chosen.get("reduced", True)
        backends.cuda.matmul.allow_fp16_reduced_precision_reduction = chosen.get("reduced", True)
        if hasattr(backends.cuda.matmul, "allow_fp16_accumulation"):
            backends.cuda.matmul.allow_fp16_accumulation = bool(chosen.get("accumulate"))
        backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = tf32
        torch.use_deterministic_algorithms(bool(chosen.get("algorithms")))
        found = _with_tf32(name) if tf32 else look(name, "cuda:0", payload)
        print(_row(found), flush=True)
        yield found
    backends.cuda.matmul.allow_tf32 = backends.cudnn.allow_tf32 = False
    backends.cudnn.deterministic = backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(False)  # noqa: FBT003 - torch's own signature


def _with_tf32(name: str) -> Found:
    """Check what TF32 leaves exact: its own entries and 16 bits. The fp32 entries see it, which is their purpose."""
    families = importlib.import_module("gpuenv_payload.families")
    exact = importlib.import_module("gpuenv_payload.exact")
    found = Found(name)
    for kind in (exact.KINDS[key] for key in ("tf32", "float16", "bfloat16")):
        for family, check in families.EXACT.items():
            found.take(families.exactly(family, check, "cuda:0", kind))
    return found


def _row(found: Found) -> str:
    groups: dict[str, float] = {}
    for name, value in found.shares.items():
        key = "attention" if name.startswith("attention") else name.rpartition(" ")[0]
        key = name if name.startswith("curve") else key
        groups[key] = max(groups.get(key, 0.0), value)
    cells = [f"{groups[key]:.3f}" if key in groups else "-" for key in COLUMNS]
    total = len(found.equal) + len(found.unequal)
    return f"| {found.surrounding} | {len(found.equal)} of {total} | {' | '.join(cells)} |"


COLUMNS = ("softmax", "gelu", "layer norm", "attention", "adamw, later steps", "curve fp32", "curve bf16", "curve fp16")
HEAD = "| surrounding | exact, equal | " + " | ".join(COLUMNS) + " |\n|" + " --- |" * (len(COLUMNS) + 2)


def _say_where(device: str) -> None:
    torch = importlib.import_module("torch")
    name = torch.cuda.get_device_name(0) if device != "cpu" else _processor()
    print(f"torch {torch.__version__}, {name}, Python {platform.python_version()}\n")


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main(arguments: list[str]) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device")
    parser.add_argument("--payload", type=Path, default=PAYLOAD)
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--also", action="append", default=[])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    parser.add_argument("--no-onednn", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    load(options.payload)
    torch = importlib.import_module("torch")
    device = options.device or ("cuda:0" if torch.cuda.is_available() else "cpu")
    if device == "cpu":
        torch.set_num_threads(options.threads)
    if options.one:
        torch.backends.mkldnn.enabled = not options.no_onednn
        print(json.dumps(asdict(look(options.one, device, options.payload))))
        return 0
    _say_where(device)
    surroundings: list[Found] = []
    if not options.faults:
        print(HEAD)
        cpu = device == "cpu"
        surroundings = list(
            cpu_surroundings(options.payload, options.also) if cpu else gpu_surroundings(options.payload)
        )
        print()
    print("| injected fault | caught | by |\n| --- | --- | --- |")
    faults = []
    for name, made in inject(device):
        factor, words = caught(made)
        faults.append({"fault": name, "factor": factor, "values": made})
        how = "exactly" if factor == float("inf") else f"{factor:.3g} times" if factor >= MARGIN else "NO"
        print(f"| {name} | {how} | {words} |", flush=True)
    missed = _ends(surroundings, faults)
    if options.json:
        made = {"surroundings": [asdict(found) for found in surroundings], "faults": faults}
        options.json.write_text(json.dumps(made, indent=1) + "\n", "utf-8")
    return 1 if missed else 0


def _ends(surroundings: Sequence[Found], faults: Sequence[Mapping[str, Any]]) -> bool:
    """Print what was not exact, what was absent, and the smallest margin on each side; say whether anything failed."""
    print()
    inexact = [f"{found.surrounding}: {', '.join(found.unequal)}" for found in surroundings if found.unequal]
    absent = {words for found in surroundings for words in found.absent}
    if surroundings:
        print(f"Settings that were not exact: {'; '.join(inexact) or 'none'}")
        near = max((value, name, found.surrounding) for found in surroundings for name, value in found.shares.items())
        print(f"Smallest margin below a bound: {1 / near[0]:.1f} ({near[1]}, {near[2]})")
        print(f"Not offered: {'; '.join(sorted(absent)) or 'nothing'}")
        inexact += [] if near[0] <= 1 / MARGIN else ["margin"]
    finite = [(row["factor"], row["fault"]) for row in faults if row["factor"] != float("inf")]
    least = min(finite, default=None)
    exact = len(faults) - len(finite)
    print(f"Faults caught exactly: {exact} of {len(faults)}", end="")
    print(f"; smallest margin above a bound: {least[0]:.3g} ({least[1]})" if least else "")
    return bool(inexact) or any(row["factor"] < MARGIN for row in faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
