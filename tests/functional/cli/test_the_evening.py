"""The evening that started it: an RTX 5090, driver 576.88 (CUDA 12.9), on the recorded index of those days."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.cli import Person, machine_json
from support.index_server import IndexServer

pytestmark = pytest.mark.xdist_group("recorded-index")


@pytest.fixture(scope="module")
def index() -> Iterator[IndexServer]:
    with IndexServer() as server:
        server.serve_day("2026-01-03")
        yield server


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person.at(tmp_path)


@pytest.mark.parametrize(("os", "tag"), [("linux", "manylinux_2_28_x86_64"), ("windows", "win_amd64")])
def test_m40_is_decided_as_it_was_found(person: Person, index: IndexServer, os: str, tag: str) -> None:
    person.write("machine.json", machine_json("12.0", os=os))
    run = person.run(
        "resolve", "--profile", "m40", "--machine", "machine.json", "--torch-index", index.torch_index, "--json"
    )
    assert run.code == 0, run.err
    data = run.json["data"]
    assert [(row["name"], row["version"]) for row in data["packages"]] == [
        ("torch", "2.11.0.dev20260102+cu128"),
        ("torchaudio", "2.10.0.dev20260102+cu128"),
        ("torchvision", "0.25.0.dev20260102+cu128"),
    ]
    assert all(tag in row["filename"] for row in data["packages"])
    assert data["python"] == "3.12"
    assert data["gpus"][0]["by"] == "sm_120"
    assert data["gpus"][0]["support"] == "native"


def test_stable_is_enough_for_blackwell_and_says_why_not_the_nightly(person: Person, index: IndexServer) -> None:
    person.write("machine.json", machine_json("12.0"))
    run = person.run(
        "resolve", "--profile", "blackwell", "--machine", "machine.json", "--torch-index", index.torch_index, "--json"
    )
    assert run.code == 0, run.err
    data = run.json["data"]
    assert data["channel"] == "stable"
    assert data["gpus"][0] | {"support": "native", "by": "sm_120"} == data["gpus"][0]
    assert any("no nightly was needed" in sentence for sentence in data["because"])


def test_one_reason_is_shown_and_the_others_on_demand(person: Person, index: IndexServer) -> None:
    """Nothing of a mirror, which ``--torch-index`` need not name, nor of a Python that nobody had to look for."""
    person.write("machine.json", machine_json("12.0", driver="580.95.05", cuda="13.0"))
    here = ("resolve", "--machine", "machine.json", "--torch-index", index.torch_index)
    brief, verbose, explained = (person.run(*here, *more) for more in ((), ("-v",), ("--explain",)))
    assert brief.code == verbose.code == explained.code == 0, brief.err
    reasons = [line for line in brief.out.splitlines() if line.startswith("  ") and line.endswith(".")]
    assert [line.partition(" is the newest stable wheel offered")[0] for line in reasons] == ["  torch 2.9.1+cu130"]
    assert brief.err.count("\n") == 2  # the machine, and that torch is not from PyTorch's own index
    for whole in (verbose.err, explained.out):
        assert "no nightly was needed" in whole
        for false in ("first choice", "mirror", "kernels.toml, torch", "nightlies"):
            assert false not in whole + brief.out + brief.err


def test_an_index_that_stops_at_cu126_names_the_reason(person: Person) -> None:
    person.write("machine.json", machine_json("12.0"))
    with IndexServer() as server:
        server.serve_day("2026-01-03", variants=["cpu", "cu118", "cu121", "cu124", "cu126"])
        run = person.run(
            "resolve", "--profile", "blackwell", "--machine", "machine.json", "--torch-index", server.torch_index
        )
    assert run.code == 3
    assert "sm_120" in run.err
    assert "12.8" in run.err
    assert f"Stable wheels of {server.torch_index}: no wheel has code for sm_120" in run.err
    assert run.err.count("error:") == 1
    assert person.files() == {"machine.json"}


def test_a_profile_for_another_card_stops_before_any_request(person: Person, index: IndexServer) -> None:
    person.write("machine.json", machine_json("9.0", name="NVIDIA H200", driver="580.159.04", cuda="13.0"))
    before = len(index.log)
    run = person.run(
        "create", "--no-verify", "--profile", "blackwell", "--machine", "machine.json",
        "--torch-index", index.torch_index,
    )  # fmt: skip
    assert run.code == 3
    assert "NVIDIA H200 (9.0)" in run.err
    assert len(index.log) == before
    assert person.files() == {"machine.json"}


def test_a_cold_decision_costs_one_page_a_project_and_a_warm_one_nothing(person: Person, index: IndexServer) -> None:
    person.write("machine.json", machine_json("12.0"))
    words = ("resolve", "--profile", "blackwell", "--machine", "machine.json", "--torch-index", index.torch_index)
    before = len(index.log)
    assert person.run(*words).code == 0
    cold = index.log[before:]
    assert sorted(request.path for request in cold) == ["/whl/torch/", "/whl/torchaudio/", "/whl/torchvision/"]
    assert person.run(*words).code == 0
    assert len(index.log) == before + 3
    assert person.run(*words, "--refresh").code == 0
    assert [request.status for request in index.log[before + 3 :]] == [304, 304, 304]
