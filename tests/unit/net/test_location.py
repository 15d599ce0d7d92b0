"""net.location: an address is parsed once, and its secrets leave it one way only."""

from __future__ import annotations

import nturl2path
import traceback
from pathlib import Path, PureWindowsPath

import pytest

from gpuenv.errors import UsageError
from gpuenv.net.location import Location, host_of, path_of, public, redact, secrets_of
from support.addresses import at
from support.systems import POSIX

SECRET = [
    ("https://me:canary@h.example:8443/whl", "https://h.example:8443/whl", ("me", "canary")),
    ("https://me:c@n@ry@h.example/whl", "https://h.example/whl", ("me", "c@n@ry")),
    ("https://me:can%40ary@h.example/whl", "https://h.example/whl", ("me", "can@ary")),
    ("https://me:can ary@h.example/whl", "https://h.example/whl", ("me", "can ary")),
    ("https://me:can#ary@h.example/whl", "https://h.example/whl", ("me", "can#ary")),
    ("https://me:can?ary@h.example/whl", "https://h.example/whl", ("me", "can?ary")),
    ("https://me:can/ary@h.example/whl", "https://h.example/whl", ("me", "can/ary")),
    ("https://me:100%@h.example/whl", "https://h.example/whl", ("me", "100%")),
    ("https://canary@h.example/whl", "https://h.example/whl", ("canary", "")),
    ("HTTPS://me:canary@[2001:DB8::1]:80/whl#x", "https://[2001:db8::1]:80/whl", ("me", "canary")),
    ("https://h.example/whl?token=canary#x", "https://h.example/whl", None),
    ("https://h.example?mail=me@canary", "https://h.example", None),
]


@pytest.mark.parametrize(("text", "shown", "credentials"), SECRET)
def test_nothing_but_the_shown_form_can_be_printed(text: str, shown: str, credentials: tuple[str, str] | None) -> None:
    where = at(text)
    assert where.shown == where.url == str(where) == f"{where}" == f"{where:s}" == public(text) == shown
    assert repr(where) == f"Location({shown!r})"
    assert where.credentials == credentials
    assert at(where.with_secrets()) == where
    for derived in (where.below("cu128"), where.below("torch", page=True)):
        assert (derived.credentials, derived.query) == (where.credentials, where.query)
    assert where.below("a", "b", page=True).url.endswith("/a/b/")
    assert where.follow("/elsewhere?x=1", origin="").credentials is None
    for secret in where.secrets:
        assert secret not in redact(f"at {where.with_secrets()} and {text}", secrets_of(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://[x/", "its host cannot be read"),
        ("http://[x]/", "no IPv6 address"),
        ("http://h:80a/", "its port is not a number"),
        ("http://h:99999/", "no port 99999"),
        ("http://h:" + "9" * 4300 + "/", "its port is not a number"),
        ("http:///x", "it has no host"),
        ("http://a..b/", "its host cannot be read"),
        ("http://" + "a" * 64 + ".b/", "its host cannot be read"),
        ("http://h/\x1b[2J", "control character"),
        ("ftp://h/", "the scheme ftp is not understood"),
        ("download.pytorch.org/whl", "lacks its scheme"),
        ("localhost:8000/whl", "lacks its scheme"),
        ("ab://wheels", "the scheme ab is not understood"),
        pytest.param("~nouser/x", "is not a path", marks=POSIX),
    ],
)
def test_what_is_no_address_is_an_error_with_its_place(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=r"^--torch-index: ") as caught:
        Location.parse(text, origin="--torch-index", folder=Path("/none"))
    assert words in caught.value.message
    assert "\x1b" not in caught.value.message
    assert caught.value.hints


