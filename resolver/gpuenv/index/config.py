"""Decides which sources are asked, in which order, and remembers where each was configured."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from gpuenv import knowledge
from gpuenv.dataclass import dataclass
from gpuenv.errors import ConfigurationError
from gpuenv.index.pipconfig import PipConfiguration, PipSetting, read_pip_configuration, read_text
from gpuenv.model.wheel import SourceKind
from gpuenv.net.access import Access, proxy_of
from gpuenv.net.location import Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One source of wheels.

    ``only`` marks the place that a user insists on: when it fails, nothing else is asked. ``hosts`` are those that its
    rows may lead to beside its own.
    """

    kind: SourceKind
    location: Location
    configured_by: str
    only: bool = False
    hosts: frozenset[str] = frozenset()

    @property
    def shown(self) -> str:
        """The location as a person may see it."""
        return self.location.shown

    @property
    def words(self) -> str:
        """The location and where it was configured: ``https://download.pytorch.org/whl (default)``."""
        return f"{self.shown} ({self.configured_by})"

    def leads_to(self, where: Location) -> bool:
        """Whether this source may send anybody there for the family: PyTorch's index to PyTorch's hosts, a mirror to
        its own, and to those that the person allowed. Package indexes and pages of links keep files where they like."""
        if self.kind not in ("pytorch", "mirror") or where.same_origin(self.location):
            return True
        own = knowledge.load().pytorch_hosts if self.kind == "pytorch" else frozenset({self.location.netloc})
        return where.is_on(own | self.hosts)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePlan:
    """Where wheels come from.

    ``torch`` is asked in this order for the family. Everything else comes from ``default_index`` (``None``: the
    ecosystem's own, which uv knows), ``extra_indexes`` and ``find_links`` together, as pip means them. ``not_asked``
    are those of pip's configuration that the family is never taken from without an option. ``notes`` are things a user
    should hear about the configuration.
    """

    torch: tuple[Place, ...]
    default_index: Place | None
    extra_indexes: tuple[Place, ...]
    find_links: tuple[Place, ...]
    access: Access
    fallback: Callable[[], Place | None] = lambda: None
    """The ecosystem's own index, asked last for the family; found out only then, and only where none is configured."""
    not_asked: tuple[Place, ...] = ()
    notes: tuple[str, ...] = ()

    def may_follow(self, where: Location, target: Location) -> bool:
        """Whether a redirect may lead from one address to another: those of the torch index are bound to the same hosts
        as its links. Of a mirror's server all is the mirror's, unless another source has the server too: then what
        lies below the mirror's own address."""
        for place in self.torch:
            if place.kind == "pytorch":
                own = where.same_origin(place.location) or where.is_on(knowledge.load().pytorch_hosts)
            else:
                shared = any(each is not place.location and each.same_origin(where) for each in self.locations)
                own = where.url.startswith(f"{place.location.url}/") if shared else where.same_origin(place.location)
            if own and not place.leads_to(target):
                return False
        return True

    @property
    def locations(self) -> tuple[Location, ...]:
        """Every address of the plan, each once."""
        default = [self.default_index] if self.default_index else []
        places = (*self.torch, *default, *self.extra_indexes, *self.find_links)
        return tuple(dict.fromkeys(place.location for place in places))


def plan_sources(
    *,
    torch_index: str | None = None,
    index: str | None = None,
    find_links: Sequence[str] = (),
    allow_hosts: Sequence[str] = (),
    origins: Mapping[str, str] | None = None,
    environ: Mapping[str, str],
    platform: str,
    folder: Path,
    read: Callable[[Path], str | None] = read_text,
    default_index_url: Callable[[], str | None] | None = None,
) -> SourcePlan:
    """Put the sources in order: ``--find-links``, ``--torch-index`` or PyTorch's own index, then folders that pip's
    configuration names, then PyPI.

    An extra index or a page of pip's configuration serves no package of the family: anybody may have put the name
    there. With ``index`` (``--index``), pip's indexes, folders and pages bring nothing at all: what the command line
    names stands alone. An empty ``--find-links`` stands for none at all: pip's are not asked either. ``allow_hosts``
    are hosts that rows of the torch index may lead to beside its own.

    ``origins`` says where an option was said, where that is not its own name on a command line. ``folder`` is what
    relative paths in options start from. ``default_index_url`` tells the ecosystem's own index where none is
    configured. Raises :class:`UsageError` for an option that is
    neither URL nor folder, :class:`ConfigurationError` for a broken configuration file of pip.
    """
    pip = read_pip_configuration(environ, platform=platform, read=read)
    no_index = pip.on("no-index")
    said = {name: (origins or {}).get(name, f"--{name}") for name in ("torch-index", "index", "find-links")}
    explicit = [_find_links(each, said["find-links"], folder) for each in find_links if each]
    own = () if "" in find_links or index else pip.words("find-links")
    from_pip = [_find_links(word, origin, folder) for word, origin in own]
    main = _torch_index(torch_index, folder, allow_hosts, configured_by=said["torch-index"]) if torch_index else None
    default = _default_index(PipSetting(index, said["index"]) if index else None, pip, environ)
    if main is None and not no_index:
        main = _torch_index(knowledge.load().pytorch_index, folder, allow_hosts, configured_by="default")
    more = () if no_index or index else pip.words("extra-index-url")
    extras = [_package_index(word, origin) for word, origin in more]
    torch, pages = [*explicit, *([main] if main else [])], [place for place in from_pip if _is_page(place)]
    ask_later = default_index_url if default is None and not no_index else None
    if main is None or not main.only:
        torch += [*(place for place in from_pip if place not in pages), *([default] if default else [])]
    return SourcePlan(
        torch=_unique(torch),
        default_index=default,
        extra_indexes=tuple(extras),
        find_links=_unique([*explicit, *from_pip]),
        access=_access(pip),
        fallback=lambda: _ecosystem(ask_later) if main is None or not main.only else None,
        not_asked=_unique([*extras, *pages]),
        notes=_notes(pip, no_index=no_index),
    )


