"""From a decision to a lock: close the family over its requirements, record the five inputs, write or compare.

A lock is a pure function of profile, machine target, index snapshot, cutoff time and knowledge version; this module
collects the five, the rooms do the work.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement

from gpuenv import knowledge as tables
from gpuenv.commands.context import Context
from gpuenv.commands.deciding import Decided, open_http, uv_environment
from gpuenv.commands.keeping import fetcher
from gpuenv.commands.reading import Reader
from gpuenv.environment import closure, joint
from gpuenv.environment.compiling import Indexes, Resolver
from gpuenv.environment.stubs import parse_requirement
from gpuenv.environment.uv import find_uv
from gpuenv.errors import IndexError_, UvError
from gpuenv.index.source import load_source
from gpuenv.lock import codec, making
from gpuenv.lock.audit import same_file
from gpuenv.lock.model import Lock
from gpuenv.lock.places import anchored, near
from gpuenv.model.decision import Question
from gpuenv.model.profile import Profile
from gpuenv.model.wheel import Wheel, WheelContents
from gpuenv.net.client import Client
from gpuenv.net.location import host_of, public
from gpuenv.select import builds
from gpuenv.select.candidates import CatalogEntry, parse_entry
from gpuenv.select.target import Refusal, TargetTags
from gpuenv.system.files import present, read_bytes, read_text, write_atomic

FOLDER = "lockfiles"
_MOST_READ = 12
"""How many versions of a package are looked at, newest first, for one that goes with torch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LockWishes:
    """How to lock. ``previous`` is the lock that stands there: what it hashed is not downloaded again, and must not
    have changed. ``previous_text`` keeps its versions where they still fit; ``None`` lets them move.

    A ``tentative`` lock is made to be compared or shown, never written: no wheel is downloaded to learn its hash.
    """

    previous: Lock | None = None
    previous_text: str | None = None
    tentative: bool = False
    single_source: bool = False
    command: str = ""


def lock_path(context: Context, profile: str) -> Path:
    """Where the lock of a profile stands, by name."""
    return context.project / FOLDER / codec.lock_filename(profile)


