"""Probe companions on a real GPU, right ones and such as were made wrong: probes.py OUT CARRIED BUILT [CASE …]

CARRIED and BUILT hold wheels (probes.sh). Each case is an environment of its own: a linked copy of the one that holds
torch, with wheels unpacked over it and files changed. OUT gets a table and the evidence of each. Exit 1 where a probe
did not find what it was to find.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from this_host import torch_environment, verify
from wrong_environments import rewrite_architectures

from gpuenv.model.profile import VerificationPlan
from support.torch_env import altered_environment, site_packages

QUICK = VerificationPlan(model="gpt2-tiny", steps=6, loss_below=5.0, deadline_seconds=400)
PASSED = ("passed", "")
Found = tuple[str, str]


@dataclass
class Stage:
    """An environment that is put together."""

    folder: Path
    carried: Path
    built: Path
    cases: dict[str, Found] = field(default_factory=dict)
    """What each project's probe has to say: its status, and a pattern of its cause."""

    def __post_init__(self) -> None:
        self.environment = altered_environment(self.folder / "env", torch_environment())
        self.site = site_packages(self.environment)

    def unpack(self, *wheels: Path) -> None:
        """Unpack wheels, in place of what bears their names."""
        for wheel in wheels:
            with zipfile.ZipFile(wheel) as archive:
                project = wheel.name.partition("-")[0]
                for old in self.site.glob(f"{project}-*.dist-info"):
                    if old.is_symlink():
                        old.unlink()
                    else:
                        shutil.rmtree(old)
                for top in {name.partition("/")[0] for name in archive.namelist()}:
                    if (self.site / top).is_symlink():
                        (self.site / top).unlink()
                archive.extractall(self.site)

    def wheel(self, pattern: str) -> Path:
        """Find one wheel among those carried and those built here."""
        return next(path for folder in (self.carried, self.built) for path in sorted(folder.glob(f"**/{pattern}")))

    def there(self, pattern: str) -> bool:
        """Say whether there is such a wheel: not all compile on every host."""
        return any(path for folder in (self.carried, self.built) for path in folder.glob(f"**/{pattern}"))

    def own_copy(self, package: str) -> Path:
        """Make a package of the host a copy that may be changed."""
        link = self.site / package
        if link.is_symlink():
            real = link.resolve()
            link.unlink()
            shutil.copytree(real, link)
        return link

    def strip(self, library: str) -> None:
        """Name another architecture on every image of machine code and PTX in a library: no card has it."""
        (found,) = self.site.glob(library)
        assert rewrite_architectures(found, keep=lambda architecture: False), library

    def claim(self, project: str, version: str) -> None:
        """Say that a distribution is installed."""
        info = self.site / f"{project.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n", "utf-8")


COMPANIONS = ("torchao-0.18*.whl", "torchcodec-*.whl", "bitsandbytes-*.whl")
LARGE = {
    "vllm": "vllm-*.whl", "sglang-kernel": "sglang_kernel-0.4.5-*.whl", "onnxruntime-gpu": "onnxruntime_gpu-*.whl",
}  # fmt: skip
BUILT = {
    "causal_conv1d": "causal-conv1d", "mamba_ssm": "mamba-ssm", "torch_scatter": "torch-scatter",
    "torch_sparse": "torch-sparse", "torch_cluster": "torch-cluster", "deepspeed": "deepspeed",
    "flash_attn": "flash-attn",
}  # fmt: skip
NEEDED = ("hjson-*.whl", "pydantic-*.whl", "pydantic_core-*.whl", "annotated_types-*.whl", "typing_inspection-*.whl")


def _right(stage: Stage) -> None:
    stage.unpack(*map(stage.wheel, (*COMPANIONS, *NEEDED)))
    there = ["torchvision", "torchaudio", "triton", "cupy-cuda13x", "jax-cuda13-plugin"]
    there += ["torchao", "torchcodec", "bitsandbytes"]
    for folder, project in BUILT.items():
        if stage.there(f"{folder}/{folder}-*.whl"):
            stage.unpack(stage.wheel(f"{folder}/{folder}-*.whl"))
            there.append(project)
    for project, pattern in LARGE.items():
        if stage.there(pattern):
            stage.unpack(stage.wheel(pattern))
            there.append(project)
    stage.cases = dict.fromkeys(there, PASSED)


def plain(stage: Stage) -> None:
    """What the host has, as it is: torch, torchvision, torchaudio, triton, CuPy, JAX."""
    names = ("torchvision", "torchaudio", "triton", "cupy-cuda13x", "jax-cuda13-plugin")
    stage.cases = dict.fromkeys(names, PASSED)


def right(stage: Stage) -> None:
    """Every companion that was carried or compiled here."""
    _right(stage)


def other_cuda(stage: Stage) -> None:
    """Wheels of PyPI for CUDA 12 beside a torch of CUDA 13, and one that holds no library for CUDA 13."""
    stage.unpack(*map(stage.wheel, ("xformers-*.whl", "torchao-0.16*.whl", "bitsandbytes-*.whl")))
    for library in (stage.site / "bitsandbytes").glob("*cuda13*"):
        library.unlink()
    if stage.there(older := "sglang_kernel-0.4.1-*.whl"):
        stage.unpack(stage.wheel(older))
    stage.claim("onnxruntime-gpu", "1.30.0")
    wanted = r"built for another CUDA: it asks for libcudart\.so\.12, and torch here is of CUDA 13"
    stage.cases = {
        "xformers": ("failed", wanted),
        "torchao": ("failed", wanted),
        **({"sglang-kernel": ("failed", wanted.replace("cudart", r"\w+"))} if stage.there(older) else {}),
        "bitsandbytes": ("failed", r"imports, and holds no libbitsandbytes_cuda130\.so"),
        # The CPU's build under the other name: it has no provider for CUDA, and would compute on the CPU.
        "onnxruntime-gpu": ("failed", r"imports, and holds no libonnxruntime_providers_(shared|cuda)\.so"),
    }


