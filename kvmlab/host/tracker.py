"""From a listing of kvm and hrtimer events to timers: when each was armed, who fired it, how the guest got it.

A `Tracker` is fed one event at a time and keeps a bounded state for each vCPU thread, so a listing of any length can be
followed. What it says of a timer is what the events show; what they do not show stays None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from kvmlab.host.formats.events import Event
from kvmlab.host.formats.lines import shortened
from kvmlab.host.names import HLT_EXITS, IRQ_EXITS, LVTT, TMICT, TSC_DEADLINE, WRITE_EXITS
from kvmlab.host.threads import Span, Thread, Timeline
from kvmlab.host.timers import Backend, Timer, VcpuState
from kvmlab.host.vectors import ExitVectors, is_local_timer

CALLBACK_EVENTS = frozenset(
    {"kvm_wait_lapic_expire", "kvm_apic_accept_irq", "kvm_apicv_accept_irq", "hrtimer_start", "hrtimer_expire_exit"}
)
"""What apic_timer_fn() may leave in the listing, on the CPU that runs it."""
INTERRUPT_NS = 1_000_000
"""A host takes the interrupt that ended guest mode well within this."""
BACKWARDS_NS = 10_000_000
"""Events of different CPUs may be out of order by less than this."""
ONE_WRITE_NS = 100_000
"""What KVM traces of one write of a register is closer together than this."""
WAKEUP_NS = 2000
"""Times are printed in us, so a sleep may seem to begin this much late."""
MAX_REASONS = 1000
"""Different exit reasons of one vCPU; there are fewer than a hundred."""
MAX_MSRS = 1000
"""Different MSRs whose writes are counted."""
MAX_EVENT_NAMES = 10_000
"""Different events; a kernel has about two thousand."""
MAX_THREADS = 4096
"""vCPU threads that are followed at a time; more is no host but a hostile text."""


class Tracker:
    """Follows every vCPU's timer through a listing; `max_spans`: how long the timeline may become."""

    def __init__(self, max_spans: int) -> None:
        self.threads: dict[int, Thread] = {}
        """vCPU threads by their number (pid)."""
        self.finished: list[Timer] = []
        """Timers that the present event has ended."""
        self.hrtimers: dict[str, Thread] = {}
        """Whose LAPIC timer an hrtimer is, by its address."""
        self.callbacks: dict[int, tuple[Thread, Span]] = {}
        """pCPUs that are in apic_timer_fn(): for which thread, and the span of the callback."""
        self.sees_accept = False
        """The listing shows when the virtual APIC takes a vector."""
        self.host_hrtimers: Counter[int] = Counter()
        """hrtimers of the host's own that fired, by pCPU."""
        self.timeline = Timeline(max_spans)
        self.vectors = ExitVectors()
        """Reads the vectors of interrupt exits."""
        self.events: Counter[str] = Counter()
        """How many events the listing has, by name: what an absent kind would have shown is not known."""
        self.first_ns: int | None = None
        """Time of the first event; None before it."""
        self.last_ns = 0
        """The latest time so far."""

    @property
    def modern_exit_format(self) -> bool:
        """kvm_exit is printed as from v5.10 on."""
        return self.vectors.modern

    @property
    def length_ns(self) -> int:
        """How long the listing is, in ns."""
        return self.last_ns - (self.first_ns or 0)

    def name(self, pid: int) -> str:
        """Return the name of a thread's vCPU."""
        return self.threads[pid].name(self.threads.values())

    def follow(self, events: Iterable[Event]) -> Iterator[Timer]:
        """Yield each timer when all is known of it that will be.

        Raises ValueError for a listing that goes back in time, and for more threads, timers or exit reasons than a
        host has.
        """
        for event in events:
            self.take(event)
            yield from self.finished
            self.finished.clear()
        for thread in self.threads.values():
            self.close_span(thread, self.last_ns)
            yield from {id(timer): timer for timer in (thread.expired, thread.timer) if timer is not None}.values()

    def take(self, event: Event) -> None:
        """Take one event; the timers that it ends go to `finished`."""
        if event.time_ns < self.last_ns - BACKWARDS_NS:
            raise ValueError(
                f"{event.event} at {event.time_s:.6f} s: the event before it is at {self.last_ns / 1e9:.6f} s; "
                "expected one listing, in order of time"
            )
        self.first_ns = event.time_ns if self.first_ns is None else self.first_ns
        self.last_ns = max(self.last_ns, event.time_ns)
        self.events[event.event] += 1
        if len(self.events) > MAX_EVENT_NAMES:
            raise ValueError(f"{event.event}: expected at most {MAX_EVENT_NAMES} different events")
        if event.event not in CALLBACK_EVENTS:
            self.callbacks.pop(event.cpu, None)
        elif event.cpu in self.callbacks:
            self.callbacks[event.cpu][1].end_ns = event.time_ns
            if event.event == "hrtimer_expire_exit":
                del self.callbacks[event.cpu]
        handler = HANDLERS.get(event.event)
        if handler is not None:
            handler(self, event)

    def thread_of(self, event: Event) -> Thread:
        """Return the vCPU thread that an event is of; a new one where it was not seen before."""
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

    def close_span(self, thread: Thread, now: int) -> None:
        """Add what the vCPU did up to now to the timeline."""
        if thread.since_ns is not None and now > thread.since_ns:
            what = "guest" if thread.in_guest else thread.reason or "host"
            self.timeline.add(Span(thread.since_ns, now, ("vCPU", thread.pid), what))

    # The vCPU leaves and enters the guest, and sleeps.

    def on_exit(self, event: Event) -> None:
        """Handle kvm_exit: the vCPU leaves the guest, perhaps because its timer fired."""
        thread = self.thread_of(event)
        self.close_span(thread, event.time_ns)
        reason = event.reason or ""
        thread.leave(event.time_ns, event.cpu, reason)
        if len(thread.exits) > MAX_REASONS:
            raise ValueError(f"kvm_exit reason {shortened(reason)}: expected at most {MAX_REASONS} different reasons")
        vector = self.vectors.of(event)
        timer = thread.timer
        if reason == "PREEMPTION_TIMER" and timer and timer.running and timer.backend != "hrtimer":
            timer.backend = "hv"
            timer.fire(event.time_ns, event.cpu, "interrupted", event.cpu)
            timer.note_exit(reason, event.time_ns, None)
            self.expire(thread, timer)
        elif reason in IRQ_EXITS:
            if thread.expired and thread.expired.awaits_kick:
                thread.expired.note_exit(reason, event.time_ns, vector)
            elif timer and timer.running:
                # Perhaps this timer's: the vector that the virtual APIC takes before the next entry tells.
                timer.expiry_exit_ns, timer.expiry_vector = event.time_ns, vector

    def on_entry(self, event: Event) -> None:
        """Handle kvm_entry: the vCPU enters the guest, perhaps with the timer's interrupt."""
        thread = self.thread_of(event)
        self.close_span(thread, event.time_ns)
        thread.enter(event.time_ns, event.cpu)
        timer = thread.expired
        if timer and timer.entry_ns is None and not timer.posted and (timer.accepted_ns or not self.sees_accept):
            timer.entry_ns = event.time_ns

    def on_wakeup(self, event: Event) -> None:
        """Handle kvm_vcpu_wakeup: the vCPU's thread has slept, and an expiry meanwhile found it blocked."""
        thread, slept = self.threads.get(event.pid), event.fields.get("duration_ns")
        timer = thread.expired if thread else None
        if not timer or timer.fired_ns is None or not isinstance(slept, int) or timer.vcpu_was != "host":
            return
        if event.time_ns - slept - WAKEUP_NS <= timer.fired_ns:
            timer.vcpu_was = "blocked"

    # A timer is armed.

    def on_msr(self, event: Event) -> None:
        """Handle kvm_msr: a write to one of the LAPIC's registers."""
        if event.fields.get("access") != "write":
            return
        msr, value = event.fields.get("msr"), event.fields.get("value")
        if not isinstance(msr, int) or not isinstance(value, int):
            return
        thread = self.thread_of(event)
        if len(thread.msr_writes) < MAX_MSRS:
            thread.msr_writes[msr] += 1
        if msr == LVTT:
            thread.vector = value & 0xFF
        if msr in (TSC_DEADLINE, TMICT):
            self.forget_last_write(thread, event, value)
            timer = self.arm(thread, event)
            timer.value, timer.msr = value, msr
            timer.arm_fast = interrupts_off(event)

    def on_apic(self, event: Event) -> None:
        """Handle kvm_apic: a write to the xAPIC's initial count."""
        if event.fields.get("access") == "write" and event.fields.get("register") == "APIC_TMICT":
            thread, value = self.thread_of(event), event.fields.get("value")
            self.forget_last_write(thread, event, value)
            timer = self.arm(thread, event)
            timer.value = value if isinstance(value, int) else None
            timer.msr = TMICT

    def on_hv_timer_state(self, event: Event) -> None:
        """Handle kvm_hv_timer_state: the preemption timer is, or is no longer, in use."""
        thread = self.thread_of(event)
        in_use = event.fields.get("hv_timer") == 1
        if thread.reason in WRITE_EXITS:
            timer = self.arm(thread, event)
            # From one to the other within one exit: the vCPU blocks.
            timer.switched |= timer.backend == "hv" and not in_use
            timer.backend = "hv" if in_use or timer.switched else "hrtimer"
        elif in_use and thread.reason == "PREEMPTION_TIMER" and thread.expired is thread.timer:
            self.next_period(thread, event, "hv")

    def on_hrtimer_start(self, event: Event) -> None:
        """Handle hrtimer_start: the LAPIC timer's hrtimer is queued, by the vCPU's thread or for the next period."""
        if event.fields.get("function") != "apic_timer_fn":
            return
        timer = self.started_timer(event)
        if timer is not None:
            expires = event.fields.get("expires")
            timer.backend = timer.backend if timer.switched else "hrtimer"
            timer.expires = expires if isinstance(expires, int) else None
            timer.pinned = is_pinned(event.fields.get("mode"))

    def started_timer(self, event: Event) -> Timer | None:
        """Return the timer that a LAPIC hrtimer is queued for; None where nobody is known to queue it."""
        address = str(event.fields["hrtimer"])
        owner, callback = self.threads.get(event.pid), self.callbacks.get(event.cpu)
        if callback and self.hrtimers.get(address) is callback[0]:
            self.next_period(callback[0], event, "hrtimer")
            return callback[0].timer
        if owner is None or owner.in_guest:
            return None
        self.hrtimers[address] = owner
        if len(self.hrtimers) > MAX_THREADS:
            raise ValueError(f"hrtimer {address}: more than {MAX_THREADS} LAPIC timers; expected a listing of one host")
        if owner.since_ns is None:
            owner.arming = None  # without kvm_exit in the listing, nothing else parts two armings
        if owner.reason in WRITE_EXITS or owner.timer is None or owner.since_ns is None:
            return self.arm(owner, event)
        # Not a guest's write: the vCPU blocks, is loaded elsewhere, or starts its next period.
        owner.timer.switched |= owner.timer.backend == "hv"
        return owner.timer

    # A timer fires.

    def on_hrtimer_expire(self, event: Event) -> None:
        """Handle hrtimer_expire_entry: an hrtimer's callback begins."""
        span = self.timeline.add(Span(event.time_ns, event.time_ns, ("pCPU", event.cpu), "hrtimer"))
        thread = self.hrtimers.get(str(event.fields["hrtimer"]))
        if event.fields.get("function") != "apic_timer_fn":
            self.host_hrtimers[event.cpu] += 1
        timer = thread.timer if thread else None
        if thread is None or timer is None:
            return
        self.callbacks[event.cpu] = (thread, span)
        if not timer.running:
            return
        now = event.fields.get("now")
        if isinstance(now, int) and timer.expires is not None:
            timer.late_ns = now - timer.expires
        timer.fire(event.time_ns, event.cpu, vcpu_state(thread, event), thread.cpu)
        if timer.vcpu_was == "interrupted":
            timer.expiry_exit, timer.expiry_exit_ns = thread.reason, thread.since_ns
        else:
            timer.expiry_exit_ns = timer.expiry_vector = None
        self.expire(thread, timer)

    # The guest gets its interrupt.

    def on_accept(self, event: Event) -> None:
        """Handle kvm_apic_accept_irq: a vector is taken, of the timer if that is where its expiry is dealt with."""
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
        """Note a post: the hrtimer's callback, on another CPU than the vCPU's, gives the guest its interrupt."""
        timer, vector = thread.expired, event.fields.get("vector")
        thread.apicv |= event.event == "kvm_apicv_accept_irq"
        if timer and timer.accepted_ns is None:
            timer.posted, timer.accepted_ns = True, event.time_ns
            thread.vector = vector if isinstance(vector, int) else None
            self.timeline.add_post(event.time_ns, event.cpu, thread.pid)

    def accepted_in_thread(self, thread: Thread, event: Event) -> None:
        """Note that the vCPU's own thread gives the guest its timer interrupt."""
        timer, arming, last = thread.expired, thread.arming, thread.timer
        if timer and timer.accepted_ns is None:
            timer.accepted_ns = event.time_ns
            timer.expiry_fast = interrupts_off(event) if timer.expiry_exit == "PREEMPTION_TIMER" else None
        elif arming and arming.running and arming.expires is None:
            self.accepted_at_arm(thread, arming, event)
        elif last and last.running and last is not arming:
            self.accepted_unseen(thread, last, event)

    def accepted_at_arm(self, thread: Thread, timer: Timer, event: Event) -> None:
        """Note that the deadline had passed when the timer was armed."""
        timer.at_arm, timer.backend = True, None
        # The fast path ends where the interrupt has to be injected the long way.
        timer.arm_fast = timer.arm_fast and interrupts_off(event)
        timer.fired_ns = timer.accepted_ns = event.time_ns
        timer.vcpu_was, timer.vcpu_cpu = "host", event.cpu
        self.expire(thread, timer)

    def accepted_unseen(self, thread: Thread, timer: Timer, event: Event) -> None:
        """Note that the timer has fired, although its callback is not in the listing."""
        timer.accepted_ns = event.time_ns
        timer.vcpu_cpu = event.cpu
        timer.vcpu_was = "blocked" if thread.reason in HLT_EXITS else "host"
        if thread.reason in IRQ_EXITS:
            own = is_local_timer(timer.expiry_vector, modern=self.vectors.modern)
            timer.expiry_exit = thread.reason
            timer.vcpu_was = "interrupted" if own else "guest"
            timer.fired_cpu = event.cpu if own else None
        self.expire(thread, timer)

    def on_wait(self, event: Event) -> None:
        """Handle kvm_wait_lapic_expire: the advance was waited out, and how far away the deadline was."""
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

    # One timer follows another.

    def forget_last_write(self, thread: Thread, event: Event, value: object) -> None:
        """Let a write arm a timer of its own where the listing has neither kvm_exit nor kvm_entry to part two writes.

        One write to the x2APIC's initial count may show twice, as kvm_apic and as kvm_msr.
        """
        last = thread.arming
        if thread.since_ns is not None or last is None or (last.value is None and last.running):
            return
        if last.value != value or last.msr != TMICT or event.time_ns - last.armed_ns > ONE_WRITE_NS:
            thread.arming = None

    def arm(self, thread: Thread, event: Event) -> Timer:
        """Return the timer armed in the present exit; the one before it is over."""
        if thread.arming is not None:
            return thread.arming
        self.end(thread, event)
        start = event.time_ns if thread.since_ns is None or thread.in_guest else thread.since_ns
        timer = Timer(thread.vcpu, thread.pid, start, event.cpu, thread.reason)
        thread.arming = thread.timer = timer
        return timer

    def next_period(self, thread: Thread, event: Event, backend: Backend) -> None:
        """Start the next period of a periodic timer, which goes on by itself."""
        self.end(thread, event)
        thread.timer = Timer(thread.vcpu, thread.pid, event.time_ns, event.cpu, None, backend=backend, msr=TMICT)

    def end(self, thread: Thread, event: Event) -> None:
        """End the last timer that was armed, unless it has expired: `expire` or the end of the listing ends that."""
        if thread.timer is not None and thread.timer is not thread.expired:
            thread.timer.ended_ns = event.time_ns
            self.finished.append(thread.timer)

    def expire(self, thread: Thread, timer: Timer) -> None:
        """Make this timer the one whose interrupt comes next; the one before it is over."""
        if thread.expired is not None and thread.expired is not timer:
            self.finished.append(thread.expired)
        thread.expired = timer


