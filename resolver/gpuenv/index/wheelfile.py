"""Reads single members of a wheel, local or remote, by byte ranges: kilobytes of a file of hundreds of megabytes.

Order of reading (measured on real wheels in ``docs/inspect-figures.md``): the last 64 KiB hold the end of the zip
directory and METADATA's entry; the first 256 KiB of the directory hold ``torch/version.py`` and, in new wheels,
``CUDAConfig.h``; the rest of the directory is read only when a name has not turned up.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Protocol

from packaging.utils import canonicalize_name

from gpuenv.dataclass import dataclass
from gpuenv.errors import IndexUnreachableError, IntegrityError
from gpuenv.index import inside, zipdir
from gpuenv.knowledge import load
from gpuenv.model.decision import About
from gpuenv.model.wheel import WheelContents
from gpuenv.net.client import Client
from gpuenv.net.download import Download, Partial
from gpuenv.net.location import Location
from gpuenv.report import Silent
from gpuenv.system.files import scratch

Want = About
TAIL = 64 * 1024
CHUNK = 8 * 1024 * 1024
"""How much of a large member is fetched and held at a time."""
HEAD_OF_DIRECTORY = 256 * 1024
SLACK = 512
"""Bytes fetched beyond a member for the local header's extra field, whose length the directory does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelReading:
    """What was read of a wheel and what it cost over the network. ``size`` is that of the whole file."""

    contents: WheelContents
    requests: int
    bytes: int
    size: int


class RangeFile(Protocol):
    """A file that can be read in parts."""

    size: int

    def read(self, first: int, length: int) -> bytes:
        """Exactly the bytes asked for, or an error."""


def read_contents(
    location: str | Path | Location,
    *,
    http: Client,
    want: Collection[Want] = ("kernels", "metadata", "build"),
    filename: str | None = None,
    allow_download: bool = False,
) -> WheelReading:
    """Read what a wheel contains from a path or URL.

    ``want`` chooses among code for GPUs (torch wheels alone have the file that says so), METADATA, and the CUDA that a
    companion is built with (see ``knowledge/companions.toml`` for those that say it). A server that sends no ranges is
    an error that says what the whole file costs; with ``allow_download`` it is fetched whole, into a temporary file.
    Raises :class:`IndexUnreachableError` for servers, :class:`IntegrityError` for a file that is no wheel or was
    damaged.
    """
    requests, received = http.counters.requests, http.counters.bytes
    with open_wheel(location, http=http, filename=filename, allow_download=allow_download) as wheel:
        contents, size = wheel.contents(want), wheel.size
    return WheelReading(
        contents=contents,
        requests=http.counters.requests - requests,
        bytes=http.counters.bytes - received,
        size=size,
    )


@contextmanager
def open_wheel(
    location: str | Path | Location, *, http: Client, filename: str | None = None, allow_download: bool = False
) -> Iterator[WheelFile]:
    """Open a wheel to read members of it; raises as :func:`read_contents` does, while it is read, too."""
    where = Location.of_path(location.absolute()) if isinstance(location, Path) else http.address(location)
    name = filename or where.filename
    with _open(where, http, allow_download=allow_download) as file:
        try:
            yield WheelFile(file, name, local=where.is_local)
        except zipdir.ZipFault as fault:
            raise IntegrityError(
                f"{name} is not a wheel that can be read",
                causes=[str(fault), f"place: {where}"],
                hints=["Fetch it again: a proxy or a broken download may have changed it"],
            ) from None


