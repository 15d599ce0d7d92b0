"""The contract of ``--json``: one object on stdout, the same envelope for every command, on failure too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from gpuenv.cli.app import VERBS
from support.cli import Person, Run, machine_json
from support.index_server import IndexServer
from support.wheels import build_wheel, torch_wheel

PYTHON = f"{sys.version_info.major}{sys.version_info.minor}"
TAG = f"cp{PYTHON}-cp{PYTHON}-manylinux_2_28_x86_64"
ENVELOPE = {"schema", "command", "status", "exit_code", "data", "errors"}

KEYS = {
    "detect": {"os", "arch", "libc", "wsl", "container", "driver", "gpus", "sources"},
    "resolve": {
        "profile", "accelerator", "python", "channel", "variant", "source", "packages", "requires", "others", "kernels",

        "companions",
        "gpus", "driver", "because", "warnings", "accepted", "rejected", "sources", "requests", "bytes",
    },
    "lock": {"dry_run", "locks"},
    "create": {
        "dry_run", "up_to_date", "profile", "environment", "replaced", "previous", "accelerator", "python", "torch",
        "variant", "channel", "lock", "lock_written", "packages", "because", "fetched", "seconds", "verification",
        "proved", "evidence", "activate", "interpreter",
    },
    "verify": {
        "environment", "verdict", "accelerator", "seconds", "checks", "training", "facts", "evidence", "baseline",
    },
    "list": {"environments"},
    "add": {"file", "change", "lock", "created"},
    "remove": {"dry_run", "environments"},
    "export": {"format", "locks", "dry_run", "steps", "files", "text"},
    "doctor": {"environment", "findings", "report"},
    "inspect": {
        "project", "version", "filename", "cuda", "sass", "ptx", "git", "requires_dist", "requires_python", "detail",
        "size", "requests", "bytes", "seconds", "disagreement", "libraries", "unread",
    },
    "matrix": {"knowledge", "columns", "rows", "machine", "drivers"},
    "profiles": {"profiles"},
    "diff": {"before", "after", "changes", "circumstances"},
    "check": {"machines", "files", "rows"},
    "completions": {"shell", "script"},
    "help": {"topic", "text"},
    "cache": {"action", "kept", "leftovers", "environments", "removed", "unsure", "dry_run"},
    "store": {"action", "folder", "wheels", "damaged", "removed", "unsure", "exported", "dry_run"},
}  # fmt: skip

ELSEWHERE = ("create", "verify", "doctor", "run", "kernel", "add", "fleet", "evidence")
"""Tried by a test of their own: `run` is another program in the end, `kernel` needs Jupyter, `add` changes files,
`fleet` needs hosts, `evidence` something signed."""


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.add(torch_wheel("2.10.0", "cpu", tag=TAG, requires=["filelock"]), folder="cpu")
        server.add_package(build_wheel("filelock", "3.0"))
        yield server


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory, index: IndexServer) -> Person:
    """A project with a lock and an environment of small wheels."""
    person = Person.at(tmp_path_factory.mktemp("contract"))
    person.write("machine.json", machine_json("12.0"))
    return person


def words(command: str, index: IndexServer) -> tuple[str, ...]:
    where = ("--profile", "cpu", "--torch-index", index.torch_index, "--index", index.default_index)
    arguments = {
        "create": ("--no-verify", *where),
        "resolve": where,
        "lock": where,
        "inspect": (f"{index.torch_index}/cpu/torch-2.10.0%2Bcpu-{TAG}.whl",),
        "matrix": ("8.6",),
        "check": ("lockfiles/pylock.cpu.toml",),
        "completions": ("bash",),
        "remove": ("--env", ".venv-gpu", "--dry-run"),
        "export": ("--format", "conda", "--profile", "cpu"),
        "diff": ("lockfiles/pylock.cpu.toml", "lockfiles/pylock.cpu.toml"),
    }
    return arguments.get(command, ())


def check_envelope(run: Run, command: str) -> dict[str, Any]:
    document = run.json
    assert set(document) == ENVELOPE
    assert document["schema"] == {"name": "gpuenv", "version": "1"}
    assert document["command"] == command
    assert document["exit_code"] == run.code
    assert document["status"] == ("ok" if run.code == 0 else "error")
    assert (run.code == 0) == (document["errors"] == [])
    for error in document["errors"]:
        assert set(error) == {"code", "message", "causes", "hints"}
        assert error["code"] == error["code"].lower()
        assert not error["message"].endswith(".")
    assert isinstance(document["data"], dict)
    return document["data"]


@pytest.mark.parametrize("command", ["create", *(verb for verb in VERBS if verb not in ELSEWHERE)])
def test_success(command: str, person: Person, index: IndexServer) -> None:
    if not (person.project / "lockfiles/pylock.cpu.toml").exists():
        assert person.run("create", *words("create", index)).code == 0
    run = person.run(command, *words(command, index), "--json")
    assert run.code == 0, run.err
    assert KEYS[command] == set(check_envelope(run, command))


@pytest.mark.parametrize("command", VERBS)
def test_failure(command: str, person: Person) -> None:
    """A value that no option takes: the failure comes before any command is dispatched."""
    run = person.run(command, *(["x"] if command == "inspect" else ["a", "b"] if command == "diff" else []),
                     "--channel", "weekly", "--json")  # fmt: skip
    assert run.code == 2
    assert check_envelope(run, command) == {}


def test_a_bug_and_a_missing_command_keep_the_envelope(person: Person) -> None:
    assert check_envelope(person.run("--json"), "") == {}
    assert check_envelope(person.run("--json", "--nonsense"), "") == {}


def test_nothing_fits_still_carries_every_rejection(person: Person, index: IndexServer) -> None:
    run = person.run(
        "resolve", "--profile", "blackwell", "--machine", "machine.json", "--torch-index", index.torch_index, "--json"
    )
    assert run.code == 3
    data = check_envelope(run, "resolve")
    assert {row["reason"] for row in data["rejected"]} == {"variant"}
    assert run.json["errors"][0]["code"] == "no-fitting-wheel"


def test_detect_reads_back_what_it_prints(person: Person) -> None:
    run = person.run("detect", "--json")
    person.write("this.json", run.out)
    again = person.run("detect", "--machine", "this.json", "--json")
    assert again.code == 0, again.err
    assert again.json["data"] == run.json["data"]


def test_stdout_holds_the_object_alone_and_quiet_leaves_it(person: Person, index: IndexServer) -> None:
    run = person.run("resolve", *words("resolve", index), "--json", "-q")
    # That torch is not from PyTorch's own index is the one sentence that -q keeps.
    assert run.err == f"torch comes from {index.torch_index} (--torch-index), not from PyTorch's own index\n"
    assert person.run("resolve", *words("resolve", index), "--json", "-qq").err == ""
    check_envelope(run, "resolve")


@pytest.mark.parametrize("command", ["doctor", "verify"])
def test_a_verdict_against_an_environment_is_data_and_an_error(
    command: str, person: Person, index: IndexServer
) -> None:
    """The torch of these wheels is a name and nothing more: it cannot prove itself, and that is said in full."""
    if not (person.project / ".venv-gpu").exists():
        assert person.run("create", *words("create", index)).code == 0
    run = person.run(command, ".venv-gpu", "--json")
    document = run.json
    assert set(document["data"]) == KEYS[command]
    assert document["exit_code"] == run.code
    if command == "verify":
        assert run.code == 1
        assert document["errors"][0]["code"] == "verification-failed"
        assert document["data"]["verdict"] == "failed"
