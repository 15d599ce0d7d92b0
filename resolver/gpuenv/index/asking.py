"""Asks one channel of one source for pages, and says what they offer of a project."""

from __future__ import annotations

from collections.abc import Sequence

from gpuenv.dataclass import dataclass
from gpuenv.errors import PageFormatError
from gpuenv.index.config import Place
from gpuenv.index.kept import read_page
from gpuenv.index.listed import Page
from gpuenv.index.names import is_variant
from gpuenv.model.wheel import Channel, Wheel
from gpuenv.net.client import Absent, Client
from gpuenv.net.location import Location


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What one source offers of one project. ``failure`` is empty where it answered; ``notes`` are for ``-v``,
    ``warnings`` for everybody;
    ``base`` is the folder of the channel that was asked, where it is not the source's own location."""

    project: str
    wheels: tuple[Wheel, ...]
    failure: str = ""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    base: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One channel of one source, asked for pages."""

    place: Place
    http: Client
    channel: Channel

    def page(self, where: Location, projects: Sequence[str], *, variant: str = "") -> Page | Absent:
        """Fetch and read a page, of that variant where its rows do not say.

        One that lists nothing of ``projects`` and no variants is thrown out of the cache: a captive portal's would stay
        for good. So is one with signed links, whose time is short.
        """
        answer = self.http.get(where)
        if isinstance(answer, Absent):
            return answer
        try:
            page = read_page(
                self.http.cache, where, answer, kind=self.place.kind, channel=self.channel, variant=variant
            )
        except PageFormatError:
            self.http.forget(where)
            raise
        useful = any(row.project in projects for row in page.rows) or any(is_variant(name) for name, _ in page.folders)
        if page.signed or not useful:
            self.http.forget(where)
        for signed in page.signed:
            self.http.remember(signed)
        return page

    def perhaps(self, where: Location, projects: Sequence[str], *, variant: str) -> Page | None:
        """A page that need not be one: some mirrors show a program for browsers in place of their lists."""
        try:
            page = self.page(where, projects, variant=variant)
        except PageFormatError:
            return None
        return page if isinstance(page, Page) else None

    def listing(self, project: str, pages: Sequence[Page], *, base: Location | None = None) -> Listing:
        """What pages offer of a project, links aside that lead where the source may not."""
        wheels: dict[str, Wheel] = {}
        skipped: list[str] = []
        elsewhere: dict[str, int] = {}
        judged: dict[str, bool] = {}
        for page in pages:
            for row in page.rows:
                if row.project != project:
                    continue
                server = row.url[: row.url.find("/", 8)]
                if server not in judged:
                    judged[server] = self.place.leads_to(Location.parse(server, origin="a link"))
                if not judged[server]:
                    elsewhere[server] = elsewhere.get(server, 0) + 1
                else:
                    wheels.setdefault(row.url, row)
            skipped += [f"{skip.filename}: {skip.reason}" for skip in page.skipped if skip.filename.endswith(".whl")]
        failure = "" if wheels else "no page of it there" if not pages else "no wheel of it there"
        foreign = tuple(
            f"{number} of its links lead to {server}, which is not a host of this source (--allow-host)"
            for server, number in sorted(elsewhere.items())
        )
        if foreign and not wheels:
            failure = "; ".join(foreign)
        notes = tuple(sorted(set(skipped)))
        return Listing(
            project=project,
            wheels=tuple(wheels.values()),
            failure=failure,
            notes=notes,
            warnings=foreign,
            base="" if base is None else base.shown,
        )
