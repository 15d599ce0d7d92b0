"""Building, replacing and refusing, with the real uv."""

from __future__ import annotations

import io
import os
import platform
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from gpuenv.environment import target as targets
from gpuenv.environment.build import BuildOptions
from gpuenv.environment.previous import FailedProofError
from gpuenv.environment.space import Free
from gpuenv.environment.store import Store
from gpuenv.environment.target import check_target
from gpuenv.errors import IntegrityError, InterpreterError, NoSpaceError, OfflineError, TargetError
from gpuenv.installed.marker import lock_digest, read_marker
from gpuenv.model.verification import Check, Report
from support.locked import FileHandler, status, write_lock
from support.wheels import BuiltWheel, build_wheel, pack
from support.workshop import NO_RETRIES, Workshop, alpha, torch


def report(verdict: str) -> Report:
    check = Check(
        name="training", title="training", status="failed" if verdict == "failed" else "passed", seen="nan",
        expected="a number", cause="the loss is not a number", hint="gpuenv doctor",
    )  # fmt: skip
    return Report(
        verdict="failed" if verdict == "failed" else "passed", accelerator="cpu", checks=(check,), training=None,
        facts=(), log=(), seconds=0.0,
    )  # fmt: skip


def test_a_new_environment_is_whole_and_ours(workshop: Workshop) -> None:
    built = workshop.build([alpha(), torch()])

    assert built.path == workshop.target
    assert not built.replaced
    assert built.fetched == ("alpha", "torch")
    assert workshop.look().differences == ()
    assert workshop.leftovers() == []
    marker = read_marker(workshop.target)
    assert marker == built.marker
    assert [(each.name, each.version, each.family) for each in built.marker.packages] == [
        ("alpha", "1.0", False),
        ("torch", "1.0", True),
    ]
    total, done = next(rest for title, *rest in workshop.told.progress if title == "Fetching and unpacking 2 wheels")
    assert done == total == len(alpha().body) + len(torch().body)


def test_its_commands_work_where_it_stands(workshop: Workshop) -> None:
    workshop.build([alpha()])

    said = subprocess.run([workshop.target / "bin/alpha"], capture_output=True, text=True, check=True)

    assert said.stdout == "alpha 1.0\n"
    holders = [path for path in workshop.target.rglob("*") if path.is_file() and b"gpuenv-stage" in path.read_bytes()]
    assert holders == []


def test_a_second_build_asks_nothing_of_the_network(workshop: Workshop) -> None:
    workshop.build([alpha(), torch()])
    workshop.server.requests.clear()

    built = workshop.build([alpha(), torch()])

    assert workshop.server.requests == []
    assert built.fetched == ()
    assert built.replaced
    assert not any(title.startswith("Fetching") for title, *_ in workshop.told.progress)
    assert workshop.leftovers() == []


def test_only_what_is_missing_is_fetched(workshop: Workshop) -> None:
    workshop.build([alpha()])

    assert workshop.build([alpha(), torch()]).fetched == ("torch",)


def test_offline_names_what_is_missing(workshop: Workshop) -> None:
    workshop.build([alpha()])

    with pytest.raises(OfflineError, match=r"not in uv's cache: torch$"):
        workshop.build([alpha(), torch()], options=BuildOptions(offline=True))

    assert workshop.build([alpha()], options=BuildOptions(offline=True)).fetched == ()
    assert workshop.leftovers() == []


def test_a_lock_with_the_same_wheels_elsewhere(workshop: Workshop, tmp_path: Path) -> None:
    """A store hands out the wheels of a lock whose own locations are gone; the marker still names the lock."""
    wheel = alpha()
    path, _ = workshop.lock([wheel])
    store = Store(tmp_path / "store")
    store.add(wheel.write(tmp_path), filename=wheel.filename, sha256=wheel.sha256)
    workshop.server.faults[wheel.filename] = status(404)

    built = workshop.build([wheel], options=BuildOptions(store=store))

    assert built.marker.lock_name == path.name
    assert workshop.server.requests == []


