"""The recordings of real hosts in data/recorded, by name."""

from tests.places import RECORDED

REPORTS = sorted(path.name for path in RECORDED.glob("perf-kvm-stat.*.txt"))
TRACES = sorted(path.name for path in [*RECORDED.glob("*.trace.txt"), *RECORDED.glob("perf-script.*.txt")])
