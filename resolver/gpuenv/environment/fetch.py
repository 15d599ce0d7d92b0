"""Downloads of wheels that are hashed while they arrive, resumed when they break, and ended when they crawl."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock

from gpuenv.environment.closure import Hashed
from gpuenv.environment.store import Store, no_space, sha256_of
from gpuenv.errors import IndexUnreachableError, IntegrityError, OfflineError
from gpuenv.lock.making import local_path, redacted
from gpuenv.lock.model import Lock
from gpuenv.model.wheel import Wheel
from gpuenv.report import Reporter, Task

if TYPE_CHECKING:
    import requests

_CHUNK = 1 << 18
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_RETRIED = {408, 425, 429, 500, 502, 503, 504}


class Answer(Protocol):
    """An answer whose body has not been read."""

    @property
    def status(self) -> int:
        """HTTP status."""

    def header(self, name: str) -> str | None:
        """One header, whatever its spelling in upper and lower case."""

    def chunks(self) -> Iterator[bytes]:
        """The body as sent, not decoded. Raises ``OSError`` where the connection breaks or stalls."""


Opener = Callable[[str, Mapping[str, str]], AbstractContextManager[Answer]]
"""Asks for a URL with headers. Raises ``OSError`` where nothing answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a download may take, in seconds and bytes. ``attempts`` counts failures without a byte between."""

    deadline: float = 3600.0
    window: float = 60.0
    least_bytes: int = 256 * 1024
    """What must arrive within ``window``."""
    attempts: int = 4
    pause: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A wheel that arrived whole, in its store."""

    path: Path
    sha256: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Everything a download needs. ``clock`` and ``sleep`` are seconds."""

    store: Store
    opener: Opener | None
    """``None``: offline."""
    reporter: Reporter
    patience: Patience = Patience()
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def hash_of(self, wheel: Wheel) -> Hashed:
        """Learn a wheel's hash: of the file itself where it lies on this machine, else of its first download."""
        path = local_path(wheel.url)
        if path is None:
            done = self.fetch(wheel.url, filename=wheel.filename, size=wheel.size)
            return Hashed(sha256=done.sha256, size=done.size, origin="first-download")
        file = Path(path)
        if not file.is_file():
            raise IndexUnreachableError(f"the wheel is gone: {file}")
        return Hashed(sha256=sha256_of(file), size=file.stat().st_size, origin="computed")

    def keep(self, lock: Lock) -> tuple[Path, ...]:
        """Bring every wheel of a lock into the store; those it holds are not fetched again.

        Paths must be absolute (:func:`gpuenv.lock.places.anchored`). Raises what :meth:`fetch` and
        :meth:`~gpuenv.environment.store.Store.add` raise.
        """
        kept: list[Path] = []
        for package in lock.packages:
            if package.url is not None:
                done = self.fetch(package.url, filename=package.filename, sha256=package.sha256, size=package.size)
                kept.append(done.path)
                continue
            file = Path(str(package.path))
            held = self.store.get(package.sha256, package.filename)
            if held is None and not file.is_file():
                raise IndexUnreachableError(f"the wheel is gone: {file}", hints=("gpuenv lock --upgrade",))
            kept.append(held or self.store.add(file, filename=package.filename, sha256=package.sha256))
        return tuple(kept)

    def fetch(self, url: str, *, filename: str, sha256: str | None = None, size: int | None = None) -> Fetched:
        """Bring a wheel into the store, or find it there.

        A broken download goes on where it stopped, in a later process too, when the server says that the file is still
        the same, or when ``sha256`` will tell.

        Raises :class:`~gpuenv.errors.IntegrityError` for another hash or size, :class:`IndexUnreachableError` for a
        refusal, a broken or a crawling connection, :class:`~gpuenv.errors.OfflineError` without a network.
        """
        kept = None if sha256 is None else self.store.get(sha256, filename)
        if kept is not None and sha256 is not None:
            return Fetched(path=kept, sha256=sha256, size=kept.stat().st_size)
        if self.opener is None:
            raise OfflineError(
                f"{filename} is not in the store, and the network must not be used",
                causes=(f"store: {self.store.folder}",),
                hints=("Run once without --offline",),
            )
        partial = _Partial(self.store.folder / "partial" / hashlib.sha256(url.encode()).hexdigest()[:32])
        try:
            partial.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(partial.folder / "lock"), self.reporter.task(filename, total=size, unit="B") as task:
                found = self._download(url, partial, task, sha256=sha256, size=size)
                path = self.store.add(partial.body, filename=filename, sha256=found, move=True)
                partial.clear()
        except OSError as error:
            raise no_space(error, self.store.folder) from None
        return Fetched(path=path, sha256=found, size=path.stat().st_size)

    def _download(self, url: str, partial: _Partial, task: Task, *, sha256: str | None, size: int | None) -> str:
        """Try until the whole file is there; return its sha256."""
        watch = _Watch(self, url)
        failures = 0
        while True:
            before = partial.size
            try:
                expected = self._attempt(url, partial, task, watch, known_hash=sha256 is not None)
                break
            except _Broken as error:
                failures = 1 if partial.size > before else failures + 1
                if failures >= self.patience.attempts:
                    raise IndexUnreachableError(
                        f"a download broke ({failures} in a row): {redacted(url)}",
                        causes=(str(error), f"{partial.size} bytes are kept"),
                        hints=("Run the same command again: it goes on where it stopped",),
                    ) from None
                self.sleep(self.patience.pause * 2 ** (failures - 1))
        found, arrived = sha256_of(partial.body), partial.size
        wanted = size if size is not None else expected
        if (wanted is not None and arrived != wanted) or (sha256 is not None and found != sha256):
            partial.clear()
            length = "any size" if wanted is None else f"{wanted} bytes"
            raise IntegrityError(
                f"{redacted(url)} is not the file it should be",
                causes=(
                    f"expected: {length}, sha256 {sha256 or 'unknown'}",
                    f"found: {arrived} bytes, sha256 {found}",
                ),
                hints=("Do not install it; see what changed: `gpuenv lock --check`",),
            )
        return found

    def _attempt(self, url: str, partial: _Partial, task: Task, watch: _Watch, *, known_hash: bool) -> int | None:
        """Ask once, for what is missing; return the whole size where the server tells it."""
        assert self.opener is not None
        have = partial.size if known_hash or partial.validator else 0
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
            if partial.validator:
                headers["If-Range"] = partial.validator
        try:
            with self.opener(url, headers) as answer:
                try:
                    start, whole = _placed(answer, have, url)
                except _Misplaced:
                    partial.clear()
                    raise
                if start is None:
                    return whole
                partial.begin(start, _validator(answer))
                task.update(total=whole)
                task.advance(start - watch.shown)
                watch.shown = start
                with partial.body.open("ab") as file:
                    for chunk in answer.chunks():
                        file.write(chunk)
                        task.advance(len(chunk))
                        watch.arrived(len(chunk))
        except OSError as error:
            if not _is_network(error):
                raise
            raise _Broken(str(error) or type(error).__name__) from None
        if whole is not None and partial.size < whole:
            raise _Broken(f"the connection ended after {partial.size} of {whole} bytes")
        return whole


