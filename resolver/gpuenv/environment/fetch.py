"""Brings wheels into the store: by a download that is hashed, or from a folder of this machine."""

from __future__ import annotations

import hashlib
import os
from dataclasses import field
from pathlib import Path

from filelock import FileLock

from gpuenv.dataclass import dataclass
from gpuenv.environment.packages import Hashed
from gpuenv.environment.store import Store, no_space, sha256_of
from gpuenv.errors import IndexUnreachableError, IntegrityError, OfflineError
from gpuenv.lock.making import local_path
from gpuenv.lock.model import Lock, filename_of
from gpuenv.model.wheel import Wheel
from gpuenv.net.client import Client
from gpuenv.net.download import Download, Partial, Patience
from gpuenv.report import Reporter


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Everything a download needs."""

    store: Store
    client: Client
    reporter: Reporter
    patience: Patience = field(default_factory=Patience)

    def hash_of(self, wheel: Wheel) -> Hashed:
        """Learn a wheel's hash: of the file itself where it lies on this machine, else of its first download."""
        path = local_path(wheel.url)
        if path is None:
            kept, sha256 = self.fetch(wheel.url, filename=wheel.filename, size=wheel.size)
            return Hashed(sha256=sha256, size=kept.stat().st_size, origin="first-download")
        file = Path(path)
        if not file.is_file():
            raise IndexUnreachableError(f"the wheel is gone: {file}")
        return Hashed(sha256=sha256_of(file), size=file.stat().st_size, origin="computed")

    def keep(self, lock: Lock) -> tuple[Path, ...]:
        """Bring every wheel of a lock into the store; those it holds are not fetched again.

        Paths must be absolute (:func:`gpuenv.lock.model.anchored`). Raises what :meth:`fetch` and
        :meth:`~gpuenv.environment.store.Store.add` raise.
        """
        kept: list[Path] = []
        for package in lock.packages:
            if package.url is not None:
                path, _ = self.fetch(package.url, filename=package.filename, sha256=package.sha256, size=package.size)
                kept.append(path)
                continue
            file = Path(str(package.path))
            held = self.store.get(package.sha256, package.filename)
            if held is None and not file.is_file():
                raise IndexUnreachableError(f"the wheel is gone: {file}", hints=("gpuenv lock --upgrade",))
            kept.append(held or self.store.add(file, filename=package.filename, sha256=package.sha256))
        return tuple(kept)

    def bring(self, url: str, folder: Path, *, sha256: str) -> Path:
        """Bring a file that is no wheel into a folder of its own: the source of a package, by its hash.

        Raises as :meth:`fetch` does.
        """
        folder.mkdir()
        if (path := local_path(url)) is not None:
            if sha256_of(Path(path)) != sha256:
                raise IntegrityError(f"{path} changed while it was looked at", causes=(f"expected: sha256 {sha256}",))
            return Path(path)
        if self.client.offline:
            raise OfflineError(
                f"{filename_of(url)} has to be fetched, and the network must not be used",
                hints=("Run once without --offline",),
            )
        where, partial = self.client.address(url), Partial(folder / "partial")
        partial.make()
        with self.reporter.task(filename_of(url), unit="B") as task:
            Download(
                client=self.client, where=where, partial=partial, task=task, sha256=sha256, patience=self.patience
            ).run()
        return partial.body

    def fetch(self, url: str, *, filename: str, sha256: str | None = None, size: int | None = None) -> tuple[Path, str]:
        """Bring a wheel into the store, or find it there: its path and its sha256.

        Raises what :meth:`Download.run` raises, and :class:`~gpuenv.errors.OfflineError` without a network.
        """
        kept = None if sha256 is None else self.store.get(sha256, filename)
        if kept is not None and sha256 is not None:
            return kept, sha256
        if self.client.offline:
            raise OfflineError(
                f"{filename} is not in the store, and the network must not be used",
                causes=(f"store: {self.store.folder}",),
                hints=("Run once without --offline",),
            )
        where = self.client.address(url)
        # One a user: in a store for several, nobody goes on with what another has begun.
        begun = f"{where.url} {os.getuid() if hasattr(os, 'getuid') else ''}"
        partial = Partial(self.store.folder / "partial" / hashlib.sha256(begun.encode()).hexdigest()[:32])
        try:
            self.store.folder_for(partial.folder.parent)
            partial.make()
            with FileLock(partial.folder / "lock"), self.reporter.task(filename, total=size, unit="B") as task:
                found = Download(
                    client=self.client,
                    where=where,
                    partial=partial,
                    task=task,
                    sha256=sha256,
                    size=size,
                    patience=self.patience,
                ).run()
                path = self.store.add(partial.body, filename=filename, sha256=found, move=True)
                partial.clear()
        except OSError as error:
            raise no_space(error, self.store.folder) from None
        return path, found
