"""Life with an environment: run in it, list it, give it to Jupyter, remove it; nothing that is not gpuenv's goes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.environment.uv import find_uv
from support.cli import Person, command
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

ENV = ".venv-gpu"
IPYKERNEL = """
import json, os, pathlib, sys
words = sys.argv[1:]
assert words[:2] == ["install", "--user"]
told = lambda name: words[words.index(name) + 1]
env = {words[at + 1]: words[at + 2] for at, word in enumerate(words) if word == "--env"}
folder = pathlib.Path(os.environ["HOME"], ".local/share/jupyter/kernels", told("--name"))
folder.mkdir(parents=True, exist_ok=True)
argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
(folder / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": told("--display-name"), "env": env}))
"""
KERNELSPECAPP = """
import json, os, pathlib
kernels = pathlib.Path(os.environ["HOME"], ".local/share/jupyter/kernels").glob("*/kernel.json")
found = {each.parent.name: {"resource_dir": str(each.parent), "spec": json.loads(each.read_text())} for each in kernels}
print(json.dumps({"kernelspecs": found}))
"""
"""What the real ones do, as far as it is asked of them (seen with ipykernel 7.4.0 and jupyter-client 8.10.0)."""


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add(torch_wheel("2.10.0", "cpu", tag=TAG, requires=["filelock"]), folder="cpu")
        for name in ("filelock", "six"):
            server.add_package(build_wheel(name, "1.17.0"))
        server.add_package(build_wheel("torch", "2.12.0"))
        server.add_package(build_wheel("ipykernel", "7.4.0", files={"ipykernel/__main__.py": IPYKERNEL}))
        spec = {"jupyter_client/__init__.py": "", "jupyter_client/kernelspecapp.py": KERNELSPECAPP}
        server.add_package(build_wheel("jupyter-client", "8.10.0", files=spec))
        yield server


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, index: IndexServer) -> Person:
    """Somebody with an environment in a project whose path has a space."""
    folder = tmp_path_factory.mktemp("a life")
    person = Person.at(
        folder, GPUENV_TORCH_INDEX=index.torch_index, GPUENV_INDEX=index.default_index, GPUENV_PYTHON=PYTHON,
        GPUENV_PROFILE="team", SHELL="/usr/bin/fish",
    )  # fmt: skip
    person.write("profiles/team.toml", 'description = "t"\naccelerator = "cpu"\npackages = ["torch"]\n')
    run = person.run("create", "--no-verify")
    assert run.code == 0, run.err
    assert f"next: `source {ENV}/bin/activate.fish`, or `gpuenv run -- python`; Jupyter: `gpuenv kernel`" in run.out
    assert f"interpreter for VS Code: {person.project}/{ENV}/bin/python" in run.out
    return person


def install(person: Person, index: IndexServer, *packages: str) -> None:
    words = [str(find_uv(os.environ).path), "pip", "install", "-q", "--python", str(person.project / ENV), *packages]
    subprocess.run([*words, "--default-index", index.default_index], env=person.world(), check=True)


def test_a_program_runs_as_in_an_activated_environment(made: Person) -> None:
    told = "import os, sys, torch; print(sys.prefix); print(os.environ['UV_CONSTRAINT']); sys.exit(7)"
    run = made.run("run", "--", "python", "-c", told, UV_CONSTRAINT="mine.txt")
    url = (made.project / ENV / "gpuenv-constraints.txt").as_uri()
    assert (run.code, run.out.splitlines()) == (7, [str(made.project / ENV), f"mine.txt {url}"]), run.err
    made.write("sub/train.py", "import sys; print(sys.argv[1:], sys.prefix)")
    run = made.run("run", "-q", "--env", ENV, "sub/train.py", "--json", "--env", "x")
    assert run.out == f"['--json', '--env', 'x'] {made.project / ENV}\n", run.err
    killed = subprocess.run(
        command("run", "sh", "-c", "kill -TERM $$"), cwd=made.project, env=made.world(), check=False
    )
    assert killed.returncode == -signal.SIGTERM
    words = ["bash", "-c", f"{' '.join(command('run', '--', 'yes'))} | head -n 1; echo ${{PIPESTATUS[0]}}"]
    piped = subprocess.run(words, cwd=made.project, env=made.world(), capture_output=True, text=True, check=True)
    assert piped.stdout.split() == ["y", str(128 + signal.SIGPIPE)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run",), "no program is named"),
        (("run", "no-such-program"), f"there is no program no-such-program in {ENV}, nor on PATH"),
        (("run", "--env", "nothing", "python"), "there is no environment at nothing"),
        (("kernel",), f"ipykernel is not in {ENV}"),
        (("remove", "--env", "nothing"), "there is no environment at nothing"),
        (("remove", "--env", "profiles", "--yes"), "profiles is no environment that gpuenv built"),
        (("remove", "--env", ".", "--yes"), "is no environment that gpuenv built"),
        (("remove", "--env", "link", "--yes"), "link is no environment that gpuenv built"),
        (("remove", "--env", ENV), "nothing was removed: there is nobody to ask"),
    ],
)
def test_what_cannot_be_is_refused(made: Person, words: tuple[str, ...], said: str) -> None:
    if not (made.project / "link").is_symlink():
        (made.project / "link").symlink_to(ENV)
    run = made.run(*words)
    assert (run.code, run.out) == (2, "")
    assert said in run.err
    assert (made.project / ENV / "gpuenv.json").is_file()


def test_what_was_added_is_named_and_another_torch_is_not_run(made: Person, index: IndexServer, tmp_path: Path) -> None:
    elsewhere = Person(home=made.home, project=tmp_path, environ=made.environ)
    (row,) = elsewhere.run("list", "--json").json["data"]["environments"]  # registered where it was built
    assert (row["path"], row["profile"], row["torch"]) == (str(made.project / ENV), "team", "2.10.0+cpu")
    assert (row["proved"], row["lock_changed"], row["added"]) == (None, False, [])
    install(made, index, "six", "ipykernel", "jupyter-client")
    assert "3 added" in made.run("list").out
    refused = made.run("remove", "--env", ENV, "--yes")
    assert refused.code == 2
    assert "cause: six 1.17.0, by uv" in refused.err
    kernel(made)
    install(made, index, "torch==2.12.0")
    run = made.run("run", "python", "-V")
    assert run.code == 1
    assert "cause: torch 2.10.0+cpu became 2.12.0" in run.err
    assert made.run("run", "--no-check", "python", "-V").code == 0
    gone = made.run("remove", "--env", ENV, "--yes", "--discard-added", "--json")
    assert gone.code == 0, gone.err
    assert {each["name"] for each in gone.json["data"]["environments"][0]["added"]} >= {"six"}
    assert not (made.project / ENV).exists()
    assert (made.project / "lockfiles/pylock.team.toml").is_file()
    assert made.run("list").out == "No environments; `gpuenv create` builds one\n"
    assert not list((made.home / ".local/state/gpuenv/environments").iterdir())


def kernel(person: Person) -> None:
    run = person.run("kernel", "--json")
    assert run.code == 0, run.err
    data = run.json["data"]
    assert set(data) == {"name", "title", "environment", "folder"}
    written = json.loads(Path(data["folder"], "kernel.json").read_text())
    assert written["argv"][0] == str(person.project / ENV / "bin/python")
    assert written["env"]["PATH"] == f"{person.project / ENV}/bin:${{PATH}}"
    assert written["env"]["PIP_CONSTRAINT"] == (person.project / ENV / "gpuenv-constraints.txt").as_uri()
    assert person.run("kernel").code == 0  # again, for the same environment
    Path(data["folder"], "kernel.json").write_text(json.dumps(written | {"argv": ["/usr/bin/python3"]}))
    refused = person.run("kernel")
    assert (refused.code, "it starts /usr/bin/python3" in refused.err) == (2, True)