@contextmanager
def _closing(answer: _RequestsAnswer) -> Iterator[_RequestsAnswer]:
    try:
        yield answer
    finally:
        answer.close()


def requests_opener(session: requests.Session, *, timeout: float = 30.0) -> Opener:
    """Ask through a session of ``requests``, which carries the user's certificate, proxy and credentials."""
    import requests

    def opener(url: str, headers: Mapping[str, str]) -> AbstractContextManager[Answer]:
        try:
            return _closing(_RequestsAnswer(session.get(url, headers=dict(headers), stream=True, timeout=timeout)))
        except requests.RequestException as error:
            raise ConnectionError(str(error)) from None

    return opener


class _RequestsAnswer:
    def __init__(self, response: requests.Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status_code

    def header(self, name: str) -> str | None:
        return self._response.headers.get(name)

    def chunks(self) -> Iterator[bytes]:
        import urllib3

        try:
            yield from self._response.raw.stream(_CHUNK, decode_content=False)
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionError(str(error)) from None

    def close(self) -> None:
        self._response.close()


class _Broken(Exception):
    """An attempt that may be made again."""


class _Misplaced(_Broken):
    """The server cannot go on where the last attempt stopped; the next one starts anew."""


@dataclass(slots=True)
class _Watch:
    """Ends a download that is past its deadline or below the least rate."""

    fetcher: Fetcher
    url: str
    shown: int = 0
    _started: float = 0.0
    _window: float = 0.0
    _in_window: int = 0

    def __post_init__(self) -> None:
        self._started = self._window = self.fetcher.clock()

    def arrived(self, count: int) -> None:
        now, patience = self.fetcher.clock(), self.fetcher.patience
        self.shown += count
        self._in_window += count
        if now - self._started > patience.deadline:
            self._give_up(f"not finished within {patience.deadline:.0f} s")
        if now - self._window >= patience.window:
            if self._in_window < patience.least_bytes:
                self._give_up(f"{self._in_window} bytes in {now - self._window:.0f} s")
            self._window, self._in_window = now, 0

    def _give_up(self, why: str) -> None:
        raise IndexUnreachableError(
            f"a download is too slow: {redacted(self.url)}",
            causes=(why,),
            hints=("Check the connection, then run the same command again: it goes on where it stopped",),
        )


@dataclass(frozen=True, slots=True)
class _Partial:
    """What has arrived of one URL, and by which validator the server knows that version of it."""

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
            found = json.loads((self.folder / "validator.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return found if isinstance(found, str) else None

    def begin(self, start: int, validator: str | None) -> None:
        """Keep the first ``start`` bytes and remember what the rest belongs to."""
        with self.body.open("ab") as file:
            file.truncate(start)
        (self.folder / "validator.json").write_text(json.dumps(validator), encoding="utf-8")

    def clear(self) -> None:
        for path in (self.body, self.folder / "validator.json"):
            path.unlink(missing_ok=True)


def _placed(answer: Answer, have: int, url: str) -> tuple[int | None, int | None]:
    """Where the body that follows belongs, and the whole size. A start of ``None``: everything is here already."""
    status = answer.status
    if status == 200:
        length = answer.header("Content-Length")
        return 0, int(length) if length and length.isdecimal() and not answer.header("Content-Encoding") else None
    match = _CONTENT_RANGE.fullmatch((answer.header("Content-Range") or "").strip())
    if status == 206 and match is not None and int(match[1]) == have:
        return have, int(match[3]) if match[3].isdecimal() else None
    if status == 416 and (answer.header("Content-Range") or "").strip() == f"bytes */{have}":
        return None, have
    if status in (206, 416):
        raise _Misplaced(f"the server answered another part than was asked for: {answer.header('Content-Range')}")
    if status in _RETRIED:
        raise _Broken(f"the server answered {status}")
    gone = status in (401, 403, 404, 410)
    raise IndexUnreachableError(
        f"the server answered {status}: {redacted(url)}",
        hints=("See what replaces it: `gpuenv lock --check`",) if gone else (),
    )


def _validator(answer: Answer) -> str | None:
    """What If-Range may carry: a strong ETag, else the date (RFC 9110, 13.1.5)."""
    tag = answer.header("ETag")
    if tag and not tag.startswith("W/"):
        return tag
    return answer.header("Last-Modified")


def _is_network(error: OSError) -> bool:
    return isinstance(error, ConnectionError | TimeoutError) or error.errno is None
