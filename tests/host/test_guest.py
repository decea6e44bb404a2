"""The live guest's thread: what it asks of KVM, and how it ends; on a KVM that exists only in the test."""

from __future__ import annotations

import os
import signal
import struct
import sys
import threading
from dataclasses import replace

import pytest

if sys.platform != "linux":
    pytest.skip("Linux only", allow_module_level=True)

from kvmlab.host.live import guest, guest_code, tracing
from kvmlab.host.live.guest import GuestThread, Measured, Settings, first_registers, run_guest
from kvmlab.host.live.kvm_ioctl import LiveError, Segment
from tests.host.fake_kvm import blocked, fake, interrupted

IO = 2
DONE = 0x10 << 16 | 1 << 8 | 1
"""OUT of one byte to port 0x10: direction, size and port of struct kvm_run's `io`."""
SAMPLES = 16 * 4096
STOP = [signal.SIGUSR1]
THREE = Settings(3, 1_000_000, "tsc_deadline", "hlt", False, False, None, 0)


@pytest.fixture(name="kvm")
def fixture_kvm(monkeypatch, tmp_path):
    monkeypatch.setattr(tracing, "TRACEFS", ())
    return fake(monkeypatch, tmp_path)


def fires(*samples):
    """A guest that writes these samples where r10 says, and is done."""

    def run(kvm):
        at = kvm.regs.r10
        written = struct.pack(f"<{2 * len(samples)}Q", *(number for pair in samples for number in pair))
        kvm.memory()[at : at + len(written)] = written
        kvm.regs.r10 += len(written)
        kvm.regs.r11 -= len(samples)
        kvm.leave(IO, DONE)

    return run


def segment(**fields):
    return bytes(Segment(base=0, limit=0xFFFFFFFF, present=1, s=1, g=1, **fields))


def test_a_guest_fires_its_timers_and_hands_over_what_it_wrote(kvm):
    kvm.guest = iter([fires((105, 100), (207, 200), (301, 300))])
    measured = run_guest(THREE, 10)
    assert measured.samples.tolist() == [[105, 100], [207, 200], [301, 300]]
    assert replace(measured, samples=None) == Measured(2_500_000, None, {}, "", 0, "")
    assert kvm.names().count("vcpu RUN") == 1
    assert kvm.all_closed()


def test_before_it_runs_the_vcpu_is_in_long_mode_with_an_x2apic(kvm):
    """The bits are those of Intel's manual: a flat 64-bit code segment, flat data, an identity mapping, EXTD."""
    seen = {}

    def look(kvm):
        seen["mask"] = kvm.mask
        sregs = kvm.sregs
        seen["code"] = bytes(sregs.cs)
        seen["data"] = {bytes(each) for each in (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss)}
        seen["gdt"], seen["idt"] = (sregs.gdt.base, sregs.gdt.limit), (sregs.idt.base, sregs.idt.limit)
        seen["control"] = (sregs.cr0, sregs.cr3, sregs.cr4, sregs.efer, sregs.apic_base)
        parts = guest_code.memory_parts(len(kvm.memory()))
        seen["memory"] = all(kvm.memory()[at : at + len(part)] == part for at, part in parts.items())
        seen["size"] = len(kvm.memory())
        fires((1, 1), (2, 2), (3, 3))(kvm)

    kvm.guest = iter([look])
    run_guest(THREE, 10)
    assert seen.pop("mask")[0] == 8
    assert seen == {
        "code": segment(selector=0x08, type=11, l=1, db=0),
        "data": {segment(selector=0x10, type=3, l=0, db=1)},
        "gdt": (0x4000, 23),
        "idt": (0x5000, 4095),
        "control": (0x80010031, 0x1000, 1 << 5, 0x500, 0xFEE00900 | 1 << 10),
        "memory": True,
        "size": 1 << 21,
    }
    assert kvm.cpuid[1] == (1, 0x0120_0200)  # x2APIC is bit 21, the TSC-deadline timer bit 24


