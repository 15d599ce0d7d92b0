"""The one client: pages, metadata, parts of files and downloads, by the person's settings and within their deadlines.

Everything that leaves this machine goes through :meth:`Client.open`: whether the network may be used, the proxy, the
certificates, the credentials, the redirects and the alarm are decided there, for each request.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

from gpuenv import __version__
from gpuenv.dataclass import dataclass
from gpuenv.errors import IndexUnreachableError, OfflineError, UsageError
from gpuenv.net import faults
from gpuenv.net.access import Access, netrc_credentials, proxy_for, tls_context
from gpuenv.net.cache import CacheEntry, PageCache, sha256
from gpuenv.net.faults import Fault
from gpuenv.net.location import Location

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, PoolManager

    from gpuenv.net.alarm import Alarm

PAGE_TYPES = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
PAGE_LIMIT = 64 * 1024 * 1024
"""Bytes unpacked; the largest page of PyTorch's index had five million in 2026."""
_PIECE = 64 * 1024
_MOST_REDIRECTS = 10
_JUDGED_BY_CALLER = frozenset({200, 206, 304, 403, 404, 410, 416})


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server sent, and ``where`` it came from in the end. ``kept``: from the cache, asked for again or not."""

    where: Location
    body: bytes
    content_type: str
    kept: bool = False
    digest: str = ""  # sha256 of ``body``, where the cache holds it


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A server that says the address does not exist, or is not for us (403, 404, 410)."""

    where: Location
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeAnswer:
    """The answer to a range request, as it came: what it means is for the caller to judge.

    ``body`` ends after the caller's limit. ``first`` and ``total`` come from Content-Range (``None`` where it has
    none); with status 200 ``total`` is the Content-Length. ``validator`` is the ETag or the date of the file.
    """

    status: int
    body: bytes
    first: int | None
    total: int | None
    validator: str | None


@dataclass(slots=True)
class Counters:
    """What was sent over the network: requests (redirects included), body bytes as transferred, and of the requests
    those that were answered with "not modified"."""

    requests: int = 0
    bytes: int = 0
    unchanged: int = 0


