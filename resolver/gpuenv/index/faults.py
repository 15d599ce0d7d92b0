"""Says in words why a server did not answer: one sentence a kind of failure, with what to try."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from gpuenv.errors import IndexUnreachableError
from gpuenv.index.access import redact

_STATUS = {
    401: ("asks for a user name and a password (401)", "put the host into ~/.netrc, or the pair into the index URL"),
    403: ("refuses the request (403)", "check the address and your right to read it"),
    404: ("has nothing at this address (404)", "check the address of the index"),
    407: ("the proxy asks for a user name and a password (407)", "put the pair into the proxy's URL (HTTPS_PROXY)"),
    429: ("answers that there were too many requests (429)", "wait a minute and try again"),
}
_WAIT = "try again later: the server failed, not the request"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why one attempt failed. ``kind`` is stable; ``again`` tells how often another attempt makes sense."""

    kind: str
    cause: str
    hint: str
    again: int

    def error(self, url: str) -> IndexUnreachableError:
        """The error that a person sees."""
        host = urlsplit(url).netloc.rpartition("@")[2]
        return IndexUnreachableError(
            f"{host} cannot be used", causes=[redact(self.cause), f"address: {redact(url)}"], hints=[self.hint]
        )


def of_status(status: int, host: str) -> Fault:
    """The fault that an HTTP status stands for. Only 429 and 5xx are worth another attempt."""
    if status in _STATUS:
        cause, hint = _STATUS[status]
        return Fault(f"http-{status}", f"{host} {cause}" if status != 407 else cause, hint, 3 if status == 429 else 0)
    if status >= 500:
        return Fault(f"http-{status}", f"{host} answers with an error of its own ({status})", _WAIT, 3)
    return Fault(f"http-{status}", f"{host} answers with status {status}", "check the address of the index", 0)


def of_exception(error: Exception, host: str, *, proxy: str | None, seconds: float) -> Fault:
    """The fault behind an exception of the HTTP library. ``seconds`` is the read time-out that was set."""
    from requests import exceptions

    inner = _innermost(error)
    if isinstance(error, exceptions.ProxyError) or (proxy is not None and _is_refused(inner)):
        cause = f"the proxy {redact(proxy or '')} does not answer: {_plain(inner)}"
        return Fault("proxy", cause, "correct or unset HTTPS_PROXY (or proxy in pip's configuration)", 1)
    if isinstance(error, exceptions.SSLError):
        hint = "set SSL_CERT_FILE (or cert in pip's configuration) to your organisation's certificate authority"
        return Fault("tls", f"no trusted encrypted connection to {host}: {_plain(inner)}", hint, 0)
    if isinstance(error, exceptions.ConnectTimeout):
        return Fault("time-out", f"{host} did not take the connection in time", "check network and firewall", 1)
    if isinstance(error, exceptions.Timeout) or isinstance(inner, TimeoutError):
        return Fault("time-out", f"{host} sent nothing for {seconds:g} seconds", "try again, or use a mirror", 1)
    if isinstance(error, exceptions.TooManyRedirects):
        return Fault("redirects", f"{host} redirects in a circle", "check the address of the index", 0)
    if isinstance(error, exceptions.InvalidURL | exceptions.MissingSchema | exceptions.InvalidSchema):
        return Fault("address", f"this is no address of an index: {_plain(inner)}", "write it as https://HOST/PATH", 0)
    return _of_connection(error, inner, host)


def _of_connection(error: Exception, inner: BaseException, host: str) -> Fault:
    if "NameResolution" in _names(error) or "getaddrinfo" in str(error):
        return Fault("dns", f"the name {host} is not known here", "check the name and this machine's network", 1)
    if _is_refused(inner):
        return Fault("refused", f"{host} refuses the connection", "check that the server runs and the port is right", 1)
    if {"IncompleteRead", "ProtocolError", "ChunkedEncodingError"} & _names(error):
        return Fault("cut-short", f"{host} closed the connection before the answer was complete", _WAIT, 3)
    return Fault("connection", f"no connection to {host}: {_plain(inner)}", "check this machine's network", 1)


def _chain(error: BaseException) -> list[BaseException]:
    """An exception, what it wraps in its arguments and attributes, and what it was raised from."""
    found: list[BaseException] = []
    todo: list[object] = [error]
    while todo:
        each = todo.pop(0)
        if not isinstance(each, BaseException) or any(each is seen for seen in found):
            continue
        found.append(each)
        todo += [*each.args, getattr(each, "reason", None), getattr(each, "original_error", None)]
        todo += [each.__cause__, each.__context__]
    return found


def _names(error: BaseException) -> set[str]:
    return {type(each).__name__ for each in _chain(error)} | (
        {"NameResolution"} if any("NameResolution" in type(each).__name__ for each in _chain(error)) else set()
    )


def _innermost(error: BaseException) -> BaseException:
    """The operating system's own error where there is one, else the deepest."""
    chain = _chain(error)
    return next((each for each in chain if isinstance(each, OSError) and each.errno), chain[-1])


def _is_refused(error: BaseException) -> bool:
    return isinstance(error, ConnectionRefusedError)


def _plain(error: BaseException) -> str:
    """An exception's own words without the library's object names."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(redact(words).split())[:200] or type(error).__name__
