"""Figures of the experiments, in one style: colours that colour-blind readers tell apart, no window, no state."""

import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLACK, ORANGE, SKY, GREEN, BLUE, VERMILION, PINK = (
    "#000000",
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
"""The palette of Okabe and Ito, without its yellow, which is too light on white."""


def require_matplotlib(program: str) -> None:
    """Ends the program with status 2 where matplotlib is not installed; to be called before any work."""
    if find_spec("matplotlib") is None:
        message = "the figure needs matplotlib, which is not installed: pip install 'mt_trainer[plots]'"
        print(f"{program}: {message}", file=sys.stderr)
        raise SystemExit(2)


def new_figure(num_rows: int, num_columns: int, *, width: float, height: float) -> "tuple[Figure, Any]":
    """An empty figure and its array of axes [num_rows, num_columns]; width and height in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(num_rows, num_columns, squeeze=False)
    for each in axes.flat:
        each.spines[["top", "right"]].set_visible(False)
        each.grid(True, color="0.92", linewidth=0.8)
        each.set_axisbelow(True)
    return figure, axes
