"""From a listing of kvm and hrtimer events to timers: when each was armed, who fired it, how the guest got it.

A `Tracker` is fed one event at a time and keeps a bounded state for each vCPU thread, so a listing of any length can be
followed. What it says of a timer is what the events show; what they do not show stays None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from kvmlab.host.formats.events import Event
from kvmlab.host.formats.lines import shortened

TSC_DEADLINE, TMICT, LVTT, EOI = 0x6E0, 0x838, 0x832, 0x80B
"""MSRs of the LAPIC: IA32_TSC_DEADLINE; x2APIC's initial count, LVT timer, EOI (SDM vol. 3, table 11-6)."""
LOCAL_TIMER_VECTOR, RESCHEDULE_VECTOR = 0xEC, 0xFD
"""Host vectors of its local APIC timer and of the IPI that kicks a vCPU (arch/x86/include/asm/irq_vectors.h)."""
HLT_EXITS = frozenset({"HLT", "hlt", "EXIT_HLT"})
MWAIT_EXITS = frozenset({"MWAIT_INSTRUCTION", "MWAIT", "mwait", "EXIT_MWAIT"})
WRITE_EXITS = frozenset({"MSR_WRITE", "APIC_WRITE", "APIC_ACCESS", "EPT_MISCONFIG", "msr", "EXIT_MSR", "MSR_WRITE_IMM"})
"""Exits by which a guest arms its timer (`msr`: AMD, which has one exit for reads and writes)."""
IRQ_EXITS = frozenset({"EXTERNAL_INTERRUPT", "interrupt", "EXIT_INTR"})
CALLBACK_EVENTS = frozenset(
    {"kvm_wait_lapic_expire", "kvm_apic_accept_irq", "kvm_apicv_accept_irq", "hrtimer_start", "hrtimer_expire_exit"}
)
"""What apic_timer_fn() may leave in the listing, on the CPU that runs it."""
INTERRUPT_NS = 1_000_000
"""A host takes the interrupt that ended guest mode well within this."""
MAX_REASONS = 1000
"""Different exit reasons of one vCPU; there are fewer than a hundred."""
MAX_THREADS = 4096
"""vCPU threads that are followed at a time; more is no host but a hostile text."""


@dataclass
class Timer:
    """One arming of a LAPIC timer. Times in ns on the trace's clock."""

    vcpu: int
    pid: int
    armed_ns: int
    pcpu: int
    """Where it was armed."""
    arm_exit: str | None
    """The exit that armed it; None where a periodic timer started its next period by itself."""
    arm_fast: bool | None = None
    """That exit took the fast path (it ran with interrupts off); None where the listing has no flags."""
    value: int | None = None
    """What the guest wrote: TSC cycles for TSC-deadline mode, else the initial count. 0 disarms."""
    msr: int | None = None
    backend: str | None = None
    """"hv" or "hrtimer"."""
    pinned: bool | None = None
    expires: int | None = None
    """The hrtimer's own expiry, on the host's monotonic clock."""
    switched: bool = False
    """An hrtimer took over from the preemption timer because the vCPU blocked."""
    fired_ns: int | None = None
    fired_cpu: int | None = None
    late_ns: int | None = None
    """How much later than `expires` the callback ran."""
    vcpu_was: str | None = None
    """Where the expiry found the vCPU: "guest", "interrupted" (by this very timer), "blocked", "host"."""
    vcpu_cpu: int | None = None
    """The pCPU of the vCPU at that time."""
    expiry_exit: str | None = None
    expiry_exit_ns: int | None = None
    expiry_vector: int | None = None
    expiry_fast: bool | None = None
    accepted_ns: int | None = None
    """When the virtual APIC took the vector."""
    posted: bool = False
    at_arm: bool = False
    entry_ns: int | None = None
    """The VM entry that brought the interrupt."""
    wait_ns: int | None = None
    """When kvm_wait_lapic_expire() was traced, and what it saw: cycles after the deadline (negative: before)."""
    delta: int | None = None
    ended_ns: int | None = None
    """When the guest armed anew, or disarmed, before this one was seen to fire."""

    @property
    def delivery(self) -> str | None:
        """ "posted", "vm_entry", "wake_up", "at_arm", or None where none was seen."""
        if self.posted:
            return "posted"
        if self.at_arm:
            return "at_arm"
        if self.accepted_ns is None and self.entry_ns is None:
            return None
        return "wake_up" if self.vcpu_was == "blocked" else "vm_entry"


@dataclass
class Span:
    """A row of a timeline, times in ns on the trace's clock."""

    start_ns: int
    end_ns: int
    lane: tuple[str, int]
    """("vCPU", thread) or ("pCPU", CPU)."""
    what: str
    flow: int = -1


