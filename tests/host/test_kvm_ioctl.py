"""What is asked of /dev/kvm, on a KVM that exists only in the test."""

from __future__ import annotations

import errno
import os
import signal
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("Linux only", allow_module_level=True)

from kvmlab.host.live import kvm_ioctl
from kvmlab.host.live.kvm_ioctl import Ioctl, LiveError, Regs, Vm, block_stop_signal
from tests.host.fake_kvm import NUMBERS, blocked, fake, interrupted, is_open

MEMORY = 1 << 21


@pytest.fixture(name="kvm")
def fixture_kvm(monkeypatch, tmp_path):
    return fake(monkeypatch, tmp_path)


def test_every_ioctl_has_the_number_of_the_header():
    assert {ioctl.value: ioctl.name for ioctl in Ioctl} == NUMBERS


def test_a_machine_is_set_up_in_the_order_that_kvm_wants(kvm):
    with Vm(MEMORY) as vm:
        assert [(where, name) for where, name, _ in kvm.calls] == [
            ("kvm", "GET_API_VERSION"),
            ("kvm", "CREATE_VM"),
            ("vm", "CHECK_EXTENSION"),
            ("vm", "CHECK_EXTENSION"),
            ("vm", "SET_TSS_ADDR"),
            ("vm", "CREATE_IRQCHIP"),
            ("vm", "SET_USER_MEMORY_REGION"),
            ("vm", "CREATE_VCPU"),
            ("kvm", "GET_VCPU_MMAP_SIZE"),
        ]
        numbers = [argument for _, name, argument in kvm.calls if name != "SET_USER_MEMORY_REGION"]
        assert numbers == [0, 0, 0, 143, 0x7FFFD000, 0, 0, 0]
        region = kvm.region
        assert (region.slot, region.flags, region.guest_phys_addr, region.memory_size) == (0, 0, 0, MEMORY)
        vm.memory[5:8] = b"abc"
        assert kvm.memory()[5:8] == b"abc"
        assert len(vm.memory) == MEMORY
        assert len(vm.page) == 3 * 4096
        assert vm.tsc_khz == 2_500_000
        assert os.write(vm.kvm, b"") == 0  # it is open for writing
        device = vm.kvm
    assert kvm.all_closed()
    assert not is_open(device, kvm.folder)
    assert vm.memory.closed is vm.page.closed is not hasattr(vm, "run")