def test_a_missing_scheme_is_suggested_and_a_folder_of_that_name_wins(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        Location.parse("download.pytorch.org/whl", origin="", folder=tmp_path)
    assert caught.value.hints == ("Write it as https://download.pytorch.org/whl",)
    (tmp_path / "wheels.d").mkdir()
    assert Location.parse("wheels.d", origin="", folder=tmp_path).local == tmp_path.resolve() / "wheels.d"


@pytest.mark.parametrize(
    "text", ["https://me:canary@h:80a/", "ftp://h/?t=canary", "me:canary@h/x", "http://u:canary@[x/"]
)
def test_an_error_shows_no_secret_either(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Location.parse(text, origin="--index", folder=Path("/none"))
    shown = [*caught.value.hints, *traceback.format_exception(caught.value)]
    assert "canary" not in "".join(shown)
    assert "canary" not in redact(f"unrecognized arguments: {text}", secrets_of(text)) or "://" not in text


@pytest.mark.parametrize("name", ["wheels", "my wheels", "100%", "a#b?c", "ä,b;c"])
def test_paths_and_file_addresses_are_the_same_both_ways(name: str, tmp_path: Path) -> None:
    where = Location.parse(name, origin="", folder=tmp_path)
    assert where.is_local
    assert where.local == at(where.url).local == tmp_path.resolve() / name
    assert where.shown == str(where.local)
    assert at(f"file://localhost{where.path}").local == where.local


@pytest.mark.parametrize("path", [r"Z:\w\fl", r"Z:\my wheels\100%", r"\\server\share\my wheels"])
def test_windows_paths(path: str) -> None:
    """The address of a drive or a share, and what Windows' own conversion makes of it."""
    where = Location.of_path(PureWindowsPath(path))
    server = f"//{where.host}" if where.host else ""
    assert nturl2path.url2pathname(server + where.path) == path


def test_a_drive_is_no_host() -> None:
    assert Location.parse("file://C:/my wheels", origin="").url == "file:///C:/my%20wheels"
    assert path_of("file://C:/wheels/x.whl") == path_of("file:///C:/wheels/x.whl")


def test_a_drive_is_no_scheme(tmp_path: Path) -> None:
    assert Location.parse("C://wheels", origin="", folder=tmp_path).is_local


def test_the_same_server() -> None:
    assert at("https://h/a").same_origin(at("https://H:443/b"))
    for other in ("http://h/a", "https://h:8443/a", "https://h.example/a"):
        assert not at("https://h/a").same_origin(at(other))
    assert at("https://h:8443/").is_on(["h"])
    assert at("https://h/").is_on(["h:443"])
    assert not at("https://h.evil/").is_on(["h", "evil"])
    assert host_of("https://a:b@H:1/x") == "h:1"


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("http://u:p@host/x", "http://host/x"),
        ("http://u:p@ss@host/x and https://token@h", "http://host/x and https://h"),
        ("GET (https://h/w.whl?a=1&access_token=abc&b=2)", "GET (https://h/w.whl)"),
        ("git+https://me:canary@host/repo@main", "git+https://host/repo@main"),
        ("https://host/a@b", "https://host/a@b"),
        ("me@example.org", "me@example.org"),
        ("what? http://h/x", "what? http://h/x"),
    ],
)
def test_foreign_text(text: str, clean: str) -> None:
    assert redact(text) == clean


def test_megabytes_without_a_space_are_read_in_one_go() -> None:
    """Not a measurement: a pattern that starts over at every character takes minutes here."""
    for flood in ("y" * 2_000_000, "?" * 500_000, "http://" * 200_000, "?token" * 200_000):
        assert redact(flood) == flood


@pytest.mark.parametrize(
    "text",
    [
        "GET https://h.example/https://me:canary@i.example/whl failed",
        "cannot fetch ://me:canary@i.example/whl",
        "https://[::1://me:canary@i.example/whl",
        f"https://{'é' * 5000}me:canary@i.example/whl",
    ],
)
def test_an_address_inside_another_keeps_its_secret_too(text: str) -> None:
    assert redact(text) == text.replace("é", "").replace("me:canary@", "")


def test_a_path_that_is_too_long_is_none() -> None:
    for text in (f"me@{'a' * 5000}", f"h.example/{'a' * 5000}"):
        with pytest.raises(UsageError):
            Location.parse(text, origin="--find-links", folder=Path("/"))
