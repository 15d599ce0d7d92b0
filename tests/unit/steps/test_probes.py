"""The probes that a project brings, as its files name them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv.errors import ConfigurationError
from gpuenv.report import Silent
from gpuenv.steps.context import Context, Options
from gpuenv.steps.probes import own_probes
from gpuenv.verify.probes import planned


def _context(folder: Path, files: dict[str, str]) -> Context:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return Context(environ={}, project=folder, cache=folder, state=folder, config=folder, reporter=Silent())


def test_probes_of_pyproject_by_file_and_module(tmp_path: Path) -> None:
    table = '[tool.gpuenv.probes]\n"My_Kernels" = "probes/mine.py:probe"\nother = "pkg.probes:run"\n'
    context = _context(tmp_path, {"pyproject.toml": table, "probes/mine.py": ""})
    assert [(each.project, each.function, each.said) for each in own_probes(context)] == [
        ("my-kernels", f"{tmp_path}/probes/mine.py:probe", "probes/mine.py:probe"),
        ("other", "pkg.probes:run", "pkg.probes:run"),
    ]


def test_gpuenv_toml_alone_counts_where_it_is_there(tmp_path: Path) -> None:
    files = {"pyproject.toml": '[tool.gpuenv.probes]\na = "x:y"\n', "gpuenv.toml": '[probes]\nb = "x:y"\n'}
    assert [(each.project, each.allowed) for each in own_probes(_context(tmp_path, files))] == [("b", False)]
    assert own_probes(_context(tmp_path, {"gpuenv.toml": 'python = "3.12"\n'})) == ()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('mine = "../else.py:probe"', "mine: must name a function of a file in the project"),
        ('mine = "/tmp/else.py:probe"', "mine: must name a function of a file in the project"),
        ('mine = "no function"', "mine: must name a function of a file in the project"),
        ("mine = 1", "mine: must name a function of a file in the project"),
        ('mine = "gone.py:probe"', r"mine: there is no file gone\.py"),
    ],
)
def test_what_names_no_function_is_refused_with_its_place(tmp_path: Path, value: str, words: str) -> None:
    context = _context(tmp_path, {"pyproject.toml": f"[tool.gpuenv.probes]\n{value}\n"})
    with pytest.raises(ConfigurationError, match=rf"pyproject\.toml \[tool\.gpuenv\.probes\]: {words}"):
        own_probes(context)


def test_a_person_allows_the_projects_code(tmp_path: Path) -> None:
    context = _context(tmp_path, {"gpuenv.toml": '[probes]\nb = "x:y"\n'})
    (found,) = own_probes(replace(context, options=Options(own_probes=True)))
    assert found.allowed
    (skipped,) = planned({"b": "1"}, gpus=(), gpu=False, own=own_probes(context))
    assert skipped.skip == "it is code of the project, which --own-probes allows to run"


def test_a_table_that_is_none_is_refused(tmp_path: Path) -> None:
    context = _context(tmp_path, {"gpuenv.toml": "probes = 1\n"})
    with pytest.raises(ConfigurationError, match=r"gpuenv\.toml \[probes\]: must be a table"):
        own_probes(context)
