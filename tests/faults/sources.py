"""Sources: every way of configuration offers a foreign torch 9.9 while PyTorch's own index cannot be reached."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from faults.case import Case
from faults.world import World
from support.nights import TAG
from support.wheels import build_wheel, torch_wheel

PLAIN = 'description = "t"\naccelerator = "cpu"\npackages = ["torch"]\n'
LOCK = ("lock", "--profile", "plain")
CREATE = ("create", "--no-verify", "--profile", "plain", ".venv-plain")
Ways = Callable[[World, str, str], Mapping[str, str]]


def variables(**templates: str) -> Ways:
    """Variables; ``{index}`` is an index with torch 9.9, ``{page}`` its page, ``{empty}`` an index without anything."""
    return lambda world, index, page: {
        name: each.format(index=index, page=page, empty=f"{world.server.url}/nothing")
        for name, each in templates.items()
    }


def file(name: str, text: str, *, home: bool = False, variable: str = "") -> Ways:
    """A file of the project or the home; ``variable`` names it."""

    def bring(world: World, index: str, page: str) -> Mapping[str, str]:
        filled = (
            text.replace("{index}", index).replace("{page}", page).replace("{empty}", f"{world.server.url}/nothing")
        )
        path = world.bring(name, filled, home=home)
        return {variable: str(path)} if variable else {}

    return bring


WAYS: dict[str, Ways] = {
    "PIP_EXTRA_INDEX_URL": variables(PIP_EXTRA_INDEX_URL="{index}", PIP_INDEX_URL="{empty}"),
    "PIP_FIND_LINKS, a page": variables(PIP_FIND_LINKS="{page}", PIP_INDEX_URL="{empty}"),
    "extra-index-url of pip.conf": file(
        "pip.conf", "[global]\nindex-url = {empty}\nextra-index-url = {index}\n", variable="PIP_CONFIG_FILE"
    ),
    "find-links of pip.conf, a page": file(
        "pip.conf", "[global]\nindex-url = {empty}\nfind-links = {page}\n", variable="PIP_CONFIG_FILE"
    ),
    "UV_INDEX": variables(UV_INDEX="{index}", PIP_INDEX_URL="{empty}"),
    "UV_DEFAULT_INDEX": variables(UV_DEFAULT_INDEX="{index}", PIP_INDEX_URL="{empty}"),
    "UV_EXTRA_INDEX_URL and UV_FIND_LINKS": variables(
        UV_EXTRA_INDEX_URL="{index}", UV_FIND_LINKS="{page}", PIP_INDEX_URL="{empty}"
    ),
    "UV_CONFIG_FILE": file("hidden.toml", 'index-url = "{index}"\n', variable="UV_CONFIG_FILE"),
    "uv.toml of the project": file("uv.toml", '[[index]]\nurl = "{index}"\ndefault = true\n'),
    "uv.toml of the person": file(".config/uv/uv.toml", '[[index]]\nurl = "{index}"\n', home=True),
    "[tool.uv] of pyproject.toml": file(
        "pyproject.toml", '[[tool.uv.index]]\nname = "x"\nurl = "{index}"\n[tool.uv.sources]\ntorch = {index = "x"}\n'
    ),
    "requirements.txt": file("requirements.txt", "--extra-index-url {index}\ntorch==9.9\n"),
    ".netrc": file(".netrc", "default login me password secret\n", home=True),
    "a wheel in the project": lambda world, index, page: bring_wheel(world),
    "uv of gpuenv.toml": file("gpuenv.toml", 'uv = "./evil"\n'),
    "store of gpuenv.toml": file("gpuenv.toml", 'store = "./hostile"\n'),
    "uv-cache of gpuenv.toml": file("gpuenv.toml", 'cache-dir = "./hostile"\n'),
}


def cases() -> Iterator[Case]:
    for name, way in WAYS.items():
        for words in (LOCK, CREATE):
            yield Case(
                group="sources", fault=f"torch 9.9 by {name}", stage=words[0], words=words, where=lambda _: (),
                environ=offered(way), refuse=True, ci=words == LOCK and name == "PIP_EXTRA_INDEX_URL",
            )  # fmt: skip


def offered(way: Ways) -> Callable[[World], Mapping[str, str]]:
    def environ(world: World) -> Mapping[str, str]:
        world.bring("profiles/plain.toml", PLAIN)
        world.server.add_package(torch_wheel("9.9", "cpu", tag=TAG, local=False))
        index = world.server.default_index
        found = dict(way(world, index, f"{index}/torch/"))
        return {"PIP_INDEX_URL": f"{world.server.url}/nothing", **found}

    return environ


def bring_wheel(world: World) -> Mapping[str, str]:
    """Lying about, named by nobody."""
    wheel = build_wheel("torch", "9.9", tag=TAG)
    wheel.write(world.person.project)
    world.notes.append(f"brought {wheel.filename}")
    return {}
