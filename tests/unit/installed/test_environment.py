"""Environments as uv, venv, conda and systems lay them out, read without starting anything in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.errors import UsageError
from gpuenv.installed import places
from gpuenv.installed.compare import compare
from gpuenv.installed.drift import added
from gpuenv.installed.environment import read_environment
from gpuenv.installed.torch import parse_targets, read_torch
from support.environments import Environment
from support.systems import LINKS
from support.wheels import cuda_config, version_file


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return Environment(tmp_path / ".venv-gpu")


def test_what_torch_says_of_itself(tmp_path: Path) -> None:
    (tmp_path / "torch/include/ATen/cuda").mkdir(parents=True)
    version = tmp_path / "torch/version.py"
    version.write_text(version_file("2.0+cu999", cuda="99.9", git="f" * 40))

    without = read_torch(tmp_path)
    (tmp_path / "torch/include/ATen/cuda/CUDAConfig.h").write_text(
        cuda_config(["sm_100", "sm_90", "sm_90a"], ["compute_120"])
    )
    with_archs = read_torch(tmp_path)
    version.write_text(version_file("2.0+cpu", cuda=None, git="f" * 40))
    cpu = read_torch(tmp_path)

    assert without is not None
    assert with_archs is not None
    assert cpu is not None
    assert (without.version, without.cuda, without.git, without.sass) == ("2.0+cu999", "99.9", "f" * 40, None)
    assert (with_archs.sass, with_archs.ptx) == (("sm_90", "sm_90a", "sm_100"), ("compute_120",))
    assert (cpu.cuda, cpu.sass, cpu.ptx) == ("", (), ())
    assert read_torch(tmp_path / "none") is None


def test_targets_in_brackets() -> None:
    assert parse_targets('"-gencode;arch=compute_90,code=[sm_90,compute_90]"') == (("sm_90",), ("compute_90",))


def test_a_folder_that_is_no_environment(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UsageError, match=r"no environment|not an environment"):
            read_environment(path)


def test_an_environment_is_read_without_running_it(env: Environment) -> None:
    env.torch("2.10.0+cu128", cuda="12.8", archs=["90"]).marked(profile="auto")
    facts = read_environment(env.path)

    assert (facts.kind, facts.python, facts.python_version) == ("gpuenv", env.path / "bin/python", "3.12.4")
    assert (facts.site, facts.base, facts.system_site_packages) == (env.site, str(env.base / "bin"), False)
    assert (facts.version_of("torch"), facts.problems, facts.leftovers) == ("2.10.0+cu128", (), ())
    assert facts.torch is not None
    assert facts.torch.sass == ("sm_90",)


def test_the_folder_of_another_python_is_not_the_environments(env: Environment) -> None:
    """``lib/python3.9`` comes after ``lib/python3.12`` in the alphabet, and was left by an older build."""
    env.torch("2.10.0", cuda="12.8", archs=["90"])
    old = env.path / "lib/python3.9/site-packages"
    (old / "torch").mkdir(parents=True)
    (old / "torch/version.py").write_text("__version__ = '1.0'\n")

    facts = read_environment(env.path)

    assert facts.site == env.site
    assert facts.torch is not None
    assert facts.torch.version == "2.10.0"
    assert facts.leftovers == (old,)


@LINKS
def test_without_pyvenv_the_interpreter_tells_the_folder(tmp_path: Path) -> None:
    """Conda: no pyvenv.cfg, and a link from the folder of another version to the one in use."""
    for name in ("python3.10", "python3.12"):
        (tmp_path / "lib" / name / "site-packages").mkdir(parents=True)
    (tmp_path / "lib/python3.1").symlink_to("python3.10")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python3.10").write_text("")
    (tmp_path / "bin/python3.10").chmod(0o755)
    (tmp_path / "bin/python").symlink_to("python3.10")
    (tmp_path / "conda-meta").mkdir()

    facts = read_environment(tmp_path)

    assert (facts.kind, facts.python_version) == ("conda", "3.10")
    assert facts.site == tmp_path / "lib/python3.10/site-packages"


def test_condas_own_record_tells_the_folder_where_the_interpreter_does_not(tmp_path: Path) -> None:
    for name in ("python3.9", "python3.12", "python3.13"):
        (tmp_path / "lib" / name / "site-packages").mkdir(parents=True)
    (tmp_path / "conda-meta").mkdir()
    (tmp_path / "conda-meta/python-3.12.4-h1234_0.json").write_text("{}")

    assert places.site_packages(tmp_path) == tmp_path / "lib/python3.12/site-packages"
    (tmp_path / "conda-meta/python-3.12.4-h1234_0.json").unlink()
    assert places.site_packages(tmp_path) == tmp_path / "lib/python3.13/site-packages"


def test_packages_of_a_system_need_no_record(tmp_path: Path) -> None:
    site = tmp_path / "lib/python3/dist-packages"
    (site / "numpy-1.26.4.dist-info").mkdir(parents=True)
    (site / "numpy-1.26.4.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 1.26.4\n")
    (site / "six-1.16.0.egg-info").write_text("Metadata-Version: 1.1\nName: six\nVersion: 1.16.0\n")
    (site / "old.pth").write_text("import os\n")

    facts = read_environment(tmp_path)

    assert facts.kind == "system"
    assert facts.versions == {"numpy": "1.26.4", "six": "1.16.0"}
    assert facts.problems == ("its interpreter is gone",)
    assert compare(facts).differences == ()


def test_what_the_base_interpreter_lends_is_seen(env: Environment) -> None:
    site = env.base / "lib/python3.12/site-packages/numpy-2.1.0.dist-info"
    site.mkdir(parents=True)
    (site / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 2.1.0\n")
    assert "numpy" not in read_environment(env.path).versions

    with (env.path / "pyvenv.cfg").open("a") as file:
        file.write("include-system-site-packages = true\n")

    facts = read_environment(env.path)
    assert facts.versions["numpy"] == "2.1.0"
    assert facts.distributions == ()


def test_a_corrupt_marker_is_one_fact(env: Environment) -> None:
    env.torch("2.10.0").marked()
    (env.path / "gpuenv.json").write_text('{"schema": ')

    facts = read_environment(env.path)

    assert (facts.kind, facts.marker, facts.problems) == ("gpuenv", None, ())
    assert facts.marker_problem.startswith("its gpuenv.json cannot be used")


def test_startup_code_and_added_folders_are_found(env: Environment) -> None:
    (env.path / "more").mkdir()
    (env.site / "sitecustomize.py").write_text("raise SystemExit")
    (env.site / "evil.pth").write_text("import os; os.abort()\n")
    (env.site / "extra.pth").write_text(f"# a comment\n{env.path / 'more'}\n/does/not/exist\n")

    facts = read_environment(env.path)

    assert [(each.path, each.runs) for each in facts.startup] == [
        ("sitecustomize.py", True),
        ("evil.pth", True),
        ("extra.pth", False),
    ]
    assert facts.paths == (env.site, env.path / "more")


def test_metadata_of_another_version_than_its_folder_is_a_problem(env: Environment) -> None:
    env.install("alpha", "1.0")
    (env.site / "alpha-1.0.dist-info").rename(env.site / "alpha-2.0.dist-info")

    (problem,) = read_environment(env.path).problems
    assert problem == "alpha 1.0: its folder is of 2.0, its METADATA of 1.0: one was installed over the other"


def test_what_was_added_is_what_no_lock_and_no_marker_names(env: Environment) -> None:
    env.torch("2.10.0").install("numpy", "2.1.0")
    assert added(read_environment(env.path)) == ()
    env.marked()
    assert added(read_environment(env.path)) == ()
    env.install("six", "1.17.0").install("einops", "0.8.0")

    facts = read_environment(env.path)

    assert [(each.name, each.version) for each in added(facts)] == [("einops", "0.8.0"), ("six", "1.17.0")]
    assert [each.name for each in added(facts, locked=["six", "torch"])] == ["einops"]


def test_a_url_is_shown_without_its_secrets(env: Environment) -> None:
    env.install("alpha", "1.0")
    url = '{"url": "https://me:secret@host.example/a.whl?token=secret", "archive_info": {}}'
    (env.site / "alpha-1.0.dist-info/direct_url.json").write_text(url)

    (alpha,) = read_environment(env.path).distributions
    assert alpha.origin == "https://host.example/a.whl"


def test_a_python_version_is_what_counts_of_it(env: Environment) -> None:
    """virtualenv writes five parts, which no range of versions contains; a single one is no version at all."""
    for said, version in (("3.12.4.final.0", "3.12.4"), ("3.13.0rc1", "3.13.0rc1"), ("3", ""), ("9" * 5000, "")):
        (env.path / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion_info = {said}\n")
        assert places.python_version(env.path) == version


def test_a_path_that_is_none_is_passed_over(env: Environment) -> None:
    """One that is too long for the system, one with a NUL byte."""
    (env.site / "own.pth").write_text("a" * 5000 + "\n/srv\0\n")
    (env.path / "pyvenv.cfg").write_text(
        f"home = {'a' * 5000}\0\nversion_info = 3.12\ninclude-system-site-packages = true\n"
    )

    facts = read_environment(env.path)

    assert [each.folders for each in facts.startup] == [()]
    assert facts.inherited == ()


def test_metadata_that_is_not_utf8_is_read(env: Environment) -> None:
    env.install("numpy", "2.1.0", requires=("x",))
    info = env.site / "numpy-2.1.0.dist-info"
    for name in ("METADATA", "WHEEL", "INSTALLER"):
        (info / name).write_bytes((info / name).read_bytes() + b"X-Author: \xff\n")

    (found,) = read_environment(env.path).distributions

    assert (found.name, found.version, found.requires, found.problem) == ("numpy", "2.1.0", ("x",), "")
