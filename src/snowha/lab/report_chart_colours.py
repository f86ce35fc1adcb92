"""How the chart is painted: plain colours as attributes, which every viewer knows; those for the dark in a style beside them.

CSS variables would be shorter, and are black in viewers that do not know them. Servers differ by pattern as well as by colour
(Okabe and Ito's, which colour-blind readers can tell apart).
"""

from __future__ import annotations

FONT_FAMILY = "system-ui, -apple-system, Segoe UI, DejaVu Sans, sans-serif"
PATTERNS = 6

_COLOURS = {
    "paper": ("#ffffff", "#12161c"),
    "word": ("#1b2330", "#e6eaf0"),
    "muted": ("#5b6676", "#9aa6b5"),
    "grid": ("#e3e7ec", "#262d37"),
    "lane": ("#f4f6f8", "#1a2029"),
    "step": ("#7d8b9d", "#77869a"),
    "bad": ("#c1121f", "#ff6b6b"),
    "good": ("#0b7a4b", "#4cc38a"),
    "ink": ("#14202e", "#14202e"),
    "s0": ("#56b4e9", "#4aa3d8"),
    "s1": ("#e69f00", "#d99a14"),
    "s2": ("#2fb58c", "#35a883"),
    "s3": ("#cc79a7", "#c277a1"),
    "s4": ("#d9cf3c", "#c9bf3a"),
    "s5": ("#e0784a", "#d0714a"),
}
"""By day and in the dark."""

_KINDS: dict[str, tuple[str, str, str]] = {
    "word": ("fill", "word", ""),
    "muted": ("fill", "muted", ""),
    "head": ("fill", "word", 'font-weight="600" letter-spacing="0.2"'),
    "muted head": ("fill", "muted", 'font-weight="600" letter-spacing="0.2"'),
    "on": ("fill", "ink", ""),
    "marktext": ("fill", "bad", 'font-weight="600"'),
    "lane": ("fill", "lane", ""),
    "step": ("fill", "step", ""),
    "away": ("fill", "word", ""),
    "badfill": ("fill", "bad", ""),
    "goodfill": ("fill", "good", ""),
    "under": ("fill", "paper", ""),
    "grid": ("stroke", "grid", ""),
    "leader": ("stroke", "muted", 'fill="none"'),
    "twice": ("stroke", "bad", 'fill="none" stroke-width="2.5"'),
    "mark": ("stroke", "bad", 'stroke-width="1.5" stroke-dasharray="4 3"'),
    "cross": ("stroke", "bad", 'stroke-width="2.4"'),
    "ring": ("stroke", "bad", 'fill="none" stroke-width="2"'),
    "hatch": ("stroke", "ink", 'fill="none" stroke-opacity="0.42"'),
    "dot": ("fill", "ink", 'fill-opacity="0.5"'),
    **{f"s{number}": ("fill", f"s{number}", "") for number in range(PATTERNS)},
}
"""What is painted: the attribute that has the colour, the colour, what does not change."""


def attributes(kind: str) -> str:
    """The attributes of an element of this kind."""
    attribute, colour, rest = _KINDS[kind]
    name = kind.replace(" ", "-")
    return f'class="{name}" {attribute}="{_COLOURS[colour][0]}"' + (f" {rest}" if rest else "")


def _dark() -> str:
    """Attributes give way to a style, so only what differs in the dark is said there."""
    rules = [
        f".tl .{kind.replace(' ', '-')}{{{attribute}:{_COLOURS[colour][1]}}}"
        for kind, (attribute, colour, _) in _KINDS.items()
        if len(set(_COLOURS[colour])) > 1
    ]
    return "@media screen and (prefers-color-scheme:dark){" + "".join(rules) + "}"


STYLE = _dark()

HATCHES = (
    "",
    f'<path {attributes("hatch")} stroke-width="1.6" d="M-2 2l4-4M0 8l8-8M6 10l4-4"/>',
    f'<circle {attributes("dot")} cx="3" cy="3" r="1.2"/>',
    f'<path {attributes("hatch")} stroke-width="1.4" d="M4 0v8"/>',
    f'<path {attributes("hatch")} stroke-width="1.6" d="M-2 6l4 4M0 0l8 8M6-2l4 4"/>',
    f'<path {attributes("hatch")} stroke-width="1" d="M0 4h8M4 0v8"/>',
)
"""Over the colour of a server: nothing, stripes, dots, upright lines, the other stripes, squares."""
