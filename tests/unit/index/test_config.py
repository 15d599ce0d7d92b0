"""index.config: the order of sources, and where each was configured."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpuenv import knowledge
from gpuenv.errors import UsageError
from gpuenv.index.config import SourcePlan, plan_sources

PYTORCH_INDEX = knowledge.load().pytorch_index
CONF = {
    "/etc/pip.conf": "[global]\nindex-url = https://corp.example/simple/\nfind-links = /srv/wheels\n"
    "extra-index-url = https://extra.example/simple\ncert = /corp.pem\ntrusted-host = corp.example\ntimeout = 7\n"
}


def plan(
    files: dict[str, str] | None = None,
    environ: dict[str, str] | None = None,
    *,
    torch_index: str | None = None,
    index: str | None = None,
    find_links: tuple[str, ...] = (),
    known: str | None = None,
) -> SourcePlan:
    return plan_sources(
        torch_index=torch_index,
        index=index,
        find_links=find_links,
        environ={"HOME": "/home/me", **(environ or {})},
        platform="linux",
        folder=Path("/project"),
        read=lambda path: (files or {}).get(path.as_posix()),
        default_index_url=lambda: known,
    )


def order(found: SourcePlan) -> list[tuple[str, str, str]]:
    return [(place.kind, posix(place.shown), posix(place.configured_by)) for place in found.torch]


def posix(path: str) -> str:
    """As Linux writes it, where the tests run on Windows: its drive and its slashes are not what they are about."""
    return path if "://" in path else path.removeprefix(Path.cwd().drive).replace("\\", "/")


def test_nothing_configured() -> None:
    assert order(plan()) == [("pytorch", PYTORCH_INDEX, "default")]
    assert plan().default_index is None


def test_the_whole_order() -> None:
    assert order(plan(CONF, find_links=("wheels",))) == [
        ("find-links", "/project/wheels", "--find-links"),
        ("pytorch", PYTORCH_INDEX, "default"),
        ("find-links", "/srv/wheels", "/etc/pip.conf"),
        ("package-index", "https://corp.example/simple", "/etc/pip.conf"),
    ]


def test_what_pip_adds_serves_everything_but_the_family() -> None:
    page = "https://links.example/torch.html"
    found = plan(CONF, {"PIP_FIND_LINKS": f"/srv/wheels {page}"})
    assert [place.shown for place in found.extra_indexes] == ["https://extra.example/simple"]
    assert [posix(place.shown) for place in found.find_links] == ["/srv/wheels", page]
    assert [place.shown for place in found.not_asked] == ["https://extra.example/simple", page]
    assert not {place.shown for place in found.torch} & {place.shown for place in found.not_asked}


def test_a_page_that_lies_on_this_machine_is_a_page(tmp_path: Path) -> None:
    page = tmp_path / "links.html"
    page.write_text('<a href="https://elsewhere.example/torch-9.9-py3-none-any.whl">torch</a>')
    for word in (str(page), page.as_uri()):
        found = plan(environ={"PIP_FIND_LINKS": word})
        assert [place.shown for place in found.not_asked] == [str(page)]
    assert plan(find_links=(str(page),)).torch[0].shown == str(page)  # a person's own word for it


def test_the_index_of_the_command_line_stands_alone() -> None:
    variables = {"PIP_EXTRA_INDEX_URL": "https://more.example/simple", "PIP_FIND_LINKS": "/srv/wheels /srv/more"}
    found = plan(CONF, variables, index="https://mine.example/simple")
    assert order(found) == [
        ("pytorch", PYTORCH_INDEX, "default"),
        ("package-index", "https://mine.example/simple", "--index"),
    ]
    assert (found.extra_indexes, found.find_links, found.not_asked) == ((), (), ())


def test_a_named_torch_index_is_the_only_one() -> None:
    found = plan(CONF, torch_index="https://mirror.example/pytorch/", find_links=("wheels",))
    assert order(found) == [
        ("find-links", "/project/wheels", "--find-links"),
        ("mirror", "https://mirror.example/pytorch", "--torch-index"),
    ]
    assert found.torch[1].only
    assert found.default_index is not None  # the rest of the packages still comes from it


def test_naming_pytorchs_own_index_keeps_its_kind() -> None:
    assert plan(torch_index=PYTORCH_INDEX + "/").torch[0].kind == "pytorch"


def test_a_folder_as_torch_index_becomes_an_address() -> None:
    assert plan(torch_index="my mirror").torch[0].location.url == Path("/project/my mirror").absolute().as_uri()


@pytest.mark.parametrize(
    ("arguments", "origin"),
    [
        ({"index": "https://mine.example/simple"}, "--index"),
        ({}, "PIP_INDEX_URL"),
    ],
)
def test_default_index_by_precedence(arguments: dict[str, str], origin: str) -> None:
    environ = {"PIP_INDEX_URL": "https://pip.example/simple", "UV_DEFAULT_INDEX": "https://uv.example/simple"}
    found = plan(environ=environ, known="https://ecosystem.example/simple", **arguments)  # type: ignore[arg-type]
    assert found.default_index is not None
    assert found.default_index.configured_by == origin


def test_uvs_variables_and_the_ecosystems_own() -> None:
    found = plan(environ={"UV_DEFAULT_INDEX": "corp=https://uv.example/simple"}).default_index
    assert found is not None
    assert (found.shown, found.configured_by) == ("https://uv.example/simple", "UV_DEFAULT_INDEX")
    assert (
        found
        == plan(environ={"UV_DEFAULT_INDEX": "corp=https://uv.example/simple"}, known="https://e.x/").default_index
    )


def test_the_ecosystems_own_index_is_asked_last_where_none_is_configured_and_none_insisted_on() -> None:
    known = "https://ecosystem.example/simple"
    own = plan(known=known).fallback()
    assert own is not None
    assert (own.shown, own.configured_by, own.kind) == (known, "default", "package-index")
    assert plan(known=known).default_index is None  # uv knows it
    assert plan(CONF, known=known).fallback() is None
    assert plan(torch_index="https://mirror.example/whl", known=known).fallback() is None
    assert plan(environ={"PIP_NO_INDEX": "1"}, known=known).fallback() is None


def test_no_index_switches_indexes_off_and_says_so() -> None:
    found = plan({"/etc/pip.conf": CONF["/etc/pip.conf"] + "no-index = true\n"}, known="https://e.example/simple")
    assert order(found) == [("find-links", "/srv/wheels", "/etc/pip.conf")]
    assert found.default_index is None
    assert "no-index, /etc/pip.conf" in posix(found.notes[0])


def test_access_comes_from_pips_configuration() -> None:
    access = plan(CONF, {"PIP_PROXY": "http://proxy.example:3128"}).access
    assert (access.certificates, str(access.proxy), access.read_timeout) == (
        "/corp.pem",
        "http://proxy.example:3128",
        7,
    )
    assert access.trusted_hosts == ("corp.example",)
    assert any("corp.example" in note for note in plan(CONF).notes)


def test_credentials_are_not_shown() -> None:
    found = plan(index="https://me:canary@corp.example/simple", find_links=("https://me:canary@corp.example/links",))
    assert "canary" not in "".join(place.shown for place in found.torch)


@pytest.mark.parametrize(
    "bad",
    [
        {"index": "corp.example/simple"},
        {"index": "https://a.example/ https://me:canary@b.example/"},
        {"find_links": ("ftp://x.example/",)},
    ],
)
def test_what_is_no_address_is_refused(bad: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        plan(**bad)  # type: ignore[arg-type]
    assert "canary" not in str(caught.value)


def test_a_folder_whose_path_is_too_long_is_one() -> None:
    """That it cannot be read is said where it is read."""
    found = plan(environ={"PIP_FIND_LINKS": f"/{'a' * 5000}"})
    assert [place.kind for place in found.torch][:2] == ["pytorch", "find-links"]


def test_an_empty_find_links_stands_for_none_at_all() -> None:
    found = plan(CONF, find_links=("",))
    assert found.find_links == ()
    assert not any(place.kind == "find-links" for place in found.torch)
    assert any(place.shown.startswith("https://corp.example") for place in found.torch)
