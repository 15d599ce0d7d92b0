"""A recorded verification on an H200 as the checks see it, and ways to make it wrong."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from gpuenv.installed.compare import Compared
from gpuenv.installed.distribution import Distribution
from gpuenv.installed.environment import EnvironmentFacts
from gpuenv.installed.fatbin import DeviceCode
from gpuenv.installed.torch import TorchFacts
from gpuenv.model.machine import ComputeCapability, Driver, Gpu, Machine
from gpuenv.model.profile import VerificationPlan
from gpuenv.model.verification import Check, Report
from gpuenv.verify.checks import make_report
from gpuenv.verify.expected import Expected, ExpectedPackage, reference
from gpuenv.verify.messages import Message
from gpuenv.verify.observed import Observed
from gpuenv.verify.runner import PayloadEnded

RECORDED = Path(__file__).resolve().parent.parent / "data" / "verify" / "h200.jsonl"
UUID = "GPU-ad473a14-ed2a-c923-1574-31ee551488a3"
TORCH = "2.11.0+cu130"

MACHINE = Machine(
    os="linux",
    arch="x86_64",
    libc="glibc 2.39",
    wsl=False,
    container=True,
    driver=Driver(version="580.159.04", cuda="13.0", source="nvml"),
    gpus=(
        Gpu(
            index=0,
            uuid=UUID,
            name="NVIDIA H200",
            compute_capability=ComputeCapability(9, 0),
            memory_bytes=150754820096,
            mig=False,
        ),
    ),
    sources=(("driver", "nvml"), ("os", "sys.platform")),
)
ROOT = Path("/somewhere/project/.venv-gpu")
Edit = Callable[[Message], Message | None]


def installed(**changes: object) -> EnvironmentFacts:
    """The environment of the recording, at rest."""
    there = EnvironmentFacts(
        path=ROOT,
        kind="gpuenv",
        python=ROOT / "bin" / "python",
        python_version="3.12",
        base="",
        sites=(ROOT / "lib" / "python3.12" / "site-packages",),
        system_site_packages=False,
        distributions=(distribution("torch", TORCH), distribution("triton", "3.6.0")),
        inherited=(),
        startup=(),
        torch=torch(),
        marker=None,
        marker_problem="",
        problems=(),
        leftovers=(),
    )
    return dataclasses.replace(there, **changes)  # type: ignore[arg-type]  # names come from the tests


def distribution(name: str, version: str) -> Distribution:
    """One installed package."""
    return Distribution(name=name, version=version, info=f"lib/python3.12/site-packages/{name}-{version}.dist-info")


def torch(version: str = TORCH, cuda: str = "13.0") -> TorchFacts:
    """What torch says of itself."""
    return TorchFacts(version=version, cuda=cuda, git="", hip="", sass=None, ptx=None, origin="torch/version.py")


def code(*names: str, ptx: tuple[str, ...] = ()) -> tuple[tuple[str, DeviceCode], ...]:
    """Device code of torch's main library."""
    made = DeviceCode(sass=tuple((name, 475) for name in names), ptx=tuple((name, 1) for name in ptx), fatbins=475)
    return (("libtorch_cuda.so", made),)


def recorded() -> tuple[Message, ...]:
    """Every message of the recording."""
    return tuple(Message(**json.loads(line)) for line in RECORDED.read_text("utf-8").splitlines())


def altered(message: Message, /, **values: object) -> Message:
    """Change values of one message."""
    return dataclasses.replace(message, values={**message.values, **values})


def observed(
    *, edit: Edit | None = None, endings: Mapping[str, PayloadEnded] | None = None, **changes: object
) -> Observed:
    """The recording; ``edit`` changes or drops messages, ``endings`` how processes ended."""
    messages = [made for message in recorded() if (made := edit(message) if edit else message) is not None]
    jobs = list(dict.fromkeys(message.job for message in recorded()))
    made = Observed(
        gpu=True,
        plan=VerificationPlan(),
        expected=Expected(
            torch=TORCH,
            cuda="13.0",
            packages=(ExpectedPackage(project="torch", version=TORCH),),
            profile="hopper",
            environment=".venv-gpu",
        ),
        machine=MACHINE,
        installed=installed(),
        compared=Compared(differences=(), notes=(), files=12484, hashed=0),
        messages=tuple(messages),
        ended=tuple((endings or {}).get(job, ended(job)) for job in jobs),
        environ={"HOME": "/home/someone"},
        dropped=(),
        code=code("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"),
        reference=reference(),
        seeds=(1, 2, 3),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]  # names come from the tests


def ended(job: str, **changes: object) -> PayloadEnded:
    """A process that came to its end."""
    made = PayloadEnded(job=job, ending="exited", status=0, stderr=(), last="finished", seconds=5.0)
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]  # names come from the tests


def report_of(made: Observed) -> Report:
    """Check it all."""
    return make_report(made, seconds=14.7)


def check_of(made: Observed, name: str) -> Check:
    """Check it all and return one check."""
    return next(check for check in report_of(made).checks if check.name == name)
