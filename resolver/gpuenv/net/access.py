"""How servers are reached: time limits, proxies, certificates and credentials."""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING

from gpuenv.dataclass import dataclass
from gpuenv.errors import ConfigurationError
from gpuenv.net.location import Location
from gpuenv.system.home import home_of

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Settings of the network. Times in seconds; ``retries`` come on top of the first attempt.

    ``page_lifetime`` is how long a kept page is used without asking: ten minutes, which is what PyTorch's index says
    of its stable pages (``max-age=600``). Its nightly pages say ``no-store``; they change once a day, and ``--refresh``
    asks at once, so they are kept as long.
    """

    proxy: Location | None = None
    """A proxy for everything; ``None`` leaves it to the environment's ``HTTPS_PROXY`` and the like."""
    certificates: str | None = None
    client_certificate: str | None = None
    trusted_hosts: tuple[str, ...] = ()
    connect_timeout: float = 10.0
    read_timeout: float = 30.0
    deadline: float = 120.0
    """For one answer: connection, headers, body, and every attempt."""
    retries: int = 3
    backoff: float = 0.5
    page_lifetime: float = 600.0


def netrc_credentials(host: str, environ: Mapping[str, str]) -> tuple[str, str] | None:
    """User and password for a host from ``$NETRC``, ``~/.netrc`` or ``~/_netrc``; a broken file counts as none."""
    import netrc

    home = home_of(environ)
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


def proxy_of(text: str, *, origin: str) -> Location:
    """Read a proxy's address, which may lack its scheme."""
    return Location.parse(text if "://" in text else f"http://{text.strip()}", origin=origin)


def proxy_for(where: Location, access: Access, environ: Mapping[str, str]) -> Location | None:
    """The proxy that leads to ``where``: the configured one, else the environment's; ``None`` for a direct way."""
    lowered = {name.lower(): (name, value) for name, value in environ.items() if value.strip()}
    if "no_proxy" in lowered and _goes_around(where, lowered["no_proxy"][1]):
        return None
    if access.proxy is not None:
        return access.proxy
    found = lowered.get(f"{where.scheme}_proxy") or lowered.get("all_proxy")
    return proxy_of(found[1], origin=found[0]) if found else None


def _goes_around(where: Location, exceptions: str) -> bool:
    """Whether ``NO_PROXY`` names a host: itself, a domain it is in, a network, or everything (``*``)."""
    for entry in exceptions.replace(",", " ").lower().split():
        name = entry.removeprefix("*").removeprefix(".")
        if entry == "*" or where.is_on([name]) or f".{where.netloc}".endswith(f".{name}"):
            return True
        if name and f".{where.hostname}".endswith(f".{name}"):
            return True
        try:
            if "/" in name and ip_address(where.hostname) in ip_network(name, strict=False):
                return True
        except ValueError:
            continue  # a name, or no network
    return False


def tls_context(access: Access, environ: Mapping[str, str], *, trusted: bool) -> ssl.SSLContext:
    """The certificates to trust and to show. The person's bundle replaces the system's and certifi's.

    A ``trusted`` host is not checked: pip's configuration says so. Raises :class:`ConfigurationError` naming a file
    that cannot be used.
    """
    import ssl

    names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
    named = next(((environ[name], name) for name in names if environ.get(name)), None)
    if access.certificates:
        named = (access.certificates, "cert of pip's configuration")
    if named is not None:
        place, origin = named
        folder = os.path.isdir(place)  # noqa: PTH112 - Path raises for one that is too long
        try:
            context = ssl.create_default_context(cafile=None if folder else place, capath=place if folder else None)
        except OSError as error:
            raise _unusable(place, origin, error) from None
    else:
        import certifi

        context = ssl.create_default_context()
        context.load_verify_locations(certifi.where())
    if trusted:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if access.client_certificate:
        try:
            context.load_cert_chain(access.client_certificate)
        except OSError as error:
            raise _unusable(access.client_certificate, "client-cert of pip's configuration", error) from None
    return context


def _unusable(place: str, origin: str, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"the certificate {place} ({origin}) cannot be used",
        causes=[error.strerror or str(error)],
        hints=["Correct the path, or unset it"],
    )
