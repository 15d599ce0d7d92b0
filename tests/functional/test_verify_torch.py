"""Real torch on the CPU: a right environment passes, and environments made wrong are caught by their own cause."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from gpuenv.installed.environment import read_environment
from gpuenv.model.machine import Machine
from gpuenv.model.profile import VerificationPlan
from gpuenv.model.verification import Check, Report
from gpuenv.report import Silent
from gpuenv.verify import evidence
from gpuenv.verify.expected import Expected, ExpectedPackage
from gpuenv.verify.messages import Message
from gpuenv.verify.payload.sizing import LEAST_CURVE
from gpuenv.verify.probes import OwnProbe
from gpuenv.verify.runner import PayloadJob, run_jobs
from gpuenv.verify.verification import Accelerator, run_verification
from support.torch_env import altered_environment, site_packages
from support.verify_observed import MACHINE

pytestmark = [pytest.mark.torch, pytest.mark.xdist_group("torch")]

NO_GPU = Machine(os="linux", arch="x86_64", libc="glibc 2.36", wsl=False, container=True, driver=None, gpus=())
QUICK = VerificationPlan(model="gpt2-tiny", steps=5, samples=40, loss_below=5.0, deadline_seconds=300)
ENVIRON = {"PATH": os.environ["PATH"], "HOME": "/nowhere", "OMP_NUM_THREADS": "1"}
JOB = {
    "SLURM_JOB_ID": "4711", "SLURM_JOB_GPUS": "1", "SLURM_PROCID": "3", "SLURM_NTASKS": "8", "SLURM_LOCALID": "3",
    "CUDA_VISIBLE_DEVICES": "0", "MASTER_ADDR": "node7.invalid", "MASTER_PORT": "29500", "RANK": "3", "WORLD_SIZE": "8",
    "LOCAL_RANK": "3",
}  # fmt: skip
"""What Slurm and those who start torch in it set: of a job of eight processes this would be one, and wait for seven."""


def _verify(
    environment: Path,
    *,
    accelerator: Accelerator = "cpu",
    expected: Expected | None = None,
    plan: VerificationPlan = QUICK,
    environ: Mapping[str, str] = ENVIRON,
    silence: float = 150.0,
) -> Report:
    return run_verification(
        environment,
        plan=plan,
        accelerator=accelerator,
        expected=expected or Expected(),
        machine=NO_GPU,
        environ=environ,
        reporter=Silent(),
        silence=silence,
    )


def _check(report: Report, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


def test_a_right_environment_passes_and_every_file_says_cpu(torch_environment: Path, tmp_path: Path) -> None:
    there = read_environment(torch_environment)
    assert there.torch is not None
    own = tmp_path / "own.py"
    own.write_text("import torch\ndef probe(device):\n    yield 'sum', torch.arange(5, device=device).sum(), 10\n")
    brought = OwnProbe(project="torch", function=f"{own}:probe", said="own.py:probe")
    expected = Expected(torch=there.torch.version, cuda="", profile="cpu", environment=".venv-gpu", probes=(brought,))
    report = _verify(torch_environment, expected=expected, environ=ENVIRON | JOB)
    assert report.verdict == "passed", [(check.name, check.cause) for check in report.checks]
    assert [check.name for check in report.checks if check.status == "passed"] == [
        "installed", "startup", "import", "training", "numbers", "kernels", "probe-torch",
    ]  # fmt: skip
    assert report.training is not None
    assert report.training.device.startswith("CPU")
    assert report.curves[0].largest < 1e-4
    about = evidence.About(created="2026-11-22T12:00:00Z", gpuenv="0", command="gpuenv verify", environment=".venv-gpu")
    for path in evidence.write(tmp_path, report=report, machine=NO_GPU, about=about, smi_text="no nvidia-smi"):
        text = path.read_text("utf-8")
        assert "CPU" in text, path.name
        assert str(torch_environment) not in text, path.name


def test_a_cpu_build_where_a_gpu_is_expected(torch_environment: Path) -> None:
    gpus = (dataclasses.replace(MACHINE.gpus[0], uuid="GPU-1"),)
    report = _verify(torch_environment, accelerator="cuda", expected=Expected(gpus=gpus, profile="hopper"))
    assert report.verdict == "failed"
    assert _check(report, "import").cause.startswith("a CPU build of torch is installed")
    assert _check(report, "import").hint == "gpuenv create --profile hopper"
    assert _check(report, "native-code").status == "failed"
    assert _check(report, "training").status == "not-applicable"


@pytest.mark.parametrize("task", ["compile", "ranks"])
def test_a_task_that_finds_no_device_says_so_and_ends_well(torch_environment: Path, tmp_path: Path, task: str) -> None:
    there = read_environment(torch_environment)
    settings = {
        "task": task,
        "device": "cuda",
        "uuids": ["1234"],
        "paths": [str(path) for path in there.paths],
        "rank": 0,
        "world": 2,
        "meeting": str(tmp_path / "meeting"),
        "timeout": 5,
    }
    heard: list[Message] = []
    job = PayloadJob(name=task, python=there.python, settings=settings, environ={**ENVIRON, "CUDA_VISIBLE_DEVICES": ""})
    (ended,) = run_jobs([job], deadline=time.monotonic() + 120, silence=120, on_message=heard.append)
    assert (ended.ending, ended.status) == ("exited", 0)
    assert [message.whole("found") for message in heard if message.event == "no-device"] == [0]
    assert heard[-1].event == "finished"


def _train(environment: Path, **settings: object) -> list[Message]:
    """Run the training process alone, with settings that a verification does not set."""
    made = {"model": "gpt2-tiny", "precision": "fp32", "batch_size": 1, "samples": 20, "steps": 14, "seeds": [1]}
    return _run(environment, "training", **(made | settings))


def _run(environment: Path, task: str, **settings: object) -> list[Message]:
    there = read_environment(environment)
    common = {"task": task, "device": "cpu", "paths": [str(path) for path in there.paths]}
    heard: list[Message] = []
    job = PayloadJob(name=task, python=there.python, settings=common | settings, environ=ENVIRON)
    run_jobs([job], deadline=time.monotonic() + 280, silence=280, on_message=heard.append)
    assert heard[-1].event == "finished", [message for message in heard if message.event == "failed"]
    return heard


def test_fp16_with_scaled_gradients_is_a_precision_like_the_others(torch_environment: Path) -> None:
    plan = VerificationPlan(model="gpt2-tiny", precision="fp16", steps=6, samples=40, loss_below=5.0)
    report = _verify(torch_environment, plan=plan)
    check = _check(report, "training")
    assert check.status == "passed", check.cause
    assert "fp16 autocast, scaled gradients" in check.seen
    found = re.search(r"gradients scaled by (\d+), steps skipped by overflow: (\d+)", check.seen)
    assert found is not None, check.seen
    assert int(found[1]) == 65536 / 2 ** int(found[2])  # each skipped step halves the scale, nothing else does


def test_a_step_whose_gradients_overflow_is_skipped_and_counted(torch_environment: Path) -> None:
    heard = _train(torch_environment, precision="fp16", scale=2.0**40, steps=6)
    losses = [message.number("loss") for message in heard if message.event == "step"]
    trained = next(message for message in heard if message.event == "trained")
    skipped = trained.whole("skipped")
    assert skipped > 0
    assert trained.number("scale") == 2.0 ** (40 - skipped)
    assert all(loss is not None and loss < 7 for loss in losses)


def test_a_slow_machine_trains_less_and_says_so(torch_environment: Path) -> None:
    heard = _train(torch_environment, model="gpt2-small", budget=60.0, step_seconds=1000.0)
    sized = next(message for message in heard if message.event == "sized")
    assert (sized.text("model"), sized.whole("steps"), sized.whole("wished")) == ("gpt2-tiny", 6, 14)
    assert len([message for message in heard if message.event == "step"]) == 6


def test_a_slow_machine_compares_less_and_says_so(torch_environment: Path) -> None:
    heard = _run(torch_environment, "numbers", types=["float32", "bfloat16"], budget=0.0)
    (curve,) = [message for message in heard if message.event == "curve"]
    assert len(curve.numbers("losses")) == LEAST_CURVE
    assert {message.text("type") for message in heard if message.event == "family"} == {"float32"}
    assert [message.text("what") for message in heard if message.event == "left-out"] == ["curve", "bfloat16"]


def test_torch_replaced_after_locking(torch_environment: Path) -> None:
    report = _verify(torch_environment, accelerator="cuda", expected=Expected(torch="1.0.0"))
    assert _check(report, "installed").cause.startswith("torch was replaced after locking: the lock says 1.0.0")


NAN_OPTIMIZER = """
_true_step = optim.AdamW.step
def _bad_step(self, closure=None):
    _true_step(self, closure)
    with no_grad():
        self.param_groups[0]["params"][-1].fill_(nan)
