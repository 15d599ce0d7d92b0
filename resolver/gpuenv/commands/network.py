"""The HTTP clients of one run, shared by everything it does: a page that ten profiles want is asked for once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from gpuenv.net.access import Access
    from gpuenv.net.client import Client
    from gpuenv.net.location import Location


class Network:
    """Makes a client the first time it is wanted and hands the same one out from then on. A context manager."""

    def __init__(self) -> None:
        self._clients: dict[tuple[Path, Access, tuple[Location, ...], bool, bool], Client] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        for client in self._clients.values():
            client.close()
        self._clients.clear()

    def client(
        self,
        *,
        cache: Path,
        environ: Mapping[str, str],
        access: Access,
        sources: tuple[Location, ...],
        offline: bool,
        refresh: bool,
    ) -> Client:
        """The client for these settings. ``environ`` is the run's, the same every time."""
        from gpuenv.net.client import Client

        key = (cache, access, sources, offline, refresh)
        if key not in self._clients:
            self._clients[key] = Client(
                cache=cache, environ=environ, access=access, sources=sources, offline=offline, refresh=refresh
            )
        return self._clients[key]
