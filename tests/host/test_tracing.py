"""A trace instance of the live guest's own, in a folder that stands for tracefs."""

from __future__ import annotations

import pytest

from kvmlab.host.live import tracing
from kvmlab.host.live.tracing import Trace

EVENTS = {
    "kvm/kvm_entry": True, "kvm/kvm_exit": True, "kvm/kvm_hv_timer_state": True, "kvm/kvm_msr": True,
    "kvm/kvm_eoi": True, "kvm/kvm_inj_virq": True, "kvm/kvm_vcpu_wakeup": True, "timer/hrtimer_start": True,
    "kvm/kvm_apic_accept_irq": False, "kvm/kvm_apicv_accept_irq": False, "kvm/kvm_wait_lapic_expire": False,
    "timer/hrtimer_expire_entry": False,
}  # fmt: skip
"""Whether an event is only taken in the vCPU's thread."""


@pytest.fixture(name="written")
def fixture_written(monkeypatch):
    """Note what is written, in order; a new instance has the folders that the kernel makes."""
    written = []
    write, make = tracing.Path.write_text, tracing.Path.mkdir

    def noting(path, text, *rest, **kinds):
        written.append((str(path).partition("/kvmlab-7/")[2], text))
        return write(path, text, *rest, **kinds)

    def making(path, *rest, **kinds):
        make(path, *rest, **kinds)
        if path.name.startswith("kvmlab-"):
            written.append(("made", path.name))
            for event in EVENTS:
                if event != "kvm/kvm_vcpu_wakeup":
                    make(path / "events" / event, parents=True)

    def removing(path):
        written.append(("removed", path.name))

    monkeypatch.setattr(tracing.Path, "write_text", noting)
    monkeypatch.setattr(tracing.Path, "mkdir", making)
    monkeypatch.setattr(tracing.Path, "rmdir", removing)
    return written


def test_events_are_on_between_entering_and_leaving(tmp_path, written):
    (tmp_path / "instances").mkdir()
    with Trace(tmp_path, 7) as trace:
        entered = list(written)
        (trace.instance / "trace").write_bytes(b"# tracer: nop\n vcpu-7 [000] 1.0: kvm_entry: vcpu 0\n")
    assert entered[:3] == [("made", "kvmlab-7"), ("tracing_on", "0"), ("buffer_size_kb", "4096")]
    assert entered[-1] == ("tracing_on", "1")
    expected = []
    for event, own in EVENTS.items():
        if event != "kvm/kvm_vcpu_wakeup":  # this kernel has none
            expected += [(f"events/{event}/filter", "common_pid == 7")] if own else []
            expected += [(f"events/{event}/enable", "1")]
    assert sorted(entered[3:-1]) == sorted(expected)
    for event, own in EVENTS.items():
        if own and event != "kvm/kvm_vcpu_wakeup":
            at = entered.index((f"events/{event}/filter", "common_pid == 7"))
            assert entered[at + 1] == (f"events/{event}/enable", "1")
    assert written[len(entered) :] == [("tracing_on", "0"), ("removed", "kvmlab-7")]
    assert trace.listing == "# tracer: nop\n vcpu-7 [000] 1.0: kvm_entry: vcpu 0\n"


def test_an_instance_that_is_refused_something_is_removed(tmp_path, written, monkeypatch):
    (tmp_path / "instances").mkdir()

    def refused(*_):
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Trace, "enable", refused)
    with pytest.raises(OSError, match="busy"), Trace(tmp_path, 7):
        pass
    assert written[-1] == ("removed", "kvmlab-7")


def test_a_listing_that_cannot_be_read_is_empty(tmp_path, written):
    (tmp_path / "instances").mkdir()
    with Trace(tmp_path, 7) as trace:
        pass  # there is no file "trace"
    assert trace.listing == ""
    assert written[-1] == ("removed", "kvmlab-7")


def test_tracefs_is_the_first_place_that_has_instances_and_kvm_events(tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setattr(tracing, "TRACEFS", (first, second))
    assert tracing.tracefs() is None
    for folder in (first / "instances", second / "instances", second / "events/kvm"):
        folder.mkdir(parents=True)
    assert tracing.tracefs() == second
    (first / "events/kvm").mkdir(parents=True)
    assert tracing.tracefs() == first
    monkeypatch.setattr(tracing.os, "access", lambda path, mode: mode == tracing.os.W_OK and "second" in str(path))
    assert tracing.tracefs() == second


OURS, ANOTHER = "0000aa", "0000bb"
LISTING = f"""\
# tracer: nop
 vcpu-7 [002] d.h. 1.000001: hrtimer_start: hrtimer={OURS} function=apic_timer_fn expires=1 softexpires=1
 vcpu-7 [002] d.h. 1.000002: hrtimer_start: hrtimer=0000cc function=tick_sched_timer expires=1 softexpires=1
 vcpu-9 [003] d.h. 1.000003: hrtimer_start: hrtimer={ANOTHER} function=apic_timer_fn expires=1 softexpires=1
 vcpu-9 [003] ..... 1.000004: kvm_entry: vcpu 1
 <idle>-0 (-----) [000] d.h. 1.000005: hrtimer_expire_entry: hrtimer={OURS} function=apic_timer_fn now=1
 <idle>-0 (-----) [000] d.h. 1.000006: kvm_apicv_accept_irq: apicid 0 vec 236 (Fixed|edge)
 <idle>-0 [001] d.h. 1.000007: kvm_apicv_accept_irq: apicid 1 vec 236 (Fixed|edge)
 <idle>-0 [000] d.h. 1.000008: sched_switch: whatever
 <idle>-0 [000] d.h. 1.000009: hrtimer_expire_entry: hrtimer={ANOTHER} function=apic_timer_fn now=1
 <idle>-0 [000] d.h. 1.000010: kvm_apicv_accept_irq: apicid 1 vec 236 (Fixed|edge)
 <idle>-0 [000] d.h. 1.000011: hrtimer_expire_entry: hrtimer=0000cc function=tick_sched_timer now=1
 vcpu-7 (  6) [002] ..... 1.000012: kvm_exit: reason HLT rip 0x1 info 0 0
""".splitlines()


def test_only_the_own_thread_and_its_timer_are_kept():
    """Of other threads only what happens where the own timer fires, until another fires there."""
    assert list(tracing.own_lines(LISTING, 7)) == [LISTING[at] for at in (0, 1, 5, 6, 12)]
    assert list(tracing.own_lines(LISTING, 9)) == [LISTING[at] for at in (0, 3, 4, 9, 10)]
    assert tracing.own_timers(LISTING, 7) == {OURS}
    assert tracing.own_timers(LISTING, 9) == {ANOTHER}
    assert tracing.own_timers(LISTING, 8) == set()