def test_a_lock_that_another_run_writes_meanwhile_is_not_this_builds(workshop: Workshop) -> None:
    """Neither for uv, nor in the marker: the environment would count as built from another lock."""
    wheel, other = alpha(), alpha("2.0")
    path, _ = workshop.lock([wheel])
    before = lock_digest(path)

    def rewrite(handler: FileHandler, body: bytes) -> bool:
        write_lock(path, [other], base=workshop.server.url)
        return False

    workshop.server.faults[wheel.filename] = rewrite
    built = workshop.build([wheel])

    assert lock_digest(path) != before
    assert built.marker.lock == before
    assert [each.version for each in built.marker.packages] == ["1.0"]


@pytest.mark.skipif(os.name == "nt", reason="links are for the privileged there")
def test_each_build_of_a_target_asks_the_interpreter_under_one_name(workshop: Workshop) -> None:
    """uv starts an interpreter that it has not seen under its path, and keeps what that says for good."""

    def asked() -> set[str]:
        return {path.name for path in (workshop.folder / "cache").glob("interpreter-*/*/*")}

    workshop.build([alpha()])
    first = asked()
    assert first
    assert workshop.build([alpha("2.0")]).compared.differences == ()
    assert asked() == first
    stages = workshop.folder / "state" / "stages"
    assert list(stages.iterdir()) == []  # the link goes with what it led to


@pytest.mark.skipif(os.name == "nt", reason="links are for the privileged there")
def test_names_of_killed_builds_go_and_those_of_another_host_stay(workshop: Workshop) -> None:
    stages, key = workshop.folder / "state" / "stages", check_target(workshop.target).key
    stages.mkdir(parents=True)
    own, old, other = (stages / f"{key}-{boot}" for boot in (targets.boot_id(), "old", "other"))
    for link in (own, old, other):
        link.symlink_to(workshop.folder / "gone")
    os.utime(old, (0, 0), follow_symlinks=False)
    assert workshop.build([alpha()]).compared.differences == ()
    assert list(stages.iterdir()) == [other]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no call for a whole file system: each file is waited for")
@pytest.mark.parametrize("proved", [False, True])
def test_the_disk_has_all_of_a_build_before_the_swap_and_is_seldom_waited_for(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch, proved: bool
) -> None:
    told: list[str] = []

    def telling(module: ModuleType, name: str) -> None:
        call = getattr(module, name)

        def told_of(*words: object) -> object:
            told.append(name)
            return call(*words)

        monkeypatch.setattr(module, name, told_of)

    def prove(environment: Path) -> Report:
        told.append("proof")
        return report("passed")

    telling(os, "fsync")
    telling(targets, "sync_filesystem")
    telling(targets, "move")
    workshop.build([alpha()], verify=prove if proved else None)
    swap = len(told) - told[::-1].index("move") - 1
    assert told[swap - 1] == "sync_filesystem"
    assert not proved or told[told.index("proof") :].count("sync_filesystem") == 1, "a proof runs what is there"
    assert (
        told[:swap].count("fsync") <= 6
    )  # the lock of the run, the remembered RECORD, uv's lock: not the guard's files
    assert told[swap + 1 :].count("fsync") >= 1  # the folder that names it


def test_without_links_the_staging_folder_has_its_own_name_alone(workshop: Workshop) -> None:
    (workshop.folder / "state").mkdir()
    (workshop.folder / "state" / "stages").write_text("a file is in the way")
    assert workshop.build([alpha()]).compared.differences == ()


def test_verification_sees_the_finished_environment_before_anyone_else(workshop: Workshop) -> None:
    seen: list[Path] = []

    def verify(environment: Path) -> Report:
        seen.append(environment)
        assert read_marker(environment) is not None
        assert not workshop.target.exists()
        return report("passed")

    built = workshop.build([alpha()], verify=verify)

    assert built.report == report("passed")
    assert seen[0].parent.parent == workshop.project
    assert not seen[0].exists()


