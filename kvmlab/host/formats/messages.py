"""One line of a listing of trace events: who, where, when, which event, and the fields of its message.

The layouts are those of tracefs, ``perf script`` and ``trace-cmd report``; the messages those of
``arch/x86/kvm/trace.h``, ``include/trace/events/kvm.h`` and ``include/trace/events/timer.h``, or of libtraceevent's
kvm plugin where that replaces them.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from typing import NamedTuple

from kvmlab.host.formats.lines import OR_WRAPPED

# Both layouts end alike. Seconds stop short of 2**63 ns.
_TIME_AND_REST = r"(?P<seconds>[0-8]?[0-9]{1,9})\.(?P<fraction>[0-9]{6}(?:[0-9]{3})?):(?:\s+(?P<rest>.*))?"
# perf script -F period puts a number before the event. Every tool prints a blank after the event's colon, even where
# its message is empty: a line that ends there is cut off.
_EVENT = re.compile(
    r"(?:[0-9]{1,19}\s+)?(?:[A-Za-z_][A-Za-z0-9_-]*:)?(?P<event>[A-Za-z_][A-Za-z0-9_]*):\s(?P<message>.*)"
)
_PID = r"(?P<pid>[0-9]{1,10})"
_CPU = r"\[(?P<cpu>[0-9]{1,6})\]"
_HEADS = (
    # tracefs and trace-cmd: comm-pid, perhaps (tgid), [cpu], perhaps flags (d: interrupts off). A comm may hold blanks
    # and dashes.
    re.compile(
        rf"\s*(?P<task>\S.{{0,127}}?)-{_PID}\s+(?:\(\s*(?P<tgid>[0-9]{{1,10}}|-+)\)\s+)?{_CPU}\s+"
        rf"(?:(?P<irqs>[^\s\[]{{4,8}})\s+)?{_TIME_AND_REST}"
    ),
    # perf script: comm, tid or pid/tid, [cpu].
    re.compile(
        rf"\s*(?P<task>\S.{{0,127}}?)\s+(?:(?P<tgid>[0-9]{{1,10}})/)?{_PID}\s+{_CPU}\s+(?P<irqs>(?!)x)?{_TIME_AND_REST}"
    ),
)
AN_EVENT = f"an event: <comm>-<pid> [<cpu>] <seconds>: <event>: ..., or as perf script prints it; {OR_WRAPPED}"
_LONGEST_COMM = 15
"""A task's name has at most this many characters (TASK_COMM_LEN, include/linux/sched.h)."""
# A report of several files has the file's name before each line, one of a file's instances the instance's name
# (print_handle_file in trace-cmd's trace-read.c); grep prints a file's name without a blank after it.
_FILE = re.compile(r"(?P<file>[^\s:]{1,128}):(?P<blanks>\s*)")
_EXTENSION = re.compile(r"\.[A-Za-z]{1,6}$")

# A tracer's comment, tracefs and trace-cmd on overruns, and the lines at the head of a trace-cmd report.
TRACER = re.compile(r"#\s*tracer:\s*\S+")
OVERRUN = re.compile(r"CPU:[0-9]+ \[(?:LOST (?P<lost>[0-9]{1,18}) EVENTS|(?P<dropped>[0-9]{1,18}) EVENTS DROPPED)\]")
TRACE_CMD_HEAD = re.compile(r"cpus=[0-9]+|version = [0-9]+|CPU [0-9]+ is empty")

Fields = dict[str, int | str | bool]
"""The fields of a message, by name."""


class Head(NamedTuple):
    """Where, when and in which task something happened: what stands before an event's name."""

    file: str | None
    """The file or instance whose line it is, in a report of several."""
    task: str
    pid: int
    tgid: int | None
    """The process; None where the listing does not show it."""
    cpu: int
    flags: str | None
    """What tracefs prints before the time."""
    time_ns: int
    rest: str
    """What stands behind the time."""

    def event(self) -> tuple[str, str] | None:
        """Return name and message of the event; None where the line has none."""
        found = _EVENT.fullmatch(self.rest)
        return (found["event"], found["message"].strip()) if found else None


