"""What a pyproject.toml asks for, with its places."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv import knowledge
from gpuenv.errors import ConfigurationError, UsageError
from gpuenv.model.asked import Asked
from gpuenv.project.pyproject import Choice, read_pyproject


def read(text: str, *, extras: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> Asked:
    return read_pyproject(
        text,
        path=Path("/project/pyproject.toml"),
        shown="pyproject.toml",
        choice=Choice(extras=extras, groups=groups),
        family=knowledge.load().family,
        applies=lambda marker: "linux" in marker,
        read_file=lambda path: Asked(files=(path.name,)),
    )


HEAD = '[project]\nname = "my-app"\nversion = "0"\n'


def test_dependencies_with_their_lines() -> None:
    torch = "\"torch >=2.1 ; python_version >= '3.9'\""
    found = read(HEAD + f'dependencies = [\n  # "einops",\n  "einops",\n  {torch},\n]\n')
    assert [(each.place, each.text) for each in found.stated] == [
        ("pyproject.toml:6", "einops"),
        ("pyproject.toml:7", 'torch>=2.1; python_version >= "3.9"'),
    ]
    assert found.files == ("pyproject.toml: 2 requirements",)


def test_an_extra_may_name_others_of_its_own_project_and_groups_include_groups() -> None:
    extras = 'all = ["my_app[One,two]"]\none = ["a"]\ntwo = ["b", "My.App[all]"]\n'
    assert read(f"{HEAD}[project.optional-dependencies]\n{extras}", extras=("All",)).texts("requirement") == ("a", "b")
    text = HEAD + '[dependency-groups]\nOne = ["a", {include-group = "two"}]\ntwo = ["b"]\n'
    assert read(text, groups=("one",)).texts("requirement") == ("a", "b")
    with pytest.raises(ConfigurationError, match=r"pyproject.toml:4: "):
        read(HEAD + '[dependency-groups]\na = [{include-group = "b"}]\nb = [{include-group = "a"}]\n', groups=("a",))


def test_what_is_not_there_is_named_with_what_is() -> None:
    with pytest.raises(UsageError) as caught:
        read(HEAD + '[project.optional-dependencies]\none = ["a"]\n', extras=("two",))
    assert caught.value.hints == ("It has one",)


def test_extras_that_conflict_are_not_taken_together() -> None:
    text = HEAD + '[project.optional-dependencies]\none = ["a"]\ntwo = ["b"]\n'
    text += '[tool.uv]\nconflicts = [[{ extra = "one" }, { extra = "two" }]]\n'
    assert read(text, extras=("one",)).texts("requirement") == ("a",)
    with pytest.raises(UsageError, match=r"^pyproject.toml:8: extra one and extra two are declared to conflict"):
        read(text, extras=("One", "two"))


def test_limits_of_uv_have_their_roles() -> None:
    limits = '[tool.uv]\nconstraint-dependencies = ["a<2"]\noverride-dependencies = ["b==1"]\n'
    assert read(f'{HEAD}dependencies = ["c"]\n{limits}').recorded == ("c", "constraint: a<2", "override: b==1")
    assert read(HEAD + limits) == Asked(), "a project that asks for no package"


def test_indexes_name_builds_or_other_sources() -> None:
    found = read(
        HEAD
        + 'dependencies = ["torch", "secret"]\n[[tool.uv.index]]\nname = "pt"\nurl = "https://a.example/whl/cu126"\n'
        + 'explicit = true\n[[tool.uv.index]]\nname = "own"\nurl = "https://u:p@b.example/simple"\nexplicit = true\n'
        + '[[tool.uv.index]]\nname = "more"\nurl = "https://c.example/simple"\n'
        + '[tool.uv.sources]\ntorch = [{ index = "pt", marker = "linux" }]\nsecret = { index = "own" }\n'
        + 'unused = { index = "nowhere" }\n'
    )
    assert [(each.variant, each.place) for each in found.builds] == [("cu126", "pyproject.toml:7")]
    assert [(str(each.address), each.packages) for each in found.sources] == [
        ("https://c.example/simple", ()),
        ("https://b.example/simple", ("secret",)),
    ]
    assert not any("u:p" in line for line in found.recorded)


def test_a_source_for_another_platform_does_not_count() -> None:
    found = read(
        HEAD + 'dependencies = ["torch"]\n[tool.uv.sources]\ntorch = [{ git = "https://x", marker = "darwin" }]\n'
    )
    assert found.texts("requirement") == ("torch",)


def test_poetry_says_where_torch_comes_from() -> None:
    found = read(
        HEAD
        + 'dependencies = ["torch (>=2.1)"]\n[tool.poetry.dependencies]\ntorch = { source = "pytorch" }\n'
        + '[[tool.poetry.source]]\nname = "pytorch"\nurl = "https://a.example/whl/cu121"\npriority = "explicit"\n'
    )
    assert [each.variant for each in found.builds] == ["cu121"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ('{ git = "https://x.example/a" }', "comes from a repository"),
        ('{ path = "../a", editable = true }', "comes from a folder"),
        ("{ workspace = true }", "comes from a member of the workspace"),
        ('{ url = "https://x.example/a-1.tar.gz" }', "is a source archive"),
        ('{ index = "nowhere" }', "names the index nowhere, which is not there"),
    ],
)
def test_what_is_no_wheel_is_refused_with_its_place(source: str, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        read(f'{HEAD}dependencies = ["a"]\n[tool.uv.sources]\na = {source}\n')
    assert caught.value.message.startswith("pyproject.toml:6: ")


def test_a_wheel_by_address_takes_the_requirement_s_place() -> None:
    found = read(HEAD + 'dependencies = ["a"]\n[tool.uv.sources]\na = { url = "https://x/a-1-py3-none-any.whl" }\n')
    assert found.texts("requirement") == ("a @ https://x/a-1-py3-none-any.whl",)


def test_dynamic_dependencies_are_read_or_said() -> None:
    assert "only a build can tell" in read('[project]\nname = "a"\ndynamic = ["dependencies"]\n').notes[0]
    text = '[project]\ndynamic = ["dependencies"]\n[tool.setuptools.dynamic]\ndependencies = { file = ["r.txt"] }\n'
    found = read(text)
    assert (found.files, found.notes) == (("r.txt",), ())


@pytest.mark.parametrize(
    "text",
    [
        "[project",
        "project = 1",
        "[project]\ndependencies = 1",
        '[project]\ndependencies = ["a b"]',
        '[project]\ndependencies = ["a"]\nrequires-python = "new"',
        "[dependency-groups]\na = 1",
        '[project]\ndependencies = ["a"]\n[tool.uv]\nindex = 1',
        '[project]\ndependencies = ["a @ file:///x"]',
        '[project]\ndependencies = ["a @ https://x/b-1-py3-none-any.whl"]',
        '[project]\ndependencies = ["a @ https://x/a-py3.whl"]',
    ],
)
def test_what_cannot_be_read_is_an_error_with_its_file(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^pyproject\.toml"):
        read(text, groups=("a",) if "groups" in text else ())
