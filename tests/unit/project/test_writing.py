"""Requirements written into files: what is not theirs stays as it is."""

from __future__ import annotations

import pytest

from gpuenv.errors import ConfigurationError
from gpuenv.project.writing import (
    difference,
    with_line,
    with_lines,
    with_requirement,
    with_strings,
    without_line,
    without_requirement,  # fmt: skip
)

PROJECT = """\
# my project
[project]
name = 'a'   # its name
dependencies = [
    # why
    "einops>=0.7",   # pinned by hand
    'numpy',
]

[tool.uv]
index = [{ name = "pt", url = "https://a.example/whl/cu118" }]
"""


def test_one_more_requirement_changes_one_line() -> None:
    after = with_requirement(PROJECT, "tqdm>=4")
    assert difference(PROJECT, after, shown="p").splitlines()[3:] == ["     'numpy',", '+    "tqdm>=4",', " ]"]
    assert with_requirement(after, "tqdm>=4") == after, "idempotent"
    assert without_requirement(after, "TQDM") == PROJECT


def test_one_on_the_same_package_is_replaced() -> None:
    after = with_requirement(PROJECT, "Einops>=0.8")
    assert '    "Einops>=0.8",   # pinned by hand' in after
    assert after.count("inops") == 1
    assert with_requirement(PROJECT, "numpy<2; python_version < '3.10'").count("numpy") == 2, "another marker"


@pytest.mark.parametrize(
    ("where", "head"), [({"extra": "Train"}, "[project.optional-dependencies]"), ({"group": "dev"}, "[dependency-gr")]
)
def test_extras_and_groups_are_made_where_they_are_missing(where: dict[str, str], head: str) -> None:
    after = with_requirement(PROJECT, "tqdm", **where)
    assert head in after
    assert after.startswith(PROJECT[:40])
    assert with_requirement(after, "tqdm", **{key: value.lower() for key, value in where.items()}) == after
    assert '"tqdm"' not in without_requirement(after, "tqdm", **where)
    assert without_requirement(PROJECT, "tqdm", **where) == PROJECT


def test_without_a_project_there_is_nothing_to_write_into() -> None:
    with pytest.raises(ConfigurationError, match=r"no \[project\]"):
        with_requirement("[tool.ruff]\n", "a")
    assert '"a"' in with_requirement("[tool.ruff]\n", "a", group="dev")


def test_strings_are_replaced_wherever_they_stand() -> None:
    changed = {"numpy": "numpy<2", "https://a.example/whl/cu118": "https://a.example/whl/cu128", "absent": "x"}
    after = with_strings(PROJECT, lambda text: changed.get(text, text))
    assert after == PROJECT.replace("'numpy'", '"numpy<2"').replace("cu118", "cu128")


def test_lines_keep_comments_and_what_stands_around_them() -> None:
    text = "# head\r\ntorch==2.0.1+cu118 \\\r\n    --hash=sha256:0  # why\r\nnumpy # tail\r\n"
    after = with_lines(text, {2: lambda _: "torch==2.9.1", 4: str.upper})
    assert after == "# head\r\ntorch==2.9.1  # why\r\nNUMPY # tail\r\n"


def test_a_line_is_added_or_replaces_the_one_on_its_package() -> None:
    assert with_line("a\nb>=1 # why\n-c c.txt", "B>=2") == "a\nB>=2 # why\n-c c.txt"
    assert with_line("a\n-c c.txt", "b") == "a\n-c c.txt\nb"
    assert with_line("a\n", "b") == "a\nb\n"
    assert with_line("", "b") == "b\n"


LISTS = [
    '[\n  "torch",   # mine\n  "six>=1.16" # old, very\n]\n\n# end\n',
    '[\n    "torch",\n    "six"\n] # kept\n',
    '[\n    "torch",\n    "six",\n]\n',
    '["torch",\n  "six"]\n',
    '["torch"]',
    '[ "torch", "six" ]  # here\n[tool.x]\na = ["six"]\n',
    "[]\n",
]


@pytest.mark.parametrize("entries", LISTS)
def test_what_is_added_and_taken_out_again_leaves_the_file_byte_for_byte(entries: str) -> None:
    before = f'[project]\nname = "x"\ndependencies = {entries}'
    after = with_requirement(before, "numpy>=2")
    assert '"numpy>=2"' in after
    assert without_requirement(after, "numpy") == before


@pytest.mark.parametrize("before", ["six", "six\n", "# c\nsix # why\n\n", ""])
def test_a_line_added_and_taken_out_again_leaves_the_file_byte_for_byte(before: str) -> None:
    after = with_line(before, "numpy>=2")
    assert "numpy>=2" in after.splitlines()
    assert without_line(after, "numpy") == before


def test_a_list_that_outgrows_its_line_gets_a_line_per_entry() -> None:
    long = "".join(f'"package-{number}", ' for number in range(5))
    after = with_requirement(f'[project]\nname = "x"\ndependencies = [{long[:-2]}]\n', "numpy")
    assert after.count("\n    ") == 6
