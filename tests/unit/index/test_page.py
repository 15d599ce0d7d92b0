"""index.page: HTML and JSON become one shape; what is no index page is refused."""

from __future__ import annotations

import json

import pytest

from gpuenv.errors import PageFormatError
from gpuenv.index.page import Page, parse_page

URL = "https://download.pytorch.org/whl/torch/"
SHA = "7312d9615c3c9d31e9cbd984f0ea2ca3af7bd0a1d3fd2b02f74950b0e166ea1c"
META = "b0d90eccbeb7479463e1093d577979226c22ccf5de748692a1e4a1ca7e43c269"


def page(*lines: str, head: str = "") -> Page:
    text = f"<!DOCTYPE html>\n<html>{head}\n  <body>\n" + "\n".join(lines) + "\n  </body>\n</html>\n<!--TIMESTAMP 1-->"
    return parse_page(text.encode(), url=URL)


def test_a_row_of_pytorchs_page() -> None:
    row = page(
        f'    <a href="/whl/cu130/torch-2.10.0%2Bcu130-cp310-cp310-manylinux_2_28_x86_64.whl#sha256={SHA}" '
        f'data-dist-info-metadata="sha256={META}" data-core-metadata="sha256={META}" '
        'data-upload-time="2026-01-21T19:02:47Z">torch-2.10.0+cu130-cp310-cp310-manylinux_2_28_x86_64.whl</a><br/>'
    ).rows[0]
    assert row.project == "torch"
    assert row.version == "2.10.0+cu130"
    assert row.filename == "torch-2.10.0+cu130-cp310-cp310-manylinux_2_28_x86_64.whl"
    assert row.url == (
        "https://download.pytorch.org/whl/cu130/torch-2.10.0%2Bcu130-cp310-cp310-manylinux_2_28_x86_64.whl"
    )
    assert (row.sha256, row.metadata_sha256, row.upload_time) == (SHA, META, "2026-01-21T19:02:47Z")
    assert row.yanked is None


def test_a_nightly_row_has_no_hash_and_its_metadata_hash_is_not_taken_for_one() -> None:
    row = page(
        '<a href="https://download-r2.pytorch.org/whl/nightly/cpu/torch-2.12.0.dev20260320%2Bcpu-cp310-cp310-win_amd64'
        f'.whl" data-core-metadata="sha256={META}">torch</a>'
    ).rows[0]
    assert row.sha256 is None
    assert row.metadata_sha256 == META


def test_attributes_of_a_package_index() -> None:
    rows = page(
        "<A HREF='torch-1.0-py3-none-any.whl#sha256=00' data-requires-python=\">=3.9,&lt;4\" data-yanked>x</A>",
        '<a href="torch-1.1-py3-none-any.whl#md5=aa" data-yanked="broken &amp; old" data-core-metadata="true">x</a>',
        '<a href=torch-1.2-py3-none-any.whl data-core-metadata="false" rel="internal">x</a>',
    ).rows
    assert [row.requires_python for row in rows] == [">=3.9,<4", None, None]
    assert [row.yanked for row in rows] == ["", "broken & old", None]
    assert [row.metadata_sha256 for row in rows] == [None, "", None]
    assert [row.sha256 for row in rows] == [None, None, None]  # neither a short hash nor md5 counts
    assert rows[2].url == "https://download.pytorch.org/whl/torch/torch-1.2-py3-none-any.whl"


def test_base_and_relative_links() -> None:
    rows = page(
        '<a href="../cu128/torch-1.0-py3-none-any.whl">x</a>',
        '<a href="//mirror.example/torch-1.1-py3-none-any.whl">x</a>',
        head='<head><base href="https://files.example/a/b/"></head>',
    ).rows
    assert [row.url for row in rows] == [
        "https://files.example/a/cu128/torch-1.0-py3-none-any.whl",
        "https://mirror.example/torch-1.1-py3-none-any.whl",
    ]


def test_credentials_never_come_out() -> None:
    body = b'<a href="torch-1.0-py3-none-any.whl">x</a><a href="https://a:b@h.example/torch-1.1-py3-none-any.whl">x</a>'
    rows = parse_page(body, url="https://me:canary@index.example/torch/").rows
    assert [row.url for row in rows] == [
        "https://index.example/torch/torch-1.0-py3-none-any.whl",
        "https://h.example/torch-1.1-py3-none-any.whl",
    ]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("torch-2.8.0.whl", "2 parts"),
        ("torchrec_nightly_3.7_cu11.whl", "1 parts"),
        ("torch-2.8.0-cp312-cp312-manylinux_2_28_x86_64-cu128.whl", "build number"),
        ("torch-x.y-cp312-cp312-win_amd64.whl", "no version"),
        ("torch-2.8.0.tar.gz", "not a wheel"),
    ],
)
def test_links_that_are_no_wheels_are_kept_with_their_reason(name: str, reason: str) -> None:
    found = page(f'<a href="{name}">{name}</a>')
    assert found.rows == ()
    assert reason in found.skipped[0].reason
    assert found.skipped[0].filename == name


def test_links_that_nothing_may_follow() -> None:
    found = page(
        '<a href="http://plain.example/torch-1.0-py3-none-any.whl">x</a>',
        f'<a href="http://plain.example/torch-1.1-py3-none-any.whl#sha256={SHA}">x</a>',
        '<a href="file:///etc/torch-1.2-py3-none-any.whl">x</a>',
        '<a href="javascript:alert(1)//torch-1.3-py3-none-any.whl">x</a>',
    )
    assert [row.version for row in found.rows] == ["1.1"]
    assert len(found.skipped) == 3


