"""Hostile and broken answers: of pages, of metadata and of wheels, while a lock is made and while it is installed."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from io import BytesIO

from faults.case import CREATE, LOCK, Case
from faults.world import World
from support.cli import Run
from support.index_server import LOGIN_PAGE, Fault
from support.nights import TAG, TORCH
from support.raw_server import RawServer, answering
from support.wheels import BuiltWheel, build_wheel, pack, torch_wheel

TORCH_PAGE, FILELOCK_PAGE = "/whl/nightly/torch/", "/simple/filelock/"
TORCH_WHEEL, FILELOCK_WHEEL = "/whl/nightly/cpu/torch-2.11", "/simple/filelock/filelock-"
EVIL = "2.99.0.dev20260103"


def links(*addresses: str, base: str = "", title: str = "Links for torch") -> bytes:
    """A page in the simplest form."""
    head = f'<base href="{base}">' if base else ""
    rows = "".join(f'<a href="{each}">{each.rpartition("/")[2].partition("#")[0]}</a><br>' for each in addresses)
    return f"<!DOCTYPE html><html><head>{head}</head><body><h1>{title}</h1>{rows}</body></html>".encode()


@lru_cache(maxsize=1)
def bomb() -> bytes:
    """200 MB of blanks, packed."""
    return gzip.compress(b" " * 200_000_000, 1)


#: What a server does instead of its page.
PAGES: dict[str, Fault] = {
    "401": Fault(status=401),
    "403": Fault(status=403),
    "404": Fault(status=404),
    "429 with Retry-After": Fault(status=429, headers={"Retry-After": "1"}),
    "429 that asks for a day": Fault(status=429, headers={"Retry-After": "86400"}),
    "500": Fault(status=500),
    "503 twice, then well": Fault(status=503, times=2),
    "206 that nobody asked for": Fault(status=206),
    "a captive portal": Fault(body=LOGIN_PAGE),
    "garbage": Fault(body=b"\x00\xff\x13 no page" * 50),
    "nothing at all": Fault(body=b""),
    "200 with broken gzip": Fault(body=b"\x1f\x8b no gzip", headers={"Content-Encoding": "gzip"}),
    "the wrong coding": Fault(body=b"x", headers={"Content-Encoding": "br"}),
    "half, then closed": Fault(truncate=100),
    "half once, then well": Fault(truncate=100, times=1),
    "closed without an answer": Fault(drop=True),
    "closed once, then well": Fault(drop=True, times=1),
    "a circle of redirects": Fault(redirect=TORCH_PAGE),
    "a redirect to a file": Fault(redirect="file:///etc/passwd"),
}

#: What it does instead of a wheel.
WHEELS: dict[str, Fault] = {
    "403": Fault(status=403),
    "404": Fault(status=404),
    "503": Fault(status=503),
    "503 twice, then well": Fault(status=503, times=2),
    "a login page with 200": Fault(body=LOGIN_PAGE),
    "nothing at all": Fault(body=b""),
    "700 bytes a request, then closed": Fault(truncate=700),
    "half once, then well": Fault(truncate=700, times=1),
    "closed without an answer": Fault(drop=True),
    "other bytes for a range": Fault(lying_range=True),
    "the wrong range": Fault(wrong_range=True),
    "a redirect to another host": Fault(redirect="http://localhost:1/x.whl"),
}


def cases() -> Iterator[Case]:
    for name, fault in PAGES.items():
        yield page(name, put(TORCH_PAGE, fault), ci=name in ("a captive portal", "503 twice, then well"))
    for name in ("404", "a captive portal", "half, then closed", "200 with broken gzip", "503 twice, then well"):
        yield Case(
            group="answers", fault=name, stage="lock, page of the package index", words=LOCK, start="cold", lock="one",
            arrange=put(FILELOCK_PAGE, PAGES[name]),
        )  # fmt: skip
    yield page("a gzip bomb of 200 MB", lambda w: put(TORCH_PAGE, bomb_fault())(w))
    for name, arrange in ROWS.items():
        yield page(name, arrange, ci=name == "a link to another host")
    for name, (pieces, forever, pause) in DRIPS.items():
        yield Case(
            group="answers", fault=name, stage="lock, page of torch", words=LOCK, start="cold", lock="one",
            drive=dripping(pieces, forever, pause), code=4,
        )  # fmt: skip
    for name, fault in WHEELS.items():
        yield Case(
            group="answers", fault=name, stage="create, wheel of torch", start="cold", ci="700" in name,
            arrange=put(TORCH_WHEEL, fault), refuse=lasting(fault),
        )  # fmt: skip
        yield Case(
            group="answers", fault=name, stage="lock, first download of torch", words=LOCK, start="cold", lock="one",
            arrange=put(TORCH_WHEEL, fault), refuse=lasting(fault), relocks=True,
        )  # fmt: skip
    for name, other in SWAPPED.items():
        yield Case(
            group="answers", fault=name, stage="create, wheel of filelock", start="cold", refuse=True,
            arrange=swapped(other), ci=name == "one other byte of the same size", code=5,
        )  # fmt: skip
    for name, make in BAD_WHEELS.items():
        yield Case(
            group="wheels", fault=name, stage="lock and create from a hostile index", start="cold", lock="one",
            drive=hostile(make), repair=lambda world: (world.serve("20260101", "20260102"), world.put_lock("two")),
            relocks=True, ci=name == "a name with ..",
        )  # fmt: skip
    yield Case(
        group="answers", fault="2 KB in 100 s", stage="create, wheel of torch", start="cold", bound=400.0,
        arrange=put(TORCH_WHEEL, Fault(slow=100.0)),
    )  # fmt: skip
    yield Case(
        group="answers", fault="the server stops and comes back", stage="create, wheel of torch", start="cold",
        arrange=put(TORCH_WHEEL, Fault(drop=True, times=3)),
    )  # fmt: skip


def page(name: str, arrange: Callable[[World], object], *, ci: bool = False) -> Case:
    return Case(
        group="answers", fault=name, stage="lock, page of torch", words=LOCK, start="cold", lock="one", arrange=arrange,
        ci=ci, bound=200.0, relocks=True,
    )  # fmt: skip


def lasting(fault: Fault) -> bool:
    """Whether the wheel can never come: what comes in pieces is put together, and ranges are asked for after that."""
    return fault.times is None and fault.truncate is None and not (fault.lying_range or fault.wrong_range)


def put(path: str, fault: Fault) -> Callable[[World], None]:
    return lambda world: world.server.fault(path, replace(fault))


def bomb_fault() -> Fault:
    return Fault(body=bomb(), headers={"Content-Encoding": "gzip"})


# Pages whose rows lie


def rows(*templates: str, base: str = "") -> Callable[[World], None]:
    """Serve a page with the good rows and others; ``{own}`` and ``{other}`` are hosts, ``{evil}`` a wheel's path."""

    def arrange(world: World) -> None:
        evil = torch_wheel(EVIL, "cpu", tag=TAG, git="e" * 40)
        world.server.add(evil, folder="evil", hashed=True)
        port = world.server.url.rpartition(":")[2]
        words = {
            "own": world.server.url,
            "other": f"http://localhost:{port}",
            "evil": f"whl/evil/{evil.filename.replace('+', '%2B')}",
            "sha": evil.sha256,
            "good": f"whl/nightly/cpu/{torch_wheel(TORCH.format('20260102'), 'cpu', tag=TAG).filename}".replace(
                "+", "%2B"
            ),
        }
        body = links(*(each.format(**words) for each in templates), base=base.format(**words))
        world.server.fault(TORCH_PAGE, Fault(body=body))

    return arrange