def read_lock(path: Path, *, shown: str) -> Lock | None:
    """Read a lock that may not exist; ``shown`` is its name in error messages."""
    if not present(path):
        return None
    lock = codec.parse(read_text(path, what="the lock", shown=shown), origin=shown)
    return anchored(lock, PurePosixPath(path.parent.absolute().as_posix()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the packages outside the family ask of it: ``pins`` are requirements, ``because`` says who."""

    pins: tuple[str, ...]
    because: str


def ask_packages(context: Context, decided: Decided, wishes: LockWishes) -> Asked | None:
    """Let uv pick torch together with the profile's other packages; ``None`` where it stays with what was decided."""
    request, resolver = _closure_request(context, decided, wishes), _resolver(context, decided)
    if not joint.needs_joint(request, resolver):
        return None
    source = _Source(context, decided, open_http(context, decided.plan), wishes)
    picked = joint.pick_jointly(request, contents=source.contents, resolver=resolver)
    pins = joint.pins_of(request, picked) if picked is not None else ()
    if picked is None or not pins:
        return None
    who = joint.who_asks(request, picked, contents=source.contents)
    asks = " and ".join(who) or f"{', '.join(decided.decision.others)} and what they need go with no newer one"
    torch = decided.decision.packages[0].version
    return Asked(pins=pins, because=f"{asks}; without it, torch {torch} would have been chosen.")


def make_lock(context: Context, decided: Decided, wishes: LockWishes) -> Lock:
    """Resolve the closure of a decision and put everything into a lock. Writes nothing."""
    source = _Source(context, decided, open_http(context, decided.plan), wishes)
    request = _closure_request(context, decided, wishes)
    target = request.target
    resolver = _resolver(context, decided)
    try:
        packages = closure.resolve_closure(request, source=source, hash_of=source.hash_of, resolver=resolver)
    except UvError as error:
        raise joint.refusal(request, error) from None
    return Lock(
        command=wishes.command or command_of(context, decided.profile, single_source=wishes.single_source),
        inputs=making.inputs_of(
            decided.profile,
            target,
            snapshot=decided.catalog.snapshot,
            sources=[decided.place.shown],
            cutoff=context.wishes.exclude_newer,
            knowledge=tables.load().version,
        ),
        decision=making.decision_of(decided.decision, decided.profile, single_source=wishes.single_source),
        packages=packages,
    )


def command_of(context: Context, profile: Profile, *, single_source: bool, machines: Sequence[Path] = ()) -> str:
    """The command that makes this lock again: the options that shaped it, nothing of this machine's folders."""
    wishes = context.wishes
    words = ["gpuenv", "lock", "--profile", profile.name]
    if wishes.machine is not None:
        words += ["--machine", wishes.machine.as_posix()]
    for name in ("torch_index", "index", "python", "torch", "channel", "variant", "exclude_newer"):
        value = getattr(wishes, name)
        if value is not None:
            words += [f"--{name.replace('_', '-')}", public(str(value))]
    for folder in wishes.find_links:
        words += ["--find-links", public(folder)]
    for host in wishes.allow_hosts:
        words += ["--allow-host", host]
    for number in wishes.gpus or ():
        words += ["--gpu", str(number)]
    words += ["--single-source"] if single_source else []
    for path in machines:
        words += ["--for", path.as_posix()]
    return " ".join(f"'{word}'" if any(mark in word for mark in " <>=!*;") else word for word in words)


def write_lock(path: Path, lock: Lock) -> bool:
    """Write a lock in one step, wheels inside the project by relative path; ``False`` where nothing changes."""
    folder = PurePosixPath(path.parent.absolute().as_posix())
    text = codec.render(near(lock, folder, project=folder.parent))
    if path.is_file() and read_bytes(path, what="the lock") == text.encode():
        return False
    write_atomic(path, text, what="the lock")
    return True


def _closure_request(context: Context, decided: Decided, wishes: LockWishes) -> closure.ClosureRequest:
    return closure.ClosureRequest(
        decision=decided.decision,
        target=making.target_of(
            decided.seen.machine,
            python=decided.decision.python,
            filenames=[wheel.filename for wheel in decided.decision.packages],
        ),
        family=tables.load().family,
        requirements=(*decided.profile.packages, *decided.profile.optional_packages),
        indexes=_indexes(decided),
        exclude_newer=context.wishes.exclude_newer,
        previous=wishes.previous,
        previous_text=wishes.previous_text,
        single_source=wishes.single_source,
        torch_hosts=_hosts(decided, single_source=wishes.single_source),
    )


def _resolver(context: Context, decided: Decided) -> Resolver:
    return Resolver(
        uv=find_uv(context.environ, explicit=context.uv),
        reporter=context.reporter,
        interpreter=Path(sys.executable),
        offline=context.offline,
        extra_env=uv_environment(context, decided.plan),
        refresh=context.refresh,
    )


def _indexes(decided: Decided) -> Indexes:
    plan = decided.plan
    return Indexes(
        default=plan.default_index.location if plan.default_index else None,
        extra=tuple(place.location for place in plan.extra_indexes),
        find_links=tuple(place.location for place in plan.find_links),
    )


def _hosts(decided: Decided, *, single_source: bool) -> frozenset[str]:
    """Hosts that serve the torch index and nothing else.

    A mirror's host counts only where everything has to come from it: a company's server often holds a mirror of
    PyTorch's index and one of the package index side by side.
    """
    own = {host_of(wheel.url) for wheel in decided.decision.packages} if single_source else set()
    return tables.load().pytorch_hosts | own


class _Source:
    """The torch source of a decision, asked for what the closure needs beyond the decided wheels."""

    def __init__(self, context: Context, decided: Decided, http: Client, wishes: LockWishes) -> None:
        self._context, self._decided, self._http, self._wishes = context, decided, http, wishes
        self._reader = Reader(context, http, facts=decided.contents)
        self._knowledge = tables.load()

    def listed(self, name: str) -> Sequence[Wheel]:
        """Every row of a project on the decision's source and channel; none where it has no such page."""
        held = [wheel for wheel in self._decided.catalog.wheels if wheel.project == name]
        if held:
            return held
        try:
            catalog = load_source(
                self._decided.place, self._http, projects=[name], channels=[self._decided.decision.channel]
            )
        except IndexError_:
            return ()
        return catalog.wheels

    def find(self, name: str, requirement: str) -> Wheel | None:
        """The newest wheel of the decision's variant that meets ``requirement`` on the machine and its Python, and goes
        with the torch that was decided: its own requirement on torch is met, and it is of torch's build."""
        decision = self._decided.decision
        wanted = Requirement(requirement)
        target = TargetTags(self._decided.seen.machine, (decision.python,))
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

    def hash_of(self, wheel: Wheel) -> closure.Hashed:
        """Hash a wheel whose row has no hash: as it was locked before, else a local file is read, and a remote one
        downloaded and kept."""
        previous = self._wishes.previous
        before = None if previous is None else previous.by_name.get(wheel.project)
        if before is not None and before.url is not None and same_file(before.url, wheel.url):
            return closure.Hashed(sha256=before.sha256, size=before.size or 0, origin=before.hash_origin)
        if self._wishes.tentative and making.local_path(wheel.url) is None:
            return closure.Hashed(sha256=_not_known(wheel), size=wheel.size or 0, origin="first-download")
        return fetcher(self._context, self._decided.plan).hash_of(wheel)


def _not_known(wheel: Wheel) -> str:
    """A stand-in for the hash of a tentative lock; no file has it."""
    return hashlib.sha256(f"not known: {wheel.url}".encode()).hexdigest()