@functools.lru_cache(maxsize=64)
def read_head(line: str) -> Head | None:
    """Return the head of a line of a listing, and what follows; None for any other line.

    Each line is asked for several times in a row: whether it goes on the line before it, and what it is itself.
    """
    found = next((found for pattern in _HEADS if (found := pattern.fullmatch(line))), None)
    if found is None:
        return None
    file, task = _split_file(found["task"])
    tgid = found["tgid"] or "-"
    time_ns = int(found["seconds"]) * 1_000_000_000 + int(found["fraction"].ljust(9, "0"))
    return Head(
        file,
        task,
        int(found["pid"]),
        None if tgid.startswith("-") else int(tgid),
        int(found["cpu"]),
        found["irqs"],
        time_ns,
        found["rest"] or "",
    )


def _split_file(task: str) -> tuple[str | None, str]:
    """Return the file before a task, and the task; a task may itself be called "sshd: root"."""
    found = _FILE.match(task)
    if found is None or found.end() == len(task):
        return None, task
    if _EXTENSION.search(found["file"]) or (found["blanks"] and len(task) > _LONGEST_COMM):
        return found["file"], task[found.end() :]
    return None, task


def is_event_line(line: str) -> bool:
    """Return True if a line is that of an event."""
    head = read_head(line)
    return head is not None and head.event() is not None


_N = r"[0-9]{1,20}"
_VCPU = r"vcpu (?P<vcpu>[0-9]{1,10})"
_H = r"[0-9a-f]{1,16}"
_X = rf"0x{_H}"
# A word, or what libtraceevent prints for a code that it does not know; then the flags of a failed VMX entry.
# SVM calls exceptions "PF excp" (arch/x86/include/uapi/asm/svm.h).
_REASON = rf"reason (?P<reason>[A-Z]{{2}} excp|[A-Za-z0-9_-]+(?: \({_N}\))?)(?P<flags>(?: [A-Zx0-9a-f_]+)*?)"
# libtraceevent adds the function where it has the guest's symbols: in brackets, or with add_rip_function() without.
_RIP = rf"rip (?P<rip>{_X})(?: \[[^\]]*\]| [A-Za-z_.$][\w.$]*(?:\+{_X})?)?"
_INFO = rf"info (?P<info1>{_H}) (?P<info2>{_H})"
# These are printed with all their digits, so that a line cut off within them does not match.
_LONG_INFO = r"info1 (?P<info1>0x[0-9a-f]{16}) info2 (?P<info2>0x[0-9a-f]{16})"
_EVENT_INFO = r"intr_info (?P<intr_info>0x[0-9a-f]{8}) error_code (?P<error_code>0x[0-9a-f]{8})"

