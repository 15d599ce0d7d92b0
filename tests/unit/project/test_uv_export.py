"""What is written for uv: one marked place, the same twice, taken out byte for byte, others' lines left to them."""

from __future__ import annotations

import tomllib

import pytest

from gpuenv.errors import ConfigurationError
from gpuenv.project.block import read_past_regions
from gpuenv.project.uv_export import UvClass, UvIndex, with_family, without_family

PASCAL = UvClass(
    name="pascal",
    pins=(("torch", "2.9.1+cu126"), ("torchvision", "0.24.1+cu126")),
    index=UvIndex(name="gpuenv-cu126", url="https://example.org/whl/cu126"),
)
BLACKWELL = UvClass(
    name="blackwell",
    pins=(("torch", "2.10.0+cu130"),),
    index=UvIndex(name="gpuenv-cu130", url="https://example.org/whl/cu130"),
)
FOLDER = UvClass(name="there", pins=(("torch", "2.10.0"),), index=UvIndex(name="gpuenv-torch", url="w", flat=True))
BARE = UvClass(name="bare", pins=(("torch", "2.10.0"),), index=None)
CLASSES = ([PASCAL], [PASCAL, BLACKWELL], [FOLDER], [BARE])

TEXTS = {
    "empty": "",
    "no line's end": '[project]\nname = "x"\ndependencies = ["torch"]  # mine',
    "all there, in Windows' lines": (
        '[tool.uv]\r\nconstraint-dependencies = [\r\n  "numpy<2",  # why  \r\n]\r\n[tool.uv.sources]\r\n'
        'Torch = { index = "pt" } # mine\r\nfoo = { path = "x" }\r\n[[tool.uv.index]]\r\nname = "pt"\r\n'
        'url = "https://pt"\r\n\r\n[tool.ruff]\r\nx = 1\r\n'
    ),
    "lists in lines": (
        '[tool.uv]\nindex = [{name="a", url="https://a"}]\nconflicts = [[{group="a"}, {group="b"}]]\n'
        "[dependency-groups]\na = []\nb = []\n[tool.uv.sources]\n[tool.black]\n"
    ),
    "words like ours": '[project]\nname = """\n[tool.uv]\n# not a comment\n"""\n\n\n# end\n\n',
}


@pytest.mark.parametrize("classes", CLASSES, ids=lambda classes: " ".join(each.name for each in classes))
@pytest.mark.parametrize("name", TEXTS)
def test_it_is_written_once_and_taken_out_byte_for_byte(name: str, classes: list[UvClass]) -> None:
    text = TEXTS[name]
    written = with_family(text, classes, shown="pyproject.toml")
    assert with_family(written, classes, shown="pyproject.toml") == written
    assert without_family(written) == text
    # What another lock writes takes the place of the first.
    assert with_family(written, [BLACKWELL], shown="x") == with_family(text, [BLACKWELL], shown="x")
    assert tomllib.loads(read_past_regions(written)) == tomllib.loads(text)
    assert read_past_regions(written).count("\n") == written.count("\n")


def test_one_class_is_constraints_and_sources() -> None:
    uv = tomllib.loads(with_family(TEXTS["no line's end"], [PASCAL], shown="x"))["tool"]["uv"]
    assert uv == {
        "constraint-dependencies": ["torch==2.9.1+cu126", "torchvision==0.24.1+cu126"],
        "sources": {"torch": {"index": "gpuenv-cu126"}, "torchvision": {"index": "gpuenv-cu126"}},
        "index": [{"name": "gpuenv-cu126", "url": "https://example.org/whl/cu126", "explicit": True}],
    }
    assert tomllib.loads(with_family("", [FOLDER], shown="x"))["tool"]["uv"]["index"][0]["format"] == "flat"
    assert tomllib.loads(with_family("", [BARE], shown="x"))["tool"]["uv"] == {
        "constraint-dependencies": ["torch==2.10.0"]
    }


def test_several_classes_are_groups_in_conflict() -> None:
    document = tomllib.loads(with_family("", [PASCAL, BLACKWELL], shown="x"))
    assert document["dependency-groups"] == {
        "pascal": ["torch==2.9.1+cu126", "torchvision==0.24.1+cu126"],
        "blackwell": ["torch==2.10.0+cu130"],
    }
    uv = document["tool"]["uv"]
    assert uv["conflicts"] == [[{"group": "pascal"}, {"group": "blackwell"}]]
    assert uv["sources"]["torch"] == [
        {"index": "gpuenv-cu126", "group": "pascal"},
        {"index": "gpuenv-cu130", "group": "blackwell"},
    ]


def test_lines_that_others_wrote_between_ours_are_theirs() -> None:
    written = with_family(TEXTS["empty"], [PASCAL], shown="x")
    grown = written.replace("torchvision = {", 'mine = { path = "y" }\ntorchvision = {')
    grown = grown.replace("# <<<", '\n[[tool.uv.index]]\nname = "o"\nurl = "https://o"\n# <<<')
    theirs = {"sources": {"mine": {"path": "y"}}, "index": [{"name": "o", "url": "https://o"}]}
    assert tomllib.loads(without_family(grown)) == {"tool": {"uv": theirs}}
    assert tomllib.loads(read_past_regions(grown)) == {"tool": {"uv": theirs}}
    again = tomllib.loads(with_family(grown, [BLACKWELL], shown="x"))["tool"]["uv"]
    assert again["sources"] == {"mine": {"path": "y"}, "torch": {"index": "gpuenv-cu130"}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('tool = { uv = { package = false } }\n', "in a form that cannot be added to"),
        ('[tool]\nuv.package = false\n', "in a form that cannot be added to"),
        ('[tool.uv.sources.torch]\nindex = "pt"\n', "in a form that cannot be added to"),
        ('[tool.uv]\noverride-dependencies = ["torch==2.1"]\n', "override-dependencies says torch==2.1"),
        ('[[tool.uv.index]]\nname = "gpuenv-cu126"\nurl = "u"\n', "there is an index named gpuenv-cu126 already"),
        ("[tool.uv\n", "is not valid TOML"),
    ],
)  # fmt: skip
def test_what_cannot_be_added_to_is_refused_and_named(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        with_family(text, [PASCAL], shown="pyproject.toml")


def test_a_group_of_that_name_is_not_written_into() -> None:
    with pytest.raises(ConfigurationError, match="a dependency group named pascal already"):
        with_family("[dependency-groups]\nPascal = []\n", [PASCAL, BLACKWELL], shown="pyproject.toml")
