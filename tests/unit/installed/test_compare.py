"""The comparison over trees made by hand: what passes, and each way not to."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from gpuenv.environment.records import check_records
from gpuenv.installed import compare as comparison
from gpuenv.installed.compare import Compared
from gpuenv.installed.distribution import distributions
from gpuenv.installed.environment import read_environment
from gpuenv.installed.files import Bare, read_bare
from gpuenv.installed.places import site_packages
from gpuenv.report import Silent
from support.systems import LINKS, links_work
from support.wheels import BuiltWheel, build_wheel
from support.workshop import Told

SITE = "lib/python3.12/site-packages"


def install(environment: Path, wheel: BuiltWheel) -> None:
    site = environment / SITE
    with zipfile.ZipFile(io.BytesIO(wheel.body)) as archive:
        archive.extractall(site)
    (next(site.glob(f"{wheel.filename.split('-')[0]}-*.dist-info")) / "INSTALLER").write_text("hand")
    with next(site.glob(f"{wheel.filename.split('-')[0]}-*.dist-info/RECORD")).open("a") as record:
        record.write(f"{wheel.filename.split('-')[0]}-{wheel.version}.dist-info/INSTALLER,,4\n")


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    (tmp_path / SITE).mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\n")
    if links_work():
        (tmp_path / "bin/python").symlink_to("/usr/bin/python3")
    return tmp_path


@pytest.fixture
def bare(environment: Path) -> Bare:
    return read_bare(environment)


def compare(
    environment: Path, *, expected: dict[str, str] | None = None, bare: Bare | None = None, deep: bool = False
) -> Compared:
    return comparison.compare(read_environment(environment), expected=expected, bare=bare, deep=deep)


def kinds(environment: Path, bare: Bare | None, *, deep: bool = False) -> list[str]:
    return [each.kind for each in compare(environment, expected={"alpha": "1.0"}, bare=bare, deep=deep).differences]


def module(environment: Path) -> Path:
    return environment / SITE / "alpha/__init__.py"


def edit(path: Path, text: str, *, later: float) -> None:
    before = path.stat()
    path.write_bytes(text.encode())
    os.utime(path, (before.st_atime, before.st_mtime + later))


def test_what_a_wheel_brings_is_right(environment: Path, bare: Bare) -> None:
    install(environment, build_wheel("alpha", "1.0"))

    compared = compare(environment, expected={"alpha": "1.0"}, bare=bare, deep=True)

    assert compared.differences == ()
    assert len(compared.notes) == 1
    assert "has no hash" in compared.notes[0]
    assert compared.hashed == 3


def by_hand(change: Callable[[Path], object], kind: str, *, deep: bool = False) -> tuple[object, ...]:
    return change, kind, deep


@pytest.mark.parametrize(
    ("change", "kind", "deep"),
    [
        by_hand(lambda env: module(env).unlink(), "missing"),
        by_hand(lambda env: module(env).write_text("x"), "size"),
        by_hand(lambda env: edit(module(env), "__version__ = '6.6'\n", later=60), "hash"),
        by_hand(lambda env: edit(module(env), "__version__ = '6.6'\n", later=0), "hash", deep=True),
        pytest.param(lambda env: (module(env).unlink(), module(env).symlink_to("/x")), "link", False, marks=LINKS),
        by_hand(lambda env: (env / SITE / "alpha/evil.py").write_text(""), "unlisted"),
        by_hand(lambda env: (env / "evil").write_text(""), "unlisted"),
        by_hand(lambda env: (env / SITE / "sitecustomize.py").write_text(""), "startup"),
        by_hand(lambda env: (env / SITE / "usercustomize.cpython-312-x86_64-linux-gnu.so").write_text(""), "startup"),
        by_hand(lambda env: (env / SITE / "evil.pth").write_text("x\nimport os; os.abort()\n"), "startup"),
        by_hand(lambda env: (env / "pyvenv.cfg").write_text("home = /usr/evi\n"), "overwritten"),
        by_hand(lambda env: (env / "pyvenv.cfg").unlink(), "overwritten"),
        pytest.param(
            lambda env: ((env / "bin/python").unlink(), (env / "bin/python").symlink_to("/evil")),
            "overwritten",
            False,
            marks=LINKS,
        ),
        by_hand(lambda env: (env / SITE / "alpha-1.0.dist-info/INSTALLER").unlink(), "broken"),
        by_hand(lambda env: (env / SITE / "alpha-1.0.dist-info").rename(env / SITE / "alpha-1.1.dist-info"), "broken"),
        by_hand(lambda env: install(env, build_wheel("beta", "1.0")), "set"),
    ],
)
def test_each_way_not_to_be(
    environment: Path, bare: Bare, change: Callable[[Path], object], kind: str, deep: bool
) -> None:
    install(environment, build_wheel("alpha", "1.0"))
    assert kinds(environment, bare, deep=deep) == []

    change(environment)

    assert kind in kinds(environment, bare, deep=deep)


def test_a_row_that_leaves_the_environment(environment: Path, bare: Bare) -> None:
    install(environment, build_wheel("alpha", "1.0"))
    with (environment / SITE / "alpha-1.0.dist-info/RECORD").open("a") as record:
        record.write("../../../../../etc/passwd,,\n")

    assert kinds(environment, bare) == ["outside"]


def test_bytecode_is_no_damage_where_it_is_expected(environment: Path, bare: Bare) -> None:
    install(environment, build_wheel("alpha", "1.0"))
    cache = environment / SITE / "alpha/__pycache__/__init__.cpython-312.pyc"
    cache.parent.mkdir()
    cache.write_text("")

    assert kinds(environment, bare) == ["unlisted"]
    assert kinds(environment, None) == []


def test_a_path_without_code_is_allowed_only_when_listed(environment: Path, bare: Bare) -> None:
    install(environment, build_wheel("alpha", "1.0", files={"alpha.pth": "./more\n", "alpha/__init__.py": ""}))
    assert kinds(environment, bare) == []

    (environment / SITE / "other.pth").write_text("./more\n")
    assert kinds(environment, bare) == ["startup"]


def test_two_wheels_may_share_a_file_and_are_named_when_they_differ(environment: Path, bare: Bare) -> None:
    install(environment, build_wheel("alpha", "1.0", files={"shared/__init__.py": "1\n"}))
    install(environment, build_wheel("beta", "1.0", files={"shared/__init__.py": "other\n"}))

    compared = compare(environment, expected={"alpha": "1.0", "beta": "1.0"}, bare=bare)

    assert compared.differences == ()
    assert any("listed by alpha and beta with different contents" in note for note in compared.notes)


def test_a_record_is_remembered_by_its_wheel(environment: Path, tmp_path: Path) -> None:
    install(environment, build_wheel("alpha", "1.0"))
    site = site_packages(environment)
    assert site is not None
    state = tmp_path / "state"

    def check(wheel: str) -> list[str]:
        found = check_records(distributions(environment, site), {"alpha": wheel}, state=state, reporter=Silent())
        return [each.kind for each in found]

    assert check("a" * 64) == []
    assert check("a" * 64) == []
    record = site / "alpha-1.0.dist-info/RECORD"
    record.write_text(record.read_text().replace("sha256=", "sha256=A", 1))
    assert check("a" * 64) == ["record"]
    assert check("b" * 64) == []


@pytest.mark.parametrize("damage", ["", "4a", "\0" * 130, "f" * 64 + "\n", "folder", "another's"])
def test_a_remembered_record_that_a_power_cut_left_is_dropped_and_made_again(
    environment: Path, tmp_path: Path, damage: str
) -> None:
    """L4: one that is whole but another wheel's counts as damaged too."""
    install(environment, build_wheel("alpha", "1.0"))
    site = site_packages(environment)
    assert site is not None
    wheel, told = "a" * 64, Told()
    remembered = tmp_path / "records" / wheel

    def check(wheel: str) -> list[str]:
        found = check_records(distributions(environment, site), {"alpha": wheel}, state=tmp_path, reporter=told)
        return [each.kind for each in found]

    assert check(wheel) == []
    whole = remembered.read_bytes()
    if damage == "another's":
        record(environment, "alpha/more.py,sha256=abc,3\n")
        assert check("b" * 64) == []
        remembered.write_bytes((tmp_path / "records" / ("b" * 64)).read_bytes())
        (site / "alpha-1.0.dist-info/RECORD").write_text(
            (site / "alpha-1.0.dist-info/RECORD").read_text().replace("alpha/more.py,sha256=abc,3\n", "")
        )
    elif damage == "folder":
        remembered.unlink()
        remembered.mkdir()
    else:
        remembered.write_text(damage)

    assert check(wheel) == []
    assert [line for line in told.lines if "dropping the remembered RECORD" in line]
    assert damage == "folder" or remembered.read_bytes() == whole


