"""A run's trace as a listing of tracefs: the kvm and hrtimer events that a host in the run's place would have printed.

What a recording of a real host does not show, the listing does not either: it is what `kvmlab.explain` is tested with.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from kvmlab.kernels import Kernel
from kvmlab.model.names import FAST, NEVER, Exit, TimerMode, Trace
from kvmlab.results.run import Run

Row = tuple[int, int, int, int, int]
"""A step: time (ns), pCPU, vCPU, code, argument."""
FIRST_PID = 1000
RESUMED = frozenset({Trace.SWITCH_TO_HV, Trace.INJECT, Trace.ENTRY})
"""The first of these after a wake-up is the vCPU's thread going on."""
MSR_TSC_DEADLINE, MSR_TMICT, MSR_EOI = 0x6E0, 0x838, 0x80B
VECTOR, LOCAL_TIMER_VECTOR, RESCHEDULE_VECTOR = 236, 0xEC, 0xFD
HEAD = "# tracer: nop\n#\n#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION\n"


@dataclass
class Vcpu:
    """What the listing has to know of a vCPU."""

    reason: int = -1
    """Reason of the exit that is being handled; -1 in the guest."""
    exit_ns: int = 0
    cpu: int = -1
    """Where it left the guest."""
    fast: bool = False
    wrote: bool = False
    """That exit's write is in the listing."""
    kicked: bool = False
    away: bool = False
    """Another task has its pCPU."""
    blocked_ns: int = NEVER
    """Since when its thread sleeps."""
    woken: bool = False
    deadline: int = NEVER
    period: int = 0
    """Of a periodic timer, ns."""
    expires: list[int] = field(default_factory=list)
    """When the hrtimer will fire, for each start in turn; NEVER if it won't."""


