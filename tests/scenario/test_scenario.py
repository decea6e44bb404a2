"""Scenarios: what is filled in, where vCPUs go, and what is said to input that does not fit."""

import contextlib
import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab.scenario.costs import Costs
from tests.strategies import few, scenarios

NAN, INF = math.nan, math.inf
HUGE = 10**400
WORDS: list = ["x", b"x", None, [], {}, object, 1j, np.array([1, 2]), True, np.True_, np.array(True)]
"""Not numbers, whatever the field."""

HOST = {
    "pcpus": [0, -1, 8193, 2.5, NAN, INF, "8", True, *WORDS],
    "isolated": [(8,), (-1,), (2, 2), (NAN,), ("2",), (2.5,), range(8), 5, None, (None,), "23"],
    "nohz_full": ["yes", 2, None, NAN, [], {}],
    "isolated_domains": ["no", -1, None],
    "domains": [((0,),), ((0, 1), (1, 2)), (tuple(range(9)),), ("ab",), (1, 2)],
    "hz": [0, -250, 10_001, NAN, INF, "250", 100.5, *WORDS[2:]],
    "housekeeping": ["busy", "", 1, None, ["idle"], "IDLE"],
    "housekeeping_timer_us": [0, 4.9, -1, NAN, INF, 1e7, *WORDS],
    "housekeeping_work_us": [-1, NAN, INF, 1e7, *WORDS],
    "loaded": [(8,), (0, 0), 3, ("a",), (-1,)],
    "vendor": ["Intel", "arm", "", None, 5],
    "apicv": ["on", None, 3],
    "preemption_timer": ["on", None, []],
    "preemption_timer_shift": [-1, 32, 2.5, NAN, *WORDS],
    "tsc_ghz": [0, 0.09, -2, 10.1, NAN, INF, *WORDS],
    "pi_inject_timer": ["auto", -1, 2, [], NAN],
    "timer_migration": ["yes", 5, None],
    "lapic_timer_advance_ns": [-1, 1_000_001, 0.5, NAN, INF, *WORDS[:2], *WORDS[3:]],
    "min_timer_period_us": [-1, NAN, INF, 1e7, *WORDS],
    "halt_poll_us": [-1, NAN, INF, 1e7, *WORDS],
    "ple_window": [0, 127, -1, 1 << 32, 4096.5, NAN, *WORDS],
}
WORKLOAD = {
    "tick_hz": [-1, 0.001, NAN, INF, 1e6, *WORDS],
    "timer_us": [0, 9.9, -5, NAN, INF, 1e9, *WORDS[:2], *WORDS[3:]],
    "rearm": ["Absolute", "", None, 0],
    "gap_us": [-1, NAN, INF, 1e9, *WORDS],
    "rewrites": [-1, 2.5, NAN, INF, 100_001, True, *WORDS],
    "rewrite_every_us": [0, 0.5, -1, NAN, INF, 1e9, *WORDS],
    "slides": ["yes", 2, None],
    "rewrite_by_us": [-1e9, NAN, INF, 1e9, *WORDS],
    "timers": [0, -1, 2.5, NAN, INF, 1 << 41, True, *WORDS[:2], *WORDS[3:]],
    "timer_mode": ["tsc", "one-shot", None, 0],
    "busy_us": [-1, NAN, INF, 1e9, *WORDS],
    "idle_us": [-1, NAN, INF, 1e9, *WORDS],
    "waits_by": ["HLT", "sleep", None, 1],
    "nohz_idle": ["yes", 2, None],
    "device_irq_hz": [-1, 0.001, NAN, INF, 1e7, *WORDS],
    "other_exit_hz": [-1, 0.001, NAN, INF, 1e7, *WORDS],
    "host_irq_hz": [-1, 0.001, NAN, INF, 1e7, *WORDS],
}
GUEST = {
    "vcpus": [0, -1, 8193, 1.5, NAN, "1", True, *WORDS],
    "pcpus": [(-1,), (8192,), (1, 1), ("1",), 5, (NAN,), ()],
    "workload": [None, 5, "busy", {}, kl.Workload],
    "hlt_in_guest": ["yes", 2, None],
    "mwait_in_guest": ["yes", 2, None],
    "pause_in_guest": ["yes", 2, None],
    "moves_every_ms": [0, -1, NAN, INF, 1e7, *WORDS[:2], *WORDS[3:]],
    "boot_us": [-1, NAN, INF, 1e12, *WORDS[:2], *WORDS[3:]],
    "preempt_hz": [-1, 0.001, NAN, INF, 1e6, *WORDS],
    "preempt_us": [0, -1, NAN, INF, 1e8, *WORDS],
    "name": [None, 5, b"guest", ["a"]],
}
SCENARIO = {
    "host": [None, "host", {}, kl.Host],
    "guests": [(), [], None, 5, "guest", ("guest",), (kl.Guest(), None), {}],
    "kernel": ["v5.17", "", None, 5.18, ()],
    "duration_s": [0, -1, 1e-7, NAN, INF, 1e7, *WORDS],
    "seed": [-1, 1 << 32, 0.5, NAN, True, *WORDS],
    "costs": [None, 5, {}, "zero", Costs],
    "trace_steps": [-1, 10_000_001, 0.5, NAN, INF, *WORDS],
}


