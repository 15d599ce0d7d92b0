"""`python -m gpuenv`."""

from __future__ import annotations

import sys

from gpuenv.cli.main import entry

if __name__ == "__main__":
    sys.exit(entry())
