"""The lines that ``tests/mutation.py`` puts a wrong one in place of: each stands where the table says, and is held."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.edits import EDITS

TESTS = Path(__file__).parents[1]
PACKAGE = TESTS.parent / "resolver" / "gpuenv"


@pytest.mark.parametrize("name", EDITS)
def test_each_line_stands_once_in_its_file_and_its_tests_are_there(name: str) -> None:
    edit = EDITS[name]
    text = (PACKAGE / edit.file).read_text(encoding="utf-8")
    assert text.count(edit.old) == 1
    if edit.file.endswith(".py"):  # what cannot be compiled is noticed by every test
        compile(text.replace(edit.old, edit.new), edit.file, "exec")
    assert edit.new != edit.old
    assert all((TESTS / each).exists() for each in edit.tests)
