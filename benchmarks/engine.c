/*
 * The yardstick: what kvmlab's engine does in the scenarios of engine.py, written by hand for those alone.
 *
 * Guests that never idle, one TSC-deadline tick each, on isolated pCPUs; housekeeping CPUs with a tick and timers of
 * their own. Same draws, same rules (hv timer, posted, kicked, own pCPU; placement; advance; exit times; latency
 * histogram), so every count must come out the same. Events sit in a binary heap that knows where each one is.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef int64_t i64;
#define NEVER ((i64)1 << 62)
enum { GUEST, HOST };
enum { LANE_HV, LANE_POST, LANE_IPI, LANE_VCPU, LANES, PCPU_ORDER = 10 };
enum { AT_HV, AT_OWN, AT_POSTED, AT_KICKED, AT_NOT_IN_GUEST, AT_ARM, PLACES };
enum { X_EXTERNAL_INTERRUPT, X_MSR_WRITE = 2, X_PREEMPTION_TIMER = 5, EXITS = 6 };
enum { C_EXTERNAL_INTERRUPT, C_MSR_WRITE, C_MSR_WRITE_FAST, C_PREEMPTION_TIMER, C_PREEMPTION_TIMER_FAST,
       C_EXIT = 8, C_ENTRY, C_HRTIMER, C_TICK, C_POST, C_POSTED_DELIVERY, C_KICK, C_HANDLER = 17, STEPS = 19 };
enum { APIC_TIMER, SCHED_TICK, BACKGROUND };
#define STREAMS (STEPS + 8)
#define BODY 4096
#define TABLE 8192
#define HIST_SHIFT 6
#define HIST_BINS (40 << HIST_SHIFT)
static const i64 LANE_ORDER[LANES] = {0, 1, 2, 3};

typedef struct { i64 count, fast, min, max, sum; double sum_sq; } Exit;
typedef struct {
    i64 state, pcpu, deadline, hv_deadline, hv, pending, pending_deadline, expired, advance, irr, irr_deadline, posting;
    i64 kick, exit_at, exit_start, reason, fast, in_guest_at, in_handler, handled, since, left, programmed, next_tick;
    i64 live, armed, delivered, coalesced, cancelled, lost, gap_max, lat_sum, lat_min, lat_max;
    Exit exits[EXITS];
    i64 places[PLACES];
    i64 counter[STREAMS], key[STREAMS];
} Vcpu;
typedef struct { i64 time, order, cpu, at, kind, owner, period; } Timer;
typedef struct { i64 *heap, size, vcpu, housekeeping, busy, irq_until, irq_end, fired, busy_ns, late_max, queue_max; } Pcpu;
typedef struct { i64 time, order, at; } Lane;

/* In the order of Settings in engine.py. */
typedef struct {
    i64 n, pcpus, until, seed, policy, facts, hv_op, pinned, migration, arm_fastpath, expiry_fastpath, tsc_khz, shift;
    i64 hv_range, advance, advance_rule, tick_ns, events;
} Settings;

static Settings *s;
static Vcpu *vcpus;
static Pcpu *pcpus;
static Timer *timers;
static Lane *lanes;
static i64 *heap, heap_size, seq;
static const i64 *costs;
static i64 *histogram;
static i64 (*pcpu_streams)[2];

static inline i64 max(i64 a, i64 b) { return a > b ? a : b; }
static inline i64 min(i64 a, i64 b) { return a < b ? a : b; }

static inline uint32_t mix(uint32_t x) {
    x = ((x >> 16) ^ x) * 0x45D9F3Bu;
    x = ((x >> 16) ^ x) * 0x45D9F3Bu;
    return (x >> 16) ^ x;
}

static inline i64 quantile(i64 step, uint32_t u) {
    const i64 *table = costs + step * TABLE;
    uint32_t high = u >> 12;
    return high == BODY - 1 ? table[BODY + (u & 0xFFF)] : table[high];
}

static inline i64 cost(i64 v, i64 step) {
    Vcpu *x = vcpus + v;
    return quantile(step, mix((uint32_t)x->key[step] ^ (uint32_t)++x->counter[step]) & 0xFFFFFF);
}

static inline i64 cpu_cost(i64 cpu, i64 step) {
    i64 *stream = pcpu_streams[cpu * STREAMS + step];
    return quantile(step, mix((uint32_t)stream[0] ^ (uint32_t)++stream[1]) & 0xFFFFFF);
}

