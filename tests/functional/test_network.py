"""The one client against ways that are closed, slow, foreign or hostile, for pages, parts and downloads alike."""

from __future__ import annotations

import gzip
import itertools
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gpuenv.environment.fetch import Fetcher
from gpuenv.environment.store import Store
from gpuenv.errors import GpuenvError, IndexUnreachableError, PackageIndexError
from gpuenv.index.config import Place, SourcePlan, plan_sources
from gpuenv.index.learn import read_metadata
from gpuenv.index.source import load_source
from gpuenv.model.wheel import Wheel
from gpuenv.net.access import Access
from gpuenv.net.client import PAGE_LIMIT, Answer, Client
from gpuenv.net.download import Patience
from gpuenv.net.location import Location
from gpuenv.report import Silent
from support.addresses import at
from support.index_server import Fault, IndexServer
from support.raw_server import RawServer, answering, silent
from support.tls import CLIENT, SERVER, server_context
from support.wheels import torch_wheel

WHEEL = torch_wheel("2.10.0", "cu128", requires=["filelock"])
PATH = f"/whl/cu128/{WHEEL.filename.replace('+', '%2B')}"
QUICK = {"backoff": 0.005, "connect_timeout": 5.0, "read_timeout": 5.0, "deadline": 20.0}
Make = Callable[..., Client]


@pytest.fixture
def server() -> Iterator[IndexServer]:
    with IndexServer() as running:
        running.add(WHEEL, folder="cu128")
        yield running


@pytest.fixture(name="client")
def fixture_client(tmp_path: Path) -> Make:
    """Makes clients, each with a cache and a store of its own."""
    folders = itertools.count()

    def make(
        *,
        environ: dict[str, str] | None = None,
        sources: tuple[Location, ...] = (),
        may_follow: Callable[[Location, Location], bool] = lambda where, target: True,
        **access: object,
    ) -> Client:
        return Client(
            cache=tmp_path / str(next(folders)) / "pages",
            environ=environ or {},
            access=Access(**{**QUICK, **access}),  # type: ignore[arg-type]  # what a test sets
            sources=sources,
            may_follow=may_follow,
            sleep=lambda _: None,
        )

    return make


def page(client: Client, base: str) -> Answer:
    answer = client.get(f"{base}/whl/torch/")
    assert isinstance(answer, Answer)
    return answer


def part(client: Client, base: str) -> None:
    assert client.part(base + PATH, "bytes=0-9", limit=10).body == WHEEL.body[:10]


def long_part(client: Client, base: str) -> None:
    client.part(base + PATH, "bytes=0-99999", limit=100_000)


def metadata(client: Client, base: str) -> None:
    found = read_metadata(wheel_at(base), client)
    assert found is not None
    assert found.requires_dist == ("filelock",)


