"""The doctor on a real GPU host: python doctor_cases.py OUT ENV WORK CARRY, run by doctor_cases.sh.

Each case stages what is wrong in a session of its own, and names the findings that have to come of it. What would
change the host is not staged on it: the compute mode is that of the stand-in for NVML, the missing device node that of
a mount namespace which ends with its process. Exit 1 where a case ended otherwise, or took longer than it may.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from support import fake_nvml  # noqa: E402 - the path comes first
from support.fake_nvml import FakeGpu, FakeMachine  # noqa: E402

OUT, ENV, WORK, CARRY = (Path(word).resolve() for word in sys.argv[1:5])
MOST_SECONDS = 3.0
CLEAN = ("LD_LIBRARY_PATH", "LD_PRELOAD", "CUDA_HOME", "CUDA_PATH", "PYTHONPATH", "CUDA_VISIBLE_DEVICES")
LOADED = 'import ctypes; n = ctypes.CDLL("libcuda.so.1"); print(next(l.split()[-1] for l in open("/proc/self/maps") if "libcuda" in l))'  # noqa: E501
"""A program that says which libcuda the loader gives it."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A session, and the kinds of findings that it has to lead to; ``also`` may come too."""

    environ: dict[str, str] = field(default_factory=dict)
    kinds: frozenset[str] = frozenset()
    also: frozenset[str] = frozenset()
    before: Sequence[str] = ()
    """Words before the command, such as those that enter a namespace."""
    seconds: float = 60.0


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in CLEAN}


def doctor(environ: dict[str, str], *words: str, before: Sequence[str] = ()) -> tuple[int, Any, float]:
    begin = time.monotonic()
    command = [*before, str(Path(sys.executable).parent / "gpuenv"), "doctor", str(ENV), "--json", *words]
    done = subprocess.run(command, cwd=WORK, env=environ, capture_output=True, text=True, timeout=120, check=False)
    seconds = time.monotonic() - begin
    try:
        return done.returncode, json.loads(done.stdout)["data"], seconds
    except (ValueError, KeyError):
        return done.returncode, {"findings": [], "stderr": done.stderr[-2000:], "stdout": done.stdout[-2000:]}, seconds


def use_built() -> None:
    """Take the stand-ins that were built before: this host may have no C compiler."""
    built = CARRY / "fake"
    if built.is_dir():
        fake_nvml.library = lambda without=frozenset(): built / "libnvidia-ml.so"  # type: ignore[assignment]
        fake_nvml.cuda_library = lambda: built / "libcuda.so"  # type: ignore[assignment]


def stub(folder: Path) -> dict[str, str]:
    """A libcuda for linking first on the loader's path: the toolkit's where there is one, else a stand-in."""
    real = next(Path("/usr/local").glob("cuda*/**/stubs/libcuda.so"), None)
    stubs = folder / "stubs"
    stubs.mkdir(parents=True)
    if real is not None:
        print(f"  the toolkit's stub: {real}")
        (stubs / "libcuda.so.1").symlink_to(real)
        return {"LD_LIBRARY_PATH": str(stubs)}
    made = FakeMachine(libcuda="1", init=34).environ(folder / "made")
    shutil.copyfile(folder / "made/libcuda.so.1", stubs / "libcuda.so.1")
    return {"LD_LIBRARY_PATH": str(stubs), "FAKE_CUDA_INIT": made["FAKE_CUDA_INIT"]}


def other_version(version: str, folder: Path) -> dict[str, str]:
    """The driver's own libcuda under the name of another version, as a compatibility package lays it down."""
    done = subprocess.run([sys.executable, "-c", LOADED], env=clean(), capture_output=True, text=True, check=True)
    folder.mkdir(parents=True)
    shutil.copyfile(done.stdout.strip(), folder / f"libcuda.so.{version}")
    (folder / "libcuda.so.1").symlink_to(f"libcuda.so.{version}")
    return {"LD_LIBRARY_PATH": str(folder)}


