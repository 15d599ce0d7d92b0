"""The one type that holds an address: parsed once, printed without user name, password and query.

Pure, and below the lock: what is written down and what is compared goes through here too. Conversions between paths and
``file:`` URLs are the standard library's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import field, replace
from ipaddress import AddressValueError, IPv6Address
from pathlib import Path, PurePath, PurePosixPath
from typing import Literal, Self
from urllib.parse import quote, unquote, urljoin

from gpuenv.dataclass import dataclass
from gpuenv.errors import UsageError

Scheme = Literal["https", "http", "file"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{1,40})://")
"""One letter is a drive of Windows: ``C://wheels`` is a path there."""
_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
"""Where a path on a drive begins: ``file://C:/wheels`` lacks a slash, and no host has that name."""
_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:\[\]]+)(?::([0-9]{1,5}))?")
_HOST = re.compile(r"[^\s/\\?#@<>\"'`%]+")
_LIKE_A_HOST = re.compile(r"(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}(?::\d+)?(?:/|\Z)|[A-Za-z0-9.-]+:\d+(?:/|\Z)")
_KEPT = "/%:@!$&'()*+,;=~-._"
_PORTS = {"https": 443, "http": 80}
# Bounded, or ended by the next slash: foreign programs may print megabytes without a space, and this runs over every
# line.
_IN_TEXT = re.compile(
    r"(?<![A-Za-z0-9+.-])([A-Za-z][A-Za-z0-9+.-]{0,20}://)(?:[^\s/'\"`<>]+@)?([^\s'\"`<>?]{0,2000})(\?[^\s'\"`<>)#]*)?"
)
_NESTED = re.compile(r"//[^\s/'\"`<>]+@")
"""User name and password of an address in the path of another, or of one that lost its scheme."""
_LEAST_SECRET = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """An ``http``, ``https`` or ``file`` address. ``str``, ``repr`` and every format give :attr:`shown`.

    ``path`` is percent-encoded. A query is a secret as much as a password is (``?token=``, ``?sig=``): both leave this
    object through :meth:`with_secrets` alone, which is for the client and for uv's environment.
    """

    scheme: Scheme
    host: str = ""
    """In lower case, IPv6 in brackets; of a ``file`` address the server of a UNC path."""
    port: int | None = None
    """As written; ``None`` for the scheme's own."""
    path: str = ""
    query: str = field(default="", repr=False)
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    # Made from

    @classmethod
    def parse(cls, text: str, *, origin: str, folder: Path | None = None) -> Self:
        """Read what a person, a configuration, a page or a server wrote; ``origin`` says which, for the error.

        With ``folder`` a path is understood too, relative ones from there; existence is checked when it is read. Raises
        :class:`UsageError` for anything else, without showing what may be a secret.
        """
        text = text.strip()
        match = _SCHEME.match(text)
        if any(ord(character) < 32 or ord(character) == 127 for character in text):
            raise _no_address(text, origin, "it holds a control character")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise _no_address(text, origin, "it is not UTF-8 text")
        if match is None:
            return cls._of_path(text, origin, folder)
        scheme, rest = match[1].lower(), text[match.end() :]
        if scheme == "file":
            host, slash, path = (f"/{rest}" if _DRIVE.match(rest) else rest).partition("/")
            path = _quoted(path.partition("#")[0].partition("?")[0])
            return cls(scheme="file", host="" if host.lower() == "localhost" else host, path=slash + path)
        if scheme not in ("http", "https"):
            raise _no_address(text, origin, f"the scheme {scheme} is not understood")
        secret, rest = _split_secret(rest)
        cut = min((rest.index(mark) for mark in "/?#" if mark in rest), default=len(rest))
        host, port = _host_and_port(rest[:cut], text, origin)
        path, _, query = rest[cut:].partition("#")[0].partition("?")
        user, _, password = secret.partition(":")
        return cls(
            scheme="https" if scheme == "https" else "http",
            host=host,
            port=port,
            path=_quoted(path),
            query=query.replace(" ", "%20"),
            user=unquote(user),
            password=unquote(password),
        )

    @classmethod
    def of_path(cls, path: PurePath) -> Self:
        """The address of an absolute path, of whatever system's form."""
        server, _, rest = path.as_uri().removeprefix("file://").partition("/")
        return cls(scheme="file", host=server, path=f"/{rest}")

    @classmethod
    def _of_path(cls, text: str, origin: str, folder: Path | None) -> Self:
        if folder is None:
            raise _no_address(text, origin, "its scheme is missing", f"https://{_without_secrets(text)}")
        try:
            if "@" in text and not (folder / text).exists():
                raise _no_address(text, origin, "it is no folder, and its scheme is missing")
            if _LIKE_A_HOST.match(text) and not (folder / text).exists():
                why = "there is no such folder, and as an address it lacks its scheme"
                raise _no_address(text, origin, why, f"https://{_without_secrets(text)}")
            return cls.of_path((folder / Path(text).expanduser()).resolve())
        except (RuntimeError, ValueError, OSError) as error:
            why = str(error.strerror) if isinstance(error, OSError) else str(error)  # which would name the path again
            shown = redact(_without_secrets(text))
            raise UsageError(f"{origin}: {shown} is not a path: {why}", hints=("Give a path or an address",)) from None

    # Read

    @property
    def url(self) -> str:
        """The address without secrets: its identity, fit for a lock and for comparison."""
        return f"{self.scheme}://{self.netloc}{self.path}"

    @property
    def shown(self) -> str:
        """The address as a person may see it; a path where it is one."""
        return str(self.local) if self.is_local else self.url

    @property
    def netloc(self) -> str:
        """Host, and port where one was written."""
        return self.host if self.port is None else f"{self.host}:{self.port}"

    @property
    def hostname(self) -> str:
        """The host without brackets."""
        return self.host.strip("[]")

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and effective port: what credentials belong to."""
        return self.scheme, self.host, self.port or _PORTS.get(self.scheme, 0)

    @property
    def is_local(self) -> bool:
        """Whether it names something on this machine."""
        return self.scheme == "file"

    @property
    def local(self) -> Path:
        """The path that a ``file`` address names."""
        return Path(path_of(self.url) or "")

    @property
    def filename(self) -> str:
        """The last part of the path, decoded."""
        return unquote(self.path.rpartition("/")[2])

    @property
    def has_secrets(self) -> bool:
        """Whether there is anything that must not be shown."""
        return bool(self.user or self.password or self.query)

    @property
    def credentials(self) -> tuple[str, str] | None:
        """User name and password."""
        return (self.user, self.password) if self.user or self.password else None

    @property
    def secrets(self) -> tuple[str, ...]:
        """The texts that must appear nowhere, each as it is and encoded."""
        values = [part.partition("=")[2] or part for part in self.query.split("&")]
        raw = [self.password, *values] if self.password else [self.user, *values]
        return tuple(
            dict.fromkeys(text for each in raw if each for text in (each, quote(each, safe=""), unquote(each)))
        )

    def with_secrets(self) -> str:
        """The whole address. Only the client and uv's environment may have it."""
        secret = quote(self.user, safe="") + (f":{quote(self.password, safe='')}" if self.password else "")
        at = "@" if secret else ""
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{secret}{at}{self.netloc}{self.path}{query}"

    def __str__(self) -> str:
        return self.shown

    def __format__(self, spec: str) -> str:
        return format(self.shown, spec)

    def __repr__(self) -> str:
        return f"Location({self.shown!r})"

    # Derived

    def below(self, *names: str, page: bool = False) -> Self:
        """The address of something below this one, its secrets kept; ``page`` ends it with a slash."""
        path = "/".join([self.path.rstrip("/"), *names]) + ("/" if page else "")
        return replace(self, path=path)

    def follow(self, target: str, *, origin: str) -> Self:
        """Where a link or a redirect leads that stands at this address. Its secrets are its own: none are taken along.

        Raises :class:`UsageError` for what is no address.
        """
        try:
            joined = target if _SCHEME.match(target) else urljoin(self.url, target)
        except ValueError as error:
            raise _no_address(target, origin, str(error)) from None
        return type(self).parse(joined, origin=origin)

    def same_origin(self, other: Location) -> bool:
        """Whether both are served by the same server, so that one's credentials are the other's."""
        return self.origin == other.origin

    def is_on(self, hosts: Iterable[str]) -> bool:
        """Whether the host is one of ``hosts``, exactly; those without a port mean every port."""
        own = {self.netloc, self.host, f"{self.host}:{self.origin[2]}"}
        return not own.isdisjoint(host.lower() for host in hosts)


