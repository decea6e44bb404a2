"""Temporary: the old names, until every room uses the new ones."""

# ruff: noqa
import numpy as np
from kvmlab.model.draws import *
from kvmlab.model.draws import histogram_bin, histogram_edges
from kvmlab.model.names import *
from kvmlab.model.names import (
    labels,
    Cost as _Cost,
    Exit as _Exit,
    Place as _Place,
    TimerMode as _T,
    Wait as _W,
    State as _S,
    Trace as _Tr,
    Lane as _L,
    Stream as _St,
)
from kvmlab.model.records import Machine
from kvmlab.model.schedule import schedule

STEPS = tuple(c.name.lower() for c in _Cost)
EXITS = tuple(e.name for e in _Exit)
SVM_EXITS = tuple(e.label for e in _Exit)
PLACES = labels(_Place)
TIMER_MODES = labels(_T)
WAITS = labels(_W)
X_EXTERNAL_INTERRUPT, X_HLT, X_MSR_WRITE, X_PAUSE, X_OTHER, X_PREEMPTION_TIMER = _Exit
AT_HV, AT_OWN, AT_POSTED, AT_KICKED, AT_NOT_IN_GUEST, AT_ARM = _Place
GUEST, HOST, BLOCKED, PREEMPTED, DONE = _S
TSC_DEADLINE, ONESHOT, PERIODIC = _T
LANE_VCPU = _L.VCPU
