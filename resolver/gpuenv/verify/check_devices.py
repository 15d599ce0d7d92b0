"""Checks the way to the devices: driver library, import, the GPUs by UUID, kernels without the driver's compiler."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import PurePath

from gpuenv.model.machine import ComputeCapability
from gpuenv.model.verification import Check
from gpuenv.shell import unset
from gpuenv.verify.causes import DOCTOR, RECREATE, UPGRADE, Cause, of_message
from gpuenv.verify.messages import Message
from gpuenv.verify.observed import Observed, agrees
from gpuenv.verify.payload.devices import plain_uuid

JIT_DISABLED = 223
"""CUDA_ERROR_JIT_COMPILATION_DISABLED (CUDA Driver API, CUresult)."""


def driver(observed: Observed) -> Check:
    """Does the driver library load, start, and belong to the running driver; also on the person's own loader path?"""
    version = observed.machine.driver.version if observed.machine.driver else "unknown"
    check = partial(observed.check, "driver", "Driver library", expected=f"libcuda of driver {version} starts")
    if not observed.gpu:
        return observed.check("driver", "Driver library", expected="none", why="CPU: no driver is used")
    message = observed.first("driver", job="driver")
    if message is None:
        seen, cause = observed.silence("driver", who="the probe")
        return check(seen=seen, cause=cause)
    seen = _driver_summary(message)
    if (problem := _driver_problem(message)) is not None:
        return check(seen=seen, cause=problem)
    own = observed.first("driver", job="driver-user")
    if own is not None and (problem := _own_driver_problem(observed, own, version)) is not None:
        seen = f"{seen}; with LD_LIBRARY_PATH as set: {_driver_summary(own)}"
        return check("warned" if _starts(own) else "failed", seen=seen, cause=problem)
    other = library_version(message.text("path"))
    if other and other != version != "unknown":
        cause = Cause(f"libcuda is of version {other}, the running driver is {version}", "sudo reboot")
        return check("warned", seen=seen, cause=cause)
    return check(seen=seen)


def library_version(path: str) -> str:
    """Return the driver version in a library's file name, empty where there is none.

    >>> library_version("/usr/lib/x86_64-linux-gnu/libcuda.so.575.57.08")
    '575.57.08'
    """
    found = re.search(r"\.so\.([0-9]{3,}(?:\.[0-9]+)+)$", path)
    return found[1] if found else ""


def _driver_summary(message: Message) -> str:
    if not message.flag("loaded"):
        return message.text("message")
    count = len(message.rows("devices"))
    status = message.whole("status")
    state = f"{count} device{'' if count == 1 else 's'}" if status == 0 else f"error {status} {message.text('message')}"
    return f"{PurePath(message.text('path')).name or 'libcuda'}, CUDA {message.text('cuda')}, {state}"


def _starts(message: Message) -> bool:
    return message.flag("loaded") and message.whole("status") == 0


def _driver_problem(message: Message) -> Cause | None:
    if not message.flag("loaded"):
        return Cause(f"the driver library does not load: {message.text('message')}", DOCTOR)
    return None if _starts(message) else of_message(f"{message.whole('status')} {message.text('message')}")


def _own_driver_problem(observed: Observed, own: Message, version: str) -> Cause | None:
    """Say what is wrong with the driver library that the person's loader path leads to."""
    names = [name for name in ("LD_LIBRARY_PATH", "LD_PRELOAD") if observed.environ.get(name)]
    hint = unset(*names)
    path = own.text("path")
    found = library_version(path)
    if not _starts(own):
        where = f": it leads to driver library {found or 'another one'} at {path}" if path else ""
        return Cause(f"with {' and '.join(names)} the driver does not start{where}", hint)
    if found and found != version != "unknown":
        return Cause(f"{' and '.join(names)} leads to driver library {found} at {path}, the driver is {version}", hint)
    return None


