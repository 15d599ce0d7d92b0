"""docs/gpuenv.1 says what the parser says, and man can show it."""

from __future__ import annotations

import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

from gpuenv.cli import pages, parser, verbs

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "gpuenv.1"


def test_the_man_page_is_the_present_one() -> None:
    made = runpy.run_path(str(ROOT / "tools" / "make_man.py"))["page"]()
    assert PAGE.read_text("utf-8") == made, "run make docs"


def test_it_holds_every_verb_and_option() -> None:
    text = PAGE.read_text("utf-8").replace("\\-", "-")
    for name, verb in parser.build(verbs.load()).verbs.items():
        assert f".SS gpuenv {name}" in text
        assert all(option in text or option in ("-h", "--help") for option in pages.option_names(verb))


def test_groff_reads_it_without_a_warning() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not here")
    done = subprocess.run(
        [groff, "-man", "-ww", "-Tutf8", "-Kutf8", "-P-bcou", PAGE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "EXIT STATUS" in done.stdout
