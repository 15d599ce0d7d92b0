"""Learns how a mirror is laid out that has folders of variants and no project pages at its root, and remembers it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, field
from typing import Literal, get_args

from gpuenv.dataclass import dataclass
from gpuenv.index.asking import Asking
from gpuenv.index.listed import Page
from gpuenv.index.names import folders_of, is_variant
from gpuenv.index.parallel import in_parallel
from gpuenv.net.cache import CacheEntry, sha256
from gpuenv.net.client import Absent
from gpuenv.net.location import Location

PROBED = 7
"""How many variants are looked for at a mirror that lists none, before the address is said to be wrong."""

_KEPT_SECONDS = 7 * 86_400.0
"""How long what was learned is believed. A mirror that lists its folders is asked for the list each time."""

_USEFUL = ("cu", "cpu")
"""Folders of builds for other accelerators, and old forms, are not worth a request each."""

Form = Literal["flat", "folders", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What was learned. ``itself``: the address is one page of wheels. ``forms`` says of each folder whether it is one
    page of wheels (``flat``), has a page for each project (``folders``), or neither."""

    itself: bool = False
    listed: bool = False
    """The mirror lists its folders, so that new ones are seen."""
    forms: dict[str, Form] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    """Pages of projects that are not there: ``cu128/torchaudio``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VariantFolders:
    """One mirror, asked for ``projects``; ``variants`` are looked for where it lists none, the likeliest first."""

    asking: Asking
    base: Location
    projects: Sequence[str]
    variants: Sequence[str]

    def as_learned(self) -> list[Page]:
        """The pages of a mirror whose layout was learned before; empty where it was not, or no longer holds."""
        layout = self._recall()
        if layout is None:
            return []
        if layout.itself:
            page = self._page()
            return [page] if page is not None and self._lists_wheels(page) else []
        listed = self._folders_in(self._page()) if layout.listed else None
        new = [name for name in listed or () if name not in layout.forms]
        gathered = self._gather({k: form for k, form in layout.forms.items() if form != "none"}, skip=layout.missing)
        if new and gathered.pages:
            gathered = gathered.beside(self._gather(dict.fromkeys(new)))
            self._keep(layout.forms | gathered.forms, listed=True, missing=(*layout.missing, *gathered.missing))
        return gathered.pages

    def learn(self) -> list[Page]:
        """The pages of a mirror that nothing is known of; empty where it has none of the known forms."""
        page = self._page()
        if page is not None and self._lists_wheels(page):
            self._remember(Layout(itself=True))
            return [page]
        listed = self._folders_in(page)
        names = self.variants[: None if self.base.is_local else PROBED] if listed is None else listed
        if listed is None:  # what is not there is not asked for in both forms twice
            gathered = self._gather(dict.fromkeys(names))
            found = next((form for form in gathered.forms.values() if form != "none"), None)
            if found is not None and len(names) < len(self.variants):
                rest = [name for name in self.variants if name not in gathered.forms]
                gathered = gathered.beside(self._gather(dict.fromkeys(rest, found)))
        else:
            first = self._gather(dict.fromkeys(names[:1]))
            form = next((form for form in first.forms.values() if form != "none"), None)
            gathered = first.beside(self._gather(dict.fromkeys(names[1:], form)))
        if gathered.pages:
            self._keep(gathered.forms, listed=listed is not None, missing=gathered.missing)
        return gathered.pages

    @property
    def _note(self) -> Location:
        """The address under which the cache keeps what was learned for these projects; it is never asked for."""
        return self.base.below("-".join([".gpuenv-layout", *sorted(self.projects)]))

    def _page(self) -> Page | None:
        """What stands at the address itself: a list of folders, or a page of wheels."""
        last = folders_of(self.base.below(page=True).url)[-1:]
        own = last[0] if last and is_variant(last[0]) else ""
        return self.asking.perhaps(self.base.below(page=True), self.projects, variant=own)

    def _lists_wheels(self, page: Page) -> bool:
        return any(row.project in self.projects for row in page.rows)

    @staticmethod
    def _folders_in(page: Page | None) -> list[str] | None:
        """The useful folders that a list names; ``None`` without one."""
        if page is None:
            return None
        names = {name for name, _ in page.folders if is_variant(name) and name.startswith(_USEFUL)}
        return sorted(name for name in names if not {"-", "_"} & set(name))

    def _gather(self, forms: Mapping[str, Form | None], *, skip: Sequence[str] = ()) -> _Gathered:
        """Ask for folders of a form that is known, or (``None``) find out which it is."""
        parts = in_parallel(lambda row: self._one(*row, skip=skip), list(forms.items()))
        whole = _Gathered()
        for part in parts:
            whole = whole.beside(part)
        return whole

    def _one(self, variant: str, form: Form | None, *, skip: Sequence[str]) -> _Gathered:
        folder = self.base.below(variant)
        if form != "folders":
            page = self.asking.perhaps(folder.below(page=True), self.projects, variant=variant)
            if page is not None and self._lists_wheels(page):
                return _Gathered(pages=[page], forms={variant: "flat"})
        if form == "flat":
            return _Gathered(forms={variant: "none"})
        pages, missing = [], []
        for project in sorted(self.projects, key=lambda project: project != "torch"):
            place = f"{variant}/{project}"
            if place in skip:
                continue
            answer = self.asking.page(folder.below(project, page=True), [project], variant=variant)
            if not isinstance(answer, Absent):
                pages.append(answer)
            elif project == "torch":  # without it nothing else of the folder is of use
                return _Gathered(forms={variant: "none"})
            else:
                missing.append(place)
        return _Gathered(pages=pages, forms={variant: "folders" if pages else "none"}, missing=tuple(missing))

    def _keep(self, forms: dict[str, Form], *, listed: bool, missing: Sequence[str]) -> None:
        absent = tuple(each for each in missing if forms.get(each.partition("/")[0]) == "folders")
        self._remember(Layout(listed=listed, forms=forms, missing=absent))

    def _remember(self, layout: Layout) -> None:
        body = json.dumps(asdict(layout)).encode()
        entry = CacheEntry(
            url="", content_type="", etag="", modified="", fetched=time.time(), digest=sha256(body), body=body
        )
        self.asking.http.cache.put(self._note, entry)

    def _recall(self) -> Layout | None:
        """What was learned, where it is young enough; whatever its age without a network."""
        http = self.asking.http
        entry = None if self.base.is_local or http.refresh else http.cache.get(self._note)
        young = entry is not None and (http.offline or 0 <= time.time() - entry.fetched < _KEPT_SECONDS)
        return read_layout(entry.body) if entry is not None and young else None


def read_layout(body: bytes) -> Layout | None:
    """Read what was kept; ``None`` for what is of another version of gpuenv."""
    try:
        told = json.loads(body)
        layout = Layout(**(told | {"forms": dict(told["forms"]), "missing": tuple(told["missing"])}))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    names = (*layout.forms, *layout.missing)
    known = all(form in get_args(Form) for form in layout.forms.values())
    return (
        layout
        if known and all(isinstance(name, str) and is_variant(name.partition("/")[0]) for name in names)
        else None
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Gathered:
    """Pages of some folders, and what was learned of each."""

    pages: list[Page] = field(default_factory=list)
    forms: dict[str, Form] = field(default_factory=dict)
    missing: tuple[str, ...] = ()

    def beside(self, other: _Gathered) -> _Gathered:
        return _Gathered(
            pages=[*self.pages, *other.pages],
            forms=self.forms | other.forms,
            missing=(*self.missing, *other.missing),
        )
