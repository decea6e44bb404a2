"""A second simulation of the same machine, written from the sources of the kernel alone, with SimPy, and much simpler.

It shares no rule with kvmlab: predicates, placement and expiry are written again. From kvmlab it takes the scenario and
the phases at time 0 (when a guest's and a host's ticks fall). Steps take their mean time; an exit that a host interrupt
makes does not delay the guest's program. So counts agree but for a few events that come within a us of each other.
"""

import itertools
from collections import Counter

import simpy

from kvmlab.engine import execute

NEVER = 1 << 60


def release_of(kernel):
    """The release that a kernel of the course is, as a number: 5.02 for v5.2, 5.15 for v5.15+rev2."""
    major, minor = kernel.name.removeprefix("v").split("+")[0].split(".")
    return int(major) + int(minor) / 100


class Cpu:
    """A pCPU: its queue of hrtimers, its event timer, and the interrupt that serves them.

    The event timer is set for what the pCPU believes to come first (expires_next, next_timer). Only the pCPU can
    change that itself. So what another one takes out goes on being believed in, until the interrupt comes for nothing.
    """

    def __init__(self, world, number):
        self.world, self.number, self.env = world, number, world.env
        self.queue, self.changed, self.vcpu = {}, world.env.event(), None
        self.believed, self.believed_timer = NEVER, None
        self.housekeeping = number in world.housekeeping
        self.loaded = self.serving = False
        self.shut_until = self.spurious = 0
        self.env.process(self.serve())

    def start(self, timer, expires, callback, by):
        self.queue[timer] = (expires, callback)
        if by is self and expires < self.believed:
            self.believe(expires, timer)

    def remove(self, timer, by):
        if self.queue.pop(timer, None) and by is self and self.believed_timer is timer:
            self.look_again()

    def believe(self, expires, timer):
        if not self.serving:
            self.believed, self.believed_timer = expires, timer
            if not self.changed.triggered:
                self.changed.succeed()

    def look_again(self):
        first = min(
            ((expires, str(timer), timer) for timer, (expires, _) in self.queue.items()), default=(NEVER, "", None)
        )
        self.believe(first[0], first[2])

    def next_event(self):
        """As another CPU sees it: hrtimer_interrupt() sets expires_next to KTIME_MAX while it runs."""
        return NEVER if self.serving or self.env.now < self.shut_until else self.believed

    def busy(self):
        return self.loaded or (self.vcpu is not None and (not self.vcpu.blocked or self.vcpu.polls()))

    def serve(self):
        while True:
            self.changed = self.env.event()
            due = self.believed
            if due > self.env.now:
                yield self.changed | self.env.timeout(due - self.env.now)
                continue
            interrupted = self.vcpu is not None and self.vcpu.in_guest()
            if interrupted:
                self.vcpu.exit("EXTERNAL_INTERRUPT")
            ready = sorted((e, str(t), t, c) for t, (e, c) in self.queue.items() if e <= self.env.now)
            for _, _, timer, _ in ready:
                del self.queue[timer]
            self.serving = True
            for expires, _, timer, callback in ready:
                work = callback(self, expires, interrupted, timer)
                yield self.env.timeout(work)
            if not ready:
                self.spurious += 1
                yield self.env.timeout(0 if interrupted else self.world.cost("hrtimer_interrupt"))
            self.serving = False
            if interrupted and self.world.release >= 7.01:
                self.shut_until = self.vcpu.away_until
            self.look_again()


