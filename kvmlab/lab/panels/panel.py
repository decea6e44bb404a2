"""A panel: a picture with controls that lives in the reader's browser, with a kernel and without."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import anywidget
import traitlets

from kvmlab.kernels import KERNELS, Kernel
from kvmlab.lab.panels import front_end
from kvmlab.lab.panels.controls import Settings, Value
from kvmlab.lab.panels.simulation import MACHINERY
from kvmlab.lab.panels.world import World
from kvmlab.policy import POLICIES, REVISIONS, Policy, Table
from kvmlab.scenario import checks

POLICY_CONTROLS = {"kernel": "kernels", "revision": "policies"}
"""The settings that say which policy is shown; a reader's own is one more value of theirs."""
NO_SCRIPT = "A panel of kvmlab. To bring it to life, run this cell (Shift+Enter)."


def some_policies(names: Sequence[str] | None) -> dict[str, Any]:
    """Return the option to show some revisions only, as `Panel` takes it. ValueError names one that there is not."""
    for name in names or ():
        checks.choice("policies", name, REVISIONS)
    return {"policies": list(names)} if names else {}


def some_controls(world: World, controls: Sequence[str] | None, first: Sequence[str] | None = None) -> dict[str, Any]:
    """Return the options to offer some controls only, and to show some at once. ValueError names one that is none."""
    for name in (*(controls or ()), *(first or ())):
        checks.choice("control", name, tuple(world.controls))
    return {name: list(value) for name, value in {"controls": controls, "first": first}.items() if value}


class Bridge(anywidget.AnyWidget):
    """The end of a panel that Python holds: what it is set to, and what its reader answers. It is never shown."""

    _esm = front_end.web("bridge.js")
    key = traitlets.Unicode().tag(sync=True)
    settings = traitlets.Dict().tag(sync=True)
    policy = traitlets.Any(None).tag(sync=True)
    answer = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    """What the reader has answered, from the browser."""
    told = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    """What Python tells the view."""


