"""Count the tests that fail when a rule of the decision is switched off.

    python tests/mutation.py [NAME …]

Each rule must be held by at least three tests. Prints a Markdown table with the names, as docs/decisions.md has it.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TESTS = ("scenarios", "property/test_select.py", "unit/select")
LEAST = 3
SHOWN = 6


def main(names: list[str]) -> int:
    sys.path.insert(0, str(HERE))
    from support.mutants import MUTANTS

    print("| rule switched off | tests that fail | for instance |\n|---|---|---|")
    weak = 0
    for name in names or list(MUTANTS):
        failed = failing(name)
        weak += len(failed) < LEAST
        rule = (MUTANTS[name].__doc__ or "").strip()
        print(f"| {name}: {rule} | {len(failed)} | {', '.join(f'`{each}`' for each in pick(failed))} |", flush=True)
    return 1 if weak else 0


def failing(name: str) -> list[str]:
    """Names of the tests that fail under a mutant."""
    command = [sys.executable, "-m", "pytest", "-p", "support.mutants", "--mutant", name, "-q", "--tb=no", "-rf"]
    places = [str(HERE / each) for each in TESTS if (HERE / each).exists()]
    done = subprocess.run([*command, *places], capture_output=True, text=True, cwd=HERE.parent, check=False)
    found = re.findall(r"^FAILED \S+::(\S+)", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest ended with {done.returncode} under {name}:\n{done.stdout}{done.stderr}")
    return sorted(re.sub(r"^test_scenario\[(.+)\]$", r"\1", each) for each in found)


def pick(names: list[str]) -> list[str]:
    """A few names, those written for a rule before those of recorded cases."""
    return sorted(names, key=lambda name: (name.startswith("case-"), name))[:SHOWN]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
