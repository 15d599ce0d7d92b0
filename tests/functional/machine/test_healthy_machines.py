"""No false alarm: machines in order, one to eight cards of every generation, with environments in order on each."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from gpuenv import knowledge
from gpuenv.doctor.environment import diagnose_environment
from gpuenv.doctor.examination import examine
from gpuenv.doctor.machine import diagnose_machine
from gpuenv.doctor.session import diagnose_session
from gpuenv.environment.uv import find_uv
from gpuenv.installed.environment import EnvironmentFacts, read_environment
from gpuenv.machine.cuda import check_up
from support.detection import look
from support.fake_nvml import FakeGpu, FakeMachine
from support.fatbins import image, library
from support.nights import TAG
from support.trees import Tree
from support.wheels import build_wheel, torch_wheel

DATA_CENTRE = "580.95.05"


@dataclass(frozen=True, slots=True, kw_only=True)
class Healthy:
    """A machine in order. ``host`` is the kind of host; ``libcuda`` is of the driver's version where not given."""

    gpus: tuple[FakeGpu, ...]
    driver: str = DATA_CENTRE
    cuda: int = 13000
    libcuda: str | None = None
    host: str = "bare"
    environ: Mapping[str, str] = field(default_factory=dict)
    mps: bool = False


def cards(name: str, capability: tuple[int, int], count: int = 1, **more: int) -> tuple[FakeGpu, ...]:
    return tuple(
        FakeGpu(
            name=f"NVIDIA {name}",
            capability=capability,
            uuid=f"GPU-{index:08x}-0000-4000-8000-000000000000",
            bus=f"00000000:{index + 1:02X}:00.0",
            **more,
        )
        for index in range(count)
    )


