"""Checks what lies on the disk: the installed packages, start-up code, and the machine code in the libraries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from gpuenv.installed.compare import CHANGED, Difference
from gpuenv.installed.environment import KNOWN
from gpuenv.knowledge import load
from gpuenv.knowledge.rules import Code, NoCode
from gpuenv.model.verification import Check
from gpuenv.shell import quote, unset
from gpuenv.verify.causes import DOCTOR, RECREATE, UPGRADE, Cause
from gpuenv.verify.observed import Observed, agrees

ALTERING = ("LD_PRELOAD", "LD_AUDIT", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTORCH_NVML_BASED_CUDA_CHECK")
MAIN_LIBRARIES = ("libtorch_cuda", "torch_cuda")
"""How the libraries of torch's kernels begin on Linux, and on Windows."""


def installed(observed: Observed) -> Check:
    """Is what is installed what was locked, and still what the wheels put there?"""
    there, companions = observed.installed, observed.expected.companions
    locked = [f"torch {observed.expected.torch}" if observed.expected.torch else "torch"]
    locked += [f"{item.project} {item.version}" for item in companions if item.version]
    version = there.version_of("torch")
    found = [f"torch {version}" if version else "no torch"]
    found += [f"{item.project} {there.version_of(item.project) or 'missing'}" for item in companions]
    check = partial(
        observed.check,
        "installed",
        "Installed packages",
        seen=f"{', '.join(found)}; compared with RECORD: {observed.compared.summary}",
        expected=", ".join(locked) + ", each once, files as their RECORD says",
    )
    problem = next(_installed_problems(observed), None)
    data = [each for each in observed.compared.differences if each.kind in CHANGED and not each.code]
    if problem is None and data:
        return check("warned", cause=Cause(f"data files are not as their wheels brought them: {_some(data)}", DOCTOR))
    return check(cause=problem)


def _installed_problems(observed: Observed) -> Iterator[Cause]:
    there, locked = observed.installed, observed.expected.torch
    found = there.version_of("torch")
    if found is None:
        yield Cause("torch is not installed in this environment", RECREATE)
        return
    for project, count in sorted(Counter(item.name for item in there.distributions).items()):
        if count > 1:
            versions = sorted(item.version for item in there.distributions if item.name == project)
            yield Cause(f"{project} is installed {count} times: {', '.join(versions)}", RECREATE)
    if locked and not agrees(locked, found):
        yield Cause(f"torch was replaced after locking: the lock says {locked}, installed is {found}", RECREATE)
    if there.torch and there.torch.version and not agrees(found, there.torch.version):
        text = f"torch's metadata says {found} and its code {there.torch.version}: one was installed over the other"
        yield Cause(text, RECREATE)
    for item in observed.expected.companions:
        version = there.version_of(item.project)
        if version is None:
            yield Cause(f"{item.project} is locked and not installed", RECREATE)
        elif item.version and not agrees(item.version, version):
            text = f"{item.project} was replaced after locking: the lock says {item.version}, installed is {version}"
            yield Cause(text, RECREATE)
    code = [each for each in observed.compared.differences if each.code]
    if clashes := [each for each in code if each.kind == "clash"]:
        yield Cause(f"two packages own one file: {_some(clashes)}", RECREATE)
    if changed := [each for each in code if each.kind in CHANGED]:
        yield Cause(f"a file is not as its wheel installed it: {_some(changed)}", RECREATE)


def _some(differences: Sequence[Difference]) -> str:
    more = f" and {len(differences) - 1} more" if len(differences) > 1 else ""
    return f"{differences[0]}{more}"


def startup(observed: Observed) -> Check:
    """Does anything run before the program, and which variables were kept away from the verification?"""
    there, dropped = observed.installed, observed.dropped
    notes = []
    acting = [each.path for each in there.startup if each.runs and each.path not in KNOWN]
    if acting:
        notes.append(f"{', '.join(acting)} would run at every start of this environment's Python")
    if there.system_site_packages:
        notes.append("the environment takes packages of the system's Python too (include-system-site-packages)")
    risky = [name for name in dropped if name in ALTERING]
    if risky:
        notes.append(f"{', '.join(risky)}: set in this shell, and changes what programs load")
    kept_away = f"not passed on: {', '.join(dropped)}" if dropped else "no variable had to be kept away"
    ran = "did run" if there.system_site_packages else "did not run"
    hint = f"ls {quote(str(there.site))}" if acting else unset(*risky) if risky else DOCTOR
    return observed.check(
        "startup",
        "Start-up code",
        "warned" if notes else "passed",
        seen=f"start-up code {ran} in this verification; {kept_away}",
        expected="no code that runs before the program, and none of it in this verification",
        cause=Cause("; ".join(notes), hint) if notes else None,
    )


def native_code(observed: Observed) -> Check:
    """Do the installed libraries themselves hold machine code for each GPU?"""
    expected = "machine code for " + (", ".join(str(gpu.compute_capability) for gpu in observed.gpus()) or "each GPU")
    title = "Machine code in the libraries"
    check = partial(observed.check, "native-code", title, expected=expected)
    if not observed.gpu:
        return check(why="CPU: no GPU code is used")
    main = [(name, code) for name, code in observed.code if name.startswith(MAIN_LIBRARIES)]
    if not main:
        torch = observed.installed.torch
        if torch is not None and not torch.cuda:
            cause = Cause(f"a CPU build of torch is installed ({torch.version})", RECREATE)
            return check(seen="no CUDA library", cause=cause)
        return check(why="no library of torch's kernels could be read")
    # torch's kernels are in this one; its companions (linear algebra) leave out cards that it serves.
    whole = ("libtorch_cuda.so", "torch_cuda.dll")
    deciding = [code for name, code in main if name in whole] or [code for _, code in main]
    sass = {name for code in deciding for name in code.architectures}
    ptx = {name for code in deciding for name, _ in code.ptx}
    held = " ".join(_ascending(sass)) or "none"
    seen = f"{main[0][0]}: {held}; PTX: {' '.join(_ascending(ptx)) or 'none'}"
    refusals, fallbacks = _served(observed, sorted(sass), sorted(ptx))
    if refusals:
        return check(seen=seen, cause=Cause("the wheel has no code for " + "; ".join(refusals), UPGRADE))
    if fallbacks:
        return check("warned", seen=seen, cause=Cause("; ".join(fallbacks), UPGRADE))
    return check(seen=seen)


def _ascending(names: set[str]) -> list[str]:
    return sorted(names, key=lambda name: (Code.parse(name) or (0, 0, ""), name))


def _served(observed: Observed, sass: list[str], ptx: list[str]) -> tuple[list[str], list[str]]:
    refusals, fallbacks = [], []
    torch = observed.installed.torch
    for gpu in observed.gpus():
        name = f"GPU {gpu.index} ({gpu.compute_capability})"
        cuda = torch.cuda or None if torch else None
        answer = load().serve_installed(gpu.compute_capability, machine=observed.machine, sass=sass, ptx=ptx, cuda=cuda)
        if isinstance(answer, NoCode):
            refusals.append(f"{name}: {answer.detail}")
        elif answer.support == "ptx":
            fallbacks.append(f"{name} has PTX only ({answer.by}): compiled at first use")
    return refusals, fallbacks
