"""The front end of the panels as one script: the files of `web/`, joined, and everything that Python hands over to it.

A page gets it once (`script`); a notebook gets it with each output that is shown by a kernel.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import zlib
from importlib import resources
from typing import Any

import numpy as np

from kvmlab.engine import build, execute, setup
from kvmlab.engine.layout import CONSTANT, description
from kvmlab.kernels import KERNELS
from kvmlab.lab.panels.decision_chart import FACTS, chart_data
from kvmlab.lab.panels.door_host import DOOR, door_data
from kvmlab.lab.panels.exit_costs import EXITS_WORLD, anatomy_data
from kvmlab.lab.panels.move_world import MOVE, move_data
from kvmlab.lab.panels.one_timer import TIMER
from kvmlab.lab.panels.porter_host import PORTER
from kvmlab.lab.panels.rounds import GAME
from kvmlab.lab.panels.simulation import EVENTS, HOST, LONGEST_NS, MACHINERY
from kvmlab.model.draws import HIST_BINS, histogram_edges
from kvmlab.model.names import EXITS, FAST, PLACES, Place, State, Trace
from kvmlab.model.one_timer import HOUSEKEEPING_CPU
from kvmlab.policy import POLICIES, Policy, Table, VcpuFacts, can_use_hv_timer, table_bits, terms
from kvmlab.results import follow, story
from kvmlab.scenario.costs import Costs

IMPORT = re.compile(r"^import (\{[^}]*\}) from \"\./(\w+)\.js\";\n", re.M)
COMMENT = re.compile(r"^[ \t]*(?:/\*\*(?:(?!\*/).)*\*/|//[^\n]*)[ \t]*\n", re.M | re.S)
"""A comment that has its lines to itself; a page does without it, and without indentation."""
INDENT = re.compile(r"^[ \t]+", re.M)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|const|class) (\w+))", re.M)
REASONS = ("MSR_WRITE", "PREEMPTION_TIMER", "EXTERNAL_INTERRUPT", "HLT", "PAUSE_INSTRUCTION", "EPT_MISCONFIG")
"""The exits in the order in which bars show them: what the timer costs comes first."""
assert set(REASONS) == set(EXITS)
WORLDS = {
    "timer": TIMER,
    "host": HOST,
    "facts": FACTS,
    "door": DOOR,
    "porter": PORTER,
    "game": GAME,
    "exits": EXITS_WORLD,
    "move": MOVE,
}


def web(name: str) -> str:
    """Read a file of `web/`, which is part of the package."""
    return (resources.files("kvmlab.lab") / "web" / name).read_text(encoding="utf-8")


def joined(main: str) -> str:
    """Return a module of `web/` and all that it imports, as one piece of JavaScript: a constant for each file.

    `main.js` becomes ``const main_js = (() => { ...; return { mount }; })()``; each stands after those that it needs.
    """
    done: dict[str, str] = {}

    def add(name: str) -> None:
        if name in done:
            return
        text = web(f"{name}.js")
        for _, needed in IMPORT.findall(text):
            add(needed)
        body = IMPORT.sub(r"const \1 = \2_js;\n", INDENT.sub("", COMMENT.sub("", text)))
        exported = ", ".join(EXPORT.findall(body))
        done[name] = f"const {name}_js = (() => {{\n{EXPORT.sub('', body)}\nreturn {{ {exported} }};\n}})();"

    add(main)
    return "\n".join(done.values())


def packed(data: bytes) -> str:
    """Return bytes as text: zlib, then base64."""
    return base64.b64encode(zlib.compress(data, 9)).decode()


def packed_numbers(numbers: np.ndarray) -> str:
    """Return whole numbers of 32 bits as text: packed differences, which are small where numbers ascend."""
    return packed(np.diff(numbers, prepend=0).astype("<i4").tobytes())


def policy_data(policy: Policy) -> dict[str, Any]:
    """Return a policy as the browser gets it, each with the answers to all 32 inputs.

    Keys: bits, the policy's own; hv, whether the preemption timer, if there is one, may be used; terms, each with its
    text and its bits.
    """
    bits = table_bits(policy)  # before its terms, so that an error names the policy
    known = Table(bits)
    each = [
        {"text": term.text, "bits": bits if term.holds is policy else table_bits(term.holds)} for term in terms(policy)
    ]
    hv = table_bits(lambda facts: can_use_hv_timer(facts, known(facts)))
    return {"bits": bits, "hv": hv, "terms": each}


def story_data() -> dict[str, Any]:
    """Return what the browser tells a timer's story with: all of it from the model and `kvmlab.results.story`."""
    codes = {step.name: int(step) for step in Trace}
    functions = {
        name: [follow.function_name(kernel, code) for code in range(len(Trace))] for name, kernel in KERNELS.items()
    }
    return {
        "sentences": [story.SENTENCES.get(code, "") for code in range(len(Trace))],
        "functions": functions,
        "codes": {**codes, "PLACE_HV": int(Place.HV)},
        "ranks": [follow.rank(code) for code in range(len(Trace))],
        "exits": list(EXITS),
        "fast": FAST,
        "found": {state.name.lower(): int(state) for state in State},
        "armed": {str(name).replace("None", "null"): text for name, text in story.ARMED.items()},
        "fires": dict(story.PLACE),
        "came": dict(story.CAME),
        "nothing": story.NOTHING,
        "expiry_exits": {int(place): reason.name for place, reason in follow.EXPIRY_EXITS.items()},
        "deliveries": {int(place): text for place, text in follow.DELIVERIES.items()},
        "housekeeping_cpu": HOUSEKEEPING_CPU,
        "names": {**follow.CPU_NAMES, "guest": follow.GUEST_NAME},
    }


def data() -> str:
    """Return everything that the front end is handed over, as JSON."""
    module = execute.module() or build.translated()
    costs = {"costs": Costs.default(), "mean_costs": follow.mean_costs()}
    constant = {name: packed_numbers(cost.stacked().reshape(-1)) for name, cost in costs.items()}
    lows = [low for low in (histogram_edges(i)[0] for i in range(HIST_BINS)) if low < 1 << 31]
    handed = {
        "layout": description(),
        "module": packed(module),
        "constant": {**constant, "exponential": packed_numbers(setup.exponential_table())},
        "bin_lows": packed_numbers(np.array(lows)),
        "worlds": {name: world.to_dict() for name, world in WORLDS.items()},
        "decision": chart_data(),
        "anatomy": anatomy_data(),
        "move": move_data(),
        "door": door_data(),
        "story": story_data(),
        "names": {"exits": list(EXITS), "places": list(PLACES)},
        "reasons": list(REASONS),
        "facts": list(VcpuFacts._fields),
        "kernels": {name: kernel.policy.__name__ for name, kernel in KERNELS.items()},
        "machinery": MACHINERY,
        "budget": {"events": EVENTS, "longest_ns": LONGEST_NS},
        "policies": {name: policy_data(policy) for name, policy in POLICIES.items()},
        "css": web("kvmlab.css"),
    }
    assert set(constant) | {"exponential"} >= {*CONSTANT}
    return json.dumps(handed, separators=(",", ":"))


@functools.cache
def script() -> str:
    """Return the whole front end as a module script: it fills every place of a panel on the page.

    It is packed, which makes it half as long: a notebook has one for each panel that it shows.
    """
    body = web("start.js")
    for name, text in {"the front end, packed": joined("main"), "the data, packed": data()}.items():
        body = body.replace(name, packed(text.encode()))
    return INDENT.sub("", COMMENT.sub("", body))
