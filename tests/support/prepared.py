"""Runs gpuenv in forks of one process that has loaded it: loading is more than half of what a small command takes.

Each run is a process with its own folder, variables, streams and exit status, and starts from the state in which
loading left the first. What an interpreter does at its start is not done again: tests of that start it themselves.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import locale
import os
import pkgutil
import random
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

AT_THE_START = ("PYTHON", "LC_", "LANG", "LD_", "OPENSSL", "MALLOC_")
"""Variables that an interpreter and its libraries read when they start, by their first letters."""

_STREAMS = 3
"""Output, errors and status: the descriptors that come with an order to run."""


def can_run(environ: Mapping[str, str]) -> bool:
    """Whether a run with these variables is the same in a fork as in an interpreter of its own."""
    told = {name: value for name, value in environ.items() if name.startswith(AT_THE_START)}
    here = {name: value for name, value in os.environ.items() if name in told}
    return sys.platform == "linux" and told == here and os.environ.get("GPUENV_TEST_START") != "fresh"


def run(words: Sequence[str], *, cwd: Path, environ: Mapping[str, str], timeout: float) -> tuple[int, str, str]:
    """Run ``gpuenv WORDS``; its exit status (negative: the signal), its output and its errors.

    Raises :class:`subprocess.TimeoutExpired` after ``timeout`` seconds; the process is killed then.
    """
    order = json.dumps({"words": list(words), "cwd": str(cwd), "environ": dict(environ)}).encode()
    deadline = time.monotonic() + timeout
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        status, ours = os.pipe()
        with os.fdopen(status, "rb", buffering=0) as told:
            try:
                socket.send_fds(_server(), [order], [out.fileno(), errors.fileno(), ours])
            finally:
                os.close(ours)
            said = b""
            while select.select([told], [], [], max(deadline - time.monotonic(), 0))[0]:
                part = told.read(64)
                if not part:
                    break
                said += part
            else:
                os.kill(int(said.split()[0]), signal.SIGKILL)
                raise subprocess.TimeoutExpired(["gpuenv", *words], timeout)
        out.seek(0)
        errors.seek(0)
        return int(said.split()[1]), out.read().decode(), errors.read().decode()


@cache
def _server() -> socket.socket:
    """Start the process that forks; it ends when its socket is closed, at the latest when this process ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, __file__, str(theirs.fileno())]
        server = subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


def _serve(link: socket.socket) -> None:
    """Fork for each order, and tell each run's exit status when it has ended."""
    import gpuenv

    for module in pkgutil.walk_packages(gpuenv.__path__, "gpuenv."):
        if ".payload" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.freeze()
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([link, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
        while running and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            status = running.pop(ended[0])
            os.write(status, str(os.waitstatus_to_exitcode(ended[1])).encode())
            os.close(status)
        if link in ready:
            order, streams, _, _ = socket.recv_fds(link, 1 << 20, _STREAMS)
            if not order:
                return
            *given, status = streams
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _be_gpuenv(**json.loads(order), streams=given, others=[status, woken, wake, *running.values()])
            running[pid] = status
            os.write(status, f"{pid} ".encode())
            for stream in given:
                os.close(stream)


def _be_gpuenv(
    words: list[str], cwd: str, environ: dict[str, str], *, streams: list[int], others: list[int]
) -> NoReturn:
    """Become a process that was started as ``python -m gpuenv WORDS``."""
    code: object = 1
    try:
        for number, stream in enumerate((os.open(os.devnull, os.O_RDONLY), *streams)):
            os.dup2(stream, number)
        os.closerange(_STREAMS, max([*others, *streams]) + 16)
        os.chdir(cwd)
        os.environ.clear()
        os.environ.update(environ)
        locale.setlocale(locale.LC_CTYPE, "")
        time.tzset()
        random.seed()
        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, closefd=False, errors=errors)  # noqa: SIM115 (stays open)
            for number, mode, errors in ((0, "r", "strict"), (1, "w", "strict"), (2, "w", "backslashreplace"))
        )
        sys.path.insert(0, cwd)
        main = importlib.import_module("gpuenv.cli.main")
        sys.argv = [str(Path(main.__file__ or "").parents[1] / "__main__.py"), *words]
        code = main.entry()
        threading._shutdown()  # type: ignore[attr-defined]  # as the interpreter does at its end
        atexit._run_exitfuncs()
        sys.stdout.flush()
    except SystemExit as asked:
        code = asked.code if isinstance(asked.code, int) else int(asked.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    del sys.path[0]  # the folder of this file
    _serve(socket.socket(fileno=int(sys.argv[1])))
