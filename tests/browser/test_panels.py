"""Every panel in JupyterLab: all controls by keyboard, a drag, Python's settings, a notebook that is opened again."""

from __future__ import annotations

import json

import nbformat
import pytest

from tests.browser.accessibility import violations
from tests.browser.keyboard import AT_REST, PICTURE, cell, panel_in, state, sweep
from tests.browser.test_lessons import MINUTE, RUN_ALL, SCREENSHOTS, SHUTDOWN, Complaints, open_notebook

pytestmark = pytest.mark.browser

PANELS = {
    "stage": "stage_panel()",
    "counts": "counts_panel()",
    "decision": "decision_panel()",
    "door": "door_panel()",
    "porter": "porter_panel()",
    "anatomy": "anatomy_panel()",
    "move": "move_panel()",
    "lab": "lab_panel(my_policy)",
}
"""Those with controls. The others have their own way to be moved."""
WITHOUT_CONTROLS = {
    "game": "game_panel()",
    "predict": "predict_panel('L00-P9', 'How many exits?', unit='exits', low=0, high=10)",
    "history": "history_panel()",
}
POLICY = "def my_policy(v):\n    return v.apicv_active and not v.housekeeping_cpu"
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
PRINTED = "() => [...document.querySelectorAll('.jp-OutputArea-output pre')].map(each => each.textContent)"
RUN_CELL = """async (number) => {
    const { content } = jupyterapp.shell.currentWidget;
    content.activeCellIndex = number;
    await jupyterapp.commands.execute('notebook:run-cell');
}"""
SAVE = "() => jupyterapp.shell.currentWidget.context.save()"
BRIDGED = "() => [...document.querySelectorAll('.kvmlab')].every(host => host.kvmlab?.model)"
ALIVE = """() => {
    const all = [...document.querySelectorAll('.kvmlab')];
    return all.length && all.every((host) => host.kvmlab?.drawn);
}"""
THEME = """async (name) => {
    await jupyterapp.commands.execute('apputils:change-theme', { theme: `JupyterLab ${name}` });
}"""
THEMED = """(theme) => !document.getElementById('jupyterlab-splash')
    && [...document.querySelectorAll('.kvmlab')].every((host) => host.kvmlab.element.dataset.theme === theme)"""
SERIOUS = ("serious", "critical")
STUCK_POLICY = "def stuck(v):\n    while True:\n        pass"
PRINT, SET, OTHER_POLICY, REVEAL, STUCK = (1 + len(PANELS) + len(WITHOUT_CONTROLS) + i for i in range(5))
"""The cells after the panels."""


def make_gallery(lab):
    """A notebook with all panels, each named, a cell that prints their settings, and cells that speak to some."""
    cells = [f"import json\nfrom kvmlab import panels\n{POLICY}"]
    cells += [f"{name} = panels.{call}\n{name}" for name, call in {**PANELS, **WITHOUT_CONTROLS}.items()]
    cells.append(f"print(json.dumps([panel.settings for panel in ({', '.join(PANELS)},)]))")
    cells.append("stage.settings = {'kernel': 'v5.2', 'hlt_in_guest': True}")
    cells.append("def other(v):\n    return False\nlab.policy = other")
    cells.append("predict.reveal(4)")
    cells.append(f"{STUCK_POLICY}\ntry:\n    lab.policy = stuck\nexcept ValueError as error:\n    print(error)")
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata={"kernelspec": KERNEL}
    )
    nbformat.write(notebook, lab.root / "gallery.ipynb")


@pytest.fixture(scope="module")
def gallery(browser, jupyterlab):
    """A page with all panels, run up to the last cell but two."""
    SCREENSHOTS.mkdir(exist_ok=True)
    make_gallery(jupyterlab)
    with browser.new_page(viewport={"width": 1366, "height": 768}) as page:
        page.set_default_timeout(MINUTE)
        page.complaints = Complaints(page)
        open_notebook(page, jupyterlab, "gallery.ipynb")
        page.evaluate(RUN_ALL)
        page.wait_for_function("window.lesson", timeout=3 * MINUTE)
        page.wait_for_function(BRIDGED)
        yield page
        page.evaluate(SHUTDOWN)


@pytest.fixture(params=enumerate(PANELS, start=1), ids=list(PANELS))
def panel(gallery, request):
    number, name = request.param
    found = panel_in(gallery, number)
    found.screenshot(path=SCREENSHOTS / f"panel-{name}.png")
    return found


def test_every_control_moves_by_keyboard(gallery, panel):
    cells = gallery.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.length")
    assert sweep(gallery, panel) > 2
    assert gallery.complaints == []
    assert gallery.evaluate("() => jupyterapp.shell.currentWidget.content.widgets.length") == cells, (
        "a key reached JupyterLab"
    )