/* The events. */
static inline int lane_before(i64 a, i64 b) {
    return lanes[a].time < lanes[b].time || (lanes[a].time == lanes[b].time && lanes[a].order < lanes[b].order);
}

static void sift_up(i64 at, i64 i) {
    while (at > 0) {
        i64 parent = (at - 1) / 2;
        if (!lane_before(i, heap[parent])) break;
        heap[at] = heap[parent];
        lanes[heap[at]].at = at;
        at = parent;
    }
    heap[at] = i;
    lanes[i].at = at;
}

static void sift_down(i64 at, i64 i) {
    for (;;) {
        i64 child = 2 * at + 1;
        if (child >= heap_size) break;
        if (child + 1 < heap_size && lane_before(heap[child + 1], heap[child])) child++;
        if (!lane_before(heap[child], i)) break;
        heap[at] = heap[child];
        lanes[heap[at]].at = at;
        at = child;
    }
    heap[at] = i;
    lanes[i].at = at;
}

static void lane_remove(i64 i) {
    i64 at = lanes[i].at, last = heap[--heap_size];
    if (last == i) return;
    if (at > 0 && lane_before(last, heap[(at - 1) / 2])) sift_up(at, last);
    else sift_down(at, last);
}

static void schedule_lane(i64 i, i64 order, i64 time) {
    Lane *lane = lanes + i;
    if (lane->time == time) return;
    int queued = lane->time != NEVER;
    if (time == NEVER) {
        lane_remove(i);
        lane->time = NEVER;
        return;
    }
    lane->time = time;
    lane->order = order << 48 | ++seq;
    if (!queued) sift_up(heap_size++, i);
    else if (lane->at > 0 && lane_before(i, heap[(lane->at - 1) / 2])) sift_up(lane->at, i);
    else sift_down(lane->at, i);
}

static inline void schedule(i64 kind, i64 v, i64 time) { schedule_lane(v * LANES + kind, LANE_ORDER[kind], time); }
static inline i64 scheduled(i64 kind, i64 v) { return lanes[v * LANES + kind].time; }
static inline void schedule_pcpu(i64 cpu, i64 time) { schedule_lane(s->n * LANES + cpu, PCPU_ORDER, time); }

/* The hrtimers of each pCPU. */
static inline int timer_before(i64 a, i64 b) {
    return timers[a].time < timers[b].time || (timers[a].time == timers[b].time && timers[a].order < timers[b].order);
}

static void timer_up(i64 *h, i64 at, i64 i) {
    while (at > 0) {
        i64 parent = (at - 1) / 2;
        if (!timer_before(i, h[parent])) break;
        h[at] = h[parent];
        timers[h[at]].at = at;
        at = parent;
    }
    h[at] = i;
    timers[i].at = at;
}

static void timer_down(Pcpu *p, i64 at, i64 i) {
    i64 *h = p->heap;
    for (;;) {
        i64 child = 2 * at + 1;
        if (child >= p->size) break;
        if (child + 1 < p->size && timer_before(h[child + 1], h[child])) child++;
        if (!timer_before(h[child], i)) break;
        h[at] = h[child];
        timers[h[at]].at = at;
        at = child;
    }
    h[at] = i;
    timers[i].at = at;
}

static inline i64 first_timer(Pcpu *p) { return p->size ? timers[p->heap[0]].time : NEVER; }

static void reprogram(i64 cpu) {
    Pcpu *p = pcpus + cpu;
    schedule_pcpu(cpu, p->size ? max(first_timer(p), p->irq_until) : NEVER);
}

static void enqueue_hrtimer(i64 i, i64 cpu, i64 expires) {
    Timer *t = timers + i;
    Pcpu *p = pcpus + cpu;
    t->time = expires;
    t->order = ++seq;
    t->cpu = cpu;
    timer_up(p->heap, p->size++, i);
    reprogram(cpu);
}

static void take_out(i64 i) {
    Timer *t = timers + i;
    Pcpu *p = pcpus + t->cpu;
    i64 at = t->at, last = p->heap[--p->size];
    if (last != i) {
        if (at > 0 && timer_before(last, p->heap[(at - 1) / 2])) timer_up(p->heap, at, last);
        else timer_down(p, at, last);
    }
    t->cpu = -1;
}