def yanked(world: World) -> None:
    """The newest night is taken back; the one before stays."""
    day = TORCH.format("20260102")
    for key, file in world.server._files.items():
        if day in key:
            file.yanked = "broken"
    world.server._pages.clear()


def two_of_one_name(world: World) -> None:
    """Twice the same file name, with two hashes."""
    good = torch_wheel(TORCH.format("20260102"), "cpu", tag=TAG).filename.replace("+", "%2B")
    rows(f"/whl/nightly/cpu/{good}#sha256={'1' * 64}", f"/whl/nightly/cpu/{good}#sha256={'2' * 64}")(world)


ROWS: dict[str, Callable[[World], object]] = {
    "a link to another host": rows("{own}/{good}", "{other}/{evil}#sha256={sha}"),
    "a link without a scheme to another host": rows("{own}/{good}", "//localhost/{evil}"),
    "<base href> to another host": rows("{own}/{good}", "{evil}", base="{other}/"),
    "only links to another host": rows("{other}/{evil}#sha256={sha}"),
    "links to file: and javascript:": rows("{own}/{good}", "file:///etc/x/torch-9.9-py3-none-any.whl", "javascript:x"),
    "a link with .. in it": rows("{own}/{good}", "{own}/whl/../../../../etc/torch-9.9-py3-none-any.whl"),
    "each row twice": rows("{own}/{good}", "{own}/{good}"),
    "one name with two hashes": two_of_one_name,
    "the newest is yanked": yanked,
    "a redirect to another host": lambda world: world.server.fault(
        TORCH_PAGE, Fault(redirect=f"http://localhost:{world.server.url.rpartition(':')[2]}/whl/torch/")
    ),
    "rows of another project": lambda world: world.server.fault(
        TORCH_PAGE, Fault(body=links("/simple/numpy/numpy-2.3.0-py3-none-any.whl"))
    ),
    "a hundred thousand rows": lambda world: world.server.fault(
        TORCH_PAGE, Fault(body=links(*(f"/whl/nightly/cpu/torch-1.0.{n}-py3-none-any.whl" for n in range(100_000))))
    ),
    "names with control characters": rows("{own}/{good}", "{own}/whl/torch-\x1b[31m9.9-py3-none-any.whl"),
}

