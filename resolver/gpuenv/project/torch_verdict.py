"""Whether a pinned torch runs on a machine: its build, the driver that needs, the code in it."""

from __future__ import annotations

import re

from gpuenv.knowledge.names import local
from gpuenv.knowledge.rules import NoCode, code_of, compare_versions
from gpuenv.model.decision import Question
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.project.pinned_wheel import open_words
from gpuenv.project.pins import Pin
from gpuenv.project.verdicts import Bench, PackageVerdict, least
from gpuenv.select.kernels import first_cuda
from gpuenv.select.target import Refusal

_CONDA_CUDA = re.compile(r"(?:^|_)(?:cuda|gpu_cuda)(\d+)\.?(\d*)")


def build_of(pin: Pin, wheel: Wheel | Refusal | None, bench: Bench) -> str | None:
    """How torch is built: ``cu128``, ``cpu``; ``None`` where nothing tells."""
    if isinstance(wheel, Wheel):
        read = bench.facts.get(wheel.url)
        if read is not None and read.cuda is not None:
            return bench.knowledge.variant_of(read.cuda)
        said = local(wheel.version)
        return bench.knowledge.variant(wheel) or (said if said.startswith(("rocm", "xpu")) else None)
    return conda_build(pin.conda) if pin.conda else None


def conda_build(build: str) -> str | None:
    """The build that conda's build string names, by the name of a wheel's; ``None`` where it names none.

    >>> conda_build("cuda129_mkl_py312_hd8345d4_301"), conda_build("py3.10_cuda11.8_cudnn8.7.0_0")
    ('cu129', 'cu118')
    """
    if found := _CONDA_CUDA.search(build):
        return f"cu{found[1]}{found[2]}"
    return "cpu" if re.search(r"(?:^|_)cpu(?:_|$)", build) else None


def torch_verdict(pin: Pin, wheel: Wheel | Refusal | None, build: str | None, bench: Bench) -> PackageVerdict:
    if isinstance(wheel, Refusal):
        return PackageVerdict(word="no-wheel", detail=wheel.detail)
    if wheel is None:
        if pin.conda and build:
            return _conda(build, bench)
        return PackageVerdict(word="unknown", detail=open_words(pin), tells="a lock of it")
    contents = bench.facts.get(wheel.url) or bench.knowledge.contents(wheel)
    if build is None and contents is None:
        return _unread(wheel, "no table knows this build")
    if build is not None and (early := _without_code(build, bench)) is not None:
        return early
    if build is not None and contents is None and (older := too_old_a_toolkit(build, bench)) is not None:
        return older
    if contents is None or (contents.cuda != "" and contents.sass is None):
        return _unread(wheel, f"no table knows the code in torch {wheel.version}")
    if contents.cuda == "":
        return _of_cpu(bench, contents.detail)
    return _code(wheel, contents, build or bench.knowledge.variant_of(contents.cuda or ""), bench)


def _without_code(build: str, bench: Bench) -> PackageVerdict | None:
    """The verdict that the build alone gives; ``None`` where the code decides."""
    cuda = bench.knowledge.cuda_of(build)
    if build == "cpu":
        return _of_cpu(bench, "built without CUDA")
    if cuda is None:
        return PackageVerdict(word="no-code", detail=f"{build} is not for NVIDIA GPUs")
    return driver_verdict(cuda, build, bench)


def driver_verdict(cuda: str, build: str, bench: Bench) -> PackageVerdict | None:
    """The verdict that a build of ``cuda`` gets for want of a GPU or of a driver that is new enough."""
    knowledge, machine = bench.knowledge, bench.machine
    if not machine.gpus:
        return PackageVerdict(word="no-gpu", detail=f"built with CUDA {cuda}; there is no NVIDIA GPU")
    if machine.driver is None:
        return PackageVerdict(word="driver", detail=f"built with CUDA {cuda}; there is no NVIDIA driver")
    floor = knowledge.floor_for(build, machine)
    if floor is None:
        return PackageVerdict(
            word="unknown", detail=f"which driver CUDA {cuda} needs is not known", tells="a newer gpuenv"
        )
    driver = machine.driver
    fact = f"{build} needs driver {floor.minimum} ({floor.source})"
    if knowledge.driver_reach(machine, floor.minimum) is None:
        detail = f"CUDA {cuda} needs driver {floor.minimum}; this is {driver.version}"
        return PackageVerdict(word="driver", detail=detail, facts=(fact, f"driver {driver.version} ({driver.place})"))
    return None


