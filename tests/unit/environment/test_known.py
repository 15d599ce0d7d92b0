"""environment.known: what uv told holds while uv, the searched folders and each interpreter stay the same."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpuenv.environment import known
from gpuenv.environment.interpreters import Interpreter
from gpuenv.environment.known import KnownInterpreters, KnownVersions
from gpuenv.net.cache import sha256

pytestmark = pytest.mark.skipif(os.name == "nt", reason="nothing is remembered on Windows: uv reads the registry too")


@dataclass
class Home:
    """A uv, a folder on PATH with a Python that a link leads to, and the memory."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("bin", "opt", "uv/python"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "opt/python3.12").write_text("a Python")
        (self.folder / "bin/python3.12").symlink_to(self.folder / "opt/python3.12")
        (self.folder / "bin/uv").write_text("uv")

    @property
    def file(self) -> Path:
        return self.folder / "pythons.json"

    def memory(self, **environ: str) -> KnownInterpreters:
        world = {"PATH": str(self.folder / "bin"), "XDG_DATA_HOME": str(self.folder), **environ}
        return KnownInterpreters(self.file, uv=self.folder / "bin/uv", environ=world)

    @property
    def found(self) -> tuple[Interpreter, ...]:
        return (Interpreter(version="3.12.4", path=self.folder / "bin/python3.12", origin="installed"),)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.memory().put(made.found)
    return made


def test_a_list_is_remembered(home: Home) -> None:
    assert home.memory().get() == home.found


def later(path: Path) -> None:
    facts = path.stat()
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))


def another_python(home: Home) -> None:
    (home.folder / "bin/python3.13").write_text("another")
    later(home.folder / "bin")  # a file system may count time in steps that a test is faster than


def uv_fetched_one(home: Home) -> None:
    (home.folder / "uv/python/cpython-3.13").mkdir()
    later(home.folder / "uv/python")


def replaced_in_place(home: Home) -> None:
    (home.folder / "opt/python3.12").write_text("another patch release")


def touched_in_place(home: Home) -> None:
    later(home.folder / "opt/python3.12")


def gone(home: Home) -> None:
    (home.folder / "opt/python3.12").unlink()


def led_elsewhere(home: Home) -> None:
    (home.folder / "opt").rename(home.folder / "elsewhere")
    (home.folder / "opt").symlink_to(home.folder / "elsewhere")


def another_uv(home: Home) -> None:
    (home.folder / "bin/uv").write_text("a newer uv")


def sealed(home: Home, **changes: object) -> None:
    text = json.dumps({**json.loads(home.file.read_text().partition("\n")[2]), **changes})
    home.file.write_text(f"{sha256(text.encode())}\n{text}")


def old(home: Home) -> None:
    sealed(home, made=time.time() - 86_401)


def of_tomorrow(home: Home) -> None:
    sealed(home, made=time.time() + 3600)


def a_changed_digit(home: Home) -> None:
    home.file.write_text(home.file.read_text().replace('"3.12.4"', '"3.12.5"'))


def of_another_shape(home: Home) -> None:
    sealed(home, found=[["3.12.4"]])


def no_list(home: Home) -> None:
    sealed(home, found={})


@pytest.mark.parametrize(
    "change",
    [
        another_python, uv_fetched_one, replaced_in_place, touched_in_place, gone, led_elsewhere, another_uv, old,
        of_tomorrow, a_changed_digit, of_another_shape, no_list,
    ],
)  # fmt: skip
def test_whatever_changed_uv_is_asked_again(home: Home, change: Callable[[Home], None]) -> None:
    change(home)
    assert home.memory().get() is None


def test_another_path_or_place_for_uvs_own_is_another_list(home: Home) -> None:
    assert home.memory(PATH=f"{home.folder}/bin{os.pathsep}{home.folder}/opt").get() is None
    assert home.memory(UV_PYTHON_INSTALL_DIR=str(home.folder / "own")).get() is None


def test_an_interpreter_that_is_not_there_is_not_remembered(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.memory().put((*home.found, Interpreter(version="3.13.0", path=tmp_path / "none", origin="installed")))
    assert home.memory().get() is None


def test_one_that_runs_gpuenv_or_could_be_fetched_is_no_part_of_the_list(home: Home) -> None:
    more = (
        Interpreter(version="3.11.1", path=home.folder / "opt/python3.12", origin="running"),
        Interpreter(version="3.14.0", path=None, origin="download"),
    )
    home.memory().put((*more, *home.found))
    assert home.memory().get() == home.found


def test_nothing_is_remembered_where_a_registry_is_read_too(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known.sys, "platform", "win32")  # type: ignore[attr-defined]  # the module's own
    assert home.memory().get() is None


def test_a_version_is_remembered_by_program_time_and_size(tmp_path: Path) -> None:
    uv, other = tmp_path / "uv", tmp_path / "other"
    for each in (uv, other):
        each.write_text("a program")
    memory = KnownVersions(tmp_path / "uv.json")
    assert memory.get(uv) is None
    memory.put(uv, "1.2.3")
    assert (memory.get(uv), memory.get(other)) == ("1.2.3", None)
    later(uv)
    assert memory.get(uv) is None
    memory.put(uv, "1.2.4")
    uv.write_text("another program")
    assert memory.get(uv) is None
    memory.put(uv, "no version")
    assert memory.get(uv) is None
    memory.put(uv, "1.2.5")
    (tmp_path / "uv.json").write_text((tmp_path / "uv.json").read_text().replace("1.2.5", "1.2.6"))
    assert memory.get(uv) is None
    memory.put(tmp_path / "gone", "1.2.5")
    assert memory.get(tmp_path / "gone") is None