def test_an_environment_survives_a_failing_verification(workshop: Workshop) -> None:
    before = workshop.build([alpha("1.0")]).marker

    with pytest.raises(FailedProofError, match="did not prove itself") as caught:
        workshop.build([alpha("2.0")], verify=lambda _: report("failed"))

    assert caught.value.causes == ("training: the loss is not a number",)
    assert caught.value.report == report("failed")
    assert read_marker(workshop.target) == before
    assert workshop.look().differences == ()
    assert workshop.leftovers() == []


def test_a_failed_environment_kept_for_a_look_goes_with_the_next_proof(workshop: Workshop) -> None:
    kept = workshop.project / f"{workshop.target.name}.failed"
    options = BuildOptions(extra_env=NO_RETRIES, keep_failed=True)
    with pytest.raises(FailedProofError, match="is kept at"):
        workshop.build([alpha("2.0")], verify=lambda _: report("failed"), options=options)
    marker = read_marker(kept)
    assert marker is not None
    assert [(each.name, each.version) for each in marker.packages] == [("alpha", "2.0")]

    workshop.build([alpha("1.0")])
    assert kept.is_dir()
    workshop.build([alpha("1.0")], verify=lambda _: report("passed"))
    assert not kept.exists()
    assert workshop.leftovers() == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug"), SystemExit(3)])
def test_an_environment_survives_whatever_verification_throws(workshop: Workshop, error: BaseException) -> None:
    before = workshop.build([alpha("1.0")]).marker

    def verify(environment: Path) -> Report:
        raise error

    with pytest.raises(type(error)):
        workshop.build([alpha("2.0")], verify=verify)

    assert read_marker(workshop.target) == before
    assert workshop.leftovers() == []


def test_every_part_that_takes_time_is_a_task_that_is_shown(workshop: Workshop) -> None:
    for installing in ("Fetching and unpacking 1 wheel", "Installing 1 package"):
        workshop.told.progress.clear()
        workshop.build([alpha()])
        assert [title for title, *_ in workshop.told.progress] == [
            f"Making an environment of Python {platform.python_version()}",
            installing,
            "Comparing the files with the wheels' RECORD",
            "Writing .venv-gpu to the disk",
        ]


@pytest.mark.parametrize("exchange", [True, False])
def test_the_old_environment_is_gone_after_the_swap(workshop: Workshop, exchange: bool) -> None:
    workshop.build([alpha("1.0"), torch()])
    (workshop.target / "mine.txt").write_text("left by the user")

    built = workshop.build([alpha("2.0")], options=BuildOptions(extra_env=NO_RETRIES, exchange=exchange))

    assert built.replaced
    assert not (workshop.target / "mine.txt").exists()
    assert [each.name for each in built.marker.packages] == ["alpha"]
    assert workshop.leftovers() == []


def test_a_folder_that_is_no_environment_is_never_touched(workshop: Workshop) -> None:
    workshop.target.mkdir()
    (workshop.target / "thesis.tex").write_text("years of work")

    with pytest.raises(TargetError, match="not an environment"):
        workshop.build([alpha()])

    assert (workshop.target / "thesis.tex").read_text() == "years of work"
    assert workshop.server.requests == []


def test_an_environment_of_another_tool_is_never_touched(workshop: Workshop) -> None:
    uv = workshop.uv
    subprocess.run([uv.path, "venv", "--quiet", "--python", sys.executable, workshop.target], check=True)

    with pytest.raises(TargetError, match="did not build"):
        workshop.build([alpha()])

    assert (workshop.target / "pyvenv.cfg").is_file()