def vcpu_state(thread: Thread, event: Event) -> VcpuState:
    """Return where an expiry finds the vCPU."""
    if thread.in_guest:
        return "guest"
    at_once = event.time_ns - (thread.since_ns or 0) < INTERRUPT_NS
    if event.pid == thread.pid and event.cpu == thread.exit_cpu and thread.reason in IRQ_EXITS and at_once:
        return "interrupted"
    return "blocked" if thread.reason in HLT_EXITS else "host"


def is_pinned(mode: object) -> bool | None:
    """Return True if an hrtimer's mode says PINNED (bit 1): tracefs prints words, perf script a number."""
    text = str(mode or "")
    if text.startswith("0x"):
        return bool(int(text, 16) & 2)
    return "PINNED" in text if text else None


def interrupts_off(event: Event) -> bool | None:
    """Return True if the event came with interrupts off, as in a fast path; None where the listing does not say."""
    return None if event.flags is None else event.flags.startswith("d")


HANDLERS: dict[str, Callable[[Tracker, Event], None]] = {
    "kvm_exit": Tracker.on_exit,
    "kvm_entry": Tracker.on_entry,
    "kvm_vcpu_wakeup": Tracker.on_wakeup,
    "kvm_msr": Tracker.on_msr,
    "kvm_apic": Tracker.on_apic,
    "kvm_hv_timer_state": Tracker.on_hv_timer_state,
    "hrtimer_start": Tracker.on_hrtimer_start,
    "hrtimer_expire_entry": Tracker.on_hrtimer_expire,
    "kvm_apic_accept_irq": Tracker.on_accept,
    "kvm_apicv_accept_irq": Tracker.on_accept,
    "kvm_wait_lapic_expire": Tracker.on_wait,
}
"""What each event does; all others only end a callback's span."""
