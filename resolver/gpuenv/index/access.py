"""How servers are reached: time limits, proxies, certificates and credentials, none of which is ever printed."""

from __future__ import annotations

import netrc
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Settings of the network. Times in seconds; ``retries`` come on top of the first attempt.

    ``page_lifetime`` is how long a kept page is used without asking: ten minutes, which is what PyTorch's index says
    of its stable pages (``max-age=600``). Its nightly pages say ``no-store``; they change once a day, and ``--refresh``
    asks at once, so they are kept as long.
    """

    proxy: str | None = None
    """A proxy for everything; ``None`` leaves it to the environment's ``HTTPS_PROXY`` and the like."""
    certificates: str | None = None
    client_certificate: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    deadline: float = 120.0
    """For one answer, all attempts included."""
    retries: int = 3
    backoff: float = 0.5
    page_lifetime: float = 600.0


def redact(text: str) -> str:
    """Remove user names and passwords from every URL in a text.

    >>> redact("GET https://me:secret@example.org/whl failed")
    'GET https://example.org/whl failed'
    """
    return _USERINFO.sub("", text)


def split_credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    """Split ``https://user:password@host/…`` into the URL without them and the pair."""
    parts = urlsplit(url)
    info, at, host = parts.netloc.rpartition("@")
    if not at:
        return url, None
    user, _, password = info.partition(":")
    return urlunsplit(parts._replace(netloc=host)), (unquote(user), unquote(password))


def netrc_credentials(host: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """User and password for a host from ``$NETRC``, ``~/.netrc`` or ``~/_netrc``; a broken file counts as none."""
    home = environ.get("HOME") or environ.get("USERPROFILE")
    named = environ.get("NETRC")
    candidates = [Path(named)] if named else [Path(home) / name for name in (".netrc", "_netrc")] if home else []
    for path in candidates:
        try:
            found = netrc.netrc(path).authenticators(host)
        except (OSError, netrc.NetrcParseError, UnicodeDecodeError):
            continue
        if found is not None:
            return found[0], found[2] or ""
    return None


def proxy_for(url: str, access: Access, environ: Mapping[str, str]) -> str | None:
    """The proxy that leads to ``url``: the configured one, else the environment's; ``None`` for a direct way."""
    from requests.utils import should_bypass_proxies

    lowered = {name.lower(): value for name, value in environ.items() if value}
    exceptions = lowered.get("no_proxy")
    if exceptions and should_bypass_proxies(url, no_proxy=exceptions):
        return None
    scheme = urlsplit(url).scheme
    found = access.proxy or lowered.get(f"{scheme}_proxy") or lowered.get("all_proxy")
    return found if found is None or "://" in found else f"http://{found}"


def certificates_for(access: Access, environ: Mapping[str, str]) -> str | None:
    """The bundle of certificate authorities to trust; ``None`` for the one that comes with the HTTP library."""
    named = (environ.get(name) for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"))
    return access.certificates or next((path for path in named if path), None)
