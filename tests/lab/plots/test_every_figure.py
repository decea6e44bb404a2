"""The figures say what they show, in words and in marks, and nothing in them lies on top of anything else."""

from __future__ import annotations

import io
import itertools

import matplotlib
import pytest
from matplotlib.text import Text
from PIL import Image

from kvmlab.lab import plots

NAMES = (
    "exits",
    "latencies",
    "longest",
    "recorded",
    "recorded offload",
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


def test_global_state_is_left_alone(runs):
    before = dict(matplotlib.rcParams)
    plots.latencies(runs, title="Latency")
    assert dict(matplotlib.rcParams) == before
