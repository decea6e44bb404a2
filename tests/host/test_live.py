"""The live guest. What needs /dev/kvm is skipped elsewhere, and then compares counts, never times."""

from __future__ import annotations

import importlib.util
import itertools
import json
import shutil
import subprocess
import sys
import threading
import tomllib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import kvmlab as kl
from kvmlab import data, kernels
from kvmlab.host import live, recordings as recorded
from kvmlab.host.live import evidence, guest_code, host, tracing
from kvmlab.host.live.evidence import Observed, Traced
from kvmlab.host.live.result import Arguments, policy_of
from kvmlab.scenario.files import scenario_from

NOT_HERE = live.available()
needs_kvm = pytest.mark.skipif(NOT_HERE is not None, reason=f"no live guest here: {NOT_HERE}")
needs_unix = pytest.mark.skipif(importlib.util.find_spec("fcntl") is None, reason="no fcntl on this system")
needs_cc = pytest.mark.skipif(
    not (sys.platform == "linux" and shutil.which("cc") and shutil.which("objcopy")),
    reason="needs Linux with a C compiler and binutils",
)


# ---------------------------------------------------------------------------------------------------------------------
# The guest's code and the kernel's structures
# ---------------------------------------------------------------------------------------------------------------------


@needs_cc
def test_the_listed_bytes_are_what_its_instructions_assemble_to(tmp_path):
    lines = [f"{label}:" if label else instruction for label, _, instruction in guest_code.instructions()]
    (tmp_path / "guest.s").write_text("\n".join([".intel_syntax noprefix", *lines, ""]))
    subprocess.run(["as", "--64", "guest.s", "-o", "guest.o"], cwd=tmp_path, check=True)
    subprocess.run(["objcopy", "-O", "binary", "guest.o", "guest.bin"], cwd=tmp_path, check=True)
    code, _ = guest_code.assembled()
    assert (tmp_path / "guest.bin").read_bytes().hex(" ") == code.hex(" ")


@needs_unix
@needs_cc
def test_structures_and_numbers_are_those_of_the_headers(tmp_path):
    from kvmlab.host.live import counters, kvm_ioctl as k

    sizes = {"kvm_segment": k.Segment, "kvm_dtable": k.Dtable, "kvm_regs": k.Regs, "kvm_sregs": k.Sregs}
    sizes |= {"kvm_userspace_memory_region": k.MemoryRegion, "kvm_enable_cap": k.EnableCap}
    sizes |= {"kvm_cpuid_entry2": k.CpuidEntry}
    of_python = {f"sizeof(struct {name})": k.ctypes.sizeof(kind) for name, kind in sizes.items()}
    of_python |= {f"KVM_{ioctl.name}": ioctl.value for ioctl in k.Ioctl}
    of_python |= {f"KVM_{name}": value for name, value in vars(k).items() if name.startswith("CAP_")}
    of_python |= {f"KVM_X86_{name}": getattr(k, name) for name in ("DISABLE_EXITS_HLT", "DISABLE_EXITS_PAUSE")}
    of_python |= {"KVM_EXIT_IO": k.EXIT_IO, "KVM_API_VERSION": k.API_VERSION}
    of_python |= {name: number for number, name in k.EXIT_NAMES.items()}
    of_python |= {
        "offsetof(struct kvm_run, immediate_exit)": k.RunPage.immediate_exit.offset,
        "offsetof(struct kvm_run, exit_reason)": k.RunPage.exit_reason.offset,
        "offsetof(struct kvm_run, io.port)": k.RunPage.detail.offset + k.RunIo.port.offset,
        "offsetof(struct kvm_signal_mask, sigset)": k.SignalMask.sigset.offset,
        "offsetof(struct kvm_cpuid2, entries)": k.Cpuid.entries.offset,
        "sizeof(struct kvm_stats_header)": counters.HEADER.size,
        "sizeof(struct kvm_stats_desc)": counters.DESCRIPTOR.size,
        "offsetof(struct kvm_stats_desc, offset)": 8,
        "KVM_STATS_TYPE_MASK": counters.TYPE_MASK,
        "KVM_STATS_TYPE_CUMULATIVE": counters.CUMULATIVE,
    }
    prints = "\n".join(f'printf("%llu\\n", (unsigned long long)({name}));' for name in of_python)
    includes = "#include <linux/kvm.h>\n#include <stddef.h>\n#include <stdio.h>\n"
    (tmp_path / "sizes.c").write_text(f"{includes}int main(void) {{\n{prints}\nreturn 0;\n}}\n")
    made = subprocess.run(["cc", "sizes.c", "-o", "sizes"], cwd=tmp_path, capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no headers of Linux 5.14 or later: {made.stderr.splitlines()[0]}")
    out = subprocess.run([tmp_path / "sizes"], capture_output=True, text=True, check=True).stdout
    assert dict(zip(of_python, map(int, out.split()), strict=True)) == of_python


def test_memory_parts_do_not_overlap_and_tables_point_to_each_other():
    size = guest_code.memory_size(1_000_000)
    assert size % guest_code.LARGE_PAGE == 0
    assert guest_code.SAMPLES + 1_000_000 * guest_code.SAMPLE_BYTES <= size <= guest_code.MAX_MEMORY
    ends = [(at, at + len(part)) for at, part in sorted(guest_code.memory_parts(size).items())]
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ends))
    assert ends[-1][1] <= guest_code.STACK < guest_code.STACK_TOP <= guest_code.SAMPLES
    _, labels = guest_code.assembled()
    idt = guest_code.memory_parts(size)[guest_code.IDT]
    entry = idt[16 * guest_code.TIMER_VECTOR :][:16]
    assert int.from_bytes(entry[:2] + entry[6:12], "little") == labels["timer"]
    for mode, wait in [(mode, wait) for mode in guest_code.LVTT_MODES for wait in guest_code.WAITS]:
        assert {f"arm_{mode}", f"wait_{wait}"} <= set(labels)