def move_by_mouse(panel):
    """Click on a switch, or into a slider away from where it stands."""
    switch = panel.locator(".controls .switch input:visible").first
    if switch.count():
        switch.click()
    else:
        slider = panel.locator(".controls input[type=range]:visible").first
        at_end = slider.evaluate("c => Number(c.value) > Number(c.max) / 2")
        box = slider.bounding_box()
        slider.click(position={"x": 6 if at_end else box["width"] - 6, "y": box["height"] / 2})


def test_a_control_moves_by_mouse(gallery, panel):
    before = state(panel)
    move_by_mouse(panel)
    after = state(panel)
    assert after[0] > before[0]
    assert after[3] != before[3]


def test_it_fits_a_projector_with_its_main_controls(gallery, panel):
    gallery.set_viewport_size({"width": 853, "height": 480})
    gallery.evaluate(AT_REST)
    seen = panel.evaluate(
        """host => {
            const box = (e) => e.getBoundingClientRect();
            const first = [...host.shadowRoot.querySelectorAll('.controls > .control')].slice(0, 3).map(box);
            const picture = box(host.shadowRoot.querySelector('.picture svg'));
            const all = [picture, ...first];
            return Math.max(...all.map((b) => b.bottom)) - Math.min(...all.map((b) => b.top));
        }"""
    )
    gallery.set_viewport_size({"width": 1366, "height": 768})
    assert seen <= 359, "what JupyterLab shows of a cell on 1280 x 720 at 150 %"


def change_theme(page, name):
    """Change it, and wait for JupyterLab's splash to go: one that goes while the next comes is an error of its own."""
    page.evaluate(THEME, name.title())
    page.wait_for_function(THEMED, arg=name)


@pytest.fixture(scope="module", params=["dark", "light"])
def theme(gallery, request):
    """JupyterLab in each theme in turn, and the panels with it."""
    change_theme(gallery, request.param)
    yield request.param
    change_theme(gallery, "light")


@pytest.mark.parametrize(("number", "name"), [*enumerate((*PANELS, *WITHOUT_CONTROLS), start=1)])
def test_axe_finds_nothing_serious(gallery, theme, number, name):
    panel = panel_in(gallery, number)
    panel.screenshot(path=SCREENSHOTS / f"panel-{name}-{theme}.png")
    found = violations(gallery, {"include": [[f"{cell(number)} .kvmlab"]]})
    assert [each for each in found if each[0] in SERIOUS] == []


@pytest.fixture
def forced(gallery):
    """The gallery in the reader's own colours."""
    gallery.emulate_media(forced_colors="active")
    yield gallery
    gallery.emulate_media(forced_colors="none")


def test_in_forced_colours_nothing_is_lost(forced):
    colours = (
        "(e) => { const s = getComputedStyle(e); return [s.fill, s.backgroundColor, s.borderLeftColor, s.color]; }"
    )
    for number, name in enumerate((*PANELS, *WITHOUT_CONTROLS), start=1):
        panel_in(forced, number).screenshot(path=SCREENSHOTS / f"panel-{name}-forced.png")
    decision = panel_in(forced, list(PANELS).index("decision") + 1)
    chosen, other = (
        decision.locator(which).first.evaluate(colours) for which in (".revision.chosen", ".revision:not(.chosen)")
    )
    assert chosen[2] != other[2], "the chosen revision is told by its border"
    counts = panel_in(forced, list(PANELS).index("counts") + 1)
    bars = {counts.locator(f".bar.{name}").first.evaluate(colours)[0] for name in ("before", "rev1", "rev2", "rev3")}
    assert len(bars) == 4, "the colours of revisions stay"
    text = counts.locator("text.title").first.evaluate(colours)[0]
    assert text == counts.evaluate("host => getComputedStyle(host.kvmlab.say).color"), "text has the reader's colour"
    stage = panel_in(forced, list(PANELS).index("stage") + 1)
    _, behind, _, icon = stage.locator("button.play").evaluate(colours)
    assert behind != icon
    predict = panel_in(forced, len(PANELS) + list(WITHOUT_CONTROLS).index("predict") + 1)
    bar, around = (predict.locator(which).first.evaluate(colours)[1] for which in (".fill", ".groove"))
    assert bar != around, "the guess is a bar"


