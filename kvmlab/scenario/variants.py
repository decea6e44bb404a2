"""What a comparison compares: kernels, or policies in one kernel's machinery."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from kvmlab import policy
from kvmlab.kernels import KERNELS, Kernel
from kvmlab.policy import Policy
from kvmlab.scenario import checks


def variant(base: Kernel, choice: str | Kernel | Policy) -> Kernel:
    """Return a kernel to compare: by its name, or a policy (its function or its name) put into `base`'s machinery.

    Raises ValueError for anything else.
    """
    if isinstance(choice, Kernel):
        return choice
    if isinstance(choice, str):
        if choice in policy.POLICIES:
            return base.with_policy(choice, policy.POLICIES[choice])
        if choice in KERNELS:
            return KERNELS[choice]
        raise checks.refusal("kernel or policy", choice, f"one of {', '.join([*KERNELS, *policy.POLICIES])}")
    if not isinstance(choice, Callable):  # type: ignore[arg-type]
        raise checks.refusal("kernel or policy", choice, "a name, a Kernel, or a function of VcpuFacts")
    return base.with_policy(getattr(choice, "__name__", "policy"), choice)


def variants(base: Kernel, choices: str | Kernel | Policy | Iterable[str | Kernel | Policy]) -> dict[str, Kernel]:
    """Return several kernels to compare, by name: each as `variant` takes it, or one alone; duplicates go."""
    if isinstance(choices, str | Kernel) or callable(choices):
        choices = (choices,)
    kind = "one or more names of kernels or policies, Kernels, or functions of VcpuFacts"
    several = checks.several("kernels_or_policies", choices, kind)
    if not several:
        raise checks.refusal("kernels_or_policies", choices, kind)
    chosen = list(dict.fromkeys(variant(base, choice) for choice in several))
    return dict(zip(numbered([kernel.name for kernel in chosen]), chosen, strict=True))


def numbered(names: Sequence[str]) -> list[str]:
    """Return the names, told apart: of several policies called <lambda> the second is "<lambda> 2"."""
    return [f"{name} {names[:i].count(name) + 1}" if name in names[:i] else name for i, name in enumerate(names)]
