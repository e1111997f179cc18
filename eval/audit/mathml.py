"""Plain-text mathematics, as the ledger's statements have it, typeset in MathML.

Grammar   what is written without a space belongs together: `x_t`, `x^{k+1}`, `ε_θ(x_t, t)`;
          `_` and `^` take a letter run, a number, or a group in braces; superscript characters
          (², ᵀ, ⁻¹), a star and a prime are superscripts; `√` takes the next factor, `/` the
          factors beside it, without their parentheses; `‖…‖`, `⟨…⟩`, `(…)`, `[…]`, `|…|` pair;
          `Σ` and `Π` have their limits below; accents are combining characters
Words     runs of two or more letters that no bracket or script follows are prose, and stay text
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from latentgeo.eval.audit.symbols import ACCENT, ACCENTS, SUPERSCRIPTS, Token, tokens

PAIRS = {"(": ")", "[": "]", "{": "}", "⟨": "⟩", "‖": "‖", "|": "|"}
CLOSING = set(PAIRS.values()) - {"‖", "|"}
BIG = {"Σ": "∑", "Π": "∏"}
PREFIXES = "Δ∂∇"
SYMBOLS = "∅∞*"  # stand for something, as letters do
FUNCTIONS = set(
    "exp log ln cos sin min max argmin argmax Tr Var sg slerp lerp softmax LS MCN VoR".split()
)


class Unparsed(ValueError):
    """A statement that is not of this grammar."""


@dataclass(frozen=True)
class Piece:
    """A typeset piece, and whether it is prose."""

    markup: str
    prose: bool = False
    spaced: bool = False


def typeset(statement: str) -> str | None:
    """Return a statement as HTML with its formulas in MathML, or None if it cannot be parsed."""
    try:
        parser = Parser(tokens(statement))
        pieces = parser.sequence(set())
        if parser.token is not None:
            raise Unparsed(parser.token.text)
    except Unparsed:
        return None
    return _inline(pieces)


def _inline(pieces: list[Piece]) -> str:
    """Return prose as text and what lies between as formulas."""
    parts: list[str] = []
    formula: list[str] = []
    for piece in [*pieces, Piece("", prose=True)]:
        if not piece.prose:
            parts.append(" " if piece.spaced and not formula else "")
            apart = piece.spaced and formula and "<mtext>" in piece.markup
            formula.append(('<mspace width="0.3em"/>' if apart else "") + piece.markup)
            continue
        if formula:
            parts.append(f'<math displaystyle="true">{"".join(formula)}</math>')
            formula = []
        parts.append((" " if piece.spaced else "") + piece.markup)
    return "".join(parts).strip()


class Parser:
    """A descent over the tokens of one statement."""

    def __init__(self, found: list[Token]) -> None:
        self.found = found
        self.place = 0

    @property
    def token(self) -> Token | None:
        """The token at hand, None at the end."""
        return self.found[self.place] if self.place < len(self.found) else None

    def take(self) -> Token:
        """Return the token at hand and go on; raise `Unparsed` at the end."""
        token = self.token
        if token is None:
            raise Unparsed("it ends within a formula")
        self.place += 1
        return token

    def tight(self, texts: str) -> bool:
        """Whether the token at hand is one of these marks, with no space before it."""
        token = self.token
        return token is not None and not token.spaced and token.text in texts

    def sequence(self, stop: set[str]) -> list[Piece]:
        """Return pieces up to a closing mark; raise `Unparsed` for one that closes nothing."""
        pieces: list[Piece] = []
        while (token := self.token) is not None and token.text not in stop:
            if token.text in CLOSING:
                raise Unparsed(token.text)
            if self._is_prose(token):
                pieces.append(self._prose(pieces))
            else:
                pieces.append(Piece(self.fraction(), spaced=token.spaced))
        return pieces

    def _is_prose(self, token: Token) -> bool:
        text = token.text
        after = self.found[self.place + 1] if self.place + 1 < len(self.found) else None
        if token.kind != "letters" or (after and token.tight and after.text in "_([^"):
            return False
        if text in ("a", "A"):  # the article, not a variable
            return after is not None and after.kind == "letters" and len(after.text) > 2
        if not text.isascii() or len(text) == 1 or text in FUNCTIONS:
            return False
        return not (after and after.text in "=~")

    def _prose(self, before: list[Piece]) -> Piece:
        token = self.take()
        text = token.text
        while (mark := self.token) is not None and not mark.spaced and mark.text in ",;:.":
            text += self.take().text
        return Piece(escape(text), prose=True, spaced=token.spaced and bool(before))

    def fraction(self) -> str:
        """Return factors over each other: a / b."""
        markup = self.factor()
        while (token := self.token) is not None and token.text == "/":
            self.take()
            markup = f"<mfrac>{_bare(markup)}{_bare(self.factor())}</mfrac>"
        return markup

    def factor(self) -> str:
        """Return something with its scripts and its arguments."""
        token = self.take()
        if token.text in PREFIXES and token.tight and not self.tight("_^=,;)]'*²ᵀ"):
            return f"<mrow><mi>{token.text}</mi>{self.factor()}</mrow>"
        markup = self._scripts(self._base(token), big=token.text in BIG and self.tight("_"))
        if token.kind == "letters" and self.tight("(["):
            arguments = self._group(self.take())
            markup = self._scripts(f"<mrow>{markup}{arguments}</mrow>")
        gap = token.spaced and token.text in FUNCTIONS  # w max(x, 0)
        return f'<mrow><mspace width="0.17em"/>{markup}</mrow>' if gap else markup

    def _base(self, token: Token) -> str:
        text = token.text
        if text == "√":
            return f'<msqrt><mrow displaystyle="false">{_bare(self.factor())}</mrow></msqrt>'
        if text in BIG and (not token.tight or self.tight("_")):  # Π(x) is a map
            return f"<mo>{BIG[text]}</mo>"
        if text in PAIRS and (text != "|" or self._opens()):
            return self._group(token)
        if token.kind == "letters":
            return _letters(text)
        if token.kind == "number":
            return f"<mn>{text}</mn>"
        if token.kind == "super":
            return _superscript(text)
        if text in SYMBOLS:
            return f"<mi>{text}</mi>"
        if text in "_^":
            raise Unparsed(text)
        return f"<mo>{escape({'-': '−', '~': '∼'}.get(text, text))}</mo>"

    def _opens(self) -> bool:
        """Whether the bar just taken opens |…|: after an operator, with nothing between."""
        before = self.found[self.place - 2] if self.place > 1 else None
        return before is None or before.text in "=+-("

    def _group(self, opening: Token) -> str:
        closing = PAIRS[opening.text]
        inside = _formula(self.sequence({closing}))
        if self.take().text != closing:
            raise Unparsed(opening.text)
        fence = '<mo fence="true">{}</mo>'
        return f"<mrow>{fence.format(opening.text)}{inside}{fence.format(closing)}</mrow>"

    def _scripts(self, base: str, big: bool = False) -> str:
        """Return a base with the subscript and the superscripts that follow it."""
        below, above = "", ""
        while True:
            token = self.token
            if token is None or token.spaced:
                break
            if token.text == "_" and not below:
                below = self._script(nested=True)
            elif token.text == "^" and not above:
                above = self._script(nested=False)
            elif token.kind == "super" or token.text in "*'′":
                above += _superscript(self.take().text)
            else:
                break
        return _attach(base, below, above, big)

    def _script(self, nested: bool) -> str:
        self.take()
        token = self.take()
        if token.text == "{":
            inside = _formula(self.sequence({"}"}))
            self.take()
            return f"<mrow>{inside}</mrow>"
        if token.kind in ("letters", "number", "super"):
            markup = _letters(token.text) if token.kind == "letters" else ""
            if token.kind != "letters":
                number = token.kind == "number"
                markup = f"<mn>{token.text}</mn>" if number else _superscript(token.text)
            if nested and self.tight("_"):
                markup = f"<msub>{markup}{self._script(nested=True)}</msub>"
            return markup
        if token.text == "(":
            return self._group(token)
        if token.text in SYMBOLS:
            return f"<mi>{token.text}</mi>"
        raise Unparsed(token.text)


def _formula(pieces: list[Piece]) -> str:
    """Return pieces as one formula, in which prose keeps its spaces."""
    markup = ""
    for i, piece in enumerate(pieces):
        gap = "&#160;" if piece.spaced and i else ""
        after = "&#160;" if i + 1 < len(pieces) and not pieces[i + 1].prose else ""
        markup += f"<mtext>{gap}{piece.markup}{after}</mtext>" if piece.prose else piece.markup
    return markup


def _letters(text: str) -> str:
    base = text.rstrip(ACCENT)
    if base != text:
        accent = "".join(ACCENTS[mark] for mark in text[len(base) :])
        return f'<mover accent="true"><mi>{base}</mi><mo>{accent}</mo></mover>'
    return f"<mi>{text}</mi>"


def _superscript(text: str) -> str:
    if text in "*'′":
        return f"<mo>{'′' if text != '*' else '*'}</mo>"
    plain = "".join(SUPERSCRIPTS[letter] for letter in text)
    if plain == "½":
        return "<mfrac><mn>1</mn><mn>2</mn></mfrac>"
    sign = "<mo>−</mo>" if plain[0] == "−" else ""
    rest = plain.lstrip("−")
    kind = "mn" if rest.isdigit() else "mi"
    return f"<mrow>{sign}<{kind}>{rest}</{kind}></mrow>"


def _attach(base: str, below: str, above: str, big: bool) -> str:
    under, over, both = ("munder", "mover", "munderover") if big else ("msub", "msup", "msubsup")
    if below and above:
        return f"<{both}>{base}{below}<mrow>{above}</mrow></{both}>"
    if below:
        return f"<{under}>{base}{below}</{under}>"
    return f"<{over}>{base}<mrow>{above}</mrow></{over}>" if above else base


def _bare(markup: str) -> str:
    """Return a factor as one element, without the parentheses around all of it."""
    start, end = '<mrow><mo fence="true">(</mo>', '<mo fence="true">)</mo></mrow>'
    inside = markup[len(start) : -len(end)]
    enclosed = markup.startswith(start) and markup.endswith(end) and _balanced(inside, start, end)
    return f"<mrow>{inside if enclosed else markup}</mrow>"


def _balanced(markup: str, start: str, end: str) -> bool:
    """Whether every closing mark comes after its opening one."""
    depth = 0
    for mark in re.findall(f"{re.escape(start)}|{re.escape(end)}", markup):
        depth += 1 if mark == start else -1
        if depth < 0:
            return False
    return depth == 0
