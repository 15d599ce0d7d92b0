"""What a project asks for: read where it stands, judged for the machine, recorded in the lock, given up on demand."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cli import Person, Run, machine_json
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

PROJECT = """\
[project]
name = "app"
version = "0"
requires-python = ">=3.9"
dependencies = ["einops>=0.7"]  # what it needs

[project.optional-dependencies]
train = ["tqdm", "app[plots]"]
plots = ["pyplot"]

[dependency-groups]
test = ["pytest-like", { include-group = "lint" }]
lint = ["linter<2"]
"""
NESTED = '[project]\nname = "a"\ndependencies = [\n  "torch==2.0.1",\n]\n'


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    """Two releases of torch, one of which has no code for a 12.0 card, and small packages."""
    with IndexServer() as server:
        old = torch_wheel("2.0.1", "cu118", archs=("sm_50", "sm_80", "sm_86", "sm_90"), tag=TAG, requires=["filelock"])
        server.add(old, folder="cu118")
        server.add(torch_wheel("2.9.1", "cu128", tag=TAG, requires=["filelock"]), folder="cu128")
        server.add(torch_wheel("2.9.1", "cu130", tag=TAG, requires=["filelock"]), folder="cu130")
        server.add(torch_wheel("2.10.0", "cu130", tag=TAG, requires=["filelock"]), folder="cu130")
        names = {"filelock": ["3.0"], "einops": ["0.7.0", "0.8.1"], "tqdm": ["4.0"], "pyplot": ["3.9"]}
        names |= {"pytest-like": ["8.0"], "linter": ["1.0", "2.0"], "numpy": ["1.26.4", "2.1.0"]}
        for name, versions in names.items():
            for version in versions:
                server.add_package(build_wheel(name, version))
        yield server


@pytest.fixture
def person(tmp_path: Path) -> Person:
    person = Person.at(tmp_path)
    person.write("machine.json", machine_json("12.0", driver="580.95.05", cuda="13.0"))
    person.write("a100.json", machine_json("8.0", driver="580.95.05", cuda="13.0", name="NVIDIA A100"))
    person.write("profiles/team.toml", 'description = "t"\npackages = ["torch"]\n')
    return person


def run(person: Person, index: IndexServer, verb: str, *words: str, machine: str = "machine.json") -> Run:
    where = ("--torch-index", index.torch_index, "--index", index.default_index, "--profile", "team")
    return person.run(verb, *where, "--machine", machine, "--python", PYTHON, *words, COLUMNS="400")


def lock_of(person: Person) -> dict[str, Any]:
    return tomllib.loads((person.project / "lockfiles/pylock.team.toml").read_text(encoding="utf-8"))


def locked(person: Person) -> dict[str, str]:
    return {row["name"]: row["version"] for row in lock_of(person)["packages"]}


def recorded(person: Person) -> list[str]:
    return list(lock_of(person)["tool"]["gpuenv"]["inputs"].get("requirements", []))


def test_the_project_that_one_stands_in_is_taken_and_said(person: Person, index: IndexServer) -> None:
    person.write("pyproject.toml", PROJECT)
    done = run(person, index, "lock")
    assert done.code == 0, done.err
    assert "Project pyproject.toml: 1 requirement" in done.err
    assert locked(person) == {"torch": "2.10.0+cu130", "filelock": "3.0", "einops": "0.8.1"}
    assert recorded(person) == ["einops>=0.7", "python: >=3.9"]
    assert run(person, index, "lock", "--check").code == 0
    before = (person.project / "lockfiles/pylock.team.toml").read_bytes()
    moved = PROJECT.replace('["einops>=0.7"]  # what it needs', '[\n  # moved\n  "einops >= 0.7",\n]')
    person.write("pyproject.toml", moved)
    assert "Found up-to-date lockfile" in run(person, index, "lock").err
    assert run(person, index, "lock", "--upgrade").code == 0
    assert (person.project / "lockfiles/pylock.team.toml").read_bytes() == before


def test_a_changed_requirement_is_seen(person: Person, index: IndexServer) -> None:
    person.write("pyproject.toml", PROJECT)
    assert run(person, index, "lock").code == 0
    person.write("pyproject.toml", PROJECT.replace("einops>=0.7", "einops<0.8"))
    checked = run(person, index, "lock", "--check")
    assert checked.code == 1
    assert "the project asks for something else now: + einops<0.8, - einops>=0.7" in checked.err
    again = run(person, index, "create", "--no-verify", "--dry-run")
    assert "was made for other requirements (+ einops<0.8, - einops>=0.7): making it again" in again.err
    assert run(person, index, "lock").code == 0
    assert locked(person)["einops"] == "0.7.0"


def test_extras_groups_and_more_hold_until_something_else_is_asked_for(person: Person, index: IndexServer) -> None:
    person.write("pyproject.toml", PROJECT)
    done = run(person, index, "lock", "--extra", "Train", "--group", "test", "--with", "numpy<2")
    assert done.code == 0, done.err
    assert "Project pyproject.toml: 5 requirements, extra Train, group test" in done.err
    all_of_it = {"einops": "0.8.1", "filelock": "3.0", "linter": "1.0", "numpy": "1.26.4", "pyplot": "3.9"}
    assert locked(person) == all_of_it | {"pytest-like": "8.0", "torch": "2.10.0+cu130", "tqdm": "4.0"}
    assert "Found up-to-date lockfile" in run(person, index, "lock").err
    assert run(person, index, "lock", "--check").code == 0
    command = shlex.split(lock_of(person)["tool"]["gpuenv"]["command"])
    assert command[command.index("--with") + 1] == "numpy<2"
    assert run(person, index, "lock", "--no-project").code == 0
    assert locked(person) == {"torch": "2.10.0+cu130", "filelock": "3.0", "numpy": "1.26.4"}
    for words in (("--extra", "nothing"), ("--group", "nothing")):
        assert f"has no {words[0][2:]} nothing" in run(person, index, "lock", *words).err


def test_a_requirements_file_with_all_that_pip_allows(person: Person, index: IndexServer) -> None:
    text = "# mine\n-r base/more.txt\n-c limits.txt\neinops \\\n  >=0.7\n--only-binary :all:\n"
    person.write("requirements.txt", text)
    person.write("base/more.txt", "tqdm==4.0 ; python_version >= '3.9'\nlinter; sys_platform == 'win32'\n")
    person.write("limits.txt", "einops<0.8\n")
    assert "`-r requirements.txt` takes it" in run(person, index, "resolve").err
    done = run(person, index, "lock", "-r", "requirements.txt")
    assert done.code == 0, done.err
    assert locked(person) == {"torch": "2.10.0+cu130", "filelock": "3.0", "einops": "0.7.0", "tqdm": "4.0"}
    assert "constraint: einops<0.8" in recorded(person)
    assert run(person, index, "lock", "--check").code == 0


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("requirements.txt", "einops\n# old\ntorch==2.0.1+cu118\n", "requirements.txt:3: torch==2.0.1+cu118"),
        ("requirements.txt", "torch<2.1\n", "requirements.txt:1: torch<2.1"),
        ("environment.yml", "dependencies:\n- pytorch=2.0.1\n- pip:\n  - einops\n", "environment.yml:2: torch==2.0.1"),
        ("sub/pyproject.toml", NESTED, "sub/pyproject.toml:4: torch==2.0.1"),
    ],
)
def test_a_torch_that_has_no_code_here_is_refused_with_its_place_and_given_up_on_demand(
    person: Person, index: IndexServer, name: str, text: str, place: str
) -> None:
    person.write(name, text)
    done = run(person, index, "lock", "-r", name)
    assert done.code == 3, done.err
    assert f"error: {place} has no code for sm_120; 2.7.0 is the first" in done.err
    assert not (person.project / "lockfiles").exists()
    hint = re.search(r"`gpuenv (lock [^`]*--relax torch)`", done.err)
    assert hint is not None, done.err
    if "cu118" not in text:
        return  # one tells for all, and each run takes its time
    relaxed = person.run(*shlex.split(hint[1]), COLUMNS="400")
    assert relaxed.code == 0, relaxed.err
    assert locked(person)["torch"] == "2.10.0+cu130"
    assert run(person, index, "lock", "--check").code == 0, "what was given up stays given up"
    person.write(name, text.replace("2.0.1+cu118", "2.9.1+cu128"))
    assert run(person, index, "lock").code == 0
    assert locked(person)["torch"] == "2.9.1+cu128", "another line is another matter"


def test_a_line_that_fits_is_kept(person: Person, index: IndexServer) -> None:
    person.write("requirements.txt", "torch==2.0.1+cu118\n")
    done = run(person, index, "lock", "-r", "requirements.txt", machine="a100.json")
    assert done.code == 0, done.err
    assert locked(person)["torch"] == "2.0.1+cu118"
    assert "requirements.txt:1 asks for torch==2.0.1+cu118." in done.err


def test_a_build_that_an_index_line_names_is_followed_where_it_runs_and_nowhere_else(
    person: Person, index: IndexServer
) -> None:
    person.write("old.txt", "--extra-index-url https://example.invalid/whl/cu118\ntorch\n")
    person.write("new.txt", "--extra-index-url https://example.invalid/whl/cu128\ntorch\n")
    done = run(person, index, "resolve", "-r", "old.txt", machine="a100.json")
    assert done.out.splitlines()[0] == "torch 2.0.1+cu118", done.err
    done = run(person, index, "resolve", "-r", "old.txt")
    assert done.out.splitlines()[0] == "torch 2.10.0+cu130", done.err
    assert "old.txt:1: https://example.invalid/whl/cu118: cu118 has no code for sm_120: not followed" in done.err
    done = run(person, index, "resolve", "-r", "new.txt")
    assert done.out.splitlines()[0] == "torch 2.9.1+cu128", done.err
    assert "new.txt:1 names cu128" in done.out


def test_a_line_is_judged_by_the_tables_where_an_index_cannot_be_asked(person: Person, index: IndexServer) -> None:
    person.write("old.txt", "torch==2.0.1+cu118\n")
    person.write("new.txt", "--extra-index-url https://example.invalid/whl/cu126\ntorch==2.9.1\n")
    words = ("--machine", "machine.json", "--python", PYTHON, "--profile", "team")
    with IndexServer() as packages:  # PyTorch's own index is not to be reached in tests
        packages.add_package(torch_wheel("2.9.1", "cu128", tag=TAG, local=False))
        packages.add_package(build_wheel("filelock", "3.0"))
        world = {"PIP_INDEX_URL": packages.default_index, "COLUMNS": "400"}
        done = person.run("resolve", *words, "-r", "old.txt", **world)
        assert done.code == 3, done.err
        assert "error: old.txt:1: torch==2.0.1+cu118 has no code for sm_120; 2.7.0 is the first" in done.err
        words = ("--machine", "a100.json", *words[2:])
        done = person.run("resolve", *words, "-r", "new.txt", **world)
        assert done.code == 0, done.err
        assert "new.txt:1: https://example.invalid/whl/cu126: no set of wheels of cu126 fits: not followed" in done.err


def test_sources_of_uv_name_a_build_for_what_was_chosen(person: Person, index: IndexServer) -> None:
    person.write(
        "pyproject.toml",
        '[project]\nname = "a"\ndependencies = ["einops"]\n[project.optional-dependencies]\nold = ["torch"]\n'
        'new = ["torch"]\n[tool.uv.sources]\ntorch = [{ index = "pt-old", extra = "old" }, { index = "pt-new", '
        'extra = "new" }]\n[[tool.uv.index]]\nname = "pt-old"\nurl = "https://example.invalid/whl/cu118"\n'
        'explicit = true\n[[tool.uv.index]]\nname = "pt-new"\nurl = "https://example.invalid/whl/cu128"\n'
        "explicit = true\n",
    )
    assert run(person, index, "resolve").out.splitlines()[0] == "torch 2.10.0+cu130"
    assert run(person, index, "resolve", "--extra", "new").out.splitlines()[0] == "torch 2.9.1+cu128"
    done = run(person, index, "resolve", "--extra", "old")
    assert done.out.splitlines()[0] == "torch 2.10.0+cu130"
    assert "pyproject.toml:11: https://example.invalid/whl/cu118: cu118 has no code for sm_120: not" in done.err


def test_an_index_that_the_project_names_is_asked_for_its_packages_and_said_with_q(
    person: Person, index: IndexServer
) -> None:
    with IndexServer() as own:
        own.add_package(build_wheel("secret", "1.0"))
        own.add_package(build_wheel("einops", "9.0"))
        own.add_package(build_wheel("torch", "99.0"))
        person.write(
            "pyproject.toml",
            '[project]\nname = "a"\ndependencies = ["secret", "einops"]\n'
            '[tool.uv.sources]\nsecret = { index = "own" }\n'
            f'[[tool.uv.index]]\nname = "own"\nurl = "{own.default_index}"\nexplicit = true\n',
        )
        words = ("lock", "-q", "--torch-index", index.torch_index, "--machine", "machine.json", "--python", PYTHON)
        done = person.run(*words, "--profile", "team", PIP_INDEX_URL=index.default_index, COLUMNS="400")
        assert done.code == 0, done.err
        assert "secret and nothing else may come from" in done.err
        assert locked(person) == {"torch": "2.10.0+cu130", "filelock": "3.0", "secret": "1.0", "einops": "0.8.1"}
        assert {each.path.split("/")[2] for each in own.log if each.path.startswith("/simple/")} == {"secret"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("git+https://example.invalid/a.git#egg=einops", "r.txt:1: einops comes from a repository"),
        ("einops @ https://example.invalid/einops-0.7.tar.gz", "r.txt:1: einops is a source archive"),
        ("-e ./library", "r.txt:1: ./library is a folder or a repository"),
        ("einops==", "r.txt:1: 'einops=='"),
    ],
)
def test_what_no_lock_can_hold_is_refused_with_its_place(
    person: Person, index: IndexServer, line: str, why: str
) -> None:
    person.write("r.txt", f"{line}\n")
    done = run(person, index, "lock", "-r", "r.txt")
    assert (done.code, why in done.err) == (2, True), done.err


def test_a_python_that_the_project_does_not_take_is_refused(person: Person, index: IndexServer) -> None:
    person.write("pyproject.toml", '[project]\nname = "a"\nrequires-python = ">=3.99"\ndependencies = ["einops"]\n')
    done = run(person, index, "lock")
    assert done.code == 2
    assert f"--python {PYTHON}: pyproject.toml:3 requires Python >=3.99" in done.err


def test_a_project_that_asks_for_nothing_changes_nothing(person: Person, index: IndexServer) -> None:
    person.write("pyproject.toml", "[tool.ruff]\nline-length = 100\n")
    done = run(person, index, "lock")
    assert done.code == 0, done.err
    assert "pyproject" not in done.err
    assert "pyproject.toml asks for no package" in run(person, index, "lock", "-v").err


def test_no_set_of_versions_is_explained_and_what_is_advised_works(person: Person, index: IndexServer) -> None:
    """Design, rule 10: the smallest bound whose dropping gives an answer is the hint."""
    with IndexServer() as own:
        for name, version in (("filelock", "3.0"), ("einops", "0.8.1")):
            own.add_package(build_wheel(name, version))
        own.add_package(build_wheel("server", "1.0", requires=["torch==2.10.0"]))
        own.add_package(build_wheel("server", "2.0", requires=["torch==2.11.0"]))
        person.write("requirements.txt", "einops\nserver==2.0\n")
        words = ("--torch-index", index.torch_index, "--index", own.default_index, "--profile", "team")
        words += ("--machine", "machine.json", "--python", PYTHON, "-r", "requirements.txt")
        for verb in ("resolve", "lock"):
            done = person.run(verb, *words, COLUMNS="400")
            assert done.code == 6, done.err
            assert "error: server does not go with any torch that fits this machine (2.10.0, 2.9.1)" in done.err
            assert "cause: requirements.txt:2 asks for server==2.0" in done.err
            hint = re.search(r"hint: Without server==2.0 \(requirements.txt:2\), ([^`]*): `gpuenv ([^`]*)`", done.err)
            assert hint is not None, done.err
            assert hint[1] == "server 1.0 and torch 2.10.0+cu130 go together"
            assert person.run(*shlex.split(hint[2])).code == 0
        assert locked(person) == {"torch": "2.10.0+cu130", "filelock": "3.0", "einops": "0.8.1", "server": "1.0"}


def test_resolve_says_the_torch_that_a_package_decides(person: Person, index: IndexServer) -> None:
    with IndexServer() as own:
        own.add_package(build_wheel("filelock", "3.0"))
        own.add_package(build_wheel("server", "1.0", requires=["torch==2.9.1"]))
        words = ("--torch-index", index.torch_index, "--index", own.default_index, "--profile", "team")
        words += ("--machine", "machine.json", "--python", PYTHON, "--with", "server")
        done = person.run("resolve", *words, COLUMNS="400")
        assert done.code == 0, done.err
        assert done.out.splitlines()[0] == "torch 2.9.1+cu130"
        assert "server 1.0 requires torch==2.9.1; without it, torch 2.10.0+cu130 would have been chosen." in done.out


def test_a_package_without_a_wheel_for_this_python_names_one_that_has(person: Person, index: IndexServer) -> None:
    """U9."""
    other = "3.12" if PYTHON != "3.12" else "3.11"
    tag = f"cp{other.replace('.', '')}"
    with IndexServer() as own:
        for each in (TAG, TAG.replace(f"cp{PYTHON.replace('.', '')}", tag)):
            own.add(torch_wheel("2.9.1", "cu128", tag=each, requires=["filelock"]), folder="cu128")
        own.add_package(build_wheel("filelock", "3.0"))
        own.add_package(build_wheel("compiled", "1.0", tag=f"{tag}-{tag}-manylinux_2_28_x86_64"))
        words = ("--torch-index", own.torch_index, "--index", own.default_index, "--profile", "team")
        words += ("--machine", "machine.json", "--python", PYTHON, "--with", "compiled")
        done = person.run("lock", *words, COLUMNS="400")
        assert done.code == 6, done.err
        hint = re.search(
            r"hint: With Python ([^,]*), compiled 1.0 and torch 2.9.1\+cu128 .*: `gpuenv ([^`]*)`", done.err
        )
        assert hint is not None, done.err
        assert hint[1] == other
        assert person.run(*shlex.split(hint[2])).code == 0


WRITTEN = {
    "requirements.txt": (
        "# mine\n--extra-index-url https://example.invalid/whl/cu118  # theirs\neinops\n"
        "torch==2.0.1+cu118 \\\n    --hash=sha256:{zeros}  # pinned\nnvidia-cublas-cu12==12.1.3.1\ntorch>=2.0\n",
        "# mine\n--extra-index-url https://example.invalid/whl/cu130  # theirs\neinops\n"
        "torch==2.10.0+cu130 --hash=sha256:{sha256}  # pinned\ntorch>=2.0\n",
    ),
    "pyproject.toml": (
        '[project]\nname = "a"\ndependencies = [\n  # why\n  "torch<2.1",  # held\n  "einops",\n]\n[tool.uv]\n'
        'constraint-dependencies = ["torch == 2.0.1"]\n[tool.uv.sources]\ntorch = { index = "pt" }\n[[tool.uv.index]]\n'
        'name = "pt"\nurl = "https://example.invalid/whl/cu118"\n',
        '[project]\nname = "a"\ndependencies = [\n  # why\n  "torch>=2.10.0",  # held\n  "einops",\n]\n[tool.uv]\n'
        'constraint-dependencies = ["torch==2.10.0"]\n[tool.uv.sources]\ntorch = { index = "pt" }\n[[tool.uv.index]]\n'
        'name = "pt"\nurl = "https://example.invalid/whl/cu130"\n',
    ),
    "environment.yml": (
        "dependencies:\n  - pip:\n      - 'torch==2.0.1'  # old\n      - einops\n",
        "dependencies:\n  - pip:\n      - 'torch==2.10.0'  # old\n      - einops\n",
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_what_is_relaxed_is_written_into_the_file_with_its_comments(
    person: Person, index: IndexServer, name: str
) -> None:
    before, after = (text.replace("{zeros}", "0" * 64) for text in WRITTEN[name])
    path = person.write(name, before)
    words = ("--relax", "torch", *(() if name == "pyproject.toml" else ("-r", name)))
    if name == "requirements.txt":
        shown = run(person, index, "lock", *words, "--write", "--dry-run")
        assert shown.code == 0, shown.err
        assert path.read_text() == before
    done = run(person, index, "lock", *words, "--write")
    assert done.code == 0, done.err
    sha256 = next(row["wheels"][0]["hashes"]["sha256"] for row in lock_of(person)["packages"] if row["name"] == "torch")
    assert path.read_text() == after.replace("{sha256}", sha256)
    assert f"+++ {name}" in done.err
    if name != "pyproject.toml":
        return
    assert "Found up-to-date lockfile" in run(person, index, "lock").err, "what was written is what is locked"
    assert "--relax" not in (person.project / "lockfiles/pylock.team.toml").read_text()
    (person.project / "lockfiles/pylock.team.toml").unlink()
    again = run(person, index, "lock", *words[2:])
    assert again.code == 0, again.err
    assert locked(person)["torch"] == "2.10.0+cu130"


def test_nothing_is_written_that_was_not_given_up(person: Person, index: IndexServer) -> None:
    assert run(person, index, "lock", "--write").code == 2
    done = run(person, index, "lock", "--relax", "einops")
    assert (done.code, "--relax einops: nothing asks for it" in done.err) == (2, True)


def test_a_wheel_by_its_address_or_path_is_locked_with_the_hash_that_was_named(
    person: Person, index: IndexServer
) -> None:
    wheel = build_wheel("einops", "0.8.1")
    address = f"{index.default_index}/einops/{wheel.filename}"
    build_wheel("local-one", "2.0").write(person.project / "wheels")
    person.write(
        "requirements.txt",
        f"einops @ {address} --hash=sha256:{wheel.sha256}\n./wheels/local_one-2.0-py3-none-any.whl\ntqdm\n",
    )
    done = run(person, index, "lock", "-r", "requirements.txt")
    assert done.code == 0, done.err
    rows = {row["name"]: row["wheels"][0] for row in lock_of(person)["packages"]}
    assert (rows["einops"]["url"], rows["einops"]["hashes"]["sha256"]) == (address, wheel.sha256)
    assert rows["local-one"]["path"] == "../wheels/local_one-2.0-py3-none-any.whl"
    assert run(person, index, "lock", "--check").code == 0
    person.write("requirements.txt", f"einops @ {address}\n")
    assert run(person, index, "lock").code == 0
    assert {row["name"]: row["wheels"][0] for row in lock_of(person)["packages"]}["einops"] == rows["einops"]


@pytest.mark.parametrize(
    ("verb", "line"),
    [("lock", "einops==0.8.1 --hash=sha256:{}"), ("create", "einops @ {address} --hash=sha256:{}")],
)
def test_a_file_without_the_hash_that_stands_there_is_not_installed(
    person: Person, index: IndexServer, verb: str, line: str
) -> None:
    """Of a release the index says another when it is locked; of an address the file itself, when it is fetched."""
    address = f"{index.default_index}/einops/einops-0.8.1-py3-none-any.whl"
    person.write("requirements.txt", line.format("0" * 64, address=address) + "\n")
    words = ("-r", "requirements.txt", *(["--no-verify"] if verb == "create" else []))
    done = run(person, index, verb, *words)
    assert done.code == 5, done.err
    assert not (person.project / ".venv-gpu").exists()


BACKEND = """\
import base64, hashlib, zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    import os
    rows = {"app.pth": os.getcwd() + "/src\\n"}
    rows["app-3.0.dist-info/METADATA"] = "Metadata-Version: 2.1\\nName: app\\nVersion: 3.0\\n"
    rows["app-3.0.dist-info/WHEEL"] = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    record = ""
    for name, text in rows.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(text)}\\n"
    rows["app-3.0.dist-info/RECORD"] = record + "app-3.0.dist-info/RECORD,,\\n"
    with zipfile.ZipFile(folder + "/app-3.0-py3-none-any.whl", "w") as archive:
        for name, text in rows.items():
            archive.writestr(name, text)
    return "app-3.0-py3-none-any.whl"
