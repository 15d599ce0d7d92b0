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
    assert with_line("a\n-c c.txt", "b") == "a\n-c c.txt\nb\n"
    assert with_line("", "b") == "b\n"
