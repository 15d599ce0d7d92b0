"""The scripts for GPU hosts, tried here on small packages: what they repack installs, and is the same again."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from uv import find_uv_bin

from gpu.check_evidence import lines_of
from gpu.repack import build, needed
from gpuenv.verify import evidence
from gpuenv.verify.messages import Message
from support.verify_observed import MACHINE, altered, observed, report_of

SCRIPTS = Path(__file__).resolve().parent.parent / "gpu"
FAMILY = "packaging"
OTHER = "rich"


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("index")
    build(out, variant="cu999", family=[FAMILY], also=[OTHER, "not-installed-anywhere"])
    return out


@pytest.fixture(scope="module")
def base(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = tmp_path_factory.mktemp("serve") / "port"
    server = subprocess.Popen([sys.executable, str(SCRIPTS / "serve.py"), str(index), str(port), str(os.getpid())])
    try:
        for _ in range(2400):
            if port.exists():
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port.read_text()}"
    finally:
        server.kill()
        server.wait()


def test_everything_that_is_needed_is_found_and_what_is_missing_is_named() -> None:
    found, missing = needed([OTHER, "not-installed-anywhere"])
    assert {OTHER, "pygments", "markdown-it-py", "mdurl"} <= found.keys()
    assert missing == ("not-installed-anywhere",)


def test_the_layout_is_that_of_the_real_index(index: Path) -> None:
    version = importlib.metadata.version(FAMILY)
    page = (index / "whl" / FAMILY / "index.html").read_text()
    assert f'href="/whl/cu999/{FAMILY}-{version}%2Bcu999-py3-none-any.whl#sha256=' in page
    assert "data-core-metadata" in page
    assert page == (index / "whl" / "cu999" / FAMILY / "index.html").read_text()
    assert 'href="cu999/"' in (index / "whl" / "index.html").read_text()
    assert not (index / "simple" / FAMILY).exists()
    assert (index / "simple" / OTHER / "index.html").exists()


def test_what_was_repacked_installs_and_equals_its_record(base: str, tmp_path: Path) -> None:
    version = importlib.metadata.version(FAMILY)
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "UV_CACHE_DIR": str(tmp_path / "cache")}
    uv = find_uv_bin()

    def run(*arguments: str) -> str:
        done = subprocess.run([uv, *arguments], env=environ, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("venv", "-q", "--no-config", "--python", sys.executable, str(tmp_path / "env"))
    sources = ["--index", f"{base}/whl/cu999", "--default-index", f"{base}/simple"]
    python = str(tmp_path / "env" / "bin" / "python")
    run("pip", "install", "-q", "--no-config", "--python", python, *sources, f"{FAMILY}=={version}+cu999", OTHER)
    listed = json.loads(run("pip", "list", "--no-config", "--python", python, "--format", "json"))
    assert {"name": FAMILY, "version": f"{version}+cu999"} in listed
    code = (
        "import packaging.version, rich.console; print(packaging.version.Version('1') < packaging.version.Version('2'))"
    )
    done = subprocess.run([python, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@pytest.mark.parametrize(
    ("asked", "status", "span"),
    [("bytes=0-9", 206, (0, 10)), ("bytes=5-", 206, (5, None)), ("bytes=-4", 206, (-4, None)), ("", 200, (0, None))],
)
def test_the_server_answers_ranges(
    base: str, index: Path, asked: str, status: int, span: tuple[int, int | None]
) -> None:
    path = next((index / "whl" / "cu999").glob("*.whl"))
    url = f"{base}/whl/cu999/{path.name.replace('+', '%2B')}"
    with urlopen(Request(url, headers={"Range": asked} if asked else {})) as answer:
        assert answer.status == status
        assert answer.read() == path.read_bytes()[slice(*span)]


ABOUT = evidence.About(created="2026-11-22T12:00:00Z", gpuenv="0.1.0", command="x", environment=".venv-gpu")


def _missed(edit=None) -> list[str]:
    value = evidence.to_json(report=report_of(observed(edit=edit)), machine=MACHINE, about=ABOUT)
    return [words for kept, words in lines_of(value, within=30, gpus=1) if not kept]


def test_the_promises_are_held_against_the_evidence() -> None:
    # Recorded before the learning rate rose over six steps: one seed ended above the promised loss.
    assert [words.partition(":")[0] for words in _missed()] == ["final loss at most 2.8 with three seeds"]

    def slow(message: Message) -> Message:
        if message.event == "step":
            return altered(message, seconds=1.0, loss=2.0 if message.whole("step") == 14 else message.number("loss"))
        return message

    assert [words.partition(":")[0] for words in _missed(slow)] == [
        "step by step at least the 31.7 samples/s of the reference run",
        "as a graph at least 400 samples/s",
    ]
