"""Says in words why a server did not answer: one sentence for each kind of failure, with what to try."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from gpuenv.errors import IndexUnreachableError
from gpuenv.net.location import Location, redact

_STATUS = {
    206: ("sends a part of what was asked for (206)", "check for a proxy in between that changes answers"),
    401: ("asks for a user name and a password (401)", "put the host into ~/.netrc, or the pair into the index URL"),
    403: ("refuses the request (403)", "check the address and your right to read it"),
    404: ("has nothing at this address (404)", "check the address of the index"),
    407: ("the proxy asks for a user name and a password (407)", "put the pair into the proxy's URL (HTTPS_PROXY)"),
    429: ("answers that there were too many requests (429)", "wait a minute and try again"),
}
_WAIT = "try again later: the server failed, not the request"
_PASSING = frozenset({408, 425, 429})
_LASTING = frozenset({"dns", "refused", "proxy", "tls", "connection"})


class Fault(Exception):
    """Why one attempt failed. ``kind`` is stable; ``again`` tells how often another attempt makes sense, ``wait`` for
    how many seconds the server asked to be left alone."""

    def __init__(
        self, kind: str, cause: str, hint: str, again: int, *, wait: float = 0.0, status: int | None = None
    ) -> None:
        super().__init__(cause)
        self.kind, self.cause, self.hint, self.again, self.wait = kind, cause, hint, again, wait
        self.status = status

    @property
    def lasting(self) -> bool:
        """Whether the server need not be asked again in this run."""
        return self.kind in _LASTING

    def error(self, where: Location) -> IndexUnreachableError:
        """The error that a person sees."""
        return IndexUnreachableError(
            f"{where.netloc} cannot be used",
            causes=[redact(self.cause), f"address: {where}"],
            hints=[self.hint],
            status=self.status,
        )


def of_status(status: int, where: Location, *, retry_after: str | None = None) -> Fault:
    """The fault that an HTTP status stands for. Only 408, 425, 429 and 5xx are worth another attempt."""
    again, wait = 3 if status in _PASSING or status >= 500 else 0, seconds_of(retry_after)
    if status in _STATUS:
        words, hint = _STATUS[status]
        cause = words if status == 407 else f"{where.netloc} {words}"
        return Fault(f"http-{status}", cause, hint, again, wait=wait, status=status)
    if status >= 500:
        cause = f"{where.netloc} answers with an error of its own ({status})"
        return Fault(f"http-{status}", cause, _WAIT, again, wait=wait, status=status)
    return Fault(
        f"http-{status}",
        f"{where.netloc} answers with status {status}",
        "check the address of the index",
        again,
        status=status,
    )


def too_slow(where: Location, seconds: float) -> Fault:
    """The fault of a server whose answer was not whole when its time was over."""
    cause = f"{where.netloc} had not sent its whole answer after {seconds:g} seconds"
    return Fault("time-out", cause, "try again, or use a mirror", 0)


def garbled(why: str) -> Fault:
    """The fault of an answer that cannot be unpacked."""
    return Fault("garbled", f"the answer cannot be unpacked: {why}", _WAIT, 1)


def coding_of(headers: Mapping[str, str]) -> str:
    """How a body is packed: ``gzip``, or empty. Raises :class:`Fault` for what nobody asked for."""
    coding = headers.get("Content-Encoding", "").strip().lower().removeprefix("x-")
    if coding not in ("", "identity", "gzip"):
        raise garbled("it is packed in a way that was not asked for")
    return "gzip" if coding == "gzip" else ""


def of_exception(error: Exception, where: Location, *, proxy: Location | None, seconds: float) -> Fault:
    """The fault behind an exception of the HTTP library. ``seconds`` is the read time-out that was set."""
    from urllib3 import exceptions

    host, inner = where.netloc, _innermost(error)
    if isinstance(error, exceptions.ProxyError):
        if re.search(r"\b407\b", str(inner)):
            return of_status(407, where)
        cause = f"the proxy {proxy} does not answer: {_plain(inner)}"
        return Fault("proxy", cause, "correct or unset HTTPS_PROXY (or proxy in pip's configuration)", 1)
    if isinstance(error, exceptions.SSLError):
        hint = "set SSL_CERT_FILE (or cert in pip's configuration) to your organisation's certificate authority"
        return Fault("tls", f"no trusted encrypted connection to {host}: {_plain(inner)}", hint, 0)
    if isinstance(error, exceptions.NameResolutionError):
        return Fault("dns", f"the name {host} is not known here", "check the name and this machine's network", 1)
    if isinstance(inner, ConnectionRefusedError):
        return Fault("refused", f"{host} refuses the connection", "check that the server runs and the port is right", 1)
    if isinstance(error, exceptions.ReadTimeoutError) or (
        isinstance(inner, TimeoutError) and not isinstance(error, exceptions.TimeoutError)
    ):
        return Fault("time-out", f"{host} sent nothing for {seconds:g} seconds", "try again, or use a mirror", 1)
    if isinstance(error, exceptions.ConnectTimeoutError) and not isinstance(error, exceptions.NewConnectionError):
        return Fault("time-out", f"{host} did not take the connection in time", "check network and firewall", 1)
    if isinstance(error, exceptions.ProtocolError | exceptions.ResponseError) or isinstance(inner, ConnectionError):
        return Fault("cut-short", f"{host} closed the connection before the answer was complete", _WAIT, 3)
    return Fault("connection", f"no connection to {host}: {_plain(inner)}", "check this machine's network", 1)


def seconds_of(header: str | None) -> float:
    """How long a ``Retry-After`` header asks to wait; 0 where it says nothing that can be read."""
    from email.utils import parsedate_to_datetime

    text = (header or "").strip()
    if (number := number_of(text)) is not None:
        return float(number)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError, OverflowError):
        return 0.0
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def number_of(header: str | None) -> int | None:
    """A whole number in a header; ``None`` where there is none, or one that no file has (over fifteen digits)."""
    return int(header) if header and len(header) <= 15 and header.isascii() and header.isdecimal() else None


def content_range(header: str | None) -> tuple[int | None, int | None]:
    """First byte and whole length of a Content-Range header (RFC 9110 §14.4).

    >>> content_range("bytes 10-19/100"), content_range("bytes */100"), content_range("bytes 0-9/*")
    ((10, 100), (None, 100), (0, None))
    """
    unit, _, rest = (header or "").strip().partition(" ")
    span, _, total = rest.partition("/")
    if unit != "bytes":
        return None, None
    return number_of(span.partition("-")[0]), number_of(total)


def _innermost(error: BaseException) -> BaseException:
    """The operating system's own error where there is one, else the deepest of those it was raised from or wraps."""
    chain: list[BaseException] = []
    todo: list[object] = [error]
    while todo:
        each = todo.pop(0)
        if isinstance(each, BaseException) and not any(each is known for known in chain):
            chain.append(each)
            todo += [*each.args, getattr(each, "original_error", None), each.__cause__, each.__context__]
    return next((each for each in chain if isinstance(each, OSError) and each.errno), chain[-1])


def _plain(error: BaseException) -> str:
    """An exception's own words without the library's object names."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(redact(words).split())[:200] or type(error).__name__
