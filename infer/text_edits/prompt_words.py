"""Prompts as words with the positions of their tokens, and what an edit wants to know of them.

A word is what a person calls one: what stands between spaces, without the punctuation around it,
which is a word of its own. So are "20", "red-brown" and "it's", of any number of tokens. Scripts
that put no spaces between words have none to go by: there a word is found inside another.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from latentgeo.core.prompt_to_prompt import Alignment, Word, align, together, word_pairs
from latentgeo.models.tokenizer import END, START, Tokenizer

PADDING = "<|padding|>"
GLUE = {"a", "an", "and", "the", "with", "of", "on", "in", "at"}  # words that show nothing
UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
ALIKE = str.maketrans("’ς", "'σ")  # letters that are typed for another


class Piece(NamedTuple):
    """A token, or a learned one of several vectors: its place in the text, and its positions."""

    begin: int
    end: int
    tokens: tuple[int, ...]
    whole: bool  # a learned or a special token, which is a word by itself


def words_of(tokenizer: Tokenizer, prompt: str) -> list[Word]:
    """Return the words of a prompt as the text encoder sees it: cut to its length, all positions.

    The first is the start; behind the last come the end and the padding, if there is any.
    """
    text = _spelled(prompt)
    pieces = _pieces(tokenizer, text)
    words = [Word(START, (0,)), *(_word(text, several) for several in _grouped(text, pieces))]
    end = sum(len(word.tokens) for word in words)
    words.append(Word(END, (end,)))
    padding = range(end + 1, tokenizer.context)
    return [*words, Word(PADDING, tuple(padding))] if padding else words


def alignment_of(
    tokenizer: Tokenizer, sources: Sequence[str], targets: Sequence[str], swap: bool = True
) -> Alignment:
    """Return the alignments (B, L, L) of B pairs of prompts."""
    pairs = zip(sources, targets, strict=True)
    return together(
        [
            align(words_of(tokenizer, one), words_of(tokenizer, other), tokenizer.context, swap)
            for one, other in pairs
        ]
    )


def marked(tokenizer: Tokenizer, prompt: str, wanted: Sequence[str]) -> Tensor:
    """Return a row (1, L), float64, that is 1 at the tokens of these words and 0 elsewhere.

    A word is given with the punctuation around it or without. Where it is none of the prompt's
    words it may be a part of one, as "brown" is of "red-brown".
    """
    row = torch.zeros(1, tokenizer.context, dtype=torch.float64)
    text = _spelled(prompt)
    pieces = _pieces(tokenizer, text)
    groups = [(several[0].begin, several[-1].end) for several in _grouped(text, pieces)]
    for said in (word for one in wanted for word in _spelled(one).split()):
        found = list(_places(text, _bare(tokenizer, said)))
        found = [place for place in found if place in groups] or found
        for begin, end in found:
            for piece in pieces:
                inside = (begin, end) == piece[:2] if piece.whole else True
                if inside and piece.begin < end and begin < piece.end:
                    row[0, list(piece.tokens)] = 1
    return row


def weights_of(tokenizer: Tokenizer, prompt: str, weights: Sequence[str]) -> Tensor:
    """Return c (1, L), float64, of `WORD=C` for words of a prompt, 1 elsewhere.

    Raises ValueError for another form, and for a word that the prompt does not have.
    """
    row = torch.ones(1, tokenizer.context, dtype=torch.float64)
    for given in weights:
        word, _, number = given.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not word or not torch.isfinite(torch.tensor(value)):
            raise ValueError(f"reweight: got {given!r}, wanted WORD=NUMBER")
        at = marked(tokenizer, prompt, [word])
        if not at.any():
            raise ValueError(f"reweight: the word {word!r} is not in the prompt {prompt!r}")
        row = torch.where(at == 1, value, row)
    return row


def changed_words(tokenizer: Tokenizer, source: str, target: str) -> tuple[list[str], list[str]]:
    """Return the words that only the source has and those that only the target has.

    Punctuation and words that nothing in an image stands for are left out.
    """
    theirs, ours = ([w.text for w in words_of(tokenizer, text)] for text in (source, target))
    kept = word_pairs(theirs, ours, swap=False)
    left, right = {i for i, _ in kept}, {j for _, j in kept}
    return (
        [text for i, text in enumerate(theirs) if i not in left and _shows(text)],
        [text for j, text in enumerate(ours) if j not in right and _shows(text)],
    )


def _shows(word: str) -> bool:
    return word not in GLUE and word != PADDING and any(letter.isalnum() for letter in word)


def _spelled(text: str) -> str:
    """Return a text as the tokenizer cleans it, so that its places are those of the tokens."""
    return "".join(map(str.lower, unicodedata.normalize("NFC", text)))  # Σ is σ wherever it is


def _pieces(tokenizer: Tokenizer, text: str) -> list[Piece]:
    """Return the tokens of a text that the encoder sees, with their positions."""
    found = tokenizer.bpe.encode(text, add_special_tokens=False)
    pieces, first = [], 1
    for token, (begin, end) in zip(found.ids, found.offsets, strict=True):
        beyond = first + len(tokenizer.learned_ids.get(token, [token]))
        tokens = tuple(range(first, min(beyond, tokenizer.context - 1)))
        if tokens:
            pieces.append(Piece(begin, end, tokens, token >= tokenizer.start))
        first = beyond
    return pieces


def _grouped(text: str, pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return the pieces of each word, in order."""
    starts = sorted({start for match in re.finditer(r"\S+", text) for start in _starts(match)})

    def word_of(numbered: tuple[int, Piece]) -> tuple[int, int]:
        number, piece = numbered
        at = sum(start <= piece.begin for start in starts)
        return at, number if piece.whole else -1

    groups = groupby(enumerate(pieces), word_of)
    return [[piece for _, piece in several] for _, several in groups]