@dataclass
class Handling:
    """How long the host handled the exits of one reason, ns; perf counts the same, from kvm_exit to kvm_entry."""

    count: int = 0
    fast: int = 0
    sum_ns: int = 0
    sum_sq: float = 0.0
    min_ns: int = 0
    max_ns: int = 0

    def add(self, ns: int) -> None:
        """One more exit."""
        self.min_ns = min(self.min_ns, ns) if self.count else ns
        self.max_ns = max(self.max_ns, ns)
        self.count += 1
        self.sum_ns += ns
        self.sum_sq += float(ns) * ns


@dataclass
class Thread:
    """A vCPU's thread."""

    pid: int
    vcpu: int = -1
    cpu: int = -1
    in_guest: bool = False
    since_ns: int | None = None
    """When it entered or left the guest."""
    reason: str | None = None
    """Why it is in the host."""
    exit_cpu: int = -1
    arming: Timer | None = None
    """The timer armed in the present exit."""
    timer: Timer | None = None
    """The last timer armed."""
    expired: Timer | None = None
    """The last that expired, until the guest is entered with it."""
    vector: int | None = None
    """The guest's timer vector, once it was seen."""
    first_tsc: tuple[int, int] | None = None
    """Two readings (ns, TSC cycles) from which the TSC's frequency follows."""
    last_tsc: tuple[int, int] | None = None
    exits: Counter[str] = field(default_factory=Counter)
    handling: dict[str, Handling] = field(default_factory=dict)
    msr_writes: Counter[int] = field(default_factory=Counter)
    apicv: bool = False


