"""What the doctor finds in an environment, and that the fix it shows fixes just that.

The small torch of these tests cannot train, so `--no-verify` is added to a fix that builds; all else is run as shown.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gpuenv.environment.uv import find_uv
from support.cli import Person
from support.index_server import IndexServer
from support.nights import add_night, team
from support.wheels import build_wheel

CODE = {"filelock/__init__.py": "X = 1\n", "filelock/cacert.pem": "certificate\n"}
NCCL = "nvidia/nccl/lib/libnccl.so.2"
Change = Callable[[Path, Person], object]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Person, Path]]:
    """Somebody with two environments of two profiles, a lock for each, and an index on loopback; and a copy of it."""
    folder = tmp_path_factory.mktemp("fixes")
    person = team(folder / "now")
    text = (person.project / "profiles/team.toml").read_text()
    person.write("profiles/team.toml", text.replace('"torchaudio"', '"torchaudio", "nvidia-nccl-cu13"'))
    person.write("profiles/second.toml", text)
    with IndexServer() as index:
        index.add_package(build_wheel("filelock", "3.19.0", files=CODE))
        index.add_package(build_wheel("six", "1.17.0"))
        index.add_package(build_wheel("filelock", "3.18.0", files=CODE))
        index.add_package(build_wheel("needer", "1.0", requires=["six<2", "filelock<3.19"]))
        index.add_package(build_wheel("asker", "1.0", requires=["six<2", "filelock[more]>=4"]))
        index.add_package(build_wheel("nvidia-nccl-cu13", "2.28", files={NCCL: "thirteen\n"}))
        index.add_package(build_wheel("nvidia-nccl-cu12", "2.27", files={NCCL: "twelve of another size\n"}))
        add_night(index, "20260101")
        environ = {
            "GPUENV_TORCH_INDEX": index.torch_index,
            "GPUENV_INDEX": index.default_index,
            "UV_DEFAULT_INDEX": index.default_index,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        person = Person(home=person.home, project=person.project, environ=environ)
        for target, profile in ((".venv-gpu", "second"), ("other env", "team")):
            run = person.run("create", "--no-verify", "--profile", profile, target)
            assert run.code == 0, run.err
        copied(folder / "now", folder / "as it was")
        yield person, folder


@pytest.fixture
def person(standing: tuple[Person, Path]) -> Person:
    """The same, as it was: its folders are put back, in their place."""
    person, folder = standing
    shutil.rmtree(folder / "now")
    copied(folder / "as it was", folder / "now")
    return person


def copied(folder: Path, to: Path) -> None:
    """Copy a tree with its times, and its hard links as such: the files of an environment are those of uv's cache."""
    subprocess.run(["cp", "-a", str(folder), str(to)], check=True)


def site_of(environment: Path) -> Path:
    return next(environment.glob("lib/python3.*/site-packages"))


