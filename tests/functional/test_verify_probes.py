"""Probes of companions, with torch on the CPU: what they hold for right is right, and what is wrong is caught."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import textwrap
import time
from pathlib import Path

import pytest

from gpuenv.documents import shipped
from gpuenv.installed.environment import EnvironmentFacts, read_environment
from gpuenv.verify import check_probes, probes
from gpuenv.verify.messages import Message
from gpuenv.verify.probes import OwnProbe, Probe, planned
from gpuenv.verify.runner import PAYLOAD, PayloadJob, run_jobs
from support import companions
from support.fake_nvml import cuda_library
from support.torch_env import site_packages
from support.verify_observed import observed

pytestmark = [pytest.mark.torch, pytest.mark.xdist_group("torch")]

ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "OMP_NUM_THREADS": "1"}
REAL_ONLY = frozenset(
    {".others:triton", ".others:cupy", ".others:jax", ".others:onnxruntime", ".quantized:bitsandbytes"}
)
"""What cannot be had here without a GPU; tests/gpu/probes.sh runs them."""

ALL = """
import runpy, sys
sys.path[:0] = sys.argv[2].split(":")
loaded = runpy.run_path(sys.argv[1])
loaded["load"]()
from gpuenv_payload import probe
import vllm, sgl_kernel  # the table has them imported before
for name in sys.argv[3:]:
    values = probe._measured(probe._function(name), "cpu")
    print(name, values["wrong"], values["elements"] > 0, values["message"] or "fine", sep="|")
"""


def _all(python: Path, paths: list[Path], names: list[str]) -> dict[str, tuple[str, str, str]]:
    done = subprocess.run(
        [python, "-I", "-c", ALL, str(PAYLOAD), ":".join(map(str, paths)), *names],
        capture_output=True, text=True, timeout=300, check=False, env=ENVIRON,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()]
    return {name: (wrong, some, message) for name, wrong, some, message in rows}


def _job(probe: Probe, there: EnvironmentFacts) -> PayloadJob:
    settings = {
        "task": "probe", "paths": [str(path) for path in there.paths], "device": "cpu", "uuids": [],
        "project": probe.project, "function": probe.function, "imports": probe.imports, "libraries": probe.libraries,
        "torch": probe.torch,
    }  # fmt: skip
    assert there.python is not None
    return PayloadJob(name=probe.job, python=there.python, settings=settings, environ=ENVIRON)


def test_what_each_probe_holds_for_right_is_what_plain_python_computes(torch_environment: Path, tmp_path: Path) -> None:
    companions.install(tmp_path)
    names = [row["probe"] for row in shipped(probes.__file__, "probes")["probes"]]
    names = [name for name in names if name not in REAL_ONLY and name != ".media:torchcodec"]
    found = _all(torch_environment / "bin" / "python", [tmp_path, site_packages(torch_environment)], names)
    assert found == dict.fromkeys(names, ("0", "True", "fine"))


def test_one_broken_companion_hides_no_other(torch_environment: Path, tmp_path: Path) -> None:
    """Right, empty, wrong, without its kernel, and dead: each its own process and its own words."""
    site = tmp_path / "site"
    companions.install(site, only=("torchvision", "torchaudio"))
    own = tmp_path / "own.py"
    own.write_text(
        textwrap.dedent(
            """
            import os
            import torch

            def good(device):
                yield "a sum", torch.arange(5, device=device).sum(), 10

            def wrong(device):
                yield "right", [1, 2], [1, 2]
                yield "numbers", torch.tensor([1.0, 2.5, float("nan")]), [1, 2, 3]

            def near(device):
                yield "numbers", [1.0, 2.5], [1, 2], 0.5

            def dies(device):
                os.abort()

            def elsewhere(device):
                yield "kernel", torch.ops.mine.kernel(torch.ones(2)), [1, 1]

            def nothing(device):
                return []
            """
        ),
        "utf-8",
    )
    names = ("good", "wrong", "near", "dies", "elsewhere", "nothing")
    brought = [OwnProbe(project=f"p-{name}", function=f"{own}:{name}", said=f"own.py:{name}") for name in names]
    brought.append(OwnProbe(project="gone", function="a:b", said="a:b"))
    there = read_environment(torch_environment)
    there = dataclasses.replace(there, sites=(site, *there.sites))
    versions = {"torchvision": "0.28.0", "torchaudio": "2.11.0", "xformers": "0.0.35"}
    plan = planned(versions | {f"p-{name}": "1" for name in names}, gpus=(), gpu=False, own=brought)
    heard: list[Message] = []
    jobs = [_job(probe, there) for probe in plan if not probe.skip]
    ended = run_jobs(jobs, deadline=time.monotonic() + 300, silence=300, on_message=heard.append)
    made = observed(gpu=False, probes=plan, messages=tuple(heard), ended=ended)
    found = {check.name: check for check in check_probes.probes(made)}
    assert {name: (check.status, check.cause or check.seen) for name, check in found.items()} == {
        "probe-gone": ("not-applicable", "not run: gone is not installed in this environment"),
        "probe-p-dies": (
            "failed",
            "p-dies 1: signal 6: a compiled library gave up; it was at 'probing'",
        ),
        "probe-p-elsewhere": (
            "failed",
            "p-elsewhere 1 imports, and has no kernel to run here: AttributeError: '_OpNamespace' 'mine' object has no "
            "attribute 'kernel'",
        ),
        "probe-p-good": ("passed", "p-good 1 on the CPU: a sum, 0 of 1 elements differ"),
        "probe-p-near": ("passed", "p-near 1 on the CPU: numbers, 0 of 2 elements differ"),
        "probe-p-nothing": ("failed", "the probe of p-nothing 1 compared nothing"),
        "probe-p-wrong": (
            "failed",
            "p-wrong 1 computes something else: 2 of 5 elements differ, in numbers first",
        ),
        "probe-torchaudio": (
            "failed",
            "torchaudio 2.11.0 imports, and holds no compiled kernel: no file torchaudio/lib/libtorchaudio* with a "
            "compiled library in it",
        ),
        "probe-torchvision": (
            "failed",
            "torchvision 0.28.0 imports, and holds no compiled kernel: no file torchvision/_C* with a compiled library "
            "in it",
        ),
        "probe-xformers": ("not-applicable", "not run: CPU: its kernels are for GPUs, and none is used"),
    }


def test_without_torch_the_devices_in_scope_are_found_among_the_visible_ones(
    torch_environment: Path, tmp_path: Path
) -> None:
    """In a job CUDA shows some of the machine's GPUs, in an order of its own."""
    first, second, third = (digit * 32 for digit in "abc")
    own = tmp_path / "own.py"
    own.write_text("def probe(device):\n    yield 'device', [int(device[5:])], [int(device[5:])]\n")
    probe = Probe(project="x", version="1", function=f"{own}:probe", proves="", torch=False)
    job = _job(probe, read_environment(torch_environment))
    (tmp_path / "libcuda.so.1").symlink_to(cuda_library())
    cuda = {"FAKE_CUDA_GPUS": f"{first}=0,{second}=0", "LD_LIBRARY_PATH": str(tmp_path)}
    for scope, devices in (((second, third), ["cuda:1"]), ((third,), ["cuda:0", "cuda:1"])):
        uuids = ["-".join((each[:8], each[8:12], each[12:16], each[16:20], each[20:])) for each in scope]
        heard: list[Message] = []
        made = dataclasses.replace(
            job, environ=ENVIRON | cuda, settings={**job.settings, "device": "cuda", "uuids": uuids}
        )
        run_jobs([made], deadline=time.monotonic() + 60, silence=60, on_message=heard.append)
        assert [each.text("device") for each in heard if each.event == "probe"] == devices
    none = dataclasses.replace(job, settings={**job.settings, "device": "cuda", "uuids": []})
    heard = []
    run_jobs([none], deadline=time.monotonic() + 60, silence=60, on_message=heard.append)
    assert "no-device" in [each.event for each in heard]


