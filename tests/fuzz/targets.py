"""The kinds of input that come from elsewhere: real samples of each, and the readers that take it.

Where one file of several is meant, the first line of an input names it.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from fuzz.asking import asking_files, read_asking_file
from fuzz.judge import SECRET, Target, check_words, secret_at_stake
from gpuenv.cli import project as projects
from gpuenv.cli import settings
from gpuenv.cli.app import _options
from gpuenv.companions.library import make_facts, read_raw
from gpuenv.companions.wheel import list_libraries, read_package
from gpuenv.doctor.environment import diagnose_environment
from gpuenv.doctor.examination import examine
from gpuenv.doctor.family import diagnose_family
from gpuenv.doctor.machine import diagnose_machine
from gpuenv.doctor.report import read_findings
from gpuenv.environment import compiling, interpreters, records, roots
from gpuenv.environment.store import Store
from gpuenv.environment.translate import translate
from gpuenv.errors import UsageError
from gpuenv.index.config import plan_sources
from gpuenv.index.facts import _FORMAT, WheelFacts, checksum, row_key
from gpuenv.index.inside import built_with, compiled_for, requirements_of, variant_in
from gpuenv.index.listed import decode, encode
from gpuenv.index.names import channel_of, parse_name, variant_of
from gpuenv.index.page import parse_page
from gpuenv.index.source import snapshot
from gpuenv.index.variant_folders import Layout, read_layout
from gpuenv.index.wheelfile import open_wheel, read_contents
from gpuenv.installed.drift import added, drift
from gpuenv.installed.environment import read_environment
from gpuenv.installed.fatbin import FatbinError, read_code, read_library
from gpuenv.knowledge import load
from gpuenv.lock import codec
from gpuenv.lock.codec import to_requirements
from gpuenv.lock.diff import diff
from gpuenv.lock.fit import fits_machine, newer_release
from gpuenv.lock.model import Lock
from gpuenv.lock.soundness import faults_of
from gpuenv.lock.target import marker_environment
from gpuenv.machine import conclusion, cuda, linux, nvml, smi
from gpuenv.machine.cuda import Checkup
from gpuenv.machine.detection import Detection
from gpuenv.machine.file import failure_in, parse_machine
from gpuenv.machine.linux import Remains
from gpuenv.machine.origin import cdi_specs, origin_of
from gpuenv.machine.problem import Evidence
from gpuenv.model.decision import Decision
from gpuenv.model.library import PackageFacts
from gpuenv.model.machine import ComputeCapability
from gpuenv.model.wheel import WheelContents
from gpuenv.net.access import netrc_credentials, proxy_for
from gpuenv.net.cache import CacheEntry, PageCache, sha256
from gpuenv.net.client import Client
from gpuenv.net.download import Partial
from gpuenv.net.location import Location, public, redact, secrets_of
from gpuenv.profile import parse_profile
from gpuenv.project.judge import judge
from gpuenv.project.pins import MarkerTarget as Asked
from gpuenv.project.read import read_project
from gpuenv.project.verdicts import Bench
from gpuenv.select.companion_verdict import Surroundings, judge_package
from gpuenv.select.present import decision_to_json, explain, no_decision_to_json
from gpuenv.system.process import NotStarted
from gpuenv.verify import baseline
from gpuenv.verify.checks import make_report
from gpuenv.verify.evidence import About, to_json, write
from gpuenv.verify.runner import Message, PayloadJob, _Running
from support import choosing, fatbins, verify_observed
from support.cli import machine_json
from support.dependencies import linux as linux_target
from support.environments import Environment
from support.libraries import elf_library, pe_library
from support.recorded import recording
from support.trees import Tree
from support.wheels import as_zip64, build_wheel, torch_wheel

ROOT = Path(__file__).parents[2]
PAGE = f"https://someone:{SECRET}@download.pytorch.org/whl/torch/"
TORCH = "torch-2.10.0+cu128-cp312-cp312-manylinux_2_28_x86_64.whl"


def said(*texts: object) -> None:
    """What a reader made of an input is printed by somebody: it has to pass the console, and a file."""
    for text in texts:
        check_words(redact(str(text)).encode("utf-8", "backslashreplace").decode(), secret=False)


def shown(value: object) -> str:
    from gpuenv.report import visible

    return "\n".join(visible(line) for line in str(value).split("\n"))


def _files(folder: str, pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((ROOT / folder).glob(pattern))]


def named(data: bytes) -> tuple[str, bytes]:
    name, _, body = data.partition(b"\n")
    return name.decode("utf-8", "replace"), body


def _text(data: bytes) -> str:
    """As ``system.files.read_text`` hands it on; what is not UTF-8 it refuses, with its own tests."""
    return data.decode("utf-8", "replace").replace("\r\n", "\n")


# Index pages


@cache
def _rows() -> list[Any]:
    rows = recording().on("2026-05-01", projects=("torch", "torchvision", "torchaudio", "triton"))
    kept = [
        row
        for row in rows
        if row.tag.startswith("cp312") and "x86_64" in row.tag and row.variant in ("cu128", "cu130", "cpu")
    ]
    nightlies = [row for row in kept if ".dev" in row.version][-6:]
    return [*kept[:54], *nightlies]


def html_pages() -> list[bytes]:
    links = [
        f'<a href="/whl/{row.key.replace("+", "%2B")}#sha256={row.sha256}" data-requires-python="&gt;=3.10" '
        f'data-core-metadata="sha256={row.metadata_sha256}" data-upload-time="2026-04-01T00:00:00Z">x</a><br/>'
        for row in _rows()
    ]
    head = "<!DOCTYPE html>\n<html>\n<head><meta name='pypi:repository-version' content='1.4'></head>\n<body>\n"
    small = head + "\n".join(links[:4]) + "\n</body>\n</html>\n<!--TIMESTAMP 1752070396-->"
    whole = head + "<h1>Links for torch</h1>\n" + "\n".join(links) + "\n</body></html>"
    base = (
        f'<html><head><base href="https://cdn.example/whl/"></head><a data-yanked="bad" href=torch/{TORCH}>x</a></html>'
    )
    signed = f'<a href="https://cdn.example/{TORCH}?sig={SECRET}&amp;e=1">x</a> <a href="cu128/">cu128</a> simple index'
    return [each.encode() for each in (small, whole, base, signed)]


def json_pages() -> list[bytes]:
    files = [
        {
            "filename": row.filename,
            "url": f"https://download.pytorch.org/whl/{row.key.replace('+', '%2B')}",
            "hashes": {"sha256": row.sha256},
            "requires-python": ">=3.10",
            "core-metadata": {"sha256": row.metadata_sha256},
            "size": 900_000_000,
            "upload-time": "2026-04-01T00:00:00Z",
            "yanked": False,
        }
        for row in _rows()[:8]
    ]
    page = {"meta": {"api-version": "1.1"}, "name": "torch", "files": files, "versions": ["2.10.0"]}
    listing = {"meta": {"api-version": "1.0"}, "projects": [{"name": "torch"}, {"name": "cu128"}]}
    return [json.dumps(page).encode(), json.dumps({**page, "files": files[:1]}).encode(), json.dumps(listing).encode()]


def _page(kind: str) -> Callable[[bytes, Path], object]:
    def read(data: bytes, room: Path) -> object:
        page = parse_page(data, url=PAGE, content_type=kind, kind="pytorch")
        said(*(shown(each.reason) for each in page.skipped))
        check_words("\n".join(wheel.url for wheel in page.rows), secret_at_stake(data))
        snapshot(page.rows)
        return decide(page.rows)

    return read


def decide(wheels: Iterable[Any], contents: WheelContents | str = "it cannot be read") -> str:
    """The decision on rows, and all that is said of it."""
    machine = choosing.machine("12.0", "7.0")
    family = choosing.profile(packages=("torch", "torchvision"))
    text = ""
    for wish, asked in (
        (family, choosing.request()),
        (choosing.profile(), choosing.request(pythons=("3.14",))),
        (family, choosing.request(exclude_newer="2026-05-01", channel="auto")),
    ):
        answer, _ = choosing.settle(machine, wish, choosing.catalog(wheels), {}, asked, load(), read=lambda _: contents)
        text = json.dumps(decision_to_json(answer) if isinstance(answer, Decision) else no_decision_to_json(answer))
        said(*(shown(line) for line in explain(answer)))
    return text


# Names and addresses


def names() -> list[bytes]:
    rows = [row.filename for row in _rows()]
    more = [
        "whl/cu128/torch/",
        "host.example:8443/a/b?x=1#sha256=0",
        "[::1]:80/x",
        "/srv/wheels",
        "~/wheels",
        "h@i:j@k/l",
    ]
    return [each.encode() for each in (*rows[:12], *more)]


def read_name(data: bytes, room: Path) -> object:
    text = (
        data.decode("utf-8", "surrogatepass") if b"\xed" in data and _is_text(data) else data.decode("utf-8", "replace")
    )
    parse_name(text)
    for address in (text, f"https://download.pytorch.org/whl/{text}", f"https://me:{SECRET}@{text}", f"file:///{text}"):
        redact(address), secrets_of(address), public_or_none(address)
        with suppress(UsageError):
            where = Location.parse(address, origin="test", folder=room)
            said(shown(where.shown), shown(where.url), shown(repr(where)))
            check_words(shown(where.shown), secret=address.startswith(f"https://me:{SECRET}@") and SECRET not in text)
            (
                variant_of(where.url),
                channel_of(where.url),
                where.filename,
                where.below("x", page=True).follow(text, origin="x"),
            )
    proxy_for(Location.parse(PAGE, origin="t"), _access(), {"NO_PROXY": text})
    return None


def public_or_none(address: str) -> str | None:
    with suppress(UsageError):
        return public(address)
    return None


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return False
    return True


# Wheels


@cache
def wheels() -> list[bytes]:
    requires = ("triton==3.5.0; platform_system == 'Linux'", "numpy>=1.26", "torch[x]; extra == 'y'")
    made = [
        torch_wheel(
            "2.10.0+cu128", "cu128", archs=("75", "90", "120"), ptx=("120",), requires=requires, local=False
        ).body,
        build_wheel("torch", "2.10.0+cu128", requires=requires, compress=True, members=40).body,
        build_wheel("torch", "2.10.0+cu128", members=4).body,
    ]
    holding = {"torch/_C.so": libraries()[-2], "torch/lib/c10.dll": libraries()[-1], "torch/x.so": b"INPUT(-lx)"}
    made.append(build_wheel("torch", "2.10.0+cu128", files=holding, compress=True).body)
    return [*made, as_zip64(made[2])]


def read_wheel(data: bytes, room: Path) -> object:
    path = room / TORCH
    path.write_bytes(data)
    with Client(cache=room / "cache", environ={}, offline=True) as http:
        found = read_contents(path, http=http, filename=TORCH)
        with open_wheel(path, http=http) as wheel:
            package = read_package(wheel, list_libraries(wheel), project="torch", version="2.10.0")
    said(shown(found.contents), *package.unread)
    return decide([choosing.wheel("torch", "2.10.0+cu128")], found.contents)


def metadata() -> list[bytes]:
    made = build_wheel("torch", "2.10.0+cu128", requires=("numpy", "triton==3.5.0"), requires_python=">=3.10").metadata
    more = "Name: torch\nVersion: 2.10.0+cu128\n" + "".join(
        f"Requires-Dist: {each}\n"
        for each in (
            "nvidia-cublas-cu12==12.8.4.1; platform_system == 'Linux' and platform_machine == 'x86_64'",
            "torchvision (>=0.25,<1.0) ; extra == 'all'",
            "setuptools>=40; python_full_version >= '3.12.1' or os_name in 'nt posix'",
        )
    )
    return [made, more.encode()]


def read_metadata(data: bytes, room: Path) -> object:
    requires, python = requirements_of(data, filename=TORCH)
    contents = WheelContents(
        cuda="12.8", sass=("sm_70", "sm_120"), ptx=(), requires_dist=requires, requires_python=python
    )
    wheel = choosing.wheel("torch", "2.10.0+cu128", requires_python=python)
    vision = choosing.wheel("torchvision", "0.25.0+cu128")
    lock = _lock()
    package = replace(lock.packages[0], requires=requires)
    faults = faults_of(replace(lock, packages=(package, *lock.packages[1:])), profile=None, knowledge=load())
    said(*(shown(each) for each in faults))
    return decide([wheel, vision], contents)


def libraries() -> list[bytes]:
    sass = [fatbins.image("sass", number) for number in (75, 80, 120)]
    one = fatbins.library([[*sass, fatbins.image("ptx", 120)], sass[:1]])
    made = elf_library(
        needed=("libc10.so", "libcudart.so.12", "libc.so.6"),
        undefined=("_ZN3c106detail14torchCheckFailEPKcS2_jS2_", "aoti_torch_empty_strided", "PyObject_Call"),
        weak=("_ZN2at4weakEv",),
        defined=("PyInit__C",),
        versions={"libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.34"), "libstdc++.so.6": ("GLIBCXX_3.4.21",)},
        soname="_C.so",
        code=sass,
        relocatable=sass[:1],
    )
    portable = pe_library({"c10.dll": ("?f@c10@@YAXXZ",), "cudart64_12.dll": ("x",), "python3.dll": ()}, code=sass)
    plain = [fatbins.library([]), fatbins.library([sass], section=b".other"), fatbins.portable_library([sass])]
    return [one, *plain, made, portable]


def read_elf(data: bytes, room: Path) -> object:
    with suppress(FatbinError):
        read_code(data)
    with suppress(FatbinError):
        facts = make_facts([read_raw("torch/_C.cpython-312-x86_64-linux-gnu.so", data)])
        beside = Surroundings(torch="2.10.0", cuda="12.8", python="3.12", capabilities=(ComputeCapability(9, 0),))
        package = PackageFacts(project="companion", version="1", libraries=facts)
        verdict = judge_package(package, beside, knowledge=load())
        said(verdict.load, *verdict.missing, *verdict.without(ComputeCapability(9, 0)))
    path = room / "lib.so"
    path.write_bytes(data)
    with suppress(FatbinError):
        return read_library(path)
    return None


def build_files() -> list[bytes]:
    from support.wheels import cuda_config, version_file

    made = [cuda_config(("75", "90a", "120"), ("120",)), version_file("2.10.0+cu128", cuda="12.8", git="a" * 40)]
    return [each.encode() for each in made]


def read_build_file(data: bytes, room: Path) -> object:
    text = data.decode("utf-8", "replace")
    sass, ptx = compiled_for(text) or ((), ())
    contents = WheelContents(cuda=built_with(text).get("cuda") or "12.8", sass=sass, ptx=ptx, requires_dist=())
    variant_in(text)
    return decide([choosing.wheel("torch", "2.10.0+cu128")], contents)


# Files of the person: profiles, settings, machines, locks


def read_profile(data: bytes, room: Path) -> object:
    profile = parse_profile(_text(data), name="own", origin="profiles/own.toml")
    answer, _ = choosing.settle(
        choosing.machine("9.0"), profile, _offered(), {}, choosing.request(), load(), read=choosing.read_recorded
    )
    said(*(shown(line) for line in explain(answer)))
    return faults_of(_lock(), profile=profile, knowledge=load())


@cache
def _offered() -> Any:
    return choosing.catalog(choosing.of_row(row) for row in _rows())


def setting_files() -> list[bytes]:
    own = f"""profile = "hopper"\npython = "3.12"\nexclude-newer = "2026-01-31"\ngpu = [0, 1]\nfind-links = ["wheels"]