def test_a_target_that_turns_up_during_the_build_is_not_replaced(workshop: Workshop) -> None:
    def verify(environment: Path) -> Report:
        workshop.target.mkdir()
        (workshop.target / "thesis.tex").write_text("years of work")
        return report("passed")

    with pytest.raises(TargetError, match="not an environment"):
        workshop.build([alpha()], verify=verify)

    assert (workshop.target / "thesis.tex").read_text() == "years of work"
    assert workshop.leftovers() == []


def test_no_room_is_known_before_anything_is_fetched(workshop: Workshop) -> None:
    options = BuildOptions(free=lambda path: Free(device=1, bytes=10_000_000, files=None))

    with pytest.raises(NoSpaceError, match=r"needs about 4\d MB in .*cache, and 10 MB are free"):
        workshop.build([torch(size=20_000_000)], options=options)

    assert workshop.server.requests == []
    assert workshop.leftovers() == []


def test_what_is_cached_needs_no_room(workshop: Workshop) -> None:
    workshop.build([torch()])

    workshop.build([torch()], options=BuildOptions(free=lambda path: Free(device=1, bytes=0, files=0)))


def test_a_lock_for_another_python_is_refused(workshop: Workshop) -> None:
    from gpuenv.environment.interpreters import running_interpreter
    from support.workshop import build

    path, lock = workshop.lock([alpha()])
    lock = replace(lock, inputs=replace(lock.inputs, target=replace(lock.inputs.target, python="3.8")))

    with pytest.raises(InterpreterError, match=r"for Python 3\.8"):
        build(
            path, lock, target=workshop.target, python=running_interpreter(), uv=workshop.uv,
            state=workshop.folder / "state", cache=workshop.folder / "cache", reporter=workshop.told,
        )  # fmt: skip

    assert workshop.leftovers() == []


def test_a_cache_that_was_edited_is_noticed_and_mended(workshop: Workshop) -> None:
    """Edits through a hard link reach uv's cache, and from there every later environment."""
    workshop.build([alpha(), torch()])
    installed = next(workshop.target.rglob("part_007.py"))
    inode = installed.stat().st_ino
    with installed.open("r+") as file:
        file.write("VALUE = 8")
    os.utime(installed, (installed.stat().st_atime, installed.stat().st_mtime + 60))
    workshop.server.requests.clear()

    built = workshop.build([alpha(), torch()])

    assert built.fetched == ("torch",)
    assert next(workshop.target.rglob("part_007.py")).read_text() == "VALUE = 7\n"
    assert next(workshop.target.rglob("part_007.py")).stat().st_ino != inode
    assert any("damaged copies of torch" in line for line in workshop.told.lines)
    assert workshop.look().differences == ()


def test_a_cached_file_cut_to_nothing_is_noticed_offline_too(workshop: Workshop) -> None:
    workshop.build([torch()])
    with next(workshop.target.rglob("blob.bin")).open("w"):
        pass

    with pytest.raises(IntegrityError, match="not what the locked wheels say") as caught:
        workshop.build([torch()], options=BuildOptions(offline=True))

    assert "0 bytes, 2000000 are listed" in caught.value.causes[0]


def test_a_record_changed_together_with_its_file_is_noticed(workshop: Workshop) -> None:
    """Whoever edits the cache can edit the row as well; the digest remembered by the wheel's hash tells."""
    workshop.build([alpha()])
    record = next((workshop.folder / "cache/archive-v0").rglob("alpha-1.0.dist-info/RECORD"))
    module = next((workshop.folder / "cache/archive-v0").rglob("alpha/__init__.py"))
    module.write_text("def main(): print('evil')\n")
    evil = build_wheel("alpha", "1.0", files={"alpha/__init__.py": module.read_text()})
    row = next(line for line in _record(evil.body).splitlines() if line.startswith("alpha/__init__.py"))
    lines = [row if line.startswith("alpha/__init__.py") else line for line in record.read_text().splitlines()]
    record.write_text("\n".join(lines) + "\n")

    with pytest.raises(IntegrityError) as caught:
        workshop.build([alpha()], options=BuildOptions(offline=True))

    assert "when it was first installed here" in caught.value.causes[0]
    assert workshop.build([alpha()]).fetched == ("alpha",)


