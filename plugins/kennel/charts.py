"""The charts of a run's page, as SVG that takes its colours and its font from the page it stands in.

matplotlib is imported by what draws: DAG files are parsed without it.
"""

import io
import re
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from kennel.judging import interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# What is drawn in one of these is shown in the page's colour of that name.
INK, MUTED, LINE, MODEL, OTHER = "#010101", "#020202", "#030303", "#040404", "#050505"
COLOURS = {INK: "ink", MUTED: "muted", LINE: "line", MODEL: "model", OTHER: "other"}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "kennel",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.color": LINE,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
}
SIZE = (5.0, 4.2)  # inches of 72 pixels
NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))


def reliability(calibration: dict[str, Any]) -> Markup:
    """How often answers are right, by how sure they are, with 95 % intervals; below, how many answers there are."""
    from matplotlib import rc_context

    bins = calibration["bins"]
    width = 1 / len(bins)
    filled = [(number, found) for number, found in enumerate(bins) if found["count"]]
    with rc_context(STYLE):
        figure, upper, lower = _axes([3, 1])
        upper.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        for number, found in filled:
            middle, (low, high) = (number + 0.5) * width, interval(found["accuracy"], found["count"])
            upper.bar(middle, found["accuracy"], 0.86 * width, color=MODEL, alpha=0.35)
            upper.plot([middle, middle], [low, high], color=MODEL, linewidth=1.2)
            upper.plot(found["confidence"], found["accuracy"], "o", color=MODEL, markersize=4, clip_on=False)
            lower.bar(middle, found["count"], 0.86 * width, color=MUTED, alpha=0.5)
        upper.set(ylim=(0, 1.02), ylabel="right")
        lower.set(xlim=(0, 1), xlabel="highest probability", ylabel="photos")
        for axis in (upper.yaxis, lower.xaxis):
            axis.set_major_formatter("{x:.0%}")
        return _svg("reliability", figure)


def learning_curves(training: dict[str, Any]) -> Markup:
    """The loss and the accuracy of each epoch, and the epoch that was kept."""
    from matplotlib import rc_context
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    history = training["history"]
    epochs = range(len(history))  # the first is where training starts from
    with rc_context(STYLE):
        figure, upper, lower = _axes([1, 1])
        for axes, name, colour, label in (
            (upper, "train_loss", OTHER, "training"),
            (upper, "valid_loss", MODEL, "validation"),
            (lower, "valid_accuracy", MODEL, "validation"),
        ):
            axes.plot(epochs, [epoch[name] for epoch in history], "o-", color=colour, label=label, markersize=2.5)
        for axes in (upper, lower):
            axes.axvline(training["epoch"], color=MUTED, linewidth=1, linestyle=(0, (4, 3)))
        upper.set(ylabel="loss", ylim=(0, None))
        upper.legend(loc="upper right")
        lower.set(ylabel="right", xlabel="epoch", ylim=(None, 1.02))
        lower.xaxis.set_major_locator(MaxNLocator(integer=True))
        lower.yaxis.set_major_formatter(PercentFormatter(1))
        return _svg("curves", figure)


def _axes(heights: list[int]) -> "tuple[Figure, Axes, Axes]":
    """One above the other, over the same x axis."""
    from matplotlib.figure import Figure

    figure = Figure(SIZE, layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    return figure, upper, lower


def _svg(name: str, figure: "Figure") -> Markup:
    """The element <svg>; its ids start with the name, so that no other chart of the page has the same."""
    content = io.StringIO()
    figure.savefig(content, format="svg", transparent=True, metadata=NO_METADATA)
    _, start, rest = content.getvalue().partition("<svg")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", start + rest)
    for colour, variable in COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    return Markup(svg)  # noqa: S704 (drawn here, of numbers)
