"""The machinery that comes with a release, against what the kernels' sources were seen to do."""

import dataclasses

import pytest

import kvmlab as kl
from kvmlab import kernels, policy
from kvmlab.scenario.variants import variant

# pinned hrtimers, arm fast path, expiry fast path, re-arm after every block, advance rule, tuned before the wait,
# waits for one-shot and periodic timers too, skips missed periods, searches all CPUs, nearest housekeeping CPU,
# kvm.halt_poll_ns_shrink
MACHINERY = {
    "v5.2": (True, 0, False, True, 0, False, False, False, True, False, 0),
    "v5.2.1": (True, 0, False, True, 0, False, False, False, True, False, 0),
    "v5.3": (False, 0, False, True, 1, False, False, False, True, False, 0),
    "v5.4": (False, 0, False, True, 1, False, False, False, True, True, 0),
    "v5.5": (False, 0, False, True, 1, False, False, False, True, True, 0),
    "v5.6": (False, 0, False, True, 1, False, False, False, False, True, 0),
    "v5.7": (False, 0, False, True, 1, False, False, False, False, True, 0),
    "v5.8": (False, 1, True, True, 2, False, False, False, False, True, 0),
    "5.10.37": (False, 1, True, True, 2, False, False, False, False, True, 0),
    "5.10.262": (False, 1, True, True, 2, False, True, False, False, True, 0),
    "5.11.22": (False, 1, True, True, 2, False, True, False, False, True, 0),
    "v5.12": (False, 1, True, True, 2, False, False, False, False, True, 0),
    "v5.13": (False, 1, True, True, 2, True, True, False, False, True, 0),
    "v5.15": (False, 1, True, True, 2, True, True, False, False, True, 0),
    "v5.16": (False, 1, True, True, 2, True, True, False, False, True, 0),
    "v5.17": (False, 1, True, False, 2, True, True, False, False, True, 0),
    "v5.18": (False, 1, True, False, 2, True, True, False, False, True, 0),
    "6.1.176": (False, 1, True, False, 2, True, True, False, False, True, 0),
    "v6.10": (False, 1, True, False, 2, True, True, False, False, True, 0),
    "v6.11": (False, 1, True, False, 2, True, True, False, False, True, 2),
    "6.12.63": (False, 1, True, False, 2, True, True, False, False, True, 2),
    "6.12.64": (False, 1, True, False, 2, True, True, True, False, True, 2),
    "v6.17": (False, 1, True, False, 2, True, True, False, False, True, 2),
    "v6.18": (False, 2, True, False, 2, True, True, False, False, True, 2),
    "v6.19": (False, 2, True, False, 2, True, True, True, False, True, 2),
    "v7.1": (False, 2, True, False, 2, True, True, True, False, True, 2),
}
COURSE = {
    "v5.2": policy.before,
    "v5.3": policy.rev1,
    "v5.13": policy.rev1,
    "v5.15+rev2": policy.rev2,
    "v5.18": policy.rev3,
    "v6.18": policy.rev3,
    "v7.1": policy.rev3,
}


def machinery(kernel):
    return (
        kernel.hrtimer_pinned,
        kernel.arm_fastpath,
        kernel.expiry_fastpath,
        kernel.rearm_after_block,
        kernel.advance_rule,
        kernel.tunes_before_wait,
        kernel.hv_expiry_waits,
        kernel.skips_missed_periods,
        kernel.searches_all_cpus,
        kernel.nearest_any_cpu,
        kernel.halt_poll_ns_shrink,
    )


FIRST_WITH = {
    "hv_expiry_waits": ("5.10.38", "5.11.22", "5.12.5", "5.13"),
    "skips_missed_periods": ("6.12.64", "6.19"),
    "keeps_first_local": ("5.10.65", "5.13.17", "5.14.4", "5.15"),
    "counts_fastpath_exits": ("5.15.116", "6.1.33", "6.3.7", "6.4"),
    "expiry_fastpath": ("5.8",),
    "tunes_before_wait": ("5.13",),
    "nearest_any_cpu": ("5.4",),
    "deferred_rearm": ("7.1",),
}
"""Which releases of each series are the first to have a patch: upstream's is the last in the list."""
FIRST_WITHOUT = {"hrtimer_pinned": ("5.3",), "rearm_after_block": ("5.17",), "searches_all_cpus": ("5.6",)}


def one_before(version):
    """Return the release before: in the same stable series, or the one that the last series began with."""
    *series, last = map(int, version.split("."))
    return ".".join(map(str, (*series, last - 1)))


@pytest.mark.parametrize(
    ("field", "first", "has"),
    [(field, first, True) for field, firsts in FIRST_WITH.items() for first in firsts]
    + [(field, first, False) for field, firsts in FIRST_WITHOUT.items() for first in firsts],
)
def test_a_patch_comes_with_the_release_that_took_it(field, first, has):
    before = "v7.0" if first == "7.1" else one_before(first)
    assert [getattr(kernels.release(at, policy.rev1), field) for at in (before, first)] == [not has, has]


