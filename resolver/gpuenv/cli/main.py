"""The entry point: answers ``--version`` with nothing loaded, hands everything else to :mod:`gpuenv.cli.app`."""

from __future__ import annotations

import gc
import os
import sys


def entry() -> int:
    """Run gpuenv with the process's own arguments and return the exit code."""
    _repair_streams()
    if sys.argv[1:] in (["--version"], ["-V"]):
        from gpuenv import __version__

        return _answer(f"gpuenv {__version__}\n")
    from gpuenv.cli.app import main

    # Ten thousand wheels or files are no garbage: looking through them again and again takes a twentieth of a run.
    gc.set_threshold(100_000, 50, 1_000)
    code = main(sys.argv[1:])
    _let_go()
    gc.freeze()  # what is left goes with the process: looking through all of it at the end takes 0.03 s of a build
    return code


def _repair_streams() -> None:
    """Give closed streams somewhere to write, and let what an encoding lacks be written as an escape.

    Where a stream is closed, the next file opened would get its number, and with it what is meant for the terminal.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 (stays open)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a TextIOWrapper, at a process's start


def _let_go() -> None:
    """Let go what a full or closed stream did not take: Python writes it at its end, complains and exits with 120."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _answer(text: str) -> int:
    """Write a result; the exit code is 3 where it cannot be written (a full disk)."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        _let_go()
        sys.stderr.write(f"error: the result cannot be written: {error.strerror}\n")
        return 3
    return 0
