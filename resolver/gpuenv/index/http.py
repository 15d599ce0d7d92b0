"""Asks servers over HTTP: a cache with validators, retries within a deadline, and a count of what it cost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock, Timer
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, unquote, urlsplit

from gpuenv import __version__
from gpuenv.errors import IndexUnreachableError, OfflineError
from gpuenv.index import faults
from gpuenv.index.access import Access, certificates_for, netrc_credentials, proxy_for, redact, split_credentials

if TYPE_CHECKING:
    from requests import Response, Session

PAGE_TYPES = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1"
PAGE_LIMIT = 128 * 1024 * 1024
_FOREVER = 100 * 365 * 24 * 3600
_CHUNK = 256 * 1024
_JUDGED_BY_CALLER = (403, 404, 410, 416)


class _TooSlowError(Exception):
    """The deadline passed while a body was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a server sent. ``kept`` is true where the body came from the cache, asked for again or not."""

    url: str
    body: bytes
    content_type: str
    kept: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """A server that says the address does not exist, or is not for us (403, 404, 410)."""

    url: str
    status: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
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


class Http:
    """A client for the pages, metadata files and wheels of indexes. A context manager; safe to use from threads.

    ``offline`` answers from the cache alone, however old. ``refresh`` asks for every page again, with validators, and
    once: what this client itself has just asked for is young enough.
    """

    def __init__(
        self,
        *,
        cache: Path,
        environ: Mapping[str, str],
        access: Access | None = None,
        offline: bool = False,
        refresh: bool = False,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.access = access or Access()
        self.offline = offline
        self.refresh = refresh
        self.counters = Counters()
        self._folder = cache
        self._environ = environ
        self._sleep = sleep
        self._clock = clock
        self._lock = Lock()
        self._sessions: tuple[Session, Session] | None = None
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
        if self._sessions is not None:
            for session in self._sessions:
                session.close()
            self._sessions = None

    # What can be asked

    def get(self, url: str, *, accept: str = PAGE_TYPES, limit: int = PAGE_LIMIT) -> Answer | Absent:
        """Fetch a page or a metadata file, from the cache where it is young enough.

        Raises :class:`IndexUnreachableError` (which names the cause) and :class:`OfflineError`.
        """
        if url.startswith("file:"):
            return read_local(url)
        again = self.refresh and url not in self._refreshed
        age = str(_FOREVER) if self.offline else "0" if again else None
        headers = {"Accept": accept} | ({"Cache-Control": f"max-age={age}"} if age is not None else {})
        response, body = self._ask(url, headers, limit=limit + 1, keep=True)
        self._refreshed.add(url)
        if response.status_code in (403, 404, 410):
            return Absent(url=redact(url), status=response.status_code)
        if len(body) > limit:
            raise IndexUnreachableError(
                f"the answer of {urlsplit(url).hostname} is larger than {limit} bytes",
                causes=[f"address: {redact(url)}"],
            )
        return Answer(
            url=redact(str(response.url)),
            body=body,
            content_type=response.headers.get("Content-Type", "text/html"),
            kept=bool(getattr(response, "from_cache", False)),
        )

    def part(self, url: str, wanted: str, *, limit: int) -> Part:
        """Ask for a byte range (``"bytes=-65536"``) and read at most ``limit`` bytes of the answer. Never cached."""
        headers = {"Range": wanted, "Accept-Encoding": "identity", "Accept": "*/*"}
        response, body = self._ask(url, headers, limit=limit, keep=False)
        if response.status_code not in (200, 206, 416):
            host = urlsplit(url).netloc.rpartition("@")[2]
            raise faults.of_status(response.status_code, host).error(url)
        first, total = content_range(response.headers.get("Content-Range"))
        if response.status_code == 200:
            length = response.headers.get("Content-Length", "")
            first, total = 0, int(length) if length.isdecimal() else None
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
        return Part(status=response.status_code, body=body, first=first, total=total, validator=validator)

    @contextmanager
    def stream(self, url: str) -> Iterator[tuple[int | None, Iterator[bytes]]]:
        """Open a whole file: its length where announced, and its bytes piece by piece. Never cached, no deadline."""
        plain = self._open(url, {"Accept-Encoding": "identity"}, keep=False)
        with closing(plain) as response:
            if response.status_code != 200:
                raise faults.of_status(response.status_code, urlsplit(url).hostname or "").error(url)
            length = response.headers.get("Content-Length", "")
            yield int(length) if length.isdecimal() else None, self._pieces(url, response)

    def forget(self, url: str) -> None:
        """Throw a kept answer away (it turned out not to be a page)."""
        from gpuenv.index.keep import PageCache

        PageCache(self._folder).forget(split_credentials(url)[0])
        self._refreshed.discard(url)

    # How it is asked

    def _ask(self, url: str, headers: dict[str, str], *, limit: int, keep: bool) -> tuple[Response, bytes]:
        """One answer, after as many attempts as its faults are worth, within the deadline."""
        host = urlsplit(url).netloc.rpartition("@")[2]
        if host in self._dead:
            raise self._dead[host]
        started = self._clock()
        attempt = 0
        while True:
            outcome = self._attempt(url, headers, limit=limit, keep=keep, started=started)
            if not isinstance(outcome, faults.Fault):
                return outcome
            attempt += 1
            pause = self.access.backoff * 2 ** (attempt - 1)
            spent = self._clock() - started
            if attempt > min(outcome.again, self.access.retries) or spent + pause > self.access.deadline:
                error = outcome.error(url)
                if outcome.kind in ("dns", "refused", "proxy", "tls", "connection"):
                    self._dead[host] = error
                raise error
            self._sleep(pause)

    def _attempt(
        self, url: str, headers: dict[str, str], *, limit: int, keep: bool, started: float
    ) -> tuple[Response, bytes] | faults.Fault:
        import requests
        import urllib3

        host = urlsplit(url).netloc.rpartition("@")[2]
        try:
            with closing(self._open(url, headers, keep=keep)) as response:
                if response.status_code >= 400 and response.status_code not in _JUDGED_BY_CALLER:
                    return faults.of_status(response.status_code, host)
                return response, self._read(response, limit, self.access.deadline - (self._clock() - started))
        except _TooSlowError:
            cause = f"{host} had not sent its whole answer after {self.access.deadline:g} seconds"
            return faults.Fault("time-out", cause, "try again, or use a mirror", 0)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            proxy = proxy_for(split_credentials(url)[0], self.access, self._environ)
            return faults.of_exception(error, host, proxy=proxy, seconds=self.access.read_timeout)

    def _open(self, url: str, headers: dict[str, str], *, keep: bool) -> Response:
        """Send one request and read the headers of its answer."""
        plain, credentials = split_credentials(url)
        parts = urlsplit(plain)
        proxy = proxy_for(plain, self.access, self._environ)
        verify: bool | str = certificates_for(self.access, self._environ) or True
        if parts.hostname in self.access.trusted_hosts or parts.netloc in self.access.trusted_hosts:
            verify = False  # the user's own pip configuration says so
        response = self._session(keep=keep).get(
            plain,
            headers=headers,
            auth=credentials or netrc_credentials(parts.hostname or "", self._environ),
            proxies={parts.scheme: proxy} if proxy else {},
            verify=verify,
            cert=self.access.client_certificate,
            timeout=(self.access.connect_timeout, self.access.read_timeout),
            stream=True,
        )
        if parts.scheme == "https" and urlsplit(str(response.url)).scheme == "http":
            response.close()
            raise IndexUnreachableError(
                f"{parts.netloc} redirects to an unencrypted address", causes=[f"address: {redact(str(response.url))}"]
            )
        return response

    def _read(self, response: Response, limit: int, seconds: float) -> bytes:
        """Read a body up to ``limit`` bytes. A server that trickles is cut off after ``seconds``."""
        late = _Watchdog(response, max(seconds, 0.05))
        received: list[bytes] = []
        size = 0
        try:
            for piece in response.iter_content(min(_CHUNK, limit)):
                received.append(piece)
                size += len(piece)
                if size >= limit:
                    break
        except Exception as error:
            if late.fired:
                raise _TooSlowError from error
            raise
        finally:
            late.cancel()
            self._count_bytes(response)
        if late.fired:
            raise _TooSlowError
        return b"".join(received)[:limit]

    def _pieces(self, url: str, response: Response) -> Iterator[bytes]:
        import requests

        host = urlsplit(url).netloc.rpartition("@")[2]
        try:
            yield from response.iter_content(1024 * 1024)
        except requests.RequestException as error:
            raise faults.of_exception(error, host, proxy=None, seconds=self.access.read_timeout).error(url) from None
        finally:
            self._count_bytes(response)

    def _count_bytes(self, response: Response) -> None:
        with self._lock:
            if getattr(response, "from_cache", False):
                return
            self.counters.bytes += response.raw.tell()

    def _count_request(self, url: str) -> None:
        """Called before each request that leaves this machine."""
        if self.offline:
            raise OfflineError(
                f"{redact(url)} is not in the cache, and the network is switched off",
                hints=["Run the same command once without --offline"],
            )
        with self._lock:
            self.counters.requests += 1

    def _count_unchanged(self) -> None:
        with self._lock:
            self.counters.unchanged += 1

    def _session(self, *, keep: bool) -> Session:
        with self._lock:
            if self._sessions is None:
                from gpuenv.index.keep import sessions

                self._sessions = sessions(
                    self._folder,
                    lifetime=self.access.page_lifetime,
                    agent=f"gpuenv/{__version__}",
                    before=self._count_request,
                    unchanged=self._count_unchanged,
                )
            return self._sessions[0 if keep else 1]


def content_range(header: str | None) -> tuple[int | None, int | None]:
    """First byte and whole length of a Content-Range header (RFC 9110 §14.4).

    >>> content_range("bytes 10-19/100"), content_range("bytes */100"), content_range("bytes 0-9/*")
    ((10, 100), (None, 100), (0, None))
    """
    unit, _, rest = (header or "").partition(" ")
    span, _, total = rest.partition("/")
    first = span.partition("-")[0]
    if unit != "bytes":
        return None, None
    return int(first) if first.isdecimal() else None, int(total) if total.isdecimal() else None


def read_local(url: str) -> Answer | Absent:
    """Read a page behind a ``file:`` URL; of a folder its ``index.html``, as pip does, else what lies in it."""
    path = Path(unquote(urlsplit(url).path))
    if not path.is_dir():
        if not path.is_file():
            return Absent(url=url, status=404)
        kind = "application/json" if path.suffix == ".json" else "text/html"
        return Answer(url=url, body=path.read_bytes(), content_type=kind)
    index = path / "index.html"
    if index.is_file():
        body = index.read_bytes()
    else:
        names = sorted(quote(each.name) + ("/" if each.is_dir() else "") for each in path.iterdir())
        body = ("Index of files\n" + "".join(f'<a href="{name}">{name}</a>\n' for name in names)).encode()
    return Answer(url=url.rstrip("/") + "/", body=body, content_type="text/html")


class _Watchdog:
    """Shuts an answer's socket after a while: a read time-out never fires on a server that trickles."""

    def __init__(self, response: Response, seconds: float) -> None:
        self.fired = False
        self._response = response
        self._timer = Timer(seconds, self._fire)
        self._timer.daemon = True
        self._timer.start()

    def cancel(self) -> None:
        self._timer.cancel()

    def _fire(self) -> None:
        self.fired = True
        try:
            self._response.raw.shutdown()
        except (ValueError, RuntimeError, AttributeError, OSError):
            self._response.close()
