"""Settings: who wins, and what is said about values that mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.cli.settings import Setting, merge, unknown_variables
from gpuenv.errors import ConfigurationError, UsageError


def merged(
    tmp_path: Path,
    *,
    arguments: dict[str, object] | None = None,
    environ: dict[str, str] | None = None,
    project: str = "",
    user: str = "",
) -> dict[str, Setting]:
    (tmp_path / "user").mkdir(parents=True, exist_ok=True)
    if project:
        (tmp_path / "gpuenv.toml").write_text(project)
    if user:
        (tmp_path / "user" / "config.toml").write_text(user)
    return merge(arguments=arguments or {}, environ=environ or {}, project=tmp_path, user=tmp_path / "user")


def test_command_line_over_environment_over_project_over_user(tmp_path: Path) -> None:
    layers: dict[str, object] = {"python": "3.14"}
    everything = merged(
        tmp_path,
        arguments=layers,
        environ={"GPUENV_PYTHON": "3.13", "GPUENV_VARIANT": "cu130"},
        project='python = "3.12"\nvariant = "cu128"\ntorch = ">=2.8"\n',
        user='python = "3.11"\ntorch = ">=2.7"\nindex = "http://127.0.0.1/simple"\n',
    )
    assert everything["python"] == Setting(value="3.14", origin="--python")
    assert everything["variant"] == Setting(value="cu130", origin="GPUENV_VARIANT")
    assert everything["torch"] == Setting(value=">=2.8", origin="gpuenv.toml")
    assert everything["index"].origin.endswith("config.toml")


def test_every_kind_can_be_said_in_the_environment(tmp_path: Path) -> None:
    settings = merged(
        tmp_path,
        environ={"GPUENV_GPU": "0,2", "GPUENV_OFFLINE": "yes", "GPUENV_REFRESH": "off", "GPUENV_FIND_LINKS": "a b"},
    )
    assert settings["gpu"].value == (0, 2)
    assert settings["offline"].value is True
    assert "refresh" not in settings
    assert settings["find-links"].value == ("a", "b")


def test_pyproject_is_read_and_gpuenv_toml_wins(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.gpuenv]\nprofile = "ada"\n')
    assert merged(tmp_path)["profile"].value == "ada"
    assert merged(tmp_path, project='profile = "hopper"\n')["profile"].value == "hopper"


def test_unknown_keys_and_wrong_types_name_the_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gpuenv\.toml: profil: is not a setting") as caught:
        merged(tmp_path, project='profil = "ada"\n')
    assert "Did you mean `profile`?" in caught.value.hints
    with pytest.raises(ConfigurationError, match=r"gpuenv\.toml: offline: must be true or false"):
        merged(tmp_path, project='offline = "yes"\n')
    with pytest.raises(ConfigurationError, match="GPUENV_GPU: must be whole numbers"):
        merged(tmp_path, environ={"GPUENV_GPU": "one"}, project="offline = true\n")
    with pytest.raises(UsageError, match="GPUENV_CHANNEL must be one of"):
        merged(tmp_path, environ={"GPUENV_CHANNEL": "beta"}, project="offline = true\n")


def test_probes_are_no_option_and_are_left_to_their_reader(tmp_path: Path) -> None:
    assert merged(tmp_path, project='[probes]\nmine = "p.py:probe"\n') == {}
    with pytest.raises(ConfigurationError, match="probes: is not a setting"):
        merged(tmp_path / "other", user='[probes]\nmine = "p.py:probe"\n')


def test_variables_that_mean_nothing_are_named_with_the_nearest() -> None:
    lines = unknown_variables({"GPUENV_PROFIL": "x", "GPUENV_UV": "uv", "HOME": "/"}, also=frozenset())
    assert lines == ("GPUENV_PROFIL means nothing to gpuenv; did you mean GPUENV_PROFILE?",)


def test_a_flag_that_is_switched_off_beats_a_weaker_voice(tmp_path: Path) -> None:
    assert "offline" in merged(tmp_path, project="offline = true\n")
    assert "offline" not in merged(tmp_path, project="offline = true\n", environ={"GPUENV_OFFLINE": "0"})
    assert "offline" not in merged(tmp_path, project="offline = false\n", user="offline = true\n")


@pytest.mark.parametrize(
    ("name", "text"), [("python", "abc"), ("python", "3"), ("python", "3.12.4"), ("exclude_newer", "yesterday")]
)
def test_what_is_no_python_and_no_date_is_refused_before_anything_is_asked(
    tmp_path: Path, name: str, text: str
) -> None:
    for said in ({"arguments": {name: text}}, {"environ": {f"GPUENV_{name.upper()}": text}}):
        with pytest.raises(UsageError, match=f"{text} is n"):
            merged(tmp_path, **said)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("python", "3.12"),
        ("python", "3.13t"),
        ("exclude_newer", "2026-01-02"),
        ("exclude_newer", "2026-01-02T03:04:05Z"),
    ],
)
def test_what_is_one_is_taken(tmp_path: Path, name: str, text: str) -> None:
    assert merged(tmp_path, arguments={name: text})[name.replace("_", "-")].value == text


@pytest.mark.parametrize("line", ['uv = "./evil"', 'cache-dir = "cache"', 'store = "store"'])
def test_a_cloned_repository_names_no_program_cache_or_store(line: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="a project does not choose this, only you do") as raised:
        merged(tmp_path, project=f"{line}\n")
    assert raised.value.exit_code == 2
    assert merged(tmp_path / "own", user=f"{line}\n")


def test_nor_by_its_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.gpuenv]\nuv = "evil"\n')
    with pytest.raises(ConfigurationError, match="a project does not choose this"):
        merged(tmp_path)


def test_a_folder_with_a_blank_is_one_where_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "Jane Doe").mkdir()
    there, missing = str(tmp_path / "Jane Doe"), str(tmp_path / "John Doe")

    assert merged(tmp_path, environ={"GPUENV_FIND_LINKS": there})["find-links"].value == (there,)
    assert merged(tmp_path, environ={"GPUENV_FIND_LINKS": missing})["find-links"].value == tuple(missing.split())
    both = merged(tmp_path, environ={"GPUENV_FIND_LINKS": f"{tmp_path} wheels"})
    assert both["find-links"].value == (str(tmp_path), "wheels")


@pytest.mark.parametrize(
    ("option", "value"),
    [("torch_index", ""), ("profile", ""), ("torch", ""), ("variant", ""), ("index", ""), ("find_links", ["a", ""])],
)
def test_an_option_with_nothing_behind_it_is_refused_not_taken_for_the_default(
    tmp_path: Path, option: str, value: object
) -> None:
    """``--torch-index "$MIRROR"`` where nothing set it would ask PyTorch's own index in silence."""
    with pytest.raises(UsageError, match=f"--{option.replace('_', '-')}: nothing stands behind it"):
        merged(tmp_path, arguments={option: value}, environ={"GPUENV_TORCH_INDEX": "http://127.0.0.1/whl"})