class Client:
    """Asks servers. A context manager; safe to use from threads.

    ``offline`` answers from the cache alone, however old. ``refresh`` asks for every page again, with validators, and
    once: what this client itself has just asked for is young enough. ``sources`` are addresses whose credentials are
    used for everything on the same server, as pip and uv do. ``may_follow`` says whether a redirect may lead from an
    address to another.
    """

    def __init__(
        self,
        *,
        cache: Path,
        environ: Mapping[str, str],
        access: Access | None = None,
        sources: Sequence[Location] = (),
        may_follow: Callable[[Location, Location], bool] = lambda where, target: True,
        offline: bool = False,
        refresh: bool = False,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.access = access or Access()
        self.offline = offline
        self.refresh = refresh
        self.counters = Counters()
        self.sleep = sleep
        self.cache = PageCache(cache)
        self._environ = environ
        self._may_follow = may_follow
        self._sources = [each for each in sources if each.has_secrets]
        self._signed: dict[str, Location] = {}
        self._lock = Lock()
        self._managers: dict[tuple[Location | None, bool, bool], PoolManager] = {}
        self._dead: dict[str, IndexUnreachableError] = {}
        self._refreshed: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give connections back."""
        for manager in self._managers.values():
            manager.clear()
        self._managers.clear()

    # What can be asked

    def get(self, where: Location | str, *, accept: str = PAGE_TYPES, limit: int = PAGE_LIMIT) -> Answer | Absent:
        """Fetch a page or a metadata file, from the cache where it is young enough.

        Raises :class:`IndexUnreachableError` (which names the cause) and :class:`OfflineError`.
        """
        where = self.address(where)
        if where.is_local:
            return read_local(where)
        entry = self.cache.get(where)
        if entry is not None and (self.offline or self._is_young(where, entry)):
            return _kept(entry)
        headers = {"Accept": accept, "Accept-Encoding": "gzip"}
        if entry is not None:
            headers |= {"If-None-Match": entry.etag} if entry.etag else {}
            headers |= {"If-Modified-Since": entry.modified} if entry.modified else {}
        found, response, body = self._ask(where, headers, limit=limit + 1)
        self._refreshed.add(where.url)
        status = response.status
        if status in (403, 404, 410):
            return Absent(where=found, status=status)
        if status == 304 and entry is not None:
            self.counters.unchanged += 1
            self.cache.put(where, replace(entry, fetched=time.time()))
            return _kept(entry)
        if status != 200:
            raise faults.of_status(status, where).error(where)
        if len(body) > limit:
            raise IndexUnreachableError(
                f"the answer of {where.hostname} is larger than {limit} bytes", causes=[f"address: {where}"]
            )
        entry = CacheEntry(
            url=found.url,
            content_type=response.headers.get("Content-Type", "text/html"),
            etag=response.headers.get("ETag", ""),
            modified=response.headers.get("Last-Modified", ""),
            fetched=time.time(),
            digest=sha256(body),
            body=body,
        )
        if found.url == where.url:  # a redirect is never kept: a captive portal's would stay
            self.cache.put(where, entry)
            return replace(_kept(entry), kept=False)
        return Answer(where=found, body=body, content_type=entry.content_type)

    def part(self, where: Location | str, wanted: str, *, limit: int) -> RangeAnswer:
        """Ask for a byte range (``"bytes=-65536"``) and read at most ``limit`` bytes of the answer. Never cached."""
        where = self.address(where)
        headers = {"Range": wanted, "Accept-Encoding": "identity", "Accept": "*/*"}
        _, response, body = self._ask(where, headers, limit=limit)
        if response.status not in (200, 206, 416):
            raise faults.of_status(response.status, where).error(where)
        first, total = faults.content_range(response.headers.get("Content-Range"))
        if response.status == 200:
            first, total = 0, faults.number_of(response.headers.get("Content-Length"))
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
        return RangeAnswer(status=response.status, body=body, first=first, total=total, validator=validator)

    def forget(self, where: Location | str) -> None:
        """Throw a kept answer away (it turned out not to be a page)."""
        where = self.address(where)
        self.cache.forget(where)
        self._refreshed.discard(where.url)

    def remember(self, where: Location) -> None:
        """Know from now on what an address was signed with; it is named by its ``url`` everywhere else."""
        self._signed[where.url] = where

    def address(self, where: Location | str) -> Location:
        """An address with what is known of its secrets: its own, those it was signed with, those of its server."""
        if isinstance(where, str):
            where = self._signed.get(where) or Location.parse(where, origin="an address of an index")
        if where.is_local or where.has_secrets:
            return where
        lender = next((each for each in self._sources if each.same_origin(where)), where)
        return replace(where, user=lender.user, password=lender.password, query=lender.query)

    # How it is asked

    @contextmanager
    def open(self, where: Location, headers: Mapping[str, str]) -> Iterator[tuple[Location, BaseHTTPResponse]]:
        """Send one request, follow its redirects, and yield the answer with its body unread.

        An encrypted connection is never left for one that is not, no server gets another's credentials, and nothing
        leads where its source may not lead. Raises what urllib3 raises, :class:`Fault`, :class:`OfflineError`.
        """
        for _ in range(_MOST_REDIRECTS):
            response = self._send(where, headers)
            try:
                target = response.get_redirect_location()
                if not target:
                    yield where, response
                    return
            finally:
                with self._lock:
                    self.counters.bytes += response.tell()
                response.close()
            try:
                following = self.address(where.follow(target, origin=f"a redirect of {where.netloc}"))
            except UsageError as error:
                raise Fault("redirects", error.message, "check the address of the index", 0) from None
            if where.scheme == "https" and following.scheme != "https":
                cause = f"{where.netloc} redirects to an unencrypted address: {following.netloc}"
                raise Fault("redirects", cause, "check for a proxy in between; the server has to stay encrypted", 0)
            if not self._may_follow(where, following):
                cause = f"{where.netloc} sends whoever asks to another host, {following.netloc}"
                hint = f"if that host belongs to the source, add `--allow-host {following.netloc}`"
                raise Fault("redirects", cause, hint, 0)
            where = following
        raise Fault("redirects", f"{where.netloc} redirects in a circle", "check the address of the index", 0)

    def alarm(self, seconds: float) -> Alarm:
        """The alarm for one exchange. The HTTP library is loaded here: two threads at once would see it half made."""
        with self._lock:
            from gpuenv.net.alarm import Alarm

        return Alarm(max(seconds, 0.05))

    def fault_of(self, error: Exception, where: Location) -> Fault:
        """The fault behind whatever :meth:`open` or reading its answer raised."""
        if isinstance(error, Fault):
            return error
        proxy = proxy_for(where, self.access, self._environ)
        return faults.of_exception(error, where, proxy=proxy, seconds=self.access.read_timeout)

    def _ask(
        self, where: Location, headers: Mapping[str, str], *, limit: int
    ) -> tuple[Location, BaseHTTPResponse, bytes]:
        """One answer, after as many attempts as its faults are worth, within the deadline."""
        if where.netloc in self._dead:
            raise self._dead[where.netloc]
        ends = time.monotonic() + self.access.deadline
        attempt = 0
        while True:
            try:
                return self._attempt(where, headers, limit=limit, seconds=ends - time.monotonic())
            except Fault as fault:
                attempt += 1
                pause = max(self.access.backoff * 2 ** (attempt - 1), fault.wait)
                if attempt > min(fault.again, self.access.retries) or time.monotonic() + pause > ends:
                    error = fault.error(where)
                    if fault.lasting:
                        self._dead[where.netloc] = error
                    raise error from None
                self.sleep(pause)

    def _attempt(
        self, where: Location, headers: Mapping[str, str], *, limit: int, seconds: float
    ) -> tuple[Location, BaseHTTPResponse, bytes]:
        with self.alarm(seconds) as alarm:
            from urllib3.exceptions import HTTPError

            try:
                with self.open(where, headers) as (found, response):
                    if response.status not in _JUDGED_BY_CALLER:
                        after = response.headers.get("Retry-After")
                        raise faults.of_status(response.status, where, retry_after=after)
                    body = _read(response, limit, alarm)
                    return found, response, body
            except (HTTPError, OSError, ValueError, Fault) as error:
                if alarm.rang:
                    raise faults.too_slow(where, self.access.deadline) from None
                raise self.fault_of(error, where) from None

    def _send(self, where: Location, headers: Mapping[str, str]) -> BaseHTTPResponse:
        """One request: the headers of its answer."""
        from urllib3 import Timeout, make_headers

        if self.offline:
            raise OfflineError(
                f"{where} is not in the cache, and the network is switched off",
                hints=["Run the same command once without --offline"],
            )
        pair = where.credentials or netrc_credentials(where.hostname, self._environ)
        sent = {"User-Agent": f"gpuenv/{__version__}", **headers}
        if pair is not None:
            sent |= make_headers(basic_auth=":".join(pair))
        manager = self._manager(where)
        with self._lock:
            self.counters.requests += 1
        path = where.path or "/"
        return manager.urlopen(
            "GET",
            f"{where.scheme}://{where.netloc}{path}{'?' if where.query else ''}{where.query}",
            headers=sent,
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            timeout=Timeout(connect=self.access.connect_timeout, read=self.access.read_timeout),
        )

    def _manager(self, where: Location) -> PoolManager:
        """Connections that go the same way and trust the same certificates."""
        from urllib3 import PoolManager, ProxyManager, make_headers

        from gpuenv.net.alarm import POOLS

        proxy = proxy_for(where, self.access, self._environ)
        secure = where.scheme == "https" or (proxy is not None and proxy.scheme == "https")
        key = (proxy, secure, where.is_on(self.access.trusted_hosts))
        with self._lock:
            if key not in self._managers:
                context = tls_context(self.access, self._environ, trusted=key[2]) if secure else None
                manager: PoolManager
                if proxy is None:
                    manager = PoolManager(ssl_context=context)
                else:
                    pair = proxy.credentials
                    told = make_headers(proxy_basic_auth=":".join(pair)) if pair else None
                    manager = ProxyManager(
                        proxy.url, proxy_headers=told, proxy_ssl_context=context, ssl_context=context
                    )
                manager.pool_classes_by_scheme = POOLS
                self._managers[key] = manager
            return self._managers[key]

    def _is_young(self, where: Location, entry: CacheEntry) -> bool:
        if self.refresh and where.url not in self._refreshed:
            return False
        return 0 <= time.time() - entry.fetched < self.access.page_lifetime


def read_local(where: Location) -> Answer | Absent:
    """Read a page behind a ``file:`` address; of a folder its ``index.html``, as pip does, else what lies in it."""
    path = where.local
    try:
        if not path.is_dir():
            kind = "application/json" if path.suffix == ".json" else "text/html"
            return Answer(where=where, body=path.read_bytes(), content_type=kind)
        index = path / "index.html"
        if index.is_file():
            body = index.read_bytes()
        else:
            names = sorted(quote(each.name) + ("/" if each.is_dir() else "") for each in path.iterdir())
            body = ("Index of files\n" + "".join(f'<a href="{name}">{name}</a>\n' for name in names)).encode()
        return Answer(where=where.below(page=True), body=body, content_type="text/html")
    except FileNotFoundError:
        return Absent(where=where, status=404)
    except OSError as error:
        raise IndexUnreachableError(f"{path} cannot be read", causes=[error.strerror or str(error)]) from None


def _read(response: BaseHTTPResponse, limit: int, alarm: Alarm) -> bytes:
    """Read a body up to ``limit`` bytes unpacked. One that was packed and is not whole is a fault."""
    coding = faults.coding_of(response.headers)
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if coding == "gzip" else None
    received, size = list[bytes](), 0
    while size < limit and (piece := response.read(min(_PIECE, limit - size), decode_content=False)):
        try:
            received.append(piece if unpack is None else unpack.decompress(piece, limit - size))
        except zlib.error:
            raise faults.garbled("its packing is damaged") from None
        size += len(received[-1])
    if alarm.rang:  # a shut connection looks like the end of a body of unknown length
        raise TimeoutError
    if received and unpack is not None and size < limit and not unpack.eof:
        raise faults.garbled("its packing ends too early")
    return b"".join(received)


def _kept(entry: CacheEntry) -> Answer:
    where = Location.parse(entry.url, origin="the cache")
    return Answer(where=where, body=entry.body, content_type=entry.content_type, kept=True, digest=entry.digest)