static int hrtimer_cancel(i64 i) {
    i64 cpu = timers[i].cpu;
    if (cpu < 0) return 0;
    take_out(i);
    reprogram(cpu);
    return 1;
}

static i64 get_nohz_timer_target(i64 cpu) {
    if (pcpus[cpu].housekeeping) return cpu;
    i64 any = -1;
    for (i64 i = 0; i < s->pcpus; i++)
        if (pcpus[i].housekeeping) {
            if (any < 0) any = i;
            if (pcpus[i].busy || pcpus[i].vcpu >= 0) return i; /* no vCPU of these scenarios ever blocks */
        }
    return any;
}

static void hrtimer_start(i64 i, i64 expires, i64 cpu, i64 now) {
    if (timers[i].cpu >= 0) hrtimer_cancel(i);
    i64 target = cpu;
    if (!s->pinned && s->migration) {
        target = get_nohz_timer_target(cpu);
        if (target != cpu && expires < (now < pcpus[target].irq_until ? NEVER : first_timer(pcpus + target))) target = cpu;
    }
    enqueue_hrtimer(i, target, expires);
}

/* Leaving and entering the guest. */
static void consume(Vcpu *x, i64 now) {
    i64 used = now - x->since;
    x->since = now;
    if (x->in_handler) x->left = max(0, x->left - used);
}

static i64 kvm_exit(i64 v, i64 reason, i64 fast, i64 now) {
    Vcpu *x = vcpus + v;
    consume(x, now);
    x->state = HOST;
    x->exit_at = now;
    x->exit_start = now + cost(v, C_EXIT);
    x->reason = reason;
    x->fast = fast;
    schedule(LANE_HV, v, NEVER);
    i64 step = reason == X_EXTERNAL_INTERRUPT ? C_EXTERNAL_INTERRUPT
             : reason == X_MSR_WRITE ? (fast ? C_MSR_WRITE_FAST : C_MSR_WRITE)
             : (fast ? C_PREEMPTION_TIMER_FAST : C_PREEMPTION_TIMER);
    schedule(LANE_VCPU, v, x->exit_start + cost(v, step));
    return x->exit_start;
}

static i64 leave_guest_by_irq(i64 v, i64 now) {
    return kvm_exit(v, X_EXTERNAL_INTERRUPT, 0, max(now, vcpus[v].in_guest_at));
}

static int can_post(Vcpu *x) { return s->policy >> (s->facts | pcpus[x->pcpu].housekeeping << 2) & 1; }
static int can_use_hv(Vcpu *x) { return s->hv_op && !can_post(x); }

static void tune_advance(Vcpu *x, i64 late) {
    i64 error = llabs(late), cycles = error * s->tsc_khz / 1000000;
    if (cycles < 100 || cycles > 10000) return;
    i64 step = error / 8;
    x->advance += late > 0 ? step : -step;
    if (x->advance < 0 || x->advance > 5000) x->advance = 1000;
}

static i64 wait_expire(Vcpu *x, i64 now) {
    i64 deadline = x->expired;
    if (deadline == NEVER || x->advance == 0) return now;
    x->expired = NEVER;
    if (s->advance < 0) tune_advance(x, now - deadline);
    return now + min(max(0, deadline - now), x->advance);
}

static void set_irr(Vcpu *x, i64 deadline) {
    if (x->irr) x->coalesced++;
    else { x->irr = 1; x->irr_deadline = deadline; }
}

static void send_ipi(i64 v, i64 time) { if (time < scheduled(LANE_IPI, v)) schedule(LANE_IPI, v, time); }

static i64 apic_timer_expired(i64 v, i64 cpu, int from_timer_fn, i64 now) {
    Vcpu *x = vcpus + v;
    x->live = 0;
    if (x->pending) { x->coalesced++; return now; }
    x->expired = x->deadline;
    x->pending_deadline = x->deadline;
    if (!from_timer_fn && s->expiry_fastpath) {
        set_irr(x, x->pending_deadline);
        x->deadline = NEVER;
        return now;
    }
    if (from_timer_fn && x->state == GUEST && can_post(x)) {
        i64 posted = wait_expire(x, now) + cost(v, C_POST);
        x->posting = x->deadline;
        x->deadline = NEVER;
        schedule(LANE_POST, v, posted);
        return posted;
    }
    x->pending = 1;
    if (from_timer_fn && x->state == GUEST && x->pcpu != cpu) {
        x->kick = 1;
        send_ipi(v, now + cost(v, C_KICK));
    }
    return now;
}