def stripped(stage: Stage) -> None:
    """The machine code and PTX of their libraries are for a card that does not exist."""
    _right(stage)
    no_code = ("failed", "no machine code for")
    stage.own_copy("torchvision")
    stage.own_copy("torchaudio")
    stage.cases = {}
    for project, library in {
        "torchvision": "torchvision/_C.so",
        "torchaudio": "torchaudio/lib/libtorchaudio.abi3.so",
        "torchao": "torchao/_C_cutlass_90a.abi3.so",
        "bitsandbytes": "bitsandbytes/libbitsandbytes_cuda130.so",
        "causal-conv1d": "causal_conv1d_cuda*.so",
        "mamba-ssm": "selective_scan_cuda*.so",
        "torch-scatter": "torch_scatter/_segment_csr_cuda*.so",
        "torch-sparse": "torch_sparse/_spmm_cuda*.so",
        "torch-cluster": "torch_cluster/_grid_cuda*.so",
        "flash-attn": "flash_attn_2_cuda*.so",
        "vllm": "vllm/_C_stable_libtorch.abi3.so",
        "sglang-kernel": "sgl_kernel/sm90/common_ops.abi3.so",
        "onnxruntime-gpu": "onnxruntime/capi/libonnxruntime_providers_cuda.so",
    }.items():
        if list(stage.site.glob(library)):
            stage.strip(library)
            stage.cases[project] = no_code


def other_torch(stage: Stage) -> None:
    """torchvision and SGLang's kernels built for a later torch; torchao and torchaudio without compiled libraries."""
    stage.unpack(stage.wheel("torchvision-0.29*.whl"), stage.wheel("torchao-0.18*.whl"))
    for library in (stage.site / "torchao").glob("_C*"):
        library.unlink()
    for library in (stage.own_copy("torchaudio") / "lib").glob("*.so"):
        library.unlink()
    empty = ("failed", "imports, and holds no compiled kernel")
    later = ("failed", "built for another torch: no library here exports \\w+$")
    if stage.there(newer := "sglang_kernel-0.4.10-*.whl"):
        stage.unpack(stage.wheel(newer))
    stage.cases = {
        "torchvision": later,
        **({"sglang-kernel": later} if stage.there(newer) else {}),
        "torchao": empty,
        "torchaudio": empty,
    }


def borrowed(stage: Stage) -> None:
    """xFormers for CUDA 12 with CUDA 12's runtime lent to it: no right environment, but its kernels do run."""
    stage.unpack(stage.wheel("xformers-*.whl"))
    with zipfile.ZipFile(stage.wheel("nvidia_cuda_runtime_cu12-*.whl")) as archive:
        runtime = archive.extract("nvidia/cuda_runtime/lib/libcudart.so.12", stage.folder)
    init = stage.site / "xformers/__init__.py"
    init.write_text(f"import ctypes\nctypes.CDLL({str(runtime)!r}, 256)\n" + init.read_text("utf-8"), "utf-8")
    stage.cases = {"xformers": PASSED}


def ptx_alone(stage: Stage) -> None:
    """The same with its machine code for other cards: its PTX for 8.0 is right through the driver's compiler."""
    borrowed(stage)
    assert rewrite_architectures(stage.site / "xformers/_C.so", keep=lambda architecture: False, kinds=(2,))
    stage.cases = {"xformers": ("warned", "through the driver's compiler alone")}


CASES: dict[str, Callable[[Stage], None]] = {
    case.__name__: case for case in (plain, right, other_cuda, stripped, other_torch, borrowed, ptx_alone)
}


def main(arguments: list[str]) -> int:
    """Try each case and write down what its probes said."""
    out, carried, built = map(Path, arguments[:3])
    out.mkdir(parents=True, exist_ok=True)
    missed = 0
    lines: list[str] = []
    for name in arguments[3:] or list(CASES):
        with tempfile.TemporaryDirectory() as folder:
            stage = Stage(Path(folder), carried.resolve(), built.resolve())
            CASES[name](stage)
            plan = None if name == "plain" else QUICK
            for _ in range(2 if name == "plain" else 1):  # the second time with warm files
                report = verify(stage.environment, plan=plan, folder=out / name)
        checks = {
            check.name.removeprefix("probe-"): check for check in report.checks if check.name.startswith("probe-")
        }
        lines += ["", f"## {name}", "", f"{CASES[name].__doc__} {report.verdict}, {report.seconds:.1f} s.", ""]
        lines += ["| probe | verdict | seconds | seen | cause |", "| --- | --- | --- | --- | --- |"]
        for project, check in sorted(checks.items()):
            status, words = stage.cases.get(project, ("", ""))
            good = not status or (check.status == status and re.search(words, check.cause) is not None)
            missed += not good
            cells = [
                project,
                check.status + ("" if good else f" (**{status} was to be**)"),
                f"{check.seconds or 0:.1f}",
            ]
            cells += [each.replace(folder, "FOLDER").replace("|", "\\|") for each in (check.seen, check.cause)]
            lines.append("| " + " | ".join(cells) + " |")
        for project in sorted(stage.cases.keys() - checks.keys()):
            missed += 1
            lines.append(f"| {project} | **no probe** | | | |")
        (out / "probes.md").write_text("# Probes of companions\n" + "\n".join(lines) + "\n", "utf-8")
        print(*lines[-len(checks) - 6 :], sep="\n", flush=True)
    print(f"{missed} not as they were to be")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
