"""Kinds of input that take a server, a child process or the whole command line to be read."""

from __future__ import annotations

import contextlib
import io
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fuzz.judge import Target, Wrong, check_error, check_words
from fuzz.targets import (
    SECRET,
    TORCH,
    concluded_of,
    fresh,
    html_pages,
    json_pages,
    locks,
    machines,
    named,
    packed,
    pip_files,
    profiles,
    shown,
    wheels,
)
from gpuenv.cli.app import main
from gpuenv.errors import GpuenvError
from gpuenv.index.config import Place
from gpuenv.index.source import load_source
from gpuenv.index.wheelfile import read_contents
from gpuenv.machine.detect import detect
from gpuenv.net.access import Access
from gpuenv.net.client import Client
from gpuenv.net.download import Download, Partial
from gpuenv.net.location import Location
from gpuenv.report import Silent
from support.cli import machine_json
from support.fake_nvml import H200, FakeGpu, FakeMachine
from support.raw_server import RawServer
from support.trees import Tree

NOWHERE = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1,localhost"}
"""A redirect that leads away from this machine is refused at once."""


# Answers of servers


def answers() -> list[bytes]:
    page, wheel = html_pages()[0], wheels()[2]
    plain = b'HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nETag: "x"\r\nContent-Length: %d\r\n\r\n%s'
    gzipped = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s"
    part = (
        b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-%d/%d\r\nAccept-Ranges: bytes\r\n"
        b"Last-Modified: Wed, 01 Apr 2026 00:00:00 GMT\r\nContent-Length: %d\r\n\r\n%s"
    )
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(page), page)
    away = b"HTTP/1.1 302 Found\r\nLocation: https://me:" + SECRET.encode() + b"@elsewhere.example/x?sig=1\r\n\r\n"
    busy = b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: Wed, 01 Apr 2026 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n"
    asked = b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n'
    whole = packed(page)
    return [
        *(plain % (len(page), page), gzipped % (len(whole), whole), chunked, away, busy, asked),
        part % (len(wheel) - 1, len(wheel), len(wheel), wheel),
        plain.replace(b"text/html; charset=utf-8", b"application/vnd.pypi.simple.v1+json")
        % (len(json_pages()[1]), json_pages()[1]),
    ]


class _Server:
    """One server for all inputs: it sends the same bytes to everybody who asks, and closes."""

    def __init__(self) -> None:
        self.answer = b""
        self.raw = RawServer(self._script)
        self.raw.__enter__()

    def _script(self, connection: Any, stopping: threading.Event) -> None:
        connection.settimeout(5)
        if connection.recv(65536):
            connection.sendall(self.answer)


_server: list[_Server] = []


def serve(answer: bytes) -> str:
    """The address at which ``answer`` is what every request gets."""
    if not _server:
        _server.append(_Server())
    _server[0].answer = answer
    return _server[0].raw.url


def read_answer(data: bytes, room: Path) -> object:
    where = Location.parse(f"{serve(data).replace('//', f'//me:{SECRET}@')}/whl/torch/", origin="test")
    access = Access(connect_timeout=2.0, read_timeout=2.0, deadline=5.0, retries=1, backoff=0.0)
    cache = fresh(room / "http")

    def page(http: Client) -> object:
        return load_source(Place(kind="mirror", location=where, configured_by="test"), http, projects=["torch"])

    def wheel(http: Client) -> object:
        return read_contents(where.below(TORCH), http=http, filename=TORCH)

    def download(http: Client) -> object:
        partial = Partial(fresh(room / "partial"))
        with Silent().task("") as task:
            return Download(client=http, where=where.below(TORCH), partial=partial, task=task).run()

    for ask in (page, wheel, download):
        with Client(cache=cache, environ=NOWHERE, access=access, sources=[where], sleep=lambda _: None) as http:
            try:
                ask(http)
            except GpuenvError as error:
                check_error(error, secret=True)
    return None


# NVML's and nvidia-smi's answers in children


def drivers() -> list[bytes]:
    gpu = {
        "name": "NVIDIA H100",
        "capability": [9, 0],
        "memory_bytes": 85520809984,
        "uuid": "GPU-1",
        "bus": "00000000:01:00.0",
    }
    more = {**gpu, "uuid": "GPU-2", "mig": 1, "slices": 7, "fabric": 3, "mode": 3, "virtual": 2, "licensed": True}
    one = {
        "driver": "570.86.10",
        "cuda": 12080,
        "gpus": [gpu, more],
        "faults": {"nvmlDeviceGetUUID:1": 15},
        "noise": "x\n",
    }
    two = {"driver": "535.1", "cuda": 0, "cuda_known": 12020, "gpus": [], "faults": {"nvmlInitWithFlags": "abort"}}
    return [json.dumps(each).encode() for each in (one, two)]


def read_driver(data: bytes, room: Path) -> object:
    with suppress(ValueError, TypeError, AttributeError, LookupError, OverflowError):
        knobs = json.loads(data)
        gpus = tuple(_gpu(each) for each in knobs.pop("gpus", [])[:3])
        faults = {
            str(key).replace("\0", ""): str(code).replace("\0", "") for key, code in knobs.pop("faults", {}).items()
        }
        faults = {key: "abort" if code == "hang" else code for key, code in faults.items()}
        made = FakeMachine(
            gpus=gpus or (FakeGpu(), H200),
            driver=_plain(knobs.get("driver", "")),
            cuda=int(knobs.get("cuda", 0)),
            noise=_plain(knobs.get("noise", "")),
            faults=faults,
            library_version="1",
        )
        environ = made.environ(room / "driver")
        return concluded_of(detect(environ=environ, root=_tree(room), platform="linux", timeout=20.0))
    return None