def _word(text: str, pieces: Sequence[Piece]) -> Word:
    tokens = [token for piece in pieces for token in piece.tokens]
    return Word(text[pieces[0].begin : pieces[-1].end], tuple(tokens))


def _starts(chunk: re.Match[str]) -> tuple[int, int, int]:
    """Return where what stands between spaces begins, its word, and the punctuation behind."""
    begin, end = _inner(chunk.group())
    return chunk.start(), chunk.start() + begin, chunk.start() + end


def _inner(chunk: str) -> tuple[int, int]:
    """Return where a word begins and ends between punctuation; all of a chunk without letters."""
    letters = [i for i, letter in enumerate(chunk) if _kind(letter) in "LN"]
    if not letters:
        return 0, len(chunk)
    end = letters[-1] + 1
    while end < len(chunk) and _kind(chunk[end]) == "M":
        end += 1
    return letters[0], end


def _bare(tokenizer: Tokenizer, said: str) -> str:
    """Return a word without the punctuation around it, which a learned token keeps."""
    learned = [piece[:2] for piece in _pieces(tokenizer, said) if piece.whole]
    begin, end = learned[0] if learned else _inner(said)
    return said[begin:end]


def _kind(letter: str) -> str:
    """Return the first letter of its Unicode category: Letter, Number, Mark, or another."""
    return unicodedata.category(letter)[0]


def _places(text: str, word: str) -> Iterator[tuple[int, int]]:
    """Yield where a word is in a text, not cut out of a longer one."""
    word, text = word.translate(ALIKE), text.translate(ALIKE)
    for match in re.finditer(re.escape(word), text):
        begin, end = match.span()
        before, behind = text[max(begin - 1, 0) : begin + 1], text[end - 1 : end + 1]
        if not (begin and _joined(before)) and not (end < len(text) and _joined(behind)):
            yield begin, end


def _joined(two: str) -> bool:
    """Whether two neighbouring letters belong to one word."""
    one, other = two[0], two[1]
    if _kind(other) == "M":
        return True
    spaced = not any(unicodedata.name(letter, "").startswith(UNSPACED) for letter in two)
    return spaced and _kind(one) in "LNM" and _kind(other) in "LN"
