"""A long run stops when it is asked to, and says how far it is while it goes on."""

import _thread
import signal
import threading
import time

import pytest

import kvmlab as kl

LONG = kl.Scenario(kl.Host(), kl.Guest(6, workload=kl.Workload(tick_hz=0, timer_us=10)), duration_s=1e6)
"""It would take days."""


@pytest.fixture
def interruptible():
    """Python's own answer to SIGINT, which a process that was started in the background ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("plain", [False, True], ids=["webassembly", "python"])
def test_an_interrupted_run_ends_soon(plain):
    """Asked until it does: what Python raises while an object of the engine is deleted, it loses."""
    asked, ended = [], threading.Event()

    def press_stop():
        while not ended.wait(0.3):
            asked.append(time.monotonic())
            _thread.interrupt_main()

    presses = threading.Thread(target=press_stop)
    presses.start()
    try:
        with pytest.raises(KeyboardInterrupt) as stop:
            kl.simulate(LONG, plain=plain)
    finally:
        ended.set()
    assert time.monotonic() - asked[-1] < 0.3
    presses.join()
    [note] = stop.value.__notes__
    assert note.startswith("simulate: stopped at ")
    assert note.endswith(" of 1e+06 s of simulated time.")


def test_a_bar_shows_the_simulated_time_if_it_is_wanted(capsys):
    short = kl.Scenario(kl.Host(), kl.Guest(), duration_s=0.5)
    quiet = kl.compare(short, ["v5.2", "v5.18"])
    assert capsys.readouterr().err == ""
    shown = kl.compare(short, ["v5.2", "v5.18"], progress=True)
    bars = capsys.readouterr().err
    assert "v5.2: 100%" in bars
    assert "v5.18: 100%" in bars
    assert "0.5 of 0.5 s of simulated time" in bars
    assert shown.equals(quiet)
    kl.compare_guests(short, ["v5.3"], progress=True)
    assert "v5.3: 100%" in capsys.readouterr().err
