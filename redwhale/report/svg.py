"""Turn a drawn figure into SVG that stands in the page: its text is text, its colours are the page's own."""

from __future__ import annotations

import html
import io
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Drawn in these, written as `var(--NAME)`: the style sheet says what they are in light and in dark.
COLOURS = {
    "ink": "#010001", "muted": "#010002", "rule": "#010003", "paper": "#010004", "korean": "#020001",
    "english": "#020002", "base": "#020003", "new": "#020004", "third": "#020005", "fourth": "#020006",
    "loss": "#020007",
}  # fmt: skip
INK, MUTED, RULE, PAPER = (COLOURS[name] for name in ("ink", "muted", "rule", "paper"))
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 11, "text.color": INK,
    "figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none",
    "axes.spines.top": False, "axes.spines.right": False, "axes.spines.left": False, "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8, "axes.axisbelow": True, "axes.grid": True, "axes.grid.axis": "y", "grid.color": RULE,
    "grid.linewidth": 0.8, "axes.titlesize": 11, "axes.titlecolor": MUTED, "axes.titlelocation": "left",
    "axes.titlepad": 10, "axes.labelcolor": MUTED, "axes.labelsize": 11, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.major.size": 3, "ytick.major.size": 0, "xtick.minor.size": 0, "ytick.minor.size": 0, "ytick.major.pad": 6,
    "legend.frameon": False, "legend.fontsize": 11, "legend.labelcolor": INK, "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}  # fmt: skip
_GROWTH = 1.15  # how much larger than drawn a plot may be shown
_REFERENCE = re.compile(r'(?:href="#|url\(#)([^")]+)')


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the report's style, whatever the machine's own is; silent about glyphs, which the browser has."""
    import matplotlib as mpl

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def render(key: str, label: str, draw: Callable[[], Figure]) -> Markup:
    """Return what ``draw`` draws as an ``svg`` element named ``label``; ``key`` keeps its ids apart from others'."""
    import matplotlib as mpl

    with drawing():
        mpl.rcParams["svg.hashsalt"] = key
        figure, out = draw(), io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return Markup(_inline(out.getvalue(), key, label))


def _inline(text: str, key: str, label: str) -> str:
    """Strip what a file has and an element of a page must not have; ``text`` is what matplotlib wrote."""
    body = text[text.index("<svg") :]
    for pattern in (r"<!--.*?-->", r"<metadata>.*?</metadata>", r"<style .*?</style>", r"<defs>\s*</defs>"):
        body = re.sub(pattern, "", body, flags=re.DOTALL)
    body = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", body)  # the family is the page's
    body = re.sub(r"font-family: [^;\"]*(?:; )?", "", body)
    used = set(_REFERENCE.findall(body))
    body = re.sub(r' id="([^"]+)"', lambda m: f' id="{key}-{m[1]}"' if m[1] in used else "", body)
    body = _REFERENCE.sub(lambda m: m[0].replace(m[1], f"{key}-{m[1]}"), body)
    for name, colour in COLOURS.items():
        body = body.replace(colour, f"var(--{name})")
    body = re.sub(r"\n\s*", "\n", body)
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', body)
    assert size is not None
    opening = (
        f'<svg role="img" aria-label="{html.escape(label)}" viewBox="0 0 {size[1]} {size[2]}" '
        f'style="max-width: {float(size[1]) * _GROWTH:.0f}px" xmlns="http://www.w3.org/2000/svg" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink"><title>{html.escape(label)}</title>'
    )
    return opening + body[body.index(">") + 1 :].strip()
