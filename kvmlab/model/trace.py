"""Temporary: the old names, until every room uses the new ones."""

# ruff: noqa
from kvmlab.model.names import FAST, Trace, labels

NAMES = labels(Trace)
globals().update({"T_" + t.name: t for t in Trace})
