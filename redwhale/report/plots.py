"""The kinds of plots: floating bars, histograms, values with intervals, curves. Each is drawn wide and narrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from redwhale.core.console import quantity, redact
from redwhale.report.svg import COLOURS, INK, MUTED, PAPER, render

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDE, NARROW = 840, 322
"""Widths in CSS pixels; a phone shows the narrow one at the size that it was drawn in."""
_ROW = 26
_BOUNDARY_NAME = 12  # what the name of a boundary takes; names nearer than that would lie on each other
_LABEL_CHARACTERS = {WIDE: 36, NARROW: 19}


@dataclass(frozen=True)
class Plot:
    """A plot as the page shows it; ``caption`` says its point, ``wide`` is None where one width does for all."""

    title: str
    caption: str
    narrow: Markup
    wide: Markup | None = None


@dataclass(frozen=True)
class Look:
    """How one series looks: never told by colour alone."""

    colour: str
    marker: str = "o"
    line: str = "-"


LOOKS = {
    "ko": Look("korean", "o", "-"), "en": Look("english", "s", "--"), "code": Look("third", "^", ":"),
    "base": Look("base", "o", "--"), "new": Look("korean", "D", "-"), "loss": Look("loss", "", "-"),
}  # fmt: skip
_FURTHER = (Look("korean"), Look("english", "s", "--"), Look("third", "^", ":"), Look("fourth", "v", "-."))


def look_of(name: str, place: int) -> Look:
    """Return the look of a series: its own where it has one, else that of its place."""
    return LOOKS.get(name) or _FURTHER[place % len(_FURTHER)]


def both_widths(key: str, title: str, caption: str, draw: Callable[[int], Figure]) -> Plot:
    """Return a plot drawn at both widths."""
    label = redact(f"{title}. {caption}")
    wide, narrow = (render(f"{key}-{width}", label, partial(draw, width)) for width in (WIDE, NARROW))
    return Plot(title, caption, narrow, wide)


def narrow_alone(key: str, title: str, caption: str, draw: Callable[[int], Figure]) -> Plot:
    """Return a plot drawn narrow, as one of several that stand side by side."""
    return Plot(title, caption, render(key, redact(f"{title}. {caption}"), partial(draw, NARROW)))


def panel(width: int, height: float, *, left: float, right: float, top: float, bottom: float) -> tuple[Figure, Axes]:
    """Return a figure with one plot and these margins, all in CSS pixels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width / 72, height / 72))
    box = (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
    return figure, figure.add_axes(box)


def label_width(labels: Sequence[str], width: int) -> float:
    """Return the pixels that row labels take: as wide as the widest, at most two fifths of the plot."""
    widest = max((sum(6.8 if ord(c) < 0x1100 else 11 for c in shorten(label, width)) for label in labels), default=0)
    return min(widest + 12, 0.42 * width)


def shorten(label: str, width: int) -> str:
    """Return a label, cut where it is too long for a plot of this width, secrets left out."""
    label, most = redact(label), _LABEL_CHARACTERS[width]
    return label if len(label) <= most else f"{label[: most - 1]}…"


def rows_panel(labels: Sequence[str], width: int, *, top: float = 6, right: float = 22) -> tuple[Figure, Axes]:
    """Return a panel with one labelled row for each of ``labels``, the first on top."""
    left = label_width(labels, width)
    figure, axes = panel(width, top + 40 + _ROW * len(labels), left=left, right=right, top=top, bottom=40)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), [shorten(label, width) for label in labels], color=INK)
    axes.grid(False)
    axes.grid(True, axis="x")
    return figure, axes


