"""Judges what lies on the disk: the installed packages, start-up code, and the machine code in the libraries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from gpuenv.installed.compare import CHANGED, Difference
from gpuenv.installed.startup import KNOWN
from gpuenv.knowledge import load
from gpuenv.knowledge.rules import NoCode, Support
from gpuenv.model.verification import Check
from gpuenv.verify.case import Case, same_version
from gpuenv.verify.causes import Cause
from gpuenv.verify.hints import DOCTOR, RECREATE, UPGRADE

ALTERING = ("LD_PRELOAD", "LD_AUDIT", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTORCH_NVML_BASED_CUDA_CHECK")
MAIN_LIBRARY = "libtorch_cuda"


def installed(case: Case) -> Check:
    """Is what is installed what was locked, and still what the wheels put there?"""
    wanted = [f"torch {case.expected.torch}"] if case.expected.torch else ["torch"]
    wanted += [f"{item.project} {item.version}" for item in case.expected.companions if item.version]
    expected = ", ".join(wanted) + ", each once, files as their RECORD says"
    problem = next(_installed_problems(case), None)
    version = case.installed.version_of("torch")
    there = [f"torch {version}" if version else "no torch"]
    there += [
        f"{item.project} {case.installed.version_of(item.project) or 'missing'}" for item in case.expected.companions
    ]
    seen = f"{', '.join(there)}; compared with RECORD: {case.compared.words}"
    title = "Installed packages"
    data = [each for each in case.compared.differences if each.kind in CHANGED and not each.code]
    if problem is None and data:
        words = f"data files are not as their wheels brought them: {_some(data)}"
        cause = Cause(cause=words, hint=DOCTOR)
        return case.check("installed", title, "warned", seen=seen, expected=expected, cause=cause)
    return case.verdict("installed", title, seen=seen, expected=expected, cause=problem)


def _installed_problems(case: Case) -> Iterator[Cause]:
    there = case.installed
    found = there.version_of("torch")
    if found is None:
        yield Cause(cause="torch is not installed in this environment", hint=RECREATE)
        return
    for project, count in sorted(Counter(item.name for item in there.distributions).items()):
        if count > 1:
            versions = sorted(item.version for item in there.distributions if item.name == project)
            yield Cause(cause=f"{project} is installed {count} times: {', '.join(versions)}", hint=RECREATE)
    wanted = case.expected.torch
    if wanted and not same_version(wanted, found):
        words = f"torch was replaced after locking: the lock says {wanted}, installed is {found}"
        yield Cause(cause=words, hint=RECREATE)
    if there.torch and there.torch.version and not same_version(found, there.torch.version):
        words = f"torch's metadata says {found} and its code {there.torch.version}: one was installed over the other"
        yield Cause(cause=words, hint=RECREATE)
    for item in case.expected.companions:
        version = there.version_of(item.project)
        if version is None:
            yield Cause(cause=f"{item.project} is locked and not installed", hint=RECREATE)
        elif item.version and not same_version(item.version, version):
            words = f"{item.project} was replaced after locking: the lock says {item.version}, installed is {version}"
            yield Cause(cause=words, hint=RECREATE)
    clashes = [each for each in case.compared.differences if each.kind == "clash" and each.code]
    if clashes:
        yield Cause(cause=f"two packages own one file: {_some(clashes)}", hint=RECREATE)
    changed = [each for each in case.compared.differences if each.kind in CHANGED and each.code]
    if changed:
        yield Cause(cause=f"a file is not as its wheel installed it: {_some(changed)}", hint=RECREATE)


def _some(differences: Sequence[Difference]) -> str:
    more = f" and {len(differences) - 1} more" if len(differences) > 1 else ""
    return f"{differences[0]}{more}"


def startup(case: Case) -> Check:
    """Does anything run before the program, and which variables were kept away from the verification?"""
    notes = []
    acting = [each.path for each in case.installed.startup if each.runs and each.path not in KNOWN]
    if acting:
        notes.append(f"{', '.join(acting)} would run at every start of this environment's Python")
    if case.installed.system_site_packages:
        notes.append("the environment takes packages of the system's Python too (include-system-site-packages)")
    risky = [name for name in case.dropped if name in ALTERING]
    if risky:
        notes.append(f"{', '.join(risky)}: set in this shell, and changes what programs load")
    kept_away = f"not passed on: {', '.join(case.dropped)}" if case.dropped else "no variable had to be kept away"
    ran = "did run" if case.installed.system_site_packages else "did not run"
    seen = f"start-up code {ran} in this verification; {kept_away}"
    expected = "no code that runs before the program, and none of it in this verification"
    if not notes:
        return case.check("startup", "Start-up code", "passed", seen=seen, expected=expected)
    hint = f"ls {case.installed.site}" if acting else "unset " + " ".join(risky)
    cause = Cause(cause="; ".join(notes), hint=hint if acting or risky else DOCTOR)
    return case.check("startup", "Start-up code", "warned", seen=seen, expected=expected, cause=cause)


def native_code(case: Case) -> Check:
    """Do the installed libraries themselves hold machine code for each GPU?"""
    title = "Machine code in the libraries"
    expected = "machine code for " + (", ".join(f"{gpu.compute_capability}" for gpu in case.gpus()) or "each GPU")
    if not case.gpu:
        return case.not_run("native-code", title, expected=expected, why="CPU: no GPU code is used")
    main = [(name, code) for name, code in case.code if name.startswith(MAIN_LIBRARY)]
    sass = {name for library, code in main if _decides(library, main) for name in code.architectures}
    ptx = {name for library, code in main if _decides(library, main) for name, _ in code.ptx}
    if not main:
        torch = case.installed.torch
        if torch is not None and not torch.cuda:
            cause = Cause(cause=f"a CPU build of torch is installed ({torch.version})", hint=RECREATE)
            return case.check("native-code", title, "failed", seen="no CUDA library", expected=expected, cause=cause)
        why = "no ELF library of torch's kernels"
        return case.not_run("native-code", title, expected=expected, why=why)
    held = " ".join(_ascending(sass)) or "none"
    seen = f"{main[0][0]}: {held}; PTX: {' '.join(_ascending(ptx)) or 'none'}"
    refusals, fallbacks = _served(case, sorted(sass), sorted(ptx))
    if refusals:
        cause = Cause(cause="the wheel has no code for " + "; ".join(refusals), hint=UPGRADE)
        return case.check("native-code", title, "failed", seen=seen, expected=expected, cause=cause)
    if fallbacks:
        cause = Cause(cause="; ".join(fallbacks), hint=UPGRADE)
        return case.check("native-code", title, "warned", seen=seen, expected=expected, cause=cause)
    return case.check("native-code", title, "passed", seen=seen, expected=expected)


def _decides(library: str, main: Sequence[tuple[str, object]]) -> bool:
    """torch's kernels are in libtorch_cuda.so; its companions (linear algebra) leave out cards that it serves."""
    names = [name for name, _ in main]
    return library == "libtorch_cuda.so" or "libtorch_cuda.so" not in names


def _ascending(names: set[str]) -> list[str]:
    return sorted(names, key=lambda name: int(name.rpartition("_")[2]))


def _served(case: Case, sass: list[str], ptx: list[str]) -> tuple[list[str], list[str]]:
    refusals, fallbacks = [], []
    for gpu in case.gpus():
        answer = load().serve_installed(
            gpu.compute_capability,
            machine=case.machine,
            sass=sass,
            ptx=ptx,
            cuda=case.installed.torch.cuda or None if case.installed.torch else None,
        )
        match answer:
            case NoCode(detail=detail):
                refusals.append(f"GPU {gpu.index} ({gpu.compute_capability}): {detail}")
            case Support(support="ptx", by=by):
                words = f"GPU {gpu.index} ({gpu.compute_capability}) has PTX only ({by}): compiled at first use"
                fallbacks.append(words)
            case _:
                pass
    return refusals, fallbacks