def record(environment: Path, rows: str, wheel: str = "alpha-1.0") -> None:
    with (environment / SITE / f"{wheel}.dist-info/RECORD").open("a") as file:
        file.write(rows)


def test_listed_byte_code_is_never_damage_in_an_environment_that_is_used(environment: Path) -> None:
    """uv compiles on demand and lists it, and every other interpreter writes its own."""
    install(environment, build_wheel("alpha", "1.0"))
    record(environment, "alpha/__pycache__/__init__.cpython-312.pyc,sha256=abc,3\n")
    record(environment, "alpha/old.pyc,sha256=abc,3\n")
    assert kinds(environment, None, deep=True) == []

    cache = environment / SITE / "alpha/__pycache__/__init__.cpython-312.pyc"
    cache.parent.mkdir()
    cache.write_text("of another size")
    assert kinds(environment, None, deep=True) == []


@pytest.mark.parametrize(("placeholder", "found"), [("/opt/placeholder", []), (None, ["size"])])
def test_what_conda_rewrote_for_its_place_is_no_damage(
    environment: Path, placeholder: str | None, found: list[str]
) -> None:
    """numpy/__config__.py names the prefix it was built in; conda's own record says which files do."""
    install(environment, build_wheel("alpha", "1.0", files={"alpha/__config__.py": "built in /opt/placeholder\n"}))
    (environment / "pyvenv.cfg").unlink()
    path = f"{SITE}/alpha/__config__.py"
    (environment / path).write_text("built in /home/a/env\n")
    info = environment / SITE / "alpha-1.0.dist-info"
    (info / "INSTALLER").write_text("conda, which is longer")
    row = {"_path": path} | ({"prefix_placeholder": placeholder} if placeholder else {})
    (environment / "conda-meta").mkdir()
    (environment / "conda-meta/alpha-1.0-0.json").write_text(json.dumps({"paths_data": {"paths": [row]}}))
    (environment / "conda-meta/history").write_text("")
    (environment / "conda-meta/broken.json").write_text("{")

    assert kinds(environment, None) == found
    assert kinds(environment, None, deep=True) == found


