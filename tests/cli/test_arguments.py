"""Help, examples and wrong usage: what is said, and with which exit code."""

import re

import pytest

import kvmlab as kl
from kvmlab.cli import arguments as cli
from kvmlab.cli.values import fact_lines, fact_names
from tests.places import DOCS


@pytest.mark.parametrize("command", [None, "compare", "explain", "what-if", "diff", "live", "convert"])
def test_help_has_examples_and_codes(run, command):
    code, out, _ = run(*([command] if command else []), "--help")
    assert code == 0
    assert "exit codes: 0 done; 1" in out
    assert command is None or out.count(f"kvmlab {command}") >= 3


def test_examples_in_the_help_are_understood():
    for text in (cli.COMPARE_HELP, cli.EXPLAIN_HELP, cli.WHAT_IF_HELP, cli.DIFF_HELP, cli.LIVE_HELP, cli.CONVERT_HELP):
        examples = re.findall(
            r"kvmlab ((?:compare|explain|what-if|diff|live|convert)[^|>&\n]*)", text.partition("examples:")[2]
        )
        assert len(examples) >= 2
        for example in examples:
            assert callable(cli.parser().parse_args(example.split()).run)


@pytest.mark.parametrize("function", [kl.explain, kl.what_if, kl.compare_recordings])
def test_every_fact_is_documented(function):
    lines = fact_lines(function).splitlines()
    named = [name for line in lines if not line.startswith("      ") for name in line.strip().split(", ")]
    assert sorted(named) == sorted(fact_names(function))
    assert all(len(line) <= 100 for line in lines)


def test_version(run):
    assert run("--version") == (0, f"kvmlab {kl.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["compare", "nope"],
            "kvmlab: scenario: 'nope' is not allowed; it must be a file, or one of the presets isolated",
        ),
        (["compare", "none.toml"], "kvmlab: none.toml: cannot be read: No such file or directory"),
        (["compare", "--kernels", "rev9"], "kvmlab: kernel or policy: 'rev9' is not allowed; it must be one of v5.2"),
        (["compare", "--set", "host.hz=lots"], "kvmlab: Host.hz: 'lots' is not allowed"),
        (["compare", "--set", "host.isolated=4-1"], "kvmlab: host.isolated: '4-1' is not allowed"),
        (["compare", "--set", "tick_hz=3"], "kvmlab: field: 'tick_hz' is not allowed; it must be one of host,"),
        (["compare", "--set", "tick_hz"], "argument --set: 'tick_hz' is not allowed; it must be NAME=VALUE"),
        (
            ["live", "--waits-by", "mwait"],
            "kvmlab: waits_by: 'mwait' is not allowed; it must be one of hlt, pause, spin",
        ),
        (["live", "--timers", "0"], "kvmlab: timers: 0 is not allowed"),
        (["explain", "none.txt", "--table", "x"], "argument --table: invalid int value: 'x'"),
        (["diff", "a", "b", "--table", "0,x"], "argument --table: invalid two_numbers value: '0,x'"),
        (["explain", "none.txt", "--host-facts", "none.txt"], "kvmlab: no such file: none.txt"),
        (["live", "--timers", "many"], "argument --timers: invalid int value: 'many'"),
        (["convert", "x"], "the following arguments are required: --to"),
        (["convert", "x", "--to", "xml"], "argument --to: invalid choice: 'xml'"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        ([], "the following arguments are required: COMMAND"),
    ],
)
def test_bad_input_is_a_sentence_and_code_2(run, arguments, sentence):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert sentence in err
    assert "Traceback" not in err


def test_the_documentation_shows_what_is_printed(run):
    shown = re.findall(
        r"```console\n\$ kvmlab (.*)\n((?:.*\n)*?)```", (DOCS / "COMMANDS.md").read_text(encoding="utf-8")
    )
    assert shown
    for arguments, text in shown:
        code, out, _ = run(*arguments.split())
        assert code == 0
        assert [line.rstrip() for line in out.splitlines()] == text.splitlines()