class Tracker:
    """Follows every vCPU's timer through a listing."""

    def __init__(self, max_spans: int) -> None:
        self.threads: dict[int, Thread] = {}
        self.finished: list[Timer] = []
        self.hrtimers: dict[str, Thread] = {}
        self.callbacks: dict[int, tuple[Thread, Span]] = {}
        self.sees_accept = False
        """The listing shows when the virtual APIC takes a vector."""
        self.host_hrtimers: Counter[int] = Counter()
        """hrtimers of the host's own that fired, by pCPU."""
        self.spans: list[Span] = []
        self.max_spans = max_spans
        self.spans_left_out = 0
        self.flows = 0
        self.modern_exit_format = False
        """kvm_exit is printed as from v5.10 on."""
        self.first_ns: int | None = None
        self.last_ns = 0

    def follow(self, events: Iterable[Event]) -> Iterator[Timer]:
        """Yield each timer when all is known of it that will be."""
        for event in events:
            self.take(event)
            yield from self.finished
            self.finished.clear()
        for thread in self.threads.values():
            self.close_span(thread, self.last_ns)
            yield from {id(timer): timer for timer in (thread.expired, thread.timer) if timer is not None}.values()

    def take(self, event: Event) -> None:
        """One event; the timers that it ends go to `finished`."""
        if event.time_ns < self.last_ns - 10_000_000:
            raise ValueError(
                f"{event.event} at {event.time_s:.6f} s: the event before it is at {self.last_ns / 1e9:.6f} s; "
                "expected one listing, in order of time"
            )
        self.first_ns = event.time_ns if self.first_ns is None else self.first_ns
        self.last_ns = max(self.last_ns, event.time_ns)
        if event.event not in CALLBACK_EVENTS:
            self.callbacks.pop(event.cpu, None)
        elif event.cpu in self.callbacks:
            self.callbacks[event.cpu][1].end_ns = event.time_ns
        handler = HANDLERS.get(event.event)
        if handler is not None:
            handler(self, event)

    def thread_of(self, event: Event) -> Thread:
        """The vCPU thread that an event is of; a new one where it was not seen before."""
        thread = self.threads.get(event.pid)
        if thread is None:
            if len(self.threads) == MAX_THREADS:
                raise ValueError(
                    f"pid {event.pid}: more than {MAX_THREADS} vCPU threads; expected a listing of one host"
                )
            thread = self.threads[event.pid] = Thread(event.pid)
        if event.vcpu is not None:
            thread.vcpu = event.vcpu
        return thread

    def add_span(self, span: Span) -> Span:
        """Keep a span, as long as there is room."""
        if len(self.spans) < self.max_spans:
            self.spans.append(span)
        else:
            self.spans_left_out += 1
        return span

    def close_span(self, thread: Thread, now: int) -> None:
        """What the vCPU did up to now."""
        if thread.since_ns is not None and now > thread.since_ns:
            what = "guest" if thread.in_guest else thread.reason or "host"
            self.add_span(Span(thread.since_ns, now, ("vCPU", thread.pid), what))

    # The events.

    def on_exit(self, event: Event) -> None:
        """The vCPU leaves the guest."""
        thread = self.thread_of(event)
        self.close_span(thread, event.time_ns)
        reason = event.reason or ""
        thread.exits[reason] += 1
        if len(thread.exits) > MAX_REASONS:
            raise ValueError(f"kvm_exit reason {shortened(reason)}: expected at most {MAX_REASONS} different reasons")
        thread.in_guest, thread.since_ns, thread.reason = False, event.time_ns, reason
        thread.cpu = thread.exit_cpu = event.cpu
        thread.arming = None
        info = event.fields.get("intr_info")
        self.modern_exit_format |= info is not None
        timer = thread.timer
        if reason == "PREEMPTION_TIMER" and timer and timer.fired_ns is None and timer.backend != "hrtimer":
            timer.backend, timer.fired_ns, timer.fired_cpu = "hv", event.time_ns, event.cpu
            timer.vcpu_was, timer.vcpu_cpu = "interrupted", event.cpu
            timer.expiry_exit, timer.expiry_exit_ns, timer.expiry_vector = reason, event.time_ns, None
            self.expire(thread, timer)
        elif reason in IRQ_EXITS:
            vector = info & 0xFF if isinstance(info, int) and info >> 31 else None
            kicked = thread.expired
            if kicked and kicked.vcpu_was == "guest" and not kicked.posted and kicked.expiry_exit is None:
                kicked.expiry_exit, kicked.expiry_exit_ns, kicked.expiry_vector = reason, event.time_ns, vector
            elif timer and timer.fired_ns is None:
                # Perhaps this timer's: the vector that the virtual APIC takes before the next entry tells.
                timer.expiry_exit_ns, timer.expiry_vector = event.time_ns, vector

    def on_entry(self, event: Event) -> None:
        """The vCPU enters the guest, perhaps with the timer's interrupt."""
        thread = self.thread_of(event)
        self.close_span(thread, event.time_ns)
        if thread.reason is not None and thread.since_ns is not None and not thread.in_guest:
            thread.handling.setdefault(thread.reason, Handling()).add(event.time_ns - thread.since_ns)
        thread.in_guest, thread.since_ns, thread.cpu = True, event.time_ns, event.cpu
        thread.arming = None
        timer = thread.expired
        if timer and timer.entry_ns is None and not timer.posted and (timer.accepted_ns or not self.sees_accept):
            timer.entry_ns = event.time_ns

    def on_hrtimer_start(self, event: Event) -> None:
        """The LAPIC timer's hrtimer is queued: by the vCPU's thread, or by its own callback for the next period."""
        if event.fields.get("function") != "apic_timer_fn":
            return
        address, expires = str(event.fields["hrtimer"]), event.fields.get("expires")
        owner, callback = self.threads.get(event.pid), self.callbacks.get(event.cpu)
        known = self.hrtimers.get(address)
        if callback and known is callback[0]:
            self.next_period(known, event, "hrtimer")
            timer = known.timer
        elif owner and not owner.in_guest:
            self.hrtimers[address] = owner
            if len(self.hrtimers) > MAX_THREADS:
                raise ValueError(
                    f"hrtimer {address}: more than {MAX_THREADS} LAPIC timers; expected a listing of one host"
                )
            if owner.reason in WRITE_EXITS or owner.timer is None:
                timer = self.arm(owner, event)
            else:
                # Not a guest's write: the vCPU blocks, is loaded elsewhere, or starts its next period.
                timer = owner.timer
                timer.switched |= timer.backend == "hv"
        else:
            return
        if timer is not None:
            timer.backend = timer.backend if timer.switched else "hrtimer"
            timer.expires = expires if isinstance(expires, int) else None
            timer.pinned = is_pinned(event.fields.get("mode"))

    def on_hv_timer_state(self, event: Event) -> None:
        """Whether the preemption timer is in use."""
        thread = self.thread_of(event)
        in_use = event.fields.get("hv_timer") == 1
        if thread.reason in WRITE_EXITS:
            timer = self.arm(thread, event)
            # From one to the other within one exit: the vCPU blocks.
            timer.switched |= timer.backend == "hv" and not in_use
            timer.backend = "hv" if in_use or timer.switched else "hrtimer"
        elif in_use and thread.reason == "PREEMPTION_TIMER" and thread.expired is thread.timer:
            self.next_period(thread, event, "hv")

    def on_msr(self, event: Event) -> None:
        """A write to one of the LAPIC's registers."""
        if event.fields.get("access") != "write":
            return
        msr, value = event.fields.get("msr"), event.fields.get("value")
        if not isinstance(msr, int) or not isinstance(value, int):
            return
        thread = self.thread_of(event)
        if len(thread.msr_writes) < 1000:
            thread.msr_writes[msr] += 1
        if msr == LVTT:
            thread.vector = value & 0xFF
        if msr in (TSC_DEADLINE, TMICT):
            timer = self.arm(thread, event)
            timer.value, timer.msr = value, msr
            timer.arm_fast = interrupts_off(event)

    def on_apic(self, event: Event) -> None:
        """A write to the xAPIC's initial count."""
        if event.fields.get("access") == "write" and event.fields.get("register") == "APIC_TMICT":
            timer = self.arm(self.thread_of(event), event)
            value = event.fields.get("value")
            timer.value = value if isinstance(value, int) else None
            timer.msr = TMICT

    def on_hrtimer_expire(self, event: Event) -> None:
        """An hrtimer's callback begins."""
        span = self.add_span(Span(event.time_ns, event.time_ns, ("pCPU", event.cpu), "hrtimer"))
        thread = self.hrtimers.get(str(event.fields["hrtimer"]))
        if event.fields.get("function") != "apic_timer_fn":
            self.host_hrtimers[event.cpu] += 1
        timer = thread.timer if thread else None
        if thread is None or timer is None:
            return
        self.callbacks[event.cpu] = (thread, span)
        if timer.fired_ns is not None:
            return
        now = event.fields.get("now")
        timer.fired_ns, timer.fired_cpu, timer.vcpu_cpu = event.time_ns, event.cpu, thread.cpu
        if isinstance(now, int) and timer.expires is not None:
            timer.late_ns = now - timer.expires
        timer.vcpu_was = self.vcpu_state(thread, event)
        if timer.vcpu_was == "interrupted":
            timer.expiry_exit, timer.expiry_exit_ns = thread.reason, thread.since_ns
        else:
            timer.expiry_exit_ns = timer.expiry_vector = None
        self.expire(thread, timer)

    @staticmethod
    def vcpu_state(thread: Thread, event: Event) -> str:
        """Where an expiry finds the vCPU."""
        if thread.in_guest:
            return "guest"
        at_once = event.time_ns - (thread.since_ns or 0) < INTERRUPT_NS
        if event.pid == thread.pid and event.cpu == thread.exit_cpu and thread.reason in IRQ_EXITS and at_once:
            return "interrupted"
        return "blocked" if thread.reason in HLT_EXITS else "host"

    def on_accept(self, event: Event) -> None:
        """The virtual APIC takes a vector: of the timer, if it comes where its expiry is dealt with."""
        vector = event.fields.get("vector")
        self.sees_accept = True
        callback = self.callbacks.get(event.cpu)
        if callback and callback[0].pid != event.pid:
            self.accepted_in_callback(callback[0], event)
            return
        thread = self.threads.get(event.pid)
        if thread is None or thread.in_guest:
            return
        thread.apicv |= event.event == "kvm_apicv_accept_irq"
        if thread.vector is not None and vector != thread.vector:
            return
        self.accepted_in_thread(thread, event)

    def accepted_in_callback(self, thread: Thread, event: Event) -> None:
        """The hrtimer's callback, on another CPU than the vCPU's, gives the guest its interrupt: it is posted."""
        timer, vector = thread.expired, event.fields.get("vector")
        thread.apicv |= event.event == "kvm_apicv_accept_irq"
        if timer and timer.accepted_ns is None:
            timer.posted, timer.accepted_ns = True, event.time_ns
            thread.vector = vector if isinstance(vector, int) else None
            self.add_span(Span(event.time_ns, event.time_ns, ("pCPU", event.cpu), "post", self.flows))
            self.add_span(Span(event.time_ns, event.time_ns, ("vCPU", thread.pid), "handler", self.flows))
            self.flows += 1

    def accepted_in_thread(self, thread: Thread, event: Event) -> None:
        """The vCPU's own thread gives the guest its timer interrupt."""
        timer = thread.expired
        if timer and timer.accepted_ns is None:
            timer.accepted_ns = event.time_ns
            timer.expiry_fast = interrupts_off(event) if timer.expiry_exit == "PREEMPTION_TIMER" else None
        elif thread.arming and thread.arming.fired_ns is None and thread.arming.expires is None:
            timer = thread.arming
            timer.at_arm, timer.backend = True, None
            # The fast path ends where the interrupt has to be injected the long way.
            timer.arm_fast = timer.arm_fast and interrupts_off(event)
            timer.fired_ns = timer.accepted_ns = event.time_ns
            timer.vcpu_was, timer.vcpu_cpu = "host", event.cpu
            self.expire(thread, timer)
        elif thread.timer and thread.timer.fired_ns is None and thread.timer is not thread.arming:
            # The callback itself is not in the listing.
            timer = thread.timer
            timer.accepted_ns = event.time_ns
            timer.vcpu_cpu = event.cpu
            timer.vcpu_was = "blocked" if thread.reason in HLT_EXITS else "host"
            if thread.reason in IRQ_EXITS:
                timer.expiry_exit = thread.reason
                timer.vcpu_was = "interrupted" if timer.expiry_vector == LOCAL_TIMER_VECTOR else "guest"
                timer.fired_cpu = event.cpu if timer.expiry_vector == LOCAL_TIMER_VECTOR else None
            self.expire(thread, timer)

    def on_wait(self, event: Event) -> None:
        """How far the deadline was when the advance was waited out."""
        callback = self.callbacks.get(event.cpu)
        thread = callback[0] if callback else self.threads.get(event.pid)
        delta = event.fields.get("delta")
        if thread is None or not isinstance(delta, int):
            return
        timer = thread.expired
        if timer and timer.delta is None:
            timer.wait_ns, timer.delta = event.time_ns, delta
            if timer.msr == TSC_DEADLINE and timer.value:
                thread.last_tsc = (event.time_ns, timer.value + delta)
                thread.first_tsc = thread.first_tsc or thread.last_tsc

    def on_wakeup(self, event: Event) -> None:
        """The vCPU's thread goes on after it has slept: an expiry meanwhile found it blocked."""
        thread, slept = self.threads.get(event.pid), event.fields.get("duration_ns")
        timer = thread.expired if thread else None
        if not timer or timer.fired_ns is None or not isinstance(slept, int) or timer.vcpu_was != "host":
            return
        # Times are printed in us, so the sleep may seem to begin a little late.
        if event.time_ns - slept - 2000 <= timer.fired_ns:
            timer.vcpu_was = "blocked"

    # What happens to timers.

    def arm(self, thread: Thread, event: Event) -> Timer:
        """The timer armed in the present exit; the one before it is over."""
        if thread.arming is not None:
            return thread.arming
        before = thread.timer
        if before is not None and before is not thread.expired:
            before.ended_ns = event.time_ns
            self.finished.append(before)
        start = event.time_ns if thread.since_ns is None or thread.in_guest else thread.since_ns
        timer = Timer(thread.vcpu, thread.pid, start, event.cpu, thread.reason)
        thread.arming = thread.timer = timer
        return timer

    def next_period(self, thread: Thread, event: Event, backend: str) -> None:
        """A periodic timer goes on by itself."""
        if thread.timer is not None and thread.timer is not thread.expired:
            thread.timer.ended_ns = event.time_ns
            self.finished.append(thread.timer)
        thread.timer = Timer(thread.vcpu, thread.pid, event.time_ns, event.cpu, None, backend=backend, msr=TMICT)

    def expire(self, thread: Thread, timer: Timer) -> None:
        """This timer is the one whose interrupt comes next; the one before it is over."""
        if thread.expired is not None and thread.expired is not timer:
            self.finished.append(thread.expired)
        thread.expired = timer


def is_pinned(mode: object) -> bool | None:
    """Whether an hrtimer's mode says PINNED (bit 1): tracefs prints words, perf script a number."""
    text = str(mode or "")
    if text.startswith("0x"):
        return bool(int(text, 16) & 2)
    return "PINNED" in text if text else None


def interrupts_off(event: Event) -> bool | None:
    """Whether the event came with interrupts off, as in a fast path; None where the listing does not say."""
    return None if event.flags is None else event.flags.startswith("d")


HANDLERS = {
    "kvm_exit": Tracker.on_exit,
    "kvm_entry": Tracker.on_entry,
    "hrtimer_start": Tracker.on_hrtimer_start,
    "hrtimer_expire_entry": Tracker.on_hrtimer_expire,
    "kvm_hv_timer_state": Tracker.on_hv_timer_state,
    "kvm_msr": Tracker.on_msr,
    "kvm_apic": Tracker.on_apic,
    "kvm_apic_accept_irq": Tracker.on_accept,
    "kvm_apicv_accept_irq": Tracker.on_accept,
    "kvm_wait_lapic_expire": Tracker.on_wait,
    "kvm_vcpu_wakeup": Tracker.on_wakeup,
}
