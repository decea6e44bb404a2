"""A run in which everything happens: two guests, of which one halts, and housekeeping CPUs with timers of their own."""

import kvmlab as kl

STORM = kl.Scenario(
    kl.Host(housekeeping="timers"),
    (
        kl.Guest(2, (2, 3), kl.Workload(timer_us=500, device_irq_hz=500, other_exit_hz=2000), name="busy"),
        kl.Guest(2, (4, 5), kl.Workload(timer_us=700, idle_us=300, busy_us=300), name="lazy"),
    ),
    kernel="v5.13",
    duration_s=0.2,
    seed=4,
)