class WheelFile:
    """Finds members of one wheel as they are needed."""

    def __init__(self, file: RangeFile, name: str, *, local: bool) -> None:
        self.name = name
        self.size = file.size
        self.local = local
        """Whether reading all of it costs no download."""
        self._file = file
        self._block = (0, b"")
        self._name = name
        self._tail_start = max(file.size - TAIL, 0)
        tail = file.read(self._tail_start, file.size - self._tail_start)
        place = zipdir.needed_for_end(tail, file.size)
        end64 = file.read(place, min(56, file.size - place)) if place is not None else None
        self._directory = zipdir.find_directory(tail, file.size, end64=end64)
        self._found: dict[str, zipdir.Member] = {}
        self._parts = self._read_directory(tail)

    def members(self) -> tuple[zipdir.Member, ...]:
        """All members, in the directory's order, which is read whole for it."""
        for _ in self._parts:
            pass
        return tuple(self._found.values())

    def pieces(self, member: zipdir.Member, *, until: int = 0) -> Iterator[bytes]:
        """The contents of a member of any size, a few megabytes at a time.

        ``until`` is where the last member ends that is to be read after this one: of a wheel elsewhere what stands up
        to there is fetched along, so that many small members are one request.
        """
        end, at = self._directory.offset, member.offset
        length = zipdir.LOCAL_HEADER + len(member.name.encode()) + member.packed
        stop = min(at + length + 0xFFFF, end)
        until = min(max(until, at), end)
        first = self._read(at, min(length + SLACK, CHUNK, end - at), until)
        unpacking = zipdir.Unpacking(member, first)
        yield from unpacking.begin()
        at += len(first)
        while at < stop and not unpacking.whole:
            piece = self._read(at, min(CHUNK, stop - at), until)
            at += len(piece)
            yield from unpacking.take(piece)
        unpacking.end()

    def _read(self, first: int, length: int, until: int) -> bytes:
        if length <= 0 or first < 0:
            raise zipdir.ZipFault("a member is not where the directory says")
        start, block = self._block
        if not (start <= first and first + length <= start + len(block)):
            start, wanted = first, length if self.local else max(length, min(CHUNK, until - first))
            block = self._file.read(start, wanted)
            self._block = start, block
        return block[first - start : first - start + length]

    def contents(self, want: Collection[Want]) -> WheelContents:
        """What :func:`read_contents` tells."""
        found = WheelContents(origin="wheel")
        if "kernels" in want and self._name.startswith("torch-"):
            found = self._kernels(found)
        check = load().import_checks.get(canonicalize_name(self._name.partition("-")[0]))
        if "build" in want and check is not None:
            found = self._build(found, check.build)
        if "metadata" in want:
            member = self._find(inside.is_metadata)
            if member is None:
                raise zipdir.ZipFault("it has no METADATA")
            requires, python = inside.requirements_of(self._unpack(member), filename=self._name)
            details = [found.detail] if found.detail else []
            found = replace(
                found, requires_dist=requires, requires_python=python, detail=", ".join([*details, member.name])
            )
        return found

    def _kernels(self, found: WheelContents) -> WheelContents:
        version = self._find(lambda name: name == inside.VERSION)
        if version is None:
            return replace(found, detail=f"no {inside.VERSION}")
        built = inside.built_with(self._unpack(version).decode("utf-8", "replace"))
        found = replace(found, git=built.get("git_version"), cuda=built.get("cuda") or "")
        if "cuda" not in built:
            return replace(found, cuda=None, detail=f"{inside.VERSION} names no CUDA version")
        if not found.cuda:
            return replace(found, sass=(), ptx=(), detail=inside.VERSION)
        header = self._find(lambda name: name == inside.CUDA_CONFIG)
        if header is None:
            return replace(found, detail=f"{inside.VERSION}; no {inside.CUDA_CONFIG}")
        compiled = inside.compiled_for(self._unpack(header).decode("utf-8", "replace"))
        if compiled is None:
            return replace(found, detail=f"{inside.VERSION}; no compiler flags in {inside.CUDA_CONFIG}")
        return replace(found, sass=compiled[0], ptx=compiled[1], detail=f"{inside.VERSION}, {inside.CUDA_CONFIG}")

    def _build(self, found: WheelContents, place: str) -> WheelContents:
        """The CUDA of a companion: the local part of the version that it says of itself."""
        member = self._find(lambda name: name == place)
        if member is None:
            return replace(found, detail=f"no {place}")
        variant = inside.variant_in(self._unpack(member).decode("utf-8", "replace"))
        if variant is None:
            return replace(found, detail=f"{place} names no build")
        return replace(found, cuda=load().cuda_of(variant) or "", detail=place)

    def _find(self, fits: Callable[[str], bool]) -> zipdir.Member | None:
        """The first member whose name fits, reading as much of the directory as that takes."""
        while True:
            for name, member in self._found.items():
                if fits(name):
                    return member
            if next(self._parts, None) is None:
                return None

    def _read_directory(self, tail: bytes) -> Iterator[bool]:
        """Read the directory part by part; yields after each part whose entries were added."""
        where = self._directory
        known_from = max(self._tail_start, where.offset)
        at_hand = tail[known_from - self._tail_start : where.offset + where.size - self._tail_start]
        if known_from == where.offset:
            self._whole(at_hand, where)
            yield True
            return
        for member in zipdir.last_entries(at_hand):
            self._found.setdefault(member.name, member)
        yield True
        data = b""
        for end in (where.offset + HEAD_OF_DIRECTORY, known_from):
            end = min(end, known_from)
            start = where.offset + len(data)
            if end > start:
                data += self._file.read(start, end - start)
                if end == known_from:
                    self._whole(data + at_hand, where)
                else:
                    for member, _ in zipdir.walk(data):
                        self._found.setdefault(member.name, member)
                yield True

    def _whole(self, data: bytes, where: zipdir.Directory) -> None:
        """Take the complete directory; the last entry of a name counts, as zip readers have it."""
        entries = list(zipdir.walk(data))
        if len(entries) != where.entries or (entries and entries[-1][1] != where.size):
            raise zipdir.ZipFault("its directory is damaged")
        if len({member.name for member, _ in entries}) != len(entries):
            raise zipdir.ZipFault("it holds two files of one name")
        self._found = {member.name: member for member, _ in entries}

    def _unpack(self, member: zipdir.Member) -> bytes:
        length = zipdir.LOCAL_HEADER + len(member.name.encode()) + member.packed
        if member.offset + length > self._directory.offset:
            raise zipdir.ZipFault(f"{member.name} is not where the directory says")
        for slack in (SLACK, 2 * 0xFFFF):
            available = min(length + slack, self._directory.offset - member.offset)
            body = zipdir.unpack(member, self._file.read(member.offset, available))
            if body is not None:
                return body
        raise zipdir.ZipFault(f"{member.name} is cut off")


