"""Prompts as words: every position belongs to one word, and words are found again."""

import pytest
import torch

from latentgeo.infer.text_edits.prompt_words import (
    alignment_of,
    changed_words,
    marked,
    weights_of,
    words_of,
)
from latentgeo.models.tokenizer import Tokenizer

TOKENIZER = Tokenizer(context=23, merges=200)
PROMPT = "a person with Red hair, and glasses"


def test_every_position_belongs_to_one_word_in_order():
    words = words_of(TOKENIZER, PROMPT)
    tokens = [token for word in words for token in word.tokens]
    assert tokens == list(range(23))
    texts = [word.text for word in words]
    assert texts[1:-2] == ["a", "person", "with", "red", "hair", ",", "and", "glasses"]
    ids = TOKENIZER([PROMPT])[0]
    for word in words[1:-2]:
        assert TOKENIZER.decode(ids[list(word.tokens)]) == word.text
    assert len(words[8].tokens) > 1  # 200 merges do not make "glasses" one token


def test_a_prompt_that_is_too_long_is_cut_as_the_encoder_cuts_it():
    """What is left of the last word is a word; nothing is left for padding."""
    words = words_of(TOKENIZER, PROMPT + " wearing sunglasses")
    tokens = [token for word in words for token in word.tokens]
    assert tokens == list(range(23)) and words[-1].tokens == (22,)


def test_a_learned_token_is_one_word_with_all_its_vectors():
    tokenizer = Tokenizer(context=23, merges=200, learned={"<face>": 3, "<hat>": 2})
    words = words_of(tokenizer, "a <face> <hat> <hat> person")
    assert [len(word.tokens) for word in words[2:5]] == [3, 2, 2]
    assert words[3].text == words[4].text != words[2].text


def test_words_are_marked_with_all_their_tokens():
    row = marked(TOKENIZER, PROMPT, ["red hair", "Glasses"])
    words = {word.text: word.tokens for word in words_of(TOKENIZER, PROMPT)}
    expected = sorted([*words["red"], *words["hair"], *words["glasses"]])
    assert row.nonzero()[:, 1].tolist() == expected
    assert not marked(TOKENIZER, PROMPT, ["beard"]).any()


def test_weights_are_of_words_in_the_prompt():
    row = weights_of(TOKENIZER, PROMPT, ["glasses=-0.5", "red=2"])
    assert row[0, list(words_of(TOKENIZER, PROMPT)[8].tokens)].unique().tolist() == [-0.5]
    assert (row == 1).sum() == 23 - (row != 1).sum() and 2.0 in row
    assert torch.equal(weights_of(TOKENIZER, PROMPT, []), torch.ones(1, 23).double())
    for wrong, message in [
        ("beard=2", "the word 'beard' is not in the prompt"),
        ("glasses", "got 'glasses', wanted WORD=NUMBER"),
        ("glasses=nan", "wanted WORD=NUMBER"),
        ("=2", "wanted WORD=NUMBER"),
    ]:
        with pytest.raises(ValueError, match=message):
            weights_of(TOKENIZER, PROMPT, [wrong])


def test_changed_words_leave_out_what_shows_nothing():
    source, target = "a person with red hair and glasses", "a person with red hair, a beard and"
    assert changed_words(TOKENIZER, source, target) == (["glasses"], ["beard"])
    assert changed_words(TOKENIZER, source, source) == ([], [])


def test_alignments_are_of_each_pair():
    sources, targets = ["a red car", "a red car"], ["a blue car", "a red car"]
    found = alignment_of(TOKENIZER, sources, targets)
    assert found.matrix.shape == (2, 23, 23) and not found.own.any()
    assert torch.equal(found.matrix[1], torch.eye(23).double())
    assert alignment_of(TOKENIZER, sources, targets, swap=False).own.any(1).tolist() == [
        True,
        False,
    ]
