"""The state of a lab: text that Python and the browser read and write in the same way."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from kvmlab.lab import panels
from kvmlab.lab.panels.simulation import CONTROLS
from tests.strategies import few

NODE = shutil.which("node")
STATE = Path(panels.__file__).parents[1] / "web" / "state.js"
MAIN = """
const { readState, stateText } = await import(process.argv[1]);
const { controls, texts, settings } = JSON.parse((await import("node:fs")).readFileSync(0, "utf8"));
const read = (text) => { try { return readState(controls, text); } catch (error) { return error.message; } };
const written = settings.map((each) => stateText(controls, each));
process.stdout.write(JSON.stringify({ texts: written, read: texts.map(read) }));
"""
SETTINGS = st.fixed_dictionaries({name: st.sampled_from(control.values) for name, control in CONTROLS.items()})
PIECES = st.sampled_from(
    [
        *CONTROLS,
        "=",
        "vcpus=7",
        "vcpus=07",
        "hlt_in_guest=1",
        "apicv=True",
        "defaults",
        " ",
        "\n",
        "é",
        "=1",
        "constructor=1",
    ]
)
TEXTS = st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=6).map("".join)


def read(text: str) -> dict[str, panels.controls.Value] | str:
    try:
        return panels.read_state(text)
    except ValueError as error:
        return str(error)


@given(SETTINGS)
@few(100)
def test_a_state_brings_all_settings_back(settings):
    text = panels.state_text(settings)
    assert panels.read_state(text) == settings
    assert panels.read_state(f"  {text}\n") == settings


def test_a_state_says_what_differs_from_the_defaults():
    assert panels.state_text({**panels.defaults(), "vcpus": 7, "hlt_in_guest": True}) == "vcpus=7 hlt_in_guest=1"
    assert panels.state_text(panels.defaults()) == "defaults"
    assert panels.read_state("defaults") == panels.defaults()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", 'state: "" is not allowed; it must be name=value, such as vcpus=7, or defaults'),
        ("vcpus", 'state: "vcpus" is not allowed; it must be name=value, such as vcpus=7'),
        ("vcpu=7", 'state: control: "vcpu" is not allowed; it must be one of vcpus, tick_hz, '),
        ("vcpus=7 vcpus=8", 'state: "vcpus=8" is not allowed; it must be the only value of vcpus'),
        ("apicv=True", 'state: apicv: "True" is not allowed; it must be one of 0, 1'),
        ("x" * 100_000, f'state: "{"x" * 40}..." is not allowed'),
    ],
)
def test_a_text_that_is_no_state_is_refused_in_plain_words(text, error):
    assert str(read(text)).startswith(error)


def test_a_state_that_is_not_text_is_refused():
    with pytest.raises(ValueError, match="state: 7 is not allowed; it must be text"):
        panels.read_state(7)


@pytest.mark.skipif(NODE is None, reason="there is no Node here")
def test_the_browser_reads_and_writes_the_same():
    settings = []
    texts = ["", "defaults", "defaults defaults", "__proto__=1", "vcpus=7 __proto__=1"]

    @given(SETTINGS, TEXTS)
    @few(150)
    def draw(each, text):
        settings.append(each)
        texts.extend((text, panels.state_text(each), panels.state_text(each) + text))

    draw()
    handed = {"controls": {name: c.to_dict() for name, c in CONTROLS.items()}, "texts": texts, "settings": settings}
    command = [str(NODE), "--input-type=module", "-e", MAIN, str(STATE)]
    done = subprocess.run(command, input=json.dumps(handed), capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["texts"] == [panels.state_text(each) for each in settings]
    for text, got in zip(texts, answer["read"], strict=True):
        assert got == read(text), text
    assert sum(isinstance(got, str) for got in answer["read"]) > 100
