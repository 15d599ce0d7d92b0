"""Environments made wrong on purpose, on a real GPU: python3 tests/gpu/wrong_environments.py OUT [NAME…]

Each must fail (or warn) with its own cause. OUT gets one text file with what was printed. Those that need no GPU are
in tests/functional/test_verify_torch.py. Exit 1 when a wrong environment was not caught as expected.
"""

from __future__ import annotations

import mmap
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from this_host import lines_of, machine, torch_environment, verify

from gpuenv.model.profile import VerificationPlan
from support.torch_env import altered_environment, site_packages

QUICK = VerificationPlan(model="gpt2-tiny", steps=6, loss_below=5.0, deadline_seconds=120)


@dataclass(frozen=True)
class Wrong:
    """What is wrong, and which check must say so in which words."""

    check: str
    words: str
    status: str = "failed"
    environment: Path | None = None
    environ: dict[str, str] = field(default_factory=dict)
    silence: float = 60.0


def hidden(_work: Path) -> Wrong:
    """CUDA_VISIBLE_DEVICES is set and empty."""
    return Wrong("devices", "CUDA_VISIBLE_DEVICES is set and empty", environ={"CUDA_VISIBLE_DEVICES": ""})


def stranger(_work: Path) -> Wrong:
    """CUDA_VISIBLE_DEVICES names a GPU that is not here."""
    uuid = "GPU-00000000-1111-2222-3333-444444444444"
    return Wrong("devices", "no GPU of this machine", environ={"CUDA_VISIBLE_DEVICES": uuid})


def no_code(work: Path) -> Wrong:
    """The compiled kernels are for other cards: the architecture of every image in libtorch_cuda.so is rewritten."""
    real = site_packages(torch_environment()) / "torch" / "lib" / "libtorch_cuda.so"
    copy = work / "libtorch_cuda.so"
    shutil.copy(real, copy)
    major = machine().gpus[0].compute_capability.major
    rewrite_architectures(copy, keep=lambda architecture: architecture // 10 != major)
    environment = altered_environment(work / "env", torch_environment(), libraries={"libtorch_cuda.so": copy})
    return Wrong("native-code", "no code for", environment=environment)


NOWHERE = {1: 990, 2: 37}
"""By the kind of an image (PTX, machine code): architectures that no card has."""


def rewrite_architectures(library: Path, *, keep: Callable[[int], bool], kinds: tuple[int, ...] = (1, 2)) -> int:
    """Rename in place the code images of the architectures not kept, to cards that do not exist; count them.

    Machine code to an older one, PTX to a newer one: of an older one the driver would try to compile it.
    """
    with library.open("r+b") as file, mmap.mmap(file.fileno(), 0) as data:
        return _rewrite(data, keep, kinds)


def _rewrite(data: mmap.mmap, keep: Callable[[int], bool], kinds: tuple[int, ...]) -> int:
    changed, at = 0, 0
    while (at := data.find(b"\x50\xed\x55\xba", at)) >= 0:
        _, header, length = struct.unpack_from("<HHQ", data, at + 4)
        if header != 16 or at + 16 + length > len(data):
            at += 4
            continue
        entry, end = at + 16, at + 16 + length
        while entry + 64 <= end:
            kind, _, head, size = struct.unpack_from("<HHIQ", data, entry)
            if kind not in (1, 2) or head < 64:
                break
            if kind in kinds and not keep(struct.unpack_from("<I", data, entry + 28)[0]):
                struct.pack_into("<I", data, entry + 28, NOWHERE[kind])
                changed += 1
            entry += head + size
        at = end
    return changed


def poisoned_gradient(work: Path) -> Wrong:
    """A matrix product whose results are off by two percent: it trains, and the numbers are wrong."""
    code = """
_true_linear = nn.functional.linear
nn.functional.linear = lambda x, w, b=None: _true_linear(x, w * 1.02, b)
"""
    return Wrong(
        "numbers",
        "leaves the reference",
        environment=altered_environment(work / "env", torch_environment(), torch_code=code),
    )


def nan_optimizer(work: Path) -> Wrong:
    """The fused optimizer writes NaN on the device."""
    code = """
_true_step = optim.AdamW.step
def _bad_step(self, closure=None):
    result = _true_step(self, closure)
    with no_grad():
        for group in self.param_groups:
            for tensor in group["params"]:
                tensor.mul_(nan)
    return result
optim.AdamW.step = _bad_step
"""
    return Wrong(
        "training", "not a number", environment=altered_environment(work / "env", torch_environment(), torch_code=code)
    )


def hung_device(work: Path) -> Wrong:
    """A kernel that keeps the device busy for longer than the watchdog waits."""
    code = """
_true_loss = nn.functional.cross_entropy
def _slow_loss(logits, targets):
    if logits.is_cuda:
        for _ in "twenty times, a second each":
            cuda._sleep(2_000_000_000)
    return _true_loss(logits, targets)
nn.functional.cross_entropy = _slow_loss
"""
    environment = altered_environment(work / "env", torch_environment(), torch_code=code)
    return Wrong("training", "hung device", environment=environment, silence=12.0)


def other_driver(work: Path) -> Wrong:
    """A driver library of another version stands on the loader path."""
    source, folder = work / "driver.c", work / "old"
    folder.mkdir()
    source.write_text("int cuInit(unsigned f){return 803;} int cuDriverGetVersion(int*v){*v=12020;return 0;}\n")
    library = folder / "libcuda.so.535.54.03"
    flags = ["-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    errors = 'int cuGetErrorName(int c,const char**s){*s="CUDA_ERROR_SYSTEM_DRIVER_MISMATCH";return 0;}\n'
    errors += 'int cuGetErrorString(int c,const char**s){*s="system has unsupported display driver";return 0;}\n'
    source.write_text(source.read_text() + errors)
    subprocess.run(["gcc", *flags, "-o", str(library), str(source)], check=True)
    (folder / "libcuda.so.1").symlink_to(library.name)
    return Wrong("driver", "535.54.03", environ={"LD_LIBRARY_PATH": str(folder)})


CASES: dict[str, Callable[[Path], Wrong]] = {
    "hidden": hidden,
    "stranger": stranger,
    "no-code": no_code,
    "poisoned-gradient": poisoned_gradient,
    "nan-optimizer": nan_optimizer,
    "hung-device": hung_device,
    "other-driver": other_driver,
}


def main(arguments: list[str]) -> int:
    """Try each wrong environment and write down what the verification said."""
    out = Path(arguments[0])
    out.mkdir(parents=True, exist_ok=True)
    missed = 0
    lines: list[str] = []
    for name in arguments[1:] or list(CASES):
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            wrong = CASES[name](work)
            environ = {key: value for key, value in os.environ.items() if not key.startswith("LD_")} | wrong.environ
            report = verify(
                wrong.environment or torch_environment(), environ=environ, plan=QUICK, silence=wrong.silence
            )
        check = next(check for check in report.checks if check.name == wrong.check)
        caught = check.status == wrong.status and re.search(wrong.words, check.cause) is not None
        missed += not caught
        lines += [f"=== {name}: {CASES[name].__doc__}", f"{'caught' if caught else 'NOT CAUGHT'}: {check.cause}"]
        lines += [line.replace(folder, "FOLDER") for line in lines_of(report)] + [""]
        (out / "wrong_environments.txt").write_text("\n".join(lines), "utf-8")
        words = f"{name}: caught in {report.seconds:.0f} s: {check.cause}"
        print(words if caught else "\n".join(lines[-40:]), flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
