"""Who may post a LAPIC timer interrupt: the state before 2019 and the three revisions, functions of five booleans.

A policy answers what ``kvm_can_post_timer_interrupt(vcpu)`` answers in arch/x86/kvm/lapic.c. Everything else follows:
whether the VMX preemption timer may be used (`can_use_hv_timer`), and, at expiry, whether the interrupt is posted.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd


class VcpuFacts(NamedTuple):
    """What a policy may look at, in the kernel's words."""

    pi_inject_timer: bool
    """Module parameter kvm.pi_inject_timer: host hrtimers may inject the timer by posted interrupt."""
    apicv_active: bool
    """kvm_vcpu_apicv_active(vcpu): the virtual APIC takes posted interrupts."""
    housekeeping_cpu: bool
    """housekeeping_cpu(vcpu->cpu, HK_FLAG_TIMER): the pCPU of the vCPU is not a nohz_full one."""
    mwait_in_guest: bool
    """kvm_mwait_in_guest(kvm): the VM executes MWAIT without a VM exit."""
    hlt_in_guest: bool
    """kvm_hlt_in_guest(kvm): the VM executes HLT without a VM exit."""


Policy = Callable[[VcpuFacts], bool]

PI_INJECT_TIMER_BIT = VcpuFacts._fields.index("pi_inject_timer")
APICV_BIT = VcpuFacts._fields.index("apicv_active")
HOUSEKEEPING_BIT = VcpuFacts._fields.index("housekeeping_cpu")
MWAIT_BIT = VcpuFacts._fields.index("mwait_in_guest")
HLT_BIT = VcpuFacts._fields.index("hlt_in_guest")
"""The bit of each fact in the `index` of a policy's table; rules ask by these."""


def before(v: VcpuFacts) -> bool:
    """Never post: up to v5.2 there is no posted timer interrupt."""
    return False


def rev1(v: VcpuFacts) -> bool:
    """Ask the host: commit 0c5f81dad46c (Wanpeng Li, July 2019, v5.3)."""
    return v.pi_inject_timer and v.apicv_active


def rev2(v: VcpuFacts) -> bool:
    """Ask the pCPU too: RFC by Aili Yao, 22 Nov 2021 (<20211122095619.000060d2@gmail.com>), never merged."""
    return v.pi_inject_timer and v.apicv_active and not v.housekeeping_cpu


def rev3(v: VcpuFacts) -> bool:
    """Ask the VM instead: commit 1714a4eb6fb0 (Wanpeng Li, January 2022, v5.18 and stable kernels).

    The line stands first in Sean Christopherson's mail of 7 December 2021 (<Ya/s17QDlGZi9COR@google.com>).
    """
    return v.pi_inject_timer and v.apicv_active and (v.mwait_in_guest or v.hlt_in_guest)


POLICIES: dict[str, Policy] = {"before": before, "rev1": rev1, "rev2": rev2, "rev3": rev3}
REVISIONS = tuple(POLICIES)
"""The names of the policies, oldest first."""


def find(name: str) -> Policy:
    """Return the policy called `name`; ValueError lists the known ones."""
    if not isinstance(name, str) or name not in POLICIES:
        raise ValueError(f"policy: {name!r} is not allowed; it must be one of {', '.join(POLICIES)}")
    return POLICIES[name]


def can_use_hv_timer(facts: VcpuFacts, can_post: bool, hv_timer: bool = True) -> bool:
    """Return True if the VMX preemption timer may serve this vCPU: kvm_can_use_hv_timer() in lapic.c.

    `can_post`: what the policy answers on `facts`. `hv_timer`: the vendor code has a set_hv_timer operation (Intel with
    kvm_intel.preemption_timer on; AMD has none).

    Up to v5.3 the same refusals sit in vmx_set_hv_timer(), with the same outcome.
    """
    return hv_timer and not (facts.mwait_in_guest or can_post)


