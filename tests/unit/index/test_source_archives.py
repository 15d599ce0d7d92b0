"""The source archives of a page: each with its hash, and the newest that was asked for."""

from __future__ import annotations

import json

import pytest
from packaging.specifiers import SpecifierSet

from gpuenv.errors import PageFormatError
from gpuenv.index.source_archives import parse_archives
from gpuenv.model.source import SourceArchive
from gpuenv.select.source_archives import choose_archive

A, B = "a" * 64, "b" * 64
PAGE = "https://index.example/simple/fast-op/"


def read(body: str, content_type: str = "text/html") -> list[str]:
    found = parse_archives(body.encode(), url=PAGE, content_type=content_type, project="fast-op")
    return [f"{each.version} {each.url} {each.sha256[:1]}" for each in found]


def page(*links: str) -> str:
    return f"<!DOCTYPE html><html><body><h1>Links for fast-op</h1>{''.join(links)}</body></html>"


def link(filename: str, sha256: str | None = A, more: str = "") -> str:
    fragment = f"#sha256={sha256}" if sha256 else ""
    return f'<a href="../../files/{filename}{fragment}"{more}>{filename}</a>'


def test_source_alone_is_read_of_a_page() -> None:
    wheel = link("fast_op-1.0-py3-none-any.whl")
    found = read(page(wheel, link("fast_op-1.0.tar.gz"), link("fast-op-0.9.zip", B), link("other-1.0.tar.gz")))
    assert found == [
        "1.0 https://index.example/files/fast_op-1.0.tar.gz a",
        "0.9 https://index.example/files/fast-op-0.9.zip b",
    ]


def test_what_has_no_hash_or_two_is_not_taken() -> None:
    assert read(page(link("fast_op-1.0.tar.gz", None), link("fast_op-1.1.tar.gz"), link("fast_op-1.1.tar.gz", B))) == []


def test_a_page_of_json() -> None:
    file = {"filename": "fast_op-1.0.tar.gz", "url": "/f/fast_op-1.0.tar.gz", "hashes": {"sha256": A}, "size": 7}
    body = json.dumps({"meta": {"api-version": "1.1"}, "files": [file]})
    assert read(body, "application/vnd.pypi.simple.v1+json") == ["1.0 https://index.example/f/fast_op-1.0.tar.gz a"]


def test_what_is_no_page_is_an_error() -> None:
    with pytest.raises(PageFormatError):
        read("<html>please log in</html>")


def archive(version: str, *, end: str = ".tar.gz", **more: str) -> SourceArchive:
    name = f"fast_op-{version}{end}"
    return SourceArchive(project="fast-op", version=version, filename=name, url=f"file:///{name}", sha256=A, **more)


@pytest.mark.parametrize(
    ("specifier", "cutoff", "right"),
    [
        ("", None, "fast_op-1.2.tar.gz"),
        ("<1.2", None, "fast_op-1.1.zip"),
        (">=2.0rc1", None, "fast_op-2.0rc1.tar.gz"),
        ("", "2026-02-01", "fast_op-1.0.tar.gz"),
        (">3", None, None),
    ],
)
def test_the_newest_that_may_be_built(specifier: str, cutoff: str | None, right: str | None) -> None:
    rows = [
        archive("1.0", upload_time="2026-01-01T00:00:00Z"),
        archive("1.1", end=".zip", upload_time="2026-03-01T00:00:00Z"),
        archive("1.2", end=".zip"),
        archive("1.2"),
        archive("1.3", yanked="broken"),
        archive("1.4", requires_python=">=3.13"),
        archive("2.0rc1"),
    ]
    chosen = choose_archive(rows, SpecifierSet(specifier), python="3.12", cutoff=cutoff)
    assert (chosen.filename if chosen else None) == right