def waterfall(width: int, *, entered: int, removed: Sequence[tuple[str, int]]) -> Figure:
    """Draw what is left of ``entered`` records after each reason has taken its own, from the most on."""
    left = entered - sum(count for _, count in removed)
    figure, axes = rows_panel(["records in", *(name for name, _ in removed), "kept"], width, right=52)

    def say(row: int, place: int, words: str) -> None:
        axes.plot([place, place], [row - 0.31, row + 0.31], color=INK, linewidth=1.6)
        axes.annotate(words, (place, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=10.5)

    say(0, entered, f"{entered:,}")
    there = entered
    for row, (_, count) in enumerate(removed, 1):
        axes.plot([there, there], [row - 0.69, row + 0.31], color=MUTED, linewidth=0.8)
        axes.barh(row, count, left=there - count, height=0.62, color=COLOURS["english"], linewidth=0)
        axes.annotate(
            f"−{count:,}", (there, row), xytext=(5, 0), textcoords="offset points", va="center", fontsize=10.5
        )
        there -= count
    axes.plot([left, left], [len(removed) + 0.31, len(removed) + 0.69], color=MUTED, linewidth=0.8)
    say(len(removed) + 1, left, f"{left:,}")
    margin = max(entered - left, 1) * 0.04
    axes.set_xlim(left - margin, entered + margin)
    axes.xaxis.set_major_locator(_few_ticks(width, whole=True))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("records left (the axis does not begin at 0)")
    return figure


def histogram(
    width: int, *, edges: Sequence[float], series: Mapping[str, Sequence[float]], x_label: str, y_label: str,
    logarithmic: bool = False, cuts: Sequence[float] = (),
) -> Figure:  # fmt: skip
    """Draw shares by bin, a line for each series over one axis; ``cuts`` are limits beyond which documents went."""
    figure, axes = panel(width, 184, left=42, right=14, top=26, bottom=40)
    for place, (name, values) in enumerate(series.items()):
        look = look_of(name, place)
        axes.stairs(values, edges, color=COLOURS[look.colour], linestyle=look.line, linewidth=1.6, label=name)
        axes.stairs(values, edges, color=COLOURS[look.colour], fill=True, alpha=0.14, linewidth=0)
    for cut in cuts:
        axes.axvline(cut, color=INK, linewidth=1, linestyle=(0, (2, 2)))
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(lambda value, _: "")
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter(_number)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.yaxis.set_major_locator(_few_ticks(NARROW))
    axes.set_xlabel(x_label)
    axes.set_title(y_label)
    if len(series) > 1:
        _legend(axes)
    return figure


Marks = Mapping[str, tuple[float, float | None, float | None]]
"""Of one row: value, and lower and upper end of its interval (None: it has none), by series."""


def intervals(
    width: int, *, rows: Sequence[tuple[str, Marks]], x_label: str, joined: bool = False,
    looks: Sequence[str] = (), chance: Mapping[str, float] | None = None, from_zero: bool = False,
) -> Figure:  # fmt: skip
    """Draw values as marks, with their intervals as lines; ``joined`` draws a line from the first series to the last.

    Series stand below each other within a row, but for those that are ``joined``; ``looks`` are names of looks in
    their order.

    ``chance``: by row what the likeliest answer alone would get, a short upright line.
    """
    names = list(dict.fromkeys(name for _, marks in rows for name in marks))
    figure, axes = rows_panel([label for label, _ in rows], width, top=26)
    spread = 0.0 if joined else 0.17
    for row, (label, marks) in enumerate(rows):
        if joined and len(marks) > 1:
            ends = [value for value, _, _ in marks.values()]
            axes.plot([ends[0], ends[-1]], [row, row], color=MUTED, alpha=0.35, linewidth=3, zorder=1)
        if chance and label in chance:
            axes.plot([chance[label]] * 2, [row - 0.36, row + 0.36], color=MUTED, linewidth=1.2)
        for name, (value, low, high) in marks.items():
            place = names.index(name)
            look = LOOKS[looks[place]] if place < len(looks) else look_of(name, place)
            y = row + (place - (len(names) - 1) / 2) * 2 * spread / max(len(names) - 1, 1)
            if low is not None and high is not None:
                axes.plot([low, high], [y, y], color=COLOURS[look.colour], linewidth=1.6)
            axes.plot(
                [value], [y], linestyle="", marker=look.marker, markersize=7, markeredgecolor=PAPER,
                markeredgewidth=1, color=COLOURS[look.colour], label=name if not row else None, zorder=3,
            )  # fmt: skip
    if from_zero:
        axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(_few_ticks(width))
    axes.set_xlabel(x_label)
    _legend(axes)
    return figure


@dataclass(frozen=True)
class Curve:
    """Points of one series; ``marked`` shows each of them, ``faint`` draws it as a background to others."""

    name: str
    points: Sequence[tuple[float, float]]
    marked: bool = False
    faint: bool = False


def curves(
    width: int, *, series: Sequence[Curve], x_label: str, y_label: str, boundaries: Sequence[tuple[float, str]] = (),
    from_zero: bool = False, logarithmic: bool = False, height: float = 184,
) -> Figure:  # fmt: skip
    """Draw lines; ``boundaries`` are places where a stage begins, with its number."""
    figure, axes = panel(width, height, left=44, right=14, top=40 if boundaries else 26, bottom=40)
    looks = list(dict.fromkeys(curve.name for curve in series if not curve.faint))
    seen: set[str] = set()
    for curve in series:
        look = look_of(curve.name, looks.index(curve.name) if curve.name in looks else 0)
        axes.plot(
            [x for x, _ in curve.points], [y for _, y in curve.points], color=COLOURS[look.colour],
            linestyle=look.line if not curve.faint else "-", linewidth=0.8 if curve.faint else 1.8,
            alpha=0.45 if curve.faint else 1.0, marker=look.marker if curve.marked else "", markersize=4.5,
            markeredgecolor=PAPER, markeredgewidth=0.6,
            label=None if curve.faint or curve.name in seen else curve.name,
        )  # fmt: skip
        seen.add(curve.name)
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(_few_of_log(*axes.get_ylim()))
        axes.yaxis.set_minor_formatter(lambda value, _: "")
    if from_zero:
        axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    named = -1.0
    for place, name in boundaries:
        axes.axvline(place, color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)), zorder=0)
        if (at := axes.transData.transform((place, 0))[0]) - named < _BOUNDARY_NAME:
            continue
        named = at
        axes.annotate(
            name, (place, 1), xycoords=("data", "axes fraction"), xytext=(0, 4), textcoords="offset points",
            fontsize=9.5, color=MUTED, ha="center",
        )  # fmt: skip
    axes.xaxis.set_major_formatter(_number)
    axes.xaxis.set_major_locator(_few_ticks(width))
    axes.yaxis.set_major_formatter(_number)
    axes.set_xlabel(x_label)
    axes.set_title(y_label, pad=22 if boundaries else None)
    if len(seen) > 1:
        _legend(axes, above=12 if boundaries else 0)
    return figure


def _legend(axes: Axes, *, above: float = 0) -> None:
    """Put the names of series above the plot, on the right, ``above`` so many pixels."""
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        height = axes.get_window_extent().height
        axes.legend(
            handles, [shorten(label, NARROW) for label in labels], loc="lower right",
            bbox_to_anchor=(1.01, 1 + above / height), ncols=len(labels), columnspacing=1.2,
            handlelength=1.6, handletextpad=0.5, borderpad=0.2, borderaxespad=0,
        )  # fmt: skip


def _few_ticks(width: int, *, whole: bool = False) -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=4 if width == NARROW else 7, integer=whole)


def _few_of_log(low: float, high: float) -> Any:
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(1, 2, 5) if high < 50 * low else (1,), numticks=5)


def _number(value: float, _: Any) -> str:
    return "0" if value == 0 else quantity(value).replace("-", "−")
