"""What a host is set to, read from text, and what follows from it in explain and what-if."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab.host.host_facts import read_host_facts
from tests.places import RECORDED
from tests.strategies import few

HV = RECORDED / "vmx-6.1-rev3-hv-timer.trace.txt"
SYS = "/sys/module/"
TEXT = """\
root@host:~# grep . /sys/module/kvm*/parameters/*
/sys/module/kvm/parameters/enable_vmware_backdoor:N
/sys/module/kvm/parameters/halt_poll_ns:50000
/sys/module/kvm/parameters/min_timer_period_us:500
/sys/module/kvm/parameters/pi_inject_timer:1
/sys/module/kvm_intel/parameters/enable_apicv:Y
/sys/module/kvm_intel/parameters/ple_window:8192
/sys/module/kvm_intel/parameters/preemption_timer:Y
root@host:~# cat /proc/cmdline
BOOT_IMAGE=/vmlinuz-6.1 root=/dev/mapper/root ro quiet nohz_full=1-3,8 isolcpus=domain,managed_irq,1-3,8 rcu_nocbs=1-3
"""


def test_what_is_read():
    facts = read_host_facts(TEXT)
    assert (facts.pi_inject_timer, facts.hv_timer, facts.apicv) == (True, True, True)
    assert facts.nohz_full == {1, 2, 3, 8}
    assert facts.settings() == {"halt_poll_us": 50, "min_timer_period_us": 500, "ple_window": 8192}
    # APICv may be on, and a VM without it all the same.
    assert facts.flags() == {"pi_inject_timer": True, "hv_timer": True}


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (f"{SYS}kvm/parameters/pi_inject_timer:0", {"pi_inject_timer": False}),
        (f"{SYS}kvm/parameters/pi_inject_timer:-1", {}),
        (f"{SYS}kvm/parameters/pi_inject_timer Y", {"pi_inject_timer": True}),
        ("kvm_intel/parameters/enable_apicv = N", {"apicv_active": False}),
        (f"{SYS}kvm_amd/parameters/avic:N", {"hv_timer": False, "apicv_active": False}),
        (f"{SYS}kvm_amd/parameters/avic:Y", {"hv_timer": False}),
        (
            "root=/dev/sda ro kvm-intel.preemption_timer=0 kvm.pi_inject_timer",
            {"hv_timer": False, "pi_inject_timer": True},
        ),
        # As it is now goes before what was said at boot.
        (f"ro quiet kvm.pi_inject_timer=1\n{SYS}kvm/parameters/pi_inject_timer:0", {"pi_inject_timer": False}),
    ],
)
def test_facts_a_policy_looks_at(text, flags):
    assert read_host_facts(text).flags() == flags


@pytest.mark.parametrize(
    ("command_line", "isolated"),
    [
        ("ro quiet", set()),
        ("ro nohz_full=4", {4}),
        ("ro isolcpus=2-5", set()),
        ("ro isolcpus=nohz,domain,2-5", None),
        ("ro nohz_full=all", None),
        ("ro nohz_full=0-31:2/4", None),
        ("ro nohz_full=99999", None),
    ],
)
def test_who_is_isolated_for_timers(command_line, isolated):
    found = read_host_facts(command_line).nohz_full
    assert (None if found is None else set(found)) == isolated


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hello", "found nothing of what a host is set to; expected lines such as"),
        ("", "found nothing"),
        (
            f"{SYS}kvm/parameters/pi_inject_timer:maybe",
            r"kvm.pi_inject_timer: 'maybe' is not allowed; it must be Y, N, 1 or 0",
        ),
        (f"{SYS}kvm/parameters/halt_poll_ns:lots", r"kvm.halt_poll_ns: 'lots' is not allowed; .* a whole number"),
    ],
)
def test_what_does_not_fit_is_named(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_host_facts(text)


@few(100)
@given(st.text(st.sampled_from("kvm/_.intelparamdhozfu=:-,0123456789 YN\n"), max_size=120))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ValueError):
        assert all(isinstance(value, bool) for value in read_host_facts(text).flags().values())


def test_explain_takes_them():
    """rev3 alone: posting is allowed, the pCPU is isolated, and the preemption timer was used all the same."""
    told = kl.explain(HV, host_facts=TEXT)
    assert told.policy.consistent == ("rev3",)
    assert "the host facts says kvm.pi_inject_timer=1." in told.summary() or "pi_inject_timer=1." in told.summary()
    assert "the host facts: pCPU 1 is in nohz_full=." in told.policy.evidence
    # Without nohz_full= every pCPU is a housekeeping CPU, which rev2 asks for.
    text = TEXT.replace("nohz_full=1-3,8 ", "")
    assert set(kl.explain(HV, host_facts=text).policy.consistent) == {"rev2", "rev3"}


def test_contradictions_are_refused():
    with pytest.raises(ValueError, match=r"pi_inject_timer: False does not fit: the host facts says True"):
        kl.explain(HV, host_facts=TEXT, pi_inject_timer=False)
    with pytest.raises(ValueError, match=r"housekeeping_cpus: \[1\] do not fit: .* nohz_full="):
        kl.explain(HV, host_facts=TEXT, housekeeping_cpus=[0, 1])
    with pytest.raises(ValueError, match=r"apicv_active.*The recording shows otherwise"):
        kl.explain(RECORDED / "vmx-6.1-rev1-posted.trace.txt", host_facts=f"{SYS}kvm_intel/parameters/enable_apicv:N")
    with pytest.raises(ValueError, match="host_facts: not allowed beside an Explanation"):
        kl.what_if(kl.explain(HV), host_facts=TEXT)


def test_what_if_takes_them():
    off = TEXT.replace("pi_inject_timer:1", "pi_inject_timer:0").replace("nohz_full=1-3,8 ", "")
    w = kl.what_if(RECORDED / "perf-kvm-stat.pi0_none.txt", host_facts=off, seconds=1, replications=1)
    assert w.of("rev1", "posted").high == 0
    assert any("kvm.pi_inject_timer is off" in sentence for sentence in w.assumed)
    assert any("on housekeeping pCPUs" in sentence for sentence in w.assumed)