def every_input() -> Iterator[VcpuFacts]:
    """Return all 32 combinations in the order of `index`: bit 0 is pi_inject_timer, bit 4 is hlt_in_guest."""
    for bits in itertools.product((False, True), repeat=5):
        yield VcpuFacts(*reversed(bits))


def index(facts: VcpuFacts) -> int:
    """Return the position of `facts` in a policy's table (0 to 31).

    >>> index(VcpuFacts(True, True, False, False, True))
    19
    """
    return sum(1 << i for i, fact in enumerate(facts) if fact)


def ask(policy: Policy, facts: VcpuFacts) -> bool:
    """Return a policy's answer; ValueError says what was asked if a reader's own fails or answers no boolean."""
    name = getattr(policy, "__name__", repr(policy))
    try:
        answer = policy(facts)
    except Exception as error:
        raise ValueError(f"policy {name} failed on {facts}: {type(error).__name__}: {error}") from error
    boolean = isinstance(answer, bool | int) or type(answer).__name__ in ("bool", "bool_")  # the latter: numpy's
    if not boolean or answer not in (0, 1):
        raise ValueError(f"policy {name} answered {answer!r} on {facts}; it must answer True or False")
    return bool(answer)


PATIENCE_S = 2.0
"""How long a reader's policy may take over all 32 inputs, in seconds."""


def answers(policy: Policy) -> list[bool]:
    """Return the answers of `policy` to all 32 inputs, in the order of `every_input`.

    Raises ValueError as `ask` does, and if a reader's own has not answered all of them within `PATIENCE_S`: one that
    loops for ever or sleeps freezes nobody.
    """
    if isinstance(policy, Table) or any(policy is known for known in POLICIES.values()):
        return [ask(policy, facts) for facts in every_input()]
    return _Asking(policy).answers()


def table_bits(policy: Policy) -> int:
    """Return the answers of `policy` to all 32 inputs: bit `index(facts)` is the answer for `facts`.

    Raises ValueError as `answers` does.

    >>> table_bits(before)
    0
    """
    return sum(1 << i for i, answer in enumerate(answers(policy)) if answer)


@dataclass(frozen=True)
class Table:
    """A policy given by its answers, as `table_bits` packs them."""

    bits: int

    def __call__(self, v: VcpuFacts) -> bool:
        return bool(self.bits >> index(v) & 1)


class Term(NamedTuple):
    """One of the conditions that a predicate joins by ``&&``."""

    text: str
    """The condition as C writes it, in the words of `VcpuFacts`: ``!housekeeping_cpu``."""
    holds: Policy
    """Whether it holds for given facts."""


def terms(policy: Policy) -> tuple[Term, ...]:
    """Split the predicate of `policy` into the terms that its ``return`` joins by ``and``.

    A function that is more than one ``return``, or whose source is not available, is a single term: ``name(vcpu)``.

    >>> [term.text for term in terms(rev2)]
    ['pi_inject_timer', 'apicv_active', '!housekeeping_cpu']
    """
    function = _source_of(policy)
    if function is not None and len(function.args.args) == 1:
        *documentation, last = function.body
        if isinstance(last, ast.Return) and last.value and all(isinstance(each, ast.Expr) for each in documentation):
            value = last.value
            joined = value.values if isinstance(value, ast.BoolOp) and isinstance(value.op, ast.And) else [value]
            return tuple(_term(each, function.args.args[0].arg, policy) for each in joined)
    return (Term(f"{getattr(policy, '__name__', 'policy')}(vcpu)", policy),)


def _source_of(policy: Policy) -> ast.FunctionDef | None:
    """Return the parsed source of a policy; None if there is none, or if it is no ``def``."""
    try:
        [tree] = ast.parse(textwrap.dedent(inspect.getsource(policy))).body
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    return tree if isinstance(tree, ast.FunctionDef) else None


