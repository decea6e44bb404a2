"""Made-up tables of perf kvm stat, for what the recorded ones do not show."""

HEAD = "             VM-EXIT    Samples  Samples%     Time%    Min Time    Max Time         Avg time\n\n"


def table(rows, *, listed=None, seconds_elsewhere=0.0, title="VM-EXIT"):
    """A table of rows {name: (samples, average in us)}; `listed`: the names that stand in it, the totals stay whole."""
    samples = sum(count for count, _ in rows.values())
    total_us = sum(count * us for count, us in rows.values()) + 1e6 * seconds_elsewhere
    lines = [
        f"{name:>20} {count:>10} {100 * count / samples:>8.2f}% {100 * count * us / total_us:>8.2f}% "
        f"{us / 2:>9.2f}us {us * 9:>9.2f}us {us:>9.2f}us ( +- {1.0:>6.2f}% )\n"
        for name, (count, us) in rows.items()
        if listed is None or name in listed
    ]
    head = HEAD.replace("VM-EXIT", title)
    return head + "".join(lines) + f"\nTotal Samples:{samples}, Total events handled time:{total_us:.2f}us.\n"


WAITS = {"MSR_WRITE": (900, 1.1), "HLT": (300, 199_000.0), "PREEMPTION_TIMER": (3, 1.2), "IO_INSTRUCTION": (60, 4.0)}
"""An idle guest: a minute, most of it halted."""
WORKS = {
    "MSR_WRITE": (24_000, 0.9), "HLT": (6000, 800.0), "PREEMPTION_TIMER": (7000, 0.7), "EXTERNAL_INTERRUPT": (500, 1.0),
    "EPT_MISCONFIG": (9000, 3.0),
}  # fmt: skip
"""A guest that works half of the time, ten seconds: 4.8 s halted."""
READS = {"EPT_VIOLATION": (5000, 4.0), "MSR_WRITE": (1200, 1.0), "HLT": (1200, 8200.0)}
"""A guest that halts after each request: ten seconds."""
IPIS = {"APIC_WRITE": (70_000, 1.0), "EXTERNAL_INTERRUPT": (2000, 1.5), "HLT": (50_000, 90.0), "MSR_READ": (9000, 0.5)}
"""A guest whose writes may be anything."""
