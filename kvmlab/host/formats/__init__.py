"""Read and write the text formats in which KVM's exits, timers, latencies and timelines are exchanged.

* The table of ``perf kvm stat report`` and ``perf kvm stat live`` (`read_perf_kvm_stat`, `write_perf_kvm_stat`).
* Listings of kvm and hrtimer events (`read_kvm_trace`): tracefs, ``perf script``, ``trace-cmd report``.
* The counts of kvm_stat (`read_kvm_stat`): its screen, log and batch.
* Measured latencies (`read_latencies`, `read_latency_histogram`): cyclictest, rtla, kvm-unit-tests'
  tscdeadline_latency; and what an operation costs (`read_unit_test_vmexit`): kvm-unit-tests' vmexit.
* Any of these (`sniff`, `read_any`).
* Chrome trace JSON (`write_chrome_trace`), which the Perfetto UI opens.

A reader gives a right table or raises `ValueError` with the line number, what stands there and what was expected.
Input is read line by line, a line and a table have a greatest size, and nothing in it is ever evaluated.
"""

from kvmlab.host.formats.events import read_kvm_trace
from kvmlab.host.formats.kvm_stat import read_kvm_stat
from kvmlab.host.formats.latencies import read_latencies, read_latency_histogram
from kvmlab.host.formats.perf_stat import read_perf_kvm_stat, write_perf_kvm_stat
from kvmlab.host.formats.sniff import read_any, sniff
from kvmlab.host.formats.unit_tests import read_unit_test_vmexit
from kvmlab.results.chrome_trace import write_chrome_trace

__all__ = [
    "read_any",
    "read_kvm_stat",
    "read_kvm_trace",
    "read_latencies",
    "read_latency_histogram",
    "read_perf_kvm_stat",
    "read_unit_test_vmexit",
    "sniff",
    "write_chrome_trace",
    "write_perf_kvm_stat",
]
