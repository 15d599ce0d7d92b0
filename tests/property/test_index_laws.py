"""Laws of index: a page read back is the page written; order never matters; no bytes crash a reader."""

from __future__ import annotations

import json
import string

from hypothesis import given, settings
from hypothesis import strategies as st

from gpuenv.errors import PageFormatError
from gpuenv.index.listed import decode, encode
from gpuenv.index.page import parse_page
from gpuenv.index.source import snapshot
from gpuenv.index.zipdir import ZipFault, find_directory, last_entries, needed_for_end, unpack, walk
from gpuenv.model.wheel import SourceKind
from support.index_server import Anchor, render_project_page
from support.wheels import as_zip64, build_wheel

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
VARIANT = st.sampled_from(["", "cpu/", "cu126/", "cu128/", "cu999/", "rocm6.4/", "xpu/"])
LOCAL = st.sampled_from(["", "+cu128", "+cpu", "+git0a1b2c3d"])
NUMBER = st.integers(0, 30)


@st.composite
def anchors(draw: st.DrawFn) -> Anchor:
    channel = draw(st.sampled_from(["", "nightly/"]))
    development = f".dev202601{draw(st.integers(10, 28))}" if channel else ""
    version = f"{draw(NUMBER)}.{draw(NUMBER)}.{draw(NUMBER)}{development}{draw(LOCAL)}"
    python = draw(st.sampled_from(["cp312-cp312", "cp313-cp313t", "py3-none"]))
    platform = draw(st.sampled_from(["win_amd64", "manylinux_2_28_x86_64", "linux_aarch64"]))
    return Anchor(
        key=f"whl/{channel}{draw(VARIANT)}torch-{version}-{python}-{platform}.whl",
        sha256=None if channel else draw(st.none() | HEX),
        metadata_sha256=draw(st.none() | HEX),
        upload_time=draw(st.none() | st.just("2026-01-21T19:02:47Z")),
        yanked=draw(st.none() | st.text(string.printable.replace("\r", ""), max_size=20)),
    )


PAGES = st.lists(anchors(), max_size=12, unique_by=lambda anchor: anchor.key)


@given(PAGES)
@settings(max_examples=80, deadline=None)
def test_a_page_read_back_is_the_page_written(rows: list[Anchor]) -> None:
    text = render_project_page("torch", rows)
    page = parse_page(text.encode(), url="https://download.pytorch.org/whl/torch/")
    assert page.skipped == ()
    read = [(r.url, r.filename, r.sha256, r.metadata_sha256, r.upload_time, r.yanked) for r in page.rows]
    host = "https://download.pytorch.org/"
    assert read == [
        (
            host + row.key.replace("+", "%2B"),
            row.key.rpartition("/")[2],
            row.sha256,
            row.metadata_sha256,
            row.upload_time,
            row.yanked,
        )
        for row in sorted(rows, key=lambda row: row.key)
    ]


@given(PAGES, st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_rows_is_not_part_of_the_snapshot(rows: list[Anchor], random) -> None:  # type: ignore[no-untyped-def]
    url = "https://download.pytorch.org/whl/torch/"
    wheels = parse_page(render_project_page("torch", rows).encode(), url=url, kind="pytorch").rows
    shuffled = list(wheels)
    random.shuffle(shuffled)
    assert snapshot(shuffled) == snapshot(wheels)
    assert len({wheel.url for wheel in wheels}) == len(rows)
    if len(wheels) > 1:
        assert snapshot(wheels[1:]) != snapshot(wheels)


HREF = st.sampled_from(
    ["cu128/", "nightly/", "../", "mailto:x", "https://h.example/", "http://[", "file:///srv/", "//e.example:1/", ""]
)
LINK = st.builds(
    "<a {}='{}{}{}'{}>x</a>".format,
    st.sampled_from(["href", "HREF", "data-yanked='' href", "data-upload-time='2026-01-01' href", "name"]),
    HREF,
    st.sampled_from(["torch-1.0%2Bcu128-cp312-cp312-win_amd64.whl", "torch-1.0.tar.gz", "Torch-1-py3-none-any.whl"])
    | st.text(max_size=8),
    st.sampled_from(["", "#sha256=" + "A" * 64, "#sha256=" + "b" * 64, "#md5=1", "?sig=1"]),
    st.sampled_from([" ", " data-core-metadata=true", " data-dist-info-metadata='sha256=" + "c" * 64 + "'"])
    | st.text(max_size=12),
)
VALUE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=9)
    | st.sampled_from(["\ud800", "2026-01-01", "a" * 64]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["sha256", "x"]), inner, max_size=2),
    max_leaves=3,
)
KEYS = ["hashes", "size", "requires-python", "core-metadata", "upload-time", "yanked", "filename"]
FILE = st.fixed_dictionaries(
    {"url": st.sampled_from(["torch-1.0-py3-none-any.whl", "x/torch-2.0+cu128-cp312-cp312-win_amd64.whl", "\ud800"])},
    optional=dict.fromkeys(KEYS, VALUE),
)
HOSTILE = (
    st.lists(LINK, max_size=8).map(lambda links: ("text/html", "\n".join(links).encode("utf-8", "replace")))
    | st.lists(FILE, max_size=6).map(
        lambda files: ("application/json", json.dumps({"meta": {"api-version": "1.1"}, "files": files}).encode())
    )
    | st.tuples(st.sampled_from(["text/html", "application/json"]), st.binary(max_size=200))
)


@given(HOSTILE, st.sampled_from(["pytorch", "mirror", "package-index", "find-links"]), st.sampled_from(["", "cu128"]))
@settings(max_examples=400, deadline=None)
def test_the_kept_form_of_a_page_is_the_page(said: tuple[str, bytes], kind: SourceKind, variant: str) -> None:
    try:
        page = parse_page(said[1], url="https://h.example/whl/torch/", content_type=said[0], kind=kind, variant=variant)
    except PageFormatError:
        return
    form = encode(page)
    assert (form is None) == bool(page.signed)
    if form is not None:
        assert repr(decode(form)) == repr(page)


@given(st.binary(max_size=400), st.sampled_from(["text/html", "application/json", "text/plain"]))
@settings(max_examples=150, deadline=None)
def test_no_bytes_crash_the_page_reader(body: bytes, kind: str) -> None:
    try:
        page = parse_page(body, url="https://index.example/torch/", content_type=kind)
    except PageFormatError:
        return
    assert all(row.url for row in page.rows)


ARCHIVES = [build_wheel("demo", "1.0", members=5).body, as_zip64(build_wheel("demo", "1.0").body)]


@given(
    st.sampled_from(ARCHIVES),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4),
    st.integers(0, 10_000),
)
@settings(max_examples=150, deadline=None)
def test_no_damage_crashes_the_zip_reader(body: bytes, changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(body)
    for place, value in changes:
        data[-1 - place % len(data)] = value
    damaged = bytes(data)
    tail = damaged[-(22 + cut) :]
    try:
        place = needed_for_end(tail, len(damaged))
        end64 = damaged[place : place + 56] if place is not None else None
        where = find_directory(tail, len(damaged), end64=end64)
        directory = damaged[where.offset : where.offset + where.size]
        last_entries(directory[7:])
        for member, _ in walk(directory):
            unpack(member, damaged[member.offset :])
    except ZipFault:
        return