def _term(node: ast.expr, argument: str, policy: Policy) -> Term:
    """Return one operand of a policy's ``and`` as a term; names other than its argument are those that it sees."""
    code = compile(ast.Expression(node), "<term>", "eval")
    names = {**getattr(policy, "__globals__", {}), **inspect.getclosurevars(policy).nonlocals}
    return Term(_as_c(node, argument), lambda facts: bool(eval(code, names, {argument: facts})))


def _as_c(node: ast.expr, argument: str) -> str:
    """Return a condition on `argument` as C writes it."""
    match node:
        case ast.Attribute(ast.Name(name), fact) if name == argument:
            return fact
        case ast.UnaryOp(ast.Not(), operand):
            return f"!{_as_c(operand, argument)}"
        case ast.BoolOp(op, values):
            sign = " && " if isinstance(op, ast.And) else " || "
            return f"({sign.join(_as_c(each, argument) for each in values)})"
        case ast.Constant(bool() as value):
            return str(value).lower()
    return ast.unparse(node)


def truth_table(policy: Policy) -> pd.DataFrame:
    """Return all 32 inputs and what follows from them, one row per input, as booleans.

    Columns, in the kernel's words: the five facts, ``can_post_timer_interrupt`` and, for a host that has the preemption
    timer, ``can_use_hv_timer``. Raises ValueError as `answers` does.

    >>> int(truth_table(rev3)["can_post_timer_interrupt"].sum())
    6
    """
    import pandas as pd

    asked = zip(every_input(), answers(policy), strict=True)
    rows = [(*facts, can_post, can_use_hv_timer(facts, can_post)) for facts, can_post in asked]
    return pd.DataFrame(rows, columns=[*VcpuFacts._fields, "can_post_timer_interrupt", "can_use_hv_timer"])


def differences(policy_a: Policy, policy_b: Policy) -> pd.DataFrame:
    """Return the inputs on which two policies differ, one row per input, as booleans.

    Columns: the five facts, ``can_post_timer_interrupt_a``, ``..._b``, ``can_use_hv_timer_a``, ``..._b``. Raises
    ValueError as `answers` does.

    >>> int(differences(rev1, rev3)["mwait_in_guest"].sum())
    0
    """
    a, b = truth_table(policy_a), truth_table(policy_b)
    both = a.merge(b, on=list(VcpuFacts._fields), suffixes=("_a", "_b"))
    differ = both["can_post_timer_interrupt_a"] != both["can_post_timer_interrupt_b"]
    return both[differ].reset_index(drop=True)


# --- patience with a reader's own -----------------------------------------------------------------------------------


class _Asking(threading.Thread):
    """Asks a policy all 32 inputs in a thread of its own, which alone can be left behind on every platform."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(name="kvmlab asks a policy", daemon=True)
        self.policy = policy
        self.given: list[bool] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        """Ask; what is raised is kept for `answers`."""
        try:
            for facts in every_input():
                self.given.append(ask(self.policy, facts))
        except BaseException as error:  # SystemExit too: it would end this thread in silence
            self.error = error

    def answers(self) -> list[bool]:
        """Return all answers. ValueError if they do not come, or as `ask` raises it."""
        try:
            self.start()
        except RuntimeError:  # there are no threads (Pyodide): nothing can limit it
            self.run()
        else:
            self.join(PATIENCE_S)
        facts = next(itertools.islice(every_input(), len(self.given), None), None)
        if self.is_alive() and facts is not None:
            self.stop()
            name = getattr(self.policy, "__name__", repr(self.policy))
            raise ValueError(
                f"policy {name} has not answered on {facts}; it must answer True or False at once: all 32 inputs "
                f"together may take {PATIENCE_S:g} s"
            )
        if self.error is not None:
            raise self.error
        return self.given

    def stop(self) -> None:
        """Raise SystemExit in this thread: it ends a loop at its next step, and a sleep when that is over."""
        import ctypes

        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident or 0), ctypes.py_object(SystemExit))
