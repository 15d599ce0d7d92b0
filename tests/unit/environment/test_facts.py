"""Interpreters, room, progress, the guard's files."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from gpuenv.environment.arrivals import Arrivals, cache_folder, not_cached
from gpuenv.environment.guard import CONSTRAINTS, write_guard
from gpuenv.environment.interpreters import (
    Interpreter,
    interpreter_for,
    parse_listing,
    require_interpreter,
    search_path,
)
from gpuenv.environment.space import Free, require_space
from gpuenv.environment.uv import base_environment
from gpuenv.errors import InterpreterError, NoSpaceError
from support.locked import make_lock
from support.wheels import build_wheel

HERE = [
    Interpreter(version="3.12.1", path=Path("/a"), origin="installed"),
    Interpreter(version="3.12.9", path=Path("/b"), origin="installed"),
    Interpreter(version="3.13.0", path=None, origin="download"),
    Interpreter(version="3.12.16", path=None, origin="download"),
]


def row(version: str, path: str | None = "/x", variant: str = "default", kind: str = "cpython") -> dict[str, object]:
    return {"version": version, "path": path, "variant": variant, "implementation": kind, "arch": "x86_64"}


def test_only_interpreters_that_torch_is_made_for() -> None:
    text = json.dumps(
        [
            row("3.14.0", variant="freethreaded"),
            row("3.15.0a2"),
            row("3.11.1", kind="pypy"),
            row("nonsense"),
            row("3.12.1"),
            row("3.13.0", path=None),
        ]
    )

    assert [each.version for each in parse_listing(text, origin="installed")] == ["3.12.1"]
    assert [each.version for each in parse_listing(text, origin="download")] == ["3.13.0"]


def test_one_that_is_here_comes_before_a_newer_one_to_fetch() -> None:
    assert interpreter_for("3.12", HERE) == HERE[1]
    assert interpreter_for("3.12.1", HERE) == HERE[0]
    assert interpreter_for("3.13", HERE) == HERE[2]
    assert interpreter_for("3.1", HERE) is None
    with pytest.raises(InterpreterError, match=r"Python 3\.9 is installed") as caught:
        require_interpreter("3.9", HERE)
    assert "uv python install 3.9" in caught.value.hints[0]


def test_shims_give_way_to_what_is_behind_them(tmp_path: Path) -> None:
    for folder in ("pyenv/shims", "pyenv/versions/3.12.1/bin", "pyenv/versions/3.11.7/bin", "other/shims", "bin"):
        (tmp_path / folder).mkdir(parents=True)
    path = os.pathsep.join(str(tmp_path / each) for each in ("pyenv/shims", "bin", "other/shims", "bin"))

    found = [Path(each).relative_to(tmp_path).as_posix() for each in search_path(path).split(os.pathsep)]

    assert found == ["bin", "other/shims", "pyenv/versions/3.11.7/bin", "pyenv/versions/3.12.1/bin"]


ABSOLUTE = str(Path.cwd())


def test_only_named_variables_reach_uv() -> None:
    passed = base_environment(
        {
            "PATH": f"{os.pathsep}.{os.pathsep}{ABSOLUTE}{os.pathsep}relative/bin",
            "HOME": "/home/me",
            "UV_INDEX": "x",
            "PIP_INDEX_URL": "x",
            "PYTHONPATH": "x",
            "LD_LIBRARY_PATH": "x",
            "HTTPS_PROXY": "http://proxy",
            "SSL_CERT_FILE": "",
        }
    )

    assert passed == {"PATH": ABSOLUTE, "HOME": "/home/me", "HTTPS_PROXY": "http://proxy"}


@pytest.mark.parametrize(
    ("cache", "target", "words"),
    [
        ((1, 10**9, None), (1, 10**9, None), "uv's cache needs about 4.5 GB in .*, and 1.0 GB are free"),
        ((1, 10**12, None), (2, 10**9, None), "the environment needs about 4.5 GB"),
        ((1, 10**12, 100), (1, 10**12, 100), r"has 100 left \(inodes\)"),
        ((1, 10**12, None), (1, 10**12, None), ""),
        ((1, 10**12, 10**6), (2, 10**12, 10**6), ""),
    ],
)
def test_room(cache: tuple[int, int, int | None], target: tuple[int, int, int | None], words: str) -> None:
    rooms = {"cache": cache, "target": target}

    def free(path: Path) -> Free:
        device, size, files = rooms[path.name]
        return Free(device=device, bytes=size, files=files)

    def ask() -> None:
        require_space([2 * 10**9, 10**9, None], cache=Path("cache"), target=Path("target"), free=free)

    if not words:
        ask()
        return
    with pytest.raises(NoSpaceError, match=words):
        ask()


class Bar:
    def __init__(self) -> None:
        self.done = 0

    def advance(self, amount: int, /) -> None:
        assert amount > 0
        self.done += amount

    def update(self, *, total: int | None = None, text: str | None = None) -> None:
        pass


def test_the_bar_never_goes_back_nor_beyond() -> None:
    bar = Bar()
    arrivals = Arrivals(bar, {"torch": 1000, "nvidia-x": 500, "small": 10})
    seen = []
    for step in (
        lambda: arrivals.written(180),
        lambda: arrivals.hear(" Downloaded nvidia_x"),
        lambda: arrivals.written(181),
        lambda: arrivals.hear("Downloading torch (1000B)"),
        lambda: arrivals.written(10**9),
        lambda: arrivals.hear(" Downloaded torch"),
        lambda: arrivals.hear(" Downloaded torch"),
        lambda: arrivals.hear(" Downloaded something-else"),
        arrivals.finish,
        arrivals.finish,
    ):
        step()
        seen.append(bar.done)

    assert seen == sorted(seen)
    assert seen[:2] == [100, 500]
    assert seen[4] < 1510
    assert seen[-1] == 1510


def test_what_is_cached_is_guessed_from_names(tmp_path: Path) -> None:
    wheels = [build_wheel("alpha", "1.0"), build_wheel("beta", "1.0"), build_wheel("gamma-x", "1.0")]
    for name in ("index/ab/alpha/1.0-py3-none-any.http", "index/ab/beta/1.0.1-py3.http", "path/cd/gamma-x/1.0-0f.rev"):
        path = tmp_path / "wheels-v8" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")

    packages = make_lock(wheels, base="http://127.0.0.1").packages

    assert not_cached(tmp_path, packages) == ("beta",)
    assert not_cached(tmp_path / "none", packages) == ("alpha", "beta", "gamma-x")


def test_the_guard_names_the_final_place_and_leaves_unknown_scripts(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/activate").write_text("echo something else\n")

    final = tmp_path / "a b/env"
    unknown = write_guard(tmp_path, final=final, pins=[("torchvision", "2"), ("torch", "1+cpu")], lock_name="l")

    assert unknown == ("activate",)
    assert (tmp_path / "bin/activate").read_text() == "echo something else\n"
    assert (tmp_path / CONSTRAINTS).read_text().splitlines()[1:] == ["torch==1+cpu", "torchvision==2"]
    assert f"constraint = {(final / CONSTRAINTS).as_uri()}" in (tmp_path / "pip.conf").read_text()


@pytest.mark.skipif(sys.platform == "win32", reason="the rule of POSIX systems")
@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"UV_CACHE_DIR": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, Path("/a")),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, Path("/b/uv")),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/c"}, Path("/c/.cache/uv")),
        ({"HOME": "/c"}, Path("/c/.cache/uv")),
        ({}, None),
    ],
)
def test_uvs_cache_is_where_uv_puts_it(environ: dict[str, str], expected: Path | None) -> None:
    assert cache_folder(environ) == expected
