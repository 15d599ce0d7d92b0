from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv.installed.distribution import distributions
from gpuenv.installed.files import RecordRow, parse_record, walk
from gpuenv.installed.places import python_version, site_packages
from support.systems import LINKS


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("a/b.py,sha256=xyz,12", RecordRow("lib/s/a/b.py", "xyz", 12)),
        ("a/b.py,,", RecordRow("lib/s/a/b.py", None, None)),
        ("../../bin/x,sha256=q,1", RecordRow("bin/x", "q", 1)),
        ("../../../etc/passwd,,", RecordRow("../etc/passwd", None, None)),
        ("/etc/passwd,,", RecordRow("/etc/passwd", None, None)),
        ("a\\b.py,md5=1,2", RecordRow("lib/s/a/b.py", None, 2)),
        ('"a,b.py",sha256=q,3', RecordRow("lib/s/a,b.py", "q", 3)),
        ("./a//b.py,,", RecordRow("lib/s/a/b.py", None, None)),
    ],
)
def test_rows_are_read_as_the_format_says(text: str, row: RecordRow) -> None:
    assert list(parse_record(text + "\n\n", prefix="lib/s")) == [row]


@pytest.mark.parametrize("text", ["a,b", "a,b,c,d", "a,sha256=x,many"])
def test_a_row_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        list(parse_record(text, prefix="lib"))


@LINKS
def test_everything_below_is_listed_and_links_are_not_followed(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").write_text("123")
    (tmp_path / "up").symlink_to("a")

    found = walk(tmp_path)

    assert {path: (entry.size, entry.link) for path, entry in found.items()} == {"a/b/c": (3, None), "up": (1, "a")}


def test_distributions_tell_what_is_wrong_with_them(tmp_path: Path) -> None:
    site = tmp_path / "lib/python3.12/site-packages"
    for name, files in {
        "Good_One-1.0.dist-info": ("RECORD", "METADATA", "INSTALLER"),
        "killed-1.0.dist-info": ("RECORD", "METADATA"),
        "empty-1.0.dist-info": (),
        "odd-1.0.dist-info": ("RECORD",),
    }.items():
        (site / name).mkdir(parents=True)
        for file in files:
            (site / name / file).write_text("a,b\n" if name.startswith("odd") else "")

    found = {each.name: each.problem for each in distributions(tmp_path, site)}

    assert found["good-one"] == ""
    assert "no INSTALLER" in found["killed"]
    assert found["empty"] == "it has no RECORD"
    assert "cannot be read" in found["odd"]
    assert site_packages(tmp_path) == site


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("home = /x\nversion_info = 3.12.1\n", "3.12.1"),
        ("version = 3.11.2\n", "3.11.2"),
        ("nothing\n", ""),
    ],
)
def test_the_version_of_an_environment(tmp_path: Path, text: str, version: str) -> None:
    (tmp_path / "pyvenv.cfg").write_text(text)

    assert python_version(tmp_path) == version
    assert python_version(tmp_path / "none") == ""
