"""Show that the tests of the first round's faults fail on the code of then: a line a fault.

    python tools/first_round.py [REVISION] [ROW …]

The tests are those of this checkout; the gpuenv that they start is the revision's, installed with its dependencies
for a while (``GPUENV_TEST_PYTHON``).
Exit 1 where a fault has a test that the code of then passes, so that it holds nothing.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
FIRST = "aff47ce"
"""The last commit of the first round."""
FAULT = "tests/faults/test_faults.py::test_a_fault[{}]"


def main(words: list[str]) -> int:
    revision = words[0] if words and not words[0].isupper() else FIRST
    wanted = {word for word in words if word.isupper()}
    table = tomllib.loads((ROOT / "tests/first_round.toml").read_text(encoding="utf-8"))
    passed = False
    with tempfile.TemporaryDirectory() as folder:
        python = install(revision, Path(folder))
        for row, said in table.items():
            if wanted and row not in wanted:
                continue
            tests = [*said.get("tests", ()), *map(FAULT.format, said.get("faults", ()))]
            failing, passing = run(tests, python, Path(folder))
            held = failing and not passing if "faults" in said else failing
            passed |= not held
            print(f"{row:4} {failing} fail, {passing} pass  {'' if held else 'NOT HELD  '}{said['what']}", flush=True)
    return 1 if passed else 0


def install(revision: str, folder: Path) -> Path:
    """Install a revision into an environment of its own, and return its Python."""
    packed = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder / "code", filter="data")
    subprocess.run([sys.executable, "-m", "venv", str(folder / "python")], check=True)
    python = folder / "python/bin/python"
    subprocess.run([python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", folder / "code"], check=True)
    return python


def run(tests: list[str], python: Path, rows: Path) -> tuple[int, int]:
    """Run tests with that gpuenv; return how many fail (an error of a fixture is none) and how many pass."""
    environ = os.environ | {
        "GPUENV_TEST_PYTHON": str(python),
        "GPUENV_TEST_START": "fresh",
        "GPUENV_TEST_FAULTS": str(rows),
    }
    report = rows / "report.xml"
    line = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
    done = subprocess.run(line, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    (suite,) = ElementTree.parse(report).getroot()
    failing, total = int(suite.attrib["failures"]), int(suite.attrib["tests"])
    if suite.attrib["errors"] != "0" or not total:
        sys.exit(f"the tests could not be run:\n{done.stdout[-3000:]}{done.stderr[-2000:]}")
    return failing, total - failing


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