def test_a_library_that_does_not_load_speaks_for_a_package_that_swallows_it(
    torch_environment: Path, tmp_path: Path
) -> None:
    """xFormers imports with a warning where its library asks for another CUDA; the loader's own words are shown."""
    (tmp_path / "quiet").mkdir()
    (tmp_path / "quiet/__init__.py").write_text("", "utf-8")
    source = tmp_path / "lib.c"
    source.write_text("int of_another_cuda(void); int call(void) { return of_another_cuda(); }", "utf-8")
    other = tmp_path / "other.c"
    other.write_text("int of_another_cuda(void) { return 1; }", "utf-8")
    cuda, library = tmp_path / "libcudart.so.12", tmp_path / "quiet/_C.so"
    subprocess.run(["cc", "-shared", "-Wl,-soname,libcudart.so.12", "-o", cuda, other], check=True)
    subprocess.run(["cc", "-shared", "-o", library, source, cuda], check=True)
    cuda.unlink()
    probe = Probe(
        project="quiet", version="1", function=".others:cupy", proves="", imports=("quiet",), libraries=("quiet/_C*",),
        torch=False,
    )  # fmt: skip
    there = dataclasses.replace(read_environment(torch_environment), sites=(tmp_path,), startup=())
    heard: list[Message] = []
    run_jobs([_job(probe, there)], deadline=time.monotonic() + 60, silence=60, on_message=heard.append)
    (found,) = [each for each in heard if each.event == "probe"]
    assert "OSError: libcudart.so.12: cannot open shared object file" in found.text("message")
    assert not [each for each in heard if each.event == "torch"]  # it was not asked for, and lends nothing
