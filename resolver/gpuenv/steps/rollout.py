"""Asks the hosts of an inventory, builds on them in waves, and keeps each answer on the desk the moment it comes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path

from gpuenv.dataclass import dataclass
from gpuenv.fleet.bundle import kept_bundle
from gpuenv.fleet.desk import Desk, HostProblem
from gpuenv.fleet.engine import HostAnswer, Play, play
from gpuenv.fleet.inventory import Inventory, read_inventory
from gpuenv.steps.context import Context, Failure
from gpuenv.steps.pythons import uv_of
from gpuenv.system.files import scratch


@dataclass(frozen=True, slots=True, kw_only=True)
class HostOptions:
    """How hosts are reached and what they are given."""

    inventories: tuple[str, ...] = ()
    limit: str | None = None
    home: str | None = None
    """gpuenv's folder on each host; ``None``: what the inventory says (``gpuenv_home``), else ``~/gpuenv``."""
    carry: Path | None = None
    """Wheels of uv and archives of Python for hosts that are not as the desk is."""
    forks: int = 32
    health: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class HostWork:
    """What is to be built on a host."""

    host: str
    carried: Path
    lock_sha256: str
    driver: str | None


@dataclass(slots=True, kw_only=True)
class Rollout:
    """The hosts of one command, while it runs."""

    context: Context
    desk: Desk
    options: HostOptions
    inventory: Inventory
    scratch: Path
    bundle: Path
    """What installs gpuenv on a host."""
    _told: list[str] = field(default_factory=list)
    _total: int = 0
    _folders: dict[str, list[str]] = field(default_factory=dict)
    """Hosts by what tells gpuenv's folder on them from others."""

    def detect(self) -> None:
        """Bring gpuenv to the hosts where it is not, and write down what each is."""
        hosts = self.inventory.hosts
        for name in hosts:
            if not self.desk.host_folder(name).joinpath("host.json").is_file():
                self.desk.keep(name, "host.json", {"name": name})
        self._play("detect", hosts, {}, {}, self._detected)
        for sharing in self._folders.values():
            first, *others = sorted(sharing)
            for name in others:
                self.desk.keep(name, "machine.json", None)
                self.desk.keep_problem(name, one_folder(first))
                self.context.reporter.warn(f"{name}: {one_folder(first).message}")

    def _detected(self, answer: HostAnswer) -> None:
        envelope = answer.said.get("envelope")
        if answer.role == "detect" and isinstance(envelope, dict):
            self.desk.keep(answer.host, "host.json", {"name": answer.host, "pythons": answer.said.get("pythons", [])})
            if folder := str(answer.said.get("folder") or ""):
                self._folders.setdefault(folder, []).append(answer.host)
            self.desk.keep(answer.host, "machine.json", envelope)
            self.desk.keep_problem(answer.host, None)
            broken = _first_error(envelope)
            self._tell(answer.host, broken or "its facts are known")
        elif answer.kind != "ok":
            self.desk.keep(answer.host, "machine.json", None)
            self._failed(answer, step="bootstrap" if answer.role == "bootstrap" else "detect")

    def build(self, work: Sequence[HostWork], *, verify: bool, store: Path | None, names: Sequence[str]) -> None:
        """Create the environments of some hosts, and take what they prove."""
        by_host = {each.host: each for each in work}
        variables: dict[str, object] = {"gpuenv_create": [] if verify else ["--no-verify"]}
        variables |= {"gpuenv_store": str(store)} if store is not None else {}
        variables |= {"gpuenv_names": list(names), "gpuenv_health": self.options.health and verify}
        each = {name: {"gpuenv_carried": str(one.carried)} for name, one in by_host.items()}

        def built(answer: HostAnswer) -> None:
            if answer.role == "health" and answer.kind == "ok":
                self.desk.keep(answer.host, "health.json", answer.said.get("health") or None)
            envelope, files = answer.said.get("envelope"), answer.said.get("files")
            if answer.role == "create" and isinstance(files, dict):
                self.desk.keep_evidence(answer.host, files)
            if answer.kind != "ok":
                self._failed(answer, step="create")
            elif answer.role == "create" and isinstance(envelope, dict):
                data = envelope.get("data") or {}
                self.desk.keep(answer.host, "built.json", _built(data, by_host[answer.host], answer.said))
                self.desk.keep_problem(answer.host, None)
                how = "up to date" if data.get("up_to_date") else "built"
                proved = " and proved" if verify else ""
                self._tell(answer.host, f"{how}{proved}: torch {data.get('torch')}, {answer.said.get('seconds')} s")

        self._play("create", list(by_host), variables, each, built)

    def verify(self, hosts: Sequence[str]) -> None:
        """Prove again what stands on some hosts."""

        def proved(answer: HostAnswer) -> None:
            if answer.role == "health" and answer.kind == "ok":
                self.desk.keep(answer.host, "health.json", answer.said.get("health") or None)
            files = answer.said.get("files")
            if answer.role == "verify" and isinstance(files, dict):
                self.desk.keep_evidence(answer.host, files)
            if answer.kind != "ok":
                self._failed(answer, step="verify")
            elif answer.role == "verify":
                self.desk.keep_problem(answer.host, None)
                self._tell(answer.host, f"proved, {answer.said.get('seconds')} s")

        self._play("verify", hosts, {"gpuenv_health": self.options.health}, {}, proved)

    def _failed(self, answer: HostAnswer, *, step: str) -> None:
        problem = problem_of(answer, step=step, clean=self.inventory.clean)
        self.desk.keep_problem(answer.host, problem)
        self._tell(answer.host, f"{step} failed: {problem.message}")

    def _tell(self, host: str, what: str) -> None:
        self._told.append(host)
        self.context.reporter.say(f"[{len(self._told)}/{self._total}] {host}: {what}")

    def _play(
        self,
        playbook: str,
        hosts: Sequence[str],
        variables: Mapping[str, object],
        each: Mapping[str, Mapping[str, object]],
        hear: Callable[[HostAnswer], None],
    ) -> None:
        if not hosts:
            return
        self._told, self._total = [], len(hosts)
        own = {
            "gpuenv_bundle": str(self.bundle),
            "gpuenv_profile": self.context.options.profile or "auto",
            "gpuenv_files": True,
        }
        own |= {"gpuenv_home": self.options.home} if self.options.home is not None else {}
        what = Play(playbook=playbook, hosts=hosts, variables={**own, **variables}, each=each, forks=self.options.forks)
        play(
            what,
            self.inventory,
            scratch=self.scratch,
            project=self.context.project,
            environ=self.context.environ,
            hear=hear,
        )


