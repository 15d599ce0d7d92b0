"""Count the tests that fail when something is wrong in the program.

    python tests/mutation.py rules [NAME …]   a rule of the decision switched off: the table of docs/decisions.md
    python tests/mutation.py lines [NAME …]   one line of the package in a wrong form: the table of docs/architecture.md

Each rule must be held by at least three tests, each line by one. Prints a Markdown table; ends 1 where one is not held.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "resolver" / "gpuenv"
RULES = ("scenarios", "property/test_select.py", "unit/select")
SHOWN = 6


def main(arguments: Sequence[str]) -> int:
    sys.path.insert(0, str(HERE))
    kind, names = (arguments[0], arguments[1:]) if arguments else ("", [])
    match kind:
        case "rules":
            return rules(names)
        case "lines":
            return lines(names)
    print(__doc__)
    return 2


def rules(names: Sequence[str]) -> int:
    from support.mutants import MUTANTS

    print("| rule switched off | tests that fail | for instance |\n|---|---|---|")
    weak = 0
    for name in names or list(MUTANTS):
        failed = failing(RULES, "-p", "support.mutants", "--mutant", name)
        weak += len(failed) < 3
        rule = (MUTANTS[name].__doc__ or "").strip()
        print(f"| {name}: {rule} | {len(failed)} | {', '.join(f'`{each}`' for each in pick(failed))} |", flush=True)
    return 1 if weak else 0


def lines(names: Sequence[str]) -> int:
    from support.edits import EDITS

    print("| what is wrong | where | tests that fail | for instance |\n|---|---|---:|---|")
    survivors = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "resolver" / "gpuenv"
        python = interpreter_of(Path(folder) / "venv", copy.parent)
        shutil.copytree(PACKAGE.parent.parent / "profiles", Path(folder) / "profiles")
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for name in names or list(EDITS):
            edit, file = EDITS[name], copy / EDITS[name].file
            text = file.read_text(encoding="utf-8")
            if text.count(edit.old) != 1:
                raise SystemExit(f"{name}: {edit.file} holds {text.count(edit.old)} times: {edit.old}")
            file.write_text(text.replace(edit.old, edit.new), encoding="utf-8")
            failed = failing(edit.tests, python=python)
            file.write_text(text, encoding="utf-8")
            survivors += not failed
            instance = f"`{failed[0]}`" if failed else ""
            print(f"| {name}: {edit.what} | `{edit.file}` | {len(failed)} | {instance} |", flush=True)
    return 1 if survivors else 0


def interpreter_of(folder: Path, source: Path) -> str:
    """Make an environment with the packages of this one and gpuenv from ``source``, for child processes too."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    # What a .pth file adds is not searched for further .pth files: this environment's own gpuenv is not found there.
    (site / "gpuenv-copy.pth").write_text(f"{source}\n{sysconfig.get_path('purelib')}\n", encoding="utf-8")
    (folder / "bin" / "uv").symlink_to(Path(sys.executable).with_name("uv"))
    return str(folder / "bin" / "python")


def failing(places: Sequence[str], *options: str, python: str = sys.executable) -> list[str]:
    """Names of the tests that fail."""
    there = [str(HERE / each) for each in places if (HERE / each).exists()]
    command = [python, "-m", "pytest", *options, "-q", "--tb=no", "-rf", *there]
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent, check=False)
    found = re.findall(r"^FAILED \S+?::(.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
    if done.returncode not in (0, 1):
        raise SystemExit(f"pytest ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return sorted(re.sub(r"^test_scenario\[(.+)\]$", r"\1", each) for each in found)


def pick(names: list[str]) -> list[str]:
    """A few names, those written for a rule before those of recorded cases."""
    return sorted(names, key=lambda name: (name.startswith("case-"), name))[:SHOWN]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
