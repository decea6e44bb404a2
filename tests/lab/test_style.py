"""Every kernel and policy finds its style."""

from __future__ import annotations

import kvmlab as kl
from kvmlab.lab import plots


def test_a_revision_has_one_colour_marker_and_hatch_of_its_own():
    for part in range(3):
        parts = [style[part] for style in plots.REVISIONS.values()]
        assert len(set(parts)) == len(parts)
    assert set(kl.policy.POLICIES) < set(plots.REVISIONS)
    assert set(plots.KERNEL_REVISIONS) == set(kl.KERNELS)
    for name, kernel in kl.KERNELS.items():
        assert kernel.policy is kl.policy.POLICIES[plots.revision(name)]
    assert plots.revision("6.1.176 rev1") == "rev1"
    assert plots.revision("my_policy") == "yours"
