"""A GPU that is out of reach: absence is believed only from what could have shown a presence."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.machine.problem import DriverProblem
from support.detection import INIT, NO_LIBRARY, look, smi
from support.fake_nvml import FakeGpu, FakeMachine
from support.trees import Tree

SLURM = {"SLURM_JOB_ID": "4711", "SLURMD_NODENAME": "node7"}
VERSION = "nvmlSystemGetDriverVersion"


def found(tree: Tree, environ: dict[str, str]) -> DriverProblem:
    problem = look(tree, environ).problem
    assert problem is not None
    return problem


@pytest.mark.parametrize("code", [9, 12, 28])
def test_a_container_without_a_bus(tmp_path: Path, code: int) -> None:
    """No /sys/bus/pci, NVML 9, nvidia-smi 9: nothing here could have shown a GPU."""
    environ = FakeMachine(faults={INIT: code}).environ(tmp_path / "driver", NVIDIA_VISIBLE_DEVICES="all")
    smi(tmp_path / "driver", "echo 'NVIDIA-SMI has failed because it could not communicate with the driver'; exit 9")
    problem = found(Tree(tmp_path / "root").docker(), environ)

    assert problem.kind == "unseen"
    assert "/sys/bus/pci/devices shows no device" in problem.causes[1]
    assert "NVIDIA_VISIBLE_DEVICES=all asks for GPUs" in problem.causes
    assert problem.advice[0].startswith("By hand, on the host, by its owner: Start the container with the GPU")
    assert "gpuenv create --profile cpu" in problem.advice[1]


def test_a_bus_that_shows_no_device_is_none(tmp_path: Path) -> None:
    tree = Tree(tmp_path / "root")
    (tree.root / "sys/bus/pci/devices").mkdir(parents=True)

    assert found(tree, NO_LIBRARY).kind == "unseen"


def test_a_bus_that_shows_none_is_believed(tmp_path: Path) -> None:
    detection = look(Tree(tmp_path / "root").bus().docker(), {**NO_LIBRARY, "NVIDIA_VISIBLE_DEVICES": "all"})

    assert (detection.problem, detection.machine.gpus) == (None, ())


def test_wsl_would_show_it(tmp_path: Path) -> None:
    tree = Tree(tmp_path).write("proc/sys/kernel/osrelease", "5.15.167.4-microsoft-standard-WSL2\n")

    assert look(tree, NO_LIBRARY).problem is None


def test_nothing_is_said_twice_and_no_statement_contradicts(tmp_path: Path) -> None:
    """Code 9, a card on the bus, no module: no note denies what the cause says."""
    environ = FakeMachine(faults={INIT: 9}).environ(tmp_path / "driver")
    detection = look(Tree(tmp_path / "root").bus().pci(), environ)

    assert detection.problem is not None
    assert any("is an NVIDIA GPU" in cause for cause in detection.problem.causes)
    assert detection.notes == ()


def test_a_card_for_virtual_machines_is_not_denied(tmp_path: Path) -> None:
    (note,) = look(Tree(tmp_path).bus().pci(driver="vfio-pci"), NO_LIBRARY).notes

    assert note == "the NVIDIA GPU at 0000:01:00.0 is reserved for virtual machines (bound to vfio-pci)"


@pytest.mark.parametrize(
    ("vendor", "kind", "says"),
    [
        ("0x1002", "0x030000", "an AMD GPU is here (0000:03:00.0, 1002:744c)"),
        ("0x1002", "0x120000", "an AMD GPU is here"),
        ("0x8086", "0x038000", "an Intel GPU is here"),
    ],
)
def test_gpus_of_other_makers_are_named(tmp_path: Path, vendor: str, kind: str, says: str) -> None:
    tree = Tree(tmp_path).bus().pci("0000:03:00.0", vendor=vendor, device="0x744c", kind=kind)
    detection = look(tree, NO_LIBRARY)

    assert detection.problem is None
    assert detection.notes[0].startswith(says)
    assert "does not choose PyTorch's builds for" in detection.notes[0]


@pytest.mark.parametrize(("vendor", "kind"), [("0x1a03", "0x030000"), ("0x1002", "0x040300"), ("0x8086", "0x060000")])
def test_what_is_no_gpu_of_another_maker(tmp_path: Path, vendor: str, kind: str) -> None:
    """A management chip's display, a sound device, a bridge."""
    assert look(Tree(tmp_path).bus().pci("0000:03:00.0", vendor=vendor, kind=kind), NO_LIBRARY).notes == ()


@pytest.mark.parametrize("wsl", [False, True])
def test_gpus_are_known_and_the_drivers_version_is_not(tmp_path: Path, wsl: bool) -> None:
    environ = FakeMachine(faults={VERSION: 999}).environ(tmp_path / "driver")
    smi(tmp_path / "driver", f'echo "[N/A], 0, {FakeGpu().uuid}, 00000000:01:00.0, 32607, [N/A], 12.0, RTX 5090"')
    tree = Tree(tmp_path / "root").bus()
    problem = found(tree.wsl() if wsl else tree.pci(driver="nvidia").nodes(), environ)

    assert problem.kind == "driver-version"
    assert problem.causes[0] == f"NVML: {VERSION} returned 999: Unknown Error"
    assert problem.causes[1] == "nvidia-smi: gave no version"
    assert "--machine machine.json" in problem.options[0]


