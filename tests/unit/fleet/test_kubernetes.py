"""A lock as Job and DaemonSet: the terms of its nodes, held against nodes (schemas: tests/kubernetes)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from gpuenv.errors import UsageError
from gpuenv.fleet.kubernetes import Manifest, node_terms, object_name, to_yaml
from gpuenv.lock.codec import parse
from gpuenv.lock.model import Lock

WORK = Manifest(kind="job", name="hopper", image="registry.example/hopper:1", gpus=2, seconds=600)
LOCKFILES = Path(__file__).parents[3] / "lockfiles"


@cache
def committed(name: str) -> Lock:
    return parse((LOCKFILES / f"pylock.{name}.toml").read_text("utf-8"), origin=name)


def lock(least: str = "525.60.13") -> Lock:
    made = committed("hopper")
    return replace(made, decision=replace(made.decision, least_driver=least))


def holds(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    """As the scheduler reads it (Kubernetes, Assigning Pods to Nodes, Operators)."""
    value = labels.get(expression["key"])
    if expression["operator"] == "In":
        return value in expression["values"]
    return value is not None and value.isdecimal() and int(value) > int(expression["values"][0])


def serves(terms: list[list[dict[str, Any]]], labels: dict[str, str]) -> bool:
    return any(all(holds(each, labels) for each in term) for term in terms)


def node(version: str, *, old: bool = False, capability: str = "9.0", arch: str = "amd64") -> dict[str, str]:
    parts = [*version.split("."), ""][:3]
    keys = ("driver.major", "driver.minor", "driver.rev") if old else (
        "driver-version.major", "driver-version.minor", "driver-version.revision")  # fmt: skip
    major, _, minor = capability.partition(".")
    return {
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": arch,
        "nvidia.com/gpu.compute.major": major,
        "nvidia.com/gpu.compute.minor": minor,
        **{f"nvidia.com/cuda.{key}": part for key, part in zip(keys, parts, strict=True)},
    }


@pytest.mark.parametrize("old", [False, True], ids=["present labels", "deprecated labels"])
@pytest.mark.parametrize(
    ("version", "fits"),
    [
        ("525.60.13", True),
        ("525.60.14", True),
        ("525.60.12", False),
        ("525.60.06", False),
        ("525.59.99", False),
        ("525.61.01", True),
        ("525.105.17", True),
        ("526.0.0", True),
        ("580.65", True),
        ("470.223.02", False),
        ("525.60", False),
    ],
)
def test_a_node_serves_when_its_driver_is_at_least_the_lock_s(version: str, fits: bool, old: bool) -> None:
    assert serves(node_terms(lock()), node(version, old=old)) is fits


def test_a_floor_of_two_parts_is_met_by_itself() -> None:
    terms = node_terms(lock("570.26"))
    assert [serves(terms, node(each)) for each in ("570.26", "570.26.01", "570.25.99", "571.00")] == [
        True,
        True,
        False,
        True,
    ]


def test_a_node_of_another_card_system_or_without_labels_serves_not() -> None:
    terms = node_terms(lock())
    assert not serves(terms, node("580.65.06", capability="8.0"))
    assert not serves(terms, node("580.65.06", arch="arm64"))
    assert not serves(terms, {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"})


def test_a_lock_of_the_cpu_asks_for_no_gpu() -> None:
    made = committed("cpu")
    assert [[each["key"] for each in term] for term in node_terms(made)] == [["kubernetes.io/os", "kubernetes.io/arch"]]
    value = yaml.safe_load(to_yaml(made, WORK))
    assert "resources" not in value["spec"]["template"]["spec"]["containers"][0]


def test_the_job_takes_its_gpus_and_the_daemonset_none() -> None:
    job = yaml.safe_load(to_yaml(lock(), WORK))
    assert (job["kind"], job["metadata"]["name"]) == ("Job", "gpuenv-hopper")
    spec = job["spec"]["template"]["spec"]
    assert spec["containers"][0]["resources"] == {"limits": {"nvidia.com/gpu": 2}}
    assert spec["containers"][0]["image"] == WORK.image
    text = to_yaml(lock(), replace(WORK, kind="daemonset"))
    asked = yaml.safe_load(text)
    assert asked["spec"]["selector"]["matchLabels"] == asked["spec"]["template"]["metadata"]["labels"]
    assert "limits" not in text
    assert "&id" not in text


def test_names_and_images_are_those_that_kubernetes_takes() -> None:
    assert object_name("A" * 80) == "gpuenv-" + "a" * 56
    assert object_name("x_") == "gpuenv-x"
    with pytest.raises(UsageError, match="is not the name of an image"):
        to_yaml(lock(), replace(WORK, image="a b"))
