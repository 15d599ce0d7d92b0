"""The entry point: answers ``--version`` with nothing loaded, hands everything else to :mod:`gpuenv.cli.app`."""

from __future__ import annotations

import sys


def entry() -> int:
    """Run gpuenv with the process's own arguments and return the exit code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from gpuenv import __version__

        sys.stdout.write(f"gpuenv {__version__}\n")
        return 0
    from gpuenv.cli.app import main

    return main(sys.argv[1:])
