"""Draws `docs/load.svg`: how long calls took under load, by percentile."""

from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

LATENCIES = "latency by percentile, ms"
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "kennel",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
# What happened while a figure's calls were made.
CASES = {
    "load: failures in ten minutes": "ten minutes at 80% of the capacity, an instance added",
    "load: answers to an overload other than 200, 429 or 503": "three times the capacity",
    "load: recovery from an overload": "80% again, right after that",
    "load: calls lost to a killed process, but for those it had": "40%, a serving process killed",
    "load: calls lost to scaling in": "40%, an instance taken away",
    "load: calls lost to a deploy": "40%, a deploy",
    "load: calls lost to a deploy that an alarm calls back": "40%, a deploy called back",
}
WORST = 1e-4  # where the slowest call is drawn on an axis of shares that has no end


def draw(figures: list[dict[str, Any]], path: Path) -> None:
    """A line for each of the figures that have latencies, to the right the rarer and slower ones."""
    with rc_context(STYLE):
        drawing = Figure((9, 5), layout="constrained")
        axes = drawing.subplots()
        for figure in figures:
            if found := figure["detail"].get(LATENCIES):
                shares = [max(WORST, 1 - float(percent) / 100) for percent in found]
                axes.plot(shares, list(found.values()), "o-", markersize=3, label=CASES[figure["name"]])
        axes.set(
            xscale="log", yscale="log", xlabel="percentile of the calls", ylabel="milliseconds from when it was due"
        )
        axes.invert_xaxis()
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: _percentile(share)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.legend()
        drawing.savefig(path, metadata={"Date": None})


def _percentile(share: float) -> str:
    return "slowest" if share <= WORST else f"{100 * (1 - share):.4g}"
