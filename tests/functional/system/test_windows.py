"""What only Windows has: job objects, folders that are in use, junctions, the lock of a folder."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gpuenv.environment.space import disk_errors
from gpuenv.environment.target import Target, check_target, dead_stages, staging, swap_in
from gpuenv.errors import FileError, TargetError
from gpuenv.shell import quote
from gpuenv.system import holding
from gpuenv.system.files import is_link, write_atomic
from gpuenv.system.process import Ended, Limits, TimedOut, run
from support.systems import WINDOWS

pytestmark = WINDOWS

BEATS = "import sys, time\nwhile True:\n    open(sys.argv[1], 'a').write('x')\n    time.sleep(0.05)\n"
"""A program that writes for as long as it lives."""


def environ() -> dict[str, str]:
    return {name: os.environ[name] for name in ("SYSTEMROOT", "PATH", "TEMP") if name in os.environ}


def still(path: Path) -> bool:
    """Whether nobody writes any more."""
    before = path.stat().st_size
    time.sleep(1)
    return path.stat().st_size == before


def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    grandchild = [sys.executable, "-c", BEATS, str(tmp_path / "beats")]
    script = f"import subprocess, time; subprocess.Popen({grandchild!r}); time.sleep(600)"
    result = run([sys.executable, "-c", script], environ=environ(), limits=Limits(deadline=15))

    assert isinstance(result, TimedOut)
    assert result.gone
    assert still(tmp_path / "beats")


def test_what_a_child_left_behind_ends_too(tmp_path: Path) -> None:
    grandchild = [sys.executable, "-c", BEATS, str(tmp_path / "beats")]
    script = (
        f"import os, subprocess, time\nsubprocess.Popen({grandchild!r})\n"
        f"while not os.path.exists({str(tmp_path / 'beats')!r}): time.sleep(0.05)"
    )
    result = run([sys.executable, "-c", script], environ=environ(), limits=Limits(deadline=60))

    assert isinstance(result, Ended)
    assert still(tmp_path / "beats")


def test_children_end_with_us_however_we_end(tmp_path: Path) -> None:
    beats = [sys.executable, "-c", BEATS, str(tmp_path / "beats")]
    script = (
        "import os\nfrom gpuenv.system.process import Limits, run\n"
        f"run({beats!r}, environ=dict(os.environ), limits=Limits(deadline=600))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script]) as ours:
        while not (tmp_path / "beats").exists():
            time.sleep(0.1)
        ours.kill()

    assert still(tmp_path / "beats")


def test_a_folder_that_a_program_uses_is_not_replaced(tmp_path: Path) -> None:
    built = tmp_path / "stage/env"
    for folder, body in ((tmp_path / "env", "old"), (built, "new")):
        folder.mkdir(parents=True)
        (folder / "body").write_text(body)
    target = Target(path=tmp_path / "env", exists=True)
    program = [sys.executable, "-c", "print('here', flush=True); input()"]
    with subprocess.Popen(program, cwd=tmp_path / "env", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as user:
        assert user.stdout is not None
        user.stdout.readline()
        with pytest.raises(TargetError) as caught, disk_errors(target.path):
            swap_in(built, target)
        user.kill()

    assert "cannot be replaced" in caught.value.message
    assert any("Close what uses it" in hint for hint in caught.value.hints)
    assert (tmp_path / "env/body").read_text() == "old"
    assert (built / "body").read_text() == "new"


def test_a_file_that_is_read_is_replaced_when_it_is_let_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("old")
    script = f"import time; file = open({str(path)!r}); print('open', flush=True); time.sleep(1)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        write_atomic(path, "new", what="the lock")

    assert path.read_text() == "new"


def test_a_stage_is_known_to_live_and_to_be_dead(tmp_path: Path) -> None:
    target = check_target(tmp_path / "env")
    with staging(target) as stage:
        assert dead_stages(tmp_path) == ()
    assert not stage.exists()

    script = (
        "import sys, time\nfrom pathlib import Path\nfrom gpuenv.environment.target import check_target, staging\n"
        f"with staging(check_target(Path({str(tmp_path / 'env')!r}))) as stage:\n"
        "    print(stage, flush=True)\n    time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        stage = Path(owner.stdout.readline().strip())
        assert dead_stages(tmp_path) == ()
        owner.kill()
    assert dead_stages(tmp_path) == (stage,)


def test_a_folder_is_held_once(tmp_path: Path) -> None:
    first = holding.take(tmp_path)
    assert isinstance(first, int)
    assert holding.take(tmp_path) == "held"
    holding.release(first)
    assert list(tmp_path.iterdir()) == []


def test_a_junction_is_a_link_and_not_replaced(tmp_path: Path) -> None:
    import _winapi

    (tmp_path / "real").mkdir()
    (tmp_path / "real/precious").touch()
    try:
        _winapi.CreateJunction(str(tmp_path / "real"), str(tmp_path / "env"))  # type: ignore[attr-defined]
    except OSError:
        pytest.skip("this system makes no junctions")
    if not (tmp_path / "env/precious").exists():
        pytest.skip("this system makes no junctions")

    assert is_link(tmp_path / "env")
    with pytest.raises(TargetError, match="link"):
        check_target(tmp_path / "env")


def test_names_that_differ_in_case_are_one_place(tmp_path: Path) -> None:
    assert check_target(tmp_path / "env").key == check_target(tmp_path / "ENV").key


def test_a_file_that_may_only_be_read_is_not_replaced_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text("old")
    path.chmod(stat.S_IREAD)
    with pytest.raises(FileError) as caught:
        write_atomic(path, "new", what="the lock")

    assert caught.value.causes == ("it may only be read",)
    assert caught.value.hints == (f"Let it be written: `attrib -R {quote(str(path))}`",)
    assert [each.name for each in tmp_path.iterdir()] == ["lock"]
    assert path.read_text() == "old"
    path.chmod(stat.S_IREAD | stat.S_IWRITE)
    write_atomic(path, "new", what="the lock")
