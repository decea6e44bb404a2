"""A figure with its sentence, and what all figures share: paper, fonts, and the file that they become."""

from __future__ import annotations

import base64
import functools
import io
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from PIL import Image

from kvmlab.lab.style import DPI, FONT, SIZE, SMALL

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

COLOURS = 64
"""Of the PNG of a figure."""
RC: dict[RcKeyType, Any] = {
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
"""matplotlib's settings while a figure is made."""
PAPER = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
"""Behind a label that lies on something."""


class Picture:
    """A figure and its text alternative. A notebook shows it as an HTML image; `figure` is matplotlib's.

    >>> from kvmlab import plots
    >>> import kvmlab as kl
    >>> picture = plots.policy_grid(kl.policy.truth_table(kl.policy.rev1), name="rev1")
    >>> picture.alt.startswith("Grid of 32 cells, policy rev1")
    True
    """

    def __init__(self, figure: Figure, alt: str) -> None:
        self.figure = figure
        self.alt = alt

    @functools.cached_property
    def png(self) -> bytes:
        """The figure as a PNG of few colours, drawn once."""
        drawn = io.BytesIO()
        self.figure.savefig(drawn, format="png", dpi=DPI)
        return small_png(drawn)

    def save(self, path: str | Path) -> None:
        """Write the PNG to the file `path`; OSError where that is not possible."""
        Path(path).write_bytes(self.png)

    def _repr_html_(self) -> str:
        return image_html(self.png, self.alt, round(self.figure.get_size_inches()[0] * 100))

    def __repr__(self) -> str:
        return f"Picture: {self.alt}"


def image_html(png: bytes, alt: str, width: int) -> str:
    """Return a PNG as an HTML image, `width` pixels wide at most.

    JupyterLab drops the alt text of image outputs, but not that of HTML.
    """
    style = "max-width:100%;height:auto;background:white"
    data = base64.b64encode(png).decode()
    return f'<img alt="{escape(alt, quote=True)}" width="{width}" style="{style}" src="data:image/png;base64,{data}">'


def small_png(drawn: io.BytesIO, colours: int = COLOURS) -> bytes:
    """Return the PNG `drawn` on white paper with the given number of colours: a third of the size."""
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
    """Return an empty figure of this height in inches, laid out when it is drawn."""
    return Figure(figsize=(SIZE[0], height), layout="constrained", facecolor="white")


def log_us(axes: Axes) -> None:
    """Make the x axis logarithmic, with plain numbers 1, 2, 5, 10, ..."""
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