def test_without_a_tsc_deadline_timer_cpuid_does_not_show_one(kvm):
    kvm.extensions[72] = 0
    kvm.guest = iter([fires((1, 1), (2, 2), (3, 3))])
    run_guest(replace(THREE, timer_mode="oneshot"), 10)
    assert kvm.cpuid[1] == (1, 0x0020_0200)
    with pytest.raises(LiveError) as error:
        run_guest(THREE, 10)
    assert str(error.value) == "/dev/kvm: this KVM has no TSC-deadline mode; timer_mode 'oneshot' may do"


@pytest.mark.parametrize(
    ("mode", "wait", "lvtt"),
    [("oneshot", "hlt", 0xEC), ("periodic", "pause", 0x200EC), ("tsc_deadline", "spin", 0x400EC)],
)
def test_the_registers_say_what_the_guest_shall_do(mode, wait, lvtt):
    """A period of 1 ms is 2 500 000 cycles of 2.5 GHz, and 1 000 000 of the APIC's bus."""
    regs = first_registers(Settings(7, 1_000_000, mode, wait, False, False, None, 3), 2_500_000)
    labels = guest_code.assembled()[1]
    expected = {"rip": 0x6000, "rflags": 2, "rsp": 0x8000, "r8": 2_500_000, "r10": 0x10000, "r11": 7, "r12": 1_000_000}
    expected |= {"rbp": lvtt, "rdi": labels[f"arm_{mode}"], "rsi": labels[f"wait_{wait}"]}
    assert {name: getattr(regs, name) for name, _ in regs._fields_ if getattr(regs, name)} == expected


def test_the_guest_starts_with_these_registers(kvm):
    seen = []

    def look(kvm):
        seen.append((kvm.regs.rip, kvm.regs.r11, kvm.regs.r8))
        fires((1, 1), (2, 2), (3, 3))(kvm)

    kvm.guest = iter([look])
    run_guest(THREE, 10)
    assert seen == [(0x6000, 3, 2_500_000)]


@pytest.mark.parametrize(
    ("hlt", "pause", "bits"), [(False, False, None), (True, False, 2), (False, True, 4), (True, True, 6)]
)
def test_hlt_and_pause_are_left_to_the_guest_where_it_is_asked_for(kvm, hlt, pause, bits):
    kvm.guest = iter([fires((1, 1), (2, 2), (3, 3))])
    run_guest(replace(THREE, hlt_in_guest=hlt, pause_in_guest=pause), 10)
    assert kvm.capability == (None if bits is None else (143, 0, [bits, 0, 0, 0]))


def test_the_memory_has_room_for_the_traced_timers_too(kvm):
    """16 bytes for each: 100 000 fit into 2 MiB beside the first 64 KiB, 150 000 do not."""
    kvm.guest = iter([interrupted_for_good])
    with pytest.raises(LiveError):
        run_guest(replace(THREE, timers=100_000), 10)
    assert kvm.region.memory_size == 1 << 21
    kvm.guest = iter([interrupted_for_good])
    with pytest.raises(LiveError):
        run_guest(replace(THREE, timers=100_000, traced_timers=50_000), 10)
    assert kvm.region.memory_size == 2 << 21


def interrupted_for_good(kvm):
    raise OSError(5, "Input/output error")


def test_a_cpu_is_chosen_for_the_thread_that_runs_the_guest(kvm, monkeypatch):
    asked = []
    monkeypatch.setattr(guest.os, "sched_setaffinity", lambda *what: asked.append((threading.current_thread(), what)))
    kvm.guest = iter([fires((1, 1), (2, 2), (3, 3))] * 2)
    run_guest(THREE, 10)
    assert asked == []
    run_guest(replace(THREE, pcpu=0), 10)
    [(thread, what)] = asked
    assert what == (0, {0})
    assert thread.name == "kvmlab-vcpu"
    assert thread.daemon


