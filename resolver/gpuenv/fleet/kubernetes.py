"""A lock as work for Kubernetes: a Job that proves it, a DaemonSet that asks every node; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from gpuenv.dataclass import dataclass
from gpuenv.documents import shipped
from gpuenv.errors import UsageError
from gpuenv.lock.model import Lock
from gpuenv.lock.text import one_line

Kind = Literal["job", "daemonset"]
KINDS: tuple[Kind, ...] = ("job", "daemonset")
Expression = dict[str, Any]  # as Kubernetes' NodeSelectorRequirement
GPU = "nvidia.com/gpu"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is asked of the cluster. ``gpus``: how many the Job takes; ``seconds``: when it is ended."""

    kind: Kind
    name: str
    """The lock's."""
    image: str
    gpus: int
    seconds: int


def to_yaml(lock: Lock, work: Manifest) -> str:
    """The manifest, with a comment that says what it is for. Raises :class:`~gpuenv.errors.UsageError`."""
    import yaml

    decision, target = lock.decision, lock.inputs.target
    if target.os != "linux":
        raise UsageError(f"a node of Kubernetes runs Linux, and this lock is for {target.os}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/:@-]{0,250}", work.image):
        raise UsageError(
            f"{work.image!r} is not the name of an image",
            hints=("A name reads registry.example/name:tag",),
        )
    body = _job(lock, work) if work.kind == "job" else _daemonset(lock, work)
    head = [
        f"torch {decision.torch}, Python {target.python}",
        f"made by `gpuenv fleet kubernetes {work.name} --image {work.image}`, {work.kind}",
        "The image: what `gpuenv export --format dockerfile` writes, and gpuenv in it.",
    ]
    if decision.accelerator == "cuda":
        head += [
            f"Nodes: driver {decision.least_driver} or newer, compute capability {', '.join(_capabilities(lock))}.",
            "A node has one label for all of its cards: where it has two kinds, the pod's own answer decides.",
        ]

    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: object) -> bool:
            return True  # every term is written out: a person reads them one by one

    text: str = yaml.dump(body, Dumper=Plain, sort_keys=False, allow_unicode=True, width=100)
    return "".join(f"# {one_line(line)}\n" for line in head) + text


def object_name(name: str) -> str:
    """A name that Kubernetes takes (RFC 1123 label: 63 characters, letters, digits and dashes).

    >>> object_name("auto-linux_x86.64")
    'gpuenv-auto-linux-x86-64'
    """
    return re.sub(r"[^a-z0-9]+", "-", f"gpuenv-{name}".lower())[:63].strip("-")


def node_terms(lock: Lock) -> list[list[Expression]]:
    """Which nodes serve a lock: terms of which one must hold, each a list of which all must.

    ``Gt`` compares whole numbers of one label alone, so "at least 570.26.1" takes a term for each part: a
    greater major; the same and a greater minor; the same two and a greater revision, or this very one.
    """
    table = shipped(__file__, "labels")
    system: list[Expression] = [
        _is(table["system"]["os"], "linux"),
        _is(table["system"]["arch"], table["arch"].get(lock.inputs.target.arch, lock.inputs.target.arch)),
    ]
    if lock.decision.accelerator != "cuda":
        return [system]
    labels = table["capability"]
    cards = [
        [_is(labels["major"], major), _is(labels["minor"], minor)]
        for major, _, minor in (each.partition(".") for each in _capabilities(lock))
    ]
    drivers = [term for row in table["driver"] for term in at_least(row, lock.decision.least_driver or "")]
    return [[*system, *card, *driver] for card in cards for driver in drivers or [[]]]


