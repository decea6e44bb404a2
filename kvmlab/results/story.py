"""The story of one timer: its outcome and its steps, each told in one sentence. Simulated or from a recording."""

from __future__ import annotations

from dataclasses import dataclass

from kvmlab.model.names import Trace

SENTENCES: dict[int, str] = {
    Trace.EXIT: "The vCPU leaves guest mode: {exit}.",
    Trace.ENTRY: "The vCPU enters guest mode.",
    Trace.WRMSR: "The host handles the guest's write to its timer.",
    Trace.START_APIC_TIMER: "What was armed before is forgotten, and who shall fire the timer is decided.",
    Trace.START_HV_TIMER: "The VMX preemption timer is armed: it counts down while the vCPU is in guest mode.",
    Trace.HV_REFUSED: "No preemption timer: it is missing, or MWAIT does not exit, or the timer may be posted.",
    Trace.HV_ERANGE: "The deadline is further away than the preemption timer can count.",
    Trace.CANCEL_HV_TIMER: "The preemption timer is turned off.",
    Trace.START_SW_TIMER: "A host hrtimer takes the job.",
    Trace.HRTIMER_START: "The hrtimer is queued on {cpu}.",
    Trace.HRTIMER_CANCEL: "The hrtimer is taken off its queue.",
    Trace.NOHZ_TARGET: "Asked which CPU should take an unpinned timer: {cpu}.",
    Trace.TARGET_REFUSED: "It would be the first to expire on {cpu}, which can't be reprogrammed from afar: it stays.",
    Trace.APIC_TIMER_FN: "The hrtimer's callback runs {ns} after the time it was set for.",
    Trace.HRTIMER_INTERRUPT: "The CPU's event timer fires: the hrtimers that are due are run.",
    Trace.HV_EXPIRED: "The exit says that the preemption timer has run down: the timer has expired.",
    Trace.EXPIRED_AT_ONCE: "The deadline has come already: the interrupt is delivered without arming anything.",
    Trace.EXPIRED_PENDING: (
        "Not posted: the expiry is noted as pending, for the vCPU to find on its way into the guest."
    ),
    Trace.EXPIRED_DROPPED: "One expiry is pending already: this one is dropped.",
    Trace.EXPIRED_POSTED: (
        "Posted: the vector is set in the posted-interrupt descriptor and {cpu} is notified. No exit."
    ),
    Trace.WAIT: "The timer was set early on purpose: {ns} are left to the deadline, and are waited out.",
    Trace.KICK: "An IPI to {cpu} makes the vCPU leave the guest.",
    Trace.WAKE_UP: "The blocked vCPU thread is woken.",
    Trace.INJECT: "The pending expiry becomes an interrupt of the guest.",
    Trace.BLOCK: "The guest has halted: the vCPU thread goes to sleep.",
    Trace.SWITCH_TO_SW: (
        "The preemption timer counts in guest mode only, so an hrtimer takes over while the vCPU sleeps."
    ),
    Trace.SWITCH_TO_HV: "The vCPU runs again: who shall fire the timer is decided again.",
    Trace.SCHED_OUT: "Another task takes the pCPU for {ns}.",
    Trace.LOAD: "The scheduler runs the vCPU on {cpu}.",
    Trace.MIGRATE: "The hrtimer follows the vCPU to its new pCPU.",
    Trace.HANDLER: "The guest's timer handler starts, {ns} after the deadline.",
    Trace.GUEST_HALTS: "The guest halts without leaving guest mode.",
    Trace.DEVICE: "The guest handles a device's interrupt.",
    Trace.NOTHING_ARMED: "A deadline of 0 disarms the timer: nothing is armed.",
}
"""What happens at each step of the trace; {exit}, {cpu} and {ns} (a time in us, as text) are filled in."""

