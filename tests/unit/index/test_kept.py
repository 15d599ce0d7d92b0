"""index.kept: a page is parsed once; what is kept of it holds for that page, at that address, read by that code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gpuenv.errors import PageFormatError
from gpuenv.index import kept, page
from gpuenv.index.kept import read_page
from gpuenv.index.listed import Page
from gpuenv.net.cache import PageCache
from gpuenv.net.client import Answer
from support.addresses import at

BODY = b'<a href="cu128/torch-9.1.0%2Bcu128-cp312-cp312-linux_x86_64.whl#sha256=' + b"a" * 64 + b'">x</a>'
BASE = "https://one.example/whl/"


class Reader:
    """Reads pages through one cache and counts those that were parsed."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cache, self.parsed = PageCache(folder), 0
        real = page.parse_page

        def counted(*args: object, **more: object) -> Page:
            self.parsed += 1
            return real(*args, **more)  # type: ignore[arg-type]  # handed on as it is

        monkeypatch.setattr(page, "parse_page", counted)

    def read(self, body: bytes = BODY, *, base: str = BASE, kind: str = "pytorch", **more: str) -> Page:
        where = at(f"{base}torch/")
        digest = hashlib.sha256(body).hexdigest()
        answer = Answer(where=where, body=body, content_type=more.pop("content_type", "text/html"), digest=digest)
        said = {"channel": "stable", "variant": "", **more}
        return read_page(self.cache, where, answer, kind=kind, **said)  # type: ignore[arg-type]  # texts for literals

    def form(self, base: str = BASE) -> Path:
        return self.cache._form_path(at(f"{base}torch/"))


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    return Reader(tmp_path, monkeypatch)


def test_a_page_is_parsed_once(reader: Reader) -> None:
    first = reader.read()
    assert reader.read() == first
    assert reader.parsed == 1
    assert first.rows[0].sha256 == "a" * 64


def test_the_same_bytes_at_two_mirrors_are_two_pages(reader: Reader) -> None:
    one, two = reader.read(), reader.read(base="https://two.example/whl/")
    assert [each.rows[0].url.split("/")[2] for each in (one, two)] == ["one.example", "two.example"]
    reader.form("https://two.example/whl/").write_bytes(reader.form().read_bytes())
    assert reader.read(base="https://two.example/whl/") == two
    assert reader.parsed == 3


@pytest.mark.parametrize(
    "more",
    [
        {"body": BODY + b" "}, {"kind": "mirror"}, {"channel": "nightly"}, {"variant": "cu126"},
        {"content_type": "text/html; charset=utf-8"},
    ],
    ids=lambda more: next(iter(more)),
)  # fmt: skip
def test_whatever_a_page_is_read_by_is_part_of_the_key(reader: Reader, more: dict[str, str]) -> None:
    reader.read()
    reader.read(**more)  # type: ignore[arg-type]  # texts and bytes by name
    assert reader.parsed == 2


def test_another_reader_reads_the_page_again(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    reader.read()
    monkeypatch.setattr(kept, "made_by", lambda: "another")
    reader.read()
    assert reader.parsed == 2


def test_nothing_is_kept_where_the_reader_cannot_be_named(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "made_by", lambda: "")
    reader.read()
    assert not reader.form().exists()


def cut(form: bytes) -> bytes:
    return form[:-1]


def flipped(form: bytes) -> bytes:
    return form[:-9] + bytes([form[-9] ^ 1]) + form[-8:]


def sealed(form: bytes, change: Callable[[list[list[list[object]]]], object]) -> bytes:
    _, key, body = form.split(b"\n")
    document = json.loads(body)
    change(document)
    rest = key + b"\n" + json.dumps(document).encode()
    return hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def of_another_shape(form: bytes) -> bytes:
    return sealed(form, lambda document: document[0].pop())


def of_another_type(form: bytes) -> bytes:
    return sealed(form, lambda document: document[0].__setitem__(1, [[1], None]))


def of_unequal_columns(form: bytes) -> bytes:
    return sealed(form, lambda document: document[0].__setitem__(1, [[], None]))


def of_another_source(form: bytes) -> bytes:
    return sealed(form, lambda document: document[0].__setitem__(4, [["elsewhere"], None]))


DAMAGE = [cut, flipped, of_another_shape, of_another_type, of_unequal_columns, of_another_source, lambda form: b""]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_form_that_is_not_what_was_written_is_made_again(reader: Reader, damage: Callable[[bytes], bytes]) -> None:
    first = reader.read()
    whole = reader.form().read_bytes()
    reader.form().write_bytes(damage(whole))
    assert reader.form().read_bytes() != whole
    assert reader.read() == first
    assert reader.parsed == 2
    assert reader.form().read_bytes() == whole


def test_what_is_no_page_leaves_no_form(reader: Reader) -> None:
    with pytest.raises(PageFormatError):
        reader.read(b"<html><title>Please log in</title></html>")
    assert not reader.form().exists()


def test_a_page_that_was_forgotten_leaves_no_form(reader: Reader) -> None:
    reader.read()
    reader.cache.forget(at(f"{BASE}torch/"))
    assert not reader.form().exists()