"""


def test_the_project_itself_is_installed_and_is_nobody_s_addition(person: Person, index: IndexServer) -> None:
    system = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
    person.write("pyproject.toml", f'[project]\nname = "app"\nversion = "3.0"\ndependencies = ["einops<0.8"]\n{system}')
    person.write("backend.py", BACKEND)
    person.write("src/app.py", "WHERE = 'here'\n")
    assert run(person, index, "lock", "--install-project").code == 0
    assert "app" not in locked(person)
    done = run(person, index, "create", "--no-verify", "--install-project")
    assert done.code == 0, done.err
    python = person.project / ".venv-gpu/bin/python"
    code = "import app, einops; print(app.WHERE, einops.__version__)"
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert said.stdout.split() == ["here", "0.7.0"], said.stderr
    assert run(person, index, "diff", "lock", ".venv-gpu").code == 0
    again = run(person, index, "create", "--no-verify")
    assert (again.code, "up to date" in again.out + again.err) == (0, True), again.out + again.err
    person.write("pyproject.toml", (person.project / "pyproject.toml").read_text().replace("<0.8", ">=0.8"))
    moved = run(person, index, "create", "--no-verify")
    assert moved.code == 0, moved.err
    said = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    assert said.stdout.split() == ["here", "0.8.1"], "it stays where it was installed"
    person.write("gpuenv.toml", "install-project = true\n")
    refused = run(person, index, "create", "--no-verify")
    assert (refused.code, "a project does not choose this" in refused.err) == (2, True), "a cloned one would run code"
