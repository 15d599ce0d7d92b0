"""Requirements files: what pip allows in one, compared with pip itself, and what is refused with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.errors import ConfigurationError
from gpuenv.project.requirements_file import MOST_FILES, RequirementsFile, read_requirements

WHEEL = "https://example.org/torch-2.9.1%2Bcu128-cp312-cp312-linux_x86_64.whl"
EVERYTHING = f"""\
# what this project needs
--index-url https://example.org/simple
--extra-index-url=https://example.org/whl/cu118   # torch
-f https://example.org/links --pre
numpy>=1.20,<2 ; python_version < "3.13"   # why
torch==2.0.1+cu118 \\
    --hash=sha256:{"a" * 64} \\
    --hash=sha256:{"b" * 64}

-e ./local[dev,test]
-e git+https://github.com/someone/thing@main#egg=thing
./wheels/foo-1.0-py3-none-any.whl ; sys_platform == "linux"
{WHEEL}#sha256={"0" * 64}
flash-attn @ https://example.org/flash_attn-2.8.3-cp312-cp312-linux_x86_64.whl ; python_version >= "3.10"
pkg[b,a]==${{VERSION}}
six --config-settings "a=b"
--no-binary :all:
"""


def written(folder: Path, **files: str | bytes) -> Path:
    for name, content in files.items():
        path = folder / f"{name}.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / "main.txt"


def read(path: Path, **environ: str) -> RequirementsFile:
    return read_requirements(path, shown=path.name, environ=environ)


def refused(path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(path)
    return caught.value.message


def test_every_line_that_pip_allows_is_read_with_its_place(tmp_path: Path) -> None:
    found = read(written(tmp_path, main=EVERYTHING), VERSION="1.2")
    assert [(str(each.place), each.name, each.specifier) for each in found.requirements] == [
        ("main.txt:5", "numpy", "<2,>=1.20"),
        ("main.txt:6", "torch", "==2.0.1+cu118"),
        ("main.txt:10", None, ""),
        ("main.txt:11", "thing", ""),
        ("main.txt:12", "foo", "==1.0"),
        ("main.txt:13", "torch", "==2.9.1+cu128"),
        ("main.txt:14", "flash-attn", ""),
        ("main.txt:15", "pkg", "==1.2"),
        ("main.txt:16", "six", ""),
    ]
    numpy, torch, local, thing, foo, wheel, flash, pkg, _ = found.requirements
    assert numpy.marker == 'python_version < "3.13"'
    assert torch.hashes == ("sha256:" + "a" * 64, "sha256:" + "b" * 64)
    assert (local.editable, local.url, local.extras) == (True, "./local", ("dev", "test"))
    assert (thing.editable, thing.url) == (True, "git+https://github.com/someone/thing@main#egg=thing")
    assert (foo.url, foo.marker) == ("./wheels/foo-1.0-py3-none-any.whl", 'sys_platform == "linux"')
    assert wheel.hashes == ("sha256:" + "0" * 64,)
    assert (flash.url or "").endswith("flash_attn-2.8.3-cp312-cp312-linux_x86_64.whl")
    assert pkg.extras == ("a", "b")
    assert [(each.name, each.value, each.place.line) for each in found.options] == [
        ("--index-url", "https://example.org/simple", 2),
        ("--extra-index-url", "https://example.org/whl/cu118", 3),
        ("--find-links", "https://example.org/links", 4),
        ("--pre", "", 4),
        ("--no-binary", ":all:", 17),
    ]
    assert found.values("--index-url") == ("https://example.org/simple",)


def test_the_lines_are_those_that_pip_finds(tmp_path: Path) -> None:
    from pip._internal.req.req_file import get_line_parser, preprocess

    text = EVERYTHING.replace("${VERSION}", "1") + "last \\\n# comment inside\n  next==1 \\\n"
    path = written(tmp_path, main=text)
    pips = [(number, get_line_parser(None)(line)) for number, line in preprocess(text)]
    stated = [
        (number, args.strip() or options.editables[0]) for number, (args, options) in pips if args or options.editables
    ]
    assert [(each.place.line, each.text) for each in read(path).requirements] == [each for each in stated if each[1]]


def test_nested_files_are_read_beside_the_one_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    main = written(tmp_path, main="-r deep/more.txt\n-c deep/limits.txt\nfirst\n")
    written(
        tmp_path / "deep", more="--requirement last.txt\nsecond\n", last="third\n", limits="torch<2.9\n-r last.txt\n"
    )
    found = read(main)
    assert [f"{each.name} {each.place}" for each in found.requirements] == [
        "third deep/last.txt:1",
        "second deep/more.txt:2",
        "third deep/last.txt:1",  # pip takes what a constraints file requires for required
        "first main.txt:3",
    ]
    assert [f"{each.name}{each.specifier} {each.place}" for each in found.constraints] == [
        "torch<2.9 deep/limits.txt:1"
    ]
    assert [path.name for path in found.files] == ["main.txt", "more.txt", "last.txt", "limits.txt", "last.txt"]


def test_an_option_behind_a_requirement_counts_for_nothing_and_is_told(tmp_path: Path) -> None:
    found = read(written(tmp_path, main="torch --index-url https://example.org/whl/cu118\n"))
    assert [each.name for each in found.requirements] == ["torch"]
    assert found.options == ()
    assert [(each.name, str(each.place)) for each in found.ignored] == [("--index-url", "main.txt:1")]


def test_a_folder_of_wheels_is_looked_for_beside_the_file_first(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    found = read(written(tmp_path, main="-f wheels\n-f elsewhere\n"))
    assert found.values("--find-links") == (str(tmp_path / "wheels"), "elsewhere")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(tmp_path: Path, encoding: str) -> None:
    mark = "\ufeff" if encoding == "utf-16-le" else ""
    found = read(written(tmp_path, main=f"{mark}torch==2.9.1\r\nnumpy\r\n".encode(encoding)))
    assert [(each.name, each.place.line) for each in found.requirements] == [("torch", 1), ("numpy", 2)]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"main": "a\nnot a requirement\n"}, "main.txt:2: 'not a requirement' is no requirement"),
        ({"main": "torch=2.0\n"}, "main.txt:1: 'torch=2.0' is no requirement"),
        ({"main": "--frozen\n"}, "main.txt:1: '--frozen' is no option"),
        ({"main": "--index-url\n"}, "main.txt:1: argument --index-url/-i/--pypi-url: expected one argument"),
        ({"main": "six --hash 'a\n"}, "main.txt:1: No closing quotation"),
        ({"main": f"six=={'9' * 5000}\n"}, "main.txt:1: "),
        ({"main": "-r main.txt\n"}, "main.txt:1: main.txt is read already: these files name each other in a circle"),
        ({"main": "-r b.txt\n", "b": "\n-c ./main.txt\n"}, "b.txt:2: main.txt is read already"),
        ({"main": "-r gone.txt\n"}, "main.txt:1: --requirement names gone.txt, and there is no such file"),
        ({"main": "-r https://u:secret@example.org/r.txt\n"}, "main.txt:1: --requirement names an address"),
        ({"main": "-r b.txt\n" * (MOST_FILES + 1), "b": "x\n"}, "main.txt:100: b.txt is one file too many"),
        ({"main": b"numpy\n\xff\xfe\n"}, "main.txt: it is no text in UTF-8 (byte 6)"),
        ({"main": b"numpy\n\0\n"}, "main.txt: it is no text: line 2 holds NUL"),
    ],
)
def test_what_cannot_be_used_is_one_error_with_its_place(
    tmp_path: Path, files: dict[str, str | bytes], message: str
) -> None:
    said = refused(written(tmp_path, **files))
    assert said.startswith(message)
    assert "secret" not in said


def test_a_file_that_is_not_there_and_a_folder_are_errors(tmp_path: Path) -> None:
    assert refused(tmp_path / "none.txt").startswith("none.txt: ")
    assert refused(tmp_path).startswith(f"{tmp_path.name}: ")
