"""Exercises of lesson 06: the poller repaired without a patch, and a guest that rev 3 hurts."""

import pandas as pd

from kvmlab.lab.exercises.kinds import Exercise, Judged, WrongForm
from kvmlab.lab.panels.counts import Counts
from kvmlab.lab.panels.stage import Stage, stage_panel
from kvmlab.lab.words import names_of
from kvmlab.results.per_guest import by_guest

OF_THE_VM = {"hlt_in_guest", "mwait_in_guest"}
DAYS_OF_A_MONTH = 365.25 / 12
CLEARLY = 1.05
"""A guest loses clearly more time if it loses 5 % more."""


def months_before_rev3(history: pd.DataFrame) -> int:
    """Return how many months before rev 3 a line first asked for MWAIT or HLT without an exit; `history` as kl.history.

    Rev 3's own first drafts count, and so do those of rev 1.
    """
    dates = pd.to_datetime(history.set_index("id")["date"], format="mixed")
    asked = dates[history.set_index("id")["predicate"].str.contains("in_guest", na=False)]
    return round((dates["rev3"] - asked.min()).days / DAYS_OF_A_MONTH)


def repaired(stage: Stage) -> bool | str:
    """Return True if only the VM was changed, the timer is posted, and the preemption timer is there without posts."""
    if not isinstance(stage, Stage):
        raise WrongForm("the stage above is asked for")
    before = stage_panel(kernel="v5.18").settings
    changed = [name for name, value in stage.settings.items() if value != before[name] and name not in OF_THE_VM]
    if changed:
        return f"only the VM may change, and {names_of(changed)} is not of the VM. Put it back."
    if stage.story.delivery != "posted":
        return f"the timer is not posted; its expiry costs {stage.story.expiry_exit}."
    elsewhere = stage_panel()
    elsewhere.settings = {**stage.settings, "pi_inject_timer": False}
    if elsewhere.story.backend != "hv":
        return "the timer is posted. But with the switch off, this VM has no preemption timer."
    return True


def hurt_by_rev3(panel: Counts) -> bool | str:
    """Return True if the guest that the panel is set to loses clearly more time under rev 3 than under before."""
    if not isinstance(panel, Counts):
        raise WrongForm("the panel above is asked for")
    before, rev3 = (float(by_guest(panel.runs[name])["lost us"].iloc[0]) for name in ("before", "rev3"))
    if rev3 > CLEARLY * before:
        return True
    told = f"{rev3:,.0f} us per vCPU per second are lost under rev 3, and {before:,.0f} us under before"
    return f"{told}{'' if rev3 <= before else ', which is hardly more'}."


EXERCISES = {
    "L06-E1": Exercise(
        Judged("the stage above with its controls moved", repaired),
        checked="that only the VM changed, and who fires with the switch on and off",
        not_checked="what the host gives up, should this guest ever halt",
    ),
    "L06-E2": Exercise(
        Judged("the panel above with its controls moved", hurt_by_rev3),
        checked="that the vCPUs lose at least 5 % more time under rev 3 than under before",
        not_checked="whether anybody would set up such a guest",
    ),
}