optim.AdamW.step = _bad_step
"""
IDLE_OPTIMIZER = "optim.AdamW.step = lambda self, closure=None: None"
WRONG_KERNEL = """
_true_linear = nn.functional.linear
nn.functional.linear = lambda x, w, b=None: _true_linear(x, w * 1.02, b)
"""
HANGS = """
import time
_true_linear = nn.functional.linear
nn.functional.linear = lambda *a: time.sleep(600)
"""


@pytest.mark.parametrize(
    ("code", "check", "cause"),
    [
        (NAN_OPTIMIZER, "training", "the loss is not a number from step 2 on"),
        (IDLE_OPTIMIZER, "training", "the optimizer ran and changed no weight"),
        (WRONG_KERNEL, "numbers", "fp32 on cpu: the loss leaves the reference at step"),
    ],
    ids=["nan", "idle", "wrong-kernel"],
)
def test_faults_in_optimizer_and_kernels(
    torch_environment: Path, tmp_path: Path, code: str, check: str, cause: str
) -> None:
    report = _verify(altered_environment(tmp_path / "env", torch_environment, torch_code=code))
    assert report.verdict == "failed"
    assert cause in _check(report, check).cause
    assert _check(report, "installed").status == "passed"


def test_a_hang_is_ended_by_the_deadline(torch_environment: Path, tmp_path: Path) -> None:
    environment = altered_environment(tmp_path / "env", torch_environment, torch_code=HANGS)
    plan = VerificationPlan(model="gpt2-tiny", steps=2, deadline_seconds=8)
    report = _verify(environment, plan=plan)
    assert _check(report, "training").cause.startswith("not finished at the deadline")
    assert report.training is None


def test_a_payload_that_the_system_kills(torch_environment: Path, tmp_path: Path) -> None:
    code = "import os\nos.kill(os.getpid(), 9)"
    report = _verify(altered_environment(tmp_path / "env", torch_environment, torch_code=code))
    check = _check(report, "import")
    assert check.cause.startswith("signal 9: the system killed the process")
    assert check.hint == "free -h"


def test_an_altered_file_of_torch_is_found(torch_environment: Path, tmp_path: Path) -> None:
    code = "import os\nos._exit(0)"
    environment = altered_environment(tmp_path / "env", torch_environment, torch_code=code, honest=False)
    report = _verify(environment)
    assert report.verdict == "failed"
    cause = _check(report, "installed").cause
    assert cause.startswith("a file is not as its wheel installed it: torch: ")
    assert "site-packages/torch/__init__.py: " in cause


def test_a_torchvision_of_another_build(torch_environment: Path, tmp_path: Path) -> None:
    files = {"torchvision/__init__.py": "import torch\ntorch.ops.torchvision.nms\n"}
    environment = altered_environment(tmp_path / "env", torch_environment, files=files)
    expected = Expected(packages=(ExpectedPackage(project="torchvision"),))
    report = _verify(environment, expected=expected, plan=VerificationPlan(model="gpt2-tiny", steps=2, loss_below=9))
    assert "torchvision does not work with this torch" in _check(report, "import").cause


FORGER = """
import json, os, sys
# Claims a finished training and leaves before anything is measured.
os.write(1, (json.dumps({"event": "finished", "at": 0.0}) + "\\n").encode())
os._exit(0)
"""


def test_a_sitecustomize_that_forges_results_does_not_run(torch_environment: Path, tmp_path: Path) -> None:
    files = {"sitecustomize.py": FORGER, "forger.pth": "import sitecustomize\n"}
    environment = altered_environment(tmp_path / "env", torch_environment, files=files)
    report = _verify(environment)
    check = _check(report, "startup")
    assert check.status == "warned"
    assert check.cause.startswith("sitecustomize.py, forger.pth would run at every start")
    assert _check(report, "training").status == "passed"
    assert report.verdict == "passed"


def test_the_copies_are_of_the_environment_under_test(torch_environment: Path, tmp_path: Path) -> None:
    made = altered_environment(tmp_path / "env", torch_environment, torch_code="x = 1")
    assert site_packages(made) != site_packages(torch_environment)
    assert read_environment(made).torch == read_environment(torch_environment).torch
