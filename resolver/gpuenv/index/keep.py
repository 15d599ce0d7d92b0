"""Keeps answers on disk: CacheControl, told to keep pages that forbid it, since a lock must outlive a lost network.

Imported only when something is asked for: requests and CacheControl cost more to load than all of gpuenv.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from email.utils import formatdate
from pathlib import Path
from typing import Any

from cachecontrol.adapter import CacheControlAdapter
from cachecontrol.caches import FileCache
from cachecontrol.controller import CacheController
from cachecontrol.heuristics import BaseHeuristic
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from urllib3.response import HTTPResponse


class PageCache(FileCache):
    """A file cache that keeps what is stale: it still serves ``--offline`` and validators."""

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), filemode=0o600, dirmode=0o700)

    def get(self, key: str) -> bytes | None:
        """Read what is kept; an entry that cannot be read is none."""
        try:
            return super().get(key)
        except OSError:
            return None

    def set(self, key: str, value: bytes, expires: int | datetime | None = None) -> None:
        """Keep an answer; where the disk refuses, the answer itself is still good."""
        with suppress(OSError):
            super().set(key, value, expires)

    def delete(self, key: str) -> None:
        """Keep: CacheControl deletes stale answers without an ETag before it knows whether the network works."""

    def forget(self, key: str) -> None:
        """Delete in earnest."""
        super().delete(key)


class _OnlyAnswers(CacheController):
    """Keeps complete answers only. A permanent redirect is never kept: a captive portal's would stay for good."""

    def __init__(self, cache: FileCache, **options: Any) -> None:  # Any: handed on to CacheControl
        super().__init__(cache, **options | {"status_codes": (200,)})


class _Lifetime(BaseHeuristic):
    """Every page is fresh for a while from now on, whatever the server says (PyTorch's say ``no-store``)."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def update_headers(self, response: HTTPResponse) -> dict[str, str]:
        return {"cache-control": f"max-age={int(self._seconds)}", "date": formatdate(usegmt=True)}

    def warning(self, response: HTTPResponse) -> None:
        return None


class _Counting(HTTPAdapter):
    """Calls ``before`` with the URL of every request that is about to leave this machine."""

    def __init__(self, *, before: Callable[[str], None], **options: Any) -> None:  # Any: handed on to requests
        self._before = before
        super().__init__(**options)

    def get_connection_with_tls_context(self, request: PreparedRequest, *args: Any, **options: Any) -> Any:
        # Any: a connection pool of urllib3, handed on. This hook runs once a request sent, redirects included,
        # and never for an answer out of the cache.
        self._before(request.url or "")
        return super().get_connection_with_tls_context(request, *args, **options)


class _Keeping(_Counting, CacheControlAdapter):
    def __init__(self, *, unchanged: Callable[[], None], **options: Any) -> None:  # Any: handed on
        self._unchanged = unchanged
        super().__init__(**options)

    def build_response(  # type: ignore[override]  # CacheControl widens requests' method the same way
        self,
        request: PreparedRequest,
        response: HTTPResponse,
        from_cache: bool = False,
        cacheable_methods: Any = None,
    ) -> Response:
        if response.status == 304:
            self._unchanged()
        return super().build_response(request, response, from_cache, cacheable_methods)


def sessions(
    folder: Path, *, lifetime: float, agent: str, before: Callable[[str], None], unchanged: Callable[[], None]
) -> tuple[Session, Session]:
    """Make the two sessions: one that keeps answers under ``folder``, one that never does (byte ranges)."""
    keeping = _Keeping(
        before=before,
        unchanged=unchanged,
        cache=PageCache(folder),
        controller_class=_OnlyAnswers,
        heuristic=_Lifetime(lifetime),
    )
    return _session(keeping, agent), _session(_Counting(before=before), agent)


def _session(adapter: HTTPAdapter, agent: str) -> Session:
    session = Session()
    session.trust_env = (
        False  # proxies, netrc and certificates come from the caller's environment, never this process's
    )
    headers: Mapping[str, str] = {"User-Agent": agent}
    session.headers.update(headers)
    for scheme in ("https://", "http://"):
        session.mount(scheme, adapter)
    return session
