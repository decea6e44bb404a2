"""What a host is set to, read from text, and what follows from it in explain and what-if."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab.host.host_facts import HostFacts, read_host_facts
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

QEMU = "/usr/bin/qemu-system-x86_64 -name guest=db -smp 8 {} -append console=ttyS0 root=/dev/vda nohz_full=2-7 "


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
    ("option", "flags"),
    [
        ("-overcommit cpu-pm=on", {"hlt_in_guest": True}),
        ("-overcommit mem-lock=off,cpu-pm=on", {"hlt_in_guest": True}),
        ("-overcommit mem-lock=off -overcommit cpu-pm=on", {"hlt_in_guest": True}),
        ("--overcommit cpu-pm", {"hlt_in_guest": True}),
        ("-overcommit cpu-pm=on -overcommit cpu-pm=off", {"hlt_in_guest": False, "mwait_in_guest": False}),
        ("-overcommit mem-lock=off", {"hlt_in_guest": False, "mwait_in_guest": False}),
        ("-cpu host", {"hlt_in_guest": False, "mwait_in_guest": False}),
        ("-overcommit cpu-pm=perhaps", {}),
    ],
)
def test_the_command_line_of_qemu(option, flags):
    """On a host without MWAIT cpu-pm=on gives HLT alone, so MWAIT stays open."""
    facts = read_host_facts(QEMU.format(option))
    assert facts.flags() == flags
    assert facts.nohz_full is None, "that is the guest's"
    assert read_host_facts(TEXT + QEMU.format(option)).nohz_full == {1, 2, 3, 8}


def test_two_machines_that_differ_say_nothing():
    lines = [QEMU.format("-overcommit cpu-pm=on"), QEMU.format("-cpu host")]
    assert read_host_facts("\n".join(lines)).cpu_pm is None
    assert read_host_facts("\n".join([lines[0]] * 2)).cpu_pm


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("kernel.timer_migration = 0", False),
        ("kernel.timer_migration = 1", True),
        ("/proc/sys/kernel/timer_migration:0", False),
    ],
)
def test_whether_timers_leave_their_cpu(line, value):
    facts = read_host_facts(line)
    assert facts.timer_migration is value
    assert facts.settings() == {"timer_migration": value}
    assert ("no timer leaves" in " ".join(facts.sentences)) is not value


def test_a_prompt_is_no_machine():
    told = "root@host:~# tr '\\0' ' ' </proc/4711/cmdline\nroot@host:~# ps -ww -o args -C qemu-system-x86_64\n" + TEXT
    assert read_host_facts(told).cpu_pm is None
    assert read_host_facts(TEXT).release == (6, 1)


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


def test_explain_knows_how_qemu_was_started():
    told = kl.explain(HV, host_facts=TEXT + QEMU.format("-cpu host"))
    assert "the host facts: QEMU was started without cpu-pm=on, so HLT and MWAIT exit." in told.summary()
    assert not told.policy.unknown


@pytest.mark.parametrize(("image", "said"), [("6.1", False), ("5.10.0-28", True), ("5.7", False), (None, True)])
def test_a_missing_row_shows_nothing_where_perf_misses_fast_exits(image, said):
    """The tracepoint kvm_entry is outside the loop that enters again in 5.8.18, and inside it in 5.11.4."""
    facts = None if image is None else TEXT.replace("vmlinuz-6.1", f"vmlinuz-{image}")
    told = kl.explain(RECORDED / "perf-kvm-stat.pi1_all.txt", host_facts=facts)
    assert ("perf misses exits" in told.summary()) is said
    hv = kl.explain(RECORDED / "perf-kvm-stat.pi0_none.txt", host_facts=facts and facts.replace("timer:1", "timer:0"))
    assert "perf misses exits" not in hv.summary()


def test_what_if_takes_cpu_pm_for_both_unless_the_preemption_timer_was_used():
    host = TEXT + QEMU.format("-overcommit cpu-pm=on")
    tables = [RECORDED / f"perf-kvm-stat.{name}.txt" for name in ("pi1_all", "pi0_none")]
    said = [
        " ".join(kl.what_if(each, host_facts=host, seconds=1, replications=1, revisions=["rev3"]).assumed)
        for each in tables
    ]
    assert "HLT stays in the guest, MWAIT stays in the guest." in said[0]
    assert "HLT stays in the guest, MWAIT exits." in said[1]


def test_what_if_takes_the_sysctl():
    table = RECORDED / "perf-kvm-stat.pi0_none.txt"
    off = TEXT.replace("pi_inject_timer:1", "pi_inject_timer:0") + "kernel.timer_migration = 0\n"
    told = kl.what_if(table, host_facts=off, pi_inject_timer=True, hlt_in_guest=True, seconds=1, replications=1)
    assert told.of("rev3", "posted").high == 0


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


EVERYTHING = """\
/sys/module/kvm/parameters/halt_poll_ns:200500
/sys/module/kvm/parameters/min_timer_period_us:0
/sys/module/kvm_intel/parameters/enable_apicv:N
/sys/module/kvm_intel/parameters/ple_window:4096
/sys/module/kvm_intel/parameters/preemption_timer:y
/proc/sys/kernel/timer_migration:1
BOOT_IMAGE=/boot/vmlinux-5.15.0-91 ro nohz_full=5,1-2 kvm.pi_inject_timer=0 kvm-intel.enable_apicv=1
"""


def test_everything_that_is_read_and_said():
    facts = read_host_facts(EVERYTHING + QEMU.format("-overcommit cpu-pm=on"))
    assert facts == HostFacts(
        name="the host facts",
        pi_inject_timer=False,
        hv_timer=True,
        apicv=False,
        nohz_full=frozenset({1, 2, 5}),
        halt_poll_us=200.5,
        min_timer_period_us=0,
        ple_window=4096,
        timer_migration=True,
        cpu_pm=True,
        release=(5, 15),
        sentences=(
            "the host facts says kvm.pi_inject_timer=0.",
            "the host facts says kvm_intel.preemption_timer=y.",
            "the host facts says kvm_intel.enable_apicv=N.",
            "the host facts says kernel.timer_migration=1.",
            "the host facts: QEMU was started with cpu-pm=on, so HLT does not exit, nor does MWAIT where the host has "
            "it.",
            "the host facts: nohz_full=5,1-2.",
        ),
    )
    assert isinstance(facts.ple_window, int)
    settings = {"halt_poll_us": 200.5, "min_timer_period_us": 0, "ple_window": 4096, "timer_migration": True}
    assert facts.settings() == settings


def test_a_command_line_alone_says_who_is_isolated():
    facts = read_host_facts("BOOT_IMAGE=/boot/bzImage root=/dev/sda1")
    assert facts == HostFacts(
        name="the host facts",
        nohz_full=frozenset(),
        sentences=(
            "the host facts: the command line has no nohz_full=, so every pCPU is a housekeeping CPU for timers.",
        ),
    )


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("ro nohz_full=all", "nohz_full=all is a list that depends on the machine."),
        ("ro isolcpus=nohz,2-5", "isolcpus=nohz,... is the same as nohz_full= in some releases only."),
        ("ro isolcpus=nohz,2-5 nohz_full=2-5", "nohz_full=2-5."),
    ],
)
def test_how_a_command_line_says_it_is_told(line, sentence):
    assert read_host_facts(line).sentences == (f"the host facts: {sentence}",)


def test_without_a_command_line_nobody_is_said_to_be_isolated():
    facts = read_host_facts("kernel.timer_migration=0")
    assert facts.nohz_full is None
    assert facts.sentences == ("the host facts says kernel.timer_migration=0: no timer leaves the CPU that arms it.",)
    facts = read_host_facts(QEMU.format("-cpu host"))
    assert facts == HostFacts(
        name="the host facts",
        cpu_pm=False,
        sentences=("the host facts: QEMU was started without cpu-pm=on, so HLT and MWAIT exit.",),
    )


def test_on_amd_avic_stands_for_apicv_and_there_is_no_preemption_timer():
    facts = read_host_facts(f"{SYS}kvm_amd/parameters/avic:1\n{SYS}kvm_intel/parameters/enable_apicv:N")
    assert (facts.hv_timer, facts.apicv) == (False, True)
    assert read_host_facts(f"{SYS}kvm_amd/parameters/nested:1").apicv is None
    assert read_host_facts(f"{SYS}kvm_intel/parameters/nested:1").hv_timer is None


@pytest.mark.parametrize(
    ("cpus", "isolated"),
    [
        ("0", {0}),
        ("0-2", {0, 1, 2}),
        ("3-3", {3}),
        ("1,3,5-6", {1, 3, 5, 6}),
        ("65535", {65535}),
        ("65536", None),
        ("65535-65536", None),
        ("2-", None),
        ("", None),
        ("1,,2", None),
        ("N", None),
    ],
)
def test_a_list_of_cpus_as_the_kernel_writes_it(cpus, isolated):
    found = read_host_facts(f"ro nohz_full={cpus}").nohz_full
    assert (None if found is None else set(found)) == isolated


def test_the_name_is_the_file_s(tmp_path):
    (tmp_path / "host.txt").write_text(f"{SYS}kvm/parameters/pi_inject_timer:1\n")
    facts = read_host_facts(tmp_path / "host.txt")
    assert facts.name == "host.txt"
    assert facts.sentences == ("host.txt says kvm.pi_inject_timer=1.",)
    (tmp_path / "host.txt").write_text("nothing of the kind\n")
    with pytest.raises(ValueError, match=r"^host.txt: found nothing of what a host is set to; expected lines such as"):
        read_host_facts(tmp_path / "host.txt")


@pytest.mark.parametrize("value", ["12345678901", "-1", "1.5", ""])
def test_a_number_that_the_kernel_does_not_print_is_refused(value):
    with pytest.raises(ValueError, match=r"kvm.min_timer_period_us: .* is not allowed; it must be a whole number"):
        read_host_facts(f"{SYS}kvm/parameters/min_timer_period_us:{value}")
    assert read_host_facts(f"{SYS}kvm/parameters/min_timer_period_us:1234567890").min_timer_period_us == 1234567890


@pytest.mark.parametrize(
    ("word", "value"),
    [
        *(("on", True), ("yes", True), ("true", True), ("y", True), ("", True)),
        *(("off", False), ("no", False), ("false", False), ("n", False), ("1", None)),
    ],
)
def test_a_switch_of_qemu_s(word, value):
    assert read_host_facts(QEMU.format(f"-overcommit cpu-pm={word}")).cpu_pm is value


def test_machines_that_agree_say_it_though_there_are_many():
    two = QEMU.format("-overcommit cpu-pm=on") + "\n" + QEMU.format("-overcommit mem-lock=on,cpu-pm=yes")
    assert read_host_facts(two).cpu_pm is True
    assert read_host_facts(two + "\n" + QEMU.format("-m 4G")).cpu_pm is None


@pytest.mark.parametrize("value", ["-1", "auto"])
def test_what_is_left_to_the_kernel_is_not_known(value):
    facts = read_host_facts(f"{SYS}kvm_amd/parameters/avic:{value}")
    assert (facts.apicv, facts.hv_timer) == (None, False)
    assert facts.sentences == (f"the host facts says kvm_amd.avic={value}.",)


@pytest.mark.parametrize(
    ("word", "value"), [("Y", True), ("y", True), ("1", True), ("N", False), ("n", False), ("0", False)]
)
def test_a_switch_of_the_kernel_s(word, value):
    assert read_host_facts(f"{SYS}kvm/parameters/pi_inject_timer:{word}").pi_inject_timer is value