def test_latencies_are_nanoseconds_and_whole_periods_are_lost():
    deadlines = np.arange(1, 6) * 2_000_000
    late = np.array([100, 300, 2_000_100, 2_000_500, 4_000_100])
    samples = np.column_stack([deadlines + late, deadlines]).astype(np.uint64)
    ns, lost = live.latencies(samples, 2_000_000, 1e6, "periodic")
    assert ns == pytest.approx([50, 150, 50, 250, 50])
    assert lost == 2
    ns, lost = live.latencies(samples, 2_000_000, 1e6, "oneshot")
    assert ns == pytest.approx(late / 2)
    assert lost == 0
    early = np.array([[1_999_900, 2_000_000]], dtype=np.uint64)
    assert live.latencies(early, 2_000_000, 1e6, "periodic")[0] == pytest.approx([-50])


# ---------------------------------------------------------------------------------------------------------------------
# With /dev/kvm
# ---------------------------------------------------------------------------------------------------------------------


@needs_kvm
@pytest.mark.parametrize("waits_by", guest_code.WAITS)
@pytest.mark.parametrize("timer_mode", guest_code.LVTT_MODES)
def test_every_timer_comes_once(timer_mode, waits_by):
    run = live.measure(60, 1000, timer_mode, waits_by, traced_timers=0, timeout_s=60)
    assert run.latency_ns.shape == (60,)
    assert np.isfinite(run.latency_ns).all()
    assert run.latency["count"].tolist() == [60]
    assert run.backend in ("hv", "hrtimer", None)
    if run.counters and waits_by == "hlt":
        assert 30 <= run.counters["halt_exits"] <= 120
    elif run.counters:
        assert run.counters["halt_exits"] == 0
    if run.counters:
        assert run.counters["exits"] > 0


@needs_kvm
def test_a_run_says_all_it_knows_and_no_more():
    run = live.measure(50, timeout_s=60)
    said = run.summary()
    for sentence in run.evidence:
        assert sentence in said
        assert sentence.endswith(".")
    assert ("cannot tell" in said) == (run.backend is None)
    assert json.loads(json.dumps(run.to_dict()))["counters"] == run.counters
    html = run._repr_html_()
    assert "simulated" in html
    assert "measured" in html
    if run.trace:
        events = kl.read_kvm_trace(run.trace)
        assert (events["event"] == "kvm_hv_timer_state").sum() >= 10
        assert not list((tracing.tracefs() / "instances").glob("kvmlab-*"))
    else:
        assert any("There is no trace" in sentence for sentence in run.evidence)


