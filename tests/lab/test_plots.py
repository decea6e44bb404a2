"""The figures say what they show, in words and in marks, and nothing in them lies on top of anything else."""

from __future__ import annotations

import io
import itertools

import matplotlib
import pandas as pd
import pytest
from matplotlib.text import Text
from PIL import Image

import kvmlab as kl
from kvmlab import data
from kvmlab.lab import plots
from kvmlab.scenario import published

BUSY = kl.Scenario(kl.Host(housekeeping="timers"), (kl.Guest(hlt_in_guest=True, mwait_in_guest=True),), duration_s=2)
TABLE = kl.policy.truth_table
GUESTS = kl.three_guests(duration_s=0.2)
RECORDED = data.path("recorded", "perf-kvm-stat.pi0_all.txt")
POLICIES = ["before", "rev1", "rev2", "rev3"]
COMPARED = kl.compare_guests(GUESTS, POLICIES)


def always(v):
    return True


@pytest.fixture(scope="module")
def runs():
    return {name: kl.simulate(BUSY.replace(kernel=name)) for name in ("v5.2", "v5.3")}


@pytest.fixture(scope="module")
def pictures(runs):
    recorded = pd.DataFrame(
        {"period_us": [1000.0, 2000.0], "share": [0.24, 0.49], "cpu0_background": ["tick only", "tick only"]}
    )
    rows = published.published_table()
    return {
        "exits": plots.exits_by_reason(kl.compare(BUSY, ["before", "rev1", "rev2", "rev3"]), title="Exits"),
        "latencies": plots.latencies(runs, title="Latency"),
        "longest": plots.longest_exit(rows, guesses_us={"before": 40, "after": 2000}),
        "recorded": plots.recorded_against_predicted(kl.check_recordings()),
        "offload": plots.offload({1000: 0.25, 2000: 0.5, 5000: 1.0}, recorded),
        "timelines": plots.timelines(runs, number=3, title="Timelines"),
        "grid": plots.policy_grid(TABLE(kl.policy.rev1), name="rev1", before=TABLE(kl.policy.before)),
        "guests": plots.by_guest(COMPARED, "lost us", title="Lost", unit="a second and vCPU"),
        "revision": plots.revision_view("rev1", "rev3", scenario=GUESTS),
        "ranges": plots.ranges(kl.what_if(RECORDED, timer_hz=1000), "expiry exits", title="What if"),
        "own": plots.revision_view("rev3", always, scenario=GUESTS, column="posted"),
    }


NAMES = (
    "exits",
    "latencies",
    "longest",
    "recorded",
    "offload",
    "timelines",
    "grid",
    "guests",
    "revision",
    "ranges",
    "own",
)


@pytest.mark.parametrize("name", NAMES)
def test_picture_is_an_html_image_with_alt_text(name, pictures):
    html = pictures[name]._repr_html_()
    assert html.startswith(('<img alt="', "<pre"))
    assert html.count('<img alt="') == 1
    assert "data:image/png;base64," in html
    assert len(pictures[name].alt) > 60
    assert repr(pictures[name]).endswith(f"Picture: {pictures[name].alt}")


@pytest.mark.parametrize("name", NAMES)
def test_text_is_large_enough_to_be_read_from_afar(name, pictures):
    texts = [text for text in pictures[name].figure.findobj(Text) if text.get_visible() and text.get_text()]
    assert texts
    assert min(text.get_fontsize() for text in texts) >= plots.SMALL >= 12
    assert pictures[name].figure.get_size_inches()[0] == 9


def shown_labels(axis):
    """An axis also keeps labels of ticks that lie outside its limits, and does not draw them."""
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]


@pytest.mark.parametrize("name", NAMES)
def test_no_two_texts_overlap_and_none_is_cut_off(name, pictures):
    figure = pictures[name].figure
    figure.draw_without_rendering()
    boxes = {}
    for axes in figure.axes:
        ticks = [*shown_labels(axes.xaxis), *shown_labels(axes.yaxis)]
        legend = axes.get_legend().get_texts() if axes.get_legend() else []
        titles = [axes.xaxis.label, axes.yaxis.label, axes.title, axes._left_title]
        for text in [*axes.texts, *ticks, *legend, *titles]:
            if text.get_visible() and text.get_text().strip():
                boxes[text] = text.get_window_extent()
    width, height = figure.canvas.get_width_height()
    inside = [b for t, b in boxes.items() if t.axes and t in t.axes.texts]
    for box in inside:
        assert box.x0 >= -1 and box.x1 <= width + 1 and box.y0 >= -1 and box.y1 <= height + 1  # noqa: PT018
    for (a, box_a), (b, box_b) in itertools.combinations(boxes.items(), 2):
        apart = (
            box_a.x1 <= box_b.x0 + 1 or box_b.x1 <= box_a.x0 + 1 or box_a.y1 <= box_b.y0 + 1 or box_b.y1 <= box_a.y0 + 1
        )
        assert apart, (a.get_text(), b.get_text())


