from __future__ import annotations

import os
from pathlib import Path

import pytest

from gpuenv.environment.target import (
    ASIDE_PREFIX,
    STAGE_PREFIX,
    _by_turns,
    boot_id,
    check_target,
    only_one,
    refuse_name,
    remove_tree,
    staging,
    swap_in,
    sweep,
)
from gpuenv.errors import ConfigurationError, TargetError
from gpuenv.installed.marker import MARKER, MarkedPackage, Marker, read_marker, write_marker
from gpuenv.report import Silent
from support.systems import LINKS

MARK = Marker(
    gpuenv="0.1", uv="0.13", python="3.12.1", profile="cpu", lock="ab", lock_name="pylock.cpu.toml",
    created="2026-01-02T03:04:05Z", packages=(MarkedPackage(name="torch", version="1.0", record="cd", family=True),),
)  # fmt: skip


def environment(path: Path, *, marker: bool = True, body: str = "") -> Path:
    path.mkdir(parents=True)
    (path / "pyvenv.cfg").write_text("version_info = 3.12.1\n")
    (path / "body").write_text(body)
    if marker:
        write_marker(path, MARK)
    return path


def test_a_marker_comes_back_as_it_went(tmp_path: Path) -> None:
    write_marker(tmp_path, MARK)

    assert read_marker(tmp_path) == MARK
    assert read_marker(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"schema": {"name": "gpuenv-environment", "version": "2"}}', '{"schema": null}', "\xff"]
)
def test_a_marker_that_cannot_be_read_names_itself(tmp_path: Path, text: str) -> None:
    (tmp_path / MARKER).write_text(text, encoding="latin-1")

    with pytest.raises(ConfigurationError, match=MARKER):
        read_marker(tmp_path)


def test_what_may_be_replaced(tmp_path: Path) -> None:
    environment(tmp_path / "ours")
    (tmp_path / "empty").mkdir()

    assert check_target(tmp_path / "ours").exists
    assert check_target(tmp_path / "empty").exists
    assert not check_target(tmp_path / "new").exists


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("other", "an environment that gpuenv did not build"),
        ("project", "is not an environment"),
        ("damaged", "an environment that gpuenv did not build"),
        ("file", "is a file"),
        pytest.param("link", "is a symbolic link", marks=LINKS),
        pytest.param("dangling", "is a symbolic link", marks=LINKS),
        ("nowhere/env", "does not exist"),
        ("file/env", "not a folder"),
        ("..", "cannot be an environment"),
    ],
)
def test_what_may_not(tmp_path: Path, name: str, words: str) -> None:
    environment(tmp_path / "ours")
    environment(tmp_path / "other", marker=False)
    environment(tmp_path / "damaged", marker=False)
    (tmp_path / "damaged" / MARKER).write_text("{")
    (tmp_path / "project").mkdir()
    write_marker(tmp_path / "project", MARK)
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("ours")
    (tmp_path / "dangling").symlink_to("nothing")
    before = sorted(str(path) for path in tmp_path.rglob("*"))

    with pytest.raises(TargetError, match=words):
        check_target(tmp_path / name)

    assert sorted(str(path) for path in tmp_path.rglob("*")) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make a foreign folder")
def test_a_folder_of_somebody_else_that_anyone_may_change(tmp_path: Path) -> None:
    parent = tmp_path / "shared"
    parent.mkdir()
    os.chown(parent, 12345, 12345)
    parent.chmod(0o777)

    with pytest.raises(TargetError, match="anyone may replace files"):
        check_target(parent / "env")

    parent.chmod(0o1777)
    assert not check_target(parent / "env").exists


@LINKS
def test_one_place_has_one_key_by_whatever_way_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "way").symlink_to("real")
    monkeypatch.chdir(tmp_path / "real")

    keys = {
        check_target(path).key for path in (tmp_path / "real/env", tmp_path / "way/env", Path("env"), Path("./env"))
    }

    assert len(keys) == 1
    assert check_target(tmp_path / "real/env2").key not in keys


