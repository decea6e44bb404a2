"""Scenario files: what is written reads back, presets tell the policies apart, and errors name table, key and limit."""

import os
import tomllib
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

import kvmlab as kl
from kvmlab.scenario import files as scenario_file
from kvmlab.scenario.files import cpu_list, scenario_from
from tests.strategies import COSTS, few, scenarios

EXAMPLE = """\
kernel = "v5.13"
duration_s = 0.5
seed = 7
[host]
pcpus = 6
isolated = "1-4"
[[guest]]
vcpus = 2
name = "first"
[guest.workload]
tick_hz = 1000
[[guest]]
pcpus = [5]
[guest.workload]
busy_us = 100
idle_us = 900
"""


def written(tmp_path, text):
    """Return the path of a scenario file that holds this text."""
    path = tmp_path / "scenario.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_is_the_scenario_it_says(tmp_path):
    expected = kl.Scenario(
        kl.Host(pcpus=6, isolated=(1, 2, 3, 4)),
        (
            kl.Guest(vcpus=2, name="first", workload=kl.Workload(tick_hz=1000)),
            kl.Guest(pcpus=(5,), workload=kl.Workload(busy_us=100, idle_us=900)),
        ),
        kernel="v5.13",
        duration_s=0.5,
        seed=7,
    )
    assert kl.read_scenario(written(tmp_path, EXAMPLE)) == expected
    assert kl.read_scenario(str(written(tmp_path, EXAMPLE))) == expected


def test_an_empty_file_is_all_defaults(tmp_path):
    assert kl.read_scenario(written(tmp_path, "")) == kl.Scenario(kl.Host(), kl.Guest())


def test_the_example_in_the_documentation_is_one():
    text = scenario_file.__doc__.partition("\n\n")[2].partition("What is left out")[0]
    scenario = scenario_from(tomllib.loads(text))
    assert scenario.host.isolated == (1, 2, 3, 4)
    assert scenario.guests[0].workload.tick_hz == 1000


@few(150)
@given(scenarios(costs=COSTS[:1]), st.text(max_size=20))
def test_what_is_written_reads_back(scenario, name):
    scenario = scenario.replace(**{"guest.name": name})
    text = kl.scenario_to_toml(scenario)
    assert scenario_from(tomllib.loads(text)) == scenario


def test_a_kernel_may_be_a_release_under_a_policy():
    scenario = scenario_from({"kernel": {"release": "6.1.176", "policy": "rev1"}})
    assert scenario.kernel.policy is kl.policy.rev1
    assert scenario.kernel.name == "6.1.176 rev1"
    assert not scenario.kernel.hrtimer_pinned


def test_a_kernel_without_a_name_for_it_is_not_written():
    odd = replace(kl.KERNELS["v5.18"], hrtimer_pinned=True, name="odd")
    with pytest.raises(ValueError, match="'odd' is neither in KERNELS nor a release"):
        kl.scenario_to_toml(kl.Scenario(kl.Host(), kl.Guest(), kernel=odd))
    with pytest.raises(ValueError, match="costs"):
        kl.scenario_to_toml(kl.Scenario(kl.Host(), kl.Guest(), costs=COSTS[1]))


@pytest.mark.parametrize("name", scenario_file.presets())
def test_presets_are_told_apart_by_policy(name):
    table = kl.compare(kl.read_scenario(name).replace(duration_s=0.2), list(kl.policy.POLICIES))
    assert (table["exits"] > 0).all()
    assert len(set(table["PREEMPTION_TIMER"])) > 1