def at_least(labels: Mapping[str, str], version: str) -> list[list[Expression]]:
    """Terms for a driver of at least a version; none where no version is known.

    >>> [[(each["operator"], *each["values"]) for each in term]
    ...  for term in at_least({"major": "a", "minor": "b", "revision": "c"}, "570.26")]
    [[('Gt', '570')], [('In', '570'), ('Gt', '25')]]
    """
    parts = [int(part) for part in version.split(".") if part.isdecimal()][:3]
    if not parts:
        return []
    keys = [labels["major"], labels["minor"], labels["revision"]]
    terms, same = [], list[Expression]()
    for place, (key, number) in enumerate(zip(keys, parts, strict=False)):
        last = place == len(parts) - 1
        terms.append([*same, {"key": key, "operator": "Gt", "values": [str(number - 1 if last else number)]}])
        # A part may be written with a zero in front (525.60.06), as the driver's own version is.
        same.append({"key": key, "operator": "In", "values": list(dict.fromkeys([str(number), f"{number:02}"]))})
    return terms


def _is(key: str, value: str) -> Expression:
    return {"key": key, "operator": "In", "values": [value]}


def _capabilities(lock: Lock) -> Sequence[str]:
    return sorted({str(gpu.compute_capability) for gpu in lock.decision.gpus})


def _affinity(lock: Lock) -> dict[str, Any]:
    terms = [{"matchExpressions": term} for term in node_terms(lock)]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def _metadata(work: Manifest) -> dict[str, Any]:
    name = object_name(work.name if work.kind == "job" else f"{work.name}-nodes")
    return {"name": name, "labels": {"app.kubernetes.io/name": "gpuenv", "app.kubernetes.io/instance": name}}


def _container(work: Manifest, name: str, command: Sequence[str]) -> dict[str, Any]:
    return {
        "name": name,
        "image": work.image,
        "command": list(command),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def _pod(lock: Lock, work: Manifest, **more: Any) -> dict[str, Any]:  # Any: as Kubernetes' PodSpec
    gpu = lock.decision.accelerator == "cuda"
    return {
        "metadata": {"labels": _metadata(work)["labels"]},
        "spec": {
            "automountServiceAccountToken": False,
            "affinity": _affinity(lock),
            **({"tolerations": [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]} if gpu else {}),
            **more,
        },
    }


def _job(lock: Lock, work: Manifest) -> dict[str, Any]:
    """One proof on one node: its GPUs are asked of the scheduler, as any job's are."""
    container = _container(
        work, "verify", ["gpuenv", "verify", "/usr/local", "--evidence", "/evidence", "--no-progress"]
    )
    container["volumeMounts"] = [
        {"name": "evidence", "mountPath": "/evidence"},
        {"name": "shared-memory", "mountPath": "/dev/shm"},
    ]
    if lock.decision.accelerator == "cuda":
        container["resources"] = {"limits": {GPU: work.gpus}}
    volumes = [
        {"name": "evidence", "emptyDir": {}},
        # NCCL's ranks speak through it, and a pod has 64 MiB of its own.
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}},
    ]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(work),
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": work.seconds,
            "template": _pod(lock, work, restartPolicy="Never", containers=[container], volumes=volumes),
        },
    }


def _daemonset(lock: Lock, work: Manifest) -> dict[str, Any]:
    """A question to every node, which takes no GPU from anybody: a pod whose driver does not answer stays in Init."""
    ask = _container(work, "detect", ["gpuenv", "detect", "--json"])
    stay = _container(work, "stay", ["sleep", "infinity"])
    stay["resources"] = {"requests": {"cpu": "1m", "memory": "8Mi"}}
    gpu = {"runtimeClassName": "nvidia"} if lock.decision.accelerator == "cuda" else {}
    if gpu:
        ask["env"] = [
            {"name": "NVIDIA_VISIBLE_DEVICES", "value": "all"},
            {"name": "NVIDIA_DRIVER_CAPABILITIES", "value": "utility"},
        ]
    labels = _metadata(work)["labels"]
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": _metadata(work),
        "spec": {
            "selector": {"matchLabels": labels},
            "template": _pod(lock, work, **gpu, initContainers=[ask], containers=[stay]),
        },
    }
