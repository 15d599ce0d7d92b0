"""The table "Rules of the sources" in docs/reference.md: each row is run as it stands there."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gpuenv.index.config import Place, SourcePlan, plan_sources
from support.addresses import at
from support.cli import Person, Run, machine_json
from support.index_server import IndexServer
from support.nights import PYTHON, TAG
from support.wheels import build_wheel, torch_wheel

PAGE = (Path(__file__).parents[3] / "docs/reference.md").read_text(encoding="utf-8")
WORDS = ("lock", "-q", "--profile", "team", "--machine", "machine.json", "--python", PYTHON)
DEAD = "http://127.0.0.1:9/none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One row, by its columns."""

    source: str
    family: str
    others: str
    leads: str
    unreached: str


def rules() -> list[Rule]:
    section = PAGE.partition("### Rules of the sources")[2].partition("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("| ")][2:]
    return [Rule(source=a, family=b, others=c, leads=d, unreached=e) for a, b, c, d, e in rows]


RULES = {rule.source: rule for rule in rules()}


def how(source: str, server: IndexServer, folder: Path) -> tuple[tuple[str, ...], dict[str, str]]:
    """The options and variables that name ``server``, or the folder with the same wheels, as this source."""
    index, page = server.default_index, f"{server.url}/whl/cu128/"
    named: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
        "PyTorch's own index": ((), {}),
        "`--torch-index`": (("--torch-index", server.torch_index), {}),
        "`--find-links`, a folder": (("--find-links", str(folder)), {}),
        "`--find-links`, a page": (("--find-links", page), {}),
        "`--index`": (("--index", index), {}),
        "pip's `index-url`": ((), {"PIP_INDEX_URL": index}),
        "pip's `extra-index-url`": ((), {"PIP_EXTRA_INDEX_URL": index}),
        "pip's `find-links`, a folder": ((), {"PIP_FIND_LINKS": str(folder)}),
        "pip's `find-links`, a page": ((), {"PIP_FIND_LINKS": page}),
    }
    return named[source]


def source_of(server: IndexServer, torch: str, einops: str) -> IndexServer:
    """A server that is everything: a torch index, a package index, and (flat) a page of links."""
    server.add(torch_wheel(torch, "cu128", tag=TAG), folder="cu128")
    server.add(build_wheel("einops", einops), folder="cu128")
    server.add_package(torch_wheel(torch, "cu128", tag=TAG, local=False))
    server.add_package(build_wheel("einops", einops))
    return server


@pytest.fixture
def known() -> Iterator[IndexServer]:
    with IndexServer() as server:
        yield source_of(server, "2.10.0", "0.8.1")


@pytest.fixture
def other() -> Iterator[IndexServer]:
    """The source that a row is about; all it has is newer."""
    with IndexServer() as server:
        yield source_of(server, "9.9.0", "9.9")


@pytest.fixture
def flat() -> Iterator[IndexServer]:
    """The same as one page of links."""
    with IndexServer(flat=True) as server:
        yield source_of(server, "9.9.0", "9.9")


@pytest.fixture
def person(tmp_path: Path) -> Person:
    person = Person.at(tmp_path)
    person.write("machine.json", machine_json("12.0"))
    person.write("profiles/team.toml", 'description = "t"\npackages = ["torch", "einops"]\n')
    torch_wheel("9.9.0", "cu128", tag=TAG).write(person.project / "wheels")
    build_wheel("einops", "9.9").write(person.project / "wheels")
    return person


def versions(person: Person) -> Mapping[str, str]:
    text = (person.project / "lockfiles/pylock.team.toml").read_text(encoding="utf-8")
    return {row["name"]: row["version"].partition("+")[0] for row in tomllib.loads(text)["packages"]}


def run(person: Person, *words: str, **variables: str) -> Run:
    return person.run(*WORDS, *words, **variables)


def test_the_table_is_complete() -> None:
    """Every place of a plan is a row, and every row is run."""
    assert len(RULES) == 9
    with IndexServer() as server:
        assert all(how(source, server, Path()) for source in RULES)