def test_a_cpu_that_is_refused_is_named(kvm, monkeypatch):
    def refused(*_):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(guest.os, "sched_setaffinity", refused)
    with pytest.raises(LiveError, match=r"^pcpu: this process may not run on CPU 5: Invalid argument$"):
        run_guest(replace(THREE, pcpu=5), 10)
    assert kvm.calls == []


@pytest.mark.parametrize(
    ("reason", "word", "why"),
    [
        (IO, 0x11 << 16, "KVM_EXIT_IO (0x110000, 0x0, 0x0, 0x0)"),
        (8, DONE, "KVM_EXIT_SHUTDOWN (0x100101, 0x0, 0x0, 0x0)"),
        (8, 0, "KVM_EXIT_SHUTDOWN (0x0, 0x0, 0x0, 0x0)"),
    ],
)
def test_a_guest_that_comes_out_otherwise_has_failed(kvm, reason, word, why):
    kvm.guest = iter([lambda kvm: kvm.leave(reason, word)])
    with pytest.raises(LiveError) as error:
        run_guest(THREE, 10)
    assert str(error.value) == (
        f"the guest ended before its timers had fired, at rip 0x6000; the last exit to user space was {why}"
    )
    assert kvm.all_closed()


def test_a_guest_that_takes_too_long_is_stopped_and_its_timers_counted(kvm):
    """Its KVM_RUN is ended as the kernel would end it: by the signal, once immediate_exit is set."""
    ended = threading.Event()

    def hang(kvm):
        kvm.regs.r10 += 2 * 16
        assert set(STOP) <= blocked()
        signal.sigwait(STOP)
        ended.set()
        raise interrupted()

    kvm.guest = iter([hang])
    with pytest.raises(LiveError) as error:
        run_guest(replace(THREE, timers=100), 0.02)
    assert str(error.value) == (
        "the guest did not finish: 2 of 100 timers had fired after 0.02 s (timeout_s), and was stopped"
    )
    assert ended.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "kvmlab-vcpu"]
    assert kvm.all_closed()


def test_a_guest_that_does_not_stop_is_left_behind(kvm, monkeypatch):
    monkeypatch.setattr(guest, "GRACE_S", 0.02)
    let_go = threading.Event()

    def hang(_):
        let_go.wait(10)
        raise interrupted()

    kvm.guest = iter([hang])
    with pytest.raises(LiveError) as error:
        run_guest(THREE, 0.02)
    [left] = [thread for thread in threading.enumerate() if thread.name == "kvmlab-vcpu"]
    let_go.set()
    left.join()
    assert str(error.value) == (
        "the guest did not finish: 0 of 3 timers had fired after 0.02 s (timeout_s), "
        "and does not stop: its thread is left behind"
    )


def test_a_guest_that_is_stopped_before_it_starts_is_not_entered(kvm):
    thread = GuestThread(THREE)
    thread.stopping.set()
    thread.start()
    thread.join(10)
    assert str(thread.error) == "the guest was stopped"
    assert thread.result is None
    assert thread.fired == 0
    assert "vcpu RUN" not in kvm.names()
    assert thread.stop()  # it has ended: nothing is left to stop
    assert thread.vm is None


def test_a_guest_that_is_stopped_while_it_is_set_up_is_not_entered(kvm, monkeypatch):
    thread = GuestThread(THREE)
    stopper = threading.Thread(target=thread.stop)

    def stopped_meanwhile(_):
        stopper.start()
        assert thread.stopping.wait(1)

    monkeypatch.setattr(guest, "prepare", stopped_meanwhile)
    thread.start()
    thread.join(10)
    stopper.join(10)
    assert str(thread.error) == "the guest was stopped"
    assert "vcpu RUN" not in kvm.names()


def test_a_thread_that_has_ended_is_not_sent_a_signal(kvm, monkeypatch):
    sent = []
    monkeypatch.setattr(guest.signal, "pthread_kill", lambda *what: sent.append(what))
    kvm.guest = iter([fires((1, 1), (2, 2), (3, 3))])
    run_guest(THREE, 10)
    assert sent == []