static void expire_at_once(i64 v, i64 now) {
    vcpus[v].places[AT_ARM]++;
    apic_timer_expired(v, vcpus[v].pcpu, 0, now);
}

static int start_hv_timer(i64 v, i64 now) {
    Vcpu *x = vcpus + v;
    if (!can_use_hv(x) || x->deadline == NEVER) return 0;
    i64 delta = max(0, x->deadline - now - x->advance);
    if (delta >= s->hv_range) return 0;
    x->hv_deadline = now + delta;
    x->hv = 1;
    hrtimer_cancel(v);
    if (x->pending) x->hv = 0;
    else if (delta == 0) { expire_at_once(v, now); x->hv = 0; }
    return 1;
}

static void start_apic_timer(i64 v, i64 deadline, i64 now) {
    Vcpu *x = vcpus + v;
    hrtimer_cancel(v);
    x->cancelled += x->live + x->pending;
    x->pending = 0;
    x->live = 1;
    x->armed++;
    x->deadline = deadline;
    if (start_hv_timer(v, now)) return;
    x->hv = 0;
    if (x->deadline - now > x->advance) hrtimer_start(v, x->deadline - x->advance, x->pcpu, now);
    else expire_at_once(v, now);
}

/* The guest. */
static void record_latency(i64 v, Vcpu *x, i64 ns) {
    i64 clipped = max(0, ns), shift = 0;
    while (clipped >> shift >= 2 << HIST_SHIFT) shift++;
    histogram[v * HIST_BINS + min((shift << HIST_SHIFT) + (clipped >> shift), HIST_BINS - 1)]++;
    x->lat_min = x->delivered == 1 ? ns : min(x->lat_min, ns);
    x->lat_max = x->delivered == 1 ? ns : max(x->lat_max, ns);
    x->lat_sum += ns;
}

static void take_interrupt(i64 v, i64 now) {
    Vcpu *x = vcpus + v;
    if (x->in_handler || !x->irr) return;
    consume(x, now);
    x->since = now;
    x->handled = 0;
    x->left = cost(v, C_HANDLER);
    x->irr = 0;
    x->in_handler = 1;
    x->delivered++;
    record_latency(v, x, now - x->irr_deadline);
    schedule(LANE_VCPU, v, now + x->left);
}

static void guest_resume(i64 v, i64 now) {
    Vcpu *x = vcpus + v;
    x->since = now;
    if (!x->in_handler && x->irr) take_interrupt(v, now);
    else if (x->in_handler) schedule(LANE_VCPU, v, now + x->left);
    else schedule(LANE_VCPU, v, NEVER);
}

static void write_timer(i64 v, i64 deadline, i64 now) {
    Vcpu *x = vcpus + v;
    i64 fast = s->arm_fastpath == 2 || (s->arm_fastpath == 1 && can_use_hv(x));
    i64 start = kvm_exit(v, X_MSR_WRITE, fast, now);
    x->programmed = deadline;
    start_apic_timer(v, deadline, start);
    if (x->fast && x->pending) {
        x->fast = 0;
        schedule(LANE_VCPU, v, start + cost(v, C_MSR_WRITE));
    }
}

static void guest_acts(i64 v, i64 now) {
    Vcpu *x = vcpus + v;
    consume(x, now);
    if (x->in_handler == 1 && !x->handled) {
        x->handled = 1;
        x->programmed = NEVER;
        if (x->next_tick <= now)
            x->next_tick += (max(0, now - x->next_tick) / s->tick_ns + 1) * s->tick_ns;
    }
    if (x->next_tick != x->programmed) {
        write_timer(v, x->next_tick, now);
        return;
    }
    x->in_handler = 0;
    guest_resume(v, now);
}

