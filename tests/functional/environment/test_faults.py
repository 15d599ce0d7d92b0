"""Every fault of the network, the disk and uv itself: one clear error, nothing left behind, the old one intact."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpuenv.environment.build import BuildOptions
from gpuenv.environment.space import Free
from gpuenv.environment.uv import Uv, find_uv
from gpuenv.errors import (
    GpuenvError,
    IndexUnreachableError,
    IntegrityError,
    NoSpaceError,
    UvError,
    UvMissingError,
)
from gpuenv.installed.marker import read_marker
from gpuenv.report import Silent
from support.locked import Fault, cut, replaced, status, trickle
from support.workshop import NO_RETRIES, Workshop, alpha, torch

PLENTY = Free(device=1, bytes=10**15, files=None)


@pytest.mark.parametrize(
    ("fault", "error", "words"),
    [
        (status(403), IndexUnreachableError, "the index answered 403"),
        (status(404), IndexUnreachableError, "a locked wheel is gone from its index (404)"),
        (status(410), IndexUnreachableError, "a locked wheel is gone from its index (410)"),
        (status(503), IndexUnreachableError, "the index answered 503"),
        (cut(0.5), IndexUnreachableError, "a download failed: torch==1.0"),
        (cut(0.999), IndexUnreachableError, "a download failed: torch==1.0"),
        (replaced(b"<html>please log in</html>"), IntegrityError, "a download is not a whole wheel: torch==1.0"),
        (replaced(torch().body[:-100_000]), IntegrityError, "a download is not"),
        (replaced(b""), IntegrityError, "a download is not"),
        (replaced(torch("1.0", size=2_000_001).body), IntegrityError, "a download is not the file that was locked"),
        (replaced(torch("1.0").body + b"\0" * 10_000), IntegrityError, "a download is not"),
    ],
)  # fmt: skip
def test_a_download_that_fails(workshop: Workshop, fault: Fault, error: type[GpuenvError], words: str) -> None:
    before = workshop.build([alpha()]).marker
    workshop.server.faults[torch().filename] = fault

    with pytest.raises(error) as caught:
        workshop.build([alpha(), torch()])

    assert words in caught.value.message
    assert caught.value.causes
    assert type(caught.value) is error
    assert read_marker(workshop.target) == before
    assert workshop.leftovers() == []


def test_a_hash_that_is_not_the_locked_one(workshop: Workshop) -> None:
    """The same size, one byte changed inside a stored member."""
    good = torch()
    body = bytearray(good.body)
    evil = body.replace(b"VALUE = 7\n", b"VALUE = 8\n")
    import io
    import zipfile

    from support.wheels import pack

    with zipfile.ZipFile(io.BytesIO(good.body)) as archive:
        members = [(name, archive.read(name).replace(b"VALUE = 7\n", b"VALUE = 8\n")) for name in archive.namelist()]
    evil_body = pack(members)
    assert len(evil_body) == len(evil)
    workshop.server.faults[good.filename] = replaced(evil_body)

    with pytest.raises(IntegrityError, match="not the file that was locked") as caught:
        workshop.build([good])

    assert any(good.sha256 in cause for cause in caught.value.causes)
    assert not workshop.target.exists()


def test_a_dead_proxy(workshop: Workshop) -> None:
    workshop.environ = {**os.environ, "http_proxy": "http://user:canary@127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}

    with pytest.raises(IndexUnreachableError) as caught:
        workshop.build([alpha()])

    said = " ".join([caught.value.message, *caught.value.causes, *caught.value.hints, *workshop.told.lines])
    assert "canary" not in said


def test_a_download_that_fails_twice_and_then_comes(workshop: Workshop) -> None:
    calls = []

    def fault(handler: object, body: bytes) -> bool:
        calls.append(1)
        return len(calls) <= 2 and status(503)(handler, body)  # type: ignore[arg-type]  # the handler of the test server

    workshop.server.faults[alpha().filename] = fault

    workshop.build([alpha()], options=BuildOptions())

    assert len(calls) == 3


def test_a_server_that_drips_is_given_up(workshop: Workshop) -> None:
    workshop.server.faults[torch().filename] = trickle(600, pieces=60_000)

    with pytest.raises(IndexUnreachableError, match="got nowhere for 1 s"):
        workshop.build([torch()], options=BuildOptions(stall=1.0, extra_env=NO_RETRIES))

    assert workshop.leftovers() == []


def test_a_deadline_is_a_deadline(workshop: Workshop) -> None:
    workshop.server.faults[torch().filename] = trickle(600)

    with pytest.raises(UvError, match="did not finish within 1 s"):
        workshop.build([torch()], options=BuildOptions(deadline=1.0, stall=None))

    assert workshop.leftovers() == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m,mode=0700", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small file system is not permitted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_under_the_target(workshop: Workshop, small_disk: Path) -> None:
    target = small_disk / "env"

    with pytest.raises(NoSpaceError):
        workshop.build(
            [torch(size=4_000_000)], target=target, options=BuildOptions(free=lambda _: PLENTY, extra_env=NO_RETRIES)
        )

    assert list(small_disk.iterdir()) == []
    asked: list[Path] = []

    def free(path: Path) -> Free:
        asked.append(path)
        return PLENTY

    workshop.build([alpha()], target=target, options=BuildOptions(free=free))
    assert small_disk in asked, "what the error names is still there when it is read"


def test_a_full_disk_under_the_cache(workshop: Workshop, small_disk: Path) -> None:
    with pytest.raises(NoSpaceError):
        workshop.build(
            [torch(size=4_000_000)],
            cache=small_disk / "cache",
            options=BuildOptions(free=lambda _: PLENTY, extra_env=NO_RETRIES),
        )

    assert not workshop.target.exists()
    assert workshop.leftovers() == []


def test_a_small_disk_is_seen_before_it_is_full(workshop: Workshop, small_disk: Path) -> None:
    with pytest.raises(NoSpaceError, match="uv's cache needs about"):
        workshop.build([torch(size=4_000_000)], cache=small_disk / "cache")

    assert workshop.server.requests == []


# --- uv itself


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_uv_that_is_too_old(tmp_path: Path) -> None:
    old = script(tmp_path / "uv", "echo 'uv 0.5.31 (2b8fcbf 2025-02-12)'")

    with pytest.raises(UvMissingError) as caught:
        find_uv(os.environ, explicit=old)

    assert caught.value.causes == (f"{old} (given): is uv 0.5.31, older than 0.12",)
    assert 'pip install "uv>=0.12"' in caught.value.hints[0]
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("echo hello", "is not uv"),
        ("exit 3", "is not uv: `--version` ended 3"),
        ("echo 'uv banana'", "is not uv"),
    ],
)
def test_a_uv_that_is_none(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(UvMissingError) as caught:
        find_uv(os.environ, explicit=script(tmp_path / "uv", text))

    assert why in caught.value.causes[0]


def test_a_uv_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UvMissingError, match="no usable uv"):
        find_uv(os.environ, explicit=tmp_path / "uv")


def test_the_newest_need_decides(tmp_path: Path) -> None:
    with pytest.raises(UvMissingError, match=r"no usable uv \(99\.0 or newer\)") as caught:
        find_uv({"PATH": str(script(tmp_path / "uv", "echo 'uv 98.1'").parent)}, least="99.0")

    assert len(caught.value.causes) == 2


def own_uv(tmp_path: Path, text: str) -> Uv:
    path = script(tmp_path / "uv", text)
    return Uv(path=path, version="0.13", origin="given", environ={"PATH": os.environ["PATH"]})


def test_nothing_that_uv_started_outlives_the_deadline(tmp_path: Path) -> None:
    uv = own_uv(tmp_path, f"trap '' TERM\nsleep 987 &\necho $! > {tmp_path}/pid\nsleep 987")

    with pytest.raises(UvError, match="did not finish within 1 s"):
        uv.run(["pip", "sync"], cwd=tmp_path, deadline=0.6, reporter=Silent())

    assert not alive(int((tmp_path / "pid").read_text()))


def test_nothing_that_uv_started_outlives_ctrl_c(tmp_path: Path) -> None:
    """Ctrl-C reaches Python wherever it waits; here it is raised where progress is looked at."""
    uv = own_uv(tmp_path, f"sleep 987 &\necho $! > {tmp_path}/pid\nsleep 987")

    def interrupt(written: int) -> None:
        if (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        uv.run(["pip", "sync"], cwd=tmp_path, deadline=20, reporter=Silent(), on_progress=interrupt)

    assert not alive(int((tmp_path / "pid").read_text()))


def test_uvs_own_words_are_kept(tmp_path: Path) -> None:
    uv = own_uv(tmp_path, "echo 'error: the moon is full' >&2\nexit 2")
    heard: list[str] = []

    done = uv.run(["pip"], cwd=tmp_path, deadline=5, reporter=Silent(), on_stderr=heard.append)

    assert (done.returncode, done.stderr) == (2, "error: the moon is full\n")
    assert heard == ["error: the moon is full"]


def test_a_uv_killed_by_the_system_says_so(workshop: Workshop) -> None:
    from gpuenv.environment.uv import failure

    uv = own_uv(workshop.folder, "kill -9 $$")
    error = failure(uv.run(["pip"], cwd=workshop.folder, deadline=5, reporter=Silent()), doing="installing the lock")

    assert error.message == "installing the lock failed: uv was ended by SIGKILL"
    assert error.hints == ("The system may be out of memory: see dmesg",)


def test_a_flood_of_words_does_not_block(tmp_path: Path) -> None:
    program = tmp_path / "flood.py"
    program.write_text("import sys\nprint('x' * 3_000_000)\nsys.stderr.write('y' * 3_000_000)\n")
    flood = f"{sys.executable} {program}"
    done = own_uv(tmp_path, flood).run([], cwd=tmp_path, deadline=20, reporter=Silent())

    assert done.returncode == 0
    assert len(done.stderr) == 3_000_000


def test_hostile_variables_and_files_do_not_reach_uv(workshop: Workshop) -> None:
    """Each of these alone makes a plain uv install something else, or nothing."""
    folder = workshop.folder
    evil = folder / "evil"
    evil.mkdir()
    (evil / "sitecustomize.py").write_text(f"open({str(folder / 'was-here')!r}, 'w')")
    (evil / "uv.toml").write_text('[[index]]\nurl = "http://127.0.0.1:9/simple"\ndefault = true\n')
    (evil / "constraints.txt").write_text("alpha==9.9\n")
    (workshop.project / "uv.toml").write_text('offline = true\nno-cache = true\nindex-url = "http://127.0.0.1:9"\n')
    (workshop.project / "pyproject.toml").write_text("[tool.uv]\noffline = true\n")
    home = folder / "home"
    (home / ".config/uv").mkdir(parents=True)
    (home / ".config/uv/uv.toml").write_text("offline = true\n")
    workshop.environ = {
        **os.environ,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(evil),
        "UV_CONFIG_FILE": str(evil / "uv.toml"),
        "UV_CONSTRAINT": str(evil / "constraints.txt"),
        "UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple",
        "UV_EXTRA_INDEX_URL": "http://127.0.0.1:9/simple",
        "UV_FIND_LINKS": str(evil),
        "UV_INDEX": "http://127.0.0.1:9/simple",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_LINK_MODE": "symlink",
        "UV_NO_CACHE": "1",
        "UV_NO_VERIFY_HASHES": "1",
        "UV_OFFLINE": "1",
        "UV_OVERRIDE": str(evil / "constraints.txt"),
        "UV_PYTHON": "2.7",
        "UV_REQUIRE_HASHES": "0",
        "UV_SYSTEM_PYTHON": "1",
        "UV_TORCH_BACKEND": "cu118",
        "UV_VENV_SEED": "1",
        "VIRTUAL_ENV": str(evil),
        "CONDA_PREFIX": str(evil),
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_REQUIRE_VIRTUALENV": "1",
        "PYTHONHOME": str(evil),
        "PYTHONPATH": str(evil),
        "PYTHONSTARTUP": str(evil / "sitecustomize.py"),
        "LD_PRELOAD": "",
    }

    built = workshop.build([alpha(), torch()])

    assert [(each.name, each.version) for each in built.marker.packages] == [("alpha", "1.0"), ("torch", "1.0")]
    assert workshop.look().differences == ()
    assert not (folder / "was-here").exists()


def test_a_changed_download_is_refused_even_when_checks_are_switched_off(workshop: Workshop) -> None:
    workshop.environ = {**os.environ, "UV_NO_VERIFY_HASHES": "1", "UV_SKIP_WHEEL_FILENAME_CHECK": "1"}
    workshop.server.faults[alpha().filename] = replaced(alpha("1.1").body)

    with pytest.raises(IntegrityError):
        workshop.build([alpha()])


def test_an_interpreter_that_is_gone(workshop: Workshop) -> None:
    from gpuenv.environment.interpreters import running_interpreter
    from gpuenv.errors import InterpreterError
    from support.workshop import build

    path, lock = workshop.lock([alpha()])
    gone = replace(running_interpreter(), path=workshop.folder / "python3.12")

    with pytest.raises(InterpreterError):
        build(
            path, lock, target=workshop.target, python=gone, uv=workshop.uv, state=workshop.folder / "state",
            cache=workshop.folder / "cache", reporter=workshop.told,
        )  # fmt: skip
    assert workshop.leftovers() == []


def alive(pid: int) -> bool:
    """Whether a process runs; a dead one that nobody has buried does not."""
    for _ in range(1200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
        time.sleep(0.05)
    return True