@pytest.mark.parametrize("name", NAMES)
def test_picture_is_small_and_its_paper_white(name, pictures):
    image = Image.open(io.BytesIO(pictures[name].png)).convert("RGB")
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert len(pictures[name].png) < 40_000
    assert pictures[name].png is pictures[name].png  # drawn once


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_says_where_its_numbers_come_from(name, pictures):
    figure = pictures[name].figure
    texts = " ".join(text.get_text() for text in figure.findobj(Text))
    origins = ("published", "recorded", "simulated", "yours", "who fires the timer")
    assert any(origin in texts for origin in origins)


def test_alt_text_is_computed_from_the_data(pictures, runs):
    assert "rev1 0" in pictures["exits"].alt
    assert "130 of 130 runs agree within 5" in pictures["recorded"].alt
    assert "at the 40th percentile" in pictures["longest"].alt
    assert "8 cells are framed" in pictures["grid"].alt
    assert "posts the interrupt" in pictures["timelines"].alt
    assert f"v5.3: p50 {plots.microseconds(runs['v5.3'].latency_percentile(0.5))}" in pictures["latencies"].alt


def test_a_revision_has_one_colour_marker_and_hatch_of_its_own():
    for part in range(3):
        parts = [style[part] for style in plots.REVISIONS.values()]
        assert len(set(parts)) == len(parts)
    assert set(kl.policy.POLICIES) < set(plots.REVISIONS)
    assert set(plots.KERNEL_REVISIONS) == set(kl.KERNELS)
    for name, kernel in kl.KERNELS.items():
        assert kernel.policy is kl.policy.POLICIES[plots.revision(name)]
    assert plots.revision("6.1.176 rev1") == "rev1"
    assert plots.revision("my_policy") == "yours"


def test_timeline_beyond_the_trace_is_refused(runs):
    with pytest.raises(ValueError, match="number: 99999"):
        plots.timelines(runs, number=99999)


def test_global_state_is_left_alone(runs):
    before = dict(matplotlib.rcParams)
    plots.latencies(runs, title="Latency")
    assert dict(matplotlib.rcParams) == before


def test_a_revision_view_quotes_the_predicates_as_a_diff(pictures):
    assert pictures["revision"].diff.splitlines() == [
        "  return pi_inject_timer",
        "         && kvm_vcpu_apicv_active(vcpu)",
        "+        && (kvm_mwait_in_guest(vcpu->kvm) || kvm_hlt_in_guest(vcpu->kvm))",
    ]
    assert "- return false" in plots.revision_view("before", "rev1", scenario=GUESTS).diff
    assert "+ return always(vcpu)" in pictures["own"].diff
    assert "&amp;&amp; kvm_vcpu_apicv_active(vcpu)" in pictures["revision"]._repr_html_()


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(POLICIES, 2)))
def test_a_revision_view_counts_what_the_truth_tables_say(before, after):
    view = plots.revision_view(before, after, scenario=GUESTS)
    changed = len(kl.policy.differences(kl.policy.find(before), kl.policy.find(after)))
    assert f"{changed} of 8 inputs are answered otherwise; with either off, 0 of 24" in view.alt


def test_a_revision_view_shows_the_guests(pictures):
    assert "poller: rev1 0, rev3 98" in pictures["revision"].alt
    assert "with either off, 24 of 24" in pictures["own"].alt


def test_ranges_say_their_ends(pictures):
    assert "before 100 (100 to 100)" in pictures["ranges"].alt
    with pytest.raises(ValueError, match="quantity: 'exit'"):
        plots.ranges(kl.what_if(RECORDED, timer_hz=1000, replications=1), "exit", title="")


def test_what_a_revision_view_cannot_show_is_refused():
    with pytest.raises(ValueError, match="policy: 'rev9'"):
        plots.revision_view("rev1", "rev9")
    with pytest.raises(ValueError, match="column: 'latency'"):
        plots.revision_view("rev1", "rev2", scenario=GUESTS, column="latency")
