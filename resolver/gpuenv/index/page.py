"""Reads index pages: HTML (PEP 503) and JSON (PEP 691) become one shape, without any input or output.

What is not an index page (a login page, an error page, a cut-off file) is refused, never read as "no wheels".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from functools import partial
from html import unescape
from typing import Any
from urllib.parse import unquote

from gpuenv.errors import PageFormatError, UsageError
from gpuenv.index.listed import Page, Skipped
from gpuenv.index.names import NameFault, channel_of, folders_of, parse_name, variant_of
from gpuenv.model.wheel import Channel, SourceKind, Wheel
from gpuenv.net.location import Location, redact

# Attribute values may hold ">" (data-requires-python=">=3.9"), so a tag ends at the first ">" outside quotes.
_TAG = r"(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+"
_ANCHOR = re.compile(rf"<a\s({_TAG})>", re.IGNORECASE)
_BASE = re.compile(rf"<base\s({_TAG})>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"([^\s\"'=<>/]+)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'=<>`]+)))?")
# Visible ASCII without "#", "?" and "@": what Location would leave as it is.
_PLAIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?/[!\"$->A-~]*\Z")
_PLAIN_PATH = re.compile(r"/(?!/)[!\"$->A-~]*\Z")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_INDEX_MARK = re.compile(r"links for|simple index|index of|pypi:repository-version", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_ENDS = (".whl", ".tar.gz", ".zip", ".egg", ".tar.bz2", ".exe", ".metadata", ".asc")
_LARGEST = 1 << 50
RowMaker = Callable[..., "Wheel | Skipped"]
"""Makes a row of what the page says: :func:`_row` for one source."""
_JSON_TYPE = "application/vnd.pypi.simple.v1+json"


def parse_page(
    body: bytes,
    *,
    url: str,
    content_type: str = "text/html",
    kind: SourceKind = "package-index",
    channel: Channel = "stable",
    variant: str = "",
) -> Page:
    """Read one page that was fetched from ``url``, of a source of that kind.

    Variant and channel of a row are those of its own address where that says them; else ``variant`` is that of the
    page, for a mirror that keeps its files elsewhere, and ``channel`` the one that was asked.

    Raises :class:`PageFormatError` for anything that is not a complete index page, naming ``url``. Tolerates missing
    end tags around links, unknown attributes and links that are no wheels.
    """
    made = partial(_row, kind=kind, channel=channel, variant=variant)
    return read_rows(body, url=url, content_type=content_type, made=made)


def read_rows(body: bytes, *, url: str, content_type: str, made: RowMaker) -> Page:
    """Read one page with rows as ``made`` makes them of what the page says of each file; see :func:`parse_page`."""
    media = content_type.partition(";")[0].strip().lower()
    text = body.decode("utf-8", errors="replace")
    start = text.lstrip("\ufeff \t\r\n")[:1]
    if media == _JSON_TYPE or media == "application/json" or (start == "{" and "html" not in media):
        return _parse_json(text, url=url, made=made)
    return _parse_html(text, url=url, made=made)


def _parse_html(text: str, *, url: str, made: RowMaker) -> Page:
    if "<!--" in text:
        text = _COMMENT.sub("", text)
    lowered_end = text[-4096:].lower()
    if re.match(r"\s*(?:<!doctype html|<html)", text[:512], re.IGNORECASE) and "</html" not in lowered_end:
        raise _refusal(url, "the page is cut off: its closing </html> is missing")
    match = _BASE.search(text[:4096])
    base = _Base(url, (_attributes(match[1]).get("href") if match else None) or "")
    rows: list[Wheel] = []
    skipped: list[Skipped] = []
    folders: list[tuple[str, str]] = []
    for match in _ANCHOR.finditer(text):
        attributes = _attributes(match[1])
        href = attributes.get("href")
        if href is None:
            continue
        target, _, fragment = href.partition("#")
        name = unquote(target.partition("?")[0].rpartition("/")[2])
        if not name.lower().endswith(_FILE_ENDS):
            folder = target.partition("?")[0]
            if folder.endswith("/") and not folder.startswith("."):
                folders.append((unquote(folder.rstrip("/").rpartition("/")[2]), base.join(folder)))
            continue
        _sort(_html_row(made, name, base.join(target), fragment, attributes), base, rows, skipped)
    if not (rows or skipped or folders) and not _INDEX_MARK.search(text[:4096]):
        raise _refusal(url, "no link to a package in it: " + _glimpse(text))
    rows = _agreeing(rows, skipped)
    return Page(rows=tuple(rows), skipped=tuple(skipped), folders=tuple(folders), signed=tuple(base.signed))


def _html_row(made: RowMaker, name: str, location: str, fragment: str, attributes: dict[str, str]) -> Wheel | Skipped:
    metadata = attributes.get("data-core-metadata", attributes.get("data-dist-info-metadata"))
    return made(
        filename=name,
        url=location,
        sha256=fragment.removeprefix("sha256=") if fragment.startswith("sha256=") else None,
        size=None,
        requires_python=attributes.get("data-requires-python"),
        metadata=None if metadata in (None, "false") else metadata.removeprefix("sha256="),
        upload_time=attributes.get("data-upload-time"),
        yanked=attributes.get("data-yanked"),
    )


def _parse_json(text: str, *, url: str, made: RowMaker) -> Page:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(url, f"it is neither HTML nor JSON: {error}") from None
    files = document.get("files") if isinstance(document, dict) else None
    meta = document.get("meta") if isinstance(document, dict) else None
    version = str(meta.get("api-version", "")) if isinstance(meta, dict) else ""
    if isinstance(document, dict) and version.startswith("1.") and isinstance(document.get("projects"), list):
        names = [str(each.get("name")) for each in document["projects"] if isinstance(each, dict)]
        base = _Base(url)
        folders = tuple((name, place) for name in names if (place := base.join(f"{name}/")))
        return Page(rows=(), skipped=(), folders=folders)
    if not isinstance(files, list) or not version.startswith("1."):
        raise _refusal(url, f"the JSON in it is no project page of the simple API, version 1: {_glimpse(text)}")
    base = _Base(url)
    rows: list[Wheel] = []
    skipped: list[Skipped] = []
    for entry in files:
        if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
            raise _refusal(url, "a file in it has no URL")
        _sort(_json_row(made, entry, base), base, rows, skipped)
    rows = _agreeing(rows, skipped)
    return Page(rows=tuple(rows), skipped=tuple(skipped), folders=(), signed=tuple(base.signed))


def _json_row(made: RowMaker, entry: dict[str, Any], base: _Base) -> Wheel | Skipped:  # Any: values of foreign JSON
    metadata = entry.get("core-metadata", entry.get("dist-info-metadata"))
    offered = metadata.get("sha256", "") if isinstance(metadata, dict) else "" if metadata is True else None
    hashes, yanked, size = entry.get("hashes"), entry.get("yanked"), entry.get("size")
    target = entry["url"].partition("#")[0]
    return made(
        filename=str(entry.get("filename") or unquote(target.rpartition("/")[2])),
        url=base.join(target),
        sha256=hashes.get("sha256") if isinstance(hashes, dict) else None,
        size=size if type(size) is int else None,
        requires_python=_text(entry.get("requires-python")),
        metadata=offered,
        upload_time=_text(entry.get("upload-time")),
        yanked=None if yanked is None or yanked is False else "" if yanked is True else _text(str(yanked)),
    )


def _row(
    *,
    filename: str,
    url: str,
    sha256: str | None,
    size: int | None,
    requires_python: str | None,
    metadata: str | None,
    upload_time: str | None,
    yanked: str | None,
    kind: SourceKind,
    channel: Channel,
    variant: str,
) -> Wheel | Skipped:
    if not filename.lower().endswith(".whl"):
        return Skipped(filename=filename, reason="not a wheel")
    parsed = parse_name(filename)
    if isinstance(parsed, NameFault):
        return Skipped(filename=filename, reason=parsed.reason)
    layered = kind in ("pytorch", "mirror")
    named = channel_of(url) if kind != "package-index" else None
    own = variant_of(url) if kind != "package-index" else None
    at_root = layered and folders_of(url)[-1:] in (["whl"], ["nightly"], ["test"])
    return Wheel(
        project=parsed.project,
        version=parsed.version,
        filename=filename,
        url=url,
        source=kind,
        channel="nightly" if named == "nightly" else "test" if named == "test" else channel,
        variant=own or (None if at_root else variant or None),
        sha256=_hash_or(sha256, None),
        size=size if size is not None and 0 <= size <= _LARGEST else None,
        requires_python=requires_python or None,
        metadata_sha256=None if metadata is None else _hash_or(metadata, ""),
        upload_time=_moment(upload_time),
        yanked=yanked,
    )


def _sort(row: Wheel | Skipped, base: _Base, rows: list[Wheel], skipped: list[Skipped]) -> None:
    """Put a row where it belongs. A page over TLS that points to plain HTTP must name the hash of what is there."""
    if isinstance(row, Skipped):
        skipped.append(row)
        return
    scheme = row.url.partition(":")[0]
    if scheme not in ("https", "http", "file") or (scheme == "file") != (base.scheme == "file"):
        skipped.append(Skipped(filename=row.filename, reason=f"its link has the scheme {scheme!r}"))
    elif base.scheme == "https" and scheme == "http" and row.sha256 is None:
        skipped.append(Skipped(filename=row.filename, reason="a plain-HTTP link without a hash on an HTTPS page"))
    else:
        rows.append(row)


def _agreeing(rows: list[Wheel], skipped: list[Skipped]) -> list[Wheel]:
    """Rows without those of an address that has two hashes: one of them is wrong, and a lock would hold it."""
    if len({row.url for row in rows}) == len(rows):
        return rows
    hashes: dict[str, set[str]] = {}
    for row in rows:
        if row.sha256 is not None:
            hashes.setdefault(row.url, set()).add(row.sha256)
    doubtful = {url for url, found in hashes.items() if len(found) > 1}
    skipped += (
        Skipped(filename=row.filename, reason="its page gives it two hashes") for row in rows if row.url in doubtful
    )
    return [row for row in rows if row.url not in doubtful]


class _Base:
    """Joins links to a page's URL; the usual forms without the cost of a general join."""

    def __init__(self, url: str, href: str = "") -> None:
        try:
            self._where = Location.parse(url, origin="a page's address").follow(href, origin="its <base>")
        except UsageError as error:
            raise _refusal(url, error.message) from None
        self.scheme = self._where.scheme
        self.signed: list[Location] = []
        self._origin = f"{self.scheme}://{self._where.netloc}"

    def join(self, target: str) -> str:
        """The absolute address without its secrets; what it was signed with is kept aside. Empty: not an address."""
        if _PLAIN.match(target):
            return target
        if _PLAIN_PATH.match(target):
            return self._origin + target
        try:
            where = self._where.follow(target, origin="a link")
        except UsageError:
            return ""
        if where.query:
            self.signed.append(where)
        return where.url