@contextmanager
def _open(where: Location, http: Client, *, allow_download: bool) -> Iterator[RangeFile]:
    if not where.is_local:
        remote = _Remote.open(where, http)
        if isinstance(remote, _Remote):
            yield remote
            return
        if not allow_download:
            raise _no_ranges(where, remote.size)
        with _downloaded(where, http) as file:
            yield file
        return
    try:
        with where.local.open("rb") as handle:
            yield _Local(handle)
    except OSError as error:
        raise IndexUnreachableError(f"{where} cannot be read", causes=[error.strerror or str(error)]) from None


class _Local:
    def __init__(self, handle: IO[bytes]) -> None:
        self._handle = handle
        self.size = handle.seek(0, 2)

    def read(self, first: int, length: int) -> bytes:
        self._handle.seek(first)
        data = self._handle.read(length)
        if len(data) != length:
            raise zipdir.ZipFault("it ends too early")
        return data


@dataclass(frozen=True, slots=True)
class _NoRanges:
    size: int | None


class _Remote:
    """A file behind a server that sends byte ranges. Its end is fetched on opening and kept."""

    def __init__(self, url: Location, http: Client, *, size: int, tail: bytes, validator: str | None) -> None:
        self.size = size
        self._url = url
        self._http = http
        self._tail = tail
        self._validator = validator

    @classmethod
    def open(cls, url: Location, http: Client) -> _Remote | _NoRanges:
        part = http.part(url, f"bytes=-{TAIL}", limit=TAIL)
        if part.status == 416 and part.total != 0:
            # Some servers know no suffix ranges. One byte from the front tells the length.
            first = http.part(url, "bytes=0-0", limit=1)
            if first.status == 206 and first.total:
                start = max(first.total - TAIL, 0)
                part = http.part(url, f"bytes={start}-{first.total - 1}", limit=TAIL)
        if part.status == 200:
            if part.total is not None and part.total == len(part.body):
                return cls(url, http, size=part.total, tail=part.body, validator=part.validator)
            return _NoRanges(part.total)
        expected = min(TAIL, part.total or 0)
        if (
            part.status != 206
            or not expected
            or len(part.body) != expected
            or part.first != (part.total or 0) - expected
        ):
            raise _wrong_range(url, f"asked for the last {TAIL} bytes", part.first, len(part.body), part.status)
        return cls(url, http, size=part.total or 0, tail=part.body, validator=part.validator)

    def read(self, first: int, length: int) -> bytes:
        kept_from = self.size - len(self._tail)
        if first >= kept_from:
            return self._tail[first - kept_from : first - kept_from + length]
        part = self._http.part(self._url, f"bytes={first}-{first + length - 1}", limit=length)
        if part.status != 206 or part.first != first or len(part.body) != length:
            asked = f"asked for {length} bytes from {first}"
            raise _wrong_range(self._url, asked, part.first, len(part.body), part.status)
        if part.total != self.size or part.validator != self._validator:
            raise IntegrityError(
                "the wheel changed while it was read",
                causes=[f"address: {self._url}", f"size {self.size}, then {part.total}"],
                hints=["Run the command again"],
            )
        return part.body


@contextmanager
def _downloaded(where: Location, http: Client) -> Iterator[RangeFile]:
    with scratch("wheel") as folder, Silent().task("") as task:
        partial = Partial(folder)
        Download(client=http, where=where, partial=partial, task=task).run()
        with partial.body.open("rb") as handle:
            yield _Local(handle)


def _no_ranges(url: Location, size: int | None) -> IndexUnreachableError:
    cost = f"{size / 1e6:.0f} MB" if size is not None else "a download of unknown size"
    return IndexUnreachableError(
        f"{url.hostname} does not send parts of a file, so reading this wheel costs {cost}",
        causes=[f"address: {url}"],
        hints=["Add --allow-download to fetch the whole file"],
    )


def _wrong_range(url: Location, asked: str, first: int | None, length: int, status: int) -> IndexUnreachableError:
    return IndexUnreachableError(
        f"{url.hostname} does not answer range requests correctly",
        causes=[f"{asked}, got {length} bytes from {first} (status {status})", f"address: {url}"],
        hints=["A proxy in between may be at fault; --allow-download fetches the whole file instead"],
    )
