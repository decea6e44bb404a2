"""The numbers that the notebook about the timer advance quotes."""

from __future__ import annotations

import pytest

import kvmlab as kl


def eight(advance_ns, posted):
    host = kl.Host(
        pcpus=9,
        isolated=tuple(range(1, 9)),
        housekeeping="timers",
        pi_inject_timer=posted,
        lapic_timer_advance_ns=advance_ns,
    )
    guest = kl.Guest(vcpus=8, hlt_in_guest=True, workload=kl.Workload(tick_hz=1000))
    return kl.simulate(kl.Scenario(host, guest, kernel="v5.18", duration_s=1))


def test_advance_title():
    story = kl.follow_timer("v5.18")
    assert story.latency_ns == 160
    assert "0.41 us are left" in str(story)
    assert "0.00 us are left" in str(kl.follow_timer("v5.18", hlt_in_guest=True))


def test_advance_curves_caption():
    none, own = eight(0, False), eight(None, False)
    assert none.latency_percentile(0.5) / 1e3 == pytest.approx(0.66, abs=0.01)
    assert own.latency_percentile(0.5) / 1e3 == pytest.approx(0.16, abs=0.01)
    assert (none.latency_percentile(0.99) - own.latency_percentile(0.99)) / 1e3 == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(
    ("name", "cpu", "first", "last"), [("rev3-hv-timer", 1, 4226, 419), ("rev1-posted", 0, 52, 52)]
)
def test_advance_recorded_read(name, cpu, first, last):
    trace = kl.read_kvm_trace(kl.data.path("recorded", f"vmx-6.1-{name}.trace.txt"))
    waits = trace[trace["event"] == "kvm_wait_lapic_expire"]
    late = [fields["delta"] for fields in waits["fields"]]
    assert set(waits["cpu"]) == {cpu}
    assert (len(late), late[0], late[-1]) == (10, first, last)
    if cpu:
        assert [round(1 - late[i + 1] / late[i], 2) for i in range(2)] == [0.13, 0.12]
        assert late[7] == -20
    else:
        assert max(late) == 61


def test_advance_sweep_read():
    hv = {ns: eight(ns, False).summary() for ns in (0, 1000, 5000)}
    assert 3.5 < hv[5000]["share_taken"] / hv[0]["share_taken"] < 4
    assert hv[1000]["latency_p50_ns"] == hv[5000]["latency_p50_ns"]
    posted = {ns: eight(ns, True).summary() for ns in (0, 2000, 5000)}
    assert posted[5000]["housekeeping_share"] == pytest.approx(0.041, abs=0.001)
    assert posted[5000]["housekeeping_share"] == pytest.approx(8_000 * 5.13e-6, rel=0.02)
    assert posted[5000]["share_taken"] == pytest.approx(posted[0]["share_taken"], rel=0.02)
    assert posted[5000]["latency_p50_ns"] == pytest.approx(posted[2000]["latency_p50_ns"], rel=0.03)


def test_advance_near():
    near = kl.follow_timer("v5.18", deadline_ns=900)
    assert (near.backend, near.delivery, near.expiry_exit) == (None, "at_arm", None)