def exclusive(folder: Path) -> dict[str, str]:
    """Exclusive compute mode as NVML tells it. `nvidia-smi -c` would change the host for everybody."""
    gpu = FakeGpu(name="NVIDIA H200", capability=(9, 0), mode=3)
    words = FakeMachine(gpus=(gpu,), driver="580.95.05", libcuda="580.95.05").environ(folder)
    return {name: value for name, value in words.items() if name != "PATH"}


def without_uvm() -> Sequence[str] | None:
    """Words that run a command where /dev lacks nvidia-uvm, in a mount namespace of its own; ``None`` where refused."""
    hide = f"""set -e
mkdir -p {WORK}/dev; mount --rbind /dev {WORK}/dev; mount -t tmpfs none /dev
for n in {WORK}/dev/*; do
  b=/dev/${{n##*/}}
  case $b in */nvidia-uvm*) continue;; esac
  if [ -L "$n" ]; then cp -P "$n" "$b"; continue; fi
  if [ -d "$n" ]; then mkdir "$b"; else : > "$b"; fi
  mount --rbind "$n" "$b" || true
done
exec "$@"
"""
    for flags in (["-m"], ["--user", "--map-root-user", "-m"]):
        words = ["unshare", *flags, "sh", "-c", hide, "sh"]
        test = ["sh", "-c", "test ! -e /dev/nvidia-uvm && test -e /dev/nvidiactl && test -e /dev/null"]
        try:
            done = subprocess.run([*words, *test], capture_output=True, text=True, timeout=30, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            print(f"  {' '.join(words[:4])}: {error}")
            continue
        if done.returncode == 0:
            return words
        print(f"  unshare {' '.join(flags)}: refused: {done.stderr.strip()[-160:]}")
    return None


def cases() -> dict[str, Callable[[], Case | None]]:
    """What is staged, by name."""
    work = WORK / "cases"

    def uvm() -> Case | None:
        words = without_uvm()
        if words is None:
            return None
        # As root CUDA makes the node itself where it is missing: then nothing is wrong, and nothing has to be said.
        return Case(before=words, also=frozenset({"uvm-missing"}))

    compat = next((each for each in Path("/usr/local").glob("cuda*/compat") if any(each.glob("libcuda.so.*"))), None)
    found: dict[str, Callable[[], Case | None]] = {
        "clean session": lambda: Case(seconds=MOST_SECONDS),
        "clean session again, files warm": lambda: Case(seconds=MOST_SECONDS),
        "a stub of libcuda": lambda: Case(
            environ=stub(work / "stub"), kinds=frozenset({"libcuda-stub"}), also=frozenset({"cuda-error"})
        ),
        "a libcuda newer than the driver": lambda: Case(
            environ=other_version("999.10.02", work / "newer"), kinds=frozenset({"libcuda-newer"})
        ),
        "a libcuda older than the driver": lambda: Case(
            environ=other_version("450.51.06", work / "older"), kinds=frozenset({"libcuda-older"})
        ),
        "exclusive compute mode (stand-in for NVML)": lambda: Case(
            environ=exclusive(work / "mode"), kinds=frozenset({"mode-exclusive"})
        ),
        "every GPU hidden": lambda: Case(
            environ={"CUDA_VISIBLE_DEVICES": ""},
            kinds=frozenset({"mask-hides-all"}),
            also=frozenset({"job-without-gpu"}),
        ),
        "cuDNN of a system on the loader's path": lambda: Case(
            environ=system_cudnn(work / "cudnn"), kinds=frozenset({"loader-path"})
        ),
        "no /dev/nvidia-uvm (mount namespace)": uvm,
    }
    if compat is not None:
        found["the toolkit's compatibility package"] = lambda: Case(
            environ={"LD_LIBRARY_PATH": str(compat)}, also=frozenset({"libcuda-newer", "libcuda-older", "cuda-error"})
        )
    return found


def system_cudnn(folder: Path) -> dict[str, str]:
    folder.mkdir(parents=True)
    (folder / "libcudnn.so.8").touch()
    return {"LD_LIBRARY_PATH": str(folder)}


def shown(data: Any) -> None:
    for each in data["findings"]:
        if each["severity"] != "ok":
            print(f"    {each['severity']:<8} {each['kind']}: {each['summary']}")
            print(f"             {each['detail']}")
            print(f"             {'by hand (' + each['by'] + ')' if each['by'] else 'fix'}: {each['fix']}")
    for key in ("stderr", "stdout"):
        if data.get(key):
            print(f"    {key}: {data[key]}")


def main() -> int:
    use_built()
    print("== as the session is")
    code, own, seconds = doctor(dict(os.environ))
    print(f"  exit {code}, {seconds:.2f} s, files perhaps cold")
    shown(own)
    code, plain, _ = doctor(clean())
    usual = {each["kind"] for each in plain["findings"] if each["severity"] != "ok"}
    print(
        "== a clean session, where each has to be judged by who knows the host:", ", ".join(sorted(usual)) or "nothing"
    )
    shown(plain)
    results: dict[str, Any] = {"session": own, "clean": plain}
    failed = 0
    for name, make in cases().items():
        print(f"== {name}")
        try:
            case = make()
        except (OSError, subprocess.SubprocessError) as error:
            print(f"  WRONG: could not be staged: {error}")
            failed += 1
            continue
        if case is None:
            print("  not staged: this host allows no mount namespace; tests/unit/doctor/test_machine.py stages it")
            continue
        code, data, seconds = doctor({**clean(), **case.environ}, before=case.before)
        kinds = {each["kind"] for each in data["findings"] if each["severity"] != "ok"}
        missing, strange = case.kinds - kinds, kinds - usual - case.kinds - case.also
        if case.environ.get("FAKE_NVML_GPUS"):
            strange = frozenset()  # the stand-in is another machine
        slow = seconds > case.seconds
        right = data["findings"] and not missing and not strange and not slow
        failed += not right
        print(f"  {'right' if right else 'WRONG'}: exit {code}, {seconds:.2f} s of {case.seconds:g}", end="")
        print(f", missing {sorted(missing)}, unexpected {sorted(strange)}" if not right else "")
        shown(data)
        results[name] = {"seconds": round(seconds, 3), "exit_code": code, **data}
    print("== a report to send")
    code, data, seconds = doctor(clean(), "--report", str(OUT / "report.json"))
    text = (OUT / "report.json").read_text(encoding="utf-8")
    node = os.uname().nodename
    leaks = [word for word in (node, str(Path.home()), str(WORK)) if len(word) > 5 and word in text]
    failed += bool(leaks)
    print(f"  {len(text):,} bytes, {seconds:.2f} s, holds {leaks or 'neither host name nor home folder'}")
    (OUT / "doctor.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    code_of_everything()
    print("== done:", "all as expected" if not failed else f"{failed} otherwise")
    return 1 if failed else 0


def code_of_everything() -> None:
    """Read every library of the environment, torch's and NVIDIA's too: what the reader makes of real ones."""
    from gpuenv.companions.installed import read_installed
    from gpuenv.installed.environment import read_environment

    print("== device code of every package")
    facts = read_environment(ENV)
    begin = time.monotonic()
    found = read_installed(facts, skip=lambda name: False)
    print(f"  {len(found)} packages of {len(facts.distributions)} in {time.monotonic() - begin:.2f} s")
    for each in found:
        codes = sorted({code for library in each.libraries for code in (*library.sass, *library.ptx)})
        print(f"    {each.project} {each.version}: {' '.join(codes)} ({len(each.libraries)} libraries)")


if __name__ == "__main__":
    sys.exit(main())