def imports(observed: Observed) -> Check:
    """Does torch import, as the version and for the CUDA that were locked, and the rest of the family with it?"""
    check = partial(observed.check, "import", "Import", expected=_import_expectation(observed))
    message = observed.first("torch", job="training")
    if message is None:
        seen, cause = observed.silence("training")
        return check(seen=seen, cause=cause)
    packages = observed.all("package", job="training")
    cuda = message.text("cuda")
    seen = f"torch {message.text('version')}, {f'CUDA {cuda}' if cuda else 'CPU build'}"
    seen += "".join(f", {p.text('project')} {p.text('version') or 'failed'}" for p in packages)
    problem = next(_import_problems(observed, message, packages), None)
    return check(seen=seen, cause=problem, seconds=message.number("seconds"))


def _import_expectation(observed: Observed) -> str:
    expected = observed.expected
    build = f", CUDA {expected.cuda}" if expected.cuda else " built for CUDA" if observed.gpu else ""
    companions = "".join(f", {item.project} {item.version or ''}".rstrip() for item in expected.companions)
    return f"torch {expected.torch or 'of any version'}{build}{companions}"


def _import_problems(observed: Observed, torch: Message, packages: tuple[Message, ...]) -> Iterator[Cause]:
    version, cuda, expected = torch.text("version"), torch.text("cuda"), observed.expected
    if observed.gpu and not cuda:
        kind = "a ROCm build" if torch.text("hip") else "a CPU build"
        yield Cause(f"{kind} of torch is installed ({version})", RECREATE)
    if expected.torch and not agrees(expected.torch, version):
        yield Cause(
            f"torch {version} imports where {expected.torch} is locked: it was replaced after locking", RECREATE
        )
    if expected.cuda and cuda and cuda != expected.cuda:
        yield Cause(f"torch is built for CUDA {cuda}, the lock says {expected.cuda}", RECREATE)
    for package in packages:
        if error := package.text("message"):
            why = of_message(error, otherwise=Cause(error[:300], UPGRADE))
            yield Cause(f"{package.text('project')} does not work with this torch: {why.text}", why.hint)


def devices(observed: Observed) -> Check:
    """Does torch see exactly the GPUs that NVML sees, by UUID and capability?"""
    gpus = observed.machine.gpus
    expected = ", ".join(f"GPU {gpu.index} {gpu.uuid} ({gpu.compute_capability})" for gpu in observed.gpus()) or "a GPU"
    if not observed.gpu:
        return observed.check("devices", "Devices", expected="CPU", why="CPU: no GPU is used")
    check = partial(observed.check, "devices", "Devices", expected=expected)
    message = observed.first("devices", job="training")
    if message is None:
        seen, cause = observed.silence("training")
        return check(seen=seen, cause=cause)
    check = partial(check, seconds=message.number("seconds"))
    rows = message.rows("devices")
    index = {plain_uuid(gpu.uuid): gpu.index for gpu in gpus}
    seen = "; ".join(
        f"cuda:{row.get('index')} = NVML {index.get(str(row.get('uuid')), '?')} = {row.get('name')} "
        f"({row.get('capability')}), {row.get('uuid')}"
        for row in rows
    )
    if (problem := next(_device_problems(observed, message, rows), None)) is not None:
        return check(seen=seen or message.text("message") or "no device", cause=problem)
    visible = message.value("visible")
    if isinstance(visible, str) and len(rows) < len(gpus):
        if observed.job is not None:
            return check(seen=f"{seen}; {observed.job.place} was given these ({len(rows)} of {len(gpus)} GPUs)")
        text = f"CUDA_VISIBLE_DEVICES={visible} hides {len(gpus) - len(rows)} GPU of this machine"
        return check("warned", seen=seen, cause=Cause(text, unset("CUDA_VISIBLE_DEVICES")))
    return check(seen=seen)


