"""`doctor --report` writes one file to send: what a maintainer needs, and nothing that is only the person's."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import pytest

from support.cli import Person, machine_json
from support.environments import Environment
from support.fake_nvml import FakeGpu, FakeMachine
from support.fatbins import image, library
from support.secret_forms import FORMS

UUIDS = [f"GPU-{digit * 8}-aaaa-4bbb-8ccc-{digit * 12}" for digit in "12"]
DEEP = "wheels/t0ken/flash_attn-2.8.3+cu12torch2.7-cp312-cp312-linux_x86_64.whl"


@pytest.fixture
def person(tmp_path: Path) -> Person:
    """Somebody with two GPUs, an environment with something wrong, and secrets wherever secrets can be."""
    made = Person.at(tmp_path)
    env = Environment(made.project / ".venv-gpu")
    env.torch("2.10.0+cu128", cuda="12.8", archs=("80", "90"), requires=["nvidia-cudnn-cu12==9.10.2.21"])
    env.install("nvidia-cudnn-cu12", "9.10.2.21")
    env.install("flash-attn", "2.8.3+cu12torch2.7", files={"flash.so": library([[image("sass", 80)]])})
    info = next(env.site.glob("flash_attn-*.dist-info"))
    (info / "direct_url.json").write_text(json.dumps({"url": f"https://me:canary01@files.example/{DEEP}?sig=canary02"}))
    (env.path / "pyvenv.cfg").write_text(f"home = {made.home}/python/bin\nversion_info = 3.12.4\n")
    (made.home / "cuda").mkdir()
    (made.home / "cuda/libcudnn.so.8").touch()
    made.write("gpuenv.toml", 'find-links = ["https://me:canary03@links.example/t0ken/page.html"]\n')
    gpus = tuple(FakeGpu(name="NVIDIA GeForce RTX 5090", capability=(12, 0), uuid=uuid) for uuid in UUIDS)
    fake = FakeMachine(gpus=gpus, driver="580.95.05", libcuda="580.95.05").environ(tmp_path / "driver")
    environ = {key: value for key, value in fake.items() if key != "PATH"}
    environ |= {"USER": "jdoe", "LOGNAME": "jdoe", "HF_TOKEN": "canary04", "LAB_PASSWORD": "canary05"}
    environ |= {"PYTHONPATH": "/scratch/jdoe/canary04", "CUDA_VISIBLE_DEVICES": UUIDS[1][:12]}
    environ["LD_LIBRARY_PATH"] = f"{environ.get('LD_LIBRARY_PATH', '')}:{made.home}/cuda"
    for number, (name, (before, behind)) in enumerate(FORMS.items(), start=10):
        secret = f"canary{number}"
        environ[f"PIP_{name.upper()}"] = f"https://{before.format(secret)}h.example/simple{behind.format(secret)}"
    return Person(home=made.home, project=made.project, environ=environ)


def read(person: Person, name: str = "gpuenv-report.json") -> Any:  # Any: JSON
    return json.loads((person.project / name).read_text(encoding="utf-8"))


def test_a_report_tells_what_helps_and_no_secret(person: Person) -> None:
    run = person.run("doctor", "--report")

    assert run.code == 1, run.err
    assert "The report lies in gpuenv-report.json. It holds this machine as `gpuenv detect` shows it" in run.out
    assert "names of user and host" in run.out.replace("\n", " ")
    text = (person.project / "gpuenv-report.json").read_text(encoding="utf-8")
    for secret in ("canary", "t0ken", "jdoe", str(person.home), str(person.project), *UUIDS, UUIDS[1][:12]):
        assert secret not in text, secret
    node = platform.node()
    assert not node or f'"{node}' not in text
    report = read(person)
    assert report["schema"] == {"name": "gpuenv-report", "version": "1"}
    assert [(gpu["uuid"], gpu["compute_capability"]) for gpu in report["machine"]["gpus"]] == [
        ("GPU-0", "12.0"),
        ("GPU-1", "12.0"),
    ]
    there = report["environment"]
    assert there["torch"]["version"] == "2.10.0+cu128"
    assert there["nvidia"] == {"nvidia-cudnn-cu12": "9.10.2.21"}
    (code,) = there["device_code"]
    assert (code["name"], code["sass"], code["ptx"]) == ("flash-attn", ["sm_80"], [])
    assert there["base"] == "~/python/bin"
    (flash,) = [each for each in there["distributions"] if each["name"] == "flash-attn"]
    assert flash["origin"] == f"https://files.example/…/{DEEP.rpartition('/')[2]}"
    assert {"PYTHONPATH", "CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "PIP_TOKEN"} <= set(report["variables"])
    assert report["settings"]["find-links"] == "find-links in gpuenv.toml"
    kinds = {each["kind"] for each in report["findings"]}
    assert {"no-code", "extension-of-another-torch", "variable", "mask-hides-some"} <= kinds
    assert {"gpuenv", "python", "kernel"} == set(report["versions"])


def test_a_report_is_read_where_it_was_sent(person: Person) -> None:
    """As findings, and as the machine that a decision or a diagnosis is made for."""
    sent = person.run("doctor", "--report", "out/here.json", "--json")
    assert sent.json["data"]["report"] == "out/here.json"
    assert list((person.project / "out").iterdir()) == [person.project / "out/here.json"]

    maintainer = Person(home=person.home, project=person.project / "out")
    shown = maintainer.run("doctor", "--from", "here.json", "--json")
    there, here = sent.json["data"]["findings"], shown.json["data"]["findings"]
    assert [(each["kind"], each["severity"]) for each in here] == [(each["kind"], each["severity"]) for each in there]
    assert (shown.code, shown.json["data"]["environment"]) == (1, ".venv-gpu")
    assert "no code that runs on NVIDIA GeForce RTX 5090 (12.0)" in maintainer.run("doctor", "--from", "here.json").out
    again = maintainer.run("doctor", "../.venv-gpu", "--machine", "here.json", "--json")
    assert {"no-code", "extension-of-another-torch"} <= {each["kind"] for each in again.json["data"]["findings"]}
    assert maintainer.run("resolve", "--machine", "here.json", "--offline").code == 4, "the machine is understood"


def test_a_user_named_as_the_system_leaves_the_machine_readable(person: Person) -> None:
    assert person.run("doctor", "--report", USER="linux", LOGNAME="linux").code == 1

    assert read(person)["machine"]["os"] == "linux"
    assert person.run("detect", "--machine", "gpuenv-report.json").code == 0


def test_a_report_of_a_machine_whose_driver_fails(person: Person, tmp_path: Path) -> None:
    broken = FakeMachine(faults={"nvmlInitWithFlags": 18}).environ(tmp_path / "broken")
    library_path = {key: value for key, value in broken.items() if key != "PATH"}
    assert person.run("doctor", "--report", **library_path).code == 1

    run = person.run("doctor", "--machine", "gpuenv-report.json", "--json")
    wrong = [each for each in run.json["data"]["findings"] if each["severity"] == "error"]
    assert wrong
    assert wrong[0]["summary"] == read(person)["errors"][0]["message"]
    assert person.run("resolve", "--machine", "gpuenv-report.json").code == 2


def test_what_stands_in_the_way_of_a_report_is_said(person: Person) -> None:
    run = person.run("doctor", "--report", ".venv-gpu")
    assert run.code == 2
    assert "hint: Name the environment first: `gpuenv doctor .venv-gpu --report`" in run.err
    person.write("machine.json", machine_json("12.0"))
    run = person.run("doctor", "--from", "machine.json")
    assert run.code == 2
    assert "machine.json is not a report" in run.err
    assert person.run("doctor", "--from", "absent.json").code == 2
    assert person.run("doctor", "--from", "a.json", "--report").code == 2


def test_a_link_laid_out_in_advance_is_not_followed(person: Person, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("kept")
    (person.project / "gpuenv-report.json").symlink_to(tmp_path / "precious")

    person.run("doctor", "--report")

    assert (tmp_path / "precious").read_text() == "kept"
    assert read(person)["schema"]["name"] == "gpuenv-report"
