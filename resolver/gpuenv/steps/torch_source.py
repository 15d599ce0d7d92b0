"""The torch source of a decision, asked for what the lock needs beyond the wheels that were decided."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from gpuenv import knowledge as tables
from gpuenv.environment.packages import Hashed
from gpuenv.errors import NoSolutionError, PackageIndexError, UvError
from gpuenv.lock import making
from gpuenv.lock.audit import same_file
from gpuenv.lock.model import Lock
from gpuenv.metadata import parse_requirement
from gpuenv.model.decision import Question
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.select import builds
from gpuenv.select.candidates import CatalogEntry, parse_entry
from gpuenv.select.target import Refusal, TargetTags
from gpuenv.steps.context import Context
from gpuenv.steps.decision import Decided
from gpuenv.steps.downloads import fetcher
from gpuenv.steps.sources import ask
from gpuenv.steps.wheels import Reader

_MOST_READ = 12
"""How many versions of a package are looked at, newest first, for one that goes with torch."""


class DecidedSource:
    """The torch source of a decision, asked for what the lock needs beyond the decided wheels."""

    def __init__(self, context: Context, decided: Decided, *, previous: Lock | None, tentative: bool) -> None:
        self._context, self._decided = context, decided
        self._previous, self._tentative = previous, tentative
        self._reader = Reader(context, facts=decided.contents)
        self._knowledge = tables.load()

    def listed(self, name: str) -> Sequence[Wheel]:
        """Every row of a project on the decision's source and channel; none where it has no such page."""
        held = [wheel for wheel in self._decided.catalog.wheels if wheel.project == name]
        if held:
            return held
        try:
            channels = (self._decided.decision.channel,)
            catalog = ask(self._context, self._decided.place, projects=[name], channels=channels)
        except PackageIndexError:
            return ()
        return catalog.wheels

    def find(self, name: str, requirement: str) -> Wheel | None:
        """The newest wheel of the decision's variant that meets ``requirement`` on the machine and its Python, and goes
        with the torch that was decided: its own requirement on torch is met, and it is of torch's build."""
        decision = self._decided.decision
        wanted = Requirement(requirement)
        target = TargetTags(self._decided.machine.facts, (decision.python,))
        found = []
        for wheel in self.listed(name):
            entry = parse_entry(wheel, self._knowledge)
            if entry is None or wheel.yanked is not None or wheel.variant not in (decision.variant, None):
                continue
            if not wanted.specifier.contains(entry.version, prereleases=True):
                continue
            if target.refuses_platform(entry.tags.platform) is not None:
                continue
            if isinstance(target.accepts_pythons(entry.tags.python, entry.tags.abi), Refusal):
                continue
            found.append((wheel.variant == decision.variant, entry.version, entry.build_tag, wheel.url, entry))
        ordered = [row[4] for row in sorted(found, key=lambda row: row[:4], reverse=True)]
        of_build = [entry for entry in ordered[:_MOST_READ] if self._of_build(entry)]
        fitting = (entry.wheel for entry in of_build if self._wants_this_torch(entry))
        # Where none does, the requirement of the newest says best what is in the way.
        return next(fitting, of_build[0].wheel if of_build else None)

    def _wants_this_torch(self, entry: CatalogEntry) -> bool:
        decision = self._decided.decision
        contents = self.contents(entry.wheel)
        for text in (contents.requires_dist if contents else None) or ():
            wanted = parse_requirement(text)
            if (
                wanted is not None
                and wanted.name == "torch"
                and not wanted.specifier.contains(decision.packages[0].version, prereleases=True)
            ):
                return False
        return True

    def _of_build(self, entry: CatalogEntry) -> bool:
        decision = self._decided.decision
        torch = parse_entry(decision.packages[0], self._knowledge)
        if torch is None:
            return True
        torch = replace(torch, variant=decision.variant)
        read = self._reader.facts.get(entry.wheel.url)
        said = builds.compare(self._knowledge, torch, entry, read)
        if isinstance(said, builds.Unread):
            answer = self._reader.read(Question(wheel=entry.wheel, about="build"))
            read, why = (None, answer) if isinstance(answer, str) else (answer, answer.detail)
            said = builds.compare(self._knowledge, torch, entry, read, unreadable=why)
        return said is None

    def contents(self, wheel: Wheel) -> WheelContents | None:
        """METADATA of a wheel: known already, in its metadata file, or read out of it. Of a torch nightly its commit
        too: two of them are told apart by nothing else."""
        contents = self._reader.metadata(wheel)
        if contents is not None and contents.git is None and (wheel.project, wheel.channel) == ("torch", "nightly"):
            return replace(contents, git=self._reader.commit(wheel))
        return contents

    def hash_of(self, wheel: Wheel) -> Hashed:
        """Hash a wheel whose row has no hash: as it was locked before, else a local file is read, and a remote one
        downloaded and kept."""
        before = None if self._previous is None else self._previous.by_name.get(wheel.project)
        if before is not None and before.url is not None and same_file(before.url, wheel.url):
            return Hashed(sha256=before.sha256, size=before.size or 0, origin=before.hash_origin)
        if self._tentative and making.local_path(wheel.url) is None:
            return Hashed(sha256=_not_known(wheel), size=wheel.size or 0, origin="first-download")
        return fetcher(self._context).hash_of(wheel)


def with_pages(decided: Decided, source: DecidedSource, error: UvError) -> UvError:
    """The error with the page of the torch source that lists what no package index has, for the build decided on.

    Nothing is taken from there unasked: on a page of torch's source a name is not protected from being another's
    elsewhere before the tables know it.
    """
    decision, place = decided.decision, decided.place
    if not isinstance(error, NoSolutionError) or place.kind not in ("pytorch", "mirror"):
        return error
    channel = () if decision.channel == "stable" else (decision.channel,)
    names = [canonicalize_name(each) for each in error.absent]
    listed = [each for each in names if any(row.variant == decision.variant for row in source.listed(each))]
    pages = [place.location.below(*channel, decision.variant, each, page=True).shown for each in listed]
    hints = [f"The source of torch lists it for {decision.variant}: add `--find-links {page}`" for page in pages]
    return NoSolutionError(
        error.message, causes=error.causes, hints=(*hints, *error.hints), blamed=error.blamed, absent=error.absent,
        wheelless=error.wheelless,
    )  # fmt: skip


def _not_known(wheel: Wheel) -> str:
    """A stand-in for the hash of a tentative lock; no file has it."""
    return hashlib.sha256(f"not known: {wheel.url}".encode()).hexdigest()