def every(kind, table):
    """Return a case per field and bad value."""
    return [pytest.param(kind, name, bad, id=f"{name}-{bad!r:.40}") for name, values in table.items() for bad in values]


BAD = [*every(kl.Host, HOST), *every(kl.Workload, WORKLOAD), *every(kl.Guest, GUEST)]


def bad_parts(value):
    """What of a bad value a message must show: all of it, or the item that does not fit."""
    parts = [repr(value)]
    if isinstance(value, dict):
        return [*parts, "()"]
    if isinstance(value, (tuple, list, range, str)) and value != "":
        parts += [repr(tuple(value)), *(part for item in value if item != value for part in bad_parts(item))]
    return parts


@pytest.mark.parametrize(("kind", "field", "value"), BAD)
def test_an_error_names_the_field_the_value_and_what_is_allowed(kind, field, value):
    with pytest.raises(
        ValueError, match=rf"^{kind.__name__}\.({field}|vcpus): .* is not allowed; it must be "
    ) as caught:
        kind(**{field: value})
    assert any(part in str(caught.value) for part in bad_parts(value))


@pytest.mark.parametrize(("kind", "field", "value"), every(None, SCENARIO))
def test_a_scenario_names_them_too(kind, field, value):
    good = {"host": kl.Host(), "guests": kl.Guest()}
    with pytest.raises(ValueError, match=rf"^(Scenario\.)?{field}: .* is not allowed; it must be ") as caught:
        kl.Scenario(**(good | {field: value}))
    assert any(part in str(caught.value) for part in bad_parts(value))


def test_every_field_is_tried():
    for kind, table in ((kl.Host, HOST), (kl.Workload, WORKLOAD), (kl.Guest, GUEST), (kl.Scenario, SCENARIO)):
        assert [field.name for field in dataclasses.fields(kind)] == list(table)


@pytest.mark.parametrize(("kind", "field"), [(kl.Host, "pcpus"), (kl.Workload, "timer_us"), (kl.Guest, "vcpus")])
def test_a_number_too_large_for_a_float_does_not_fit(kind, field):
    with pytest.raises(ValueError, match=rf"^{kind.__name__}\.{field}: .*must be "):
        kind(**{field: HUGE})


@pytest.mark.parametrize("kernel", [["v5.18"], {}, {"v5.18"}])
def test_a_kernel_that_cannot_be_looked_up_does_not_fit(kernel):
    with pytest.raises(ValueError, match=r"kernel: .*must be "):
        kl.Scenario(kl.Host(), kl.Guest(), kernel=kernel)


@pytest.mark.parametrize("domains", [5, None, 1.5])
def test_what_is_no_list_of_domains_does_not_fit(domains):
    with pytest.raises(ValueError, match=r"^Host\.domains: .*must be "):
        kl.Host(domains=domains)


# --- what does not fit together ---------------------------------------------------------------------------------------


def test_more_vcpus_than_pcpus():
    with pytest.raises(ValueError, match=r"Guest\.vcpus: 5 is not allowed; it must be at most 4 in all guests"):
        kl.Scenario(kl.Host(pcpus=4, isolated=()), (kl.Guest(2), kl.Guest(3)))


def test_a_pinning_outside_the_host():
    with pytest.raises(ValueError, match=r"Guest\.pcpus: \(8,\) .*must be .* 0 to 7"):
        kl.Scenario(kl.Host(pcpus=8), kl.Guest(pcpus=(8,)))


def test_two_guests_on_one_pcpu():
    with pytest.raises(ValueError, match=r"Guest\.pcpus: \(3,\) is not allowed; .* guest 'b' shares \[3\] with"):
        kl.Scenario(kl.Host(), (kl.Guest(pcpus=(2, 3)), kl.Guest(pcpus=(3,), name="b")))


def test_fewer_pinnings_than_vcpus():
    with pytest.raises(ValueError, match=r"vcpus: 2 .*\(3,\)"):
        kl.Guest(2, pcpus=(3,))