class Panel:
    """A panel in a notebook or on a page.

    What a cell shows is an HTML output with the whole front end in it. It runs in the reader's browser, so it goes on
    without a kernel, also after the notebook was closed and opened again. While there is a kernel, a bridge keeps
    `settings` the same on both sides.

    >>> from kvmlab import panels
    >>> panel = panels.stage_panel()
    >>> panel.settings = {"kernel": "v5.2"}
    >>> panel.settings["kernel"]
    'v5.2'
    """

    def __init__(
        self,
        kind: str,
        world: World,
        settings: Settings | None = None,
        options: Mapping[str, Any] | None = None,
        policy: Policy | None = None,
    ) -> None:
        """Make a panel.

        `kind`: which view of `web/` it shows. `settings`: those that differ from the defaults. `options`: what the view
        leaves open; policies: the revisions to show (`some_policies`). `policy`: a reader's own, asked once for all 32
        inputs. ValueError for a setting that no control can have, a policy that fails or does not answer
        (`kvmlab.policy.PATIENCE_S`), or one that has the name of a revision.
        """
        self.kind = kind
        self.world = world
        self.options = dict(options or {})
        self.key = uuid.uuid4().hex
        self._policy: Policy | None = None
        self._policy_data: dict[str, Any] | None = None
        self._bridge: Bridge | None = None
        self._told: dict[str, Any] | None = None
        self._settings = world.defaults
        if policy is not None:
            self.policy = policy
        self._settings = {**world.defaults, **self.checked(settings or {})}
        self._first = dict(self._settings)

    def __repr__(self) -> str:
        changed = {name: value for name, value in self.settings.items() if value != self.world.defaults.get(name)}
        said = ", ".join(f"{name}={value!r}" for name, value in changed.items())
        return f"Panel {self.kind}: {said or 'all controls at their defaults'}"

    # --- what it is set to ---

    @property
    def settings(self) -> dict[str, Value]:
        """What each control says, by its name. Setting some of them moves these controls.

        ValueError names a control that does not exist, or a value that it cannot have.
        """
        return {**self._settings, **self._bridge.settings} if self._bridge else dict(self._settings)

    @settings.setter
    def settings(self, values: Settings) -> None:
        self._settings = {**self.settings, **self.checked(values)}
        if self._bridge:
            self._bridge.settings = dict(self._settings)

    @property
    def moved(self) -> bool:
        """True if some control does not say what it said when the panel was made."""
        return self.settings != self._first

    @property
    def answer(self) -> dict[str, Any] | None:
        """What the reader has answered in the panel, as its view says it; None without an answer."""
        answer: dict[str, Any] | None = self._bridge.answer if self._bridge else None
        return answer

    def tell(self, message: dict[str, Any]) -> None:
        """Tell the panel's view something, now and whenever it is shown again."""
        self._told = message
        if self._bridge:
            self._bridge.told = message

    def checked(self, values: Settings) -> Settings:
        """Return the values if the controls can have them."""
        for name, option in (POLICY_CONTROLS | {"reason": "reasons"}).items():
            offered = self.options.get(option)
            if offered and name in values and values[name] != self.policy_name:
                checks.choice(name, values[name], offered)
        own = {name: value for name, value in values.items() if name in POLICY_CONTROLS and value == self.policy_name}
        self.world.complete({name: value for name, value in values.items() if name not in own})
        return values

    @property
    def policy(self) -> Policy | None:
        """The reader's own policy; None without one. Setting it takes effect at once."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy | None) -> None:
        if policy is not None and policy.__name__ in POLICIES and POLICIES[policy.__name__] is not policy:
            raise ValueError(
                f"policy: {policy.__name__!r} is the name of a revision; give your function another name, such as "
                "my_policy"
            )
        shown = self._policy is not None and self.settings.get("kernel") == self.policy_name
        self._policy_data = None if policy is None else {"name": policy.__name__, **front_end.policy_data(policy)}
        self._policy = policy
        if self._bridge:
            self._bridge.policy = self._policy_data
        if shown:  # the kernel with the old policy is no more
            self.settings = {"kernel": self.policy_name or self.world.defaults["kernel"]}

    @property
    def policy_name(self) -> str | None:
        """What the reader's own policy is called; None without one."""
        return None if self._policy is None else self._policy.__name__

    def own_kernel(self, name: Value) -> Kernel | None:
        """Return the reader's policy in the machinery of `MACHINERY` if that is what `name` stands for; else None.

        It answers as it did when it was asked.
        """
        if self._policy_data is None or name != self.policy_name:
            return None
        return KERNELS[MACHINERY].with_policy(str(name), Table(self._policy_data["bits"]))

    # --- what is shown ---

    def place(self, *, bridged: bool = True) -> str:
        """Return the element that the front end fills, in HTML; `bridged`: it is to find this panel's bridge."""
        spec: dict[str, Any] = {"panel": self.kind, "settings": self.settings, "options": self.options}
        if self._policy is not None:
            spec["policy"] = self._policy_data
        if bridged:
            spec["key"] = self.key
        said = escape(json.dumps(spec, separators=(",", ":")), quote=True)
        return (
            f'<div class="kvmlab" data-lm-suppress-shortcuts="true" data-panel="{said}">'
            f'<p>{escape(NO_SCRIPT)} <code>{escape(repr(self))}</code></p><div class="still">{self.still()}</div></div>'
        )

    def still(self) -> str:
        """Return what the panel shows of its settings as a little HTML (`still.py`), for where no script runs.

        Nothing where it would take a simulation: showing a panel costs the kernel no time and loads nothing.
        """
        return ""

    def bridge(self) -> Bridge:
        """Return a new bridge to the browser."""
        return Bridge(key=self.key, settings=dict(self._settings), policy=self._policy_data, told=self._told)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        """Return the panel with the front end, and open the bridge."""
        if self._bridge is None:
            self._bridge = self.bridge()
        html = f'{self.place()}<script type="module">{front_end.script()}</script>'
        return {"text/html": html, "text/plain": repr(self)}
