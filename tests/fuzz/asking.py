"""The reader of what a project asks for: any file of it, as somebody may have written it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fuzz.judge import SECRET, check_words
from gpuenv.knowledge import load
from gpuenv.lock.recorded import recorded_requirements
from gpuenv.model.asked import Asked
from gpuenv.net.location import redact
from gpuenv.project.conda import read_environment
from gpuenv.project.pyproject import Choice, read_pyproject
from gpuenv.project.requirements import asked_by_file
from gpuenv.project.requirements_file import read_requirements
from gpuenv.project.writing import with_requirement, with_strings
from gpuenv.report import visible
from gpuenv.select.stated import judged
from gpuenv.steps.project import allows, stated_on
from support import choosing

PROJECTS = Path(__file__).parents[1] / "projects"
MORE = f"""\
pyproject.toml
[project]
name = "a"
requires-python = ">=3.10"
dependencies = ["a[x]==1 ; python_version > '3'", "torch<3"]
dynamic = ["dependencies"]
[project.optional-dependencies]
one = ["a[two]"]
two = ["b"]
[dependency-groups]
one = ["c", {{ include-group = "two" }}]
two = ["d"]
[tool.setuptools.dynamic]
dependencies = {{ file = ["r.txt"] }}
[tool.uv]
constraint-dependencies = ["a<2"]
conflicts = [[{{ extra = "one" }}, {{ extra = "three" }}]]
find-links = ["https://u:{SECRET}@x.example/links"]
[tool.uv.sources]
b = {{ url = "https://x.example/b-1-py3-none-any.whl" }}
"""


def asking_files() -> list[bytes]:
    """A file's name, then what it says: the shapes of ``tests/projects``, and what those leave out."""
    files = [path for path in sorted(PROJECTS.glob("*/*")) if path.name in ("pyproject.toml", "environment.yml")]
    texts = [path.read_text("utf-8").replace("@PRIVATE@", "https://own.example/simple") for path in files]
    return [*(f"{path.name}\n{text}".encode() for path, text in zip(files, texts, strict=True)), MORE.encode()]


def read_asking_file(data: bytes, room: Path) -> object:
    name, _, text = data.decode("utf-8", "replace").replace("\r\n", "\n").partition("\n")
    found = _conda(text, room) if name.endswith(".yml") else _pyproject(text, room)
    for row in stated_on(found, choosing.machine("9.0"), "3.12"):
        _said(judged(row, choosing.machine("9.0"), load()))
    for line in (*found.recorded, *found.notes, *found.files):
        _said(line)
    allows(found, "3.12")
    return recorded_requirements(found.recorded, ("--relax torch",))


def _pyproject(text: str, room: Path) -> Asked:
    chosen = ("one",) if "[dependency-groups]\none" in text else ()
    found = read_pyproject(
        text,
        path=room / "pyproject.toml",
        shown="pyproject.toml",
        choice=Choice(extras=chosen, groups=chosen),
        family=load().family,
        applies=lambda marker: len(marker) % 2 == 0,
        read_file=lambda path: Asked(files=(path.name,)),
    )
    if "[project]" in text and len(text) < 20_000:  # tomlkit counts a list again for each entry
        written = with_requirement(text, "einops>=0.8")
        if with_requirement(written, "einops>=0.8") != written:
            raise AssertionError("a requirement is not written the same twice")
        with_strings(text, lambda value: value.replace("2.9.1", "2.10.0"))
    return found


def _conda(text: str, room: Path) -> Asked:
    def pip(rows: Sequence[tuple[str, int]]) -> Asked:
        lines = "\n".join(line for line, _ in rows)
        return asked_by_file(read_requirements(room / "e.yml", shown="e.yml", environ={}, text=lines), folder=room)

    return read_environment(text, shown="e.yml", pip=pip)


def _said(text: str) -> None:
    """It is printed by somebody: it has to pass the console, and hold no secret."""
    words = "\n".join(visible(line) for line in text.split("\n"))
    check_words(redact(words).encode("utf-8", "backslashreplace").decode(), secret=True)
