"""The rules beside the kernel's sources: the same names in the same order, and others say that they are ours."""

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from kvmlab.kernels import Kernel
from kvmlab.model import hrtimer, kvm_main, lapic, names, records, vcpu, vmx
from kvmlab.scenario.costs import Costs

# Of v6.8, in the order in which they stand there.
ORDER = {
    lapic: """
        kvm_can_post_timer_interrupt kvm_can_use_hv_timer kvm_use_posted_timer_interrupt adjust_lapic_timer_advance
        kvm_wait_lapic_expire kvm_apic_inject_pending_timer_irqs apic_timer_expired start_sw_tscdeadline
        set_target_expiration advance_periodic_target_expiration start_sw_period cancel_hv_timer start_hv_timer
        start_sw_timer restart_apic_timer kvm_lapic_expired_hv_timer kvm_lapic_switch_to_hv_timer
        kvm_lapic_switch_to_sw_timer kvm_lapic_restart_hv_timer start_apic_timer apic_timer_fn
        kvm_inject_apic_timer_irqs kvm_migrate_apic_timer
    """,
    vmx: """
        kvm_vcpu_trigger_posted_interrupt vmx_deliver_posted_interrupt grow_ple_window vmx_update_hv_timer
        vmx_set_hv_timer vmx_sched_in
    """,
    kvm_main: "kvm_vcpu_wake_up kvm_vcpu_kick",
    vcpu: "kvm_vcpu_exit_request kvm_arch_vcpu_load vcpu_enter_guest vcpu_block",
    hrtimer: """
        housekeeping_any_cpu get_nohz_timer_target idle_cpu
        hrtimer_check_target switch_hrtimer_base hrtimer_update_next_event __hrtimer_reprogram hrtimer_force_reprogram
        hrtimer_reprogram hrtimer_forward enqueue_hrtimer __remove_hrtimer remove_hrtimer hrtimer_start hrtimer_cancel
    """,
}


def functions(module):
    """Return the module's own functions, name -> docstring, in their order."""
    tree = ast.parse(inspect.getsource(module))
    return {node.name: ast.get_docstring(node) for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("module", ORDER, ids=lambda module: module.__name__)
def test_functions_stand_in_the_order_of_the_kernel(module):
    theirs = ORDER[module].split()
    assert [name for name in functions(module) if name in theirs] == theirs


@pytest.mark.parametrize("module", ORDER, ids=lambda module: module.__name__)
def test_what_is_not_the_kernels_says_so(module):
    theirs = ORDER[module].split()
    for name, documentation in functions(module).items():
        assert (name in theirs) != ("Ours" in documentation), name


def test_what_a_record_mentions_exists():
    mentioned = set(re.findall(r"`(\w+)`", inspect.getsource(records)))
    package = Path(records.__file__).parent
    known = set()
    for path in ("draws", "guest_os", "heap", "interrupts", "loop", "names", "records", "schedule", "start", "vmexit"):
        source = (package / f"{path}.py").read_text()
        known |= set(re.findall(r"^(?:def |class |    )?(\w+)(?:\(|:| = )", source, re.MULTILINE))
    for module in ORDER:
        known |= set(functions(module))
    assert mentioned <= known | {"draws", "run_hrtimer"}


def test_records_and_enumerations_agree_with_what_they_copy():
    kernel = {field.name for field in fields(Kernel)}
    assert {field.name for field in fields(records.Machinery)} == kernel - {"name", "counts_fastpath_exits"}
    assert tuple(field.name for field in fields(Costs)) == names.STEPS
    assert [int(stream) for stream in names.Stream] == list(range(names.Cost.SEARCHED_CPU, names.STREAMS))
    assert max(names.Cost) == names.Cost.SEARCHED_CPU