def test_settings_are_said_once(gallery):
    """The sentence is live when a control moves, what is under the picture when the reader steps: never both."""
    for name in ("stage", "door", "porter"):
        panel = panel_in(gallery, list(PANELS).index(name) + 1)
        said = panel.locator(".say[role=status]")
        assert said.count() == 1
        step = panel.locator(".step")
        move_by_mouse(panel)
        assert step.get_attribute("aria-live") == "off", name
        panel.get_by_label("one step back").click()
        assert step.get_attribute("aria-live") == "polite", name
        assert step.inner_text().strip()
        label = panel.locator(".picture svg[role=img]").get_attribute("aria-label")
        assert said.text_content().split(": ", 1)[-1].rstrip(".") in label, "the picture has a text"


def test_python_knows_what_the_reader_has_set(gallery):
    panel = panel_in(gallery, 1)
    panel.evaluate("host => host.kvmlab.moved({ kernel: 'v6.18', mwait_in_guest: true })")
    gallery.wait_for_timeout(300)
    gallery.evaluate(RUN_CELL, PRINT)
    gallery.wait_for_function(
        "() => [...document.querySelectorAll('.jp-OutputArea-output pre')].some(e => e.textContent.includes('v6.18'))"
    )
    printed = [json.loads(text) for text in gallery.evaluate(PRINTED) if "v6.18" in text]
    assert printed[0][0] == panel.evaluate("host => host.kvmlab.settings")


def test_the_panel_follows_python(gallery):
    panel = panel_in(gallery, 1)
    gallery.evaluate(RUN_CELL, SET)
    gallery.wait_for_function("() => document.querySelector('.kvmlab').kvmlab.settings.kernel === 'v5.2'")
    assert "v5.2" in state(panel)[2]
    assert panel.locator(".controls select").first.evaluate("s => s.selectedOptions[0].textContent") == "v5.2 (before)"


def test_a_policy_that_is_defined_again_takes_effect(gallery):
    panel = panel_in(gallery, list(PANELS).index("lab") + 1)
    assert "other" in state(panel)[2] or "my_policy" in state(panel)[2]
    gallery.evaluate(RUN_CELL, OTHER_POLICY)
    gallery.wait_for_function("host => host.kvmlab.say.textContent.includes('other')", arg=panel.element_handle())
    assert "my_policy" not in state(panel)[2]


def test_a_policy_that_loops_for_ever_freezes_nothing(gallery):
    panel = panel_in(gallery, list(PANELS).index("lab") + 1)
    gallery.evaluate(RUN_CELL, STUCK)
    gallery.wait_for_function(f"() => ({PRINTED})().some((text) => text.includes('policy stuck has not answered'))")
    assert "stuck" not in state(panel)[2]
    gallery.evaluate(RUN_CELL, PRINT)
    before = state(panel)
    panel.locator(".controls .switch input").first.click()
    assert state(panel)[0] > before[0]


def test_a_prediction_is_revealed_after_it_was_made(gallery):
    panel = panel_in(gallery, len(PANELS) + list(WITHOUT_CONTROLS).index("predict") + 1)
    before = panel.evaluate("host => host.shadowRoot.textContent")
    gallery.evaluate(RUN_CELL, REVEAL)
    gallery.wait_for_timeout(300)
    assert panel.evaluate("host => host.shadowRoot.textContent") == before, "nothing is shown before the guess"
    panel.locator("[role=slider]").first.focus()
    gallery.keyboard.press("ArrowRight")
    panel.get_by_text("This is my guess").click()
    gallery.wait_for_function("host => host.kvmlab.view.state().told", arg=panel.element_handle())
    assert "It is 4 exits" in panel.evaluate("host => host.shadowRoot.textContent")


def test_the_keys_that_run_a_cell_run_a_panel_s_too_and_its_guess_stays(gallery):
    number = len(PANELS) + list(WITHOUT_CONTROLS).index("predict") + 1
    panel = panel_in(gallery, number)
    gallery.evaluate("n => { jupyterapp.shell.currentWidget.content.activeCellIndex = n; }", number)
    guess = panel.evaluate("host => { host.old = true; return host.kvmlab.view.state().guess; }")
    panel.locator("[role=slider]").first.focus()
    gallery.keyboard.press("Shift+Enter")
    gallery.wait_for_function("n => jupyterapp.shell.currentWidget.content.activeCellIndex === n + 1", arg=number)
    gallery.wait_for_function(
        """n => {
            const cell = jupyterapp.shell.currentWidget.content.widgets[n].node;
            const host = cell.querySelector('.kvmlab');
            return host && !host.old && host.kvmlab?.model && host.kvmlab.view.state().phase === 'made';
        }""",
        arg=number,
    )
    assert panel_in(gallery, number).evaluate("host => host.kvmlab.view.state().guess") == guess