def test_pools_that_leave_too_little():
    pool = kl.Guest(pcpus=range(7), moves_every_ms=1)
    with pytest.raises(ValueError, match=r"vcpus: 2 .* at most 1 for guest 'late'"):
        kl.Scenario(kl.Host(pcpus=8), (pool, kl.Guest(2, name="late")))


def test_every_pcpu_isolated():
    with pytest.raises(ValueError, match=r"isolated: .*at most 3 of the 4 pCPUs: one housekeeping CPU must be left"):
        kl.Host(pcpus=4, isolated=range(4))


def test_a_periodic_timer_has_one_period():
    with pytest.raises(ValueError, match=r"timer_mode: 'periodic' .*250.*1000: it has one period"):
        kl.Workload(timer_mode="periodic", timer_us=1000)
    kl.Workload(timer_mode="periodic", timer_us=1000, tick_hz=0)


@pytest.mark.parametrize("name", ["gap_us", "rewrites"])
@pytest.mark.parametrize(
    ("without", "why"),
    [
        ({"timer_us": None}, "timer_us is None"),
        ({"timer_mode": "periodic", "tick_hz": 0}, "timer_mode is 'periodic'"),
        ({"busy_us": 5, "idle_us": 5}, "busy_us is not 0"),
        ({"rearm": "absolute"}, "rearm is 'absolute'"),
    ],
)
def test_a_timer_that_is_written_again_by_itself(name, without, why):
    good = {"timer_us": 1000, "rearm": "relative", name: 3}
    kl.Workload(**good)
    with pytest.raises(ValueError, match=rf"^Workload.{name}: 3(.0)? is not allowed; it must be 0, since {why}"):
        kl.Workload(**(good | without))


# --- the other entrances ----------------------------------------------------------------------------------------------

SCENARIO_10_MS = kl.Scenario(kl.Host(), kl.Guest(2), duration_s=0.01)


@pytest.mark.parametrize("bad", [None, "scenario", 5, kl.Scenario, {}])
@pytest.mark.parametrize("use", [kl.simulate])
def test_only_a_scenario_is_simulated(use, bad):
    with pytest.raises(ValueError, match=r"^scenario: .*must be a Scenario") as caught:
        use(bad)
    assert repr(bad) in str(caught.value)


@pytest.mark.parametrize("use", [kl.compare, lambda bad: kl.sweep(bad, {"seed": [1]})], ids=["compare", "sweep"])
def test_only_a_scenario_is_compared_or_swept(use):
    with pytest.raises(ValueError, match=r"^scenario: .*must be a Scenario"):
        use("scenario")


@pytest.mark.parametrize("field", ["kernels", "host.cpus", "guest.", "workload.tick", "vcpu.name", ""])
def test_replace_lists_the_fields(field):
    with pytest.raises(
        ValueError, match=r"^field: .*must be one of host, guests, kernel, .*workload\.tick_hz"
    ) as caught:
        SCENARIO_10_MS.replace(**{field: 1})
    assert repr(field) in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("host.hz", 0),
        ("host.pcpus", 1),
        ("workload.tick_hz", NAN),
        ("workload.waits_by", "nap"),
        ("guest.vcpus", 9),
        ("guest.pcpus", (99,)),
        ("kernel", "v4"),
        ("guests", ()),
        ("host", 5),
        ("duration_s", "1"),
    ],
)
def test_replace_checks_what_it_puts_in(field, value):
    with pytest.raises(ValueError, match=r": .* is not allowed; it must be "):
        SCENARIO_10_MS.replace(**{field: value})


@pytest.mark.parametrize("changes", [{"host": 5, "host.hz": 100}, {"guests": 5, "guest.vcpus": 1}])
def test_replace_checks_what_it_changes(changes):
    with pytest.raises(ValueError, match=r": .*must be "):
        SCENARIO_10_MS.replace(**changes)


@pytest.mark.parametrize("choice", ["v5.17", "", "REV1", 5, None])
def test_compare_names_what_it_does_not_know(choice):
    with pytest.raises(ValueError, match=r"kernel or policy: ") as caught:
        kl.compare(SCENARIO_10_MS, [choice])
    assert repr(choice) in str(caught.value)


@pytest.mark.parametrize(
    "use",
    [
        lambda: kl.compare(SCENARIO_10_MS, 5),
        lambda: kl.compare(SCENARIO_10_MS, None),
        lambda: kl.sweep(SCENARIO_10_MS, dict.fromkeys(["host.hz"], 100)),
        lambda: kl.sweep(SCENARIO_10_MS, 5),
        lambda: kl.sweep(SCENARIO_10_MS, ["seed"]),
    ],
)
def test_no_list_and_no_grid(use):
    with pytest.raises(ValueError, match=" is not allowed; it must be "):
        use()


