"""What may stand between the events of a listing: stacks, traced functions, kernel messages, column heads, prose."""

from __future__ import annotations

import re

from kvmlab.host.formats.messages import AN_EVENT, KNOWN_EVENT, OVERRUN, is_known, read_head, whole_event

STACK, FUNCTIONS, KERNEL_LOG, HEADS, GAPS, PROSE = (
    "stack frames",
    "traced functions",
    "kernel messages",
    "column heads",
    "marks of lines left out",
    "lines of other text",
)
"""Kinds of lines that are passed over and counted."""

# kernel/trace/trace_output.c (trace_stack_print) and libtraceevent's kernel_stack: => symbol+0x1/0x2, => symbol (addr);
# perf script: addr symbol+0x1 (object).
_STACK = re.compile(r"\s*(?:=> .*|[0-9a-f]{6,16} [^\s(][^(]*\(.*\)\s*|[0-9a-f]{8,16} \S+\+0x[0-9a-f]+.*)")
_STACK_MARK = re.compile(r"<(?:user )?stack trace ?>")
# kernel/trace/trace_output.c (print_fn_trace): function <-parent; trace_functions_graph.c: cpu) duration | function().
_FUNCTION = re.compile(r"[A-Za-z_.$][\w.$]*(?:\([^)]*\))? <-\s?[A-Za-z_.$].*")
_GRAPH = re.compile(r"\s*(?:[0-9.]+\s*\|\s*)?[0-9]{1,6}\)\s.*\|.*")
_KERNEL_LOG = re.compile(r"(?:<[0-9]{1,3}>)?\[\s*[0-9]{1,10}\.[0-9]{6}\](?:\[\s*[CT][0-9]+\])? .*")
_COLUMN_HEAD = re.compile(r"(?:.*\bTASK[-/]PID\b.*|[\s|/_]*[|/_][-=|/_]*(?:=> [\w ./-]+)?[\s|/_]*)")
_GAP = re.compile(
    r"(?:[\[<(]\s*)?(?:\.{2,}|…+|:|snip(?:ped)?|cut|skipped)(?:\s*[\])>])?|-{2,}\s*(?:snip|cut|8<|>8).*", re.I
)
# A table of perf kvm stat, or of its browser.
_TABLE = re.compile(r"\bSamples\s+Samples?%")
_SENTENCE = re.compile(r"(?:[A-Za-z'’-]+[,.;:!?]?\s+){2}[A-Za-z'’-]+")
_PAIR = re.compile(r"(?:==>\s)?[A-Za-z_][A-Za-z0-9_]*=\S")
_CPU, _TIME = re.compile(r"\[[0-9]{1,6}\]"), re.compile(r"[0-9]:(?:\s|$)")
_TIME_BEFORE = re.compile(r"[0-9.]:\s*(?:\w+:)?$")
_ARM64 = re.compile(r"(?:[A-Z0-9_]+: HSR_EC: 0x[0-9a-f]+ \(.*\), )?PC: 0x[0-9a-f]+")
_WIDTH = 64
"""A mail program wraps no line that is shorter."""


def kind_between(text: str) -> str:
    """Return what kind of line it is that is no event."""
    if _STACK.fullmatch(text):
        return STACK
    if _GRAPH.fullmatch(text):
        return FUNCTIONS
    if _KERNEL_LOG.fullmatch(text):
        return KERNEL_LOG
    if _COLUMN_HEAD.fullmatch(text):
        return HEADS
    return GAPS if _GAP.fullmatch(text.strip()) else PROSE


def kind_behind_head(rest: str) -> str | None:
    """Return what kind of line it is that has the head of an event, but none; None if it is damaged."""
    if _STACK_MARK.fullmatch(rest.strip()):
        return STACK
    return FUNCTIONS if _FUNCTION.fullmatch(rest.strip()) else None


def begins(text: str) -> bool:
    """Return True if a line is recognised, so that it does not continue the one before it."""
    is_comment = text.lstrip().startswith("#") or OVERRUN.fullmatch(text.strip()) is not None
    return is_comment or read_head(text) is not None or kind_between(text) != PROSE


def damage(text: str) -> str | None:
    """Return what was expected where a line shows a part of an event, or something that is no listing; else None."""
    if _TABLE.search(text):
        return f"{AN_EVENT}; not a table of perf kvm stat"
    cpu = _CPU.search(text)
    if (cpu and _TIME.search(text, cpu.end())) or text.lstrip().startswith("CPU:"):
        return AN_EVENT
    found = KNOWN_EVENT.search(text)
    if found is None:
        return None
    # In prose, too, the name of an event may have a colon behind it.
    a_time, an_event = f"0 0 [0] 0.000000: {found['event']}:{found['rest']}", found.start() == 0
    is_part = an_event or whole_event(a_time) is not None or _TIME_BEFORE.search(text[: found.start("event")])
    return AN_EVENT if is_part else None


def refusal_of(event: str, message: str) -> str:
    """Return what is expected of an event's message that cannot be read."""
    if event in ("kvm_exit", "kvm_entry") and _ARM64.fullmatch(message):
        return f"{event} of x86; this is one of arm64, whose timer is another one and which is not read"
    return f"a whole message of {event}, as kernels for x86 print it; {'' if message else 'it is '}cut off or wrapped"


def may_go_on(event: str, line: str, following: str) -> bool:
    """Return True if the line after an event may be the end of it that was wrapped.

    Of an event whose messages are known, the message would show that. Of another one nothing does; whole sentences are
    taken for prose, except after a line that is so long that it had to be wrapped.
    """
    text = following.strip()
    if is_known(event) or not text or begins(following):
        return False
    return len(line) >= _WIDTH or not _SENTENCE.match(text)


def goes_on_with_pairs(text: str) -> bool:
    """Return True if a line begins with key=value, as a wrapped message may."""
    return bool(_PAIR.match(text.strip()))
