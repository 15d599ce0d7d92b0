"""Whatever is wrong outside gpuenv, with files, folders, variables and words, is one clear error: never "a bug".

Most of it runs in this process, through the real command line, so that every command can be given every fault.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from gpuenv.cli import app
from support.cli import Person, command

DIGITS = "9" * 5000
TAG = f"cp{sys.version_info.major}{sys.version_info.minor}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a run in this process said."""

    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person.at(tmp_path)


@pytest.fixture
def run(person: Person, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Runs the command line here, offline unless a test says otherwise: an error before any network use."""
    monkeypatch.chdir(person.project)
    monkeypatch.setenv("HOME", str(person.home))
    before = signal.getsignal(signal.SIGTERM)

    def work(*words: str, **environ: str) -> Said:
        code = app.main(list(words), environ=person.world(**{"GPUENV_OFFLINE": "1", **environ}))
        said = capsys.readouterr()
        return Said(code=code, out=said.out, err=said.err)

    yield work
    signal.signal(signal.SIGTERM, before)


def one_error(said: Said, *, code: int, says: str) -> None:
    """One error, which names the place; and as JSON just the same."""
    assert said.code == code, said
    assert says in said.err, said
    assert [line for line in said.err.splitlines() if line.startswith("error: ")][1:] == [], said
    assert "has a bug" not in said.err + said.out, said
    assert "Traceback" not in said.err, said
    if said.out:
        envelope = json.loads(said.out)
        assert (envelope["status"], envelope["exit_code"], len(envelope["errors"])) == ("error", code, 1)


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def circle(path: Path) -> None:
    path.symlink_to(path.name)


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def content(body: bytes | str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        path.write_bytes(body if isinstance(body, bytes) else body.encode())

    return write


NO_FILE = {
    "a folder": (folder, "it is a folder"),
    "a pipe": (pipe, "it is a pipe or a device"),
    "a device": (device, "it is a pipe or a device"),
    "a circle of links": (circle, "its links lead in a circle"),
    "a terabyte": (huge, "it has more than"),
    "not UTF-8": (content(b"\xff\xff"), "it is not UTF-8 text: byte 0xff at 0"),
}
NO_TOML = {
    **NO_FILE,
    "not TOML": (content("a = "), "TOML"),
    "thousands of digits": (content(f"a = {DIGITS}"), "it holds a number of 1,000 digits"),
    "deep nesting": (content("a = " + "[" * 100_000), "it is nested too deeply"),
    "nothing but noise": (content(b"\0\0\0"), "TOML"),
}
NO_JSON = {
    **NO_FILE,
    "empty": (content(""), "not JSON"),
    "thousands of digits": (content('{"os": %s}' % DIGITS), "it holds a number of 1,000 digits"),  # noqa: UP031
    "deep nesting": (content("[" * 100_000), "it is nested too deeply"),
    "no number": (content('{"os": NaN}'), "NaN is not a number in JSON"),
    "no machine": (content("5"), "expected an object"),
}


def cases(faults: dict[str, tuple[Callable[[Path], None], str]]) -> pytest.MarkDecorator:
    rows = [pytest.param(make, says, id=name) for name, (make, says) in faults.items()]
    return pytest.mark.parametrize(("make", "says"), rows)


@cases(NO_JSON)
@pytest.mark.parametrize("verb", ["resolve", "lock", "create"])
@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
def test_a_machine_file(
    person: Person, run: Run, verb: str, as_json: tuple[str, ...], make: Callable[[Path], None], says: str
) -> None:
    make(person.project / "machine.json")
    said = run(verb, "--machine", "machine.json", *as_json)
    one_error(said, code=2, says=says)
    assert "machine.json" in said.err


@cases(NO_TOML)
@pytest.mark.parametrize("words", [("resolve",), ("lock",), ("create",), ("profiles", "show", "mine"), ("profiles",)])
def test_a_profile(person: Person, run: Run, words: tuple[str, ...], make: Callable[[Path], None], says: str) -> None:
    (person.project / "profiles").mkdir()
    make(person.project / "profiles/mine.toml")
    said = run(*words, *(() if words[0] == "profiles" else ("--profile", "mine")), "--json")
    one_error(said, code=2, says=says)
    assert "profiles/mine.toml" in said.err


@cases(NO_TOML)
@pytest.mark.parametrize("name", ["gpuenv.toml", "pyproject.toml"])
@pytest.mark.parametrize("verb", ["detect", "matrix"])
def test_settings(person: Person, run: Run, name: str, verb: str, make: Callable[[Path], None], says: str) -> None:
    make(person.project / name)
    said = run(verb, "--json")
    one_error(said, code=2, says=says)
    assert name in said.err


@cases(NO_TOML)
@pytest.mark.parametrize(
    "words",
    [
        ("lock", "--profile", "cpu", "--check"),
        ("create", "--profile", "cpu"),
        ("diff", "lock", "lock", "--profile", "cpu"),
        ("store", "export", "out", "--profile", "cpu"),
    ],
    ids=lambda words: words[0],
)
def test_a_lock(person: Person, run: Run, words: tuple[str, ...], make: Callable[[Path], None], says: str) -> None:
    (person.project / "lockfiles").mkdir()
    make(person.project / "lockfiles/pylock.cpu.toml")
    said = run(*words, "--json")
    one_error(said, code=2, says=says)
    assert "pylock.cpu.toml" in said.err


@pytest.mark.parametrize("as_json", [(), ("--json",)], ids=["text", "json"])
@pytest.mark.parametrize(
    ("words", "environ", "says"),
    [
        (("resolve", "--gpu", DIGITS), {}, "--gpu"),
        (("resolve", "--python", "3." + DIGITS), {}, "--python"),
        (("resolve", "--torch", "==" + DIGITS), {}, "--torch"),
        (("resolve", "--variant", "cu" + DIGITS), {}, "--variant"),
        (("resolve", "--profile", "\udcff"), {}, "argument 3 is not UTF-8 text"),
        (("inspect", "\udcff.whl"), {}, "argument 2 is not UTF-8 text"),
        (("resolve",), {"GPUENV_GPU": DIGITS}, "GPUENV_GPU"),
        (("resolve",), {"GPUENV_GPU": "\N{SUPERSCRIPT TWO}"}, "GPUENV_GPU"),
        (("detect",), {"GPUENV_PROFILE": "\udcff"}, "GPUENV_PROFILE is not UTF-8 text"),
        (("detect",), {"PIP_INDEX_URL": "http://canary@x/\udcff"}, "PIP_INDEX_URL is not UTF-8 text"),
        (("detect",), {"https_proxy": "http://canary@x/\udcff"}, "https_proxy is not UTF-8 text"),
        (("detect", "--cache-dir", "~nobody-of-that-name/x"), {}, "there is no user 'nobody-of-that-name'"),
        (("create", "~"), {}, "is your home folder"),
        (("run", "--env=~nobody-of-that-name/x", "--", "python"), {}, "there is no user 'nobody-of-that-name'"),
        (("detect",), {"GPUENV_STORE": "~nobody-of-that-name/x"}, "there is no user 'nobody-of-that-name'"),
        (("detect",), {"HOME": ""}, "HOME is not set"),
        (("inspect", "/dev/zero"), {}, "/dev/zero"),
        (("inspect", "."), {}, "there is no wheel at "),
        (("verify", "/dev/zero"), {}, "/dev/zero"),
        (("diff", "lock", "/dev/zero"), {}, ""),
        (("store", "export", "/dev/null/x", "--profile", "cpu"), {}, ""),
        (("lock", "--for", "/dev/zero"), {}, "/dev/zero"),
    ],
)  # fmt: skip
def test_words_and_variables(
    run: Run, words: tuple[str, ...], environ: dict[str, str], says: str, as_json: tuple[str, ...]
) -> None:
    said = run(*words, *as_json, **environ)
    one_error(said, code=2, says=says)
    assert "canary" not in said.out + said.err


@pytest.mark.parametrize("text", ['machine = "a\\u0000b"', 'find-links = ["a\\u0000b"]', 'index = "http://a\\u0000b"'])
def test_nul_bytes_in_settings(person: Person, run: Run, text: str) -> None:
    person.write("gpuenv.toml", text)
    one_error(run("resolve", "--json"), code=2, says="must not hold a NUL byte")


@pytest.mark.parametrize(
    ("verb", "place"),
    [
        *(("lock", place) for place in ("lockfiles", "cache")),
        *(("create", place) for place in ("lockfiles", "cache", "state", "evidence")),
    ],
)
@pytest.mark.parametrize("kind", ["a file", "nowhere"])
def test_a_folder_that_cannot_be_written(person: Person, run: Run, verb: str, place: str, kind: str) -> None:
    """Before anything is asked of the network. ``/proc`` lets nobody make a folder, whoever runs this."""
    environ: dict[str, str] = {}
    if place in ("cache", "state"):
        path = person.project / place if kind == "a file" else Path("/proc/1/nowhere")
        environ[f"GPUENV_{place.upper()}_DIR"] = str(path)
    else:
        path = person.project / place
    if kind == "a file":
        path.write_text("mine")
    elif place in ("lockfiles", "evidence"):
        path.symlink_to("/nowhere/at/all")
    said = run(verb, "--profile", "cpu", "--json", **environ)
    if kind == "nowhere" and place in ("cache", "state") and said.code == 4:
        pytest.skip("this system lets even that be written, and only the network is missing")
    one_error(said, code=2, says=str(path))


def gpuenv(person: Person, shell: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which ``gpuenv`` is this checkout's."""
    line = shell.replace("gpuenv", " ".join(f"'{word}'" for word in command()), 1)
    return subprocess.run(
        ["sh", "-c", line], cwd=person.project, env=person.world(**environ), capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("shell", "code"),
    [
        ("gpuenv matrix >&-", 0),
        ("gpuenv matrix 2>&-", 0),
        ("gpuenv matrix <&- >&- 2>&-", 0),
        ("gpuenv --version >&-", 0),
        ("gpuenv matrix > /dev/full", 3),
        ("gpuenv matrix --json > /dev/full", 3),
        ("gpuenv --version > /dev/full", 3),
        ("gpuenv --help > /dev/full", 3),
        ("gpuenv resolve --profile nothing 2> /dev/full", 2),
        ("gpuenv resolve --profile nothing 2>&-", 2),
        ("PYTHONIOENCODING=ascii gpuenv matrix", 0),
        ("mkdir gone; cd gone; rmdir ../gone; gpuenv detect", 2),
    ],
)
def test_streams_and_folders_that_are_gone(person: Person, shell: str, code: int) -> None:
    done = gpuenv(person, shell)
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert "has a bug" not in done.stdout + done.stderr
    assert done.stderr.count("error: ") == (1 if code and "2>" not in shell else 0)
