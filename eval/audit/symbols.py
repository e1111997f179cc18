"""One colour for a symbol in a formula and for its name in the code beside it."""

from __future__ import annotations

import re

NAMES = {  # the symbol as a formula has it, and how the code begins its name
    "ϵ": ("eps", "shifted"),
    "α": ("bar", "alpha_bar"),
    "β": ("beta", "kept"),
    "σ": ("sigma",),
    "x": ("x", "x_t", "x_0", "x_prev", "x_T"),
    "J": ("J", "jacobian"),
    "h": ("h", "delta_h"),
    "λ": ("weight", "reg_weight", "strength", "clip_weight", "recon_weight"),
    "w": ("w", "guidance"),
    "v": ("v", "probes"),
    "R": ("R", "found"),
    "G": ("G", "g", "metric"),
    "z": ("z", "noise"),
    "a": ("a", "state"),
    "η": ("eta", "ratio"),
    "μ": ("mean", "mean_a", "mean_b"),
    "t": ("t", "t_prev", "now"),
    "P": ("P", "predicted", "P_edit", "P_source"),
}
COLOURS = 8
LEAF = re.compile(r"<(mi|mo|mn)([^>]*)>([^<]*)</\1>")


def colours(text: str, names: set[str]) -> dict[str, int]:
    """Return the colour, from 1, of each symbol of a formula's text that the code names, too."""
    shared = [symbol for symbol, known in NAMES.items() if symbol in text and names & set(known)]
    return {symbol: i % COLOURS + 1 for i, symbol in enumerate(shared)}


def of_name(name: str, found: dict[str, int]) -> int:
    """Return the colour of a name in the code, 0 for none."""
    return next((colour for symbol, colour in found.items() if name in NAMES[symbol]), 0)
