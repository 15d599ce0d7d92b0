"""A short, always equal part of ``make fuzz``: every reader with its samples, some changed ones, and what it was once
wrong about."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import pytest

from fuzz.judge import SECRET, Target, judge
from fuzz.mutate import mutate
from fuzz.targets import READERS, locks
from fuzz.whole import WHOLE
from gpuenv.errors import GpuenvError

TARGETS = {target.name: target for target in (*READERS, *WHOLE)}
_FACTS = (
    b'{"cuda": "", "sass": ["sm_90"], "ptx": [], "requires_dist": [], "requires_python": "", "git": null, '
    b'"origin": "wheel", "detail": ""}'
)
_METADATA = b"Name: torch\nVersion: 2.10.0+cu128\n"


def _page(**changes: object) -> bytes:
    file = {"filename": "torch-2.10.0-cp312-cp312-manylinux_2_28_x86_64.whl", "url": "https://h.example/torch.whl"}
    file["url"] = f"https://download.pytorch.org/whl/cu128/{file['filename']}"
    return json.dumps({"meta": {"api-version": "1.0"}, "files": [{**file, **changes}]}).encode()


def _row(name: str, folder: str = "cu128") -> bytes:
    return _page(filename=name, url=f"https://download.pytorch.org/whl/{folder}/{name.replace('+', '%2B')}")


FOUND: tuple[tuple[str, bytes], ...] = (
    # A range of Pythons, a version or a marker that cannot be read ended in a traceback.
    ("page-json", _page(**{"requires-python": "İ3.10"})),
    ("page-html", b"<a href='/whl/cu128/torch-2.10.0-py3-none-any.whl' data-requires-python='&gt;=3.'>x</a>"),
    ("metadata", _METADATA + b"Requires-Python: >=3."),
    ("metadata", _METADATA + b"Requires-Dist: torchvision; os_name ~= 'x'\n"),
    ("metadata", _METADATA + b"Requires-Dist: numpy; 'x' in extras\n"),
    ("metadata", _METADATA + b"Requires-Dist: numpy>=" + b"9" * 5000),
    ("page-json", _page(url="https://download.pytorch.org/whl/cpu/torch-2.2.2-cp312-none-macosx\x7f10_9_x86_64.whl")),
    ("page-json", _row("torch-2.10.0-cp38.cp3x-none-manylinux_2_28_x86_64.whl")),
    ("page-json", _row("torch-2.11.0.dev20260231+cu128-cp312-cp312-manylinux_2_28_x86_64.whl", folder="nightly/cu128")),
    ("page-json", _page(**{"upload-time": "soon"})),
    # An address with half of the brackets of an IPv6 one.
    ("project-lock", b"--index-url https://x[3cret@x.example/simple\ntorch==2.9.1+cu128\n"),
    # Halves of surrogate pairs, which JSON can spell.
    ("page-json", _page(yanked="\udcff")),
    ("page-json", b'{"meta": {"api-version": "1.0"}, "projects": [{"name": "https://[::1"}]}'),
    # Entries of another shape under a checksum that is right.
    ("facts", _FACTS.replace(b'"wheel"', b"{}")),
    ("kept-page", b'{"url": 1, "content_type": "", "etag": "", "modified": "", "fetched": "x", "body": 0}\n'),
    # An index of a project that is no address; a line of it thousands of times.
    ("asking-file", b'pyproject.toml\n[project]\ndependencies = ["a"]\n[tool.uv]\nindex-url = "http://[x/whl/cu118"\n'),
    ("asking-file", b"environment.yml\ndependencies:\n" + b"  - pytorch=2.1\n" * 5000),
    # Environments that somebody else made.
    ("environment", b"WHEEL\nWheel-Version: 1.0\nTag: os\n"),
    ("environment", b"METADATA\nName: numpy\xff\nVersion: 2.1.0\n"),
    ("environment", b"pyvenv.cfg\nhome = /usr/bin\nversion_info = 3\n"),
    ("environment", b"pyvenv.cfg\nhome = /usr/b\0in\nversion_info = 3.12\n"),
    # Numbers with dots where a file said something else.
    ("environment", b"version.py\n__version__ = '2.10.0'\ncuda: str | None = 'x'\n"),
    ("profile", 'description = "x"\npackages = ["torch"]\n[machine]\nleast-driver = "١٢"\n'.encode()),
    ("variables", b"CUDA_VISIBLE_DEVICES=" + b"9" * 5000),
    ("variables", b"SLURM_JOB_ID=1\nSLURM_GPUS_ON_NODE=" + b"9" * 5000),
    ("uv-lock", locks()[0].replace(b'url = "https://', b'url = "//[')),
    # A line of a driver's library may hold anything.
    ("nvml", b"[" * 100_000),
    # A name of a third of a mebibyte was taken apart once for each card of the table.
    ("nvidia-smi", b"570.86.10, 0, GPU-1, 0, 1, [N/A], [N/A], " + b"NVIDIA x " * 110_000),
    ("profile", b'description = "x"\npackages = ["torch"]\n[verification]\nloss-below = 1' + b"0" * 400),
    ("profile", b'description = "x"\npackages = ["torch", "}"]\n'),
    # Addresses: secrets in the path of another one, or more than one where one is meant.
    ("uv-words", b"error: Failed to fetch: `\r\n://me:" + SECRET.encode() + b"@h.example/x/`\n  Caused by: (404)\n"),
    ("pip-and-netrc", b"pip.conf\n[global]\nindex-url = https://a/ https://me:" + SECRET.encode() + b"@h.example/\n"),
    # Every step of a long word was tried as the beginning of an address.
    ("name", b"A" * 80_000 + b" ://x"),
)  # fmt: skip


@pytest.mark.parametrize(("name", "data"), FOUND, ids=[f"{name}-{number}" for number, (name, _) in enumerate(FOUND)])
def test_what_was_found_once(tmp_path: Path, name: str, data: bytes) -> None:
    found = judge(TARGETS[name], data, tmp_path)
    assert found is None, found.words


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_changed_samples(tmp_path: Path, target: Target) -> None:
    """Samples are read without an error, but for those that are one; changed ones come to an answer or an error."""
    samples = target.samples()
    for data in (*samples, *(mutate(Random(f"{target.name} {n}"), target.kind, samples) for n in range(target.short))):
        found = judge(target, data, tmp_path)
        assert found is None, f"{found.words}\n{found.data!r}"


@pytest.mark.parametrize("target", READERS, ids=[target.name for target in READERS])
def test_samples_are_what_the_reader_is_for(tmp_path: Path, target: Target) -> None:
    """Otherwise every change of one would be refused at its first line, and prove nothing."""
    if target.name == "uv-words":
        pytest.skip("what uv says when it fails is an error whatever it is")
    for data in target.samples():
        try:
            target.read(data, tmp_path)
        except GpuenvError as error:
            pytest.fail(f"{error.message}: {data[:200]!r}")


def _raising(data: bytes, room: Path) -> object:
    match data:
        case b"bug":
            raise KeyError("x")
        case b"secret":
            raise GpuenvErrorOfTests(f"cannot read {SECRET} of x")
        case b"loop":
            while True:
                pass
        case _:
            return None


class GpuenvErrorOfTests(GpuenvError):
    exit_code = 2


@pytest.mark.parametrize("data", [b"bug", b"loop"])
def test_the_judge_sees_what_must_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr("fuzz.judge.CPU_SECONDS", 0.2)
    target = Target(name="x", kind="text", samples=lambda: [b""], read=_raising)
    assert judge(target, b"", tmp_path) is None
    assert judge(target, data, tmp_path) is not None
