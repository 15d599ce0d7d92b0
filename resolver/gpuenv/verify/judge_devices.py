"""Judges the way to the devices: driver library, import, the GPUs by UUID, kernels without the driver's compiler."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath

from gpuenv.model.verification import Check, Status
from gpuenv.verify.case import Case, capability, plain_uuid, same_version
from gpuenv.verify.causes import Cause, of_words
from gpuenv.verify.hints import DOCTOR, RECREATE, UPGRADE
from gpuenv.verify.seen import Message

JIT_DISABLED = 223
"""CUDA_ERROR_JIT_COMPILATION_DISABLED (CUDA Driver API, CUresult)."""


def driver(case: Case) -> Check:
    """Does the driver library load, start, and belong to the running driver; also on the person's own loader path?"""
    title = "Driver library"
    version = case.machine.driver.version if case.machine.driver else "unknown"
    expected = f"libcuda of driver {version} starts"
    if not case.gpu:
        return case.not_run("driver", title, expected="none", why="CPU: no driver is used")
    message = case.seen.first("driver", job="driver")
    if message is None:
        found = case.trouble("driver") or ("nothing was heard", Cause(cause="the probe said nothing", hint=DOCTOR))
        return case.check("driver", title, "failed", seen=found[0], expected=expected, cause=found[1])
    seen = _driver_words(message)
    if (cause := _driver_problem(message)) is not None:
        return case.check("driver", title, "failed", seen=seen, expected=expected, cause=cause)
    own = case.seen.first("driver", job="driver-user")
    if own is not None and (cause := _own_driver_problem(case, own, version)) is not None:
        status: Status = "failed" if own.whole("status") != 0 or not own.flag("loaded") else "warned"
        seen = f"{seen}; with LD_LIBRARY_PATH as set: {_driver_words(own)}"
        return case.check("driver", title, status, seen=seen, expected=expected, cause=cause)
    other = library_version(message.text("path"))
    if other and version != "unknown" and other != version:
        cause = Cause(cause=f"libcuda is of version {other}, the running driver is {version}", hint="sudo reboot")
        return case.check("driver", title, "warned", seen=seen, expected=expected, cause=cause)
    return case.check("driver", title, "passed", seen=seen, expected=expected)


def library_version(path: str) -> str:
    """Return the driver version in a library's file name, empty where there is none.

    >>> library_version("/usr/lib/x86_64-linux-gnu/libcuda.so.575.57.08")
    '575.57.08'
    """
    found = re.search(r"\.so\.([0-9]{3,}(?:\.[0-9]+)+)$", path)
    return found[1] if found else ""


def _driver_words(message: Message) -> str:
    if not message.flag("loaded"):
        return message.text("message")
    count = len(message.rows("devices"))
    status = message.whole("status")
    state = f"{count} device{'' if count == 1 else 's'}" if status == 0 else f"error {status} {message.text('message')}"
    return f"{PurePath(message.text('path')).name or 'libcuda'}, CUDA {message.text('cuda')}, {state}"


def _driver_problem(message: Message) -> Cause | None:
    if not message.flag("loaded"):
        return Cause(cause=f"the driver library does not load: {message.text('message')}", hint=DOCTOR)
    status = message.whole("status")
    if status != 0:
        return of_words(f"{status} {message.text('message')}")
    return None


def _own_driver_problem(case: Case, own: Message, version: str) -> Cause | None:
    """Say what is wrong with the driver library that the person's loader path leads to."""
    names = [name for name in ("LD_LIBRARY_PATH", "LD_PRELOAD") if case.environ.get(name)]
    hint = f"unset {' '.join(names)}"
    found = library_version(own.text("path"))
    if not own.flag("loaded") or own.whole("status") != 0:
        where = (
            f": it leads to driver library {found or 'another one'} at {own.text('path')}" if own.text("path") else ""
        )
        return Cause(cause=f"with {' and '.join(names)} the driver does not start{where}", hint=hint)
    if found and version != "unknown" and found != version:
        words = f"{' and '.join(names)} leads to driver library {found} at {own.text('path')}, the driver is {version}"
        return Cause(cause=words, hint=hint)
    return None


def imports(case: Case) -> Check:
    """Does torch import, as the version and for the CUDA that were locked, and the rest of the family with it?"""
    title = "Import"
    expected = _import_expectation(case)
    message = case.seen.first("torch", job="training")
    if message is None:
        found = case.trouble("training") or ("nothing was heard", Cause(cause="the payload said nothing", hint=DOCTOR))
        return case.check("import", title, "failed", seen=found[0], expected=expected, cause=found[1])
    packages = case.seen.all("package", job="training")
    cuda = message.text("cuda")
    seen = f"torch {message.text('version')}, {f'CUDA {cuda}' if cuda else 'CPU build'}"
    seen += "".join(f", {p.text('project')} {p.text('version') or 'failed'}" for p in packages)
    seconds = message.number("seconds")
    problem = next(_import_problems(case, message, packages), None)
    return case.verdict("import", title, seen=seen, expected=expected, cause=problem, seconds=seconds)