def test_the_game_is_played_by_keys(gallery):
    panel = panel_in(gallery, len(PANELS) + list(WITHOUT_CONTROLS).index("game") + 1)
    panel.locator("button").first.focus()
    rounds = panel.evaluate("host => host.kvmlab.view.state().rounds.length")
    for _ in range(rounds):
        gallery.keyboard.press("2")
        gallery.keyboard.press("Enter")
    chosen = panel.evaluate("host => host.kvmlab.view.state().chosen")
    assert len(chosen) == rounds
    assert state(panel)[1] == ""


def test_the_history_is_walked_by_keys(gallery):
    panel = panel_in(gallery, len(PANELS) + list(WITHOUT_CONTROLS).index("history") + 1)
    shown = panel.evaluate("host => host.kvmlab.spec.options.beads.map((bead) => bead.id)")
    panel.locator("[role=slider]").focus()
    seen = [panel.evaluate("host => host.kvmlab.view.state().selected")]
    sentences = {state(panel)[2]}
    for _ in shown[1:]:
        gallery.keyboard.press("ArrowLeft")
        seen.append(panel.evaluate("host => host.kvmlab.view.state().selected"))
        sentences.add(state(panel)[2])
    assert seen == shown[::-1]
    assert len(sentences) == len(shown)
    assert gallery.complaints == []


def test_what_goes_wrong_is_shown_and_the_panel_recovers(gallery):
    panel = panel_in(gallery, 2)
    picture = panel.evaluate(PICTURE)
    panel.evaluate("host => host.kvmlab.set({ vcpus: 99 }, false)")
    assert state(panel)[1] != ""
    assert panel.evaluate(PICTURE) == picture
    panel.evaluate("host => host.kvmlab.set({ vcpus: 4 }, false)")
    assert state(panel)[1] == ""


def test_of_many_moves_in_a_frame_the_last_is_drawn(gallery, panel):
    before, after, settings = panel.evaluate(
        """async host => {
            const { kvmlab: panel, dataset } = host;
            const [name] = panel.names;
            const { values } = panel.world.controls[name];
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
            const before = Number(dataset.serial);
            for (let i = 0; i < 20; i += 1) panel.moved({ [name]: values[(i + 1) % values.length] });
            panel.moved({ [name]: values[0] });
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame);
            return [before, Number(dataset.serial), panel.settings[name] === values[0]];
        }"""
    )
    assert settings is True
    assert after - before == 2, "the first at once, the last with the next frame"


def test_drawing_does_not_ask_where_anything_stands(gallery, panel):
    asked = panel.evaluate(
        """host => {
            const { kvmlab: panel } = host;
            const [name] = panel.names;
            const { values } = panel.world.controls[name];
            let asked = [];
            const undo = [];
            for (const key of ["clientWidth", "clientHeight", "scrollWidth", "scrollLeft", "getBoundingClientRect"]) {
                const usual = Object.getOwnPropertyDescriptor(Element.prototype, key);
                const noting = { ...usual };
                if (usual.get) noting.get = function () { asked.push(key); return usual.get.call(this); };
                else noting.value = function () { asked.push(key); return usual.value.call(this); };
                Object.defineProperty(Element.prototype, key, noting);
                undo.push(() => Object.defineProperty(Element.prototype, key, usual));
            }
            for (const value of [...values, values[0]]) panel.set({ [name]: value }, false);
            for (const each of undo) each();
            return asked;
        }"""
    )
    assert asked == []


def test_memory_does_not_grow(gallery):
    panel = panel_in(gallery, 2)
    moves = """(host) => {
        const { values } = host.kvmlab.world.controls.tick_hz;
        for (let i = 0; i < 1000; i += 1) host.kvmlab.set({ tick_hz: values[i % 4], vcpus: 1 + (i % 4) }, false);
        return host.kvmlab.tools.engine.memory.buffer.byteLength;
    }"""
    nodes = "host => host.shadowRoot.querySelectorAll('*').length"
    first = panel.evaluate(moves), panel.evaluate(nodes)
    assert (panel.evaluate(moves), panel.evaluate(nodes)) == first


def test_an_opened_notebook_is_alive_without_a_kernel(gallery, jupyterlab):
    gallery.evaluate(SAVE)
    gallery.wait_for_function("() => !jupyterapp.shell.currentWidget.content.model.dirty")
    gallery.evaluate(SHUTDOWN)
    gallery.goto(jupyterlab.page("gallery.ipynb"))
    gallery.wait_for_function(ALIVE)
    assert gallery.get_by_text("Error displaying widget").count() == 0
    panel = panel_in(gallery, 2)
    before = state(panel)
    panel.locator(".controls .switch input").first.click()
    assert state(panel)[0] > before[0]