_MESSAGES: dict[str, tuple[str, ...]] = {
    "kvm_entry": (
        rf"{_VCPU}",
        rf"{_VCPU},? {_RIP}",
        rf"{_VCPU}, {_RIP} {_EVENT_INFO}\s?(?P<immediate_exit>\[immediate exit\])?",
    ),
    "kvm_exit": (
        rf"{_REASON} {_RIP} {_INFO}",
        rf"{_VCPU} {_REASON} {_RIP} {_INFO}",
        rf"{_VCPU} {_REASON} {_RIP} {_LONG_INFO} {_EVENT_INFO}",
        rf"{_VCPU} {_REASON} {_RIP} {_LONG_INFO} {_EVENT_INFO} requests (?P<requests>0x[0-9a-f]{{16}})",
    ),
    "kvm_msr": (rf"msr_(?P<access>read|write) (?P<msr>{_H}) = (?P<value>{_X})(?P<failed> \(#GP\))?",),
    "kvm_apic": (rf"apic_(?P<access>read|write) (?P<register>\S+) = (?P<value>{_X})",),
    "kvm_hv_timer_state": (rf"vcpu_id (?P<vcpu_id>[0-9a-f]{{1,8}}) hv_timer (?P<hv_timer>{_H})",),
    "kvm_wait_lapic_expire": (rf"{_VCPU}: delta (?P<delta>-?{_N}) \((?P<when>early|late)\)",),
    "kvm_eoi": (rf"apicid (?P<apicid>{_H}) vector (?P<vector>-?{_N})",),
    "kvm_inj_virq": (
        rf"(?P<kind>irq) (?P<vector>{_N})",
        rf"(?P<kind>IRQ|Soft/INTn) (?P<vector>{_X})(?P<reinjected> \[reinjected\])?",
    ),
    "kvm_halt_poll_ns": (rf"{_VCPU}: halt_poll_ns (?P<halt_poll_ns>{_N}) \((?P<change>grow|shrink) (?P<old>{_N})\)",),
    "kvm_vcpu_wakeup": (
        rf"(?P<how>wait|poll) time (?P<duration_ns>-?{_N}) ns(?:, polling (?P<polling>valid|invalid))?",
    ),
    "kvm_userspace_exit": (rf"reason (?P<reason>\S+) \((?P<code>-?{_N})\)",),
    "kvm_apic_accept_irq": (
        rf"apicid (?P<apicid>{_H}) vec (?P<vector>{_N}) \((?P<delivery>\w+)\|(?P<trigger>edge|level)\)"
        r"(?P<coalesced> \(coalesced\))?",
    ),
}
_MESSAGES["kvm_apicv_accept_irq"] = _MESSAGES["kvm_apic_accept_irq"]
_MESSAGES["kvm_pv_eoi"] = _MESSAGES["kvm_eoi"]
PATTERNS = {event: tuple(re.compile(message) for message in messages) for event, messages in _MESSAGES.items()}

# Events of key=value pairs, and what they must have; a line without is cut off. A newer kernel may print more.
_PAIRS: dict[str, tuple[str, ...]] = {
    "hrtimer_init": ("hrtimer", "clockid", "mode"),
    "hrtimer_setup": ("hrtimer", "clockid", "mode"),
    "hrtimer_start": ("hrtimer", "function", "expires", "softexpires"),
    "hrtimer_expire_entry": ("hrtimer", "function", "now"),
    "hrtimer_expire_exit": ("hrtimer",),
    "hrtimer_cancel": ("hrtimer",),
    "local_timer_entry": ("vector",),
    "local_timer_exit": ("vector",),
}
_ONE_WORD = ("hrtimer", "function", "clockid", "mode", "was_armed", "softexpires")
_NUMBER_KEYS = {"expires", "softexpires", "now", "vector"}
# Text even where it looks like a number: a hashed address may have decimal digits only, a task may be called 7.
_TEXT_KEYS = {"hrtimer", "timer", "function", "clockid", "mode", "comm", "prev_comm", "next_comm"}
_KEY = re.compile(r"(?:^|\s)(?:==>\s)?([A-Za-z_][A-Za-z0-9_]*)=")
# A CPU may be padded to three digits; anything longer that starts with 0 is an address.
_OFFSET = re.compile(r"[/+]0x[0-9a-f]+(?:/0x[0-9a-f]+)?$")
_NUMBER = re.compile(r"-?(?:[0-9]{1,3}|[1-9][0-9]{0,19})|0x[0-9a-f]{1,16}")

# In the patterns above: numbers in hex, with or without 0x; words; and what is there or not. The others are decimal.
_HEX_GROUPS = {"rip", "info1", "info2", "intr_info", "error_code", "requests", "msr", "value", "apicid"}
_HEX_GROUPS |= {"vcpu_id", "hv_timer"}
_TEXT_GROUPS = {
    "access",
    "register",
    "when",
    "kind",
    "change",
    "how",
    "polling",
    "reason",
    "flags",
    "delivery",
    "trigger",
}
_SIGNED = {"delta", "expires", "softexpires", "now"}
"""Numbers that have a sign, and so one bit less; all others have none."""
_FLAG_GROUPS = {"immediate_exit", "failed", "reinjected", "coalesced"}


