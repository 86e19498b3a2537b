"""Bar charts as SVG: for a light and a dark page, and for who cannot see them, too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

_WIDTH, _LEFT, _RIGHT = 760, 250, 150
"""Of the picture; of the names beside the bars, and of what is said behind them."""
_TOP, _ROW, _THICK = 44, 28, 18
_STYLE: Final = (
    "text{font:13px sans-serif;fill:#1f2328}.title{font-weight:600;font-size:15px}"
    ".page{fill:#fff}.ours{fill:#0969da}.other{fill:#8c959f}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}"
    ".ours{fill:#4493f8}.other{fill:#6e7681}}"
)


@dataclass(frozen=True)
class Bar:
    """One value."""

    name: str
    value: float
    says: str
    """The value with its unit, and what else there is to say."""
    ours: bool = True
    """Whether it is slimgate's: the others are what it is compared with."""


def svg(title: str, bars: Sequence[Bar]) -> str:
    """The chart; its longest bar has the greatest value."""
    height = _TOP + _ROW * len(bars) + 10
    most = max(bar.value for bar in bars)
    said = "; ".join(f"{bar.name}: {bar.says}" for bar in bars)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}"',
        ' role="img" aria-labelledby="title values">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="values">{escape(said)}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{_WIDTH}" height="{height}"/>',
        f'<text class="title" x="12" y="26">{escape(title)}</text>',
        *(line for n, bar in enumerate(bars) for line in _lines(bar, _TOP + n * _ROW, most)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _lines(bar: Bar, top: int, most: float) -> Sequence[str]:
    width = max(1.0, (_WIDTH - _LEFT - _RIGHT) * bar.value / most)
    text, kind = top + _THICK - 4, "ours" if bar.ours else "other"
    size = f'width="{width:.1f}" height="{_THICK}"'
    return (
        f'<text x="{_LEFT - 10}" y="{text}" text-anchor="end">{escape(bar.name)}</text>',
        f'<rect class="{kind}" x="{_LEFT}" y="{top}" {size} rx="2"/>',
        f'<text x="{_LEFT + width + 8:.1f}" y="{text}">{escape(bar.says)}</text>',
    )
