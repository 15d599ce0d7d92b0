"""What a report may not tell is taken out of every text, and what it has to tell stays."""

from __future__ import annotations

import pytest

from gpuenv.doctor.redaction import Redaction
from support.secret_forms import FORMS


def redaction(*words: str, **environ: str) -> Redaction:
    return Redaction.of(
        environ,
        home="/home/jdoe",
        project="/data/jdoe/secret-plan",
        user="jdoe",
        host="wolf7.lab.example",
        words=words,
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("variable", ["GPUENV_INDEX", "PIP_EXTRA_INDEX_URL", "HTTPS_PROXY", "ANYTHING"])
def test_no_form_of_a_secret_in_an_address_stays(form: str, variable: str) -> None:
    before, behind = FORMS[form]
    url = "https://" + before.format("canary") + "index.example/simple" + behind.format("canary")
    make = redaction(**{variable: url})

    for text in (url, f"asked {url}, which answered 401", f"{variable}={url}"):
        assert "canary" not in make(text)


@pytest.mark.parametrize(
    "variable",
    [
        "HF_TOKEN",
        "UV_INDEX_LAB_PASSWORD",
        "MY_SECRET",
        "AWS_SECRET_ACCESS_KEY",
        "WANDB_API_KEY",
        "DOCKER_AUTH",
    ],
)
def test_values_of_variables_that_are_named_as_secrets(variable: str) -> None:
    assert "canary" not in redaction(**{variable: "canary-9"})("it said canary-9 and /x/canary-9/y")


@pytest.mark.parametrize("secret", ["/wJalrXUtnFEMI", "p4ss", "a b c d"])
def test_secrets_of_any_shape(secret: str) -> None:
    assert secret not in redaction(AWS_SECRET_ACCESS_KEY=secret)(f"it said {secret}!")


def test_a_switch_is_no_secret() -> None:
    assert redaction(NO_AUTH="true")("it is true") == "it is true"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/jdoe/.venv/lib", "~/.venv/lib"),
        ("file /home/jdoe", "file ~"),
        ("/home/jdoes/x", "/home/jdoes/x"),
        ("/data/jdoe/secret-plan/.venv-gpu", "PROJECT/.venv-gpu"),
        ("/scratch/jdoe/envs/a", "/scratch/USER/envs/a"),
        ("jdoe@wolf7: job on wolf7.lab.example", "USER@HOST: job on HOST"),
        ("wolf70", "wolf70"),
        ("from file:///srv/jdoe/wheels/torch-2.9.1-cp312.whl", "from file:///…/torch-2.9.1-cp312.whl"),
        ("https://files.example/t0ken/simple/", "https://files.example/…/"),
        ("https://files.example/a/flash_attn-2.8.3+cu12-x.whl#sha256=0", "https://files.example/…/flash_attn-2.8.3+cu12-x.whl"),
        ("sudo nvidia-smi -i 0 -c DEFAULT", "sudo nvidia-smi -i 0 -c DEFAULT"),
        ("driver 580.95.05 (NVML); /usr/lib/x86_64-linux-gnu", "driver 580.95.05 (NVML); /usr/lib/x86_64-linux-gnu"),
    ],
)  # fmt: skip
def test_places_and_names(text: str, shown: str) -> None:
    assert redaction()(text) == shown


def test_an_identifier_of_a_gpu_is_numbered_the_same_each_time() -> None:
    make = redaction()
    first, second = "GPU-5fb7e5c1-0000-4000-8000-00000000000a", "GPU-1b2c3d4e-0000-4000-8000-00000000000b"

    assert make(f"{first} {second}") == "GPU-0 GPU-1"
    assert make(f"CUDA_VISIBLE_DEVICES={second}") == "CUDA_VISIBLE_DEVICES=GPU-1"
    assert make("CUDA_VISIBLE_DEVICES=GPU-5fb7e5c1") == "CUDA_VISIBLE_DEVICES=GPU-0", "as CUDA takes a beginning"
    assert make("MIG-5fb7e5c1-0000-4000-8000-00000000000a") == "MIG-0"
    assert make("GPU 0, GPU-0") == "GPU 0, GPU-0"


def test_a_user_named_as_a_package_takes_no_package_out() -> None:
    make = Redaction.of({}, home="/h/torch", project="/p", user="torch", host="gpu", words=("torch", "gpu"))

    text = "torch 2.9.1 in /h/torch/env and /scratch/torch/env, a gpu"
    assert make(text) == "torch 2.9.1 in ~/env and /scratch/USER/env, a gpu"


def test_nobody_is_named_by_root() -> None:
    make = Redaction.of({}, home="/var/root", project="/var/root/p", user="root", host="")

    assert make("run as root in /var/root/p/env and /var/root/x") == "run as root in PROJECT/env and ~/x"


def test_texts_at_any_depth_and_nothing_else() -> None:
    value = {"a": ["/home/jdoe", 3, None, True, {"b": ("jdoe",)}], "jdoe": 1.5}

    assert redaction().all(value) == {"a": ["~", 3, None, True, {"b": ["USER"]}], "jdoe": 1.5}
