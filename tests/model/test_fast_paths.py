"""Fast paths: which exits may take one, by release."""

from hypothesis import given

import kvmlab as kl
from kvmlab import kernels
from kvmlab.model.names import EXITS
from tests.strategies import few, scenarios


@given(scenarios())
@few(100)
def test_fast_paths_by_release(scenario):
    run = kl.simulate(scenario)
    fast = dict(zip(EXITS, run.exit_rows["fast"].sum(axis=0), strict=True))
    kernel = scenario.kernel
    if kernel.arm_fastpath == kernels.ArmFastpath.NEVER:
        assert run.fastpath_exits == 0
    if kernel.arm_fastpath == kernels.ArmFastpath.HV_ONLY and not run.machine.vcpus["hv_armed"].any():
        assert fast["MSR_WRITE"] == 0
    modes = {guest.workload.timer_mode for guest in scenario.guests}
    if "tsc_deadline" not in modes:
        assert fast["MSR_WRITE"] == 0
