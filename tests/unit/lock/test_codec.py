"""A lock as text and back, and the texts that are refused."""

from __future__ import annotations

import tomllib

import pytest
from packaging.pylock import Pylock

from gpuenv.errors import ConfigurationError, GpuenvError, IntegrityError, UsageError
from gpuenv.lock.codec import lock_filename, parse, render
from gpuenv.lock.model import Lock
from support.dependencies import linux
from support.locks import decided, inputs, lock_of, package

TEXT = """\
# gpuenv lock --profile blackwell
lock-version = "1.0"
environments = ["sys_platform == 'linux' and platform_machine == 'x86_64' and implementation_name == 'cpython'"]
requires-python = "==3.12.*"
created-by = "gpuenv"

[tool.gpuenv]
format = 1
command = "gpuenv lock --profile blackwell"

[tool.gpuenv.inputs]
profile = "blackwell"
profile-digest = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
index-snapshot = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
sources = ["https://download.pytorch.org/whl"]
cutoff = 2026-01-03T00:00:00Z
knowledge = "2026-11-22+0123456789ab"

[tool.gpuenv.inputs.machine]
os = "linux"
arch = "x86_64"
libc = "glibc 2.28"
python = "3.12"
compute-capabilities = ["12.0"]
driver = "570.124.06"

[tool.gpuenv.decision]
torch = "2.10.0+cu128"
accelerator = "cuda"
wish = "cuda"
variant = "cu128"
channel = "stable"
source = "pytorch"
sass = ["sm_90", "sm_120"]
ptx = []
kernels-from = "table"
least-driver = "525.60.13"
because = ["it is the newest stable release with kernels for sm_120"]
warnings = []

[[tool.gpuenv.decision.gpus]]
index = 0
name = "NVIDIA GeForce RTX 5090"
compute-capability = "12.0"
support = "native"
by = "sm_120"

[[packages]]
name = "numpy"
version = "2.3.0"
wheels = [{ name = "numpy-2.3.0-py3-none-any.whl", path = "wheels/numpy-2.3.0-py3-none-any.whl", \
hashes = { sha256 = "1111111111111111111111111111111111111111111111111111111111111111" } }]

[packages.tool.gpuenv]
source = "package-index"
hash-origin = "resolver"

[[packages]]
name = "torch"
version = "2.10.0+cu128"
wheels = [{ name = "torch-2.10.0+cu128-py3-none-any.whl", upload-time = 2026-01-21T19:02:47Z, \
url = "https://download.pytorch.org/whl/cu128/torch-2.10.0%2Bcu128-py3-none-any.whl", size = 1000, \
hashes = { sha256 = "0000000000000000000000000000000000000000000000000000000000000000" } }]

[packages.tool.gpuenv]
source = "pytorch"
family = true
hash-origin = "index"
git = "449b1768410104d3ed79d3bcfe4ba1d65c7f22c0"
requires = [
  "filelock",
  "triton==3.6.0; platform_system == \\"Linux\\"",
]
"""


def example() -> Lock:
    torch = package(
        "torch",
        "2.10.0+cu128",
        family=True,
        upload_time="2026-01-21T20:02:47+01:00",
        git="449b1768410104d3ed79d3bcfe4ba1d65c7f22c0",
        requires=("filelock", 'triton==3.6.0; platform_system == "Linux"'),
    )
    numpy = package(
        "numpy",
        "2.3.0",
        url=None,
        path="wheels/numpy-2.3.0-py3-none-any.whl",
        sha256="1" * 64,
        size=None,
        source="package-index",
        hash_origin="resolver",
    )
    return lock_of(torch, numpy, inputs=inputs(cutoff="2026-01-03"))


def test_the_text_of_a_lock() -> None:
    assert render(example()) == TEXT


def test_reading_gives_the_lock_back() -> None:
    assert parse(TEXT, origin="pylock.blackwell.toml") == example()


def test_it_is_valid_for_the_standards_own_reader() -> None:
    pylock = Pylock.from_dict(tomllib.loads(TEXT))
    assert [each.name for each in pylock.packages] == ["numpy", "torch"]
    assert str(pylock.requires_python) == "==3.12.*"


