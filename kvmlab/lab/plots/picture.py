"""A figure with its sentence, and what all figures share: size, fonts, and how each revision is drawn."""

from __future__ import annotations

import base64
import functools
import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from PIL import Image

from kvmlab.kernels import KERNELS
from kvmlab.lab.style import COLOURS, HATCHES, MARKERS

if TYPE_CHECKING:
    pass

SIZE = (9.0, 5.0)
"""Width and height of a figure in inches."""
FONT = 13
"""Points: readable from the back of a lecture room at `SIZE`."""
SMALL = 12
"""No text is smaller."""
DPI = 110

ORANGE, SKY, YELLOW, PURPLE = "#E69F00", "#56B4E9", "#F0E442", "#CC79A7"
GREY, PALE = "#999999", "#E4E4E4"
"""What Okabe and Ito's palette has left when the revisions have got their colours, and two greys."""


class Style(NamedTuple):
    """How something is drawn: colour is never alone."""

    color: str
    marker: str
    hatch: str


REVISIONS = {name: Style(COLOURS[name], MARKERS[name], HATCHES[name]) for name in COLOURS}
REVISIONS["yours"] = Style(PURPLE, "P", "++")
"""The revisions, and what is none of them."""
KERNEL_REVISIONS = {name: kernel.policy.__name__ for name, kernel in KERNELS.items()}
SPANS = {
    "guest": Style(PALE, "", ""),
    "MSR_WRITE": Style(SKY, "", "//"),
    "EXTERNAL_INTERRUPT": Style(ORANGE, "", "xx"),
    "PREEMPTION_TIMER": Style(PURPLE, "", "\\\\"),
    "HLT": Style(GREY, "", ".."),
    "hrtimer": Style(YELLOW, "", "--"),
}
"""What a timeline shows; other exits look like HLT."""
ORIGINS = {"published": "*", "recorded": "X", "simulated": "o", "yours": "P"}
"""Where a number comes from, and its marker."""

TEXT: dict[Any, Any] = {
    "font.size": FONT,
    "axes.titlesize": FONT,
    "axes.labelsize": FONT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "hatch.linewidth": 0.6,
    "font.family": "DejaVu Sans",
}


PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
"""Behind a label that lies on something."""


class Picture:
    """A figure and the sentence that replaces it for whoever cannot see it."""

    def __init__(self, figure: Figure, alt: str) -> None:
        self.figure = figure
        self.alt = alt

    @functools.cached_property
    def png(self) -> bytes:
        """The figure as PNG of 256 colours, drawn once."""
        drawn = io.BytesIO()
        self.figure.savefig(drawn, format="png", dpi=DPI)
        return small_png(drawn)

    def save(self, path: str | Path) -> None:
        """Write the PNG to a file."""
        Path(path).write_bytes(self.png)

    def _repr_html_(self) -> str:
        return image_html(self.png, self.alt, round(self.figure.get_size_inches()[0] * 100))

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"


def image_html(png: bytes, alt: str, width: int) -> str:
    """A picture as HTML: JupyterLab drops the alt text of image outputs, not that of HTML."""
    style = "max-width:100%;height:auto;background:white"
    data = base64.b64encode(png).decode()
    return f'<img alt="{escape(alt, quote=True)}" width="{width}" style="{style}" src="data:image/png;base64,{data}">'


def small_png(drawn: io.BytesIO, colours: int = 64) -> bytes:
    """The same PNG, on white paper, with that few colours: a third of the size."""
    small = io.BytesIO()
    image = Image.open(drawn).convert("RGB")
    few = image.quantize(colours, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette: Any = few.getpalette()
    paper: Any = few.getpixel((0, 0))
    palette[3 * paper : 3 * paper + 3] = [255, 255, 255]  # which the octree makes a light grey
    few.putpalette(palette)
    few.save(small, "png", optimize=True)
    return small.getvalue()


def new_figure(height: float = SIZE[1]) -> Figure:
    """An empty figure, laid out when it is drawn."""
    return Figure(figsize=(SIZE[0], height), layout="constrained", facecolor="white")


def revision(name: str) -> str:
    """The revision that a kernel, a policy or a recording's name stands for; "yours" if none."""
    if name in KERNEL_REVISIONS:
        return KERNEL_REVISIONS[name]
    words = name.replace("+", " ").split()
    return next((word for word in words if word in REVISIONS), "yours")


def style_of(name: str) -> Style:
    """The style of the revision that `name` stands for."""
    return REVISIONS[revision(name)]


def names_of(items: Sequence[str]) -> str:
    """A list in words: a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def microseconds(ns: float) -> str:
    """A time in ns as text in us, with about three digits."""
    us = ns / 1e3
    return f"{us:.0f} us" if us >= 100 else f"{us:.1f} us" if us >= 10 else f"{us:.2f} us"


def log_us(axes: Axes) -> None:
    """Plain numbers 1, 2, 5, 10, ... on a logarithmic x axis."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