@pytest.mark.parametrize("grid", [{"hosts": [1]}, {"host.hz": [0]}, {"kernel": ["v1"]}, {"kernel": "v5.2"}])
def test_sweep_names_field_and_value(grid):
    with pytest.raises(ValueError, match=" is not allowed; it must be "):
        kl.sweep(SCENARIO_10_MS, grid)


@pytest.mark.parametrize("vcpu", [-1, 2, 0.5, NAN, "0", None, True])
def test_exits_of_a_vcpu_that_there_is_not(vcpu):
    run = kl.simulate(SCENARIO_10_MS)
    with pytest.raises(ValueError, match=r"^vcpu: .*must be ") as caught:
        run.exits_of(vcpu)
    assert repr(vcpu) in str(caught.value)


@pytest.mark.parametrize("share", [-0.1, 1.1, NAN, INF, "0.5", None])
def test_a_share_is_between_0_and_1(share):
    run = kl.simulate(SCENARIO_10_MS)
    with pytest.raises(ValueError, match=r"^share: .*must be .* 0 to 1") as caught:
        run.latency_percentile(share)
    assert repr(share) in str(caught.value)


# --- what is filled in ------------------------------------------------------------------------------------------------


def test_vcpus_go_to_isolated_pcpus_in_order_then_to_housekeeping_from_above():
    host = kl.Host(pcpus=6, isolated=(4, 1))
    scenario = kl.Scenario(host, (kl.Guest(pcpus=(5,)), kl.Guest(2), kl.Guest(2)))
    assert scenario.placement[0] == (5,)
    assert set(scenario.placement[1]) == {1, 4}
    assert scenario.placement[2] == (3, 2)


def test_pi_inject_timer_follows_nohz_full():
    assert kl.Host().injects_timer
    assert not kl.Host(nohz_full=False).injects_timer
    assert not kl.Host(isolated=()).injects_timer
    assert kl.Host(nohz_full=False, pi_inject_timer=True).injects_timer
    assert not kl.Host(pi_inject_timer=False).injects_timer


def test_housekeeping_for_timers_is_a_matter_of_nohz_full():
    assert kl.Host(pcpus=4, isolated=(1, 3)).timer_housekeeping == (0, 2)
    assert kl.Host(pcpus=4, isolated=(1, 3), nohz_full=False).timer_housekeeping == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("options", "has"),
    [
        ({}, True),
        ({"vendor": "amd"}, False),
        ({"preemption_timer": False}, False),
        ({"preemption_timer_shift": 2}, False),
        ({"preemption_timer_shift": 3}, True),
        ({"preemption_timer_shift": 0, "tsc_ghz": 0.4295}, False),
        ({"preemption_timer_shift": 0, "tsc_ghz": 0.4294}, True),
    ],
)
def test_who_has_a_preemption_timer(options, has):
    assert kl.Host(**options).has_hv_timer is has


@given(scenarios())
@few(40)
def test_scenarios_are_values(scenario):
    assert scenario.replace() == scenario
    again = dataclasses.replace(scenario, host=dataclasses.replace(scenario.host))
    assert again == scenario
    other = scenario.replace(**{"workload.timers": 7, "guest.hlt_in_guest": True, "host.hz": 100, "seed": 5})
    assert (other.seed, other.host.hz) == (5, 100)
    assert all(guest.workload.timers == 7 and guest.hlt_in_guest for guest in other.guests)
    assert other.host.pcpus == scenario.host.pcpus
    with pytest.raises(dataclasses.FrozenInstanceError):
        scenario.seed = 1


@given(st.integers(-5, 10_000), st.floats(allow_nan=True) | st.text(max_size=3) | st.none())
@few(100)
def test_whatever_is_passed_is_taken_or_refused_by_a_value_error(number, anything):
    # But for Host.domains: see above.
    fields = (
        [(kl.Host, f) for f in HOST if f != "domains"]
        + [(kl.Workload, f) for f in WORKLOAD]
        + [(kl.Guest, f) for f in GUEST]
    )
    for kind, field in fields:
        for value in (number, anything, (number,), (anything,)):
            with contextlib.suppress(ValueError):
                kind(**{field: value})


@pytest.mark.parametrize(
    "build",
    [
        lambda: kl.Guest(vcpus=2, pcpus=(3,)),
        lambda: kl.Scenario(kl.Host(pcpus=2, isolated=(1,)), kl.Guest(vcpus=4)),
        lambda: kl.Scenario(kl.Host(), (kl.Guest(pcpus=(3,)), kl.Guest(pcpus=(3,)))),
    ],
)
def test_several_vcpus_on_a_pcpu_are_refused_with_what_comes_near(build):
    with pytest.raises(ValueError, match=r"at most one vCPU per pCPU: .*preempt_hz"):
        build()