static void vcpu_runs(i64 v, i64 now) {
    Vcpu *x = vcpus + v;
    if (now < pcpus[x->pcpu].irq_end) { schedule(LANE_VCPU, v, pcpus[x->pcpu].irq_end); return; }
    x->state = HOST;
    if (x->pending) {
        set_irr(x, x->pending_deadline);
        x->deadline = NEVER;
        x->pending = 0;
    }
    if (x->reason >= 0) {
        i64 ns = now - x->exit_start;
        Exit *row = x->exits + x->reason;
        row->min = row->count ? min(row->min, ns) : ns;
        row->max = max(row->max, ns);
        row->count++;
        row->fast += x->fast;
        row->sum += ns;
        row->sum_sq += (double)ns * (double)ns;
    }
    if (x->irr) now = wait_expire(x, now);
    x->in_guest_at = now + cost(v, C_ENTRY);
    x->state = GUEST;
    if (x->reason >= 0) {
        i64 gap = x->in_guest_at - x->exit_at;
        x->lost += gap;
        x->gap_max = max(x->gap_max, gap);
    }
    if (x->hv) {
        i64 remaining = max(0, x->hv_deadline - x->in_guest_at);
        i64 grains = (remaining * s->tsc_khz / 1000000) >> s->shift;
        i64 loaded = (grains << s->shift) * 1000000 / s->tsc_khz;
        schedule(LANE_HV, v, x->in_guest_at + max(loaded, min(remaining, 1000)));
    }
    guest_resume(v, x->in_guest_at);
}

static void hv_timer_expires(i64 v, i64 now) {
    Vcpu *x = vcpus + v;
    i64 start = kvm_exit(v, X_PREEMPTION_TIMER, s->expiry_fastpath, now);
    if (!x->hv) return;
    x->places[AT_HV]++;
    apic_timer_expired(v, x->pcpu, 0, start);
    x->hv = 0;
}

static void ipi_arrives(i64 v, i64 now) {
    Vcpu *x = vcpus + v;
    if (x->state == GUEST && now < x->in_guest_at) { schedule(LANE_IPI, v, x->in_guest_at); return; }
    i64 kick = x->kick;
    x->kick = 0;
    if (x->state != GUEST) return;
    if (kick) leave_guest_by_irq(v, now);
    else take_interrupt(v, now);
}

static void post_arrives(i64 v, i64 now) {
    Vcpu *x = vcpus + v;
    set_irr(x, x->posting);
    x->posting = 0;
    if (x->state == GUEST) send_ipi(v, now + cost(v, C_POSTED_DELIVERY));
}

static i64 run_hrtimer(i64 cpu, i64 i, i64 interrupted, i64 now) {
    Timer *t = timers + i;
    Pcpu *p = pcpus + cpu;
    i64 expires = t->time;
    take_out(i);
    if (t->kind == APIC_TIMER) {
        i64 v = t->owner, done = now;
        Vcpu *x = vcpus + v;
        if (interrupted < 0) done += cpu_cost(cpu, C_HRTIMER);
        x->places[interrupted == v ? AT_OWN : x->state != GUEST ? AT_NOT_IN_GUEST : can_post(x) ? AT_POSTED : AT_KICKED]++;
        done = apic_timer_expired(v, cpu, 1, done);
        p->fired++;
        p->busy_ns += done - now;
        p->late_max = max(p->late_max, now - expires);
        return done;
    }
    now += cpu_cost(cpu, t->kind == SCHED_TICK ? C_TICK : C_HRTIMER);
    enqueue_hrtimer(i, cpu, expires + (max(0, now - expires) / t->period + 1) * t->period);
    return now;
}

static void hrtimer_interrupt(i64 cpu, i64 now) {
    Pcpu *p = pcpus + cpu;
    i64 resident = p->vcpu, interrupted = -1, t = now, served = 0;
    if (resident >= 0 && vcpus[resident].state == GUEST) {
        t = leave_guest_by_irq(resident, now);
        interrupted = resident;
    }
    i64 started = t;
    for (int retry = 0; retry < 3; retry++)
        for (i64 due = t; first_timer(p) <= due; served++) t = run_hrtimer(cpu, p->heap[0], interrupted, t);
    p->irq_until = p->irq_end = t;
    p->queue_max = max(p->queue_max, served);
    if (resident >= 0 && vcpus[resident].state == HOST && vcpus[resident].reason >= 0)
        schedule(LANE_VCPU, resident, scheduled(LANE_VCPU, resident) + t - started);
    if (first_timer(p) <= t) p->irq_until = t + (t - started);
    reprogram(cpu);
}

