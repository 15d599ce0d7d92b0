"""Tell a broken driver's faults apart: which problem of the table it is, and the facts that it rests on.

Pure: evidence goes in, a :class:`DriverProblem` comes out, or ``None`` where there simply is no NVIDIA GPU. The codes
are nvml.h's ``nvmlReturn_t``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from gpuenv.knowledge.scheduler import NO_DEVICE
from gpuenv.machine.linux import Host
from gpuenv.machine.nvml import NvmlFailure
from gpuenv.machine.problem import DriverProblem, Evidence, Kind, hints_of, problem, traces

WITHOUT_CARD = frozenset({None, 9, 12, 13, 28})
"""What NVML also answers on a machine without a card: no GPU, not loaded, no library, a stub of it, not found."""

OUT_OF_REACH = (None, 4, 6, 9, 17, 28, 999)
"""What NVML answers where the devices are there and this process may not touch them; ``None``: it counts no GPU."""

BUSY = (10, 19, 20, 23, 27, 29)

OF_GPU: dict[int | None, Kind] = {15: "gpu-lost", 16: "reset-required", 8: "insufficient-power", 11: "interrupt"}
"""What single cards suffer from, by NVML's code."""

RUNTIMES = {"singularity": "apptainer", "containerenv": "podman", "libpod": "podman", "kubernetes": "kubernetes"}
"""Which container runtime leaves which mark: each is started with its host's GPUs in its own way."""


def explain(evidence: Evidence) -> DriverProblem | None:
    """Say why NVML gave no GPU; ``None`` where there is no NVIDIA GPU.

    Asked only when there is no usable GPU. Absence is believed only where something could have shown a presence: a PCI
    bus without an NVIDIA display device, a registry without an adapter, an NVML that counts none; and never against a
    code that only a driver with a card gives.
    """
    answer, host = evidence.answer, evidence.host
    if answer.ending == "hung":
        return _hang(evidence)
    if answer.ending == "crashed":
        return _crash(evidence)
    code = answer.failure.code if answer.failure else None
    if code in WITHOUT_CARD and not traces(evidence):
        return None if absence_shown(evidence) else _not_given(evidence, code) or _unseen(evidence)
    if (left_out := _not_given(evidence, code)) is not None:
        return left_out
    if answer.ending in ("not-asked", "late"):
        failures = (answer.failure.text if answer.failure else "", evidence.smi.failure if evidence.smi else "")
        causes = (*filter(None, failures), *traces(evidence)[:2])
        return problem("unknown", evidence, causes, case=answer.ending, by="you")
    if host is not None and _left_outside(host) and code in (None, 9, 12, 17, 999):
        return _container_without_gpu(evidence, host)
    if answer.failure is None or code == 28:
        driver = answer.driver or (host.module.version if host and host.module else "")
        runs = f"driver {driver} (NVML) runs" if driver else "the NVIDIA driver runs"
        return problem("no-device", evidence, traces(evidence)[:4], runs=runs)
    return _by_code(answer.failure, evidence)


def of_gpu(failure: NvmlFailure, evidence: Evidence, subject: str) -> DriverProblem:
    """Explain why one GPU among others cannot be used."""
    if failure.code in (4, 17, 999, *BUSY):
        return _by_code(failure, evidence, subject)
    return problem(OF_GPU.get(failure.code, "gpu-unreadable"), evidence, (str(failure),), gpu=subject)


def absence_shown(evidence: Evidence) -> bool:
    """Whether something that could have shown an NVIDIA GPU shows none.

    A PCI bus with devices could, Windows' list of adapters, WSL's /dev/dxg, and an NVML that counts no GPU. A missing
    library could not: a container, a sandbox or a bare chroot on a machine full of GPUs looks the same.
    """
    host = evidence.host
    if host is None or host.pci is not None or host.wsl:
        return True
    return evidence.answer.ending == "answered"


def compute_library_missing(evidence: Evidence, failure: NvmlFailure) -> DriverProblem:
    """NVML answers, libcuda cannot be loaded: the driver is seen, and nothing can compute on it."""
    driver = f"driver {evidence.answer.driver} (NVML)" if evidence.answer.driver else "the driver"
    case = "container" if _contained(evidence) else ""
    return problem("compute-library-missing", evidence, (str(failure),), case=case, driver=driver)