def stats_file(grown):
    """A file of KVM_GET_STATS_FD with the one counter "exits", at the offset 8 of its data."""
    head = struct.pack("<6I", 0, 16, 1, 24, 24, 64)
    descriptor = struct.pack("<IhHII", 0, 0, 1, 8, 0) + b"exits".ljust(16, b"\0")
    return (head + descriptor).ljust(72, b"\0") + struct.pack("<Q", grown)


def test_counters_are_read_before_and_after_the_measured_timers_only(kvm):
    kvm.extensions[203] = 1
    kvm.stats = [stats_file(40)]

    def count(kvm):
        fd = next(fd for fd, name in kvm.fds.items() if name == "stats")
        os.pwrite(fd, struct.pack("<Q", 47), 72)
        fires((1, 1), (2, 2), (3, 3))(kvm)

    kvm.guest = iter([count])
    assert run_guest(THREE, 10).counters == {"exits": 7}
    assert "vcpu GET_STATS_FD" in kvm.names()
    assert kvm.all_closed()


def test_no_timer_is_traced_unasked(kvm):
    kvm.guest = iter([fires((1, 1), (2, 2), (3, 3))])
    measured = run_guest(THREE, 10)
    assert (measured.listing, measured.tid, measured.refused) == ("", 0, "")


def test_without_tracefs_the_traced_timers_are_not_run(kvm):
    kvm.guest = iter([fires((1, 1), (2, 2), (3, 3))])
    measured = run_guest(replace(THREE, traced_timers=2), 10)
    assert (measured.listing, measured.tid) == ("", 0)
    assert measured.refused == (
        "There is no trace: tracefs is not mounted, or this user may not write to it (mostly, root may)."
    )


def traced(monkeypatch, tmp_path):
    """Put a folder in place of tracefs."""
    monkeypatch.setattr(tracing, "TRACEFS", (tmp_path / "tracing",))
    (tmp_path / "tracing/instances").mkdir(parents=True)
    (tmp_path / "tracing/events/kvm").mkdir(parents=True)


def test_traced_timers_run_after_those_that_are_measured(kvm, monkeypatch, tmp_path):
    traced(monkeypatch, tmp_path)
    seen = []

    def look(kvm):
        [instance] = (tmp_path / "tracing/instances").iterdir()
        seen.append((threading.get_native_id(), instance.name, kvm.regs.r11, kvm.regs.r13, kvm.regs.r10))
        (instance / "trace").write_text(f"# a comment\n kvmlab-{seen[0][0]} [000] 1.0: kvm_entry: vcpu 0\n")
        kvm.leave(IO, DONE)

    def first(kvm):
        fires((1, 1), (2, 2), (3, 3))(kvm)
        kvm.regs.r13 = 1

    kvm.guest = iter([first, look])
    measured = run_guest(replace(THREE, timer_mode="periodic", traced_timers=2), 10)
    [(tid, name, r11, r13, r10)] = seen
    assert (name, r11, r13, r10) == (f"kvmlab-{tid}", 2, 0, SAMPLES + 3 * 16)
    assert measured.tid == tid
    assert measured.listing == f"# a comment\n kvmlab-{tid} [000] 1.0: kvm_entry: vcpu 0\n"
    assert measured.refused == ""
    assert measured.samples.tolist() == [[1, 1], [2, 2], [3, 3]]


def test_a_tracefs_that_refuses_is_named(kvm, monkeypatch, tmp_path):
    traced(monkeypatch, tmp_path)
    monkeypatch.setattr(tracing.Trace, "__enter__", lambda self: (_ for _ in ()).throw(OSError(28, "No space left")))
    kvm.guest = iter([fires((1, 1), (2, 2), (3, 3))])
    measured = run_guest(replace(THREE, traced_timers=2), 10)
    assert measured.refused == "There is no trace: tracefs refused (No space left)."
    assert measured.listing == ""