def _of_cpu(bench: Bench, why: str) -> PackageVerdict:
    if not bench.machine.gpus:
        return PackageVerdict(word="cpu", detail="runs on the CPU", facts=(why,))
    names = ", ".join(dict.fromkeys(gpu.name for gpu in bench.machine.gpus))
    return PackageVerdict(word="cpu-build", detail=f"built without CUDA: {names} would be idle", facts=(why,))


def _code(wheel: Wheel, contents: WheelContents, build: str, bench: Bench) -> PackageVerdict:
    """Which code serves each GPU; the GPU that is served least gives the verdict."""
    knowledge = bench.knowledge
    if (early := driver_verdict(contents.cuda or "", build, bench)) is not None:
        return early
    driver_cuda = knowledge.machine_cuda(bench.machine)
    answers = [
        (
            gpu,
            knowledge.serve(wheel, contents, gpu.compute_capability, driver_cuda=driver_cuda, platform=bench.platform),
        )
        for gpu in bench.machine.gpus
    ]
    facts = (f"code: {' '.join((*(contents.sass or ()), *(contents.ptx or ())))} ({contents.detail})",)
    several = len({gpu.name for gpu, _ in answers}) > 1
    found = []
    for gpu, answer in answers:
        named = f"{gpu.name}: " if several else ""
        if isinstance(answer, NoCode):
            found.append(
                PackageVerdict(word="no-code", detail=named + answer.brief, facts=(named + answer.detail, *facts))
            )
        else:
            detail = answer.warning or f"{answer.by} runs natively"
            found.append(PackageVerdict(word=answer.support, detail=named + detail, by=answer.by, facts=facts))
    return least(found)


def _conda(build: str, bench: Bench) -> PackageVerdict:
    """A package of conda: its build says CUDA, and no table says its code."""
    early = _without_code(build, bench) or too_old_a_toolkit(build, bench)
    if early is not None:
        return early
    return PackageVerdict(
        word="unknown",
        detail=f"no table knows the code in conda's build for CUDA {bench.knowledge.cuda_of(build)}",
        tells="`python -c 'import torch; print(torch.cuda.get_arch_list())'` in that environment",
    )


def too_old_a_toolkit(build: str, bench: Bench) -> PackageVerdict | None:
    """No code, whatever nobody has read: a toolkit cannot compile for a GPU that it does not know."""
    cuda = bench.knowledge.cuda_of(build)
    for gpu in bench.machine.gpus:
        first = first_cuda(bench.knowledge, gpu.compute_capability)
        if cuda and first and compare_versions(cuda, first) < 0:
            code = code_of(gpu.compute_capability)
            detail = f"no code for {code}: CUDA {cuda} cannot compile it, CUDA {first} is the first"
            return PackageVerdict(word="no-code", detail=detail)
    return None


def _unread(wheel: Wheel, why: str) -> PackageVerdict:
    if wheel.url.startswith(("http://", "https://", "file://")):
        return PackageVerdict(word="unknown", detail=why, question=Question(wheel=wheel, about="kernels"))
    return PackageVerdict(word="unknown", detail=why, tells="the wheel itself: `gpuenv inspect WHEEL`")


def _open(pin: Pin) -> str:
    if pin.source:
        return "comes as source code, and is built on the machine"
    if pin.conda:
        return f"which build of conda it is stands nowhere: {pin.conda}"
    return f"{pin.stated or pin.name} names no exact version"