class Vcpu:
    """A vCPU, its LAPIC timer and the guest's program on it."""

    def __init__(self, world, index, guest, cpu, phases):
        self.world, self.env, self.guest, self.cpu, self.index = world, world.env, guest, cpu, index
        cpu.vcpu = self
        self.blocked, self.away_until, self.programming = False, 0, True
        self.blocked_at = self.poll_ns = self.written_at = 0
        self.boot, self.next_tick, self.next_timer = phases
        self.armed = self.queued_on = self.backend = None
        self.serial = 0
        self.period = None
        self.irq, self.waiting = world.env.event(), False
        self.env.process(self.program())

    # the predicates, once more
    def can_post(self):
        s = self.world.scenario
        kernel = self.world.release
        p, a, m, h = s.host.injects_timer, s.host.apicv, self.guest.mwait_in_guest, self.guest.hlt_in_guest
        if kernel < 5.03 or not (p and a):
            return False
        if kernel == 5.15:
            return not self.cpu.housekeeping
        return m or h if kernel > 5.15 else True

    def has_hv(self):
        host = self.world.scenario.host
        return host.vendor == "intel" and host.preemption_timer

    def can_use_hv(self):
        return self.has_hv() and not self.guest.mwait_in_guest and not self.can_post()

    def in_guest(self):
        return not self.blocked and not self.programming and self.env.now >= self.away_until

    def exit(self, reason):
        self.world.exits[reason] += 1
        self.away_until = self.env.now + self.world.exit_cost(reason)

    # arming
    def arm(self, deadline):
        self.disarm()
        self.armed = deadline
        advance = self.world.advance
        if self.can_use_hv():
            self.backend = "hv"
            if deadline - advance <= self.env.now and self.period is None:
                return self.at_arm()
            self.env.process(self.preemption_timer(self.serial, deadline - advance))
            return None
        if self.mode != "tsc_deadline":
            return self.at_arm() if deadline < self.env.now else self.start_sw(deadline)
        return self.at_arm() if deadline - advance <= self.env.now else self.start_sw(deadline - advance)

    def start_sw(self, expires):
        self.backend = "hrtimer"
        self.queued_on = self.world.base_for(self.cpu, expires)
        self.queued_on.start(self, expires, self.callback, self.cpu)

    def at_arm(self):
        self.world.places["at arm"] += 1
        self.deliver(self.armed, "msr_write")

    def disarm(self):
        self.serial += 1
        if self.queued_on is not None:
            self.queued_on.remove(self, self.cpu)
        self.armed = self.queued_on = self.backend = None

    # expiring
    def preemption_timer(self, serial, at):
        yield self.env.timeout(max(0, at - self.env.now))
        while serial == self.serial and not self.blocked and not self.in_guest():
            yield self.env.timeout(max(1, self.away_until - self.env.now))
        if serial != self.serial or self.blocked:
            return
        deadline = self.armed
        self.exit("PREEMPTION_TIMER")
        self.world.places["hv"] += 1
        waits = self.mode == "tsc_deadline" or self.world.release >= 5.13
        self.deliver(deadline if waits else 0, "exit_transition", "preemption_timer")
        if self.period is not None:
            self.arm(deadline + self.period)

    def callback(self, cpu, expires, interrupted, _):
        work = self.world.cost("hrtimer_interrupt")
        deadline = self.armed
        steps = ["hrtimer_interrupt"]
        if cpu is self.cpu and interrupted:
            place = "own pCPU"
            steps = ["exit_transition", "external_interrupt"]
        elif cpu is not self.cpu and self.in_guest() and self.can_post():
            place = "housekeeping posted"
            steps += ["post", "posted_delivery"]
            work += max(0, deadline - self.env.now)
        elif cpu is not self.cpu and self.in_guest():
            place = "housekeeping kicked"
            steps += ["kick", "exit_transition", "external_interrupt"]
            self.exit("EXTERNAL_INTERRUPT")
        else:
            place = "not in guest"
        self.world.places[place] += 1
        self.world.fired[cpu.number] += 1
        self.deliver(deadline, *steps)
        if self.period is not None:
            self.armed = deadline + self.period
            cpu.start(self, expires + self.period, self.callback, cpu)
        return work

    def deliver(self, deadline, *steps):
        """The guest's handler starts after these steps, but not before the deadline."""
        if not self.irq.triggered:
            entry = self.world.cost("entry_transition")
            self.irq.succeed(max(deadline + entry, self.env.now + sum(map(self.world.cost, steps)) + entry))

    # the guest
    @property
    def mode(self):
        return self.guest.workload.timer_mode

    def halts(self):
        w = self.guest.workload
        how = "hlt" if w.waits_by == "mwait" and not self.guest.mwait_in_guest else w.waits_by
        return w.idle_us > 0 and how == "hlt" and not self.guest.hlt_in_guest

    def write(self):
        """One exit to arm the timer."""
        self.world.exits["MSR_WRITE"] += 1
        self.programming, self.written_at = True, self.env.now
        yield self.env.timeout(self.world.cost("exit_transition"))
        w = self.guest.workload
        if self.mode == "periodic":
            self.period = max(self.world.us(w.timer_us) if w.timer_us else round(1e9 / w.tick_hz), self.world.least)
            self.arm(self.env.now + self.period)
        else:
            deadline = min(self.next_tick, self.next_timer)
            # An initial count is at least 1, where a deadline may be past.
            self.arm(max(deadline, self.env.now + 1) if self.mode == "oneshot" else deadline)
        yield self.env.timeout(self.world.cost("msr_write") + self.world.cost("entry_transition"))
        self.programming = False

    def put_off(self):
        """Write the timer again, as often and as far as the guest does; True if it came before that."""
        w = self.guest.workload
        for i in range(w.rewrites):
            yield self.irq | self.env.timeout(
                max(0, self.written_at + self.world.us(w.rewrite_every_us) - self.env.now)
            )
            if self.irq.triggered:
                return True
            start = (
                self.env.now + self.world.us(w.timer_us) + i * self.world.us(w.rewrite_by_us)
                if w.slides
                else self.next_timer
            )
            self.next_timer = start + self.world.us(w.rewrite_by_us)
            yield from self.write()
        return False

    def polls(self):
        """It is blocked, but its thread runs still, and looks out for something to do."""
        return self.env.now - self.blocked_at <= self.poll_ns

    def learn_to_poll(self):
        """As kvm_vcpu_halt() does at its end: twice as long after a short sleep, less after a long one."""
        slept, most = self.env.now - self.blocked_at, self.world.us(self.world.scenario.host.halt_poll_us)
        if most == 0 or slept <= self.poll_ns:
            return
        if slept > most:
            self.poll_ns = self.poll_ns // 2 if self.world.release >= 6.11 else 0
            self.poll_ns = 0 if self.poll_ns < 10_000 else self.poll_ns
        elif slept < most:
            self.poll_ns = min(most, max(10_000, 2 * self.poll_ns))

    def halt(self):
        was_hv = self.backend == "hv"
        self.blocked, self.blocked_at = True, self.env.now
        if was_hv and not self.irq.triggered:
            deadline = self.armed
            self.disarm()
            self.armed = deadline
            self.start_sw(deadline - (self.world.advance if self.mode == "tsc_deadline" else 0))
        due = yield self.irq
        wake_up = ["halt_poll_notice"] if self.polls() else ["wake_up", "cstate_exit"]
        self.blocked, self.programming = False, True
        self.world.exits["HLT"] += 1  # as perf counts: when it ends
        yield self.env.timeout(max(0, due - self.env.now) + sum(map(self.world.cost, wake_up)))
        self.learn_to_poll()
        self.programming = False
        if self.period is not None and (was_hv or (self.has_hv() and self.world.release < 5.17)):
            first_at_home = self.queued_on is self.cpu and self.cpu.believed_timer is self
            if not (first_at_home and self.world.release >= 5.15 and not self.can_use_hv()):
                self.arm(self.armed)

    def program(self):
        w = self.guest.workload
        left = w.timers or NEVER
        yield self.env.timeout(self.boot)
        yield from self.write()
        while True:
            came = yield from self.put_off()
            if self.halts() and not came:
                yield from self.halt()
            due = yield self.irq
            self.irq = self.env.event()
            yield self.env.timeout(max(0, due - self.env.now) + self.world.cost("guest_handler"))
            left -= 1
            if not self.world.scenario.host.apicv:
                self.world.exits["MSR_WRITE"] += 1  # the EOI
            if left == 0:
                self.disarm()
                self.blocked = True
                return
            if self.mode == "periodic":
                continue
            if self.next_timer <= self.env.now:
                after = self.env.now if w.rearm == "relative" else self.next_timer
                self.next_timer = after + self.world.us(w.timer_us)
            if self.next_tick <= self.env.now:
                self.next_tick += round(1e9 / w.tick_hz)
            yield from self.write()


