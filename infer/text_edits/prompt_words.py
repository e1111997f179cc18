"""Prompts as words with the positions of their tokens, and what an edit wants to know of them."""

from collections.abc import Sequence

import torch
from torch import Tensor

from latentgeo.core.prompt_to_prompt import Alignment, Word, align, together, word_pairs
from latentgeo.models.tokenizer import END, START, WORD_END, Tokenizer

PADDING = "<|padding|>"
GLUE = {"a", "an", "and", "the", "with", "of", "on", "in", "at"}  # words that show nothing


def words_of(tokenizer: Tokenizer, prompt: str) -> list[Word]:
    """Return the words of a prompt as the text encoder sees it: cut to its length, all positions.

    The first is the start; behind the last come the end and the padding, if there is any.
    """
    ids = tokenizer.encode(prompt)[: tokenizer.context - 2]
    words, begun = [Word(START, (0,))], 0
    for i, token in enumerate(ids):
        following = ids[i + 1] if i + 1 < len(ids) else None
        if _ends(tokenizer, token, following):
            tokens = range(begun + 1, i + 2)
            words.append(Word(_text(tokenizer, ids[begun : i + 1]), tuple(tokens)))
            begun = i + 1
    words.append(Word(END, (len(ids) + 1,)))
    padding = range(len(ids) + 2, tokenizer.context)
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
    """Return a row (1, L), float64, that is 1 at the tokens of these words and 0 elsewhere."""
    row = torch.zeros(1, tokenizer.context, dtype=torch.float64)
    said = {clean(tokenizer, word) for text in wanted for word in text.split()}
    for word in words_of(tokenizer, prompt):
        if word.text in said:
            row[0, list(word.tokens)] = 1
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


def clean(tokenizer: Tokenizer, word: str) -> str:
    """Return a word as `words_of` spells it."""
    return _text(tokenizer, tokenizer.encode(word))


def _shows(word: str) -> bool:
    return word not in GLUE and word != PADDING and any(letter.isalnum() for letter in word)


def _ends(tokenizer: Tokenizer, token: int, following: int | None) -> bool:
    """Whether a word ends with this token; a learned token of several vectors is one word."""
    learned = tokenizer.vocabulary_size
    if following is None:
        return True
    if token < learned:
        return token >= tokenizer.start or tokenizer.symbols[token].endswith(WORD_END)
    starts = {rows[0] for rows in tokenizer.learned_ids.values()}
    return following < learned or following in starts


def _text(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    if ids and max(ids) >= tokenizer.start:
        return " ".join(f"<{i}>" for i in ids)
    return tokenizer.decode(list(ids))
