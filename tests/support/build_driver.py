"""Builds one environment in a process of its own, so that tests can interrupt and kill it.

``python -m support.build_driver FOLDER URL VERSION [PAUSE]``: the wheels are ``alpha`` and ``torch`` of that
version, the target is ``FOLDER/project/.venv-gpu``. Ends 0, or 130 when interrupted. A line on stdout tells each step:
``building``, ``verifying``, ``built``. The verification lasts PAUSE seconds, or until the file of that name is there.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from gpuenv.environment.build import BuildOptions, staged_environment
from gpuenv.environment.interpreters import running_interpreter
from gpuenv.environment.uv import find_uv
from gpuenv.model.verification import Report
from gpuenv.report import Silent
from support.locked import make_lock, write_lock
from support.workshop import alpha, torch


def main(folder: Path, url: str, version: str, pause: str) -> None:
    wheels = [alpha(version), torch(version)]
    lock = make_lock(wheels, base=url)
    path = write_lock(folder / f"pylock.{version.replace('.', '-')}.toml", wheels, base=url)

    def verify(environment: Path) -> Report:
        print("verifying", flush=True)
        events = folder / "events"
        with events.open("a") as file:
            file.write(f"{version} begins\n")
        _wait(pause)
        with events.open("a") as file:
            file.write(f"{version} ends\n")
        return Report(verdict="passed", accelerator="cpu", checks=(), training=None, facts=(), log=(), seconds=0.0)

    print("building", flush=True)
    with staged_environment(
        path,
        lock,
        target=folder / "project/.venv-gpu",
        python=running_interpreter(),
        uv=find_uv(os.environ),
        state=folder / "state",
        cache=folder / "cache",
        reporter=Silent(),
        options=BuildOptions(extra_env={"UV_HTTP_RETRIES": "0"}),
    ) as staged:
        staged.swap_in(verify(staged.path) if pause != "0.0" else None)
    print("built", flush=True)


def _wait(pause: str) -> None:
    if not Path(pause).is_absolute():
        time.sleep(float(pause))
        return
    while not Path(pause).exists():
        time.sleep(0.02)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else "0.0")
    except KeyboardInterrupt:
        sys.exit(130)