@pytest.mark.parametrize(
    ("field", "without"),
    [
        ("hv_expiry_waits", ("5.9.16", "5.8.18")),
        ("skips_missed_periods", ("6.11.99", "6.13.12", "6.18.99")),
        ("keeps_first_local", ("5.9.16", "5.11.22", "5.12.19")),
        ("counts_fastpath_exits", ("5.10.262", "5.16.20", "5.14.21", "6.2.16", "6.0.19")),
    ],
)
def test_a_series_that_was_not_maintained_any_more_never_took_it(field, without):
    assert not any(getattr(kernels.release(at, policy.rev1), field) for at in without)


@pytest.mark.parametrize("version", MACHINERY)
def test_machinery_follows_from_the_release(version):
    kernel = kernels.release(version, policy.rev1)
    assert machinery(kernel) == MACHINERY[version]
    assert kernel.name == version
    assert kernel.policy is policy.rev1


def test_the_seven_kernels_of_the_course():
    assert {name: kernel.policy for name, kernel in kl.KERNELS.items()} == COURSE
    for name, kernel in kl.KERNELS.items():
        assert kernel.name == name
        assert machinery(kernel) == MACHINERY[name.removesuffix("+rev2")]


@pytest.mark.parametrize(
    ("version", "counts"),
    [
        ("v5.2", False),
        ("5.10.262", False),
        ("v5.13", False),
        ("v5.15", False),
        ("5.15.115", False),
        ("5.15.116", True),
        ("v6.1", False),
        ("6.1.32", False),
        ("6.1.33", True),
        ("6.1.176", True),
        ("6.1.0-13-amd64", False),
        ("6.2.16", False),
        ("6.3.6", False),
        ("6.3.7", True),
        ("v6.4", True),
        ("v6.18", True),
    ],
)
def test_kvm_s_own_counter_left_out_fast_exits_until_june_2023(version, counts):
    """8b703a49c9df: v6.4, and the stable kernels whose vcpu_enter_guest() took it."""
    assert kernels.release(version, policy.rev1).counts_fastpath_exits is counts


def test_the_counter_of_a_run_lacks_what_its_kernel_does_not_count():
    for version, hides in [("v5.18", True), ("6.1.176", False)]:
        run = kl.simulate(kl.Scenario(kl.Host(), kl.Guest(), kernel=kernels.release(version, policy.rev3)))
        assert run.fastpath_exits > 100
        assert run.kvm_stat["exits"] == run.exits["Samples"].sum() - hides * run.fastpath_exits


@pytest.mark.parametrize(
    ("text", "parsed"),
    [("v5.2", (5, 2)), ("v7.1", (7, 1)), ("6.1.176", (6, 1)), ("v5.15+rev2", (5, 15)), ("v6.18", (6, 18))],
)
def test_a_release_is_major_and_minor(text, parsed):
    assert kernels.parse_release(text) == parsed


@pytest.mark.parametrize(
    "text", ["", "v5", "five.two", "v5.x", "latest", "v5.17-rc5", "v-5.-3", " 5.2", "5. 2", 5.2, None]
)
def test_what_is_no_release_is_named(text):
    with pytest.raises(ValueError, match=r"release: .*must be major\.minor") as caught:
        kernels.parse_release(text)
    assert repr(text) in str(caught.value)


def test_find_takes_names_and_kernels():
    mine = kl.KERNELS["v5.2"].with_policy("mine", policy.rev1)
    assert kernels.find("v6.18") is kl.KERNELS["v6.18"]
    assert kernels.find(mine) is mine


@pytest.mark.parametrize("name", ["v5.17", "5.2", "", None, 6.18, ()])
def test_an_unknown_kernel_lists_the_known_ones(name):
    with pytest.raises(ValueError, match=r"kernel: .*must be ") as caught:
        kernels.find(name)
    assert all(known in str(caught.value) for known in kl.KERNELS)


@pytest.mark.parametrize("name", [["v5.2"], {"v5.2"}, {}])
def test_an_unhashable_kernel_is_refused_too(name):
    with pytest.raises(ValueError, match=r"kernel: .*must be "):
        kernels.find(name)


def test_with_policy_keeps_the_machinery():
    old = kl.KERNELS["v5.2"]
    new = old.with_policy("new", policy.rev3)
    assert (new.name, new.policy, machinery(new)) == ("new", policy.rev3, machinery(old))
    assert old == kl.KERNELS["v5.2"]
    assert old.policy is policy.before
    with pytest.raises(dataclasses.FrozenInstanceError):
        old.name = "other"


@pytest.mark.parametrize(
    ("choice", "name", "rule"),
    [
        ("rev1", "rev1", policy.rev1),
        (policy.rev2, "rev2", policy.rev2),
        (lambda v: False, "<lambda>", None),
    ],
)
def test_a_variant_is_another_policy_in_the_same_machinery(choice, name, rule):
    base = kl.KERNELS["v5.2"]
    kernel = variant(base, choice)
    assert (kernel.name, machinery(kernel)) == (name, machinery(base))
    assert kernel.policy is (rule or choice)