def mappings(folder):
    """How often files of a folder are mapped into this process."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        return sum(str(folder) in line for line in maps)


@pytest.mark.parametrize("refused", ["CREATE_VM", "SET_TSS_ADDR", "CREATE_VCPU", "GET_VCPU_MMAP_SIZE"])
def test_a_machine_that_is_refused_leaves_nothing_open(kvm, refused):
    kvm.refuses = {refused: errno.EINVAL}
    before = os.listdir("/proc/self/fd")
    with pytest.raises(LiveError, match=f"^KVM_{refused} was refused with EINVAL \\(Invalid argument\\)$"):
        Vm(MEMORY)
    assert os.listdir("/proc/self/fd") == before
    assert kvm.all_closed()


def test_the_shared_page_and_the_memory_are_unmapped_at_the_end(kvm):
    with Vm(MEMORY) as vm:
        assert mappings(kvm.folder) == 1
        memory = vm.memory
        assert not memory.closed
    assert mappings(kvm.folder) == 0
    vm.__exit__()  # a second time, nothing is left to do


def test_another_api_version_is_refused(kvm):
    kvm.api_version = 11
    before = os.listdir("/proc/self/fd")
    with pytest.raises(LiveError) as error:
        Vm(MEMORY)
    assert str(error.value) == f"{kvm.folder / 'kvm'}: its API version is 11, not 12"
    assert os.listdir("/proc/self/fd") == before


def test_a_kvm_without_lapic_is_refused(kvm):
    kvm.extensions[0] = 0
    with pytest.raises(LiveError) as error:
        Vm(MEMORY)
    assert str(error.value) == f"{kvm.folder / 'kvm'}: this KVM has no in-kernel LAPIC (KVM_CAP_IRQCHIP)"
    assert kvm.all_closed()


def test_a_device_that_cannot_be_opened_says_why(kvm, monkeypatch):
    monkeypatch.setattr(kvm_ioctl, "DEVICE", str(kvm.folder))
    with pytest.raises(LiveError) as error:
        Vm(MEMORY)
    assert str(error.value) == f"{kvm.folder}: it cannot be opened: Is a directory"


@pytest.mark.parametrize(("bits", "allowed"), [(2, 0b1110), (4, 0b0100), (6, 0b0110)])
def test_exits_are_switched_off_before_there_is_a_vcpu(kvm, bits, allowed):
    kvm.extensions[143] = allowed
    with Vm(MEMORY, bits):
        assert kvm.capability == (143, 0, [bits, 0, 0, 0])
        assert kvm.names().index("vm ENABLE_CAP") < kvm.names().index("vm CREATE_VCPU")


@pytest.mark.parametrize("allowed", [0, 6])
def test_no_exit_is_switched_off_unasked(kvm, allowed):
    kvm.extensions[143] = allowed
    with Vm(MEMORY):
        assert kvm.capability is None
        assert "vm ENABLE_CAP" not in kvm.names()


def test_exits_that_the_host_does_not_give_away_are_named(kvm):
    kvm.extensions[143] = 0b0100
    with pytest.raises(LiveError) as error:
        Vm(MEMORY, 0b0110)
    assert str(error.value) == (
        "KVM_CAP_X86_DISABLE_EXITS: this host allows 0x4 and refuses 0x2 (0x2 is HLT, 0x4 is PAUSE)"
    )
    assert kvm.capability is None


def test_the_vcpu_has_the_supported_cpuid_and_what_is_added_to_leaf_1(kvm):
    with Vm(MEMORY) as vm:
        vm.set_cpuid(leaf1_ecx=1 << 21)
    assert kvm.cpuid == [(0, 0x6C65746E), (1, 0x0020_0200), (7, 0x40), (1, 0)]


def test_registers_are_written_and_read_back(kvm):
    with Vm(MEMORY) as vm:
        vm.regs = Regs(rip=0x6000, r15=7)
        assert (kvm.regs.rip, kvm.regs.r15) == (0x6000, 7)
        kvm.regs.rax = 3
        assert (vm.regs.rax, vm.regs.rip) == (3, 0x6000)
        sregs = vm.sregs
        assert sregs.apic_base == 0xFEE00900
        sregs.cr3 = 0x1000
        vm.sregs = sregs
        assert kvm.sregs.cr3 == 0x1000


def test_within_the_guest_only_the_stop_signal_is_let_in(kvm):
    """A sigset has bit 0 for signal 1: SIGHUP (1) and SIGUSR2 (12) give 0x801."""
    old = blocked()
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, {signal.SIGHUP, signal.SIGUSR2})
        block_stop_signal()
        assert blocked() == {signal.SIGHUP, signal.SIGUSR2, signal.SIGUSR1}
        with Vm(MEMORY) as vm:
            vm.let_signals_in()
        assert kvm.mask == (8, 0x801)
        assert blocked() == {signal.SIGHUP, signal.SIGUSR2, signal.SIGUSR1}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def test_the_guest_goes_on_after_a_signal_that_does_not_stop_it(kvm):
    kvm.guest = iter([interrupted(), interrupted(), lambda kvm: kvm.leave(2)])
    with Vm(MEMORY) as vm:
        assert vm.enter()
        assert kvm.names().count("vcpu RUN") == 3
        assert vm.run.exit_reason == 2


def test_a_guest_that_was_told_to_stop_is_not_entered(kvm):
    with Vm(MEMORY) as vm:
        vm.run.immediate_exit = 1
        assert not vm.enter()
        assert "vcpu RUN" not in kvm.names()


def test_a_guest_that_is_told_to_stop_while_it_runs_is_not_entered_again(kvm):
    with Vm(MEMORY) as vm:

        def told(_):
            vm.run.immediate_exit = 1
            raise interrupted()

        kvm.guest = iter([told])
        assert vm.enter() is False


@pytest.mark.parametrize(
    ("reason", "name"), [(8, "KVM_EXIT_SHUTDOWN"), (17, "KVM_EXIT_INTERNAL_ERROR"), (0, "KVM_EXIT_UNKNOWN"), (99, "99")]
)
def test_a_run_that_is_refused_says_how_the_guest_last_came_out(kvm, reason, name):
    kvm.guest = iter([OSError(errno.EFAULT, "Bad address")])
    with Vm(MEMORY) as vm:
        kvm.leave(reason, 1, 0x20, 0x300, 0x4000, 0x5)
        with pytest.raises(LiveError) as error:
            vm.enter()
    assert str(error.value) == (
        f"KVM_RUN was refused: Bad address; the last exit to user space was {name} (0x1, 0x20, 0x300, 0x4000)"
    )


def test_a_call_that_a_signal_cuts_short_is_made_again(kvm, monkeypatch):
    answers = iter([interrupted(), 42])

    def ioctl(*_):
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(kvm_ioctl.fcntl, "ioctl", ioctl)
    assert kvm_ioctl.call(3, Ioctl.GET_TSC_KHZ) == 42


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left"), "KVM_CREATE_VM was refused with ENOSPC (No space left)"),
        (OSError(9999, "Odd"), "KVM_CREATE_VM was refused with 9999 (Odd)"),
        (OSError("no number"), "KVM_CREATE_VM was refused with None (None)"),
    ],
)
def test_a_refusal_has_the_name_of_the_call_and_the_answer(kvm, monkeypatch, error, sentence):
    def ioctl(*_):
        raise error

    monkeypatch.setattr(kvm_ioctl.fcntl, "ioctl", ioctl)
    with pytest.raises(LiveError) as refused:
        kvm_ioctl.call(3, Ioctl.CREATE_VM)
    assert str(refused.value) == sentence


def test_a_call_has_the_argument_0_where_none_is_given(kvm):
    assert kvm_ioctl.call(3, Ioctl.CREATE_IRQCHIP) == 0
    assert kvm.calls == [("kvm", "CREATE_IRQCHIP", 0)]


@pytest.mark.parametrize(
    ("number", "name"),
    [*enumerate(["UNKNOWN", "EXCEPTION", "IO", None, None, "HLT", "MMIO", None, "SHUTDOWN", "FAIL_ENTRY", "INTR"])],
)
def test_exits_to_user_space_have_the_names_of_the_header(number, name):
    assert kvm_ioctl.EXIT_NAMES.get(number) == (name and f"KVM_EXIT_{name}")