@dataclass(frozen=True)
class Writer:
    """Prints steps as events."""

    kernel: Kernel
    apicv: bool
    tsc_khz: int
    modes: Sequence[int]
    """Timer mode of each vCPU."""
    exit_names: Sequence[str]
    vcpus: dict[int, Vcpu] = field(default_factory=dict)

    def lines(self, rows: Iterable[Row]) -> Iterator[str]:
        """Every event, in order of time."""
        ordered = sorted(rows, key=lambda row: row[0])
        for row in ordered:
            if row[2] >= 0:
                self.vcpus.setdefault(row[2], Vcpu())
        self.look_ahead(ordered)
        for row in ordered:
            if row[2] >= 0:
                yield from self.step(row)

    def look_ahead(self, rows: Sequence[Row]) -> None:
        """Find out for each hrtimer_start when the timer fires: the step does not say."""
        waiting: set[int] = set()
        for time, _, v, code, arg in rows:
            if code == Trace.HRTIMER_START:
                self.vcpus[v].expires.append(NEVER)
                waiting.add(v)
            elif code == Trace.APIC_TIMER_FN and v in waiting:
                self.vcpus[v].expires[-1] = time - arg
                waiting.discard(v)
            elif code == Trace.HRTIMER_CANCEL:
                waiting.discard(v)

    def step(self, row: Row) -> Iterator[str]:
        """The events of one step."""
        time, cpu, v, code, arg = row
        x = self.vcpus[v]
        if x.woken and code in RESUMED:
            yield self.event(time, cpu, v, f"kvm_vcpu_wakeup: wait time {time - x.blocked_ns} ns, polling valid")
            x.woken, x.blocked_ns = False, NEVER
        if code == Trace.EXIT:
            yield self.exit(time, cpu, v, arg)
        elif code == Trace.ENTRY:
            if x.reason == Exit.MSR_WRITE and not x.wrote:
                yield self.event(time, cpu, v, f"kvm_msr: msr_write {MSR_EOI:x} = 0x0")
            x.reason, x.away = -1, False
            yield self.event(time, cpu, v, f"kvm_entry: vcpu {v}, rip 0x8000", "d..1.")
        elif code == Trace.WRMSR:
            x.wrote = True
            flags = "d..1." if x.fast else "....."
            yield self.event(time, cpu, v, f"kvm_msr: msr_write {self.write(v, x, arg)}", flags)
        elif code in (Trace.START_HV_TIMER, Trace.START_SW_TIMER):
            x.deadline = arg
            if x.wrote and x.reason == Exit.MSR_WRITE and arg < NEVER:
                x.period = arg - x.exit_ns
            in_use = int(code == Trace.START_HV_TIMER)
            yield self.event(time, cpu, v, f"kvm_hv_timer_state: vcpu_id {v:x} hv_timer {in_use:x}", "...1.")
        elif code == Trace.HRTIMER_START:
            fires = x.expires.pop(0)
            yield self.hrtimer_start(time, cpu, v, x.deadline if fires == NEVER else fires)
        elif code == Trace.HRTIMER_CANCEL:
            yield self.event(time, cpu, v, f"hrtimer_cancel: hrtimer={v + 1:016x}", "d..1.")
        elif code == Trace.APIC_TIMER_FN:
            yield from self.callback(time, cpu, v, arg)
        elif code == Trace.KICK:
            x.kicked = True
        elif code == Trace.SCHED_OUT:
            x.away = True
        elif code == Trace.BLOCK:
            x.blocked_ns = time
        elif code == Trace.WAKE_UP:
            x.woken = True
        elif code == Trace.WAIT:
            yield self.wait(time, cpu, v, x)
        elif code == Trace.INJECT:
            yield from self.accept(time, cpu, v, ".....")
        elif code in (Trace.HV_EXPIRED, Trace.EXPIRED_AT_ONCE) and self.injects_directly:
            yield from self.accept(time, cpu, v, "d..2." if x.fast else ".....")
        elif code == Trace.EXPIRED_POSTED:
            yield from self.accept(time, cpu, v, "d.h1.")

    @property
    def injects_directly(self) -> bool:
        """An expiry in the vCPU's own context takes no detour over a pending request."""
        return self.apicv and self.kernel.expiry_fastpath

    def event(self, time: int, cpu: int, v: int, text: str, flags: str = ".....") -> str:
        """A line of the vCPU's thread, or of the idle task of another pCPU."""
        task = f"CPU {v}/KVM-{FIRST_PID + v}"
        if flags[2] == "h" and not self.interrupted(cpu, v):
            task = "<idle>-0"
        return f"{task:>22} [{cpu:03d}] {flags} {time // 10**9:5d}.{time % 10**9:09d}: {text}"

    def interrupted(self, cpu: int, v: int) -> bool:
        """The vCPU has left the guest for an interrupt on this pCPU."""
        x = self.vcpus[v]
        return x.reason == Exit.EXTERNAL_INTERRUPT and x.cpu == cpu and not x.away

    def exit(self, time: int, cpu: int, v: int, arg: int) -> str:
        """The vCPU leaves the guest; the vector tells a kick from the pCPU's own timer."""
        x = self.vcpus[v]
        x.reason, x.fast, x.wrote, x.exit_ns, x.cpu = arg & ~FAST, bool(arg & FAST), False, time, cpu
        vector = 0
        if x.reason == Exit.EXTERNAL_INTERRUPT:
            vector = 0x80000000 | (RESCHEDULE_VECTOR if x.kicked else LOCAL_TIMER_VECTOR)
            x.kicked = False
        name = self.exit_names[x.reason]
        if self.kernel.hrtimer_pinned:  # v5.2: neither the vCPU nor the vector are printed
            return self.event(time, cpu, v, f"kvm_exit: reason {name} rip 0x8000 info 0 0", "d..1.")
        info = f"info1 0x{0:016x} info2 0x{0:016x} intr_info 0x{vector:08x} error_code 0x{0:08x}"
        return self.event(time, cpu, v, f"kvm_exit: vcpu {v} reason {name} rip 0x8000 {info}", "d..1.")

    def write(self, v: int, x: Vcpu, deadline: int) -> str:
        """What the guest writes, and where: TSC cycles to the deadline, or an initial count in ns; 0 disarms."""
        if self.modes[v] == TimerMode.TSC_DEADLINE:
            return f"{MSR_TSC_DEADLINE:x} = 0x{0 if deadline >= NEVER else self.tsc(deadline):x}"
        return f"{MSR_TMICT:x} = 0x{0 if deadline >= NEVER else max(1, deadline - x.exit_ns):x}"

    def tsc(self, ns: int) -> int:
        """A time in TSC cycles."""
        return ns * self.tsc_khz // 1_000_000

    def hrtimer_start(self, time: int, cpu: int, v: int, expires: int, flags: str = "d..2.") -> str:
        """The LAPIC timer's hrtimer is queued."""
        mode = "ABS|PINNED|HARD" if self.kernel.hrtimer_pinned else "ABS|HARD"
        text = (
            f"hrtimer_start: hrtimer={v + 1:016x} function=apic_timer_fn [kvm] expires={expires} softexpires={expires}"
        )
        return self.event(time, cpu, v, f"{text} mode={mode} was_armed=0", flags)

    def callback(self, time: int, cpu: int, v: int, late: int) -> Iterator[str]:
        """apic_timer_fn() runs; a periodic timer is queued again on the same pCPU."""
        x = self.vcpus[v]
        text = f"hrtimer_expire_entry: hrtimer={v + 1:016x} function=apic_timer_fn [kvm] now={time}"
        yield self.event(time, cpu, v, text, "d.h1.")
        if self.modes[v] not in (TimerMode.TSC_DEADLINE, TimerMode.ONESHOT):
            x.deadline = time - late + x.period
            yield self.hrtimer_start(time, cpu, v, x.deadline, "d.h1.")

    def wait(self, time: int, cpu: int, v: int, x: Vcpu) -> str:
        """How far the deadline is when the advance is waited out."""
        delta = self.tsc(time) - self.tsc(x.deadline)
        when = "early" if delta < 0 else "late"
        flags = "d..1." if cpu == x.cpu else "d.h1."
        return self.event(time, cpu, v, f"kvm_wait_lapic_expire: vcpu {v}: delta {delta} ({when})", flags)

    def accept(self, time: int, cpu: int, v: int, flags: str) -> Iterator[str]:
        """The virtual APIC takes the timer's vector."""
        text = f"apicid {v:x} vec {VECTOR} (Fixed|edge)"
        yield self.event(time, cpu, v, f"kvm_apic_accept_irq: {text}", flags)
        if self.apicv:
            yield self.event(time, cpu, v, f"kvm_apicv_accept_irq: {text}", flags)


def write_listing(rows: Iterable[Row], writer: Writer) -> str:
    """The listing of a trace, as tracefs prints it."""
    return HEAD + "".join(line + "\n" for line in writer.lines(rows))


def listing_of(run: Run) -> str:
    """Return the first steps (`Scenario.trace_steps`) of a run as a listing of tracefs."""
    steps = run.machine.trace[: run.machine.loop["trace_used"][0]]
    writer = Writer(
        run.scenario.kernel,
        run.scenario.host.apicv,
        int(run.machine.host["tsc_khz"][0]),
        run.machine.vcpus["timer_mode"].tolist(),
        run.exit_names,
    )
    return write_listing(steps.tolist(), writer)