H100 = cards("H100 80GB HBM3", (9, 0), mig=0, fabric=3)
SLURM = {"SLURM_JOB_ID": "4711", "SLURMD_NODENAME": "node7", "SLURM_JOB_GPUS": "1"}
MACHINES = {
    "gtx980": Healthy(gpus=cards("GeForce GTX 980", (5, 2))),
    "gtx1080ti": Healthy(gpus=cards("GeForce GTX 1080 Ti", (6, 1), 2)),
    "p100": Healthy(gpus=cards("Tesla P100-PCIE-16GB", (6, 0), 4)),
    "v100": Healthy(gpus=cards("Tesla V100-SXM2-32GB", (7, 0), 8)),
    "t4": Healthy(gpus=cards("Tesla T4", (7, 5))),
    "rtx2080": Healthy(gpus=cards("GeForce RTX 2080 Ti", (7, 5), 3), driver="550.54.14", cuda=12040),
    "a100": Healthy(gpus=cards("A100-SXM4-80GB", (8, 0), 8, mig=0), driver="535.104.05", cuda=12020),
    "a40": Healthy(gpus=cards("A40", (8, 6), 2)),
    "a6000": Healthy(gpus=cards("RTX A6000", (8, 6), 2)),
    "rtx3090": Healthy(gpus=cards("GeForce RTX 3090", (8, 6), 6)),
    "rtx4090": Healthy(gpus=cards("GeForce RTX 4090", (8, 9))),
    "l40s": Healthy(gpus=cards("L40S", (8, 9), 4)),
    "l4": Healthy(gpus=cards("L4", (8, 9))),
    "h100": Healthy(gpus=cards("H100 80GB HBM3", (9, 0), 8, mig=0, fabric=3)),
    "h200": Healthy(gpus=cards("H200", (9, 0), 1, mig=0, fabric=0)),
    "gh200": Healthy(gpus=cards("GH200 480GB", (9, 0), 1, mig=0)),
    "b200": Healthy(gpus=cards("B200", (10, 0), 8, mig=0, fabric=3)),
    "b300": Healthy(gpus=cards("B300 SXM6 AC", (10, 3), 8, mig=0, fabric=3), driver="590.48.01", cuda=13010),
    "rtx5070": Healthy(gpus=cards("GeForce RTX 5070", (12, 0)), driver="576.88", cuda=12090),
    "rtx5090": Healthy(gpus=cards("GeForce RTX 5090", (12, 0), 2), driver="595.58.03", cuda=13020),
    "rtxpro6000": Healthy(gpus=cards("RTX PRO 6000 Blackwell Workstation Edition", (12, 0), 5, mig=0)),
    "gb10": Healthy(gpus=cards("GB10", (12, 1))),
    "mixed": Healthy(gpus=(*cards("Tesla V100-SXM2-32GB", (7, 0)), *cards("GeForce RTX 5090", (12, 0), 2)[1:])),
    "thor": Healthy(gpus=cards("Thor", (11, 0)), libcuda="1.1", host="jetson", driver="580.00"),
    "orin": Healthy(gpus=cards("Orin (nvgpu)", (8, 7)), libcuda="1.1", host="jetson", driver="595.78", cuda=13020),
    "mig": Healthy(gpus=cards("A100-SXM4-40GB", (8, 0), 1, mig=1, slices=7)),
    "mig-beside-whole": Healthy(
        gpus=(replace(H100[0], mig=1, slices=2), *cards("H100 80GB HBM3", (9, 0), 2, mig=0)[1:])
    ),
    "mps": Healthy(gpus=cards("A100-PCIE-40GB", (8, 0), 1, mode=3, mig=0), mps=True),
    "vgpu-licensed": Healthy(gpus=cards("GRID A100D-40C", (8, 0), 1, virtual=2, licensed=1)),
    "passthrough": Healthy(gpus=cards("A10", (8, 6), 1, virtual=1)),
    "wsl": Healthy(gpus=cards("GeForce RTX 4090", (8, 9)), driver="576.88", cuda=12090, libcuda="1.1", host="wsl"),
    "wsl-two": Healthy(
        gpus=cards("GeForce RTX 3090", (8, 6), 2), driver="591.44", cuda=13010, libcuda="1.1", host="wsl"
    ),
    "docker": Healthy(gpus=cards("H100 PCIe", (9, 0)), host="docker", environ={"NVIDIA_VISIBLE_DEVICES": "all"}),
    "docker-one-of-eight": Healthy(gpus=H100, host="docker", environ={"NVIDIA_VISIBLE_DEVICES": H100[0].uuid}),
    "podman": Healthy(gpus=cards("GeForce RTX 5090", (12, 0)), host="podman"),
    "apptainer": Healthy(gpus=cards("A100-SXM4-80GB", (8, 0), 4, mig=0), host="apptainer"),
    "kubernetes": Healthy(
        gpus=cards("L40S", (8, 9), 2), host="kubernetes", environ={"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    ),
    "slurm": Healthy(gpus=cards("A100-SXM4-80GB", (8, 0), 4, mig=0), environ={**SLURM, "CUDA_VISIBLE_DEVICES": "1"}),
    "slurm-constrained": Healthy(gpus=H100, environ={**SLURM, "CUDA_VISIBLE_DEVICES": "0"}),
    "slurm-exclusive": Healthy(gpus=cards("V100", (7, 0), 1, mode=3), environ={**SLURM, "CUDA_VISIBLE_DEVICES": "0"}),
    "slurm-whole-node": Healthy(gpus=cards("A100-SXM4-80GB", (8, 0), 4), environ={"SLURM_JOB_ID": "7"}),
    "pbs": Healthy(gpus=H100, environ={"PBS_JOBID": "17.head", "CUDA_VISIBLE_DEVICES": H100[0].uuid}),
    "ray": Healthy(gpus=cards("L4", (8, 9), 4), environ={"RAY_JOB_ID": "01000000", "CUDA_VISIBLE_DEVICES": "2"}),
    "all-named": Healthy(
        gpus=cards("L4", (8, 9), 2), environ={"CUDA_VISIBLE_DEVICES": "0,1", "CUDA_LAUNCH_BLOCKING": "0"}
    ),
}


def build(machine: Healthy, root: Path) -> Tree:
    tree = Tree(root).bus()
    if machine.host == "wsl":
        return tree.wsl()
    if machine.host == "jetson":
        return tree.write("proc/device-tree/compatible", b"nvidia,p3834\0nvidia,tegra264\0").nodes(
            "nvidiactl", "nvidia0"
        )
    for gpu in machine.gpus:
        tree.pci(gpu.bus[4:].lower(), device="0x2335", driver="nvidia")
    tree.module(machine.driver, opened=True).nodes()
    marks = {
        "docker": ".dockerenv",
        "podman": "run/.containerenv",
        "apptainer": ".singularity.d/env/base.sh",
        "kubernetes": "run/secrets/kubernetes.io/serviceaccount/namespace",
    }
    if machine.host in marks:
        tree.write(marks[machine.host], "")
    if machine.mps:
        tree.write("tmp/nvidia-mps/control", "")
    return tree


EVERY_CARD = ("52", "60", "61", "70", "75", "80", "86", "87", "89", "90", "100", "103", "110", "120", "121")
TORCH = torch_wheel(
    "2.11.0", "cu126", archs=[f"sm_{code}" for code in EVERY_CARD], tag=TAG, requires=["triton==3.7.0", "filelock"]
)
CODE = library([[image("sass", int(code)) for code in EVERY_CARD]])
WHEELS = (
    TORCH,
    build_wheel("torchvision", "0.26.0+cu126", tag=TAG, requires=["torch==2.11.0"]),
    build_wheel("triton", "3.7.0", tag=TAG),
    build_wheel("filelock", "3.19.0", entry_points="[console_scripts]\nlocked = filelock:main\n"),
    build_wheel("flash-attn", "2.8.3", tag=TAG, files={"flash_attn_2_cuda.so": CODE}),
)


def by_uv(folder: Path, wheels: Path) -> Path:
    uv = str(find_uv(os.environ).path)
    call([uv, "venv", "--no-config", "--python", sys.executable, str(folder)])
    call([uv, "pip", "install", "--no-config", "--offline", "--no-index", "--no-deps", "--python", str(folder),
          *map(str, sorted(wheels.glob("*.whl")))])  # fmt: skip
    return folder


def by_pip(folder: Path, wheels: Path) -> Path:
    call([sys.executable, "-m", "venv", str(folder)])
    call([str(folder / "bin/python"), "-m", "pip", "install", "-q", "--no-index", "--no-deps",
          *map(str, sorted(wheels.glob("*.whl")))])  # fmt: skip
    return folder


def by_conda(folder: Path, wheels: Path) -> Path:
    """As conda lays it out: no pyvenv.cfg, records of its own, packages of conda beside those of pip."""
    inside = by_uv(folder, wheels)
    (inside / "pyvenv.cfg").unlink()
    (inside / "conda-meta").mkdir()
    site = next(inside.glob("lib/python3.*/site-packages"))
    for info in site.glob("*.dist-info"):
        (info / "INSTALLER").write_text("conda")
        name = info.name.removesuffix(".dist-info")
        (inside / f"conda-meta/{name}-py_0.json").write_text(f'{{"name": "{name.partition("-")[0]}"}}')
    (next(site.glob("filelock-*.dist-info")) / "RECORD").unlink()
    return inside


def call(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120, env=CLEAN)
    assert done.returncode == 0, done.stderr


CLEAN = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, EnvironmentFacts]:
    """Environments in order of three makers, read once."""
    folder = tmp_path_factory.mktemp("environments")
    for wheel in WHEELS:
        wheel.write(folder / "wheels")
    makers = {"uv": by_uv, "pip": by_pip, "conda": by_conda}
    return {name: read_environment(make(folder / name, folder / "wheels")) for name, make in makers.items()}


@pytest.mark.xdist_group("healthy")
@pytest.mark.parametrize("name", sorted(MACHINES))
def test_a_machine_in_order(name: str, environments: dict[str, EnvironmentFacts], tmp_path: Path) -> None:
    machine = MACHINES[name]
    tree = build(machine, tmp_path / "root")
    fake = FakeMachine(
        gpus=machine.gpus, driver=machine.driver, cuda=machine.cuda, libcuda=machine.libcuda or machine.driver
    )
    environ = fake.environ(tmp_path / "driver", **machine.environ)
    detection = look(tree, environ)
    checkup = check_up(detection, environ=environ, root=tree.root)
    findings = [
        *diagnose_machine(detection, knowledge=knowledge.load(), environ=environ, checkup=checkup),
        *diagnose_session(environ),
    ]

    assert detection.problem is None
    assert [finding for finding in findings if finding.severity != "ok"] == []
    assert sum(finding.subject.startswith("GPU ") for finding in findings) == len(machine.gpus)
    assert checkup.cuda is not None
    assert checkup.cuda.works
    for maker, facts in environments.items():
        examination = examine(facts, environ=environ | {"CC": "/bin/sh"}, machine=detection.machine, shown=maker)
        found = diagnose_environment(replace(examination, headers=True), knowledge=knowledge.load())
        assert [each for each in found if each.severity != "ok"] == [], maker
        assert sum(each.subject.startswith("GPU ") for each in found) == len(machine.gpus)


def test_there_are_enough_of_them() -> None:
    assert len(MACHINES) >= 40
    assert {len(machine.gpus) for machine in MACHINES.values()} >= {1, 2, 3, 4, 5, 6, 8}