@contextmanager
def opened(context: Context, desk: Desk, options: HostOptions) -> Iterator[Rollout]:
    """Read the inventory and pack what hosts need; the folder that holds it is gone at the end."""
    with scratch("fleet") as folder:
        inventory = read_inventory(
            options.inventories,
            limit=options.limit,
            scratch=folder,
            project=context.project,
            environ=context.environ,
        )
        carry = context.project / options.carry if options.carry is not None else None
        with context.reporter.task("Packing gpuenv and uv"):
            bundle = kept_bundle(context.cache / "fleet", uv=uv_of(context).path, carried=carry)
        yield Rollout(context=context, desk=desk, options=options, inventory=inventory, scratch=folder, bundle=bundle)


def one_folder(other: str) -> HostProblem:
    """That two hosts would build in one place, on a home that they share."""
    return HostProblem(
        step="detect",
        kind="shared-folder",
        message=f"gpuenv's folder there is that of {other} too, on a disk that both see",
        hints=("Give each its own: `gpuenv fleet create -i INVENTORY --home '~/gpuenv/{{ inventory_hostname }}'`",),
    )


def problem_of(answer: HostAnswer, *, step: str, clean: Callable[[str], str]) -> HostProblem:
    """Why a task failed, from what the host or Ansible said, without the inventory's secrets."""
    envelope = answer.said.get("envelope")
    errors = envelope.get("errors") if isinstance(envelope, dict) else None
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        first = errors[0]
        return HostProblem(
            step=step,
            kind=str(first.get("code")),
            message=clean(str(first.get("message"))),
            causes=tuple(clean(str(each)) for each in first.get("causes") or ()),
            hints=tuple(map(str, first.get("hints") or ())),
        )
    said = [clean(line) for line in _lines(answer.said)]
    ours = [line.removeprefix("gpuenv: ") for line in said if line.startswith("gpuenv: ")]
    kind = "unreachable" if answer.kind == "unreachable" else "task-failed"
    told = (ours or said or [f"the task {answer.task!r} failed"])[0].removeprefix("Task failed: ")
    if told.endswith(":"):  # what ssh itself said begins in the next line
        told, said = " ".join((told, *said[1:2])).removesuffix(":"), said[1:]
    return HostProblem(step=step, kind=kind, message=told, causes=tuple(line for line in said[1:4] if not ours))


