"""The pieces of plain-text mathematics: letters with their accents, numbers, scripts, marks."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

ACCENTS = {"\u0302": "^", "\u0303": "~", "\u0304": "\u203e", "\u0307": "\u02d9"}
SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺ᵀⁿⁱ½", "0 1 2 3 4 5 6 7 8 9 − + T n i ½".split(), strict=True))
UPRIGHT = {"LS", "Tr", "Eq", "II", "IV", "VI"}  # two letters that are one name
ACCENT = "".join(ACCENTS)
TOKEN = re.compile(
    r"(?P<space>\s+)"
    r"|(?P<number>\d{1,3}(?:,\d{3})+|\d+(?:\.\d+)?(?:e-?\d+)?)"
    rf"|(?P<super>[{''.join(SUPERSCRIPTS)}]+)"
    rf"|(?P<letters>[A-Za-z]{{2,}}(?![{ACCENT}])(?:[-'][A-Za-z]+)*|[^\W\d_][{ACCENT}]*)"
    r"|(?P<dots>\.\.+|…)"
    r"|(?P<mark>.)"
)


@dataclass(frozen=True)
class Token:
    """A piece of a statement."""

    kind: str
    text: str
    spaced: bool  # after a space
    tight: bool  # followed by something without a space between


def tokens(statement: str) -> list[Token]:
    """Return the pieces of a statement."""
    text = "".join(_apart(letter) for letter in statement)
    found = [
        piece for match in TOKEN.finditer(text) for piece in _split(match.lastgroup or "", match[0])
    ]
    kinds = [kind for kind, _ in found] + ["space"]
    return [
        Token(kind, piece, i > 0 and kinds[i - 1] == "space", kinds[i + 1] != "space")
        for i, (kind, piece) in enumerate(found)
        if kind != "space"
    ]


def _split(kind: str, text: str) -> list[tuple[str, str]]:
    """Return two variables that are written as one word, as in `xW`, apart."""
    product = len(text) == 2 and text.isascii() and not text.islower() and text not in UPRIGHT
    return [(kind, letter) for letter in text] if kind == "letters" and product else [(kind, text)]


def _apart(letter: str) -> str:
    """Return a letter and its accent apart; `≠` is no letter and stays one."""
    return unicodedata.normalize("NFD", letter) if letter.isalpha() else letter
