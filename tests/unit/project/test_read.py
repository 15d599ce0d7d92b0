"""Files that lock packages: known by what stands in them, and one clear error with its place for a damaged one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gpuenv.errors import ConfigurationError, GpuenvError
from gpuenv.project.pins import MarkerTarget, Project
from gpuenv.project.read import kind_of, read_project
from gpuenv.project.uv_lock import _applies, read_uv_lock

LOCKS = Path(__file__).parents[2] / "data" / "locks"
FILES = {
    "uv/uv.lock": "uv",
    "uv-extras/uv.lock": "uv",
    "uv-platforms/uv.lock": "uv",
    "pylock/pylock.toml": "pylock",
    "requirements/requirements.txt": "requirements",
    "poetry/poetry.lock": "poetry",
    "pdm/pdm.lock": "pdm",
    "pixi/pixi.lock": "pixi",
    "conda/environment.yml": "conda",
}


def read(path: Path) -> Project:
    return read_project(path, shown=path.name, environ={}, relevant=lambda name: True)


def pins(project: Project, *, python: str = "3.12") -> dict[str, str]:
    markers = {
        "implementation_name": "cpython", "implementation_version": f"{python}.0", "os_name": "posix",
        "platform_machine": "x86_64", "platform_python_implementation": "CPython", "platform_release": "",
        "platform_system": "Linux", "platform_version": "", "python_full_version": f"{python}.0",
        "python_version": python, "sys_platform": "linux",
    }  # fmt: skip
    found = project.sets(MarkerTarget(markers=markers, conda="linux-64"))
    return {each.name: each.version for each in found[0].pins}


def refused(path: Path) -> str:
    with pytest.raises(GpuenvError) as caught:
        read(path)
    assert caught.value.exit_code == 2
    return caught.value.message


@pytest.mark.parametrize(("name", "kind"), FILES.items())
def test_a_file_is_known_by_what_stands_in_it(tmp_path: Path, name: str, kind: str) -> None:
    shutil.copy(LOCKS / name, tmp_path / "anything.bin")
    assert read(tmp_path / "anything.bin").kind == kind


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".lock") or "pylock" in name])
def test_a_damaged_file_is_one_error_that_names_it(tmp_path: Path, name: str) -> None:
    text = (LOCKS / name).read_text()
    path = tmp_path / Path(name).name
    path.write_text(text[: len(text) // 2] + '\n"}{[\n')
    assert refused(path).startswith(path.name)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("uv.lock", 'version = 9\nrequires-python = ">=3.11"\n', "uv.lock: its format is version 9"),
        (
            "uv.lock", 'version = 1\nrequires-python = ">=3"\n[[package]]\nversion = "1"\n',
            "uv.lock: package[0].name is missing",
        ),
        (
            "uv.lock", 'version = 1\nrequires-python = ">=3"\n[[package]]\nname = "torch"\nversion = "new"\n',
            "uv.lock: package[0].version is 'new', which is no version",
        ),
        ("uv.lock", "version = 1\nrequires-python = '>=3'\nx = = 1\n", "uv.lock:3: is not valid TOML"),
        ("pylock.toml", 'lock-version = "2.0"\npackages = []\n', "pylock.toml: lock-version is '2.0'"),
        ("pixi.lock", "version: 3\nenvironments: {}\npackages: []\n", "pixi.lock: its format is version 3"),
        ("pixi.lock", "version: 6\nenvironments:\n  a: [\npackages: []\n", "pixi.lock:"),
        (
            "pixi.lock",
            "version: 6\nenvironments:\n  a:\n    packages:\n      linux-64:\n      - pypi: x.whl\npackages: []\n",
            "pixi.lock: an environment names x.whl, which is not among its packages",
        ),
        ("environment.yml", "name: x\ndependencies: 3\n", "environment.yml: dependencies is not a list"),
        ("requirements.txt", "numpy\ntorch=2.9\n", "requirements.txt:2: 'torch=2.9' is no requirement"),
        ("pyproject.toml", '[project]\nname = "x"\n', "pyproject.toml locks nothing, and there is no lock beside it"),
        ("a.toml", 'title = "x"\n', "a.toml locks no packages in a way that gpuenv reads"),
        ("a.json", '{"a": 1}', "a.json locks no packages in a way that gpuenv reads"),
        ("m.json", '{"gpus": [{"compute_capability": "9.0"}]}', "m.json locks no packages"),
        ("x.whl", "PK\x03\x04", "x.whl is an archive or a program"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_one_error_with_its_place(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert refused(path).startswith(message)


def test_a_folder_and_a_pyproject_stand_for_the_lock_in_them(tmp_path: Path) -> None:
    for name in ("uv.lock", "pyproject.toml"):
        shutil.copy(LOCKS / "uv" / name, tmp_path / name)
    assert (read(tmp_path).shown, read(tmp_path / "pyproject.toml").shown) == (f"{tmp_path.name}/uv.lock", "uv.lock")
    assert "is not an environment" in refused_folder(tmp_path / "empty")


def refused_folder(folder: Path) -> str:
    folder.mkdir()
    return refused(folder)


@pytest.mark.parametrize(("python", "numpy"), [("3.12", "3.7"), ("3.11", "3.6.1")])
def test_of_two_versions_the_one_for_the_python_is_taken(python: str, numpy: str) -> None:
    for name in ("uv/uv.lock", "pylock/pylock.toml", "requirements/requirements.txt"):
        assert pins(read(LOCKS / name), python=python)["networkx"] == numpy


def test_every_lock_of_one_project_says_the_same() -> None:
    """uv wrote all three: what its export lists for a machine is what its lock leads to there."""
    found = [pins(read(LOCKS / name)) for name in ("pylock/pylock.toml", "requirements/requirements.txt")]
    uv = pins(read(LOCKS / "uv" / "uv.lock"))
    assert uv.pop("iniconfig") == "2.3.1"  # of the group dev, which was not exported
    assert found == [uv, uv]


def test_groups_that_uv_installs_by_default_are_those_of_the_project(tmp_path: Path) -> None:
    for name in ("uv.lock", "pyproject.toml"):
        shutil.copy(LOCKS / "uv" / name, tmp_path / name)
    with (tmp_path / "pyproject.toml").open("a") as file:
        file.write("[tool.uv]\ndefault-groups = []\n")
    assert "iniconfig" not in pins(read(tmp_path / "uv.lock"))


def test_a_requirements_file_of_windows_is_read(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_bytes("torch==2.9.1+cu128\r\nnumpy==2.3.0\r\n".encode("utf-16"))
    assert pins(read(tmp_path / "r.txt")) == {"torch": "2.9.1+cu128", "numpy": "2.3.0"}


def test_a_constraint_fixes_what_a_requirement_leaves_open(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("torch\nnumpy>=2\n-c c.txt\n")
    (tmp_path / "c.txt").write_text("torch==2.9.1\n")
    assert pins(read(tmp_path / "r.txt")) == {"torch": "2.9.1", "numpy": ""}


def test_json_and_markup_are_no_requirements() -> None:
    assert [kind_of(text) for text in ("{}", "<html>", "", "torch\n")] == [None, None, "requirements", "requirements"]


def test_of_a_uv_lock_only_what_is_exactly_uvs_is_passed_over(tmp_path: Path) -> None:
    """The files of packages without code for a GPU are not parsed; a damaged line of theirs is found all the same."""
    text = (LOCKS / "uv/uv.lock").read_text()
    whole = read_uv_lock(text, shown="uv.lock", relevant=lambda name: True)
    short = read_uv_lock(text, shown="uv.lock", relevant=lambda name: name == "torch")
    for one, other in zip(whole.packages, short.packages, strict=True):
        kept = one.table.entries.keys() - ({"wheels", "sdist"} if one.name != "torch" else set())
        assert {key: one.table.entries[key] for key in kept} == dict(other.table.entries)
        assert whole.lines.of(one.row) == short.lines.of(other.row)
    assert sum("wheels" in each.table.entries for each in short.packages) == 1
    einops = text.index("einops-0.8.2-py3")
    for damaged in (text[:einops] + '"' + text[einops:], text[:einops] + "\\q" + text[einops:]):
        with pytest.raises(ConfigurationError, match=r"uv.lock:\d+: is not valid TOML"):
            read_uv_lock(damaged, shown="uv.lock", relevant=lambda name: False)


@pytest.mark.parametrize(
    ("marker", "asked", "holds"),
    [
        ("extra == 'extra-3-app-cpu'", set(), False),
        ("extra == 'extra-3-app-cpu'", {"extra-3-app-cpu"}, True),
        ("extra != 'extra-3-app-cpu'", set(), True),
        ("extra != 'extra-3-app-cpu'", {"extra-3-app-cpu"}, False),
        ("extra == 'extra-3-app-cpu' and extra == 'group-3-app-dev'", {"extra-3-app-cpu", "group-3-app-dev"}, True),
        ("sys_platform == 'linux' and extra != 'group-3-app-dev'", {"extra-3-app-cpu"}, True),
        ("sys_platform == 'win32' or extra == 'group-3-app-dev'", {"extra-3-app-cpu"}, False),
    ],
)
def test_markers_of_what_excludes_each_other(marker: str, asked: set[str], holds: bool) -> None:
    assert _applies(marker, {"sys_platform": "linux", "python_version": "3.12"}, asked) is holds


def test_a_fork_is_told_by_its_version(tmp_path: Path) -> None:
    (tmp_path / "uv.lock").write_text(
        'version = 1\nrequires-python = ">=3.11"\n'
        '[[package]]\nname = "app"\nversion = "1"\nsource = { virtual = "." }\ndependencies = [\n'
        "  { name = 'torch', version = '2.8.0', marker = \"sys_platform == 'win32'\" },\n"
        "  { name = 'torch', version = '2.9.1', marker = \"sys_platform != 'win32'\" },\n]\n"
        '[[package]]\nname = "torch"\nversion = "2.9.1"\nsource = { registry = "https://index.example/simple" }\n'
        '[[package]]\nname = "torch"\nversion = "2.8.0"\nsource = { registry = "https://index.example/simple" }\n'
    )
    assert pins(read(tmp_path / "uv.lock")) == {"torch": "2.9.1"}


def test_of_poetry_before_its_format_named_groups_extras_are_read(tmp_path: Path) -> None:
    (tmp_path / "poetry.lock").write_text(
        '[[package]]\nname = "torch"\nversion = "2.9.1"\noptional = true\nfiles = []\n'
        '[[package]]\nname = "numpy"\nversion = "2.3.0"\noptional = false\nfiles = []\n'
        '[extras]\ngpu = ["torch"]\n[metadata]\nlock-version = "2.0"\npython-versions = ">=3.11"\n'
    )
    found = read(tmp_path / "poetry.lock").sets(MarkerTarget(markers={}, conda=""))
    assert [(each.name, [pin.name for pin in each.pins]) for each in found] == [
        ("", ["numpy"]),
        ("extra gpu", ["torch", "numpy"]),
    ]


@pytest.mark.parametrize(
    "stated", ["torch", "torch>=2.4", "torch==2.9.*", "torch~=2.9.0", "torch===2.9.*", "torch!=2.9.1"]
)
def test_only_an_exact_version_fixes_a_package(tmp_path: Path, stated: str) -> None:
    (tmp_path / "r.txt").write_text(f"{stated}\nnumpy==2.3.0\n")
    assert pins(read(tmp_path / "r.txt")) == {"torch": "", "numpy": "2.3.0"}