def _lines(said: Mapping[str, object]) -> list[str]:
    """What a task said, the message first; of a loop, the first item that failed."""
    results = said.get("results")
    if isinstance(results, list):
        failed = next((each for each in results if isinstance(each, dict) and each.get("failed")), None)
        if failed is not None:
            return _lines(failed)
    texts = [str(said.get(key) or "") for key in ("stdout", "stderr", "msg", "module_stdout", "module_stderr")]
    own = [line.strip() for text in texts for line in text.splitlines() if line.startswith("gpuenv: ")]
    lines = [line for text in (texts[2], *texts[:2], *texts[3:]) for line in text.splitlines()]
    # ssh frames what it says of a host whose key is another one.
    return own or [bare for line in lines if (bare := re.sub(r"@{3,}", "", line).strip(" @"))]


def _first_error(envelope: Mapping[str, object]) -> str:
    errors = envelope.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    return str(first.get("message")) if isinstance(first, dict) else ""


def _built(data: Mapping[str, object], work: HostWork, said: Mapping[str, object]) -> dict[str, object]:
    return {
        "lock_sha256": work.lock_sha256,
        "driver": work.driver,
        "verified": bool(data.get("verification") or data.get("proved")),
        **{key: data.get(key) for key in ("torch", "variant", "python", "environment")},
        "seconds": said.get("seconds"),
    }


def waves(hosts: Sequence[str], classes: Mapping[str, str], *, canary: int, batch: int) -> Iterator[tuple[str, ...]]:
    """The hosts in the order in which they are tried: some of each class first, then the rest by ``batch`` (0: all)."""
    first: list[str] = []
    rest: list[str] = []
    tried: dict[str, int] = {}
    for host in hosts:
        group = classes[host]
        tried[group] = tried.get(group, 0) + 1
        (first if tried[group] <= canary else rest).append(host)
    if first:
        yield tuple(first)
    size = batch or len(rest)
    for start in range(0, len(rest), size or 1):
        yield tuple(rest[start : start + size])


def in_waves(
    hosts: Sequence[str],
    classes: Mapping[str, str],
    *,
    canary: int,
    batch: int,
    max_fail: int,
    build: Callable[[Sequence[str]], Sequence[str]],
) -> tuple[Failure, ...]:
    """Build on hosts, wave after wave; ``build`` returns which of one failed. Returns why hosts were left as they are.

    Of a class whose canary failed no other host is tried; after a wave in which more than ``max_fail`` percent failed,
    none at all.
    """
    problems: list[Failure] = []
    stopped: set[str] = set()
    for number, wave in enumerate(waves(hosts, classes, canary=canary, batch=batch)):
        now = [host for host in wave if classes[host] not in stopped]
        failed = build(now) if now else ()
        if canary and not number:
            stopped |= {classes[host] for host in failed}
            problems += [_canary(classes[host], host) for host in failed]
        if len(failed) * 100 > max_fail * len(now):
            problems.append(_too_many(failed, now, max_fail))
            break
    return tuple(problems)


def _canary(group: str, host: str) -> Failure:
    return Failure(
        code="canary-failed",
        message=f"{host} was tried first of class {group} and failed: the others of it were left as they are",
        hints=("When it is repaired, run the same command again: what is done is not done again",),
    )


def _too_many(failed: Sequence[str], now: Sequence[str], max_fail: int) -> Failure:
    return Failure(
        code="too-many-failed",
        message=f"{len(failed)} of {len(now)} hosts failed, more than {max_fail} %: no other was begun",
        causes=tuple(failed),
        hints=("Run the same command again: what is done is not done again",),
    )
