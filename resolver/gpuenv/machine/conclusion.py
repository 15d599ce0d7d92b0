"""Gather what the sources say of this machine, and conclude what it is or what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gpuenv.knowledge import scheduler
from gpuenv.machine import diagnosis, linux, nvml, smi, windows
from gpuenv.machine.detection import Detection
from gpuenv.machine.linux import Remains
from gpuenv.machine.merge import Found, merge
from gpuenv.machine.notes import notes_of
from gpuenv.machine.nvml import NvmlAnswer
from gpuenv.machine.problem import DriverProblem, Evidence, traces
from gpuenv.model.machine import Arch, Driver, Machine, Os
from gpuenv.system.process import Child, NotStarted


def gather(
    child: Child | NotStarted, *, system: Os, environ: Mapping[str, str], root: Path, timeout: float
) -> Evidence:
    """Read the system's files while the child asks NVML; ask nvidia-smi and look closer only where that left a gap."""
    local = root == Path("/")
    host = linux.read_host(root, confstr=linux.running_libc if local else None) if system == "linux" else None
    answer = nvml.finished(child, timeout=timeout)
    unversioned = answer.driver is None and (host is None or host.module is None)
    gap = _incomplete(answer) or unversioned
    mine, others = windows.adapters() if gap and system == "windows" else ((), ())
    return Evidence(
        host=host,
        answer=answer,
        smi=smi.query(environ, timeout=timeout) if gap and _knows_more(answer) else None,
        remains=linux.read_remains(root) if gap and host is not None else Remains(),
        adapters=mine,
        others=others,
        registry=windows.driver_version() if unversioned and system == "windows" else None,
        jobs=scheduler.schedulers(environ),
        visible=environ.get("NVIDIA_VISIBLE_DEVICES"),
        shadow=nvml.shadow(),
    )


def conclude(evidence: Evidence, *, system: Os, arch: Arch, environ: Mapping[str, str]) -> Detection:
    """Make the detection of what was learned; pure."""
    found = merge(evidence)
    driver, driver_sources = _driver(evidence, found)
    problem = _problem(evidence, found)
    if problem is None and found.gpus and driver is None:
        problem = diagnosis.version_unknown(evidence)
    if problem is None and not found.gpus:
        driver, driver_sources = None, {}
    host = evidence.host
    sources = {"os": "sys.platform", "arch": "uname" if system != "windows" else "environment", **driver_sources}
    if host is not None:
        sources |= {"libc": host.libc_by, "wsl": host.wsl_by, "container": host.container_by}
    machine = Machine(
        os=system,
        arch=arch,
        libc=host.libc if host else None,
        wsl=host.wsl if host else False,
        container=host.container if host else False,
        driver=driver,
        gpus=found.gpus,
        sources=tuple(sorted({**sources, **dict(found.sources)}.items())),
    )
    partial = found.troubles if problem is None else ()
    return Detection(
        machine=machine,
        problem=problem,
        notes=notes_of(evidence, machine, partial, environ, broken=problem is not None),
        partial=partial,
        evidence=evidence,
    )


def _problem(evidence: Evidence, found: Found) -> DriverProblem | None:
    answer = evidence.answer
    if not found.gpus:
        return found.troubles[0] if found.troubles else diagnosis.explain(evidence)
    if found.by_smi:
        return None
    if answer.ending in ("hung", "crashed") and found.troubles:
        return diagnosis.explain(evidence)
    if answer.cuda_failure is not None and answer.cuda_failure.code == 12:
        return diagnosis.compute_library_missing(evidence, answer.cuda_failure)
    if found.usable_by_cuda == 0:
        return diagnosis.mig_empty(evidence, tuple(f"GPU {gpu.index} ({gpu.name})" for gpu in found.gpus))
    return None


def _incomplete(answer: NvmlAnswer) -> bool:
    whole = all(gpu.uuid and gpu.name and gpu.compute_capability for gpu in answer.gpus)
    return answer.ending != "answered" or not answer.gpus or not whole


def _knows_more(answer: NvmlAnswer) -> bool:
    """Whether nvidia-smi may know more. It stands on NVML: after a hang it would hang too, of no GPU it knows none."""
    counted_none = answer.ending == "answered" and not answer.gpus
    return answer.ending != "hung" and not counted_none


def _driver(evidence: Evidence, found: Found) -> tuple[Driver | None, dict[str, str]]:
    answer, host, smi_answer = evidence.answer, evidence.host, evidence.smi
    version, source = answer.driver, "nvml"
    if version is None and host is not None and host.module is not None:
        version, source = host.module.version, host.module.source
    if version is None and smi_answer is not None and smi_answer.driver is not None:
        version, source = smi_answer.driver, "nvidia-smi"
    if version is None and evidence.registry is not None:
        version, source = evidence.registry, windows.REGISTRY
    if version is None or (not found.gpus and not traces(evidence) and answer.driver is None):
        return None, {}
    sources = {"driver.version": source}
    if answer.cuda is not None:
        asked = ", without libcuda" if answer.cuda_failure else f", from {answer.libcuda}" if answer.libcuda else ""
        sources["driver.cuda"] = f"nvml{asked}"
    return Driver(version=version, cuda=answer.cuda, source=source), sources