DRIPS: dict[str, tuple[tuple[bytes, ...], bytes, float]] = {
    "a header line every second": ((b"HTTP/1.1 200 OK\r\n",), b"X: 1\r\n", 1.0),
    "a body of a byte a second": ((b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",), b" ", 1.0),
}


def dripping(pieces: tuple[bytes, ...], forever: bytes, pause: float) -> Callable[[World], Run]:
    def drive(world: World) -> Run:
        with RawServer(answering(*pieces, forever=forever, pause=pause)) as raw:
            where = ("--profile", "team", "--torch-index", f"{raw.url}/whl", "--index", world.server.default_index)
            return world.run(*LOCK, *where, bound=300.0)

    return drive


# Wheels that are others than locked


def other_bytes(wheel: BuiltWheel) -> bytes:
    body = bytearray(wheel.body)
    place = wheel.body.index(b"__version__")
    body[place] ^= 1
    return bytes(body)


SWAPPED: dict[str, Callable[[BuiltWheel], bytes]] = {
    "one other byte of the same size": other_bytes,
    "cut, and whole as HTTP": lambda wheel: wheel.body[:-100],
    "longer by zeros": lambda wheel: wheel.body + b"\0" * 5000,
    "another wheel of the same name": lambda wheel: (
        build_wheel("filelock", "3.19.0", files={"filelock/__init__.py": "evil = 1\n"}).body
    ),
}


def swapped(other: Callable[[BuiltWheel], bytes]) -> Callable[[World], None]:
    def arrange(world: World) -> None:
        wheel = next(each for each in world.known.values() if each.project == "filelock")
        world.server.fault(f"{FILELOCK_WHEEL}3.19.0-py3-none-any.whl", Fault(body=other(wheel)))

    return arrange


# Wheels that are themselves hostile, and locked as they are


def build(files: Mapping[str, str], **other: str) -> BuiltWheel:
    """A newer filelock."""
    return build_wheel("filelock", "3.20.0", files={"filelock/__init__.py": "__version__ = '3.20.0'\n", **files})


def rewritten(change: Callable[[str, bytes], tuple[str, bytes] | None], *more: tuple[str, bytes]) -> BuiltWheel:
    """The good newer filelock with its members changed."""
    good = build({})
    with zipfile.ZipFile(BytesIO(good.body)) as archive:
        members = [change(name, archive.read(name)) for name in archive.namelist()]
    return replace(good, body=pack([*(each for each in members if each is not None), *more]))


def same(name: str, body: bytes) -> tuple[str, bytes]:
    return name, body


BAD_WHEELS: dict[str, Callable[[World], BuiltWheel]] = {
    "a name with ..": lambda world: build({"../../../../../evil.txt": "x"}),
    "an absolute name": lambda world: build({f"{world.folder}/evil.txt": "x"}),
    "a name that leads into the stage": lambda world: build({"../../../gpuenv.json": "{}"}),
    "RECORD that lacks a file": lambda world: rewritten(same, ("filelock/extra.py", b"x = 1\n")),
    "RECORD with another hash": lambda world: rewritten(
        lambda name, body: (name, body.replace(b"3.20.0", b"3.20.1") if name == "filelock/__init__.py" else body)
    ),
    "RECORD with a file that is not there": lambda world: rewritten(
        lambda name, body: None if name == "filelock/__init__.py" else (name, body)
    ),
    "no RECORD": lambda world: rewritten(lambda name, body: None if name.endswith("/RECORD") else (name, body)),
    "METADATA of another name": lambda world: rewritten(
        lambda name, body: (name, body.replace(b"Name: filelock", b"Name: torch") if "METADATA" in name else body)
    ),
    "METADATA of another version": lambda world: rewritten(
        lambda name, body: (name, body.replace(b"Version: 3.20.0", b"Version: 9.9") if "METADATA" in name else body)
    ),
    "no METADATA": lambda world: rewritten(lambda name, body: None if "METADATA" in name else (name, body)),
    "dist-info of torch beside its own": lambda world: build(
        {"torch-9.9.dist-info/METADATA": "Metadata-Version: 2.1\nName: torch\nVersion: 9.9\n"}
    ),
    "a file of torch's": lambda world: build({"torch/version.py": "evil = 1\n"}),
    "a .pth that runs": lambda world: build({"evil.pth": "import os; os.environ['EVIL'] = '1'\n"}),
    "no archive at all": lambda world: replace(build({}), body=b"no archive"),
    "an empty archive": lambda world: replace(build({}), body=pack([])),
}


def hostile(make: Callable[[World], BuiltWheel]) -> Callable[[World], Run]:
    """Lock what a hostile index offers, and build it where that is done; nothing may land outside."""

    def drive(world: World) -> Run:
        bad = make(world)
        world.known[bad.sha256] = bad
        world.server.add_package(bad)
        locked = world.run(*LOCK, *world.where)
        return locked if locked.code != 0 else world.run(*CREATE, *world.where)

    return drive