def _record(body: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return archive.read("alpha-1.0.dist-info/RECORD").decode()


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"sitecustomize.py": "print('hello')"}, "it runs at every start of the interpreter"),
        ({"usercustomize/__init__.py": ""}, "it runs at every start of the interpreter"),
        ({"alpha-1.0.data/data/pyvenv.cfg": "home = /nowhere\nversion_info = 3.11\n"}, "a file of the environment"),
        ({"alpha-1.0.data/data/bin/activate": "echo hello\n"}, "a file of the environment"),
    ],
)
def test_wheels_that_reach_for_the_environment_are_refused(workshop: Workshop, files: dict[str, str], why: str) -> None:
    with pytest.raises(IntegrityError, match="not what the locked wheels say") as caught:
        workshop.build([build_wheel("alpha", "1.0", files=dict(files))])

    assert any(why in cause for cause in caught.value.causes), caught.value.causes
    assert not workshop.target.exists()
    assert workshop.leftovers() == []


def repacked(change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]) -> BuiltWheel:
    good = alpha()
    with zipfile.ZipFile(io.BytesIO(good.body)) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    return BuiltWheel(filename=good.filename, body=pack(change(members)), metadata=good.metadata)


def test_a_wheel_whose_files_differ_from_its_record_is_refused(workshop: Workshop) -> None:
    """uv installs it; it looks at hashes of wheels, not at those in them."""
    wheel = repacked(lambda members: [(n, b"other\n" if n == "alpha/__init__.py" else body) for n, body in members])

    with pytest.raises(IntegrityError) as caught:
        workshop.build([wheel])

    assert "6 bytes, 60 are listed" in caught.value.causes[0]
    assert workshop.leftovers() == []


def test_the_same_size_does_not_help_when_every_hash_is_asked_for(workshop: Workshop) -> None:
    wheel = repacked(lambda members: [(name, body.replace(b"main", b"evil")) for name, body in members])

    with pytest.raises(IntegrityError) as caught:
        workshop.build([wheel], options=BuildOptions(deep=True, extra_env=NO_RETRIES))

    assert any("alpha/__init__.py: its contents are not those" in cause for cause in caught.value.causes)


def test_a_wheel_that_leaves_files_out_of_its_record_is_named(workshop: Workshop) -> None:
    built = workshop.build([repacked(lambda members: [*members, ("alpha/more.py", b"1\n")])])

    assert any("no hash for" in note and "alpha/more.py" in note for note in built.compared.notes)


def test_a_start_up_file_of_a_wheel_is_allowed_and_named(workshop: Workshop) -> None:
    built = workshop.build([build_wheel("alpha", "1.0", files={"alpha.pth": "import sys\n", "alpha.py": ""})])

    assert any("alpha.pth of alpha runs code at every start" in note for note in built.compared.notes)


def test_no_other_package_brings_a_file_of_the_family(workshop: Workshop) -> None:
    """Which of two wheels wins is a matter of chance; files that other packages share are their own matter."""
    intruder = build_wheel("intruder", "1.0", files={"torch/__init__.py": "import os\n", "intruder/__init__.py": ""})
    with pytest.raises(IntegrityError) as caught:
        workshop.build([alpha(), torch(), intruder])
    (cause,) = caught.value.causes
    assert re.fullmatch(r"intruder: lib/python3\.\d+/site-packages/torch/__init__\.py: torch brings that file", cause)
    assert not workshop.target.exists()
    same = build_wheel("same", "1.0", files={"torch/__init__.py": "__version__ = '1.0'\n", "alpha/extra.py": ""})
    other = build_wheel("other", "1.0", files={"alpha/extra.py": "X = 1\n"})
    workshop.build([alpha(), torch(), same, other])