def path_of(url: str) -> str | None:
    """The path that a ``file:`` URL names on this system; ``None`` for any other."""
    scheme, _, rest = url.partition("#")[0].partition("?")[0].partition("://")
    if scheme.lower() != "file":
        return None
    host, slash, path = (f"/{rest}" if _DRIVE.match(rest) else rest).partition("/")
    named = slash + path if host in ("", "localhost") else f"//{host}{slash}{path}"
    if isinstance(PurePath(), PurePosixPath):
        return unquote(named)  # as url2pathname does there, which comes with the whole of HTTP
    from urllib.request import url2pathname

    return url2pathname(named)


def public(text: str) -> str:
    """An address without its secrets, as a lock may hold it; a path stays as it is.

    >>> public("https://me:secret@mirror.example/whl/a-1-py3-none-any.whl?sig=1#sha256=0")
    'https://mirror.example/whl/a-1-py3-none-any.whl'
    """
    return Location.parse(text, origin="an address of a wheel").url if "://" in text else text


def host_of(text: str) -> str:
    """Host and port of an address, empty for a path.

    >>> host_of("https://me:secret@mirror.example:8443/whl")
    'mirror.example:8443'
    """
    return Location.parse(text, origin="an address of a wheel").netloc if "://" in text else ""


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Take user names, passwords and queries out of every address in a foreign text, and ``secrets`` wherever they are.

    >>> redact("GET https://me:p@ss@example.org/whl?token=x failed")
    'GET https://example.org/whl failed'
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _LEAST_SECRET:
            text = text.replace(secret, "***")
    return _NESTED.sub("//", _IN_TEXT.sub(r"\1\2", text)) if "//" in text else text


