"""Downloads of files that are hashed when whole, resumed when they break, and ended when they crawl."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import stat
import time
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from gpuenv.dataclass import dataclass
from gpuenv.errors import GpuenvError, IndexUnreachableError, IntegrityError
from gpuenv.net import faults
from gpuenv.net.client import Client
from gpuenv.net.faults import Fault
from gpuenv.net.location import Location
from gpuenv.report import Task
from gpuenv.system.files import read_text, write_atomic

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from gpuenv.net.alarm import Alarm

_PIECE = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a download may take, in seconds and bytes. ``attempts`` counts failures without a byte between."""

    deadline: float = 3600.0
    window: float = 60.0
    least_bytes: int = 256 * 1024
    """What must arrive within ``window``, the server's headers included."""
    attempts: int = 4
    pause: float = 0.5


@dataclass(frozen=True, slots=True)
class Partial:
    """A folder with what has arrived of one address, and by which validator the server knows that version of it."""

    folder: Path

    @property
    def body(self) -> Path:
        return self.folder / "body"

    @property
    def size(self) -> int:
        return self.body.stat().st_size if self.body.exists() else 0

    @property
    def validator(self) -> str | None:
        try:
            found = json.loads(read_text(self.folder / "validator.json", what="the state of a download"))
        except (GpuenvError, ValueError, RecursionError):
            return None
        return found if isinstance(found, str) else None

    def make(self) -> None:
        """Make the folder, for its owner alone. Raises ``OSError`` where something else stands there: a link, or a
        folder of somebody else, who could lay out links in it."""
        with suppress(FileExistsError):
            self.folder.mkdir(mode=0o700)
        facts = self.folder.lstat()
        if not stat.S_ISDIR(facts.st_mode) or (hasattr(os, "getuid") and facts.st_uid != os.getuid()):
            raise PermissionError(errno.EPERM, "it is not a folder of yours", str(self.folder))

    def begin(self, start: int, validator: str | None) -> None:
        """Keep the first ``start`` bytes and remember what the rest belongs to."""
        with self.append() as file:
            file.truncate(start)
        write_atomic(self.folder / "validator.json", json.dumps(validator), what="the state of a download")

    def append(self) -> BinaryIO:
        """Open what has arrived to write behind it. A link that stands there is not followed."""
        return open(self.body, "ab", opener=_not_through_a_link)

    def clear(self) -> None:
        """Throw away what has arrived."""
        for path in (self.body, self.folder / "validator.json"):
            path.unlink(missing_ok=True)


