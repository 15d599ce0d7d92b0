"""Secrets in addresses: looked for in what is said, in every file, and in what anybody sees of the processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from faults.case import CREATE, KEEP, LOCK, Case
from faults.world import World
from support.cli import Run
from support.index_server import Fault
from support.secret_forms import FORMS, recording_uv

#: Command, and what the server does meanwhile.
RUNS: dict[str, tuple[tuple[str, ...], Fault | None]] = {
    "lock --upgrade": ((*LOCK, "-v"), None),
    "lock --upgrade, 401": ((*LOCK, "--json"), Fault(status=401)),
}
MORE: dict[str, tuple[tuple[str, ...], Fault | None]] = {
    "create": ((*CREATE, "-v"), None),
    "create, 403": (CREATE, Fault(status=403)),
    "lock --keep": (KEEP, None),
    "lock --check": (("lock", "--check"), None),
    "resolve --json": (("resolve", "--json", "-v"), None),
    "resolve, an unknown option": (("resolve", "--no-such-option"), None),
    "lock --upgrade, closed": (LOCK, Fault(drop=True)),
}


def cases() -> Iterator[Case]:
    for form in FORMS:
        for name, (words, fault) in {**RUNS, **(MORE if form in ("at", "token") else {})}.items():
            yield Case(
                group="secrets", fault=f"a secret as {form}", stage=name, words=words, start="cold", relocks=True,
                lock="two" if words[0] == "create" else "one", drive=searched(form, words, fault),
                ci=(form, name) == ("token", "lock --upgrade, 401"),
            )  # fmt: skip


def searched(form: str, words: tuple[str, ...], fault: Fault | None) -> Callable[[World], Run]:
    before, behind = FORMS[form]

    def secret(url: str, number: int) -> str:
        return url.replace("://", "://" + before.format(f"canary{number}")) + behind.format(f"canary{number}")

    def drive(world: World) -> Run:
        uv = recording_uv(world.folder)
        world.notes += ["brought uv", "brought command-lines"]
        if fault is not None:
            world.server.fault("/", fault)
        where = (
            "--profile", "team", "--torch-index", secret(world.server.torch_index, 1),
            "--index", secret(world.server.default_index, 2), "--uv", str(uv),
        )  # fmt: skip
        done = world.run(*words, *where)
        if "canary" in done.out + done.err:
            world.notes.append("WRONG: the secret was said")
        for path in world.folder.rglob("*"):
            if path.is_file() and not path.is_symlink() and b"canary" in path.read_bytes():
                world.notes.append(f"WRONG: the secret is in {path.relative_to(world.folder)}")
        return done

    return drive