def version_unknown(evidence: Evidence) -> DriverProblem:
    """The GPUs are known and the driver's version is not, without which no CUDA build can be said to run."""
    host, smi = evidence.host, evidence.smi
    wsl = host is not None and host.wsl
    causes = (
        f"NVML: {evidence.answer.driver_failure or evidence.answer.failure or 'gave no version'}",
        *((f"nvidia-smi: {smi.failure or 'gave no version'}",) if smi is not None else ()),
        *(() if host is None or wsl else ("no version in /sys/module/nvidia and /proc/driver/nvidia",)),
    )
    return problem("driver-version", evidence, causes, case="wsl" if wsl else "", by="you" if wsl else None)


def mig_empty(evidence: Evidence, names: tuple[str, ...]) -> DriverProblem:
    """GPUs in MIG mode of which no slice was made: CUDA counts slices only."""
    causes = ("nvmlDeviceGetMigDeviceHandleByIndex found no device",)
    return problem("mig-empty", evidence, causes, names=", ".join(names))


def _contained(evidence: Evidence) -> bool:
    return evidence.host is not None and evidence.host.container


def _left_outside(host: Host) -> bool:
    """A container on a machine with a GPU that was not handed in: the host's kernel shows, its device nodes do not."""
    return host.container and not host.nodes and not host.wsl and host.tegra is None


def _unseen(evidence: Evidence) -> DriverProblem:
    """Nothing here could have shown a GPU, so that its absence is not known."""
    host, failure, smi = evidence.host, evidence.answer.failure, evidence.smi
    asked = evidence.visible is not None and evidence.visible.strip().lower() not in NO_DEVICE
    causes = (
        *((str(failure),) if failure else ()),
        "no PCI bus to look at: /sys/bus/pci/devices shows no device",
        *((f"this is a container ({host.container_by})",) if host is not None and host.container else ()),
        *((smi.failure,) if smi is not None and smi.path is not None and smi.failure else ()),
        *((f"NVIDIA_VISIBLE_DEVICES={evidence.visible} asks for GPUs",) if asked else ()),
    )
    if host is None or not host.container:
        return problem("unseen", evidence, causes, by="you")
    found = problem("unseen", evidence, causes, case="container", by="the host's owner")
    return replace(found, hints=_container_without_gpu(evidence, host).hints)


def _not_given(evidence: Evidence, code: int | None) -> DriverProblem | None:
    """The scheduler gave this job no GPU, so that the node's are out of its reach; ``None`` where it is not that."""
    host = evidence.host
    for job in reversed(evidence.jobs):  # the outermost one holds the devices
        pod = job.name == "Kubernetes" and host is not None and _left_outside(host)
        batch = job.name not in ("Kubernetes", "Ray") and job.given is not True
        if (pod and code in (*OUT_OF_REACH, 12)) or (batch and code in OUT_OF_REACH):
            causes = (*((str(evidence.answer.failure),) if evidence.answer.failure else ()), *traces(evidence)[:3])
            return problem("not-given", evidence, causes, by="you", place=job.place, ask=job.ask)
    return None


def _container_without_gpu(evidence: Evidence, host: Host) -> DriverProblem:
    """A container that was started without the host's GPU."""
    module = host.module
    behind = f"driver {module.version} ({module.source})" if module else "no NVIDIA kernel module loaded"
    here = f"this is a container ({host.container_by}), and /dev holds no nvidia device node"
    case = next((case for mark, case in RUNTIMES.items() if mark in host.container_by), "")
    causes = (*traces(evidence)[:4], here)
    return problem("container-without-gpu", evidence, causes, case=case, by="the host's owner", behind=behind)


def _by_code(failure: NvmlFailure, evidence: Evidence, subject: str = "") -> DriverProblem:
    """Explain one of NVML's codes. ``subject`` names the GPU where one alone is meant."""
    of, why = f" for {subject}" if subject else "", (str(failure),)
    match failure.code:
        case 12:
            return _library_missing(evidence)
        case 13:
            library = evidence.answer.library or "libnvidia-ml.so.1"
            stub = "stub" if "/stubs/" in library else ""
            return problem("library-outdated", evidence, why, case=stub, library=library)
        case 9:
            return _not_loaded(evidence, failure)
        case 18:
            return _mismatch(evidence, failure)
        case 4:
            nodes = evidence.host.nodes if evidence.host else ()
            return problem("no-permission", evidence, (*why, *nodes), of=of)
        case 17:
            return problem("blocked", evidence, why, of=of)
        case 999 if _contained(evidence):
            often = "`systemctl daemon-reload` on the host takes the devices away from running containers"
            return problem("devices-lost", evidence, (*why, often), of=of)
        case 999:
            often = "often after the machine slept, or with the module nvidia_uvm missing"
            return problem("unknown", evidence, (*why, often), of=of)
        case code if code in BUSY:
            return problem("busy", evidence, why, of=of)
        case code:
            return problem(OF_GPU.get(code, "gpu-unreadable"), evidence, why, gpu=subject or "a GPU")