@needs_kvm
def test_the_model_says_what_it_would_do_with_this_run():
    run = live.measure(50, timeout_s=60, traced_timers=0)
    scenario = run.scenario()
    assert scenario.guests[0].workload.timers == 50
    assert kl.simulate(scenario).kvm_stat["halt_exits"] == 50
    assert list(run.comparison.columns) == ["simulated", "measured"]
    assert run.comparison["simulated"].to_dict() == kl.simulate(scenario).kvm_stat
    if run.counters:
        assert run.comparison.loc["exits", "measured"] == run.counters["exits"]
    assert scenario_from(tomllib.loads(kl.scenario_to_toml(scenario))) == scenario


@needs_kvm
@pytest.mark.parametrize("waits_by", guest_code.WAITS)
def test_a_guest_that_takes_too_long_is_stopped(waits_by):
    from kvmlab.host.live.guest import Settings, run_guest

    settings = Settings(100, 10_000_000_000, "tsc_deadline", waits_by, False, False, None, 0)
    with pytest.raises(RuntimeError, match=r"did not finish: 0 of 100 timers had fired after 0.2 s .*and was stopped"):
        run_guest(settings, 0.2)
    assert not [thread for thread in threading.enumerate() if thread.name == "kvmlab-vcpu"]


@needs_kvm
def test_an_interrupted_wait_leaves_no_guest_behind(monkeypatch):
    from kvmlab.host.live.guest import GuestThread, Settings, run_guest

    joined = []

    def join(self, timeout=None):
        joined.append(timeout)
        if len(joined) == 1:
            raise KeyboardInterrupt
        threading.Thread.join(self, timeout)

    monkeypatch.setattr(GuestThread, "join", join)
    settings = Settings(100, 10_000_000_000, "tsc_deadline", "hlt", False, False, None, 0)
    with pytest.raises(KeyboardInterrupt):
        run_guest(settings, 60)
    assert not [thread for thread in threading.enumerate() if thread.name == "kvmlab-vcpu"]


@needs_kvm
def test_without_counters_and_tracefs_it_says_so(monkeypatch):
    from kvmlab.host.live import kvm_ioctl

    has = kvm_ioctl.Vm.extension
    monkeypatch.setattr(kvm_ioctl.Vm, "extension", lambda vm, cap: has(vm, cap) if cap != 203 else 0)
    monkeypatch.setattr(tracing, "TRACEFS", ())
    run = live.measure(20, timeout_s=60)
    assert run.counters == {}
    assert run.comparison["measured"].isna().all()
    assert "KVM's counters are not available (KVM_GET_STATS_FD: Linux 5.14)." in run.evidence
    assert any(sentence.startswith("There is no trace: tracefs is not mounted") for sentence in run.evidence)
    json.dumps(run.to_dict())


@needs_kvm
def test_a_capability_that_the_host_refuses_is_named():
    from kvmlab.host.live.kvm_ioctl import LiveError, Vm

    with pytest.raises(LiveError, match=r"KVM_CAP_X86_DISABLE_EXITS: this host allows 0x.* and refuses 0x40000000"):
        Vm(guest_code.LARGE_PAGE, 1 << 30)


@needs_kvm
def test_a_guest_that_faults_is_reported(monkeypatch):
    """An undefined instruction in place of the first one."""
    monkeypatch.setattr(guest_code, "LISTING", guest_code.LISTING.replace("b9 0f 08 00 00 ", "0f 0b 90 90 90 ", 1))
    with pytest.raises(RuntimeError, match=r"ended before its timers had fired, at rip 0x.*last exit to user space"):
        live.measure(5, traced_timers=0, timeout_s=20)


