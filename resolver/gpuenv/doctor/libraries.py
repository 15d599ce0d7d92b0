"""Which libcuda CUDA programs get on this machine, what brings it in, and what that does to them; pure."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from gpuenv.doctor.finding import UNNAMED, By, Finding, Kind, Severity
from gpuenv.knowledge.rules import compare_versions
from gpuenv.machine.cuda import Checkup
from gpuenv.machine.detection import Detection
from gpuenv.machine.notes import foreign_libcuda, is_stub
from gpuenv.machine.origin import Origin
from gpuenv.model.machine import Gpu

STUB = 34
"""CUDA_ERROR_STUB_LIBRARY of cuda.h."""


def diagnose_libraries(detection: Detection, checkup: Checkup) -> Iterator[Finding]:
    """Find a stub, a libcuda of another version than the driver, and a container interface of another driver."""
    evidence = detection.evidence
    if evidence is None:
        return
    asked = checkup.cuda
    path = (asked.library if asked is not None else None) or evidence.answer.libcuda or ""
    version = foreign_libcuda(evidence.answer, path)
    if is_stub(path) or (asked is not None and asked.init == STUB):
        yield _finding(
            detection,
            checkup.origin,
            severity="error",
            kind="libcuda-stub",
            summary="the libcuda that CUDA programs get is a stub for linking: none of them finds a GPU",
            detail=path,
        )
    elif version is not None and evidence.answer.driver is not None:
        yield _foreign(detection, checkup, path, version, evidence.answer.driver)
    for spec in checkup.cdi:
        driver = detection.machine.driver
        if driver is not None and compare_versions(spec.driver, driver.version):
            yield Finding(
                subject="containers",
                severity="warning",
                kind="cdi-outdated",
                summary=f"{spec.file} hands containers driver {spec.driver}'s libraries, and {driver.version} runs",
                detail=f"driver {driver.version} ({driver.place}); what CDI mounts is missing or of another version",
                fix=f"sudo nvidia-ctk cdi generate --output={spec.file}",
                by="yourself",
                check=UNNAMED,
            )


def _foreign(detection: Detection, checkup: Checkup, path: str, version: str, driver: str) -> Finding:
    """Older than the driver: 803 on every card. Newer: it works on data centre cards, and is 804 on others."""
    asked = checkup.cuda
    works = asked is not None and asked.works
    failed = asked is not None and asked.init in (803, 804)
    if compare_versions(version, driver) < 0:
        return _finding(
            detection,
            checkup.origin,
            severity="warning" if works else "error",
            kind="libcuda-older",
            summary=f"libcuda is of {version}, older than driver {driver}"
            + ("" if works else ": CUDA fails with error 803 on every card"),
            detail=path,
        )
    refusing = [gpu for gpu in detection.machine.gpus if takes_newer(gpu) is False]
    every = detection.machine.gpus and all(takes_newer(gpu) for gpu in detection.machine.gpus)
    if works:
        effect = "it works here, and only where the loader finds it"
    elif failed or refusing:
        name = refusing[0].name if refusing else "this card"
        effect = f"{name} does not take a libcuda newer than its driver: CUDA fails with error 804"
    elif every:
        effect = "data centre cards take it, and only where the loader finds it"
    else:
        effect = "on anything but data centre cards CUDA fails with error 804"
    return _finding(
        detection,
        checkup.origin,
        severity="error" if (failed or refusing) and not works else "warning",
        kind="libcuda-newer",
        summary=f"libcuda is of {version}, the driver of {driver}: a compatibility package is in use",
        detail=f"{path}; {effect}",
    )


def _finding(
    detection: Detection, origin: Origin | None, *, severity: Severity, kind: Kind, summary: str, detail: str
) -> Finding:
    fix, by, found = _removal(origin, contained=detection.machine.container)
    return Finding(
        subject="driver",
        severity=severity,
        kind=kind,
        summary=summary,
        detail=f"{detail}; {found}" if found else detail,
        fix=fix,
        by=by,
        check=UNNAMED,
    )


def _removal(origin: Origin | None, *, contained: bool) -> tuple[str, By, str]:
    """What takes the library out of the loader's way, who does it (empty: a command of this session), and how it is
    found."""
    if origin is None:
        find = "LD_DEBUG=libs python3 -c 'import ctypes; ctypes.CDLL(\"libcuda.so.1\")'"
        return f"See what brings it in, and take that away: `{find}`", "yourself", ""
    match origin.way:
        case "LD_PRELOAD":
            return "unset LD_PRELOAD", "", f"LD_PRELOAD names {origin.where}"
        case "LD_LIBRARY_PATH":
            return without("LD_LIBRARY_PATH", origin.left), "", f"LD_LIBRARY_PATH holds {origin.where}"
        case "ld.so.conf":
            return _from_configuration(origin, contained=contained)
        case "mount":
            act = (
                "Start the container so that its runtime mounts the libraries of the running driver: renew its CDI "
                "specification (`sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`) or mount none by hand"
            )
            return act, "the host's owner", f"the container's runtime mounts {origin.where}"
        case "folder":
            if contained:
                act = "Build the image without driver packages (libcuda, libnvidia-compute): the host's are mounted"
                return act, "yourself", f"the image holds it in {origin.where}"
            act = "Install the user-space packages of the same version as the driver, then run `sudo ldconfig`"
            return act, "yourself", f"it lies in {origin.where}, where the loader always looks"


def _from_configuration(origin: Origin, *, contained: bool) -> tuple[str, By, str]:
    runtime = contained and origin.where.rpartition("/")[2].startswith("00-compat")
    found = f"{origin.where} lists its folder" + (", written by the NVIDIA Container Toolkit" if runtime else "")
    if not origin.left and origin.where.startswith("/etc/ld.so.conf.d/"):
        return f"sudo rm {origin.where} && sudo ldconfig", "yourself", found
    return f"Take the folder out of {origin.where}, then run `sudo ldconfig`", "yourself", found


def without(variable: str, left: Sequence[str]) -> str:
    """The command that leaves a list of folders without some of them."""
    return f"export {variable}={':'.join(left)}" if left else f"unset {variable}"


def takes_newer(gpu: Gpu) -> bool | None:
    """Whether the card takes a libcuda newer than its driver, by table; ``None`` where no source says."""
    table = _table()
    parts = gpu.name.replace("-", " ").split()
    if any(part in parts for part in table["refuses"]):
        return False
    return True if any(part in parts for part in table["takes"]) else None


@cache
def _table() -> dict[str, Any]:  # Any: decoded TOML
    return tomllib.loads(Path(__file__).with_name("driver_library.toml").read_text(encoding="utf-8"))
