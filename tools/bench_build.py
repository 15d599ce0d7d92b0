"""Measure a build against bare uv: ``python tools/bench_build.py WHEEL... [--rounds N]``.

The wheels are served on loopback and cached once; then ``uv venv`` with ``uv pip sync --offline`` and gpuenv's build
of the same lock take turns. The minimum of each is what counts on a machine that does other things too.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import http.server
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

from packaging.utils import canonicalize_name

from gpuenv.environment.build import Built, staged_environment
from gpuenv.environment.interpreters import running_interpreter
from gpuenv.environment.uv import Uv, find_uv
from gpuenv.lock.model import Lock, LockedDecision, LockedPackage, LockInputs, MachineTarget
from gpuenv.report import Silent


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "max-age=365000000, immutable")
        super().end_headers()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("wheels", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="gpuenv-bench-", dir="."))
    try:
        measure(work.absolute(), args.wheels, args.rounds)
    finally:
        shutil.rmtree(work)


def measure(work: Path, wheels: list[Path], rounds: int) -> None:
    served = work / "served"
    served.mkdir()
    for wheel in wheels:
        (served / wheel.name).symlink_to(wheel.absolute())
    handler = functools.partial(Quiet, directory=str(served))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lock_path, lock = make_lock(work / "pylock.toml", wheels, f"http://127.0.0.1:{server.server_address[1]}")
    uv = find_uv(os.environ)
    started = time.perf_counter()
    cold = ours(work, lock_path, lock, uv)
    print(f"cold: {time.perf_counter() - started:.3f} s, {cold.compared.files} files, fetched {len(cold.fetched)}")
    bare_times, our_times, phases = [], [], []
    for _ in range(rounds):
        bare_times.append(bare(work, lock_path, uv))
        shutil.rmtree(work / "env")
        started = time.perf_counter()
        built = ours(work, lock_path, lock, uv)
        our_times.append(time.perf_counter() - started)
        phases.append(built.seconds)
    server.shutdown()
    best = min(range(rounds), key=our_times.__getitem__)
    print(f"bare uv venv + uv pip sync: min {min(bare_times):.3f} s, median {sorted(bare_times)[rounds // 2]:.3f} s")
    print(f"gpuenv build, no verification: min {our_times[best]:.3f} s, median {sorted(our_times)[rounds // 2]:.3f} s")
    print(f"over bare uv: {our_times[best] - min(bare_times):+.3f} s (limit +0.3 s)")
    print("phases of the best: " + ", ".join(f"{name} {seconds:.3f}" for name, seconds in phases[best].items()))


def bare(work: Path, lock_path: Path, uv: Uv) -> float:
    environment = work / "bare"
    shutil.rmtree(environment, ignore_errors=True)
    base = running_interpreter().request
    started = time.perf_counter()
    for command in (
        ["venv", "--relocatable", "--python", base, str(environment)],
        ["pip", "sync", str(lock_path), "--python", str(environment), "--require-hashes", "--offline"],
    ):
        done = uv.run(command, cwd=work, deadline=600, reporter=Silent(), cache=work / "cache")
        if done.returncode != 0:
            raise SystemExit(done.stderr)
    return time.perf_counter() - started


def ours(work: Path, lock_path: Path, lock: Lock, uv: Uv) -> Built:
    with staged_environment(
        lock_path,
        lock,
        target=work / "env",
        python=running_interpreter(),
        uv=uv,
        state=work / "state",
        cache=work / "cache",
        reporter=Silent(),
    ) as staged:
        return staged.swap_in(None)


def make_lock(path: Path, wheels: list[Path], base: str) -> tuple[Path, Lock]:
    packages = []
    lines = ['lock-version = "1.0"', 'created-by = "gpuenv bench"']
    for wheel in wheels:
        name, version = wheel.name.split("-")[:2]
        with wheel.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        url = f"{base}/{wheel.name.replace('+', '%2B')}"
        size = wheel.stat().st_size
        packages.append(
            LockedPackage(
                name=canonicalize_name(name), version=version, filename=wheel.name, url=url, sha256=digest,
                size=size, hash_origin="computed", source="find-links", family=name == "torch",
            )
        )  # fmt: skip
        lines += ["[[packages]]", f'name = "{packages[-1].name}"', f'version = "{version}"']
        lines += [f'wheels = [{{ url = "{url}", size = {size}, hashes = {{ sha256 = "{digest}" }} }}]', ""]
    path.write_text("\n".join(lines), encoding="utf-8")
    python = running_interpreter().minor
    target = MachineTarget(os="linux", arch="x86_64", libc=None, python=python, compute_capabilities=(), driver=None)
    inputs = LockInputs(
        profile="bench", profile_digest="", target=target, snapshot="", sources=(), cutoff=None, knowledge=""
    )
    decision = LockedDecision(
        accelerator="cpu", wish="cpu", torch="", variant="", channel="stable", source="find-links"
    )
    return path, Lock(command="", inputs=inputs, decision=decision, packages=tuple(packages))


if __name__ == "__main__":
    main()