# ---------------------------------------------------------------------------------------------------------------------
# Without
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"timers": 0}, "timers: 0 is not allowed; it must be an integer from 1 to 1000000"),
        ({"period_us": 1}, "period_us: 1 is not allowed; it must be a number from 20"),
        ({"timer_mode": "tsc"}, "timer_mode: 'tsc' is not allowed; it must be one of oneshot, periodic, tsc_deadline"),
        ({"waits_by": "mwait"}, "waits_by: 'mwait' is not allowed; it must be one of hlt, pause, spin"),
        ({"hlt_in_guest": 3}, "hlt_in_guest: 3 is not allowed; it must be True or False"),
        ({"timeout_s": 0.5}, "timeout_s: 0.5 is less than the 1.01 s that the timers take"),
        ({"traced_timers": -1}, "traced_timers: -1 is not allowed"),
    ],
)
def test_arguments_are_checked_anywhere(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        live.measure(**arguments)


@needs_kvm
def test_a_cpu_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="pcpu: 99999 is not allowed; it must be "):
        live.measure(pcpu=99999)


@needs_kvm
def test_a_cpu_that_the_kernel_refuses_is_named(monkeypatch):
    monkeypatch.setattr(host, "online", lambda: (0, 1000))
    with pytest.raises(RuntimeError, match="pcpu: this process may not run on CPU 1000: Invalid argument"):
        live.measure(5, pcpu=1000, timeout_s=20)


@needs_kvm
def test_the_vcpu_runs_where_it_is_told():
    cpu = host.online()[-1]
    run = live.measure(20, pcpu=cpu, timeout_s=60)
    assert run.scenario().placement == ((cpu,),)
    if run.trace:
        assert f"vCPU: {cpu}." in " ".join(run.evidence)


def test_other_systems_get_a_sentence(monkeypatch):
    monkeypatch.setattr(host.sys, "platform", "win32")
    monkeypatch.setattr(host.platform, "system", lambda: "Windows")
    assert live.available() == "a live guest needs Linux with KVM; this is Windows"
    with pytest.raises(RuntimeError, match="this is Windows"):
        live.measure()
    monkeypatch.setattr(host.sys, "platform", "linux")
    monkeypatch.setattr(host.platform, "machine", lambda: "aarch64")
    assert live.available() == "a live guest needs an x86-64 machine; this is aarch64"


