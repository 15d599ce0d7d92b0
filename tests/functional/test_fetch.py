"""Downloads over loopback that break, lie and crawl; and what is kept of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpuenv.environment.fetch import Fetcher
from gpuenv.environment.store import Store
from gpuenv.errors import IndexUnreachableError, IntegrityError, OfflineError
from gpuenv.lock.codec import parse
from gpuenv.net.access import Access
from gpuenv.net.client import Client
from gpuenv.net.download import Patience
from gpuenv.report import Silent
from support.index_server import Fault, IndexServer
from support.locks import lock_of, package
from support.wheels import build_wheel

WHEEL = build_wheel("torch", "2.10.0+cu128", files={"torch/big.bin": bytes(range(256)) * 4096})
PATH = f"/whl/cu128/{WHEEL.filename.replace('+', '%2B')}"


@pytest.fixture
def server() -> Iterator[IndexServer]:
    with IndexServer() as index:
        index.add(WHEEL, folder="cu128")
        yield index


class Download:
    """A fetcher that does not wait between attempts."""

    def __init__(self, store: Path, server: IndexServer, **patience: float) -> None:
        self.slept: list[float] = []
        self.url = f"{server.url}{PATH}"
        self.client = Client(
            cache=store / "pages", environ={}, access=Access(read_timeout=5.0), sleep=self.slept.append
        )
        self.fetcher = Fetcher(
            store=Store(store),
            client=self.client,
            reporter=Silent(),
            patience=Patience(**patience),  # type: ignore[arg-type]  # two are ints, and floats compare
        )

    def get(self, *, sha256: str | None = None, size: int | None = None) -> Path:
        path, found = self.fetcher.fetch(self.url, filename=WHEEL.filename, sha256=sha256, size=size)
        assert found == WHEEL.sha256
        assert path.stat().st_size == len(WHEEL.body)
        return path


def test_a_wheel_is_hashed_and_kept(tmp_path: Path, server: IndexServer) -> None:
    download = Download(tmp_path, server)
    path = download.get()
    assert path == tmp_path / "sha256" / WHEEL.sha256[:2] / WHEEL.sha256 / WHEEL.filename
    assert path.read_bytes() == WHEEL.body
    download.get(sha256=WHEEL.sha256)
    assert len(server.log) == 1  # known by its content, not fetched again


def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path, server: IndexServer) -> None:
    server.fault(PATH, Fault(truncate=600_000, times=1))
    download = Download(tmp_path, server)
    download.get(sha256=WHEEL.sha256)
    assert [entry.range for entry in server.log] == [None, "bytes=600000-"]
    assert server.log[1].sent == len(WHEEL.body) - 600_000


def test_a_later_process_goes_on_too(tmp_path: Path, server: IndexServer) -> None:
    server.fault(PATH, Fault(truncate=600_000))
    with pytest.raises(IndexUnreachableError, match=r"a download broke \(1 in a row\)"):
        Download(tmp_path, server, attempts=1).get(sha256=WHEEL.sha256)
    server.heal()
    Download(tmp_path, server).get(sha256=WHEEL.sha256)
    assert server.log[-1].range is not None
    assert server.log[-1].status == 206


def test_without_a_hash_or_a_validator_it_starts_anew(tmp_path: Path, server: IndexServer) -> None:
    server.fault(PATH, Fault(truncate=600_000, times=1, headers={"ETag": 'W/"weak"', "Last-Modified": ""}))
    Download(tmp_path, server).get()
    assert [entry.range for entry in server.log] == [None, None]


def test_a_file_that_was_written_again_meanwhile_is_never_patched_together(tmp_path: Path, server: IndexServer) -> None:
    server.fault(PATH, Fault(truncate=600_000))
    download = Download(tmp_path, server, attempts=1)
    with pytest.raises(IndexUnreachableError):
        download.get()
    server.heal()
    again = build_wheel("torch", "2.10.0+cu128", files={"torch/big.bin": bytes(range(255, -1, -1)) * 4096})
    server.add(again, folder="cu128")
    assert len(again.body) == len(WHEEL.body)
    assert download.fetcher.fetch(download.url, filename=WHEEL.filename)[1] == again.sha256


@pytest.mark.parametrize("fault", [Fault(no_ranges=True), Fault(wrong_range=True), Fault(unsatisfiable=True)])
def test_servers_that_cannot_go_on(fault: Fault, tmp_path: Path, server: IndexServer) -> None:
    server.fault(PATH, Fault(truncate=600_000, times=1))
    fault.only_ranges = True
    server.fault(PATH, fault)
    Download(tmp_path, server).get(sha256=WHEEL.sha256)


def test_other_bytes_under_the_asked_range_are_found_by_the_hash(tmp_path: Path, server: IndexServer) -> None:
    server.fault(PATH, Fault(truncate=600_000, times=1))
    server.fault(PATH, Fault(lying_range=True, only_ranges=True))
    with pytest.raises(IntegrityError, match="is not the file it should be"):
        Download(tmp_path, server).get(sha256=WHEEL.sha256)
    server.heal()
    Download(tmp_path, server).get(sha256=WHEEL.sha256)  # nothing of the lie was kept


def test_a_wrong_hash_and_a_wrong_size(tmp_path: Path, server: IndexServer) -> None:
    download = Download(tmp_path, server)
    with pytest.raises(IntegrityError) as raised:
        download.get(sha256="0" * 64)
    assert f"found: {len(WHEEL.body)} bytes, sha256 {WHEEL.sha256}" in raised.value.causes
    with pytest.raises(IntegrityError):
        download.get(size=5)
    assert not Store(tmp_path).list()


def test_a_busy_server_is_asked_again_and_a_refusing_one_is_not(tmp_path: Path, server: IndexServer) -> None:
    server.fault(PATH, Fault(status=503, times=2))
    download = Download(tmp_path, server)
    download.get()
    assert download.slept == [0.5, 1.0]
    server.log.clear()
    server.fault(PATH, Fault(status=403))
    with pytest.raises(IndexUnreachableError, match="cannot be downloaded"):
        download.get()
    assert len(server.log) == 1


@pytest.mark.parametrize(
    ("patience", "words"),
    [
        ({"window": 0.2, "least_bytes": 10**9}, "less than 1000000000 bytes within 0.2 s"),
        ({"deadline": 0.2}, "not finished within 0.2 s"),
    ],
)
def test_a_crawling_download_is_ended(
    patience: dict[str, float], words: str, tmp_path: Path, server: IndexServer
) -> None:
    """The server goes on sending for as long as it runs: nothing but the limit ends this."""
    server.fault(PATH, Fault(slow=0.05))
    with pytest.raises(IndexUnreachableError, match="a download is too slow") as caught:
        Download(tmp_path, server, **patience).get()
    assert caught.value.causes == (words,)


def test_nothing_listens_and_offline(tmp_path: Path, server: IndexServer) -> None:
    download = Download(tmp_path, server)
    server.stop()
    with pytest.raises(IndexUnreachableError, match=r"a download broke \(4 in a row\)"):
        download.get()
    client = Client(cache=tmp_path / "pages", environ={}, offline=True)
    offline = Fetcher(store=Store(tmp_path), client=client, reporter=Silent())
    with pytest.raises(OfflineError, match="is not in the store"):
        offline.fetch(download.url, filename=WHEEL.filename)


def test_keeping_a_lock_fetches_each_wheel_once(tmp_path: Path, server: IndexServer) -> None:
    numpy = build_wheel("numpy", "2.3.0")
    download = Download(tmp_path / "store", server)
    lock = lock_of(
        package("torch", "2.10.0+cu128", url=download.url, sha256=WHEEL.sha256, size=len(WHEEL.body)),
        package("numpy", "2.3.0", url=None, path=str(numpy.write(tmp_path)), sha256=numpy.sha256, size=None),
    )
    kept = download.fetcher.keep(lock)
    assert download.fetcher.keep(lock) == kept
    assert len(server.log) == 1
    assert download.fetcher.store.missing(lock) == ()


def test_an_export_carries_lock_wheels_and_instructions(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    numpy = build_wheel("numpy", "2.3.0")
    packages = []
    for wheel in (WHEEL, numpy):
        path = wheel.write(tmp_path)
        store.add(path, filename=wheel.filename, sha256=wheel.sha256)
        packages.append(package(wheel.project, wheel.version, sha256=wheel.sha256, size=len(wheel.body)))
    lock = lock_of(*packages)
    written = store.export(lock, tmp_path / "usb", name="blackwell")
    assert sorted(path.name for path in (tmp_path / "usb").iterdir()) == [
        "README.md",
        "pylock.blackwell.toml",
        "requirements.txt",
        "store",
    ]
    carried = parse(written.read_text(), origin="x")
    for each in carried.packages:
        body = (tmp_path / "usb" / str(each.path)).read_bytes()
        assert hashlib.sha256(body).hexdigest() == each.sha256
    store.prune({numpy.sha256})
    with pytest.raises(IntegrityError, match="does not hold 1 of the lock's wheels"):
        store.export(lock, tmp_path / "other", name="blackwell")