def secrets_of(text: str) -> tuple[str, ...]:
    """What must not be shown of a setting that may be an address, whether or not it can be read as one."""
    match = _SCHEME.search(text)
    if match is None:
        return ()
    secret, rest = _split_secret(text[match.end() :])
    try:
        return (*Location.parse(text[match.start() :], origin="").secrets, *([secret] if secret else []))
    except UsageError:
        query = rest.partition("?")[2]
        parts = [secret, secret.partition(":")[2], query]
        return tuple(part for each in parts if each for part in (each, unquote(each)))


def _split_secret(rest: str) -> tuple[str, str]:
    """User name and password before the host, whatever characters they hold; and the rest.

    The last ``@`` before the path ends them. A slash belongs to a password where what stands before it could not be a
    host and a port, and an ``@`` follows.
    """
    head = rest.partition("/")[0]
    if "@" not in head:
        if "@" not in rest or _AUTHORITY.fullmatch(head) or ":" not in head:
            return "", rest
        first = rest.index("@")
        head = rest[: first + 1] + rest[first + 1 :].partition("/")[0]
    at = head.rindex("@")
    before = head[:at]
    mark = min((before.index(each) for each in "?#" if each in before), default=-1)
    if mark >= 0 and ":" not in before[:mark]:
        return "", rest  # an @ in a query right behind the host
    return before, rest[at + 1 :]


def _host_and_port(text: str, whole: str, origin: str) -> tuple[str, int | None]:
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        why = "its port is not a number" if ":" in text.rpartition("]")[2] else "its host cannot be read"
        raise _no_address(whole, origin, why if text else "it has no host")
    host, port = match[1].lower(), None if match[2] is None else int(match[2])
    if port is not None and not 0 < port < 65536:
        raise _no_address(whole, origin, f"there is no port {port}")
    if host.startswith("["):
        try:
            IPv6Address(host[1:-1])
        except AddressValueError:
            raise _no_address(whole, origin, "what stands in brackets is no IPv6 address") from None
        return host, port
    if not _HOST.fullmatch(host) or not _is_name(host):
        raise _no_address(whole, origin, "its host cannot be read")
    return host, port


def _is_name(host: str) -> bool:
    """Whether a name can be asked for: no part of it is empty or has more than 63 characters, in ASCII."""
    if host.isascii():  # the codec for all others is loaded in 4 ms, and says the same of these
        *parts, last = host.split(".")
        return all(0 < len(part) < 64 for part in parts) and len(last) < 64
    try:
        return bool(host.encode("idna"))
    except UnicodeError:
        return False


def _quoted(path: str) -> str:
    return quote(path, safe=_KEPT)


def _no_address(text: str, origin: str, why: str, meant: str = "") -> UsageError:
    hint = f"Write it as {meant}" if meant else "Write it as https://HOST/PATH"
    return UsageError(f"{origin}: {_without_secrets(text)} is not an address: {why}", hints=(hint,))


def _without_secrets(text: str) -> str:
    """What can be shown of a text that cannot be read as an address."""
    if not any(mark in text for mark in "@?#"):
        return text.encode("unicode_escape").decode("ascii") if not text.isprintable() else text
    scheme = _SCHEME.match(text)
    return f"{scheme[1]}://…" if scheme else "…"