def _import_expectation(case: Case) -> str:
    words = f"torch {case.expected.torch or 'of any version'}"
    if case.expected.cuda:
        words += f", CUDA {case.expected.cuda}"
    elif case.gpu:
        words += " built for CUDA"
    return words + "".join(f", {item.project} {item.version or ''}".rstrip() for item in case.expected.companions)


def _import_problems(case: Case, torch: Message, packages: tuple[Message, ...]) -> Iterator[Cause]:
    version, cuda = torch.text("version"), torch.text("cuda")
    if case.gpu and not cuda:
        kind = "a ROCm build" if torch.text("hip") else "a CPU build"
        yield Cause(cause=f"{kind} of torch is installed ({version})", hint=RECREATE)
    if case.expected.torch and not same_version(case.expected.torch, version):
        words = f"torch {version} imports where {case.expected.torch} is locked: it was replaced after locking"
        yield Cause(cause=words, hint=RECREATE)
    if case.expected.cuda and cuda and cuda != case.expected.cuda:
        yield Cause(cause=f"torch is built for CUDA {cuda}, the lock says {case.expected.cuda}", hint=RECREATE)
    for package in packages:
        if package.text("message"):
            why = of_words(package.text("message"), otherwise=Cause(cause=package.text("message")[:300], hint=UPGRADE))
            yield Cause(cause=f"{package.text('project')} does not work with this torch: {why.cause}", hint=why.hint)


def devices(case: Case) -> Check:
    """Does torch see exactly the GPUs that NVML sees, by UUID and capability?"""
    title = "Devices"
    scope = case.gpus()
    expected = ", ".join(f"GPU {gpu.index} {gpu.uuid} ({gpu.compute_capability})" for gpu in scope) or "a GPU"
    if not case.gpu:
        return case.not_run("devices", title, expected="CPU", why="CPU: no GPU is used")
    message = case.seen.first("devices", job="training")
    if message is None:
        found = case.trouble("training") or ("nothing was heard", Cause(cause="the payload said nothing", hint=DOCTOR))
        return case.check("devices", title, "failed", seen=found[0], expected=expected, cause=found[1])
    rows = message.rows("devices")
    index = {plain_uuid(gpu.uuid): gpu.index for gpu in case.machine.gpus}
    seen = "; ".join(
        f"cuda:{row.get('index')} = NVML {index.get(str(row.get('uuid')), '?')} = {row.get('name')} "
        f"({row.get('capability')}), {row.get('uuid')}"
        for row in rows
    )
    problem = next(_device_problems(case, message, rows), None)
    seconds = message.number("seconds")
    if problem is not None:
        words = seen or message.text("message") or "no device"
        return case.check("devices", title, "failed", seen=words, expected=expected, cause=problem, seconds=seconds)
    visible = message.value("visible")
    if isinstance(visible, str) and len(rows) < len(case.machine.gpus):
        if case.job is not None:
            seen += f"; {case.job.place} was given these ({len(rows)} of {len(case.machine.gpus)} GPUs)"
            return case.check("devices", title, "passed", seen=seen, expected=expected, seconds=seconds)
        words = f"CUDA_VISIBLE_DEVICES={visible} hides {len(case.machine.gpus) - len(rows)} GPU of this machine"
        cause = Cause(cause=words, hint="unset CUDA_VISIBLE_DEVICES")
        return case.check("devices", title, "warned", seen=seen, expected=expected, cause=cause, seconds=seconds)
    return case.check("devices", title, "passed", seen=seen, expected=expected, seconds=seconds)


