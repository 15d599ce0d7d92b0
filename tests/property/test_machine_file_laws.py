"""The machine file loses nothing: what is written is read back as it was."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from gpuenv.errors import ConfigurationError
from gpuenv.machine.file import PROCESSORS, parse_machine
from gpuenv.model.machine import ComputeCapability, Driver, Gpu, Machine

texts = st.text(min_size=1, max_size=30).filter(lambda text: text.isprintable() and text.strip() == text)
versions = st.lists(st.integers(0, 999), min_size=2, max_size=3).map(lambda parts: ".".join(map(str, parts)))
cudas = st.tuples(st.integers(1, 99), st.integers(0, 9)).map(lambda pair: f"{pair[0]}.{pair[1]}")
capabilities = st.builds(ComputeCapability, st.integers(1, 99), st.integers(0, 9))
gpus = st.builds(
    Gpu,
    index=st.integers(0, 1000),
    uuid=texts,
    name=texts,
    compute_capability=capabilities,
    memory_bytes=st.none() | st.integers(1, 2**50),
    mig=st.booleans(),
)
many = st.lists(gpus, max_size=4, unique_by=(lambda gpu: gpu.index, lambda gpu: gpu.uuid)).map(
    lambda found: tuple(sorted(found, key=lambda gpu: gpu.index))
)
drivers = st.builds(Driver, version=versions, cuda=st.none() | cudas, source=texts)
sources = st.dictionaries(texts, texts, max_size=3).map(lambda found: tuple(sorted(found.items())))


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    system = draw(st.sampled_from(sorted(PROCESSORS)))
    found = draw(many)
    return Machine(
        os=system,
        arch=draw(st.sampled_from(sorted(PROCESSORS[system]))),
        libc=draw(st.none() | versions.map(lambda version: f"glibc {version}")),
        wsl=draw(st.booleans()),
        container=draw(st.booleans()),
        driver=draw(drivers if found else st.none() | drivers),
        gpus=found,
        sources=draw(sources),
    )


@given(machines())
@settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_back(machine: Machine) -> None:
    text = json.dumps(machine.to_json())

    assert parse_machine(text, origin="m.json") == machine


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(machines(), st.data())
@settings(max_examples=150, deadline=None)
def test_one_wrong_place_is_a_clear_error_or_a_machine(machine: Machine, data: st.DataObject) -> None:
    value = machine.to_json()
    key = data.draw(st.sampled_from(sorted(value)) | st.text(max_size=5))
    value[key] = data.draw(json_values)

    said = "m.json: "
    try:
        parse_machine(json.dumps(value), origin="m.json")
    except ConfigurationError as error:
        said = error.message

    assert said.startswith("m.json: ")
