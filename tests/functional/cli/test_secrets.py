"""Every kind of address and credential, through every command: what is secret is found nowhere afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.cli import Person, Run, machine_json
from support.index_server import Fault, IndexServer
from support.nights import PYTHON, TAG
from support.secret_forms import FORMS, recording_uv
from support.wheels import build_wheel, torch_wheel

PROFILE = 'description = "t"\npackages = ["torch", "einops"]\n'
#: The forms that go through everything; the others through what shows them in another way.
EVERYWHERE = ("at", "token")
ESSENTIAL = ("lock", "refused", "unknown", "broken", "proxy")


@pytest.fixture
def server() -> Iterator[IndexServer]:
    with IndexServer() as running:
        running.add(torch_wheel("2.10.0", "cu128", tag=TAG, requires=["filelock"]), folder="cu128")
        running.add_package(build_wheel("filelock", "3.19.0"))
        running.add_package(build_wheel("einops", "0.8.1"))
        yield running


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_is_found_nowhere(form: str, server: IndexServer, tmp_path: Path) -> None:
    before, behind = FORMS[form]

    def secret(url: str, number: int) -> str:
        return url.replace("://", "://" + before.format(f"canary{number}")) + behind.format(f"canary{number}")

    person = replace(Person.at(tmp_path), fresh=True)  # the list of processes is one of the places
    person.write("machine.json", machine_json("12.0"))
    person.write("profiles/team.toml", PROFILE)
    netrc = person.home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password canary9\n", encoding="utf-8")
    uv = recording_uv(tmp_path)
    torch, packages = secret(server.torch_index, 1), secret(server.default_index, 2)
    common = ("--profile", "team", "--machine", "machine.json", "--python", PYTHON, "--uv", str(uv))
    good = ("--torch-index", torch, "--index", packages)
    wheel = server.torch_index + "/cu128/" + torch_wheel("2.10.0", "cu128", tag=TAG).filename.replace("+", "%2B")
    proxy = {"HTTPS_PROXY": secret("http://127.0.0.1:9", 3)} if not behind else {}
    runs: dict[str, Run] = {}

    def run(name: str, *words: str, **variables: str) -> None:
        if form not in EVERYWHERE and name not in ESSENTIAL:
            return
        runs[name] = person.run(*words, "-v", **{**proxy, **variables})

    run("lock", "lock", *common, *good)
    run("resolve", "resolve", *common, *good, "--json")
    run("create", "create", *common, *good, "--no-verify")
    run("check", "lock", "--check", *common, *good)
    run("keep", "lock", "--keep", *common, *good)
    run("inspect", "inspect", secret(wheel, 4))
    run("doctor", "doctor", ".venv-gpu", "--json")
    run("diff", "diff", "lockfiles/pylock.team.toml", ".venv-gpu")
    run("store", "store", "list", "--json")
    for name, done in runs.items():
        # No such GPU is here: create may end by it, and with it what looks at the environment.
        assert done.code == 0 or name in ("create", "doctor", "diff"), (name, done.err)
    worked = {*runs, "file"}
    server.fault("/", Fault(status=401))
    run("refused", "lock", "--upgrade", "--refresh", *common, *good)
    run("refused2", "inspect", secret(wheel, 4), "--json")
    run("unknown", "resolve", torch, *common, "--no-such-option", packages)
    run("broken", "resolve", *common, "--torch-index", secret("http://[x/", 5), "--json")
    run("port", "resolve", *common, "--index", secret("http://h:80a/", 5))
    run("pip", "resolve", *common, PIP_INDEX_URL=packages, PIP_FIND_LINKS=secret("ftp://h/", 6))
    run(
        "proxy",
        "resolve",
        *common,
        "--torch-index",
        "http://index.invalid/",
        HTTP_PROXY=secret("http://127.0.0.1:9", 7),
    )
    person.write("gpuenv.toml", f'torch-index = "{torch}"\nindex = "{packages}"\n')
    run("file", "resolve", *common)
    for name, done in runs.items():
        assert name in worked or done.code in (2, 4), (name, done)
        assert "canary" not in done.out, name
        assert "canary" not in done.err, name
    assert (tmp_path / "command-lines").read_text().count("pip compile") >= 1
    for path in tmp_path.rglob("*"):
        if path.is_file() and path not in (netrc, person.project / "gpuenv.toml"):
            assert b"canary" not in path.read_bytes(), path
