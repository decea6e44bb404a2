"""Scenarios as TOML files: what `kvmlab compare` reads, and the presets in data/scenarios.

    kernel = "v5.18"        # a name in KERNELS, or { release = "6.1.176", policy = "rev1" }
    duration_s = 1.0
    seed = 0

    [host]                  # fields of Host
    pcpus = 5
    isolated = "1-4"        # CPU numbers: a list, or text as the kernel writes it

    [[guest]]               # fields of Guest; once for each guest
    vcpus = 4
    [guest.workload]        # fields of Workload, of the guest above
    tick_hz = 1000

What is left out keeps its default. Costs are not read from such a file: they are the published ones.
"""

from __future__ import annotations

import codecs
import itertools
import os
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from kvmlab import data, kernels, policy
from kvmlab.kernels import KERNELS, Kernel
from kvmlab.scenario import checks
from kvmlab.scenario.costs import Costs
from kvmlab.scenario.guest import Guest, Workload
from kvmlab.scenario.host import MAX_PCPUS, Host
from kvmlab.scenario.scenario import Scenario

TOP = ("kernel", "duration_s", "seed", "trace_steps", "host", "guest")
CPU_FIELDS = ("isolated", "loaded", "pcpus")
MAX_BYTES = 1 << 20
"""A scenario file is small; a larger one is something else."""
MOST_CPUS = 100_000
"""A longer list of CPUs is a mistake: CPU numbers have five digits at most."""


def presets() -> dict[str, str]:
    """Return the names of the scenarios in data/scenarios, and what each is: the first line of its file."""
    files = sorted(data.path("scenarios").glob("*.toml"))
    return {file.stem: file.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for file in files}


def preset_path(name: str) -> Path:
    """Return the file of a preset; ValueError lists the names."""
    names = presets()
    if name not in names:
        raise checks.refusal("scenario", name, f"a file, or one of the presets {', '.join(names)}")
    return data.path("scenarios", f"{name}.toml")


def read_scenario(path: str | os.PathLike[str]) -> Scenario:
    """Read a scenario from a TOML file, or the preset of that name (a text without a dot or a slash).

    ValueError names the table, the key and what is allowed; OSError if the file cannot be read. The form of a file is
    shown at the top of kvmlab/scenario/files.py; ``kvmlab compare --list`` lists the presets.

    >>> import kvmlab as kl
    >>> kl.read_scenario("isolated").kernel.name
    'v5.18'
    """
    if isinstance(path, str) and re.fullmatch(r"[\w-]+", path) and not Path(path).exists():
        path = preset_path(path)
    file_path = checks.file_path("path", path)
    with file_path.open("rb") as file:
        raw = file.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise ValueError(f"{file_path.name}: more than {MAX_BYTES} bytes; a scenario file is smaller")
    if raw.startswith(codecs.BOM_UTF8):
        raise ValueError(f"{file_path.name}: it begins with a byte order mark; save it as UTF-8 without one")
    try:
        table = tomllib.loads(raw.decode("utf-8"))
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ValueError(f"{file_path.name}: this is not TOML: {error}") from None
    return scenario_from(table)


def scenario_from(table: Mapping[str, Any]) -> Scenario:
    """Return the scenario of a table as tomllib reads it; ValueError as `read_scenario`."""
    known("the file", table, TOP)
    guests = table.get("guest", [{}])
    guests = [guests] if isinstance(guests, dict) else guests
    if not isinstance(guests, list):
        raise checks.refusal("guest", guests, "[[guest]] tables")
    if len(guests) > MAX_PCPUS:
        raise checks.refusal("guest", f"{len(guests)} tables", f"at most {MAX_PCPUS} [[guest]] tables: one per pCPU")
    rest = {name: table[name] for name in ("duration_s", "seed", "trace_steps") if name in table}
    return Scenario(
        Host(**values("host", table.get("host", {}), Host)),
        tuple(guest_from(f"guest {i}", guest) for i, guest in enumerate(guests, 1)),
        kernel=kernel_from(table.get("kernel", "v5.18")),
        **rest,
    )


def guest_from(where: str, table: object) -> Guest:
    """Return the guest of one [[guest]] table; `where` is what an error calls it."""
    options = values(where, table, Guest)
    if "workload" in options:
        options["workload"] = Workload(**values(f"{where}, workload", options["workload"], Workload))
    return Guest(**options)


def kernel_from(value: Any) -> Kernel:
    """Return a kernel by name, or a release under a policy; ValueError for anything else."""
    if not isinstance(value, dict):
        return kernels.find(value)
    known("kernel", value, ("release", "policy", "name"))
    if not {"release", "policy"} <= set(value):
        raise checks.refusal("kernel", value, "a name, or a table with both release and policy")
    release = checks.instance("release", value["release"], str)
    name = checks.instance("name", value.get("name", f"{release} {value['policy']}"), str)
    return kernels.release(release, policy.find(value["policy"]), name=name)