def test_presets_are_described():
    assert set(scenario_file.presets()) == {"isolated", "mixed", "poller"}
    assert all(len(line) > 20 for line in scenario_file.presets().values())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "kernle = 1",
            r"the file, key: 'kernle' is not allowed; it must be one of kernel, duration_s, seed, trace_steps",
        ),
        ("[host]\npcpu = 3", r"host, key: 'pcpu' is not allowed; it must be one of pcpus, isolated,"),
        ("[[guest]]\n[[guest]]\nvcpu = 3", r"guest 2, key: 'vcpu' is not allowed; it must be one of vcpus,"),
        ("[[guest]]\n[guest.workload]\ntick = 3", r"workload, key: 'tick' is not allowed; it must be one of tick_hz,"),
        (
            "[[guest]]\n[guest.workload]\ntick_hz = -3",
            r"Workload.tick_hz: -3 is not allowed; it must be 0, or a number from 0.01",
        ),
        ("[[guest]]\n[guest.workload]\ntick_hz = nan", r"tick_hz: nan is not allowed"),
        ("[[guest]]\n[guest.workload]\ntick_hz = '3'", r"tick_hz: '3' is not allowed"),
        ("host = 3", r"host: 3 is not allowed; it must be a table"),
        ("guest = 3", r"guest: 3 is not allowed; it must be \[\[guest\]\] tables"),
        ("guest = [3]", r"guest 1: 3 is not allowed; it must be a table"),
        ("guest = []", r"guests: \(\) is not allowed; it must be at least one Guest"),
        ("[[guest]]\nworkload = 3", r"guest 1, workload: 3 is not allowed; it must be a table"),
        ("[host]\nisolated = '1-'", r"isolated: '1-' is not allowed; it must be a list of CPU numbers such as 1,4-7"),
        ("[host]\nisolated = '5-2'", r"isolated: '5-2' is not allowed; it must be a list of CPU numbers"),
        ("[host]\nisolated = '0-7'", r"Host.isolated: .* at most 7 of the 8 pCPUs: one housekeeping CPU must be left"),
        (f"[host]\nisolated = '{'0-99999,' * 1000}'", r"isolated: .* is not allowed; .* at most 100000 CPU numbers"),
        ("[[guest]]\n" * 8193, r"guest: '8193 tables' is not allowed; it must be at most 8192"),
        ("\ufeffseed = 3", r"scenario.toml: it begins with a byte order mark; save it as UTF-8 without one"),
        ("kernel = 'v9'", r"kernel: 'v9' is not allowed; it must be one of v5.2"),
        ("kernel = 5", r"kernel: 5 is not allowed"),
        ("kernel = { release = '6.1' }", r"kernel: .* must be a name, or a table with both release and policy"),
        ("kernel = { release = 6.1, policy = 'rev1' }", r"release: 6.1 is not allowed; it must be a str"),
        ("kernel = { release = 'six', policy = 'rev1' }", r"release: 'six' is not allowed; it must be major.minor"),
        ("kernel = { release = 'v99.99', policy = 'rev1' }", r"release: 'v99.99' is not allowed; it must be from v5.2"),
        (
            "kernel = { release = '6.1', policy = 'rev9' }",
            r"policy: 'rev9' is not allowed; it must be one of before, rev1",
        ),
        ("duration_s = 'long'", r"Scenario.duration_s: 'long' is not allowed; it must be a number from 1e-06 to 1e"),
        ("duration_s = 2024-01-01", r"duration_s: .* must be a number"),
        ("kernel = 1 2", r"scenario.toml: this is not TOML: .*line 1"),
        ("a = " + "[" * 100_000, r"scenario.toml: this is not TOML"),
        ("# " + "x" * scenario_file.MAX_BYTES, r"scenario.toml: more than 1048576 bytes"),
    ],
)
def test_bad_files_get_a_sentence(tmp_path, text, sentence):
    with pytest.raises(ValueError, match=sentence):
        kl.read_scenario(written(tmp_path, text))


def test_binary_and_missing_files(tmp_path):
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\x7fELF\xff\xfe")
    with pytest.raises(ValueError, match=r"binary.toml: this is not TOML"):
        kl.read_scenario(path)
    with pytest.raises(FileNotFoundError):
        kl.read_scenario(tmp_path / "none.toml")
    with pytest.raises(ValueError, match="'none' is not allowed; it must be a file, or one of the presets isolated"):
        kl.read_scenario("none")


@pytest.mark.parametrize("path", [0, 1, None, True, "", b"", "a\0b", ["x"]])
def test_what_is_no_path_is_refused_and_nothing_is_opened_or_closed(path):
    with pytest.raises(ValueError, match=r"^path: .* is not allowed; it must be a path: a text, or a pathlib\.Path"):
        kl.read_scenario(path)
    os.fstat(0)
    os.fstat(1)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes here")
def test_folders_devices_and_pipes_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, what in (
        (tmp_path, "folder"),
        (tmp_path / "pipe", "device or a pipe"),
        ("/dev/zero", "device or a pipe"),
    ):
        with pytest.raises(ValueError, match=f"^path: .* it must be a file, and that is a {what}"):
            kl.read_scenario(path)


@given(st.lists(st.integers(0, 99_999), max_size=20))
@few(100)
def test_cpu_lists_as_the_kernel_writes_them(numbers):
    assert cpu_list("cpus", ",".join(map(str, numbers))) == tuple(numbers)
    assert cpu_list("cpus", ",".join(f"{n}-{n + 2}" for n in numbers if n < 99_998)) == tuple(
        cpu for n in numbers if n < 99_998 for cpu in (n, n + 1, n + 2)
    )