def download(client: Client, base: str, **patience: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        fetcher = Fetcher(
            store=Store(Path(folder)),
            client=client,
            reporter=Silent(),
            patience=Patience(**patience),  # type: ignore[arg-type]  # attempts is an int
        )
        assert fetcher.fetch(base + PATH, filename=WHEEL.filename)[1] == WHEEL.sha256


def wheel_at(base: str) -> Wheel:
    return Wheel(
        project="torch",
        version="2.10.0+cu128",
        filename=WHEEL.filename,
        url=base + PATH,
        source="mirror",
        channel="stable",
        variant="cu128",
        metadata_sha256="",
    )


WAYS = pytest.mark.parametrize("ask", [page, part, metadata, download])


def refusal(ask: Callable[[Client, str], object], client: Client, base: str) -> str:
    with pytest.raises(IndexUnreachableError) as caught:
        ask(client, base)
    return " | ".join([caught.value.message, *caught.value.causes])


# Encryption


@WAYS
def test_certificates_are_checked_as_the_person_says(
    ask: Callable[[Client, str], object], client: Make, tmp_path: Path
) -> None:
    with IndexServer(tls=server_context()) as server:
        server.add(WHEEL, folder="cu128")
        assert "no trusted encrypted connection" in refusal(ask, client(), server.url)
        assert server.log == []
        assert "no trusted" in refusal(ask, client(trusted_hosts=("localhost", "127.0.0.1:1")), server.url)
        assert server.log == []
        for number, made in enumerate(
            [
                client(environ={"SSL_CERT_FILE": str(SERVER)}),
                client(certificates=str(SERVER)),
                client(trusted_hosts=("127.0.0.1",)),
            ]
        ):
            ask(made, server.url)
            assert len(server.log) == number + 1


@WAYS
def test_a_client_certificate_is_shown_for_everything(ask: Callable[[Client, str], object], client: Make) -> None:
    with IndexServer(tls=server_context(asks_for_client=True)) as server:
        server.add(WHEEL, folder="cu128")
        refusal(ask, client(certificates=str(SERVER)), server.url)
        ask(client(certificates=str(SERVER), client_certificate=str(CLIENT)), server.url)


@WAYS
def test_an_encrypted_connection_is_never_left_for_one_that_is_not(
    ask: Callable[[Client, str], object], client: Make, server: IndexServer
) -> None:
    with IndexServer(tls=server_context()) as safe:
        safe.add(WHEEL, folder="cu128")
        for path in ("/whl/torch/", PATH, f"{PATH}.metadata"):
            safe.fault(path, Fault(redirect=server.url + path))
        said = refusal(ask, client(certificates=str(SERVER)), safe.url)
        assert "redirects to an unencrypted address" in said
        assert server.log == []


# Credentials and proxies


@WAYS
def test_credentials_of_the_address_of_its_source_and_of_netrc_go_with_everything(
    ask: Callable[[Client, str], object], client: Make, server: IndexServer, tmp_path: Path
) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text('machine 127.0.0.1 login me password "p@ss w"\n', encoding="utf-8")
    source = at(server.url.replace("://", "://me:p@ss w@"))
    for made in (client(sources=(source,)), client(environ={"HOME": str(tmp_path)})):
        ask(made, server.url)
        assert server.log[-1].headers["authorization"] == "Basic bWU6cEBzcyB3"


@WAYS
def test_no_other_server_gets_them(ask: Callable[[Client, str], object], client: Make, server: IndexServer) -> None:
    with IndexServer() as other:
        other.add(WHEEL, folder="cu128")
        for path in ("/whl/torch/", PATH, f"{PATH}.metadata"):
            server.fault(path, Fault(redirect=other.url + path))
        ask(client(sources=(at(server.url.replace("://", "://me:canary@") + "/whl?token=canary"),)), server.url)
        assert server.log
        assert other.log
        assert all("authorization" in request.headers for request in server.log)
        assert not any("authorization" in request.headers for request in other.log)


@WAYS
def test_everything_goes_through_the_proxy_but_what_goes_around_it(
    ask: Callable[[Client, str], object], client: Make, server: IndexServer
) -> None:
    """The server stands in for a proxy: it answers for any host, and the host here does not exist."""
    ask(client(environ={"HTTP_PROXY": server.url.replace("://", "://me:canary@")}), "http://index.invalid")
    assert server.log[-1].headers["host"] == "index.invalid"
    assert server.log[-1].headers["proxy-authorization"].startswith("Basic ")
    assert "authorization" not in server.log[-1].headers
    dead = {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    assert "the proxy http://127.0.0.1:9" in refusal(
        ask, client(environ={**dead, "NO_PROXY": "h"}), "http://index.invalid"
    )
    ask(client(environ=dead), server.url)
    ask(client(proxy=at(server.url)), "http://index.invalid")


# Time


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"


@pytest.mark.parametrize(
    "script",
    [
        silent,
        answering(b"HTTP/1.1 200 OK\r\n", forever=b"X-Drip: 1\r\n", pause=0.02),
        answering(HEAD + b"Content-Length: 100000\r\n\r\n", forever=b"x", pause=0.02),
        answering(HEAD + b"\r\n", forever=b"x", pause=0.02),
        answering(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", forever=b"1\r\nx\r\n", pause=0.02),
        answering(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", forever=b"0", pause=0.02),
    ],
    ids=["nothing", "headers", "body", "body without length", "chunks", "a chunk's length"],
)
@pytest.mark.parametrize("ask", [page, long_part, download])
def test_a_server_that_drips_is_left_after_one_deadline(
    script: Callable[..., None], ask: Callable[..., object], client: Make
) -> None:
    """None of these servers ever ends by itself, and none is ever silent for as long as the read time-out."""
    with RawServer(script) as server:
        made = client(deadline=0.3)
        if ask is download:
            with pytest.raises(IndexUnreachableError, match="too slow"):
                download(made, server.url, window=0.3, least_bytes=10_000)
        else:
            assert "had not sent its whole answer after 0.3 seconds" in refusal(ask, made, server.url)
        assert server.connections == 1


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_handshake_and_a_proxy_that_never_end_are_left_too(scheme: str, client: Make) -> None:
    with RawServer(answering(forever=b"HTTP/1.1 200 OK\r\nX: 1\r\n" if scheme == "http" else b"", pause=0.02)) as raw:
        environ = {"HTTPS_PROXY": raw.url} if scheme == "http" else {}
        base = "https://index.invalid" if scheme == "http" else raw.url.replace("http:", "https:")
        refusal(page, client(environ=environ, deadline=0.3, read_timeout=0.2), base)


@WAYS
def test_who_asks_for_patience_gets_it_within_the_deadline(
    ask: Callable[[Client, str], object], server: IndexServer, tmp_path: Path
) -> None:
    slept: list[float] = []
    made = Client(cache=tmp_path / "pages", environ={}, access=Access(deadline=60), sleep=slept.append)
    server.fault("/whl/", Fault(status=429, times=1, headers={"Retry-After": "7"}))
    ask(made, server.url)
    assert slept == [7.0]
    server.fault("/whl/", Fault(status=429, headers={"Retry-After": "86400"}))
    made.forget(f"{server.url}/whl/torch/")
    made.forget(f"{server.url}{PATH}.metadata")
    if ask is not download:
        assert "(429)" in refusal(ask, made, server.url)
        assert slept == [7.0]


# Answers that are not what they should be


def test_a_part_of_a_page_is_refused(server: IndexServer, client: Make) -> None:
    server.fault("/whl/torch/", Fault(status=206))
    assert "sends a part of what was asked for (206)" in refusal(page, client(), server.url)


def test_a_bomb_is_bounded(server: IndexServer, client: Make) -> None:
    bomb = gzip.compress(bytes(PAGE_LIMIT + 1))
    server.fault("/whl/torch/", Fault(body=bomb, headers={"Content-Encoding": "gzip"}))
    with pytest.raises(IndexUnreachableError, match="is larger than"):
        page(client(), server.url)


@pytest.mark.parametrize(
    "body", [b"no gzip at all", gzip.compress(b"Links for torch" * 1000, mtime=0)[:-30]], ids=["no-gzip", "cut-short"]
)
def test_what_cannot_be_unpacked_is_an_error_and_not_kept(body: bytes, server: IndexServer, client: Make) -> None:
    server.fault("/whl/torch/", Fault(body=body, headers={"Content-Encoding": "gzip"}))
    made = client()
    refusal(page, made, server.url)
    server.heal()
    assert b"Links for torch" in page(made, server.url).body


@pytest.mark.parametrize("place", [0.0, 0.02, 0.5, 1.0])
def test_one_flipped_bit_in_a_kept_page_costs_one_request(
    place: float, server: IndexServer, client: Make, tmp_path: Path
) -> None:
    made = client()
    first = page(made, server.url)
    (kept,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    body = bytearray(kept.read_bytes())
    body[int(place * (len(body) - 1))] ^= 1
    kept.write_bytes(bytes(body))
    again = page(made, server.url)
    assert (again.body, again.kept, len(server.log)) == (first.body, False, 2)


@pytest.mark.parametrize(
    "portal",
    [
        b'<!DOCTYPE html><html><body><a href="/login">sign in</a></body></html>',
        b'<!DOCTYPE html><html><body><a href="login/">sign in</a></body></html>',
        b'<!DOCTYPE html><html><body><a href="/app-1.0-py3-none-any.whl">our app</a></body></html>',
    ],
)
def test_a_captive_portal_is_forgotten(portal: bytes, server: IndexServer, client: Make) -> None:
    server.fault("/whl/", Fault(body=portal))
    place = Place(kind="mirror", location=at(server.torch_index), configured_by="--torch-index", only=True)
    made = client()
    with suppress(PackageIndexError):
        assert not load_source(place, made, projects=["torch"]).wheels
    server.heal()
    assert load_source(place, made, projects=["torch"]).wheels


NINES = b"9" * 4300


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: " + NINES + b"\r\n\r\n",
        b"HTTP/1.1 " + NINES + b" OK\r\n\r\n",
        b"HTTP/1.1 206 x\r\nContent-Range: bytes "
        + NINES
        + b"-"
        + NINES
        + b"/"
        + NINES
        + b"\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 429 x\r\nRetry-After: " + NINES + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 x\r\nLocation: http://[x/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 x\r\nLocation: //[x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 x\r\nLocation: http://h:80a/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 x\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\n\r\n" + NINES + b"\r\n",
        b"HTTP/1.1 200 x\r\nContent-Encoding: gzip, br, nonsense\r\nContent-Length: 1\r\n\r\nx",
        b"HTTP/1.1 200 x\r\n" + b"X: 1\r\n" * 1000 + b"\r\n",
        b"\x00\xff" * 5000,
        b"",
    ],
    ids=[
        "length",
        "status",
        "range",
        "patience",
        "link",
        "link2",
        "port",
        "file",
        "chunk",
        "coding",
        "many",
        "noise",
        "nothing",
    ],
)
@pytest.mark.parametrize("ask", [page, part, download])
def test_hostile_answers_end_in_exit_code_4(head: bytes, ask: Callable[..., object], client: Make) -> None:
    ends: list[int] = []
    with RawServer(answering(head)) as server:
        try:
            ask(client(deadline=2.0), server.url)
        except GpuenvError as error:
            ends.append(error.exit_code)
        except AssertionError:
            pass  # an answer, and not the one that is asked for here
    assert ends in ([], [4])


# Where rows may lead


@pytest.fixture
def foreign() -> Iterator[IndexServer]:
    with IndexServer() as running:
        running.add(torch_wheel("9.9.0", "cu128"), folder="cu128")
        yield running


def torch_at(server: IndexServer, make: Make, *hosts: str) -> set[str]:
    plan = mirror(server, *hosts)
    return {wheel.version for wheel in load_source(plan.torch[0], plan_client(make, plan), projects=["torch"]).wheels}


def mirror(server: IndexServer, *hosts: str, index: str | None = None) -> SourcePlan:
    """The sources of a person who names a mirror."""
    return plan_sources(
        torch_index=server.torch_index,
        index=index,
        allow_hosts=hosts,
        environ={},
        platform="linux",
        folder=Path(),
        read=lambda _: None,
    )


def plan_client(make: Make, plan: SourcePlan) -> Client:
    return make(may_follow=plan.may_follow)


def links(*addresses: str, base: str = "") -> bytes:
    head = f'<base href="{base}">' if base else ""
    rows = "".join(f'<a href="{address}">x</a>' for address in addresses)
    return f"<!DOCTYPE html><html><head>{head}</head><body>Links for torch {rows}</body></html>".encode()


@pytest.mark.parametrize("how", ["link", "base", "redirect", "scheme-relative"])
def test_rows_lead_to_their_own_source_unless_told(
    how: str, server: IndexServer, foreign: IndexServer, client: Make
) -> None:
    name = torch_wheel("9.9.0", "cu128").filename.replace("+", "%2B")
    own, other = f"{server.url}{PATH}", f"{foreign.url}/whl/cu128/{name}"
    match how:
        case "link":
            fault = Fault(body=links(own, other))
        case "scheme-relative":
            fault = Fault(body=links(own, other.removeprefix("http:")))
        case "base":
            fault = Fault(body=links(name, own, base=f"{foreign.url}/whl/cu128/"))
        case _:
            fault = Fault(redirect=f"{foreign.url}/whl/torch/")
    server.fault("/whl/torch/", fault)
    if how == "redirect":
        with pytest.raises(IndexUnreachableError, match="cannot be used") as caught:
            torch_at(server, client)
        assert "to another host" in caught.value.causes[0]
        assert f"`--allow-host {at(foreign.url).netloc}`" in caught.value.hints[0]
    else:
        assert torch_at(server, client) == {"2.10.0+cu128"}
    assert "9.9.0+cu128" in torch_at(server, client, at(foreign.url).netloc)
    assert "9.9.0+cu128" in torch_at(server, client, "127.0.0.1")


@pytest.mark.parametrize("ask", [part, metadata, download])
@pytest.mark.parametrize("shared", [False, True])
def test_files_of_a_mirror_are_redirected_to_its_own_hosts_unless_told(
    ask: Callable[[Client, str], object], shared: bool, server: IndexServer, client: Make
) -> None:
    """Whether or not its server holds a package index too."""
    index = server.default_index if shared else None
    with IndexServer() as other:
        other.add(WHEEL, folder="cu128")
        for path in (PATH, f"{PATH}.metadata"):
            server.fault(path, Fault(redirect=other.url + path))
        if ask is metadata:  # what stands beside the wheel is asked for in its place where it cannot be had
            with pytest.raises(IndexUnreachableError):
                ask(plan_client(client, mirror(server, index=index)), server.url)
        else:
            said = refusal(ask, plan_client(client, mirror(server, index=index)), server.url)
            assert f"to another host, {at(other.url).netloc}" in said
        assert other.log == []
        ask(plan_client(client, mirror(server, at(other.url).netloc, index=index)), server.url)
        assert other.log


def test_redirects_of_each_source_are_bound_to_its_own_hosts() -> None:
    def follows(plan: SourcePlan, where: str, target: str) -> bool:
        return plan.may_follow(at(where), at(target))

    def plan(**changes: Any) -> SourcePlan:
        values = {"environ": {}, "platform": "linux", "folder": Path(), "read": lambda _: None} | changes
        return plan_sources(**values)

    own, copy, evil = "https://download.pytorch.org/a.whl", "https://download-r2.pytorch.org/a.whl", "https://evil.x/a"
    default = plan(index="https://files.x/simple")
    assert follows(default, own, copy)
    assert not follows(default, own, evil)
    assert not follows(default, copy, evil)
    assert follows(default, "https://files.x/packages/a.whl", evil)
    assert follows(plan(allow_hosts=["evil.x"]), own, evil)
    alone = plan(torch_index="https://mirror.x/whl")
    assert not follows(alone, "https://mirror.x/files/a.whl", evil)
    beside = plan(torch_index="https://mirror.x/whl", index="https://mirror.x/simple")
    assert not follows(beside, "https://mirror.x/whl/cu128/a.whl", evil)
    assert follows(beside, "https://mirror.x/packages/a.whl", evil)


def test_rows_of_pytorchs_index_lead_to_pytorchs_hosts() -> None:
    place = Place(kind="pytorch", location=at("https://download.pytorch.org/whl"), configured_by="default")
    assert place.leads_to(at("https://download-r2.pytorch.org/whl/x.whl"))
    for other in ("https://evil.example/", "https://download.pytorch.org.evil.example/", "https://evil.pytorch.org/"):
        assert not place.leads_to(at(other))