def _tree(room: Path) -> Path:
    if not (room / "root").is_dir():
        Tree(room / "root").bus().pci(driver="nvidia").module().nodes()
    return room / "root"


def _plain(text: object) -> str:
    return str(text).replace("\0", "").encode("utf-8", "replace").decode()[:4000]


def _gpu(row: dict[str, Any]) -> FakeGpu:
    major, minor = row.get("capability", (0, 0))
    numbers = {key: int(row[key]) for key in ("mig", "slices", "fabric", "mode", "virtual") if key in row}
    texts = {
        key: _plain(row[key])[:80].replace("|", "").replace("\n", " ") for key in ("name", "uuid", "bus") if key in row
    }
    return FakeGpu(
        capability=(int(major), int(minor)), memory_bytes=int(row.get("memory_bytes", 0)), **numbers, **texts
    )


# The command line


def projects() -> list[bytes]:
    files = {
        "machine.json": machines()[0],
        "lockfiles/pylock.hopper.toml": locks()[0],
        "profiles/hopper.toml": profiles()[0],
        "pip.conf": pip_files()[0].partition(b"\n")[2],
        "gpuenv.toml": b'profile = "hopper"\npython = "3.12"\ntorch = ">=2"\nfind-links = ["wheels"]\n',
        f"wheels/{TORCH}": wheels()[1],
        "index": html_pages()[1],
    }
    return [name.encode() + b"\n" + body for name, body in files.items()]


def read_project(data: bytes, room: Path) -> object:
    """Run the commands that read a file of a project, with that file changed."""
    name, body = named(data)
    place = fresh(room / "project")
    known = dict(_split(each) for each in projects())
    known[name if name in known else "machine.json"] = body
    for file, content in known.items():
        (place / file).parent.mkdir(parents=True, exist_ok=True)
        (place / file).write_bytes(content)
    header = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(known["index"])
    index = serve(header + known["index"]) + "/whl"
    target = ["--machine", "machine.json"]
    for words in (
        ["resolve", *target, "--torch-index", index],
        ["resolve", *target, "--offline", "--json", "--find-links", "wheels"],
        ["doctor", *target],
        ["diff", "lock", "lockfiles/pylock.hopper.toml", "--profile", "hopper"],
        ["profiles", "--json"],
        ["inspect", f"wheels/{TORCH}"],
    ):
        run(words, place, PIP_CONFIG_FILE=str(place / "pip.conf"))
    return None


def _split(data: bytes) -> tuple[str, bytes]:
    return named(data)


def arguments() -> list[bytes]:
    lines = (
        *("resolve --profile hopper --machine machine.json --offline --explain", "profiles show hopper --json"),
        *("matrix --platform linux-x86_64 --format markdown", "diff lock lockfiles/pylock.hopper.toml", "help resolve"),
        *(
            "inspect wheels/x.whl --json -v",
            "doctor .venv --machine machine.json -q",
            "resolve --gpu 0,1 --torch >=2.9",
        ),
        *("resolve --python 3.12 --variant cu128 --channel nightly --exclude-newer 2026-01-31 --offline", "--version"),
        *(
            f"resolve --torch-index https://me:{SECRET}@127.0.0.1:9/whl --index https://127.0.0.1:9/",
            "--help",
            "detect -h",
        ),
    )
    return ["\n".join(line.split()).encode() for line in lines]


SAFE = frozenset({"resolve", "profiles", "matrix", "diff", "help", "inspect", "doctor"})
"""Commands that write nothing outside their folder."""


def read_arguments(data: bytes, room: Path) -> object:
    place = room / "arguments"
    if not place.is_dir():
        place.mkdir()
        (place / "machine.json").write_text(machine_json("9.0"))
    words = [word.replace("\0", "") for word in data.decode("utf-8", "surrogateescape").split("\n")]
    words = [word.replace("..", "").lstrip("/~") if "://" not in word else word for word in words[:40]]
    if not any(word in SAFE for word in words[:1]) or any(
        word.startswith(("file:", "--uv", "--store")) for word in words
    ):
        words = ["profiles", *words]
    run(words, place)
    return None


def run(words: list[str], place: Path, **more: str) -> int:
    """Run gpuenv here: its exit code is one that is documented and no bug, and what it prints is harmless."""
    home = place.parent / "home"
    home.mkdir(exist_ok=True)
    world = {"HOME": str(home), "PATH": os.environ.get("PATH", ""), "PIP_CONFIG_FILE": os.devnull, **NOWHERE, **more}
    out, err = io.StringIO(), io.StringIO()
    with _in(place), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(words, environ=world)
    if code not in range(7):
        raise Wrong(f"exit code {code}: {shown(err.getvalue()[-1500:])}")
    if "Traceback" in err.getvalue():
        raise Wrong(f"a traceback: {shown(err.getvalue()[-1500:])}")
    check_words(err.getvalue(), secret=False)
    check_words(out.getvalue(), secret=False)
    return code


@contextmanager
def _in(place: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(place)
    try:
        yield
    finally:
        os.chdir(before)


WHOLE = (
    Target(name="http", kind="bytes", samples=answers, read=read_answer, short=40),
    Target(name="nvml-library", kind="json", samples=drivers, read=read_driver, short=4),
    Target(name="project", kind="text", samples=projects, read=read_project, short=4),
    Target(name="arguments", kind="text", samples=arguments, read=read_arguments, short=4),
)