def test_an_address_with_two_hashes_is_no_row() -> None:
    """One of them is wrong, and would be locked. The same row twice is one that is said twice."""
    name, other = "torch-1.0-py3-none-any.whl", "torch-1.1-py3-none-any.whl"
    found = page(*(f'<a href="{name}#sha256={each * 64}">x</a>' for each in "12"), *[f'<a href="{other}">x</a>'] * 2)
    assert [row.version for row in found.rows] == ["1.1", "1.1"]
    assert {(each.filename, each.reason) for each in found.skipped} == {(name, "its page gives it two hashes")}


def test_comments_hold_no_links() -> None:
    assert page('<!-- <a href="torch-1.0-py3-none-any.whl">x</a> -->', "<h1>Links for torch</h1>").rows == ()


def test_folders_of_a_root_page() -> None:
    found = page('<a href="../">..</a>', '<a href="cu128/">cu128/</a>', '<a href="torch/">torch</a>')
    assert [name for name, _ in found.folders] == ["cu128", "torch"]
    assert found.folders[0][1] == "https://download.pytorch.org/whl/torch/cu128/"


def test_json_gives_the_same_as_html() -> None:
    entry = {
        "filename": "torch-2.15.0-cp312-cp312-win_amd64.whl",
        "url": "/packages/torch-2.15.0-cp312-cp312-win_amd64.whl",
        "hashes": {"sha256": SHA},
        "requires-python": ">=3.11",
        "core-metadata": {"sha256": META},
        "yanked": False,
        "size": 123,
        "upload-time": "2026-10-28T00:00:00Z",
    }
    document = {"meta": {"api-version": "1.4"}, "name": "torch", "files": [entry]}
    kind = "application/vnd.pypi.simple.v1+json; charset=UTF-8"
    row = parse_page(json.dumps(document).encode(), url="https://index.example/simple/torch/", content_type=kind).rows[
        0
    ]
    assert row.url == "https://index.example/packages/torch-2.15.0-cp312-cp312-win_amd64.whl"
    assert (row.sha256, row.size, row.requires_python, row.metadata_sha256) == (SHA, 123, ">=3.11", META)
    assert row.yanked is None


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<!DOCTYPE html><html><head><title>Sign in</title></head><body><form></form></body></html>", "Sign in"),
        (b"", "empty"),
        (b"502 Bad Gateway", "502 Bad Gateway"),
        (b"\x00\x01\x02\xff" * 50, "no link"),
        (b'<!DOCTYPE html><html><body><a href="torch-1.0-py3-none-any.whl">torch</a>', "cut off"),
        (b"<html><body><h1>403</h1></body></html>", "403"),
        (b'{"error": "login"}', "simple API"),
        (b'{"meta": {"api-version": "2.0"}, "files": []}', "simple API"),
        (b"{" * 10, "neither HTML nor JSON"),
        (b'{"meta": {"api-version": "1.0"}, "files": [{"filename": "x"}]}', "no URL"),
    ],
)
def test_what_is_no_index_page_is_refused(body: bytes, words: str) -> None:
    kind = "application/json" if body.startswith(b"{") else "text/html"
    with pytest.raises(PageFormatError) as caught:
        parse_page(body, url="https://me:canary@index.example/torch/", content_type=kind)
    assert words in " ".join(caught.value.causes)
    assert "canary" not in str(caught.value)


def test_an_empty_project_page_is_a_page() -> None:
    assert page("<h1>Links for torch</h1>").rows == ()


def test_halves_of_surrogate_pairs_come_out_as_question_marks() -> None:
    name = "torch-2.10.0-cp312-cp312-win_amd64.whl"
    file = {"filename": name, "url": name, "yanked": "\udcff", "requires-python": "\ud800"}
    body = json.dumps({"meta": {"api-version": "1.0"}, "files": [file]}).encode()
    (row,) = parse_page(body, url="https://h.example/torch/", content_type="application/json").rows
    assert (row.yanked, row.requires_python) == ("?", "?")


def test_a_project_whose_name_makes_no_address_is_left_out() -> None:
    projects = [{"name": "https://[::1"}, {"name": "torch"}]
    body = json.dumps({"meta": {"api-version": "1.0"}, "projects": projects}).encode()
    page = parse_page(body, url="https://h.example/simple/", content_type="application/json")
    assert page.folders == (("torch", "https://h.example/simple/torch/"),)


@pytest.mark.parametrize("start", ["https://h.example/", "/"])
def test_an_address_with_a_control_character_is_none(start: str) -> None:
    found = page(
        f'<a href="{start}torch-1.0-py3-none-any\x7f.whl">x</a>',
        f'<a href="{start}\x1b/torch-1.0-py3-none-any.whl">x</a>',
    )
    assert found.rows == ()
    assert len(found.skipped) == 2


def test_what_an_address_spells_otherwise_is_encoded() -> None:
    (row,) = page('<a href="/a b/é/torch-1.0-py3-none-any.whl">x</a>').rows
    assert row.url.endswith("/a%20b/%C3%A9/torch-1.0-py3-none-any.whl")


@pytest.mark.parametrize("said", ["soon", "2026-02-31T00:00:00Z", ""])
def test_a_time_that_is_none_is_not_given(said: str) -> None:
    """Like an index without times: what --exclude-newer then says is that there is none."""
    (row,) = page(f'<a href="/torch-1.0-py3-none-any.whl" data-upload-time="{said}">x</a>').rows
    assert row.upload_time is None
