"""Checks what the probes of companions found: their compiled code runs natively and computes what is right."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatch
from functools import partial

from gpuenv.knowledge import load
from gpuenv.knowledge.rules import NoCode
from gpuenv.model.verification import Check
from gpuenv.verify.causes import DOCTOR, UPGRADE, Cause, of_message
from gpuenv.verify.messages import Message
from gpuenv.verify.observed import Observed
from gpuenv.verify.probes import Probe

NATIVE = re.compile(r"no kernel image|cudaErrorNoKernelImageForDevice|JIT compilation|\b223\b")
"""What CUDA says where the driver may not compile and there is no machine code for the card."""
_LIBRARY = re.compile(r"(lib(?:cudart|nvrtc|cublas|cublasLt))\.so\.(\d+)[.\d]*: cannot open")
"""Libraries whose number is CUDA's major; that of cuDNN and others is their own."""
_OWN_LIBRARY = re.compile(r"/(lib[^/:\s]+): cannot open")
_SYMBOL = re.compile(r"undefined symbol: (\S+)")
_LOADER = re.compile(r"cannot open shared object file|undefined symbol|EmptyPackageError")
_MISSING = re.compile(r"has no attribute|Could not run '.*' with arguments from the|does not exist")


def probes(observed: Observed) -> list[Check]:
    """Make one check for each probe, also for those that were not run."""
    return [_check(observed, probe) for probe in observed.probes]


def needs_compiler(words: Iterable[str]) -> bool:
    """Say whether a probe may have failed for want of machine code, so that it is worth a run with the compiler."""
    return any(NATIVE.search(each) for each in words)


def _check(observed: Observed, probe: Probe) -> Check:
    where = "on the CPU" if not observed.gpu else "natively on the GPU"
    title = f"{probe.project} computes {where}"
    check = partial(observed.check, probe.job, title, expected=probe.proves)
    if probe.skip:
        return check(why=probe.skip)
    if observed.ending(probe.job) is None:
        return check(why="torch does not serve the device here")
    if observed.first("no-device", job=probe.job) is not None:
        return check(why="no device is visible")
    found = observed.all("probe", job=probe.job)
    if _works_compiled(observed, probe):
        text = f"{probe.project} {probe.version} runs through the driver's compiler alone: its libraries hold PTX and"
        text += " no machine code for this card"
        seen = "; ".join(_seen(probe, message) for message in observed.all("probe", job=probe.compiling_job))
        return check("warned", seen=f"with the compiler: {seen}", cause=Cause(text, UPGRADE))
    if (trouble := observed.trouble(probe.job)) is not None or not found:
        seen, cause = trouble or observed.silence(probe.job)
        return check(seen=seen, cause=Cause(f"{probe.project} {probe.version}: {cause.text}", cause.hint))
    check = partial(check, seconds=sum(message.amount("seconds") for message in found))
    seen = "; ".join(_seen(probe, message) for message in found)
    bad = next((message for message in found if message.text("message") or _differs(message)), None)
    if bad is None:
        return check(seen=seen)
    cause = _cause(observed, probe, bad)
    warned = _is_lacking(probe, bad) or not (probe.tried or _is_certain(bad))
    return check("warned" if warned else "failed", seen=seen, cause=cause)


def _seen(probe: Probe, message: Message) -> str:
    place = "the CPU" if message.text("device") == "cpu" else message.text("device")
    name = f"{probe.project} {probe.version} on {place}"
    if text := message.text("message"):
        return f"{name}: {_first_words(text)}"
    parts = ", ".join(map(str, message.texts("parts")))
    return f"{name}: {parts}, {message.whole('wrong')} of {message.whole('elements')} elements differ"


def _first_words(text: str) -> str:
    """The first line that says something: some packages begin theirs with an empty one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return (" ".join(lines[:2]) if lines[0].endswith(":") else lines[0])[:300]


def _differs(message: Message) -> bool:
    return message.whole("wrong") > 0 or message.whole("elements") == 0


def _works_compiled(observed: Observed, probe: Probe) -> bool:
    again = observed.all("probe", job=probe.compiling_job)
    return bool(again) and not any(message.text("message") or _differs(message) for message in again)


def _is_lacking(probe: Probe, message: Message) -> bool:
    """Say whether it is the machine that lacks something: no other wheel would help."""
    return bool(probe.lacking and re.search(probe.lacking, message.text("message")))


def _is_certain(message: Message) -> bool:
    """Say whether the loader, CUDA or the package's own import named the fault, whatever the probe is worth."""
    text = message.text("message")
    known = _LOADER.search(text) or of_message(text, otherwise=Cause("", "")).text
    return bool(text) and (message.text("stage") == "import" or bool(known))


def _lacks_code(observed: Observed, probe: Probe) -> str:
    """Name the card that the probed libraries hold no code for, with what they hold; empty where they serve all."""
    codes = [code for name, code in observed.code if any(fnmatch(name, f"{each}*") for each in probe.libraries)]
    sass = sorted({name for code in codes for name in code.architectures})
    ptx = sorted({name for code in codes for name, _ in code.ptx})
    cuda = observed.installed.torch.cuda or None if observed.installed.torch else None
    for gpu in observed.gpus() if codes else ():
        answer = load().serve_installed(gpu.compute_capability, machine=observed.machine, sass=sass, ptx=ptx, cuda=cuda)
        if isinstance(answer, NoCode):
            return f"GPU {gpu.index} ({gpu.compute_capability}): {answer.detail}"
    return ""


def _cause(observed: Observed, probe: Probe, message: Message) -> Cause:
    """Say what is wrong in the words of this companion: the library, the symbol, the elements."""
    name, text = f"{probe.project} {probe.version}", message.text("message")
    if not text:
        if message.whole("elements") == 0:
            return Cause(f"the probe of {name} compared nothing", DOCTOR)
        if lacks := _lacks_code(observed, probe):  # not every package asks whether its kernel started
            return Cause(f"{name} has no machine code for {lacks}", UPGRADE)
        differ = f"{message.whole('wrong')} of {message.whole('elements')} elements differ"
        return Cause(f"{name} computes something else: {differ}, in {message.text('part')} first", UPGRADE)
    if _is_lacking(probe, message):
        why = of_message(text)
        return Cause(f"{name} was not probed: {why.text}", why.hint)
    cuda = observed.installed.torch.cuda if observed.installed.torch is not None else ""
    library = _LIBRARY.search(text)
    if library is not None and cuda and library[2] != cuda.partition(".")[0]:
        wants = f"{library[1]}.so.{library[2]}"
        return Cause(
            f"{name} is built for another CUDA: it asks for {wants}, and torch here is of CUDA {cuda}", UPGRADE
        )
    if (symbol := _SYMBOL.search(text)) is not None:
        return Cause(f"{name} is built for another torch: no library here exports {symbol[1]}", UPGRADE)
    if (own := _OWN_LIBRARY.search(text)) is not None:
        return Cause(f"{name} imports, and holds no {own[1]}", UPGRADE)
    if "EmptyPackageError" in text:
        return Cause(f"{name} imports, and holds no compiled kernel: {text.partition(': ')[2]}", UPGRADE)
    if lacks := _lacks_code(observed, probe):
        return Cause(f"{name} has no machine code for {lacks}", UPGRADE)
    if _MISSING.search(text):
        return Cause(f"{name} imports, and has no kernel to run here: {_first_words(text)}", UPGRADE)
    why = of_message(text, otherwise=Cause(f"its kernel does not run: {_first_words(text)}", UPGRADE))
    return Cause(f"{name}: {why.text}", why.hint)