def _read_group(name: str, text: str) -> int | str | bool:
    """Return the value of a group of a pattern."""
    if name in _FLAG_GROUPS:
        return True
    if name in _TEXT_GROUPS:
        return text.strip()
    return int(text, 16) if name in _HEX_GROUPS or text.startswith("0x") else int(text)


def _read_pair(key: str, text: str) -> int | str:
    """Return the value of a pair key=value."""
    if key in _TEXT_KEYS or not _NUMBER.fullmatch(text):
        return text
    value = int(text, 16 if text.startswith("0x") else 10)
    return value if fits(key, value) else text


def fits(name: str, value: int) -> bool:
    """Return True for a number that the kernel can have printed under this name: they all have 64 bits."""
    return -(1 << 63) <= value < 1 << (63 if name in _SIGNED else 64)


def read_message(event: str, message: str) -> Fields | None:
    """Return the message's fields; None where it is not one that this event prints."""
    if event in PATTERNS:
        return _read_pattern(PATTERNS[event], message)
    if event in _PAIRS:
        pairs = _read_pairs(message)
        return pairs if all(_is_whole(key, pairs.get(key, "")) for key in _PAIRS[event]) else None
    if event == "tracing_mark_write" or not _KEY.match(message):
        return {"text": message}
    return _read_pairs(message)


def is_known(event: str) -> bool:
    """Return True if it is known what the messages of an event look like, so that one that is cut off shows."""
    return event in PATTERNS or event in _PAIRS


def whole_event(line: str) -> tuple[object, ...] | None:
    """Return what a line says if it is a whole one of an event whose messages are known; None for any other line."""
    head = read_head(line)
    found = head.event() if head else None
    if head is None or found is None or not is_known(found[0]):
        return None
    fields = read_message(*found)
    # Only names of tasks hold blanks, and these events have none; a function has its module behind it.
    if fields is None or any(" " in str(fields.get(key, "")) for key in _ONE_WORD):
        return None
    return head._replace(rest=""), found[0], fields


KNOWN_EVENT = re.compile(rf"(?:^|\s|:)(?P<event>{'|'.join([*PATTERNS, *_PAIRS])}):(?P<rest>.*)")
"""The name of such an event, anywhere in a line."""


def _is_whole(key: str, value: int | str | bool) -> bool:
    """Return True if a pair that has to be there is, and is of its kind."""
    return isinstance(value, int) if key in _NUMBER_KEYS else value != ""


def _read_pattern(patterns: Iterable[re.Pattern[str]], message: str) -> Fields | None:
    """Return the groups of the first pattern that matches; None if none does."""
    found = next((found for pattern in patterns if (found := pattern.fullmatch(message))), None)
    if found is None:
        return None
    fields = {name: _read_group(name, text) for name, text in found.groupdict().items() if text}
    return fields if all(fits(name, value) for name, value in fields.items() if isinstance(value, int)) else None


def _read_pairs(message: str) -> Fields:
    """Return pairs key=value; a value runs up to the next key, since names of tasks and modules may hold blanks."""
    _, *parts = _KEY.split(message)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    fields: Fields = {key: _read_pair(key, text.strip().rstrip(",")) for key, text in pairs}
    # Of "apic_timer_fn [kvm]", perf script prints the function only, and libtraceevent's hrtimer plugin
    # "apic_timer_fn/0x0": keep the three alike.
    function, _, module = str(fields.get("function", "")).partition(" [")
    if function:
        fields["function"] = _OFFSET.sub("", function)
    if module:
        fields["module"] = module.removesuffix("]")
    return fields