class World:
    """The host. Its `exits`, `places` and `fired` are what came out."""

    def __init__(self, scenario):
        self.scenario, self.env = scenario, simpy.Environment()
        self.exits, self.places, self.fired = Counter(), Counter(), Counter()
        host = scenario.host
        self.release = release_of(scenario.kernel)
        self.housekeeping = [c for c in range(host.pcpus) if not (host.nohz_full and c in host.isolated)]
        self.advance = 1000 if host.lapic_timer_advance_ns is None else host.lapic_timer_advance_ns
        self.least = self.us(host.min_timer_period_us)
        self.cpus = [Cpu(self, number) for number in range(host.pcpus)]
        phases = execute.machine(scenario).tables()
        self.host_timers(phases)
        pairs = ((g, c) for g, cpus in zip(scenario.guests, scenario.placement, strict=True) for c in cpus)
        for index, (guest, number) in enumerate(pairs):
            v = phases.vcpus[index]
            Vcpu(self, index, guest, self.cpus[number], (int(v["boot"]), int(v["next_tick"]), int(v["next_timer"])))

    def us(self, microseconds):
        return round(microseconds * 1000)

    def cost(self, step):
        return round(getattr(self.scenario.costs, step).mean_ns)

    def exit_cost(self, reason):
        step = {"EXTERNAL_INTERRUPT": "external_interrupt", "PREEMPTION_TIMER": "preemption_timer"}[reason]
        return self.cost("exit_transition") + self.cost(step) + self.cost("entry_transition")

    def host_timers(self, phases):
        """Ticks where something runs (and on the timekeeper), and the loaded CPUs' own timers."""
        host = self.scenario.host
        used = set(itertools.chain(*self.scenario.placement))
        loaded = range(host.pcpus) if host.loaded is None else host.loaded
        loaded = {c for c in loaded if host.loaded is not None or c not in host.isolated}
        first = [int(t) for t in phases.timers["time"][len(phases.vcpus) + host.pcpus :]]
        for cpu in self.cpus:
            works = cpu.number in loaded and host.housekeeping != "idle"
            cpu.loaded = works
            keeper = cpu.number == self.housekeeping[0] and len(self.housekeeping) < host.pcpus
            if cpu.housekeeping and (works or keeper or cpu.number in used):
                tick = round(1e9 / host.hz)
                cpu.start("tick", tick, self.repeat(tick, self.cost("hrtimer_interrupt") + self.cost("tick")), cpu)
            if works and host.housekeeping == "timers":
                period = self.us(host.housekeeping_timer_us)
                cpu.start("own", first[cpu.number], self.repeat(period, self.cost("hrtimer_interrupt")), cpu)

    def repeat(self, period, work):
        def callback(cpu, expires, interrupted, timer):
            cpu.start(timer, expires + period, callback, cpu)
            return work

        return callback

    def base_for(self, cpu, expires):
        """The pCPU an hrtimer goes to that is armed on `cpu`."""
        host = self.scenario.host
        if self.release < 5.03 or not host.timer_migration or cpu.housekeeping:
            return cpu
        near = next((d for d in host.domains if cpu.number in d), ())
        spans = [near, range(host.pcpus)]
        target = None
        if host.isolated_domains:
            for span in spans:
                busy = [n for n in sorted(span) if n in self.housekeeping and self.cpus[n].busy()]
                target = target if target is not None else (busy[0] if busy else None)
        if target is None:
            closest = [n for n in self.housekeeping if n in near] if self.release >= 5.04 else []
            target = (closest or self.housekeeping)[0]
        remote = self.cpus[target]
        return cpu if expires < remote.next_event() else remote

    def run(self):
        self.env.run(until=round(self.scenario.duration_s * 1e9))
        return self


def simulate(scenario):
    """Exits by reason, expiries by place, LAPIC hrtimers fired and spurious interrupts by pCPU, as four Counters."""
    world = World(scenario).run()
    spurious = Counter({cpu.number: cpu.spurious for cpu in world.cpus})
    return +world.exits, +world.places, +world.fired, +spurious