def test_a_variant_may_be_another_kernel():
    assert variant(kl.KERNELS["v5.2"], "v6.18") is kl.KERNELS["v6.18"]
    assert variant(kl.KERNELS["v5.2"], kl.KERNELS["v5.3"]) is kl.KERNELS["v5.3"]


@pytest.mark.parametrize("choice", ["rev4", "", 5, None, ["rev1"]])
def test_what_is_no_variant_is_named(choice):
    with pytest.raises(ValueError, match="kernel or policy: ") as caught:
        variant(kl.KERNELS["v5.2"], choice)
    assert repr(choice) in str(caught.value)


def test_history_is_in_order_and_names_its_sources():
    table = kl.history()
    assert list(table["date"]) == sorted(table["date"])
    assert table["subject"].str.len().gt(0).all()
    commits = {commit[:12] for commit in table["commit"].dropna()}
    assert {"0c5f81dad46c", "1714a4eb6fb0", "0a94b2042419", "61abdbe0bcc2"} <= commits
    revisions = table[table["role"] == "revision"]
    assert list(revisions.loc[revisions["commit"].str.startswith("1714a4eb6fb0", na=False), "release"]) == ["v5.18"]
    assert list(revisions.loc[revisions["commit"].str.startswith("0c5f81dad46c", na=False), "release"]) == ["v5.3"]


@pytest.mark.parametrize(
    ("release", "keeps_first_local", "deferred_rearm"),
    [
        ("v5.2", False, False),
        ("v5.13", False, False),
        ("5.13.17", True, False),
        ("5.14.2", False, False),
        ("5.15.16", True, False),
        ("v6.18", True, False),
        ("v7.0", True, False),
        ("7.1.3", True, True),
    ],
)
def test_what_hrtimer_c_does_by_release(release, keeps_first_local, deferred_rearm):
    kernel = kernels.release(release, policy.rev3)
    assert (kernel.keeps_first_local, kernel.deferred_rearm) == (keeps_first_local, deferred_rearm)


@pytest.mark.parametrize(
    ("field", "value", "must"),
    [
        ("hrtimer_pinned", "yes", "True or False"),
        ("hrtimer_pinned", 1, "True or False"),
        ("halt_poll_ns_shrink", "two", "an integer"),
        ("halt_poll_ns_shrink", True, "an integer"),
        ("halt_poll_ns_shrink", -1, "an integer from 0 to 4294967295"),
        ("halt_poll_ns_shrink", 1 << 32, "an integer from 0 to 4294967295"),
        ("policy", None, "a function of VcpuFacts"),
        ("policy", "rev1", "a function of VcpuFacts"),
        ("arm_fastpath", 2, "an ArmFastpath"),
        ("advance_rule", None, "an AdvanceRule"),
        ("name", 5, "a text"),
    ],
)
def test_a_field_of_another_kind_is_refused(field, value, must):
    with pytest.raises(ValueError, match=rf"^Kernel\.{field}: {value!r} is not allowed; it must be {must}"):
        dataclasses.replace(kl.KERNELS["v5.18"], **{field: value})


def test_a_number_too_long_to_be_shown_is_refused_too():
    with pytest.raises(ValueError, match=r"^Kernel\.halt_poll_ns_shrink: a number of very many digits is not allowed"):
        dataclasses.replace(kl.KERNELS["v5.18"], halt_poll_ns_shrink=10**5000)


@pytest.mark.parametrize("version", ["v99.99", "v7.2", "7.2.0-rc1", "v8.0", "v5.1", "4.18.0-553.el8", "v0.0"])
def test_a_release_outside_of_what_was_read_is_refused(version):
    """What it does is not known: it is not quietly taken for another."""
    with pytest.raises(ValueError, match=rf"^release: '{version}' is not allowed; it must be from v5\.2 to v7\.1"):
        kernels.release(version, policy.rev3)


@pytest.mark.parametrize("version", ["v5.2", "5.2.21", "v7.1", "7.1.3", "7.1.99-arch1"])
def test_every_stable_release_in_between_is_known(version):
    assert kernels.release(version, policy.rev3).name == kernels.nearest_known(version) == version


def test_the_oldest_and_the_newest_known_release_are_kernels_of_the_course():
    assert (next(iter(kl.KERNELS)), list(kl.KERNELS)[-1]) == (kernels.OLDEST, kernels.NEWEST)


@pytest.mark.parametrize(
    ("text", "number"), [("6.1.176", 176), ("6.1.1", 1), ("6.1.176-amd64", 176), ("v6.1", 0), ("v5.15+rev2", 0)]
)
def test_a_stable_release_has_a_third_number(text, number):
    assert kernels.stable_number(text) == number