def values(where: str, table: object, kind: type) -> dict[str, Any]:
    """Return the keys of a table, checked against the fields of a dataclass; lists become tuples, as the fields are."""
    if not isinstance(table, dict):
        raise checks.refusal(where, table, "a table")
    known(where, table, [field.name for field in fields(kind)])
    return {name: value_from(name, value) for name, value in table.items()}


def value_from(name: str, value: Any) -> Any:
    """Return a value as the dataclass wants it: CPU lists and lists as tuples."""
    if isinstance(value, str) and name in CPU_FIELDS:
        return cpu_list(name, value)
    if isinstance(value, list):
        return tuple(tuple(item) if isinstance(item, list) else item for item in value)
    return value


def known(where: str, table: Mapping[str, Any], allowed: Sequence[str]) -> None:
    """Raise ValueError for the first key that is not allowed."""
    for name in table:
        if name not in allowed:
            raise checks.refusal(f"{where}, key", name, f"one of {', '.join(allowed)}")


def cpu_list(field: str, text: str) -> tuple[int, ...]:
    """Return the CPU numbers of a list as the kernel writes it: "1,4-7" is (1, 4, 5, 6, 7), "" is ().

    Raises ValueError that names `field`. That a CPU is named twice is left to whoever knows how many there are, but
    more than `MOST_CPUS` are refused.
    """
    ranges = []
    for part in filter(None, text.strip().split(",")):
        ends = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", part.strip())
        if not ends or int(ends[2] or ends[1]) < int(ends[1]):
            raise checks.refusal(field, text, "a list of CPU numbers such as 1,4-7")
        ranges.append(range(int(ends[1]), int(ends[2] or ends[1]) + 1))
    if sum(map(len, ranges)) > MOST_CPUS:
        raise checks.refusal(field, text, f"a list of at most {MOST_CPUS} CPU numbers")
    return tuple(itertools.chain(*ranges))


def scenario_to_toml(scenario: Scenario) -> str:
    """Return the scenario as the text of a file that `read_scenario` reads; what is at its default is left out.

    Raises ValueError if such a file cannot name its costs (not the default ones) or its kernel.

    >>> import kvmlab as kl
    >>> print(kl.scenario_to_toml(kl.Scenario(kl.Host(pcpus=4, isolated=(2, 3)), kl.Guest(), seed=7)))
    kernel = "v5.18"
    seed = 7
    <BLANKLINE>
    [host]
    pcpus = 4
    isolated = [2, 3]
    <BLANKLINE>
    [[guest]]
    [guest.workload]
    <BLANKLINE>
    """
    checks.instance("scenario", scenario, Scenario)
    if scenario.costs != Costs.default():
        raise ValueError("costs: a scenario file holds the default costs only")
    lines = [f"kernel = {kernel_text(scenario.kernel)}"]
    lines += assignments(scenario, ("duration_s", "seed", "trace_steps"), Scenario)
    lines += ["", "[host]", *assignments(scenario.host, [field.name for field in fields(Host)], Host)]
    for guest in scenario.guests:
        names = [field.name for field in fields(Guest) if field.name != "workload"]
        lines += ["", "[[guest]]", *assignments(guest, names, Guest), "[guest.workload]"]
        lines += assignments(guest.workload, [field.name for field in fields(Workload)], Workload)
    return "\n".join(lines) + "\n"


def assignments(part: object, names: Iterable[str], kind: type) -> list[str]:
    """Return lines "name = value" for the fields that are not at their default."""
    defaults = {field.name: field.default for field in fields(kind)}
    there = {name: getattr(part, name) for name in names}
    return [f"{name} = {toml(value)}" for name, value in there.items() if value != defaults[name] and value is not None]


def kernel_text(kernel: Kernel) -> str:
    """Return a kernel as such a file names it; ValueError if it cannot."""
    if KERNELS.get(kernel.name) == kernel:
        return toml(kernel.name)
    release = kernel.name.split(" ")[0]
    for name, rule in policy.POLICIES.items():
        if kernel.policy is rule:
            try:
                same = kernels.release(release, rule, name=kernel.name) == kernel
            except ValueError:
                break
            if same:
                label = "" if kernel.name == f"{release} {name}" else f", name = {toml(kernel.name)}"
                return f"{{ release = {toml(release)}, policy = {toml(name)}{label} }}"
    raise ValueError(f"kernel: {kernel.name!r} is neither in KERNELS nor a release under a known policy")


def toml(value: object) -> str:
    """Return a value in TOML: a basic string, a boolean, a number, or an array."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return (
            '"'
            + "".join(
                character if character.isprintable() and character not in '"\\' else escaped(character)
                for character in value
            )
            + '"'
        )
    if isinstance(value, tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return repr(value)


def escaped(character: str) -> str:
    """Return one character as TOML escapes it."""
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"