def _torch_index(text: str, folder: Path, allow_hosts: Sequence[str], *, configured_by: str) -> Place:
    location = Location.parse(text, origin=configured_by, folder=folder).below()
    return Place(
        kind="pytorch" if location.url == knowledge.load().pytorch_index else "mirror",
        location=location,
        configured_by=configured_by,
        only=configured_by != "default",
        hosts=frozenset(allow_hosts),
    )


def _default_index(option: PipSetting | None, pip: PipConfiguration, environ: Mapping[str, str]) -> Place | None:
    candidates: list[PipSetting | None] = [option]
    if not pip.on("no-index"):
        candidates.append(pip.get("index-url"))
        candidates += [
            PipSetting(environ[name], name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL") if environ.get(name)
        ]
    found = next((each for each in candidates if each is not None), None)
    if found is None:
        return None
    value = found.value.strip()
    if value.count("://") > 1 and len(value.split()) > 1:  # one address may hold a blank, in its password
        raise ConfigurationError(
            f"index-url ({found.origin}): more than one address stands there",
            hints=["Keep one, and name the others in extra-index-url"],
        )
    head, equals, tail = value.partition("=")
    if equals and "://" in tail and "://" not in head:  # uv's NAME=URL
        value = tail
    return _package_index(value, found.origin)


def _package_index(url: str, origin: str) -> Place:
    return Place(kind="package-index", location=Location.parse(url, origin=origin).below(), configured_by=origin)


def _ecosystem(ask: Callable[[], str | None] | None) -> Place | None:
    url = ask() if ask is not None else None
    return None if url is None else _package_index(url, "default")


def _find_links(text: str, origin: str, folder: Path) -> Place:
    location = Location.parse(text, origin=origin, folder=folder)
    return Place(kind="find-links", location=location, configured_by=origin)


def _is_page(place: Place) -> bool:
    """Whether links stand there that may lead anywhere, rather than files of this machine."""
    return not place.location.is_local or os.path.isfile(place.location.local)  # noqa: PTH113 - Path raises for one that is too long


def _access(pip: PipConfiguration) -> Access:
    seconds = pip.get("timeout") or pip.get("default-timeout")
    certificate, client, proxy = (pip.get(key) for key in ("cert", "client-cert", "proxy"))
    usual = Access()
    return Access(
        proxy=proxy_of(proxy.value, origin=proxy.origin) if proxy else None,
        certificates=certificate.value.strip() if certificate else None,
        client_certificate=client.value.strip() if client else None,
        trusted_hosts=tuple(host for host, _ in pip.words("trusted-host")),
        read_timeout=min(_seconds(seconds), usual.deadline) if seconds else usual.read_timeout,
    )


def _seconds(setting: PipSetting) -> float:
    try:
        found = float(setting.value)
    except ValueError:
        found = 0.0
    if not 0 < found < float("inf"):
        raise ConfigurationError(
            f"timeout ({setting.origin}): {setting.value.strip()[:40]} is not a number of seconds above zero",
            hints=["Write one such as 15, or unset it"],
        )
    return found


def _notes(pip: PipConfiguration, *, no_index: bool) -> tuple[str, ...]:
    notes = []
    if no_index and (setting := pip.get("no-index")):
        notes.append(f"pip's configuration switches indexes off (no-index, {setting.origin})")
    for host, origin in pip.words("trusted-host"):
        notes.append(f"certificates of {host} are not checked (trusted-host, {origin})")
    return tuple(notes)


def _unique(places: Sequence[Place]) -> tuple[Place, ...]:
    seen: dict[str, Place] = {}
    for place in places:
        seen.setdefault(place.location.below().url, place)
    return tuple(seen.values())
