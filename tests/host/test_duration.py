"""How long a recording took: as it says, as the reader says, or between which bounds; worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from kvmlab.host.what_if.duration import Duration, duration_of, possible_rate
from kvmlab.host.what_if.findings import Findings
from kvmlab.scenario.interval import Interval

ANY_RATE = Interval(1000.0, 100.0, 4000.0)


def recording(handled_s=0.0, seconds=None, vcpus=None):
    exits = pd.DataFrame({"Samples": [1], "Avg time": [handled_s * 1e6]}, index=["HLT"])
    return SimpleNamespace(exits=exits, seconds=seconds, vcpus=vcpus)


def found(e, timers=990.0, seconds=None, vcpus=None, timer_hz=None):
    findings = Findings()
    return duration_of(e, timers, seconds, vcpus, timer_hz, findings), findings


@pytest.mark.parametrize(
    ("e", "said", "took"),
    [
        (recording(), {"seconds": 7}, Duration(7.0, 1)),
        (recording(), {"seconds": 7, "vcpus": 3}, Duration(7.0, 3)),
        (recording(seconds=5.0, vcpus=2), {}, Duration(5.0, 2)),
        (recording(seconds=5.0, vcpus=2), {"seconds": 7, "vcpus": 3}, Duration(7.0, 3)),  # the reader knows better
        (recording(seconds=5.0, vcpus=2), {"timer_hz": 9}, Duration(5.0, 2)),
        (recording(handled_s=10.0), {"seconds": 9.9}, Duration(9.9, 1)),  # said in round numbers
        (recording(handled_s=10.0), {"seconds": 4.95, "vcpus": 2}, Duration(4.95, 2)),
        (recording(), {"timer_hz": 100}, Duration(9.9, 1)),
        (recording(), {"timer_hz": 100, "vcpus": 3}, Duration(9.9 / 3, 3)),
        (recording(handled_s=10.0), {"timer_hz": 100}, Duration(9.9, 1)),
    ],
)
def test_a_duration_is_what_the_reader_says_or_the_recording_does(e, said, took):
    duration, findings = found(e, **said)
    assert duration == took
    assert findings == Findings()


@pytest.mark.parametrize(
    ("e", "said", "complaint"),
    [
        (
            recording(handled_s=10.0),
            {"seconds": 9.8},
            "seconds: 9.8 s of 1 vCPU do not fit: the host handled exits for 10 s in all; allowed: seconds x vcpus of "
            "at least 10",
        ),
        (
            recording(handled_s=10.0),
            {"seconds": 3, "vcpus": 3},
            "seconds: 3 s of 3 vCPUs do not fit: the host handled exits for 10 s in all; allowed: seconds x vcpus of "
            "at least 10",
        ),
        (
            recording(handled_s=10.0, seconds=4.0, vcpus=3),
            {"vcpus": 2},
            "vcpus: 4 s of 2 vCPUs do not fit: the host handled exits for 10 s in all; allowed: seconds x vcpus of at "
            "least 10",
        ),
        (
            recording(handled_s=10.0),
            {"timer_hz": 110},
            "timer_hz: 110 does not fit: 990 timers then take 9 s, but the host handled exits for 10 s; allowed: at "
            "most 99 Hz",
        ),
    ],
)
def test_a_time_shorter_than_the_exits_took_is_refused(e, said, complaint):
    with pytest.raises(ValueError, match=r"do(es)? not fit") as refused:
        found(e, **said)
    assert str(refused.value) == complaint


@pytest.mark.parametrize(
    ("name", "least", "most", "beyond"),
    [
        ("seconds", 1e-6, 1e7, (0.9e-6, 1e7 + 0.5)),
        ("timer_hz", 0.01, 1e5, (0.009, 1e5 + 0.5)),
        ("vcpus", 1, 100_000, (0, 100_001)),
    ],
)
def test_what_the_reader_says_has_limits(name, least, most, beyond):
    for value in (least, most):
        found(recording(seconds=1.0), **{name: value})
    for value in beyond:
        with pytest.raises(ValueError, match=f"^{name}: .* is not allowed"):
            found(recording(seconds=1.0), **{name: value})


@pytest.mark.parametrize(
    ("timers", "least_s", "rate"),
    [
        (1000.0, 0.0, ANY_RATE),
        (5000.0, 1.0, ANY_RATE),
        (4000.0, 1.0, ANY_RATE),
        (6000.0, 2.0, Interval(1000.0, 100.0, 3000.0)),
        (1600.0, 2.0, Interval(800.0, 80.0, 800.0)),
        (10.0, 2.0, Interval(5.0, 0.5, 5.0)),
    ],
)
def test_the_exits_leave_no_time_for_more_timers_than_that(timers, least_s, rate):
    assert possible_rate(timers, least_s) == rate


@pytest.mark.parametrize(
    ("timers", "handled_s", "vcpus", "took", "rates", "at_least"),
    [
        (3000.0, 0.0, None, Duration(3.0, 1, ANY_RATE), "100, 1000 (central) or 4000", None),
        (3000.0, 0.0, 3, Duration(1.0, 3, ANY_RATE), "100, 1000 (central) or 4000", None),
        (6000.0, 2.0, 2, Duration(3.0, 2, Interval(1000.0, 100.0, 3000.0)), "100, 1000 (central) or 3000", "2"),
        (1600.0, 2.0, None, Duration(2.0, 1, Interval(800.0, 80.0, 800.0)), "80, 800 (central, and at most)", "2"),
    ],
)
def test_where_nobody_says_so_it_is_varied(timers, handled_s, vcpus, took, rates, at_least):
    duration, findings = found(recording(handled_s=handled_s), timers=timers, vcpus=vcpus)
    assert duration == took
    assert findings.cannot == [
        f"How long the recording took: varied, as if each vCPU had {rates} timers per second. Say seconds= or "
        "timer_hz=."
    ]
    known = f"seconds x vcpus is at least {at_least}: for so long the host handled exits, halts among them."
    assert findings.known == ([known] if at_least else [])


def test_time_of_vcpus_and_factors_follow():
    assert Duration(4.0, 3).vcpu_seconds == 12
    assert Duration(4.0, 3).factors == ()
    assert Duration(4.0, 3, Interval(1000.0, 100.0, 4000.0)).factors == (0.1, 4)
