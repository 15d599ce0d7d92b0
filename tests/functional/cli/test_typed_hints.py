"""A hint is the command that goes on from what was typed: profile, folder and options are not lost on the way."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person, machine_json
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="words are quoted for a POSIX shell")


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        for variant in ("cpu", "cu128"):
            for version in ("2.9.1", "2.10.0"):
                server.add(torch_wheel(version, variant, tag=TAG, requires=["filelock"]), folder=variant)
        server.add_package(build_wheel("filelock", "3.0", files={"filelock/__init__.py": "A = 1\n"}))
        server.add_package(build_wheel("six", "1.17.0", files={"six.py": ""}))
        yield server


@pytest.fixture
def person(tmp_path: Path, index: IndexServer) -> Person:
    person = Person.at(
        tmp_path, GPUENV_TORCH_INDEX=index.torch_index, GPUENV_INDEX=index.default_index, GPUENV_PYTHON=PYTHON
    )
    person.write("profiles/team.toml", 'description = "t"\naccelerator = "cpu"\npackages = ["torch"]\n')
    return person


def told(text: str) -> list[str]:
    """The commands in backticks of the hints."""
    return [
        each for row in text.splitlines() if row.startswith("hint:") for each in re.findall("`(gpuenv [^`]+)`", row)
    ]


REFUSED = {
    "nothing to roll back to": (
        "create --rollback --profile team",
        ["gpuenv create --keep-previous .venv-gpu --profile team"],
    ),
    "the project's own folder": (
        "create . --no-verify --torch ==2.9.1 --profile team",
        [
            'gpuenv create --no-verify --torch "==2.9.1" --profile team',
            'gpuenv create --no-verify --torch "==2.9.1" --profile team FOLDER',
        ],
    ),
    "another profile's environment": (
        "create --profile cpu --no-verify",
        [
            "gpuenv create --profile cpu --no-verify .venv-gpu-cpu",
            "gpuenv create --profile cpu --no-verify --replace .venv-gpu",
        ],
    ),
    "a file": ("create profiles/team.toml --profile team", ["gpuenv create OTHER --profile team"]),
    "a kernel": ("kernel", ["gpuenv add ipykernel --profile team"]),
    "a kernel of another folder": (
        "kernel --env .venv-gpu",
        ["gpuenv add ipykernel --profile team --lock-only", "gpuenv create --profile team .venv-gpu"],
    ),
    "another machine": (
        "create --machine m.json --profile team",
        ["gpuenv create --machine m.json --profile team --no-verify", "gpuenv verify"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_was_typed_stands_in_the_hint(person: Person, case: str) -> None:
    typed, hints = REFUSED[case]
    assert person.run("create", "--no-verify", "--profile", "team").code == 0
    person.write("m.json", machine_json("12.0"))
    run = person.run(*shlex.split(typed))
    assert run.code == 2, run.err
    assert told(run.err) == hints
    for hint in hints:
        if "--no-verify" in hint:
            person.run("remove", "--env", ".venv-gpu", "--yes")
            assert person.run(*shlex.split(hint)[1:]).code == 0, hint


def test_what_was_added_and_not_proved_is_added_again_by_the_hint(person: Person) -> None:
    run = person.run("add", "six", "--profile", "team")  # these wheels have no torch that could prove itself
    assert run.code == 1, run.err
    kept, create, unproved = told(run.err)[-3:]
    assert (kept, create) == ("gpuenv add six --profile team --lock-only", "gpuenv create --keep-failed --profile team")
    assert person.run(*shlex.split(unproved)[1:]).code == 0
    assert (person.project / ".venv-gpu").is_dir()
    assert '"six"' in (person.project / "profiles/team.toml").read_text()
    assert person.run("run", "--", "python", "-c", "import six").code == 0


def test_the_next_commands_name_an_environment_that_is_not_the_default(person: Person) -> None:
    run = person.run("create", "--no-verify", "--profile", "team", ".venv-b")
    assert "run `gpuenv verify .venv-b` on" in run.out
    assert "or `gpuenv run --env .venv-b -- python`; Jupyter: `gpuenv kernel --env .venv-b`" in run.out
    assert person.run("run", "--env", ".venv-b", "--", "python", "-V").code == 0


def test_no_activation_is_named_where_no_shell_can_do_it(tmp_path: Path, person: Person) -> None:
    project = tmp_path / "a:b"
    person.project.rename(project)
    moved = Person(home=person.home, project=project, environ=person.environ)
    run = moved.run("create", "--no-verify", "--profile", "team", "--json")
    assert (run.code, run.json["data"]["activate"]) == (0, None)
    assert "next: `gpuenv run -- python`; Jupyter: `gpuenv kernel`" in moved.run(
        "create", "--no-verify", "--profile", "team"
    ).out  # fmt: skip


def test_an_environment_without_its_interpreter_is_not_said_to_be_missing(person: Person) -> None:
    assert person.run("create", "--no-verify", "--profile", "team").code == 0
    (person.project / ".venv-gpu/bin/python").unlink()
    run = person.run("run", "--", "python", "-V")
    assert (run.code, told(run.err)) == (2, ["gpuenv doctor .venv-gpu"])
    assert "its interpreter is gone" in run.err


@pytest.mark.parametrize(
    ("typed", "said", "not_said"),
    [
        ("run train.py", "there is no file train.py in", "PATH"),
        ("inspect torch-2.whl", "there is no wheel at torch-2.whl", "https://torch-2.whl"),
        ("create --lock x.toml --profile team", "cause: there are lockfiles/pylock.team.toml", "ls lockfiles"),
        ("resolve --machine m.toml", "gpuenv detect --json > machine.json", "cannot be read"),
        ("resolve --machine rtx9999", "hint: Give a compute capability: `--machine 8.6`", "Or give"),
        ("resolve --machine rtx5091", '`--machine "GeForce RTX 5090"`', "gpuenv matrix rtx"),
        ("evidence sign evidence/team --key k", "there is no folder", "holds no evidence"),
        ("evidence verify evidence/team", "there is no folder evidence/team", "is not signed"),
        ("evidence sign evidence/team", "`gpuenv evidence sign evidence/team --key", "sign FOLDER"),
        ("remove six --profile team", "`cat profiles/team.toml`", "lock --check"),
        ("check", "`gpuenv check lockfiles/pylock.team.toml`", "pylock.auto.toml"),
    ],
)
def test_what_is_not_there_is_named_as_what_it_is(person: Person, typed: str, said: str, not_said: str) -> None:
    assert person.run("create", "--no-verify", "--profile", "team").code == 0
    run = person.run(*shlex.split(typed))
    assert run.code == 2
    assert said in run.err
    assert not_said not in run.err


def test_relative_folders_of_ones_own_are_those_of_the_current_folder(person: Person) -> None:
    """By the XDG specification a relative variable of its own counts for nothing; ours are as typed."""
    relative = {"XDG_CACHE_HOME": "c", "XDG_STATE_HOME": "./s", "XDG_CONFIG_HOME": "conf"}
    assert person.run("create", "--no-verify", "--profile", "team", **relative).code == 0
    assert not {"c", "s", "conf"} & person.files()
    ours = {"GPUENV_CACHE_DIR": "c", "GPUENV_STATE_DIR": "s"}
    assert person.run("create", "--rebuild", "--no-verify", "--profile", "team", **ours).code == 0
    assert {"c", "s"} <= person.files()


def test_a_broken_profile_hides_no_other(person: Person) -> None:
    person.write("profiles/bad.toml", "x=\n")
    run = person.run("profiles")
    assert (run.code, "profiles/bad.toml:1: is not valid TOML" in run.err) == (2, True)
    assert {"auto", "team"} <= {row.split()[0] for row in run.out.splitlines()}
    assert person.run("profiles", "show", "team").code == 0


@pytest.mark.parametrize("left", [None, "", "version_info = 3.12\n"])
def test_an_environment_whose_pyvenv_cfg_is_lost_is_broken_and_its_fix_builds_it_again(
    person: Person, left: str | None
) -> None:
    """Its interpreter is its base's then, and finds none of its packages."""
    assert person.run("create", "--no-verify", "--profile", "team").code == 0
    settings = person.project / ".venv-gpu/pyvenv.cfg"
    settings.unlink() if left is None else settings.write_text(left)
    run = person.run("doctor")
    assert (run.code, "its pyvenv.cfg is gone or names no `home`" in run.out) == (1, True)
    moved, _, build = re.search("fix: (.*)", run.out)[1].rpartition(" && ")  # type: ignore[index]  # there is one
    if moved:
        (person.project / ".venv-gpu").rename(person.project / moved.split()[-1])
    assert person.run(*shlex.split(build)[1:], "--no-verify").code == 0
    assert person.run("doctor").code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="macOS makes no such folder")
def test_a_folder_whose_name_is_not_utf_8_is_refused_before_anything_is_written(person: Person) -> None:
    strange = person.project.with_name("a\udcffb")
    person.project.rename(strange)
    run = Person(home=person.home, project=strange, environ=person.environ).run("create", "--profile", "team")
    assert (run.code, "is not UTF-8, and uv takes no such path" in run.err) == (2, True)
    assert not (strange / "lockfiles").exists()


def test_a_marker_that_cannot_be_read_leads_to_the_doctor(person: Person) -> None:
    assert person.run("create", "--no-verify", "--profile", "team").code == 0
    (person.project / ".venv-gpu/gpuenv.json").write_text("{")
    run = person.run("run", "--", "python", "-V")
    assert (run.code, len(told(run.err))) == (2, 1)
    assert told(run.err)[0].startswith("gpuenv doctor ")
    assert person.run(*shlex.split(told(run.err)[0])[1:]).code == 1