torch = ">=2.9"\nchannel = "auto"\nvariant = "cu128"\noffline = true\ntorch-index = "https://me:{SECRET}@mirror.example/whl"
machine = "machine.json"\nindex = "https://index.example/simple"\nallow-host = ["cdn.example"]\n"""
    table = "\n".join(["[project]", 'name = "x"', "[tool.gpuenv]", *own.splitlines()])
    return [b"gpuenv.toml\n" + own.encode(), b"pyproject.toml\n" + table.encode(), b"config.toml\n" + own.encode()]


def read_settings(data: bytes, room: Path) -> object:
    name, body = named(data)
    project, user = fresh(room / "project"), fresh(room / "user")
    ((user if name == "config.toml" else project) / (name if name in _SETTINGS else "gpuenv.toml")).write_bytes(body)
    return _settled({}, project, user)


_SETTINGS = ("gpuenv.toml", "pyproject.toml", "config.toml")


def _settled(environ: dict[str, str], project: Path, user: Path) -> object:
    found = settings.merge(arguments={}, environ=environ, project=project, user=user)
    settings.unknown_variables(environ, also=frozenset())
    options = _options(projects.anchor_settings(found, current=project, project=project))
    request = choosing.request(
        pythons=(options.python,) if options.python else choosing.PYTHONS,
        **{name: getattr(options, name) for name in ("torch", "channel", "variant", "gpus", "exclude_newer")},
    )
    answer, _ = choosing.settle(
        choosing.machine("9.0"), choosing.profile(), _offered(), {}, request, load(), read=choosing.read_recorded
    )
    said(*(shown(line) for line in explain(answer)))
    return plan_sources(
        torch_index=options.torch_index,
        index=options.index,
        find_links=options.find_links,
        allow_hosts=options.allow_hosts,
        environ=environ,
        platform="linux",
        folder=project,
    )


def variables() -> list[bytes]:
    lines = [
        *("GPUENV_PROFILE=hopper", "GPUENV_PYTHON=3.12", "GPUENV_GPU=0,1", "GPUENV_OFFLINE=1", "GPUENV_CHANEL=auto"),
        *("GPUENV_EXCLUDE_NEWER=2026-01-31T12:00:00Z", "GPUENV_TORCH=>=2.9", "GPUENV_FIND_LINKS=wheels ~/more"),
        *(f"PIP_INDEX_URL=https://me:{SECRET}@mirror.example/simple", "PIP_EXTRA_INDEX_URL=https://a/ https://b/"),
        *(
            "PIP_TIMEOUT=15",
            "PIP_FIND_LINKS=/srv/wheels",
            "HTTPS_PROXY=http://proxy:3128",
            "NO_PROXY=.example,10.0.0.0/8",
        ),
        *("UV_DEFAULT_INDEX=name=https://mirror.example/simple", "PIP_NO_INDEX=0", "PIP_PROXY=proxy:1"),
        *("SLURM_JOB_GPUS=0,1", "CUDA_VISIBLE_DEVICES=GPU-0,1", "NVIDIA_VISIBLE_DEVICES=all", "COLUMNS=80"),
    ]
    return ["\n".join(lines).encode(), *(line.encode() for line in lines)]


def read_variables(data: bytes, room: Path) -> object:
    pairs = (line.partition("=") for line in _text(data).replace("\0", "").split("\n"))
    environ = {name: value for name, _, value in pairs if name}
    settings.refuse_undecodable([], environ)
    environ |= {"HOME": str(room), "PIP_CONFIG_FILE": os.devnull}
    project = fresh(room / "project")
    machine = choosing.machine("12.0")
    said(
        *(
            shown(each.summary)
            for each in diagnose_machine(Detection(machine=machine), knowledge=load(), environ=environ)
        )
    )
    proxy_for(Location.parse(PAGE, origin="test"), _access(), environ)
    return _settled(environ, project, project)


def _access() -> Any:
    from gpuenv.net.access import Access

    return Access()


def sent_reports() -> list[bytes]:
    finding = {"subject": "driver", "severity": "error", "kind": "cuda-error", "summary": "a", "fix": "b"}
    whole = {
        "schema": {"name": "gpuenv-report", "version": "1"},
        "machine": json.loads(machine_json("12.0")),
        "errors": [],
        "environment": {"path": ".venv-gpu"},
        "findings": [finding, {"subject": "gpu", "severity": "ok", "summary": "c"}],
    }
    return [json.dumps(whole).encode(), json.dumps(whole | {"environment": None, "findings": []}).encode()]


def read_sent_report(data: bytes, room: Path) -> object:
    environment, findings = read_findings(_text(data), origin="report.json")
    said(*(shown(f"{environment} {each.summary} {each.detail} {each.fix}") for each in findings))
    return parse_machine(_text(data), origin="report.json", failed=True)


def layouts() -> list[bytes]:
    forms = {"cu128": "folders", "cpu": "flat", "cu999": "none"}
    known = Layout(listed=True, forms=forms, missing=("cu128/torchaudio",))  # type: ignore[arg-type] # Form
    return [json.dumps(asdict(each)).encode() for each in (known, Layout(itself=True))]


def read_kept_layout(data: bytes, room: Path) -> object:
    return read_layout(data)


def machines() -> list[bytes]:
    whole = {
        "schema": {"name": "gpuenv", "version": "1"},
        "command": "detect",
        "status": "ok",
        "data": json.loads(machine_json("12.0", "7.0")),
        "errors": [{"code": "driver", "message": "broken", "causes": ["a"], "hints": ["Reboot: `sudo reboot`"]}],
    }
    return [*_files("lockfiles/machines", "*.json"), machine_json("9.0").encode(), json.dumps(whole).encode()]


def read_machine(data: bytes, room: Path) -> object:
    text, made = _text(data), []
    for failed in (True, False):
        machine = parse_machine(text, origin="machine.json", failed=failed)
        made.append(machine)
        findings = diagnose_machine(Detection(machine=machine, problem=failure_in(text)), knowledge=load())
        said(*(shown(f"{each.summary} {each.detail} {each.fix}") for each in findings))
    again = json.dumps(machine.to_json())
    if parse_machine(again, origin="again") != machine:
        raise AssertionError(f"it is not read back as it was written: {again}")
    answer, _ = choosing.settle(
        machine, choosing.profile(), _offered(), {}, choosing.request(), load(), read=choosing.read_recorded
    )
    said(*(shown(line) for line in explain(answer)))
    return fits_machine(_lock(), machine, load())


@cache
def _lock() -> Lock:
    return codec.parse(_files("lockfiles", "pylock.ampere.toml")[0].decode(), origin="lock")


@cache
def locks() -> list[bytes]:
    """A few rows of a real lock: the shape of the rest is the same."""
    lock = _lock()
    return [codec.render(replace(lock, packages=lock.packages[:number])).encode() for number in (1, 4)]


def read_lock(data: bytes, room: Path) -> object:
    lock = codec.parse(_text(data), origin="pylock.own.toml")
    text = codec.render(lock)
    text.encode()
    again = codec.parse(text, origin="again")
    if codec.render(again) != text:
        raise AssertionError("a lock that was read is not written the same again")
    said(*(shown(each) for each in faults_of(lock, profile=None, knowledge=load())))
    said(*(shown(line) for line in diff(_lock(), lock).lines))
    Store(room / "store").missing(lock)
    machine = choosing.machine("9.0")
    fits_machine(lock, machine, load()), newer_release(lock, machine, load())
    return to_requirements(lock)


def read_uv_lock(data: bytes, room: Path) -> object:
    return compiling.read_answer(_text(data), linux_target())


# What other tools lock


def project_locks() -> list[bytes]:
    folder = ROOT / "tests/data/locks"
    names = ("uv-platforms/uv.lock", "poetry/poetry.lock", "pdm/pdm.lock", "pixi/pixi.lock", "conda/environment.yml")
    wheel = "https://x.example/torch-2.9.1%2Bcu128-cp312-cp312-win_amd64.whl"
    small = (
        f"--index-url https://u:{SECRET}@x.example/simple\ntorch==2.9.1+cu128 --hash=sha256:00\n-e ./x[a]\n"
        f"{wheel} ; python_version > '3'\n"
    )
    pylock = (
        "lock-version = '1.0'\nextras = ['gpu']\n[[packages]]\nname = 'torch'\nversion = '2.9.1'\n"
        f"marker = \"'gpu' in extras\"\nwheels = [{{ url = '{wheel}' }}]\n"
    )
    return [*((folder / name).read_bytes() for name in names), small.encode(), pylock.encode()]


def read_project_lock(data: bytes, room: Path) -> object:
    path = room / "project.lock"
    path.write_bytes(data)
    project = read_project(path, shown="project.lock", environ={}, relevant=lambda name: True)
    machine = choosing.machine("9.0", "12.0")
    target = Asked(markers=marker_environment(linux_target()), conda="linux-64")
    bench = Bench(machine=machine, python="3.12", knowledge=load(), facts={}, usual_index=project.usual_index)
    said(project.refuses(target))
    for each in project.sets(target):
        for row in judge(each.pins, bench):
            said(shown(f"{row.name} {row.version} {row.verdict.detail} {row.verdict.facts} {row.members}"))
    return project.count


# What gpuenv keeps


def markers() -> list[bytes]:
    return [json.dumps({
        "schema": {"name": "gpuenv-environment", "version": "1"}, "gpuenv": "0.1.0", "uv": "0.12.0", "python": "3.12.4",
        "profile": "auto", "lock": {"name": "pylock.auto.toml", "sha256": "0" * 64}, "created": "2026-11-22T10:00:00Z",
        "packages": [{"name": "torch", "version": "2.10.0", "record": "0" * 64, "family": True}],
    }).encode()]  # fmt: skip


_WHEEL = choosing.wheel("torch", "2.10.0+cu128", sha256="0" * 64)


def facts() -> list[bytes]:
    return [json.dumps({
        "cuda": "12.8", "sass": ["sm_90"], "ptx": [], "requires_dist": ["numpy"], "requires_python": ">=3.10",
        "git": None, "origin": "wheel", "detail": "x",
    }).encode()]  # fmt: skip


def read_facts(data: bytes, room: Path) -> object:
    """As it is, and as the contents of an entry whose checksum is right."""
    memory = WheelFacts(room / "facts")
    path = memory._path(row_key(_WHEEL))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    memory.get(_WHEEL)
    try:
        contents = json.loads(data)
        check = checksum(row_key(_WHEEL), contents)
    except (ValueError, RecursionError):
        return None
    entry = {"format": _FORMAT, "key": row_key(_WHEEL), "wheel": "x", "contents": contents, "check": check}
    path.write_text(json.dumps(entry))
    found = memory.get(_WHEEL)
    return decide([_WHEEL], found) if found is not None else None


_KEPT = Location.parse("https://download.pytorch.org/whl/torch/", origin="test")


def kept_pages() -> list[bytes]:
    body = html_pages()[0]
    entry = CacheEntry(
        url=_KEPT.url, content_type="text/html", etag='"x"', modified="", fetched=1e9, digest=sha256(body), body=body
    )
    return [entry.packed().partition(b"\n")[2]]


def read_kept_page(data: bytes, room: Path) -> object:
    """As it is, and under checksums that are right, as another version of gpuenv may have written it."""
    path = PageCache(room / "pages")._path(_KEPT)
    path.parent.mkdir(parents=True, exist_ok=True)
    head, _, body = data.partition(b"\n")
    with suppress(ValueError, TypeError, RecursionError):
        head = json.dumps({**json.loads(head), "digest": sha256(body)}).encode()
    for kept in (data, sha256(head).encode() + b"\n" + head + b"\n" + body):
        path.write_bytes(kept)
        with Client(cache=room / "pages", environ={}, offline=True) as http, suppress_offline():
            answer = http.get(_KEPT)
            parse_page(answer.body, url=answer.where.url, content_type=answer.content_type)  # type: ignore[union-attr]
    return None


def forms() -> list[bytes]:
    pages = [parse_page(body, url=PAGE, kind="pytorch") for body in html_pages()[:3]]
    return [form for page in pages if (form := encode(page)) is not None]


def read_form(data: bytes, room: Path) -> object:
    """A form comes to a page or to none. That it is the page that was kept is held by checksums, tried elsewhere."""
    page = decode(data)
    return None if page is None else encode(page)


def suppress_offline() -> Any:
    from gpuenv.errors import PackageIndexError

    return suppress(PackageIndexError)


def registrations() -> list[bytes]:
    row = {"lock": "/srv/project/lockfiles/pylock.hopper.toml", "digest": "0" * 64, "wheels": ["1" * 64, "2" * 64]}
    return [b"root\n" + json.dumps(row).encode(), b"record\n" + b"0" * 64 + b" " + b"1" * 64, b'partial\n"etag"']


def read_registration(data: bytes, room: Path) -> object:
    name, body = named(data)
    store = Store(fresh(room / "store"))
    if name == "record":
        path = store.folder / "record"
        path.write_bytes(body)
        return records._remembered(path, _silent())
    if name == "partial":
        (store.folder / "validator.json").write_bytes(body)
        return Partial(store.folder).validator
    with suppress(ValueError, TypeError, LookupError, AttributeError, RecursionError):
        row = json.loads(body)
        row["check"] = roots._digest(row["lock"], row["digest"], *row["wheels"])
        body = json.dumps(row).encode()
    (store.folder / "roots").mkdir()
    (store.folder / "roots/x.json").write_bytes(body)
    said(*(shown(root.words) for root in roots.roots(store)))
    return store.list()


def _silent() -> Any:
    from gpuenv.report import Silent

    return Silent()


# Environments that somebody else made


@cache
def _environment(room: Path) -> Environment:
    shutil.rmtree(room / "env", ignore_errors=True)
    shutil.rmtree(room / "env-base", ignore_errors=True)
    made = Environment(room / "env").torch("2.10.0+cu128", cuda="12.8", archs=("90", "120"), requires=("numpy>=1",))
    made.install("numpy", "2.1.0").install("torchvision", "0.25.0+cu128", requires=("torch==2.10.0",)).marked()
    (made.site / "own.pth").write_text("import os\n/srv/more\n")
    (made.site / "numpy-2.1.0.dist-info/direct_url.json").write_text("{}")
    return made


_PLACES = {
    "METADATA": "numpy-2.1.0.dist-info/METADATA",
    "RECORD": "numpy-2.1.0.dist-info/RECORD",
    "WHEEL": "numpy-2.1.0.dist-info/WHEEL",
    "INSTALLER": "numpy-2.1.0.dist-info/INSTALLER",
    "direct_url.json": "numpy-2.1.0.dist-info/direct_url.json",
    "own.pth": "own.pth",
    "version.py": "torch/version.py",
    "CUDAConfig.h": "torch/include/ATen/cuda/CUDAConfig.h",
    "gpuenv.json": "../../../gpuenv.json",
    "pyvenv.cfg": "../../../pyvenv.cfg",
}


def environments() -> list[bytes]:
    direct = json.dumps({"url": f"https://me:{SECRET}@h.example/numpy-2.1.0-py3-none-any.whl", "archive_info": {}})
    texts = {
        "METADATA": "Metadata-Version: 2.1\nName: numpy\nVersion: 2.1.0\nRequires-Python: >=3.10\nRequires-Dist: x\n",
        "RECORD": 'numpy/__init__.py,sha256=abc,0\n"a,b.py",,\n../../../bin/f2py,sha256=abc,3\nx/RECORD,,\n',
        "WHEEL": "Wheel-Version: 1.0\nTag: cp312-cp312-manylinux_2_28_x86_64\n",
        "INSTALLER": "uv\n",
        "direct_url.json": direct,
        "own.pth": "import os; os\n/srv/more\n../x\n",
        "version.py": "__version__ = '2.10.0+cu128'\ncuda: str | None = '12.8'\ngit_version = 'abc'\nhip = None\n",
        "CUDAConfig.h": '#define NVCC_FLAGS_EXTRA "-gencode;arch=compute_90,code=sm_90"\n',
        "gpuenv.json": markers()[0].decode(),
        "pyvenv.cfg": "home = /usr/bin\nversion_info = 3.12.4\ninclude-system-site-packages = false\n",
    }
    return [f"{name}\n{text}".encode() for name, text in texts.items()]


def read_installed(data: bytes, room: Path) -> object:
    name, body = named(data)
    made = _environment(room)
    place = made.site / _PLACES.get(name, _PLACES["METADATA"])
    before = place.read_bytes()
    try:
        place.write_bytes(body)
        facts = read_environment(made.path)
        machine = choosing.machine("12.0")
        examination = examine(facts, environ={"PATH": ""}, machine=machine, deep=True)
        findings = diagnose_environment(examination, knowledge=load())
        more = diagnose_family(examination, knowledge=load(), fix="gpuenv create")
        said(*(shown(f"{each.summary} {each.detail} {each.fix}") for each in (*findings, *more)))
        check_words(shown(redact(repr(facts.distributions))), secret_at_stake(body))
        drift(facts), added(facts), facts.orphans
    finally:
        place.write_bytes(before)
    return None


# The machine: NVML's and nvidia-smi's answers, files of the system


def nvml_lines() -> list[bytes]:
    gpu = [
        *(["call", "nvmlDeviceGetHandleByIndex", 0], ["fact", "uuid", 0, "GPU-1"], ["fact", "name", 0, "NVIDIA H100"]),
        *(
            ["fact", "capability", 0, [9, 0]],
            ["fact", "bus", 0, "00000000:01:00.0"],
            ["fact", "memory", 0, 85_520_809_984],
        ),
        *(["fact", "mig", 0, [1, 1]], ["fact", "slices", 0, 7], ["fact", "fabric", 0, 3], ["fact", "mode", 0, 0]),
        *(["fact", "licensed", 0, False], ["fail", "handle", 1, "nvmlDeviceGetHandleByIndex", 15, "GPU is lost"]),
    ]
    head = [
        *(["call", "nvmlInit", None], ["fact", "library", None, "/usr/lib/libnvidia-ml.so.570.86.10"]),
        *(["fact", "driver", None, "570.86.10"], ["fact", "cuda", None, 12080], ["fact", "count", None, 2]),
    ]
    lines = [json.dumps(each) for each in (*head, *gpu, ["end"])]
    refused = [json.dumps(["fail", "init", None, "nvmlInit", 18, "Driver/library version mismatch"]), '["end"]']
    return ["\n".join(lines).encode(), "\n".join(lines[:-4]).encode(), "\n".join(refused).encode()]


def smi_answers() -> list[bytes]:
    row = "570.86.10, 0, GPU-1, 00000000:01:00.0, 81559, [N/A], 9.0, NVIDIA H100 80GB HBM3"
    other = "570.86.10, 1, GPU-2, 00000000:02:00.0, 97871, Enabled, 12.0, NVIDIA RTX PRO 6000, Blackwell"
    return [
        each.encode() for each in (row, f"{row}\n{other}\n", "NVIDIA-SMI has failed because it couldn't communicate")
    ]


def concluded(answer: Any, *, asked: Any = None, host: Any = None) -> object:
    """What the sources together come to, with everything that is said of it."""
    evidence = Evidence(host=host, answer=answer, smi=asked, remains=Remains())
    return concluded_of(conclusion.conclude(evidence, system="linux", arch="x86_64", environ={}))


def concluded_of(detection: Detection) -> Detection:
    """A detection, when all is said of it."""
    findings = diagnose_machine(detection, knowledge=load(), environ={}, checkup=Checkup())
    said(*(shown(f"{each.summary} {each.detail} {each.fix}") for each in findings))
    text = json.dumps(detection.machine.to_json())
    if detection.problem is None:
        parse_machine(text, origin="machine.json")
    return detection


def read_nvml(data: bytes, room: Path) -> object:
    text = data.decode("utf-8", "replace")
    said(shown(cuda.fold(text, otherwise=cuda.CudaAnswer(ending="crashed", reason="x"))))
    for ending in ("crashed", "hung"):
        concluded(nvml.fold(text, ending=ending, ended_by="ended by SIGABRT"))  # type: ignore[arg-type]
    return None


def read_smi(data: bytes, room: Path) -> object:
    text = data.decode("utf-8", "replace")
    answer = nvml.finished(NotStarted(reason="no library"), timeout=1.0)
    for code in (0, 9):
        concluded(answer, asked=smi.parse(text, stderr=text, code=code, path="nvidia-smi"))
    return None


_SYSTEM = {
    "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.10  Wed\nGCC version: 13\n",
    "sys/module/nvidia/version": "570.86.10\n",
    "proc/driver/nvidia/gpus/0000:01:00.0/information": "Model: \t NVIDIA H100\nGPU UUID: \t GPU-1\n",
    "sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
    "sys/bus/pci/devices/0000:01:00.0/class": "0x030200\n",
    "sys/bus/pci/devices/0000:01:00.0/device": "0x2330\n",
    "proc/sys/kernel/osrelease": "6.8.0-51-generic\n",
    "proc/1/cgroup": "0::/docker/abc\n",
    "run/systemd/container": "podman\n",
    "proc/device-tree/compatible": "nvidia,p3737-0000+p3701-0005\0nvidia,tegra234\0",
    "lib/x86_64-linux-gnu/libc.so.6": "GNU C Library (GNU libc) stable release version 2.39.\n",
    "lib/ld-musl-x86_64.so.1": "\0" + "1.2.5\0",
    "lib/apk/db/installed": "P:musl\nV:1.2.5-r0\n",
    "proc/self/mountinfo": "36 35 98:0 / /usr/lib rw,noatime master:1 - ext3 /dev/root rw\n",
    "etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n/usr/local/cuda/lib64 # x\n",
    "etc/cdi/nvidia.yaml": "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: all\n",
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.0\n",
    "lib/modules/6.8.0-51-generic/modules.dep": "updates/dkms/nvidia.ko.zst:\n",
}


def system_files() -> list[bytes]:
    return [f"{name}\n{text}".encode() for name, text in _SYSTEM.items()]


def read_system(data: bytes, room: Path) -> object:
    name, body = named(data)
    root = fresh(room / "root")
    tree = Tree(root)
    for place in ("sys/bus/pci/devices/0000:01:00.0/vendor", "sys/bus/pci/devices/0000:01:00.0/class"):
        tree.write(place, _SYSTEM[place])
    tree.write("proc/driver/nvidia/gpus/0000:01:00.0/information", "Model: x\n").nodes()
    tree.write(name if name in _SYSTEM else "sys/module/nvidia/version", body)
    host = linux.read_host(root)
    linux.read_remains(root)
    cdi_specs(root), origin_of("/usr/lib/libcuda.so.1", name="libcuda.so.1", environ={}, root=root)
    return concluded(nvml.finished(NotStarted(reason="no library"), timeout=1.0), host=host)


# Configuration of other tools


def pip_files() -> list[bytes]:
    lines = [
        *(
            "[global]",
            f"index-url = https://me:{SECRET}@mirror.example/simple",
            "extra-index-url =",
            "    https://a.example/",
        ),
        *(
            "    https://b.example/",
            "timeout = 15",
            "trusted-host = a.example",
            "[install]",
            "find-links = /srv/wheels",
        ),
        *("no-index = false", "proxy = proxy:3128", "cert = /x.pem", ""),
    ]
    text = "\n".join(lines)
    return [
        b"pip.conf\n" + text.encode(),
        b"netrc\nmachine download.pytorch.org login me password x\ndefault login y password z\n",
    ]


def read_pip(data: bytes, room: Path) -> object:
    name, body = named(data)
    path = room / "configuration"
    path.write_bytes(body)
    if name == "netrc":
        return netrc_credentials("download.pytorch.org", {"NETRC": str(path)})
    plan = plan_sources(environ={"PIP_CONFIG_FILE": str(path), "HOME": str(room)}, platform="linux", folder=room)
    said(*(shown(line) for line in plan.notes))
    check_words("\n".join(shown(where.shown) for where in plan.locations), secret_at_stake(body))
    return plan


def uv_words() -> list[bytes]:
    words = [
        f"error: Failed to fetch: `https://me:{SECRET}@h.example/x/`\n  Caused by: HTTP status client error (404)\n",
        "  × No solution found when resolving dependencies:\n  ╰─▶ Because torch==2.10.0 depends on numpy>=2 and x\n",
        "error: Hash mismatch for `x==1.0`\n\nExpected:\n  sha256:0\n\nComputed:\n  sha256:1\n",
        "error: failed to write to file `/x`: No space left on device (os error 28)\n",
    ]
    rows = [
        {"key": "cpython-3.12.4", "version": "3.12.4", "path": "/x", "implementation": "cpython", "variant": "default"}
    ]
    return [*(each.encode() for each in words), json.dumps(rows).encode()]


def read_uv_words(data: bytes, room: Path) -> object:
    text = data.decode("utf-8", "replace")
    with suppress(ValueError, TypeError, AttributeError, KeyError, RecursionError):  # as its caller takes it
        interpreters.parse_listing(text, origin="installed")
    raise translate(text)


# The verification's own messages, and evidence


def messages() -> list[bytes]:
    return [verify_observed.RECORDED.read_bytes()]


def read_messages(data: bytes, room: Path) -> object:
    job = PayloadJob(name="train", python=Path("python"), settings={}, environ={})
    heard: list[Message] = []
    running = _Running(job, heard.append)
    for line in data.decode("utf-8", "replace").splitlines():
        try:
            row = json.loads(line)
            job_name, event, at, values = (row.get(key) for key in ("job", "event", "at", "values"))
            line = json.dumps({"event": event, "at": at, **values})
        except (ValueError, TypeError, AttributeError, RecursionError):
            job_name = "train"
        running.job = replace(job, name=str(job_name))
        running.take(line)
    made = replace(verify_observed.observed(), messages=tuple(heard))
    report = make_report(made, seconds=1.0)
    about = About(created="2026-11-22T10:00:00Z", gpuenv="0", command="x", environment="x")
    json.dumps(to_json(report=report, machine=made.machine, about=about), allow_nan=False)
    return write(room / "evidence", report=report, machine=made.machine, about=about, smi_text="")


def evidence() -> list[bytes]:
    return _files("docs/evidence/h200", "evidence.json")


def read_evidence(data: bytes, room: Path) -> object:
    path = room / "evidence.json"
    path.write_bytes(data)
    old, new = baseline.read(path), json.loads(evidence()[0])
    for one, other in ((old, new), (new, old)):
        said(*(shown(f"{each.what} {each.before} {each.after}") for each in baseline.compare(one, other)))
    return None


def fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def profiles() -> list[bytes]:
    return _files("profiles", "*.toml")


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


READERS = (
    Target(name="page-html", kind="text", samples=html_pages, read=_page("text/html")),
    Target(name="page-json", kind="json", samples=json_pages, read=_page("application/vnd.pypi.simple.v1+json")),
    Target(name="name", kind="text", samples=names, read=read_name, short=150),
    Target(name="metadata", kind="text", samples=metadata, read=read_metadata),
    Target(name="wheel", kind="bytes", samples=wheels, read=read_wheel),
    Target(name="library", kind="bytes", samples=libraries, read=read_elf, short=400),
    Target(name="build-file", kind="text", samples=build_files, read=read_build_file),
    Target(name="profile", kind="toml", samples=profiles, read=read_profile),
    Target(name="settings", kind="text", samples=setting_files, read=read_settings),
    Target(name="variables", kind="text", samples=variables, read=read_variables),
    Target(name="machine-file", kind="json", samples=machines, read=read_machine),
    Target(name="sent-report", kind="json", samples=sent_reports, read=read_sent_report),
    Target(name="kept-layout", kind="json", samples=layouts, read=read_kept_layout),
    Target(name="lock", kind="toml", samples=locks, read=read_lock, short=15),
    Target(name="uv-lock", kind="toml", samples=locks, read=read_uv_lock, short=30),
    Target(name="project-lock", kind="text", samples=project_locks, read=read_project_lock, short=60),
    Target(name="asking-file", kind="text", samples=asking_files, read=read_asking_file, short=100),
    Target(name="facts", kind="json", samples=facts, read=read_facts),
    Target(name="kept-page", kind="bytes", samples=kept_pages, read=read_kept_page),
    Target(name="kept-form", kind="json", samples=forms, read=read_form),
    Target(name="registration", kind="text", samples=registrations, read=read_registration),
    Target(name="environment", kind="text", samples=environments, read=read_installed, short=60),
    Target(name="nvml", kind="lines", samples=nvml_lines, read=read_nvml),
    Target(name="nvidia-smi", kind="text", samples=smi_answers, read=read_smi, short=50),
    Target(name="system-files", kind="text", samples=system_files, read=read_system),
    Target(name="pip-and-netrc", kind="text", samples=pip_files, read=read_pip),
    Target(name="uv-words", kind="text", samples=uv_words, read=read_uv_words, short=200),
    Target(name="messages", kind="lines", samples=messages, read=read_messages, short=20),
    Target(name="evidence", kind="json", samples=evidence, read=read_evidence, short=60),
)
