"""net.client against a real server on loopback: cache, retries, limits, and one clear error for each fault."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.errors import IndexUnreachableError, OfflineError
from gpuenv.net.access import Access
from gpuenv.net.client import Absent, Answer, Client
from support.addresses import at
from support.index_server import LOGIN_PAGE, Fault, IndexServer
from support.wheels import build_wheel, torch_wheel

# No time limit that a loaded machine could reach: a time-out would be tried again, and counted as a request.
QUICK = Access(backoff=0.005, connect_timeout=120, read_timeout=120, deadline=600)


@pytest.fixture
def server() -> Iterator[IndexServer]:
    with IndexServer() as running:
        running.add(torch_wheel("2.10.0", "cu128"), folder="cu128")
        running.add(torch_wheel("2.11.0.dev20260102", "cu128"), folder="nightly/cu128")
        yield running


def client(
    folder: Path,
    *,
    access: Access = QUICK,
    environ: dict[str, str] | None = None,
    offline: bool = False,
    refresh: bool = False,
) -> Client:
    return Client(cache=folder, environ=environ or {}, access=access, offline=offline, refresh=refresh)


def failure(url: str, folder: Path, **options: object) -> str:
    with pytest.raises(IndexUnreachableError) as caught, client(folder, **options) as http:  # type: ignore[arg-type]
        http.get(url)
    assert caught.value.hints
    return " | ".join([caught.value.message, *caught.value.causes])


@pytest.mark.parametrize("path", ["/whl/torch/", "/whl/nightly/torch/"])
def test_a_young_page_is_used_without_asking(server: IndexServer, tmp_path: Path, path: str) -> None:
    for _ in range(3):
        with client(tmp_path) as http:
            answer = http.get(server.url + path)
            assert isinstance(answer, Answer)
    assert answer.kept
    assert http.counters.requests == 0
    assert len(server.requests(path)) == 1  # although PyTorch's nightly pages say no-store


def test_refresh_asks_with_validators(server: IndexServer, tmp_path: Path) -> None:
    url = f"{server.torch_index}/nightly/torch/"
    client(tmp_path).get(url)
    http = client(tmp_path, refresh=True)
    answer = http.get(url)
    assert isinstance(answer, Answer)
    assert answer.kept
    assert (http.counters.requests, http.counters.bytes, http.counters.unchanged) == (1, 0, 1)
    assert server.log[-1].status == 304


def test_an_old_page_is_asked_for_again_and_a_changed_one_replaced(server: IndexServer, tmp_path: Path) -> None:
    url = f"{server.torch_index}/torch/"
    at_once = Access(backoff=0.005, page_lifetime=0)
    client(tmp_path, access=at_once).get(url)
    client(tmp_path, access=at_once).get(url)
    assert [request.status for request in server.log] == [200, 304]
    server.add(torch_wheel("2.12.0", "cu128"), folder="cu128")
    changed = client(tmp_path, access=at_once).get(url)
    assert isinstance(changed, Answer)
    assert b"torch-2.12.0" in changed.body


def test_offline_takes_what_is_kept_however_old(server: IndexServer, tmp_path: Path) -> None:
    url = f"{server.torch_index}/torch/"
    at_once = Access(backoff=0.005, page_lifetime=0)
    client(tmp_path, access=at_once).get(url)
    http = client(tmp_path, access=at_once, offline=True)
    assert isinstance(http.get(url), Answer)
    with pytest.raises(OfflineError, match="not in the cache"):
        http.get(f"{server.torch_index}/torchvision/")
    assert len(server.log) == 1
    assert http.counters.requests == 0


def test_a_lost_network_does_not_cost_the_kept_page(server: IndexServer, tmp_path: Path) -> None:
    url = f"{server.torch_index}/torch/"
    at_once = Access(backoff=0.005, page_lifetime=0)
    client(tmp_path, access=at_once).get(url)
    server.fault("/whl/", Fault(status=503, headers={"ETag": ""}))
    assert "503" in failure(url, tmp_path, access=at_once)
    assert isinstance(client(tmp_path, offline=True).get(url), Answer)


@pytest.mark.parametrize(
    "fault",
    [Fault(status=503, times=2), Fault(truncate=40, times=2), Fault(drop=True, times=1), Fault(status=429, times=1)],
    ids=["503", "cut", "dropped", "429"],
)
def test_a_passing_fault_is_tried_again(server: IndexServer, tmp_path: Path, fault: Fault) -> None:
    server.fault("/whl/torch/", fault)
    answer = client(tmp_path).get(f"{server.torch_index}/torch/")
    assert isinstance(answer, Answer)
    assert answer.body.endswith(b"-->")


@pytest.mark.parametrize(
    ("fault", "words", "attempts"),
    [
        (Fault(status=503), "error of its own (503)", 4),
        (Fault(status=500), "error of its own (500)", 4),
        (Fault(status=401), "asks for a user name and a password (401)", 1),
        (Fault(status=407), "the proxy asks", 1),
        (Fault(status=418), "status 418", 1),
        (Fault(truncate=40), "before the answer was complete", 4),
        (Fault(drop=True), "before the answer was complete", 4),
    ],
)
def test_each_lasting_fault_has_its_words(
    server: IndexServer, tmp_path: Path, fault: Fault, words: str, attempts: int
) -> None:
    server.fault("/whl/torch/", fault)
    said = failure(f"{server.torch_index}/torch/", tmp_path)
    assert words in said
    assert f"{server.torch_index}/torch/" in said
    assert len(server.log) == attempts


def test_a_server_that_says_nothing_has_its_words_too(server: IndexServer, tmp_path: Path) -> None:
    server.fault("/whl/torch/", Fault(stall=30))
    access = Access(backoff=0.005, connect_timeout=120, read_timeout=0.4, deadline=600)
    assert "sent nothing for 0.4 seconds" in failure(f"{server.torch_index}/torch/", tmp_path, access=access)


@pytest.mark.parametrize("status", [403, 404, 410])
def test_what_is_not_there_is_a_value(server: IndexServer, tmp_path: Path, status: int) -> None:
    server.fault("/whl/torch/", Fault(status=status))
    url = f"{server.torch_index}/torch/"
    assert client(tmp_path).get(url) == Absent(where=at(url), status=status)
    assert len(server.log) == 1


def test_a_server_that_trickles_is_cut_off(server: IndexServer, tmp_path: Path) -> None:
    server.serve_day("2026-01-03", projects={"triton"})
    server.fault("/whl/triton/", Fault(slow=0.1))
    said = failure(f"{server.torch_index}/triton/", tmp_path, access=Access(read_timeout=120, deadline=2))
    assert "not sent its whole answer after 2 seconds" in said


def test_an_answer_without_end_is_refused(server: IndexServer, tmp_path: Path) -> None:
    server.serve_day("2026-01-03", projects={"triton"})
    with pytest.raises(IndexUnreachableError, match="larger than 1000 bytes"):
        client(tmp_path).get(f"{server.torch_index}/triton/", limit=1000)


def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    http = client(tmp_path)
    with pytest.raises(IndexUnreachableError) as caught:
        http.get(f"http://127.0.0.1:{port}/whl/torch/")
    assert "refuses the connection" in caught.value.causes[0]
    spent = http.counters.requests
    with pytest.raises(IndexUnreachableError):
        http.get(f"http://127.0.0.1:{port}/whl/torchvision/")
    assert http.counters.requests == spent  # the same dead server is not waited for twice


def test_a_name_that_does_not_exist(tmp_path: Path) -> None:
    assert "is not known here" in failure("http://index.invalid/whl/torch/", tmp_path)


def test_a_dead_proxy_is_named(server: IndexServer, tmp_path: Path) -> None:
    environ = {"HTTP_PROXY": "http://me:canary@127.0.0.1:9"}
    said = failure(f"{server.torch_index}/torch/", tmp_path, environ=environ)
    assert "the proxy http://127.0.0.1:9 does not answer" in said
    assert "canary" not in said
    allowed = client(tmp_path, environ={**environ, "NO_PROXY": "127.0.0.1"})
    assert isinstance(allowed.get(f"{server.torch_index}/torch/"), Answer)


def test_no_encryption_where_it_was_asked_for(server: IndexServer, tmp_path: Path) -> None:
    said = failure(f"{server.torch_index}/torch/".replace("http:", "https:"), tmp_path)
    assert "no trusted encrypted connection" in said


def test_credentials_of_the_address_and_of_netrc_are_sent_and_never_shown(server: IndexServer, tmp_path: Path) -> None:
    address = server.torch_index.replace("http://", "http://me:canary@") + "/torch/"
    answer = client(tmp_path / "a").get(address)
    assert isinstance(answer, Answer)
    assert "canary" not in f"{answer} {answer.where}"
    assert server.log[-1].headers["authorization"].startswith("Basic ")
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login me password canary\n", encoding="utf-8")
    client(tmp_path / "b", environ={"HOME": str(tmp_path)}).get(f"{server.torch_index}/torch/")
    assert server.log[-1].headers["authorization"].startswith("Basic ")
    server.fault("/whl/", Fault(status=503))
    assert "canary" not in failure(address, tmp_path / "c")
    kept = [path for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert kept
    assert all(b"canary" not in path.read_bytes() for path in kept)


def test_a_page_that_was_none_is_not_kept(server: IndexServer, tmp_path: Path) -> None:
    url = f"{server.torch_index}/torch/"
    server.fault("/whl/torch/", Fault(body=LOGIN_PAGE))
    http = client(tmp_path)
    assert isinstance(http.get(url), Answer)
    http.forget(url)
    server.heal()
    answer = http.get(url)
    assert isinstance(answer, Answer)
    assert b"Links for torch" in answer.body


def test_a_permanent_redirect_is_followed_and_not_kept(server: IndexServer, tmp_path: Path) -> None:
    server.fault("/whl/torch/", Fault(redirect="/whl/nightly/torch/", status=301, times=1))
    http = client(tmp_path)
    first = http.get(f"{server.torch_index}/torch/")
    assert isinstance(first, Answer)
    assert first.where.url.endswith("/whl/nightly/torch/")
    second = http.get(f"{server.torch_index}/torch/")
    assert isinstance(second, Answer)
    assert second.where.url.endswith("/whl/torch/")


def test_threads_share_one_client(server: IndexServer, tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        server.add(build_wheel(name, "1.0"))
    http = client(tmp_path)
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda name=name: found.append(http.get(f"{server.torch_index}/{name}/")))
        for name in ("a", "b", "c", "d")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert http.counters.requests == 4
    assert all(isinstance(answer, Answer) for answer in found)
    assert http.counters.bytes == server.sent()


def test_a_cache_that_cannot_be_written_is_no_error(server: IndexServer, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder", encoding="utf-8")
    for _ in range(2):
        answer = client(blocked).get(f"{server.torch_index}/torch/")
        assert isinstance(answer, Answer)
        assert not answer.kept


def test_a_damaged_cache_is_asked_past(server: IndexServer, tmp_path: Path) -> None:
    url = f"{server.torch_index}/torch/"
    client(tmp_path).get(url)
    for path in tmp_path.rglob("*"):
        if path.is_file() and path.suffix != ".lock":
            path.write_bytes(path.read_bytes()[:-1] + b"!")
    answer = client(tmp_path).get(url)
    assert isinstance(answer, Answer)
    assert b"Links for torch" in answer.body
    assert len(server.log) == 2