def test_the_order_of_packages_does_not_matter() -> None:
    lock = example()
    assert render(lock_of(*reversed(lock.packages), inputs=lock.inputs)) == TEXT


@pytest.mark.parametrize(
    ("machine", "marker"),
    [
        (linux(os="windows", libc=None), "sys_platform == 'win32' and platform_machine == 'AMD64'"),
        (linux(arch="aarch64"), "sys_platform == 'linux' and platform_machine == 'aarch64'"),
        (linux(os="macos", arch="arm64", libc=None), "sys_platform == 'darwin' and platform_machine == 'arm64'"),
    ],
)
def test_other_machines_have_their_own_marker(machine: object, marker: str) -> None:
    lock = lock_of(package("torch", "2.10.0", family=True), inputs=inputs(target=machine))
    assert f'environments = ["{marker} and implementation_name' in render(lock)
    assert parse(render(lock), origin="x") == lock


@pytest.mark.parametrize("name", ["black.well", "", "-x", "a b", "ä", "a/b"])
def test_a_name_that_no_installer_accepts(name: str) -> None:
    with pytest.raises(UsageError, match="a lock cannot be named"):
        lock_filename(name)


SHA = '{ sha256 = "0000000000000000000000000000000000000000000000000000000000000000" }'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            SHA,
            '{ md5 = "d41d8cd98f00b204e9800998ecf8427e" }',
            "packages[1].wheels[0].hashes.sha256 is missing: md5 alone",
        ),
        (SHA, "{}", "packages[1].wheels[0].hashes: At least one hash must be provided"),
        (SHA, '{ sha256 = "00" }', "packages[1].wheels[0].hashes.sha256 is not a sha256: '00'"),
        ("size = 1000", "size = 0", "packages[1].wheels[0].size is 0: no wheel has that size"),
        ("size = 1000", "size = -5", "packages[1].wheels[0].size is -5: no wheel has that size"),
        ("size = 1000", 'size = "x"', "packages[1].wheels[0].size: Unexpected type str"),
        ('name = "torch-2.10.0+cu128-py3', 'name = "torch-2.9.0+cu128-py3', "packages[1].wheels[0]: Version in"),
        ("format = 1", "format = 2", "tool.gpuenv.format is 2; this gpuenv reads 1"),
        ("format = 1", "format = 1\nsurprise = 1", "tool.gpuenv.surprise is not known to this gpuenv"),
        ('os = "linux"', 'os = "plan9"', "tool.gpuenv.inputs.machine.os is 'plan9'; it can be linux, windows, macos"),
        ('python = "3.12"', 'python = "3"', "tool.gpuenv.inputs.machine.python is '3', not a version such as 3.12"),
        ('least-driver = "525.60.13"', 'least-driver = "x"', "tool.gpuenv.decision.least-driver is 'x', not a version"),
        ('["12.0"]', '["12"]', "tool.gpuenv.inputs.machine.compute-capabilities[0] is not a compute capability"),
        ('wish = "cuda"\n', "", "tool.gpuenv.decision.wish is missing"),
        ("index = 0", 'index = "0"', "tool.gpuenv.decision.gpus[0].index is a string, not a number"),
        ("family = true", "family = true\nnew = 1", "packages[1].tool.gpuenv.new is not known to this gpuenv"),
        ("family = true", 'family = "yes"', "packages[1].tool.gpuenv.family is a string, not true or false"),
        ('hash-origin = "index"', 'hash-origin = "luck"', "packages[1].tool.gpuenv.hash-origin is 'luck'"),
        (
            "cutoff = 2026-01-03T00:00:00Z",
            'cutoff = "soon"',
            "tool.gpuenv.inputs.cutoff is a string, not a date and time",
        ),
        ('lock-version = "1.0"', 'lock-version = "2.0"', "lock-version: pylock version 2.0 is not supported"),
        ('created-by = "gpuenv"', "created-by =", ":5: is not valid TOML"),
        ('version = "2.3.0"', 'version = "1 2"', "packages[0].version"),
    ],
)
def test_a_lock_that_must_not_be_installed_is_refused_by_key(old: str, new: str, said: str) -> None:
    assert old in TEXT
    with pytest.raises(GpuenvError) as raised:
        parse(TEXT.replace(old, new), origin="lockfiles/pylock.x.toml")
    assert raised.value.message.startswith("lockfiles/pylock.x.toml:")
    assert said in raised.value.message
    assert raised.value.exit_code == (5 if "Version in" in said else 2)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sys_platform == 'linux'", "sys_platform == 'win32'", "environments is not that of the machine"),
        ('requires-python = "==3.12.*"', 'requires-python = ">=2.7"', "requires-python is not that of the machine"),
        ('version = "2.3.0"', 'version = "2.3.0"\nmarker = "os_name == \'x\'"', "packages[0].marker was added later"),
        ('version = "2.3.0"', 'version = "2.3.0"\nvariants = 1', "packages[0].variants was added later"),
        ("created-by", 'extras = ["x"]\ncreated-by', "extras was added later: a lock of gpuenv has none"),
    ],
)
def test_what_an_installer_would_read_otherwise_is_an_edit(old: str, new: str, said: str) -> None:
    """gpuenv asks its own tables; uv and pip ask the standard's keys, and would leave torch out."""
    assert old in TEXT
    with pytest.raises(IntegrityError) as raised:
        parse(TEXT.replace(old, new, 1), origin="x")
    assert said in raised.value.message