def test_the_drivers_version_of_nvidia_smi_will_do(tmp_path: Path) -> None:
    environ = FakeMachine(faults={VERSION: 999}).environ(tmp_path / "driver")
    smi(tmp_path / "driver", f'echo "576.88, 0, {FakeGpu().uuid}, 00000000:01:00.0, 32607, [N/A], 12.0, RTX 5090"')
    detection = look(Tree(tmp_path / "root").bus().wsl(), environ)

    assert detection.problem is None
    assert detection.machine.driver is not None
    assert (detection.machine.driver.version, detection.machine.driver.source) == ("576.88", "nvidia-smi")


def test_a_version_that_is_none(tmp_path: Path) -> None:
    environ = FakeMachine(driver="N/A", library_version="570.86.10").environ(tmp_path / "driver")

    assert found(Tree(tmp_path / "root").bus().wsl(), environ).kind == "driver-version"


@pytest.mark.parametrize("text", ["raise SystemExit(3)", "import nothing_of_this_name", "nvmlInit = None", "\0"])
def test_another_pynvml_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    shadow = tmp_path / "mine/pynvml.py"
    shadow.parent.mkdir()
    shadow.write_text(text)
    monkeypatch.syspath_prepend(str(shadow.parent))
    tree = Tree(tmp_path / "root").bus().pci(driver="nvidia").module().nodes()
    detection = look(tree, FakeMachine().environ(tmp_path / "driver", PYTHONPATH=str(shadow.parent)))

    assert detection.problem is None
    assert len(detection.machine.gpus) == 1
    assert detection.notes == (f"{shadow} stands in the way of NVIDIA's pynvml on Python's path; gpuenv asks its own",)


@pytest.mark.parametrize("code", [4, 9, 17, 999])
@pytest.mark.parametrize(
    ("variables", "says", "option"),
    [
        (SLURM, "this Slurm job 4711 was given no GPU", "--gres=gpu:1"),
        ({**SLURM, "CUDA_VISIBLE_DEVICES": "NoDevFiles"}, "this Slurm job 4711", "--gres=gpu:1"),
        ({"PBS_JOBID": "17.head"}, "this PBS job 17.head was given no GPU", "-l ngpus=1"),
        ({"LSB_JOBID": "9"}, "this LSF job 9 was given no GPU", 'bsub -gpu "num=1"'),
        ({"FLUX_JOB_ID": "f1"}, "this Flux job f1 was given no GPU", "--gpus-per-task=1"),
    ],
)
def test_a_job_that_was_given_no_gpu(
    tmp_path: Path, code: int, variables: dict[str, str], says: str, option: str
) -> None:
    environ = FakeMachine(faults={INIT: code}).environ(tmp_path / "driver", **variables)
    problem = found(Tree(tmp_path / "root").bus().pci(driver="nvidia").module().nodes(), environ)

    assert problem.kind == "not-given"
    assert says in problem.summary
    assert option in problem.advice[0]
    assert not any("modprobe" in hint or "usermod" in hint or "unset" in hint for hint in problem.advice)


def test_a_pod_that_was_given_no_gpu(tmp_path: Path) -> None:
    environ = FakeMachine(faults={INIT: 9}).environ(tmp_path / "driver", KUBERNETES_SERVICE_HOST="10.0.0.1")
    tree = Tree(tmp_path / "root").bus().pci(driver="nvidia").module()
    problem = found(tree.write("run/secrets/kubernetes.io/serviceaccount/namespace", "a"), environ)

    assert (problem.kind, problem.summary) == ("not-given", "this Kubernetes pod was given no GPU")
    assert "nvidia.com/gpu: 1" in problem.advice[0]


def test_a_job_with_a_gpu_on_a_node_whose_driver_fails(tmp_path: Path) -> None:
    """The node is the site's: nothing there is for the job's owner to load."""
    environ = FakeMachine(faults={INIT: 9}).environ(tmp_path / "driver", **SLURM, SLURM_JOB_GPUS="0")
    problem = found(Tree(tmp_path / "root").bus().pci(), environ)

    assert (problem.kind, problem.by) == ("driver-not-loaded", "the site's administrator")
    assert all(hint.startswith("By hand, by the site's administrator: ") for hint in problem.advice)


def test_a_job_on_a_node_without_a_gpu(tmp_path: Path) -> None:
    detection = look(Tree(tmp_path).bus(), {**NO_LIBRARY, **SLURM})

    assert detection.problem is None
    assert detection.notes[0].startswith("this Slurm job 4711 runs where no NVIDIA GPU is. Ask Slurm for a GPU: `srun")