def test_code_is_told_from_data(environment: Path) -> None:
    files = {"alpha/__init__.py": "", "alpha/lib/libx.so.1": "x", "alpha/cacert.pem": "a certificate"}
    install(environment, build_wheel("alpha", "1.0", files=files))
    for name in files:
        (environment / SITE / name).write_text("replaced, and of another size")

    found = {each.path.rpartition("/")[2]: each.code for each in compare(environment).differences}

    assert found == {"__init__.py": True, "libx.so.1": True, "cacert.pem": False}


@LINKS
def test_links_are_followed_where_an_environment_is_used(environment: Path, bare: Bare, tmp_path: Path) -> None:
    """`uv pip install --link-mode symlink` leaves nothing but links."""
    install(environment, build_wheel("alpha", "1.0"))
    kept = tmp_path / "cache.py"
    module(environment).rename(kept)
    module(environment).symlink_to(kept)

    assert kinds(environment, None, deep=True) == []
    assert "link" in kinds(environment, bare)


@pytest.mark.parametrize("last", ["alpha", "beta"])
@pytest.mark.parametrize(("name", "code"), [("shared/libx.so.2", True), ("shared/x.py", True), ("tests/x.py", False)])
def test_who_overwrote_a_file_of_two_packages_is_told(environment: Path, last: str, name: str, code: bool) -> None:
    wheels = {each: build_wheel(each, "1.0", files={name: each.rjust(5)}) for each in ("alpha", "beta")}
    for each in sorted(wheels, key=lambda each: each == last):
        install(environment, wheels[each])

    (difference,) = [each for each in compare(environment).differences if each.kind == "clash"]

    assert (difference.by, difference.path, difference.code) == (last, f"{SITE}/{name}", code)
    assert {difference.package, last} == {"alpha", "beta"}
    assert [each for each in compare(environment).differences if each.kind != "clash"] == []


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("names", [("alpha",), ("alpha", "beta")])
def test_a_folder_in_the_place_of_a_file_is_a_missing_file(
    environment: Path, names: tuple[str, ...], deep: bool
) -> None:
    for each in names:
        install(environment, build_wheel(each, "1.0", files={"shared/data.py": f"of = {each!r}\n"}))
    (environment / SITE / "shared/data.py").unlink()
    (environment / SITE / "shared/data.py").mkdir()

    found = compare(environment, deep=deep).differences

    assert [(each.kind, each.path) for each in found] == [("missing", f"{SITE}/shared/data.py")]


def test_what_was_compared_is_said_as_it_was(environment: Path) -> None:
    install(environment, build_wheel("alpha", "1.0", files={"alpha/__init__.py": "", "alpha/x.py": "1"}))

    assert compare(environment).summary == "presence and size of 6 files"
    assert compare(environment, deep=True).summary == "presence and size of 6 files, the hash of 4"
