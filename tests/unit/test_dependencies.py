"""Each declared dependency is imported, and each import is declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PROBES = ROOT / "resolver/gpuenv/verify/payload/probes"
"""Run in an environment, each only where the companion that it imports is installed."""
PACKAGE = sorted(path for path in (ROOT / "resolver").rglob("*.py") if not path.is_relative_to(PROBES))
PROJECTS = [path.parent for path in (ROOT / "tests").rglob("pyproject.toml")]
"""Folders that are tried as somebody's own project: what they import, their own file declares."""
WORKSHOP = sorted(
    path
    for path in [*(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").glob("*.py")]
    if not any(path.is_relative_to(project) for project in PROJECTS)
)
OURS = {"gpuenv", "gpuenv_payload", "gpu", "support", "faults", "fleet", "fuzz", "torch"}
OURS |= {path.stem for folder in ("tools", "tests/gpu") for path in (ROOT / folder).glob("*.py")}
"""Not of a dependency: what lies here, and what an environment has that the payload runs in."""
WHERE_INSTALLED = {"atheris"}
"""Has wheels for few Pythons, and only a part of the fuzzing that is run by hand needs it."""
STARTED = {
    "ansible-core", "ansible-runner", "coverage", "types-pyyaml", "ruff", "mypy", "import-linter", "pytest-xdist",
    "pytest-socket",
}  # fmt: skip
"""Tools of the workshop that are started, or loaded by pytest, and imported nowhere."""


def imported(files: list[Path]) -> dict[str, str]:
    """Distributions that are imported, each with a file that does; modules of none count by their own name."""
    homes = packages_distributions()
    found: dict[str, str] = {}
    for path in files:
        for module in modules(ast.parse(path.read_text(encoding="utf-8"))):
            if module not in sys.stdlib_module_names and module not in OURS:
                found.setdefault(canonicalize_name(homes.get(module, [module])[0]), path.relative_to(ROOT).as_posix())
    return found


def modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "find_spec")):
            yield from (each.value.partition(".")[0] for each in node.args if isinstance(each, ast.Constant))
        elif isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def declared(texts: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(text).name) for text in texts}


def test_the_package_imports_what_it_declares_and_nothing_else() -> None:
    used = imported(PACKAGE)
    fleet = declared(PROJECT["optional-dependencies"]["fleet"]) - {"ansible-core"}  # which ansible-runner starts
    assert set(used) == declared(PROJECT["dependencies"]) | fleet, used


def test_the_workshop_imports_what_it_declares_and_nothing_else() -> None:
    used = imported(WORKSHOP)
    tools = declared(PROJECT["optional-dependencies"]["dev"])
    assert set(used) - tools - declared(PROJECT["dependencies"]) == WHERE_INSTALLED, used
    assert tools - set(used) == STARTED


@pytest.mark.parametrize("text", [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]])
def test_each_has_a_floor_that_a_lane_tries(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+>=[0-9.]+", text)
