"""You are KVM: a guest arms a timer, the reader decides who fires it, the model answers what that costs, and whom."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kvmlab.lab.panels.controls import Settings, Value
from kvmlab.lab.panels.one_timer import TIMER
from kvmlab.lab.panels.panel import Panel, some_policies
from kvmlab.lab.panels.rounds import CASES, CHOICES, GAME, ROUNDS, SEEDS, drawn
from kvmlab.policy import Policy
from kvmlab.scenario import checks


def unusual(settings: Settings) -> dict[str, Value]:
    """Return the settings of one timer that are not the defaults: the browser knows those."""
    return {name: value for name, value in settings.items() if value != TIMER.defaults[name]}


class Game(Panel):
    """The panel that `game_panel` makes."""

    @property
    def cases(self) -> list[dict[str, Any]]:
        """The rounds of this seed: guest, and settings as `kvmlab.follow_timer` takes them."""
        return [CASES[i] for i in self.options["draws"][int(self.settings["seed"])]]

    @property
    def score(self) -> dict[str, dict[str, Any]] | None:
        """Outcome by player (you, and each policy); None until the last round has been played.

        Keys of each: exits (at expiries), extra_ns (time that guests lost beyond the best choice), housekeeping_ns
        (time of the housekeeping CPU), paid (extra_ns by guest).
        """
        answer = self.answer or {}
        return answer.get("score") if answer.get("seed") == self.settings["seed"] else None


def game_panel(
    policy: Policy | None = None, *, rounds: int = ROUNDS, seed: int = 0, policies: Sequence[str] | None = None
) -> Game:
    """Return the game "you are KVM": decide who fires a guest's timer; the model answers what it costs, and whom.

    - `policy`: a reader's own, which plays along beside the revisions.
    - `rounds`: 1 to the number of cases.
    - `seed`: which cases come, and in which order; the same for everybody who takes it.
    - `policies`: names of the revisions that play along; all unless told.

    ValueError names what is not allowed.

    >>> from kvmlab import panels
    >>> game = panels.game_panel(seed=3)
    >>> [case["guest"] for case in game.cases][:2]
    ['the ordinary guest', 'the poller']
    >>> game.score is None
    True
    """
    checks.whole("rounds", rounds, 1, len(CASES))
    options: dict[str, Any] = {
        "choices": [{"name": name, **choice} for name, choice in CHOICES.items()],
        "cases": [{"guest": case["guest"], "settings": unusual(case["settings"])} for case in CASES],
        "draws": [drawn(each, rounds) for each in SEEDS],
        **some_policies(policies),
    }
    return Game("game", GAME, {"seed": seed}, options, policy)