NOTHING = "nothing is armed."
"""The summary of a story without a timer."""
NOT_VISIBLE = "not visible"
"""What a story of a recorded timer says of what the recording does not show."""
# The clauses of a story's summary: by `Story.backend`, `Story.fires_on` and `Story.delivery`.
ARMED = {
    "hv": "the preemption timer is armed",
    "hv, then hrtimer": "the preemption timer is armed, an hrtimer takes its place",
    "hrtimer": "an hrtimer is armed",
    None: "nothing has to be armed",
    NOT_VISIBLE: "what is armed is not visible",
}
PLACE = {
    "own": "it fires on the vCPU's own pCPU",
    "housekeeping": "it fires on a housekeeping CPU",
    NOT_VISIBLE: "where it fires is not visible",
}
CAME = {
    "posted": "the interrupt is posted",
    "vm_entry": "the interrupt is injected at VM entry",
    "wake_up": "the vCPU is woken",
    "at_arm": "the interrupt is delivered at once",
    NOT_VISIBLE: "how the guest gets it is not visible",
}


@dataclass(frozen=True)
class Step:
    """One step of a story."""

    time_ns: int
    """When, counted from the guest's write."""
    where: str
    """Which CPU does it."""
    function: str
    """The kernel function or tracepoint, or what the guest does."""
    sentence: str
    """What happens."""


@dataclass(frozen=True, repr=False)
class Story:
    """Outcome of one timer, as `follow_timer` returns it; printed, it shows every step.

    >>> import kvmlab as kl
    >>> print(kl.follow_timer("v5.18", deadline_ns=0).summary())
    nothing is armed.
    """

    kernel: str
    """The kernel, or whose recorded timer it is."""
    backend: str | None
    """What was armed: "hv" (the preemption timer), "hrtimer", or None (nothing)."""
    fires_on: str | None
    """Where it fired: "own" (the vCPU's pCPU), "housekeeping", or None (nowhere)."""
    arm_exit: str | None
    """The exit that the guest's write costs; None where a periodic timer went on by itself."""
    arm_fastpath: bool | None
    """That exit took the fast path; None where a recording does not show it, as below."""
    expiry_exit: str | None
    """The exit that the expiry costs: "PREEMPTION_TIMER", "EXTERNAL_INTERRUPT", or None."""
    expiry_fastpath: bool | None
    """That exit took the fast path."""
    delivery: str | None
    """How the guest got it: "posted", "vm_entry", "wake_up", "at_arm" (due when armed), or None (nothing armed)."""
    latency_ns: int | None
    """Deadline -> guest handler, every step taking its mean time; None if nothing was armed."""
    timeline: tuple[Step, ...]
    """The steps with their times."""

    @property
    def steps(self) -> list[tuple[str, str, str]]:
        """The steps as (where, kernel function, sentence)."""
        return [(step.where, step.function, step.sentence) for step in self.timeline]

    def __str__(self) -> str:
        """Return the outcome and every step, one per line."""
        lines = [f"{s.time_ns / 1e3:10.2f} us  {s.where:<22} {s.function:<30} {s.sentence}" for s in self.timeline]
        return "\n".join([f"{self.kernel}: {self.summary()}", *lines])

    __repr__ = __str__

    def summary(self) -> str:
        """Return the outcome in one sentence."""
        if self.delivery is None:
            return NOTHING
        gave_way = self.backend == "hv" and (self.fires_on == "housekeeping" or self.delivery == "wake_up")
        armed = ARMED["hv, then hrtimer" if gave_way else self.backend]
        parts = [armed, *([PLACE[self.fires_on]] if self.fires_on else []), CAME[self.delivery]]
        if self.delivery == NOT_VISIBLE:
            return f"{', '.join(parts)}."
        cost = (
            f"a{'n' if self.expiry_exit[0] in 'AEIOU' else ''} {self.expiry_exit} exit"
            if self.expiry_exit
            else "no exit"
        )
        return f"{', '.join(parts)}; the expiry costs {cost}."

    def _repr_html_(self) -> str:
        """Return a table, one row per step, for a notebook."""
        from html import escape

        left = "<td style='text-align:left'>"
        rows = "".join(
            f"<tr><td style='text-align:right'>{s.time_ns / 1e3:.2f}</td>{left}{escape(s.where)}</td>"
            f"{left}<code>{escape(s.function)}</code></td>{left}{escape(s.sentence)}</td></tr>"
            for s in self.timeline
        )
        titles = ("time, us", "where", "function", "what happens")
        head = "".join(f"<th style='text-align:left'>{title}</th>" for title in titles)
        title = f"{escape(self.kernel)}: {escape(self.summary())}"
        return f"<table><caption style='text-align:left'>{title}</caption><tr>{head}</tr>{rows}</table>"
