"""A page with terminal sessions, run again: each ``$ command`` of a ``console`` block, with what it shows then.

python tests/support/transcript.py PAGE    run every command in the current folder and print the page anew
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """A command, and what stands below it."""

    command: str
    shown: str


def typed(page: str) -> Iterator[Typed]:
    """Every command of a page, in its order."""
    for block in _BLOCK.finditer(page):
        for part in re.split(r"^\$ ", block[1], flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            yield Typed(command=command, shown=shown)


def replayed(page: str, run: Callable[[str], str]) -> str:
    """The page with what every command shows now."""

    def block(found: re.Match[str]) -> str:
        parts = [f"$ {each.command}\n{run(each.command)}" for each in typed(found[0])]
        return "```console\n" + "\n".join(part.rstrip("\n") + "\n" for part in parts) + "```"

    return _BLOCK.sub(block, page)


def main(path: Path) -> int:
    """Run the page's commands here. The lines about a stand-in for PyTorch's index are left out."""

    def run(command: str) -> str:
        done = subprocess.run(
            ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        here = f"{Path.cwd()}/"
        lines = [line.replace(here, "") for line in done.stdout.splitlines() if not line.startswith("torch comes from")]
        if done.returncode:
            lines.append(f"(exit code {done.returncode})")
        return "".join(f"{re.sub(r' from http://127[^ ]*( [(][^)]*[)])?', '', line)}\n" for line in lines)

    sys.stdout.write(replayed(path.read_text("utf-8"), run))
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