def _not_through_a_link(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """One file on its way. ``sha256`` and ``size`` are what it must come to, where that is known."""

    client: Client
    where: Location
    partial: Partial
    task: Task
    sha256: str | None = None
    size: int | None = None
    patience: Patience = field(default_factory=Patience)

    def run(self) -> str:
        """Bring the whole file into ``partial``; return its sha256.

        A broken download goes on where it stopped, in a later process too, when the server says that the file is still
        the same, or when ``sha256`` will tell. Raises :class:`IntegrityError` for another hash or size,
        :class:`IndexUnreachableError` for a refusal, a broken or a crawling connection, and ``OSError`` of the disk.
        """
        ends = time.monotonic() + self.patience.deadline
        failures = 0
        while True:
            before = self.partial.size
            try:
                whole = self._attempt(ends)
                break
            except Fault as fault:
                failures = 1 if self.partial.size > before else failures + 1
                pause = max(self.patience.pause * 2 ** (failures - 1), fault.wait)
                if not fault.again:
                    raise self._refused(fault) from None
                if failures >= self.patience.attempts or time.monotonic() + pause > ends:
                    raise IndexUnreachableError(
                        f"a download broke ({failures} in a row): {self.where}",
                        causes=(fault.cause, f"{self.partial.size} bytes are kept"),
                        hints=("Run the same command again: it goes on where it stopped",),
                    ) from None
                self.client.sleep(pause)
        return self._checked(whole)

    def _refused(self, fault: Fault) -> IndexUnreachableError:
        gone = fault.kind in ("http-403", "http-404", "http-410")
        hint = "See what replaces it: `gpuenv lock --check`" if gone else fault.hint
        return IndexUnreachableError(
            f"{self.where.filename} cannot be downloaded", causes=(fault.cause, f"address: {self.where}"), hints=(hint,)
        )

    def _checked(self, whole: int | None) -> str:
        """The hash of what arrived, where it is what it should be."""
        with self.partial.body.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        arrived, wanted = self.partial.size, self.size if self.size is not None else whole
        if (wanted is None or arrived == wanted) and self.sha256 in (None, found):
            return found
        self.partial.clear()
        length = "any size" if wanted is None else f"{wanted} bytes"
        raise IntegrityError(
            f"{self.where} is not the file it should be",
            causes=(
                f"expected: {length}, sha256 {self.sha256 or 'unknown'}",
                f"found: {arrived} bytes, sha256 {found}",
            ),
            hints=("Do not install it; see what changed: `gpuenv lock --check`",),
        )

    def _attempt(self, ends: float) -> int | None:
        """Ask once, for what is missing; return the whole size where the server tells it."""
        have = self.partial.size if self.sha256 or self.partial.validator else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            headers |= {"If-Range": self.partial.validator} if self.partial.validator else {}
        with self.client.alarm(self._window(ends)) as alarm:
            from urllib3.exceptions import HTTPError

            try:
                with self.client.open(self.where, headers) as (_, response):
                    start, whole = self._placed(response, have)
                    if start is not None:
                        self.partial.begin(start, _validator(response))
                        self.task.update(total=whole)
                        self._receive(response, alarm, ends)
                if alarm.rang:
                    raise TimeoutError
            except (HTTPError, OSError, Fault) as error:
                if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError | TimeoutError):
                    raise  # of the disk
                if alarm.rang:
                    raise self._too_slow(ends) from None
                raise self.client.fault_of(error, self.where) from None
        if whole is not None and self.partial.size < whole:
            cause = f"the connection ended after {self.partial.size} of {whole} bytes"
            raise Fault("cut-short", cause, "", self.patience.attempts)
        return whole

    def _receive(self, response: BaseHTTPResponse, alarm: Alarm, ends: float) -> None:
        in_window = 0
        with self.partial.append() as file:
            while piece := response.read(_PIECE, decode_content=False):
                file.write(piece)
                self.task.advance(len(piece))
                in_window += len(piece)
                if in_window >= self.patience.least_bytes:
                    alarm.postpone(self._window(ends))  # what is overdue rings at once
                    in_window = 0

    def _window(self, ends: float) -> float:
        return min(self.patience.window, ends - time.monotonic())

    def _too_slow(self, ends: float) -> IndexUnreachableError:
        patience = self.patience
        over = time.monotonic() >= ends
        least = f"less than {patience.least_bytes} bytes within {patience.window:g} s"
        return IndexUnreachableError(
            f"a download is too slow: {self.where}",
            causes=(f"not finished within {patience.deadline:g} s" if over else least,),
            hints=("Check the connection, then run the same command again: it goes on where it stopped",),
        )

    def _placed(self, response: BaseHTTPResponse, have: int) -> tuple[int | None, int | None]:
        """Where the body that follows belongs, and the whole size. A start of ``None``: everything is here already."""
        status = response.status
        if status == 200:
            if faults.coding_of(response.headers):
                raise faults.garbled("it was not to be packed")
            return 0, faults.number_of(response.headers.get("Content-Length"))
        part = response.headers.get("Content-Range")
        first, total = faults.content_range(part)
        if status == 206 and have and first == have:
            return have, total
        if status == 416 and have and total == have:
            return None, have
        if status in (206, 416) and have:
            self.partial.clear()
            cause = f"the server answered another part than was asked for: {(part or '')[:80]}"
            raise Fault("misplaced", cause, "", self.patience.attempts)
        raise faults.of_status(status, self.where, retry_after=response.headers.get("Retry-After"))


def _validator(response: BaseHTTPResponse) -> str | None:
    """What If-Range may carry: a strong ETag, else the date (RFC 9110, 13.1.5)."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