@pytest.mark.parametrize("source", RULES)
def test_what_serves_torchs_family(
    source: str, person: Person, known: IndexServer, other: IndexServer, flat: IndexServer
) -> None:
    """Nothing else has it: PyTorch's own index cannot be reached here."""
    rule = RULES[source]
    words, variables = how(source, flat if "page" in source else other, person.project / "wheels")
    if source == "PyTorch's own index":
        assert rule.family == "yes"
        assert [place.kind for place in plan().torch][:1] == ["pytorch"]
        return
    if ("index`" not in source and "index-url" not in source) or source == "`--torch-index`":
        variables |= {"PIP_INDEX_URL": f"{known.url}/simple"}
        known._packages.pop("torch", None)
    elif source == "pip's `extra-index-url`":
        variables |= {"PIP_INDEX_URL": f"{known.url}/nothing"}
    done = run(person, *words, **variables)
    if rule.family == "no":
        assert done.code == 4, done.err
        assert not (person.project / "lockfiles").exists()
        return
    assert done.code == 0, done.err
    assert versions(person)["torch"] == "9.9.0"
    assert rule.family.startswith("yes")
    assert "not from PyTorch's own index" in done.err
    if "no source after it" in rule.family:
        assert [place.only for place in plan(torch_index=DEAD).torch] == [True]


@pytest.mark.parametrize("source", RULES)
def test_what_serves_everything_else(
    source: str, person: Person, known: IndexServer, other: IndexServer, flat: IndexServer
) -> None:
    rule = RULES[source]
    words, variables = how(source, flat if "page" in source else other, person.project / "wheels")
    if source == "PyTorch's own index":
        assert rule.others == "no"
        assert plan().default_index is None
        assert plan().find_links == plan().extra_indexes == ()
        return
    mine = () if source == "`--torch-index`" else ("--torch-index", known.torch_index)
    if source not in ("`--index`", "pip's `index-url`"):
        variables |= {"PIP_INDEX_URL": known.default_index}
    elif source == "`--index`":
        variables |= {"PIP_INDEX_URL": known.default_index, "PIP_EXTRA_INDEX_URL": known.default_index}
    done = run(person, *words, *mine, **variables)
    assert done.code == 0, done.err
    assert versions(person)["einops"] == ("0.8.1" if rule.others == "no" else "9.9")
    if "alone" in rule.others:
        assert known.requests("/simple/einops") == []


def plan(**changes: Any) -> SourcePlan:
    values = {"environ": {}, "platform": "linux", "folder": Path(), "read": lambda _: None} | changes
    return plan_sources(**values)


@pytest.mark.parametrize("source", RULES)
def test_where_files_and_redirects_may_lead(source: str, tmp_path: Path) -> None:
    rule = RULES[source]
    kinds = {"PyTorch's own index": "pytorch", "`--torch-index`": "mirror"}
    kind = kinds.get(source, "find-links" if "find-links" in source else "package-index")
    hosts = frozenset({"files.x"})
    place = Place(kind=kind, location=at("https://own.x/whl"), configured_by="t", hosts=hosts)  # type: ignore[arg-type]
    foreign, allowed = place.leads_to(at("https://foreign.x/a.whl")), place.leads_to(at("https://files.x/a.whl"))
    match rule.leads:
        case "nowhere":
            assert "folder" in source
        case "anywhere":
            assert foreign
        case words:
            assert (foreign, allowed) == (False, "`--allow-host`" in words)
            assert place.leads_to(at("https://own.x/a.whl"))


@pytest.mark.parametrize("source", RULES)
def test_a_source_that_cannot_be_reached(source: str, person: Person, known: IndexServer) -> None:
    rule = RULES[source]
    if source == "PyTorch's own index":
        done = person.run(*(word for word in WORDS if word != "-q"), PIP_INDEX_URL=known.default_index)
        assert (done.code, rule.unreached) == (0, "the next source, said"), done.err
        assert "download.pytorch.org/whl (default) for torch" in done.err
        return
    gone = person.project / "gone"
    with IndexServer() as dead:
        pass
    words, variables = how(source, dead, gone)
    mine = () if source == "`--torch-index`" else ("--torch-index", known.torch_index)
    if ("index-url" not in source and source != "`--index`") or "extra" in source:
        variables |= {"PIP_INDEX_URL": known.default_index}
    if rule.unreached == "left out, said":
        done = person.run(*(word for word in WORDS if word != "-q"), *words, *mine, **variables)
        assert (done.code, f"no such folder: {gone} (PIP_FIND_LINKS)" in done.err) == (0, True), done.err
        return
    done = run(person, *words, *mine, **variables)
    assert (done.code, rule.unreached) == (4, "exit code 4"), (done.code, done.err)