def _device_problems(observed: Observed, message: Message, rows: tuple[Mapping[str, object], ...]) -> Iterator[Cause]:
    visible, error = message.value("visible"), message.text("message")
    found = {str(row.get("uuid")): row for row in rows}
    scope = observed.gpus()
    missing = [gpu for gpu in scope if plain_uuid(gpu.uuid) not in found]
    told = any(found) and any(gpu.uuid for gpu in scope)
    mig = any(gpu.mig for gpu in observed.machine.gpus)
    if not rows or (missing and isinstance(visible, str)):
        if isinstance(visible, str):
            yield _visible_cause(observed, visible)
        else:
            yield of_message(error, otherwise=Cause("torch sees no GPU, though the driver has one", DOCTOR))
    elif missing and told and not mig:
        names = ", ".join(gpu.uuid for gpu in missing)
        yield Cause(f"torch does not see {names}, which NVML lists", DOCTOR)
    elif len(rows) < len(scope):
        yield Cause(f"torch sees {len(rows)} GPU where NVML lists {len(scope)}", DOCTOR)
    if error:
        yield of_message(error)
    for gpu in scope:
        capability = str(found.get(plain_uuid(gpu.uuid), {}).get("capability"))
        if ComputeCapability.read(capability) not in (None, gpu.compute_capability):
            text = f"{gpu.uuid} has capability {capability} for torch, {gpu.compute_capability} for NVML"
            yield Cause(text, DOCTOR)


def _visible_cause(observed: Observed, visible: str) -> Cause:
    """Say what is wrong with CUDA_VISIBLE_DEVICES (CUDA C++ Programming Guide, "CUDA Environment Variables")."""
    hint = unset("CUDA_VISIBLE_DEVICES") if observed.job is None else observed.job.ask
    name = f"CUDA_VISIBLE_DEVICES={visible}"
    if visible.strip() in ("", "-1", "NoDevFiles", "none"):
        state = "set and empty" if not visible.strip() else f"{visible.strip()!r}"
        return Cause(f"CUDA_VISIBLE_DEVICES is {state}: it hides every GPU", hint)
    known = [plain_uuid(gpu.uuid) for gpu in observed.machine.gpus]
    for part in (item.strip() for item in visible.split(",")):
        if part.isdecimal():
            if int(part) >= len(known):
                return Cause(f"{name} asks for GPU {part}, and there are {len(known)}", hint)
        elif not any(uuid.startswith(plain_uuid(part)) for uuid in known):
            return Cause(f"{name} names {part}, which is no GPU of this machine", hint)
    return Cause(f"{name} hides a GPU that was to be verified", hint)


def no_jit(observed: Observed) -> Check:
    """Do kernels of every family run where the driver may not compile, and is that switch really on?"""
    title = "Runs natively, without the driver's compiler"
    expected = f"every kernel family with CUDA_DISABLE_PTX_JIT=1, while a PTX-only module fails with {JIT_DISABLED}"
    check = partial(observed.check, "no-jit", title, expected=expected)
    if not observed.gpu:
        return check(why="CPU: no GPU code is used")
    kernels = observed.all("kernel", job="native")
    proven, control = _control(observed)
    names = list(dict.fromkeys(item.text("name") for item in kernels))
    places = sorted({item.text("device") for item in kernels})
    seen = f"{', '.join(names) or 'nothing'} on {', '.join(places) or 'no device'}; {control}"
    if (first := next((item for item in kernels if item.text("message")), None)) is not None:
        why = of_message(first.text("message"))
        return check(seen=seen, cause=Cause(f"{first.text('name')} on {first.text('device')}: {why.text}", why.hint))
    if (found := observed.trouble("native")) is not None:
        return check(seen=found[0], cause=found[1])
    if not kernels:
        return check(why="torch found no device")
    if not proven:
        cause = Cause(f"the control says nothing, so this is no proof: {control}", DOCTOR)
        return check("warned", seen=seen, cause=cause)
    return check(seen=seen)


def _control(observed: Observed) -> tuple[bool, str]:
    """Compare the PTX-only module with and without the switch, on the first device that both report."""
    free = {item.text("device"): item.rows("attempts") for item in observed.all("ptx", job="driver")}
    barred = {item.text("device"): item.rows("attempts") for item in observed.all("ptx", job="driver-nojit")}
    for device, attempts in free.items():
        refused = {row.get("target"): row.get("status") for row in barred.get(device, ())}
        for target in (row.get("target") for row in attempts if row.get("status") == 0):
            loads = f"control: PTX for {target} loads without the switch and"
            if refused.get(target) == JIT_DISABLED:
                return True, f"{loads} fails with {JIT_DISABLED} with it"
            return False, f"{loads} gives {refused.get(target)} with it"
        return False, "control: no PTX loads even without the switch"
    return False, "control: not run"