@needs_unix
@pytest.mark.skipif(sys.platform != "linux", reason="Linux only")
def test_a_device_that_cannot_be_had_gets_a_sentence(monkeypatch, tmp_path):
    from kvmlab.host.live import kvm_ioctl

    monkeypatch.setattr(host.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(kvm_ioctl, "DEVICE", str(tmp_path / "kvm"))
    assert "there is no such device" in live.available()
    with pytest.raises(RuntimeError, match="there is no such device"):
        live.measure(5)
    monkeypatch.setattr(kvm_ioctl, "DEVICE", "/dev/null")
    assert live.available().startswith("KVM_GET_API_VERSION was refused with ENOTTY")

    def refused(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(kvm_ioctl.os, "open", refused)
    assert "no permission" in live.available()


def test_import_loads_no_ioctl():
    heavy = {"fcntl", "mmap", "kvmlab.host.live.kvm_ioctl", "pandas"}
    script = f"import sys, kvmlab.host.live; print({heavy} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_the_host_is_read_from_sysfs(tmp_path):
    def put(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    put("sys/module/kvm/parameters/pi_inject_timer", "Y\n")
    put("sys/module/kvm/parameters/unrelated", "Y\n")
    put("sys/module/kvm_intel/parameters/preemption_timer", "N\n")
    put("sys/devices/system/cpu/isolated", "1,4-6\n")
    put("sys/devices/system/cpu/nohz_full", "(null)\n")
    put("sys/devices/system/cpu/online", "0-7\n")
    put("proc/cpuinfo", "processor : 0\nflags\t\t: fpu hypervisor avx\n")
    put("proc/sys/kernel/timer_migration", "0\n")
    assert host.parameters(tmp_path) == {"kvm.pi_inject_timer": "Y", "kvm_intel.preemption_timer": "N"}
    assert host.vendor_modules(tmp_path) == ["kvm_intel"]
    assert host.isolated(tmp_path) == (1, 4, 5, 6)
    assert host.online(tmp_path) == tuple(range(8))
    assert host.nohz_full(tmp_path) == ()
    assert host.is_guest(tmp_path)
    assert not host.timer_migration(tmp_path)
    nothing = tmp_path / "nothing"
    assert host.parameters(nothing) == {}
    assert host.isolated(nothing) == ()
    assert not host.is_guest(nothing)
    assert host.timer_migration(nothing)


# ---------------------------------------------------------------------------------------------------------------------
# Evidence
# ---------------------------------------------------------------------------------------------------------------------

TRACES = {
    "vmx-6.1-rev1-housekeeping-pcpu": (617, "hrtimer"),
    "vmx-6.1-rev1-posted": (1245, "hrtimer"),
    "vmx-6.1-rev2-housekeeping-pcpu": (1942, "hv"),
    "vmx-6.1-rev3-halted-in-guest": (283, "hrtimer"),
    "vmx-6.1-rev3-hv-periodic": (1182, "hv"),
    "vmx-6.1-rev3-hv-timer": (3895, "hv"),
}


def recorded_trace(name):
    """A recorded listing, as an instance of ours would have kept it."""
    tid, backend = TRACES[name]
    lines = data.path("recorded", f"{name}.trace.txt").read_text(encoding="utf-8").splitlines()
    return "\n".join(tracing.own_lines(lines, tid)) + "\n", tid, backend


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_of_a_real_kernel_tells_the_backend(name):
    listing, tid, backend = recorded_trace(name)
    seen = evidence.read_trace(listing, 10, tid)
    found, said = evidence.from_trace(seen)
    assert found == backend
    assert seen.fired_on.total() == (10 if backend == "hrtimer" else 0)
    assert seen.exits["PREEMPTION_TIMER"] == (10 if backend == "hv" else 0)
    assert seen.posted == (seen.fired_on[0] if "posted" in name or "halted" in name else 0)
    assert said[-1].startswith("kvm_exit: ")


@pytest.mark.parametrize("name", TRACES)
def test_a_trace_is_cut_down_to_the_own_thread_and_timer(name):
    listing, tid, _ = recorded_trace(name)
    events = kl.read_kvm_trace(listing)
    whole = kl.read_kvm_trace(data.path("recorded", f"{name}.trace.txt"))
    assert 0 < len(events) < len(whole)
    kept = events["event"].value_counts()
    for event in ("kvm_exit", "kvm_entry", "kvm_hv_timer_state"):
        assert kept[event] == (whole["event"] == event).sum()
    others = events[events["pid"] != tid]
    assert set(others["event"]) <= {event.rpartition("/")[2] for event in tracing.ANYWHERE_EVENTS}
    assert ("kvm_apicv_accept_irq" in set(others["event"])) == ("posted" in name or "halted" in name)
    assert all(
        fields["function"].startswith("apic_timer_fn")
        for fields in events["fields"][events["event"] == "hrtimer_expire_entry"]
    )


def observed(row):
    """What KVM's counters showed in a recorded run, without the recorder's own exit."""
    return Observed(
        timers=int(row["timers"]),
        timer_mode=row["timer_mode"],
        waits_by=row["guest_waits_by"],
        hlt_in_guest=row["hlt_in_guest"] == "1",
        modules=["kvm_intel" if row["vendor"] == "intel" else "kvm_amd"],
        parameters={"kvm_intel.enable_apicv": "Y" if row["apicv"] == "1" else "N"},
        counters={name: int(row[name]) for name in recorded.COUNTERS} | {"insn_emulation": 1},
    )


def test_counters_alone_never_say_the_wrong_backend():
    """On every recorded run of a kernel whose counter counts fast-path exits."""
    answers = Counter()
    for row in recorded.recorded_rows():
        if kl.recorded_scenario(row).kernel.counts_fastpath_exits and row["vendor"] == "intel":
            found, _ = evidence.from_counters(observed(row))
            actual = "hv" if float(row["traced_hv_armed"] or 0) else "hrtimer"
            assert found in (actual, None), row["run"]
            answers[found] += 1
    assert answers["hv"] > 5
    assert answers["hrtimer"] > 5


def judged(**changes):
    base = {
        "timers": 100,
        "timer_mode": "oneshot",
        "waits_by": "spin",
        "hlt_in_guest": False,
        "modules": ["kvm_intel"],
        "parameters": {},
    }
    base |= {"counters": {"exits": 200, "irq_exits": 10, "halt_exits": 0, "insn_emulation": 0}}
    return evidence.judge(Observed(**(base | changes)))


def test_what_excludes_the_preemption_timer():
    assert judged(modules=["kvm_amd"])[0] == "hrtimer"
    assert judged(parameters={"kvm_intel.preemption_timer": "N"})[0] == "hrtimer"
    assert judged(parameters={"kvm_intel.preemption_timer": "Y"})[0] is None
    backend, said = judged(modules=["kvm_pvm"])
    assert backend is None
    assert any("neither kvm_intel nor kvm_amd (kvm_pvm)" in sentence for sentence in said)
    assert judged(modules=[])[1][0].endswith("(none is listed): nothing follows from it.")


def test_an_interpreting_host_is_not_believed():
    apicv = {"kvm_intel.enable_apicv": "Y"}
    counters = {"exits": 200, "irq_exits": 10, "halt_exits": 0, "insn_emulation": 2800}
    assert judged(parameters=apicv)[0] == "hv"
    backend, said = judged(parameters=apicv, counters=counters)
    assert backend is None
    assert any("interprets the guest's code" in sentence for sentence in said)


def test_a_block_hides_what_was_armed():
    counters = {"exits": 300, "irq_exits": 0, "halt_exits": 100}
    backend, said = judged(waits_by="hlt", counters=counters, parameters={"kvm_intel.enable_apicv": "Y"})
    assert backend is None
    assert any("whatever was armed" in sentence for sentence in said)
    _, said = judged(waits_by="hlt", hlt_in_guest=True, counters=counters)
    assert any("was granted, and yet HLT exited" in sentence for sentence in said)


def test_what_fired_decides_before_what_was_armed():
    fired = Traced(10, Counter(hv=10, hrtimer=10), Counter(HLT=10, MSR_WRITE=10), Counter({0: 10}), (1,))
    backend, said = judged(traced=fired, parameters={"kvm_intel.preemption_timer": "Y"})
    assert backend == "hrtimer"
    assert said[0] == "kvm_hv_timer_state, 10 timers traced: armed on hv: 10, hrtimer: 10."
    assert said[1].endswith("ran on CPU 0: 10; vCPU: 1.")
    armed = Traced(10, Counter(hv=10), Counter(), Counter(), (1,))
    backend, said = judged(traced=armed)
    assert backend == "hv"
    assert any("No kvm_exit was emitted" in sentence for sentence in said)
    assert judged(traced=Traced(10))[0] is None


@pytest.mark.parametrize(
    ("release", "name", "like"),
    [
        ("6.1.176", "6.1.176", "v6.1"),
        ("7.4.2-generic", "v7.1 (for 7.4.2-generic)", "v7.1"),
        ("4.18.0-553.el8", "v5.2 (for 4.18.0-553.el8)", "v5.2"),
    ],
)
def test_a_host_whose_kernel_the_model_does_not_know_is_taken_for_the_nearest(release, name, like):
    run = a_run(release)
    kernel = run.scenario().kernel
    assert kernel.name == name
    expected = kernels.release(like, policy_of(like), name=name)
    assert kernel == replace(expected, counts_fastpath_exits=kernel.counts_fastpath_exits)
    assert f"simulated: Linux {name}" in run._repr_html_()
    assert scenario_from(tomllib.loads(kl.scenario_to_toml(run.scenario()))) == run.scenario()


def a_run(release):
    """Return what a run on a host with this kernel would have brought."""
    settings: Arguments = {
        "timers": 10,
        "period_us": 1000.0,
        "timer_mode": "tsc_deadline",
        "waits_by": "hlt",
        "hlt_in_guest": False,
        "pause_in_guest": False,
        "pcpu": None,
        "traced_timers": 0,
    }
    return live.LiveRun(settings, np.full(10, 5e3), 0, {}, {}, None, [], ["kvm_intel"], release, 2_500_000)


def test_a_policy_is_named_by_release():
    assert policy_of("5.2.1") is kl.policy.before
    assert policy_of("5.17.0-rc5") is kl.policy.rev1
    assert policy_of("6.18.44-generic") is kl.policy.rev3