def shell(person: Person, command: str) -> subprocess.CompletedProcess[str]:
    uv = find_uv(os.environ).path.parent
    world = person.world()
    world["PATH"] = os.pathsep.join([str(uv), world["PATH"]])
    return subprocess.run(
        ["bash", "-ec", command], cwd=person.project, env=world, capture_output=True, text=True, timeout=120,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def findings(person: Person, environment: str, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """What the doctor finds wrong with an environment; this machine's own findings are left out."""
    run = person.run("doctor", environment, *options, "--json")
    mine = ("files", "origin", "drift", "packages", "family", "torch", "environment")
    wrong = [each for each in run.json["data"]["findings"] if each["severity"] != "ok" and each["subject"] in mine]
    return run.code, wrong


def state(folder: Path) -> str:
    """A digest of a folder, byte code aside."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if "__pycache__" not in path.parts and (path.is_symlink() or path.is_file()):
            digest.update(str(path).encode())
            digest.update(str(path.readlink()).encode() if path.is_symlink() else path.read_bytes())
    return digest.hexdigest()


def remove_code(environment: Path, person: Person) -> None:
    (site_of(environment) / "filelock/__init__.py").unlink()


def replace_data(environment: Path, person: Person) -> None:
    path = site_of(environment) / "filelock/cacert.pem"
    path.unlink()
    path.symlink_to("/etc/hosts")


def add_package(environment: Path, person: Person) -> None:
    assert shell(person, f"uv pip install --python '{environment}' six").returncode == 0


def overwrite(environment: Path, person: Person) -> None:
    assert shell(person, f"uv pip install --python '{environment}' nvidia-nccl-cu12").returncode == 0


def conflict(environment: Path, person: Person) -> None:
    assert shell(person, f"uv pip install --no-deps --python '{environment}' asker").returncode == 0


def corrupt_marker(environment: Path, person: Person) -> None:
    (environment / "gpuenv.json").write_text("{")


def leave_another_python(environment: Path, person: Person) -> None:
    shutil.copytree(site_of(environment) / "torch", environment / "lib/python3.9/site-packages/torch")


def customize(environment: Path, person: Person) -> None:
    (site_of(environment) / "sitecustomize.py").write_text("import torch\n")


def install_twice(environment: Path, person: Person) -> None:
    site = site_of(environment)
    shutil.copytree(site / "filelock-3.19.0.dist-info", site / "filelock-3.18.0.dist-info")
    metadata = site / "filelock-3.18.0.dist-info/METADATA"
    text = metadata.read_text().replace("3.19.0", "3.18.0")
    metadata.unlink()
    metadata.write_text(text)


def lose_metadata(environment: Path, person: Person) -> None:
    shutil.rmtree(next(site_of(environment).glob("torch-*.dist-info")))


#: By the kind of the finding.
CASES: dict[str, tuple[Change, str, str, str]] = {
    "code-changed": (remove_code, "files", "error", "1 code file is missing or not what RECORD says, of filelock"),
    "data-changed": (replace_data, "files", "warning", "1 data file is missing or not what RECORD says, of filelock"),
    "packages-drifted": (add_package, "drift", "warning", "six 1.17.0 was added"),
    "code-overwritten": (
        overwrite,
        "files",
        "error",
        "cu12 2.27 overwrote 1 file of nvidia-nccl-cu13 2.28",
    ),
    "requirement": (conflict, "packages", "error", "asker 1.0 asks for filelock>=4, and 3.19.0 is installed"),
    "origin-lost": (
        corrupt_marker,
        "origin",
        "error",
        "what it was built from is lost: its gpuenv.json cannot",
    ),
    "another-python": (leave_another_python, "files", "warning", "lib/python3.9 is of another Python"),
    "start-up-code": (customize, "files", "warning", "sitecustomize.py runs at every start of the interpreter"),
    "installed-twice": (install_twice, "packages", "error", "filelock is installed 2 times: 3.18.0, 3.19.0"),
    "without-metadata": (lose_metadata, "packages", "error", "torch is there without its metadata"),
}


@pytest.mark.parametrize("kind", CASES)
def test_a_fix_fixes_and_touches_nothing_else(person: Person, kind: str) -> None:
    change, subject, severity, summary = CASES[kind]
    environment, neighbour = person.project / "other env", state(person.project / ".venv-gpu")
    locks = state(person.project / "lockfiles")
    assert findings(person, "other env") == (0, [])

    change(environment, person)
    code, found = findings(person, "other env", "--profile", "team")

    assert code == (1 if any(each["severity"] == "error" for each in found) else 0)
    (finding,) = [each for each in found if each["subject"] == subject and summary in each["summary"]]
    assert (finding["severity"], finding["kind"]) == (severity, kind)
    assert "'other env" in finding["fix"]
    done = shell(person, finding["fix"].replace("gpuenv create", "gpuenv create --no-verify"))
    assert done.returncode == 0, (finding["fix"], done.stderr)
    assert findings(person, "other env") == (0, []), finding["fix"]
    assert state(person.project / ".venv-gpu") == neighbour
    assert state(person.project / "lockfiles") == locks


def test_no_environment_is_a_finding_whose_fix_makes_one(person: Person) -> None:
    shutil.rmtree(person.project / ".venv-gpu")
    code, (finding,) = findings(person, ".venv-gpu", "--profile", "second")

    assert (code, finding["kind"], finding["summary"]) == (1, "no-environment", "there is no environment at .venv-gpu")
    assert finding["fix"] == "gpuenv create --profile second .venv-gpu"
    assert shell(person, finding["fix"] + " --no-verify").returncode == 0
    assert findings(person, ".venv-gpu") == (0, [])

    (person.project / "thesis").mkdir()
    (person.project / "thesis/text.tex").write_text("years of work")
    code, (finding,) = findings(person, "thesis", "--profile", "second")
    assert finding["fix"] == "gpuenv create --profile second .venv-gpu-2"


def test_an_edit_of_the_same_size_and_time_is_found_by_hashes_only(person: Person) -> None:
    path = site_of(person.project / "other env") / "filelock/__init__.py"
    before = path.stat()
    path.write_text("X = 2\n")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    run = person.run("doctor", "other env")
    assert "compared with RECORD: presence and size of" in run.out
    assert "hash" not in next(line for line in run.out.splitlines() if "compared with RECORD" in line)
    code, (finding,) = findings(person, "other env", "--deep")

    assert (code, finding["severity"]) == (1, "error")
    assert "filelock/__init__.py: its contents are not those of the wheel" in finding["detail"]
    # The cache holds the same edit: building again without --deep would bring it back.
    create = ("create", "--no-verify", "--profile", "team", "other env")
    assert person.run(*create).code == 0
    assert findings(person, "other env", "--deep")[0] == 1
    deep = person.run(*create, "--deep")
    assert deep.code == 0, deep.err
    assert "presence and size of" in deep.err
    assert findings(person, "other env", "--deep") == (0, [])


@pytest.mark.parametrize(
    ("packages", "summary"),
    [
        ("asker six==1.17.0 --no-deps", "asker 1.0 asks for filelock>=4, which is missing"),
        ("asker filelock==3.19.0 --no-deps", "asker 1.0 asks for six<2, which is missing"),
    ],
)
def test_all_that_uv_finds_is_found_in_an_environment_of_uv(person: Person, packages: str, summary: str) -> None:
    assert shell(person, f"uv venv plain && uv pip install --python plain {packages}").returncode == 0
    assert shell(person, "uv pip check --python plain").returncode == 1

    code, found = findings(person, "plain")

    assert code == 1
    assert any(summary in each["summary"] for each in found), found


def upgrade_by_halves(environment: Path, person: Person) -> None:
    """Two whole distributions of one name, each with its own RECORD."""
    install_twice(environment, person)
    record = site_of(environment) / "filelock-3.18.0.dist-info/RECORD"
    text = record.read_text().replace("3.19.0", "3.18.0")
    record.unlink()
    record.write_text(text)


def interrupt(environment: Path, person: Person) -> None:
    (next(site_of(environment).glob("filelock-*.dist-info")) / "INSTALLER").unlink()


def ask_for_more(environment: Path, person: Person) -> None:
    assert shell(person, f"uv pip install --no-deps --python '{environment}' needer").returncode == 0


PLAIN = (remove_code, overwrite, install_twice, upgrade_by_halves, interrupt, ask_for_more)


def test_a_fix_for_an_environment_of_uv_is_a_command_of_uv(person: Person) -> None:
    """Each fault in its turn; what is wrong with the environment as a whole (it has no torch) stays."""
    assert shell(person, "uv venv plain && uv pip install --python plain filelock nvidia-nccl-cu13").returncode == 0
    assert [each["kind"] for each in findings(person, "plain")[1]] == ["torch-missing"]
    neighbour = state(person.project / "other env")

    for change in PLAIN:
        change(person.project / "plain", person)
        found = [each for each in findings(person, "plain")[1] if each["kind"] != "torch-missing"]
        assert found, change.__name__
        for finding in found[:1]:
            assert finding["fix"].startswith(("uv pip ", "rm ")), finding
            assert finding["by"] is None
            done = shell(person, finding["fix"])
            assert done.returncode == 0, done.stderr
        assert [each["kind"] for each in findings(person, "plain")[1]] == ["torch-missing"], change.__name__

    assert state(person.project / "other env") == neighbour


def test_the_environment_of_another_profile_is_not_replaced(person: Person) -> None:
    before = state(person.project / ".venv-gpu")

    run = person.run("create", "--no-verify", "--profile", "team")

    assert run.code == 2
    assert ".venv-gpu is the environment of the profile second; it was left as it is" in run.err
    assert state(person.project / ".venv-gpu") == before
    typed = "gpuenv create --no-verify --profile team"
    for hint in (f"{typed} .venv-gpu-team", f"{typed} --replace .venv-gpu"):
        assert f"`{hint}`" in run.err
        done = shell(person, hint)
        assert done.returncode == 0, done.stderr
    assert findings(person, ".venv-gpu", "--profile", "team") == (0, [])