def _attributes(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, double, single, bare in _ATTRIBUTE.findall(text):
        value = double or single or bare
        found.setdefault(name.lower(), unescape(value) if "&" in value else value)
    return found


def _hash_or(text: object, otherwise: str | None) -> str | None:
    lowered = text.lower() if isinstance(text, str) else ""
    return lowered if _SHA256.fullmatch(lowered) else otherwise


def _moment(text: str | None) -> str | None:
    """A date or time (RFC 3339); ``None`` for what is none, which says as little as an index without it."""
    try:
        datetime.fromisoformat((text or "").replace("Z", "+00:00"))
    except ValueError:
        return None
    return text


def _text(value: object) -> str | None:
    """A text; halves of surrogate pairs, which JSON can spell and nothing can write, become question marks."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else None


def _refusal(url: str, cause: str) -> PageFormatError:
    return PageFormatError(
        f"what {redact(url)} answered is not an index page",
        causes=[cause],
        hints=["Open the address in a browser: a proxy or a login page may answer in its place"],
    )


def _glimpse(text: str) -> str:
    """The beginning of a page's words, for a person."""
    title = re.search(r"<title[^>]*>([^<]*)", text[:65536], re.IGNORECASE)
    said = title[1] if title else re.sub(r"<[^>]*>", " ", text[:2048])
    shown = " ".join(said.split())[:80]
    printable = "".join(character for character in shown if character.isprintable())
    return f"“{printable}”" if printable else "it is empty"
