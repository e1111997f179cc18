"""The ledger's LaTeX as MathML, which browsers typeset by themselves; by latex2mathml."""

from __future__ import annotations

import re
from functools import cache
from html import escape

SIZE = re.compile(r"\\[bB]igg?[lr]?(?=\\[lr](?:[vV]ert|angle)\b)")  # of a fence with a name
SIGN = re.compile(  # a minus behind what cannot be subtracted from: ( [ , = ≈
    r"(<mo[^>]*>(?:\[|&#x(?:00028|0002C|0003D|02248);)</mo>)<mo>(?=&#x02212;)"
)
FUNCTION = re.compile(r"(<mi>(?:log|exp|sin|cos|ln)</mi>)(?=<m(?:i|n|sub|sup|over)\b)")
SPACE = r'\1<mspace width="0.17em" />'  # between a function's name and what it is of
SIM = ("<mi>&#x0007E;</mi>", "<mo>&#x0223C;</mo>")  # ~ is a relation, with space around it
PIECES = re.compile(r"`([^`]+)`|\$([^$]+)\$|\*\*([^*]+)\*\*")


@cache
def formula(latex: str, display: bool = True) -> str:
    """Return a formula as MathML, on a line of its own or in one.

    Raises RuntimeError where latex2mathml is not installed.
    """
    try:
        from latex2mathml.converter import convert
    except ImportError as error:
        raise RuntimeError(
            "typeset equations need latex2mathml: python -m pip install 'latentgeo[audit]'"
        ) from error
    known = SIZE.sub("", latex.replace("{aligned}", "{split}"))  # what latex2mathml knows
    markup = convert(known, display="block" if display else "inline")
    markup = SIGN.sub(r'\1<mo form="prefix">', markup).replace(*SIM)
    markup = FUNCTION.sub(SPACE, markup)
    return markup.replace(' xmlns="http://www.w3.org/1998/Math/MathML"', "", 1)


def prose(text: str) -> str:
    """Return prose as HTML: its `code`, its $formulas$ and its **words** marked."""
    parts, at = [], 0
    for found in PIECES.finditer(text):
        parts.append(escape(text[at : found.start()], quote=False))
        code, latex, strong = found.groups()
        if latex is not None:
            parts.append(formula(latex, display=False))
        else:
            name = "code" if code is not None else "b"
            parts.append(f"<{name}>{escape(code or strong, quote=False)}</{name}>")
        at = found.end()
    return "".join([*parts, escape(text[at:], quote=False)])