def test_staging_is_private_and_goes_whatever_happens(tmp_path: Path) -> None:
    target = check_target(tmp_path / "env")

    with pytest.raises(KeyboardInterrupt), staging(target) as stage:  # noqa: PT012 - what happens inside is the test
        assert stage.parent == tmp_path
        assert os.name == "nt" or stage.stat().st_mode & 0o777 == 0o700
        (stage / "deep/er").mkdir(parents=True)
        (stage / "deep/er/file").write_text("x")
        (stage / "deep/er").chmod(0o500)
        sweep(target, Silent())
        assert stage.exists()
        raise KeyboardInterrupt

    assert list(tmp_path.iterdir()) == []


def test_the_dead_are_swept_and_others_left(tmp_path: Path) -> None:
    target = check_target(tmp_path / "env")
    dead = tmp_path / f"{STAGE_PREFIX}{target.key}-{os.getpid()}-{boot_id()}"
    other = tmp_path / f"{STAGE_PREFIX}{'0' * 16}-1-{boot_id()}"
    for path in (dead, other):
        environment(path / "env")

    sweep(target, Silent())

    assert not dead.exists()
    assert other.exists()


def test_an_environment_moved_aside_comes_back(tmp_path: Path) -> None:
    target = check_target(tmp_path / "env")
    environment(tmp_path / f"{ASIDE_PREFIX}{target.key}-1", body="old")

    assert sweep(target, Silent())

    assert (tmp_path / "env/body").read_text() == "old"
    assert not sweep(target, Silent())


def test_one_that_was_replaced_does_not(tmp_path: Path) -> None:
    environment(tmp_path / "env", body="new")
    target = check_target(tmp_path / "env")
    environment(tmp_path / f"{ASIDE_PREFIX}{target.key}-1", body="old")

    assert not sweep(target, Silent())

    assert (tmp_path / "env/body").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["env"]


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("there", [True, False])
def test_the_swap(tmp_path: Path, exchange: bool, there: bool) -> None:
    if there:
        environment(tmp_path / "env", body="old")
    target = check_target(tmp_path / "env")
    built = environment(tmp_path / "stage/env", body="new")

    swap_in(built, target, exchange=exchange)

    assert (tmp_path / "env/body").read_text() == "new"
    assert built.exists() == there  # the old one, to be removed with its folder
    assert sorted(path.name for path in tmp_path.iterdir()) == ["env", "stage"]


def test_a_swap_that_fails_puts_the_old_one_back(tmp_path: Path) -> None:
    environment(tmp_path / "env", body="old")
    target = check_target(tmp_path / "env")

    with pytest.raises(FileNotFoundError):
        _by_turns(tmp_path / "missing", target)

    assert (tmp_path / "env/body").read_text() == "old"


def test_removing_a_tree_leaves_the_modes_of_shared_files_alone(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.write_text("shared")
    cache.chmod(0o444)
    tree = tmp_path / "tree"
    tree.mkdir()
    os.link(cache, tree / "file")
    tree.chmod(0o500)

    remove_tree(tree)

    assert not tree.exists()
    assert os.name == "nt" or cache.stat().st_mode & 0o777 == 0o444


@pytest.mark.parametrize("there", [True, False])
def test_a_link_at_the_lock_of_a_target_is_not_followed(tmp_path: Path, *, there: bool) -> None:
    target, kept = check_target(tmp_path / "env"), tmp_path / "mine"
    if there:
        kept.write_text("mine")
    (tmp_path / "state/locks").mkdir(parents=True)
    (tmp_path / "state/locks" / f"{target.key}.lock").symlink_to(kept)
    with only_one(target, state=tmp_path / "state", timeout=1.0, reporter=Silent()):
        assert kept.exists() == there
    assert not there or kept.read_text() == "mine"


@pytest.mark.parametrize("name", ["nul", "AUX.d", "con.x", "COM1", "lpt¹.txt", "env.", "env "])
def test_names_of_windows(name: str, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="cannot be an environment: Windows "):
        refuse_name(name, shown=tmp_path, platform="win32")
    refuse_name(name, shown=tmp_path, platform="linux")


@pytest.mark.parametrize("name", [".venv-gpu", "console", "nul-env", "com10", "auxiliary", "a.con", ".."])
def test_names_that_windows_takes(name: str, tmp_path: Path) -> None:
    refuse_name(name, shown=tmp_path, platform="win32")