def _library_missing(evidence: Evidence) -> DriverProblem:
    """libnvidia-ml was not found, or not loaded: by what else the machine shows, each cause has its own remedy."""
    host, answer, found = evidence.host, evidence.answer, evidence.remains.libraries
    loader = (f"the loader says: {answer.loader}",) if answer.loader else ()
    places = (f"found: {', '.join(found[:4])}",) if found else ()
    if host is None:
        return problem("library-missing", evidence, (*loader, *traces(evidence)), case="windows")
    if answer.loader and not re.search(r"cannot open shared object|No such file", answer.loader):
        return problem("library-broken", evidence, (*loader, *places))
    if host.tegra:
        return problem("jetson", evidence, loader, chip=host.tegra)
    if found:
        causes = (*loader, *places, *traces(evidence)[:2])
        return problem("library-missing", evidence, causes, case="elsewhere", folder=found[0].rpartition("/")[0])
    if host.module is None and not host.container and not host.wsl:
        nouveau = any(gpu.bound_to == "nouveau" for gpu in host.pci or ())
        held = " (the open-source driver nouveau holds it, which has no CUDA)" if nouveau else ""
        nothing = "no libnvidia-ml in the usual folders, no nvidia kernel module loaded"
        return problem("driver-not-installed", evidence, (*traces(evidence)[:4], nothing), held=held)
    module = f" of the loaded kernel module {host.module.version} ({host.module.source})" if host.module else ""
    driver = f"driver {host.module.version}" if host.module else "the driver"
    case = "wsl" if host.wsl else "container" if host.container else ""
    causes = (*loader, *traces(evidence)[:4])
    return problem("library-missing", evidence, causes, case=case, module=module, driver=driver)


def _not_loaded(evidence: Evidence, failure: NvmlFailure) -> DriverProblem:
    host, remains = evidence.host, evidence.remains
    causes = [str(failure), *traces(evidence)[:4]]
    module = host.module if host is not None else None
    found = partial(problem, "driver-not-loaded", evidence, causes, case="loaded" if module else "")
    if host is not None and host.wsl:
        causes.append(f"the library loaded is {evidence.answer.library or 'unknown'}")
        return replace(found(), hints=hints_of("driver-not-loaded", "wsl"))
    if module is not None:
        causes.append(f"the kernel module {module.version} is loaded ({module.source})")
        return found()
    first: tuple[str, ...] = ()
    if host is not None and any(gpu.bound_to == "nouveau" for gpu in host.pci or ()):
        causes.append("nouveau holds the GPU")
        first = hints_of("driver-not-loaded", "nouveau")
    if remains.module_built is False:
        causes.append(f"no nvidia module is built for kernel {remains.kernel} (modules.dep)")
        first += hints_of("driver-not-loaded", "not-built", kernel=remains.kernel)
    elif remains.secure_boot:
        causes.append("Secure Boot is on, so the kernel refuses modules that are not signed")
        first += hints_of("driver-not-loaded", "secure-boot")
    return replace(found(), hints=(*first, *found().hints))


def _mismatch(evidence: Evidence, failure: NvmlFailure) -> DriverProblem:
    host, file = evidence.host, evidence.answer.library or ""
    module = f"{host.module.version} ({host.module.source})" if host and host.module else "unknown"
    match = re.search(r"libnvidia-ml\.so\.(\d+(?:\.\d+)+)$", file)
    library = f"{match[1]} ({file})" if match else file or "unknown"
    if _contained(evidence):
        causes = (str(failure), "the image brings driver libraries of its own")
        return problem("version-mismatch", evidence, causes, case="container", by="you", module=module, library=library)
    causes = (str(failure), "the driver was updated without a reboot")
    return problem("version-mismatch", evidence, causes, module=module, library=library)


def _hang(evidence: Evidence) -> DriverProblem:
    driver = f"driver {evidence.answer.driver} (NVML)" if evidence.answer.driver else "the NVIDIA driver"
    return problem("hang", evidence, _last_call(evidence, otherwise="no answer"), driver=driver)


def _crash(evidence: Evidence) -> DriverProblem:
    library = evidence.answer.library
    causes = (*_last_call(evidence, otherwise="the child ended"), *((f"the library is {library}",) if library else ()))
    return problem("crash", evidence, causes)


def _last_call(evidence: Evidence, *, otherwise: str) -> Sequence[str]:
    failure = evidence.answer.failure
    return (f"{failure.function}: {failure.text}" if failure else otherwise,)