def _device_problems(case: Case, message: Message, rows: tuple[Mapping[str, object], ...]) -> Iterator[Cause]:
    visible = message.value("visible")
    found = {str(row.get("uuid")): row for row in rows}
    scope = case.gpus()
    missing = [gpu for gpu in scope if plain_uuid(gpu.uuid) not in found]
    told = any(found) and any(gpu.uuid for gpu in scope)
    mig = any(gpu.mig for gpu in case.machine.gpus)
    if not rows or (missing and isinstance(visible, str)):
        if isinstance(visible, str):
            yield _visible_cause(case, visible)
        else:
            yield of_words(
                message.text("message"),
                otherwise=Cause(cause="torch sees no GPU, though the driver has one", hint=DOCTOR),
            )
    elif missing and told and not mig:
        names = ", ".join(gpu.uuid for gpu in missing)
        yield Cause(cause=f"torch does not see {names}, which NVML lists", hint=DOCTOR)
    elif len(rows) < len(scope):
        yield Cause(cause=f"torch sees {len(rows)} GPU where NVML lists {len(scope)}", hint=DOCTOR)
    if message.text("message"):
        yield of_words(message.text("message"))
    for gpu in scope:
        row = found.get(plain_uuid(gpu.uuid))
        if row is not None and capability(row.get("capability")) not in (None, gpu.compute_capability):
            words = f"{gpu.uuid} has capability {row.get('capability')} for torch, {gpu.compute_capability} for NVML"
            yield Cause(cause=words, hint=DOCTOR)


def _visible_cause(case: Case, visible: str) -> Cause:
    """Say what is wrong with CUDA_VISIBLE_DEVICES (CUDA C++ Programming Guide, "CUDA Environment Variables")."""
    hint = "unset CUDA_VISIBLE_DEVICES" if case.job is None else case.job.ask
    if visible.strip() in ("", "-1", "NoDevFiles", "none"):
        state = "set and empty" if not visible.strip() else f"{visible.strip()!r}"
        return Cause(cause=f"CUDA_VISIBLE_DEVICES is {state}: it hides every GPU", hint=hint)
    known = [plain_uuid(gpu.uuid) for gpu in case.machine.gpus]
    for part in (item.strip() for item in visible.split(",")):
        if part.isdecimal():
            if int(part) >= len(known):
                words = f"CUDA_VISIBLE_DEVICES={visible} asks for GPU {part}, and there are {len(known)}"
                return Cause(cause=words, hint=hint)
        elif not any(uuid.startswith(plain_uuid(part)) for uuid in known):
            words = f"CUDA_VISIBLE_DEVICES={visible} names {part}, which is no GPU of this machine"
            return Cause(cause=words, hint=hint)
    return Cause(cause=f"CUDA_VISIBLE_DEVICES={visible} hides a GPU that was to be verified", hint=hint)


def no_jit(case: Case) -> Check:
    """Do kernels of every family run where the driver may not compile, and is that switch really on?"""
    title = "Runs natively, without the driver's compiler"
    expected = f"every kernel family with CUDA_DISABLE_PTX_JIT=1, while a PTX-only module fails with {JIT_DISABLED}"
    if not case.gpu:
        return case.not_run("no-jit", title, expected=expected, why="CPU: no GPU code is used")
    kernels = case.seen.all("kernel", job="native")
    failed = [item for item in kernels if item.text("message")]
    control = _control(case)
    names = list(dict.fromkeys(item.text("name") for item in kernels))
    devices_seen = sorted({item.text("device") for item in kernels})
    seen = f"{', '.join(names) or 'nothing'} on {', '.join(devices_seen) or 'no device'}; {control[1]}"
    if failed:
        first = failed[0]
        why = of_words(first.text("message"))
        cause = Cause(cause=f"{first.text('name')} on {first.text('device')}: {why.cause}", hint=why.hint)
        return case.check("no-jit", title, "failed", seen=seen, expected=expected, cause=cause)
    if (found := case.trouble("native")) is not None:
        return case.check("no-jit", title, "failed", seen=found[0], expected=expected, cause=found[1])
    if not kernels:
        return case.not_run("no-jit", title, expected=expected, why="torch found no device")
    if not control[0]:
        cause = Cause(cause=f"the control says nothing, so this is no proof: {control[1]}", hint=DOCTOR)
        return case.check("no-jit", title, "warned", seen=seen, expected=expected, cause=cause)
    return case.check("no-jit", title, "passed", seen=seen, expected=expected)


def _control(case: Case) -> tuple[bool, str]:
    """Compare the PTX-only module with and without the switch, on the first device that both report."""
    free = {item.text("device"): item.rows("attempts") for item in case.seen.all("ptx", job="driver")}
    barred = {item.text("device"): item.rows("attempts") for item in case.seen.all("ptx", job="driver-nojit")}
    for device, attempts in free.items():
        loads = [row.get("target") for row in attempts if row.get("status") == 0]
        refused = {row.get("target"): row.get("status") for row in barred.get(device, ())}
        for target in loads:
            if refused.get(target) == JIT_DISABLED:
                return True, f"control: PTX for {target} loads without the switch and fails with {JIT_DISABLED} with it"
            return False, f"control: PTX for {target} loads without the switch and gives {refused.get(target)} with it"
        return False, "control: no PTX loads even without the switch"
    return False, "control: not run"
