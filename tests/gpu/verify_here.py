"""Verify the environment of the Python that runs this: python3 tests/gpu/verify_here.py OUT [TIMES]

The second time is with warm files. Exit 1 when a verification fails.
"""

from __future__ import annotations

import sys
from pathlib import Path

from this_host import lines_of, torch_environment, verify


def main(arguments: list[str]) -> int:
    """Verify as often as asked; the evidence of the last run stays."""
    out = Path(arguments[0])
    failed = False
    for number in range(int(arguments[1]) if len(arguments) > 1 else 1):
        report = verify(torch_environment(), folder=out)
        failed |= report.verdict == "failed"
        print(f"run {number + 1}", *lines_of(report), sep="\n", flush=True)
        print(*(f"  {name}: {value}" for name, value in report.facts if name.startswith("seconds ")), sep="\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
