"""Laws of the rules on code and drivers, for any wheel and any card."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gpuenv import knowledge
from gpuenv.knowledge.rules import Code, NoCode, Support, compare_versions, serve
from gpuenv.model.machine import ComputeCapability, Os

TABLES = knowledge.load()
RULES = TABLES.code_rules
EXCEPTED = frozenset().union(*(rule.not_on | rule.only_on for rule in RULES.exceptions))

KNOWN = sorted(TABLES.architectures)
capabilities = st.one_of(
    st.sampled_from(KNOWN),
    st.builds(ComputeCapability, st.integers(3, 13), st.integers(0, 9)),
)
suffixes = st.sampled_from(["", "", "", "a", "f"])
numbers = st.builds(
    lambda capability, suffix: f"{capability.major}{capability.minor}{suffix}",
    capabilities,
    suffixes,
)
sass_lists = st.lists(numbers.map(lambda number: f"sm_{number}"), max_size=8, unique=True)
ptx_lists = st.lists(numbers.map(lambda number: f"compute_{number}"), max_size=3, unique=True)
cudas = st.one_of(st.none(), st.sampled_from(["11.8", "12.6", "12.8", "12.10", "13.0", "13.2", "14.0"]))
drivers = st.lists(st.integers(0, 999), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
platforms = st.sampled_from(["linux_x86_64", "linux_aarch64", "win_amd64"])
systems: st.SearchStrategy[Os] = st.sampled_from(["linux", "windows"])
moderately = settings(max_examples=150, deadline=None)


def ask(
    capability: ComputeCapability,
    sass: list[str],
    ptx: list[str] | None = None,
    *,
    cuda: str | None = "12.8",
    driver_cuda: str | None = "12.8",
) -> Support | NoCode:
    return serve(
        capability,
        sass=tuple(sass),
        ptx=tuple(ptx or ()),
        cuda=cuda,
        driver_cuda=driver_cuda,
        platform="linux_x86_64",
        rules=RULES,
    )


@moderately
@given(capabilities, sass_lists, cudas)
def test_machine_code_never_crosses_a_major(capability: ComputeCapability, sass: list[str], cuda: str | None) -> None:
    """One chip had two numbers (Thor: 10.1, 11.0): the table names it, and nothing else may."""
    answer = ask(capability, sass, cuda=cuda)
    if isinstance(answer, Support):
        code = Code.parse(answer.by)
        assert code is not None
        renumbered = {(code.major, code.minor), capability} <= {(10, 1), (11, 0)}
        assert renumbered or (code.major == capability.major and code.minor <= capability.minor)


@moderately
@given(capabilities, sass_lists, sass_lists, ptx_lists, cudas, cudas)
def test_more_code_never_loses_a_card(
    capability: ComputeCapability,
    sass: list[str],
    more: list[str],
    ptx: list[str],
    cuda: str | None,
    driver_cuda: str | None,
) -> None:
    before = ask(capability, sass, ptx, cuda=cuda, driver_cuda=driver_cuda)
    after = ask(capability, [*sass, *more], ptx, cuda=cuda, driver_cuda=driver_cuda)
    if isinstance(before, Support):
        assert isinstance(after, Support)
        assert (before.support, after.support) != ("native", "ptx")


@moderately
@given(capabilities, sass_lists, ptx_lists, cudas, cudas, cudas)
def test_a_newer_driver_never_loses_a_card(
    capability: ComputeCapability,
    sass: list[str],
    ptx: list[str],
    cuda: str | None,
    one: str | None,
    other: str | None,
) -> None:
    if one is None or (other is not None and compare_versions(one, other) <= 0):
        before = ask(capability, sass, ptx, cuda=cuda, driver_cuda=one)
        after = ask(capability, sass, ptx, cuda=cuda, driver_cuda=other)
        assert isinstance(after, Support) or isinstance(before, NoCode)


@moderately
@given(capabilities, sass_lists, ptx_lists, st.randoms(use_true_random=False))
def test_order_of_the_list_does_not_matter(
    capability: ComputeCapability, sass: list[str], ptx: list[str], random
) -> None:  # type: ignore[no-untyped-def]  # hypothesis' Random
    shuffled = list(sass)
    random.shuffle(shuffled)
    before, after = ask(capability, sass, ptx), ask(capability, shuffled, ptx)
    if isinstance(before, Support):
        assert before == after
    else:
        assert isinstance(after, NoCode)


@moderately
@given(capabilities, sass_lists, ptx_lists, cudas, cudas)
def test_what_serves_is_in_the_wheel_and_a_refusal_says_why(
    capability: ComputeCapability, sass: list[str], ptx: list[str], cuda: str | None, driver_cuda: str | None
) -> None:
    match ask(capability, sass, ptx, cuda=cuda, driver_cuda=driver_cuda):
        case Support(support="native", by=by):
            assert by in sass
        case Support(by=by, warning=warning):
            assert by in ptx
            assert warning
        case NoCode(detail=detail):
            assert detail.startswith("no code for sm_")


@moderately
@given(st.sampled_from(KNOWN))
def test_a_cards_own_code_serves_it(capability: ComputeCapability) -> None:
    answer = ask(capability, [f"sm_{capability.major}{capability.minor}"], cuda="14.0")
    assert isinstance(answer, Support)


@moderately
@given(capabilities, capabilities, st.sampled_from(["a", "f"]))
def test_a_suffix_never_widens(capability: ComputeCapability, target: ComputeCapability, suffix: str) -> None:
    plain = f"sm_{target.major}{target.minor}"
    if isinstance(ask(capability, [plain + suffix]), Support):
        assert isinstance(ask(capability, [plain]), Support)


@moderately
@given(capabilities, capabilities)
def test_outside_the_exceptions_the_rule_is_the_rule(capability: ComputeCapability, target: ComputeCapability) -> None:
    if capability not in EXCEPTED and target not in EXCEPTED:
        served = isinstance(ask(capability, [f"sm_{target.major}{target.minor}"]), Support)
        assert served is (capability.major == target.major and capability.minor >= target.minor)


@moderately
@given(drivers, drivers, drivers)
def test_drivers_are_in_a_total_order(a: str, b: str, c: str) -> None:
    assert compare_versions(a, b) == -compare_versions(b, a)
    assert compare_versions(a, a) == 0
    if compare_versions(a, b) <= 0 and compare_versions(b, c) <= 0:
        assert compare_versions(a, c) <= 0


@moderately
@given(drivers, st.integers(1, 99))
def test_a_later_release_of_a_branch_is_newer(driver: str, more: int) -> None:
    assert compare_versions(f"{driver}.{more}", driver) == 1


@moderately
@given(
    st.integers(350, 700),
    st.integers(0, 999),
    st.integers(0, 99),
    st.integers(0, 50),
    st.sampled_from(["linux", "windows"]),
)
def test_a_newer_driver_never_knows_an_older_cuda(branch: int, minor: int, patch: int, more: int, os) -> None:  # type: ignore[no-untyped-def]  # a literal of two
    older = TABLES.driver_cuda(f"{branch}.{minor}.{patch}", os)
    newer = TABLES.driver_cuda(f"{branch + more}.{minor}.{patch}", os)
    if older is not None:
        assert newer is not None
        assert compare_versions(older, newer) <= 0


@moderately
@given(st.integers(0, 99), st.integers(0, 30))
def test_variants_are_named_after_their_cuda_and_floors_follow_from_the_major(major: int, minor: int) -> None:
    if major >= 10:
        variant = TABLES.variant_of(f"{major}.{minor}")
        assert TABLES.cuda_of(variant) == f"{major}.{minor}"
        floor = TABLES.driver_floor(variant, "linux")
        assert (floor is not None) or major not in (11, 12, 13)
        if floor is not None and floor.by == "major-rule":
            assert floor.minimum == (TABLES.driver_floor(f"cu{major}8", "linux") or floor).minimum


@moderately
@given(platforms, st.sampled_from(sorted(TABLES.kernels)))
def test_a_row_is_found_by_its_key_alone(platform: str, key: tuple[str, str, str]) -> None:
    row = TABLES.kernels[key]
    assert (row.torch, row.variant, row.platform) == key
    if platform != row.platform:
        other = TABLES.kernels.get((row.torch, row.variant, platform))
        assert other is None or other.platform == platform