def test_tables_of_a_later_standard_are_carried_through() -> None:
    """PEP 825: a tool that rewrites a lock leaves ``variants-json`` as it is."""
    variants = '{ url = "https://x/torch-variants.json", size = 7, hashes = { sha256 = "ab" }, more = [1, 2.5, true] }'
    text = TEXT.replace('version = "2.10.0+cu128"\n', f'version = "2.10.0+cu128"\nvariants-json = {variants}\n')
    lock = parse(text, origin="x")
    written = render(lock)
    assert parse(written, origin="x") == lock
    (torch,) = [each for each in tomllib.loads(written)["packages"] if each["name"] == "torch"]
    assert torch["variants-json"] == tomllib.loads(f"v = {variants}")["v"]
    assert render(parse(TEXT, origin="x")) == TEXT
    Pylock.from_dict(tomllib.loads(written))


def test_a_source_distribution_or_a_choice_of_wheels_is_refused() -> None:
    wheel = TEXT.split("wheels = [")[1].split("]\n")[0]
    with pytest.raises(ConfigurationError, match="lists 2 files"):
        parse(TEXT.replace(wheel, f"{wheel}, {wheel}"), origin="x")
    sdist = f'sdist = {{ url = "https://x/torch-2.10.0%2Bcu128.tar.gz", hashes = {SHA} }}\n'
    with pytest.raises(ConfigurationError, match="names a source distribution"):
        parse(TEXT.replace('version = "2.10.0+cu128"\n', f'version = "2.10.0+cu128"\n{sdist}'), origin="x")


def test_a_lock_of_another_tool_is_said_to_be_one() -> None:
    with pytest.raises(ConfigurationError, match=r"\[tool\.gpuenv\] is missing: this lock was not made by gpuenv"):
        parse('lock-version = "1.0"\ncreated-by = "uv"\npackages = []\n', origin="x")


def test_one_name_twice_is_refused() -> None:
    block = TEXT[TEXT.index('[[packages]]\nname = "numpy"') : TEXT.index('[[packages]]\nname = "torch"')]
    with pytest.raises(ConfigurationError, match="numpy is locked twice"):
        parse(TEXT + "\n" + block, origin="x")


def test_a_command_cannot_break_out_of_its_comment() -> None:
    lock = lock_of(command='gpuenv lock\n[evil] "\x7f', decision=decided(because=('a "quoted"\nreason \\',)))
    assert render(lock).splitlines()[1] == 'lock-version = "1.0"'
    assert parse(render(lock), origin="x") == lock


def test_packages_are_left_out_with_their_tables() -> None:
    lock = parse(TEXT, origin="x")
    kept = lock.without({"torch"})
    assert set(kept.by_name) == set(lock.by_name) - {"torch"}
    assert "torch-" not in render(kept)[render(kept).index("[[packages]]") :]
    assert parse(render(kept), origin="x") == kept