/*
 * cpu_of, boot: by vCPU. housekeeping, busy: by pCPU. first, period: ticks, then background timers, by pCPU.
 * Out: places[PLACES], exits[EXITS] (counts), sums[6] (armed, delivered, latencies, exit ns, lost ns, fired),
 * histogram[n * HIST_BINS].
 */
i64 engine(Settings *settings, const i64 *cpu_of, const i64 *boot, const i64 *housekeeping, const i64 *busy,
           const i64 *first, const i64 *period, const i64 *table, i64 *places, i64 *exits, i64 *sums, i64 *bins) {
    s = settings;
    costs = table;
    histogram = bins;
    i64 n = s->n, count = n + 2 * s->pcpus, all = n * LANES + s->pcpus;
    vcpus = calloc(n, sizeof *vcpus);
    pcpus = calloc(s->pcpus, sizeof *pcpus);
    timers = calloc(count, sizeof *timers);
    lanes = calloc(all, sizeof *lanes);
    heap = calloc(all, sizeof *heap);
    pcpu_streams = calloc(s->pcpus * STREAMS, sizeof *pcpu_streams);
    heap_size = seq = 0;
    for (i64 i = 0; i < all; i++) lanes[i].time = NEVER;
    for (i64 c = 0; c < s->pcpus; c++) {
        /* a housekeeping CPU may hold every timer, another one its own */
        pcpus[c] = (Pcpu){.heap = malloc((housekeeping[c] ? count : 8) * sizeof(i64)), .vcpu = -1,
                          .housekeeping = housekeeping[c], .busy = busy[c]};
        for (i64 k = 0; k < STREAMS; k++)
            pcpu_streams[c * STREAMS + k][0] = mix(mix((uint32_t)s->seed) ^ (uint32_t)((n + c) * STREAMS + k));
    }
    for (i64 v = 0; v < n; v++) {
        Vcpu *x = vcpus + v;
        x->state = HOST;
        x->pcpu = cpu_of[v];
        x->deadline = x->expired = x->programmed = NEVER;
        x->advance = s->advance < 0 ? 1000 : s->advance;
        x->reason = -1;
        x->in_handler = 2;
        x->next_tick = boot[v] + s->tick_ns;
        pcpus[x->pcpu].vcpu = v;
        for (i64 k = 0; k < STREAMS; k++) x->key[k] = mix(mix((uint32_t)s->seed) ^ (uint32_t)(v * STREAMS + k));
        timers[v] = (Timer){.cpu = -1, .kind = APIC_TIMER, .owner = v};
    }
    for (i64 i = n; i < count; i++) {
        i64 cpu = (i - n) % s->pcpus;
        timers[i] = (Timer){.cpu = -1, .kind = i < n + s->pcpus ? SCHED_TICK : BACKGROUND, .owner = cpu,
                            .period = period[i - n]};
        if (first[i - n] != NEVER) enqueue_hrtimer(i, cpu, first[i - n]);
    }
    for (i64 v = 0; v < n; v++) schedule(LANE_VCPU, v, boot[v]);
    while (heap_size && lanes[heap[0]].time <= s->until) {
        i64 i = heap[0], now = lanes[i].time;
        lane_remove(i);
        lanes[i].time = NEVER;
        s->events++;
        if (i >= n * LANES) { hrtimer_interrupt(i - n * LANES, now); continue; }
        i64 v = i / LANES;
        switch (i % LANES) {
        case LANE_VCPU: if (vcpus[v].state == GUEST) guest_acts(v, now); else vcpu_runs(v, now); break;
        case LANE_HV: hv_timer_expires(v, now); break;
        case LANE_IPI: ipi_arrives(v, now); break;
        default: post_arrives(v, now);
        }
    }
    for (i64 v = 0; v < n; v++) {
        Vcpu *x = vcpus + v;
        for (int k = 0; k < PLACES; k++) places[k] += x->places[k];
        for (int k = 0; k < EXITS; k++) { exits[k] += x->exits[k].count; sums[3] += x->exits[k].sum; }
        sums[0] += x->armed;
        sums[1] += x->delivered;
        sums[2] += x->lat_sum;
        sums[4] += x->lost;
    }
    for (i64 c = 0; c < s->pcpus; c++) { sums[5] += pcpus[c].fired; free(pcpus[c].heap); }
    free(vcpus); free(pcpus); free(timers); free(lanes); free(heap); free(pcpu_streams);
    return s->events;
}
