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


WHOLE = Tokenizer()
ENGLISH = "A man of 20 with red-brown hair, it's (nice) glasses, and a 3D t-shirt: 2024!"
WORDS = [  # prompt, what is asked for, the words' texts as they stand in the prompt
    (ENGLISH, "20", ["20"]),
    (ENGLISH, "2024", ["2024"]),
    (ENGLISH, "202", []),
    (ENGLISH, "red-brown", ["red-brown"]),
    (ENGLISH, "brown", ["brown"]),  # a part, where it is no word
    (ENGLISH, "rown", []),
    (ENGLISH, "it's", ["it's"]),
    (ENGLISH, "it\u2019s", ["it's"]),
    (ENGLISH, "it", ["it"]),
    (ENGLISH, "glasses", ["glasses"]),
    (ENGLISH, "glasses,", ["glasses"]),
    (ENGLISH, '"Glasses"', ["glasses"]),
    (ENGLISH, "(nice)", ["nice"]),
    (ENGLISH, "3D", ["3d"]),
    (ENGLISH, "T-Shirt:", ["t-shirt"]),
    (ENGLISH, "a", ["a", "a"]),
    (ENGLISH, "red", ["red"]),
    ("red hair, a red-brown hat", "red", ["red"]),  # the word, and no part of another
    ("caf\u00e9 na\u00efve", "CAFE\u0301", ["caf\u00e9"]),
    ("очки, и Шляпа!", "шляпа", ["шляпа"]),
    ("очки, и Шляпа!", "очки", ["очки"]),
    ("очки, и Шляпа!", "шля", []),
    ("ΟΔΟΣ μεγάλος", "οδος", ["οδοσ"]),
    ("लड़की, लाल टोपी", "टोपी", ["टोपी"]),
    ("लड़की, लाल टोपी", "लाल", ["लाल"]),
    ("स्त्री की टोपी", "क", []),  # a letter without its vowel sign
    ("戴眼镜的女人, 20岁", "眼镜", ["眼镜"]),
    ("戴眼镜的女人, 20岁", "20", ["20"]),
    ("帽子をかぶった人", "帽子", ["帽子"]),
    ("ผู้หญิงสวมแว่นตา", "แว่นตา", ["แว่นตา"]),
    ("안경을 쓴 여자", "안경을", ["안경을"]),
    ("a cat \U0001f600 and \u2764\ufe0f", "\U0001f600", ["\U0001f600"]),
    ("a cat \U0001f600 and \u2764\ufe0f", "\u2764\ufe0f", ["\u2764\ufe0f"]),
]


def said_by(prompt: str, row: torch.Tensor) -> str:
    """Return the text of the marked tokens, decoded by the tokenizer alone, without spaces."""
    ids = WHOLE([prompt])[0]
    return WHOLE.decode(ids[row[0].bool()]).replace(" ", "")


@pytest.mark.parametrize(("prompt", "word", "texts"), WORDS, ids=[word for _, word, _ in WORDS])
def test_a_word_is_what_a_person_calls_one(prompt, word, texts):
    """Decoded on its own, what is marked is the word, all of it; it is not cut out of a longer."""
    row = marked(WHOLE, prompt, [word])
    if "眼镜" in texts:  # its first token holds the end of the character before it
        assert "眼镜" in said_by(prompt, row) and row.sum() < 7
    else:
        assert said_by(prompt, row) == "".join(texts)


@pytest.mark.parametrize("prompt", sorted({prompt for prompt, _, _ in WORDS}))
def test_words_cover_every_token_of_any_script(prompt):
    words = words_of(WHOLE, prompt)
    assert [token for word in words for token in word.tokens] == list(range(77))
    for word in words[1:-2]:
        row = torch.zeros(1, 77)
        row[0, list(word.tokens)] = 1
        assert said_by(prompt, row) == word.text.replace(" ", "")
    assert len(words[-2].tokens) == 1 and words[-2].tokens[0] == len(WHOLE.encode(prompt)) + 1


def test_learned_tokens_are_words_with_punctuation_around_them_or_without():
    tokenizer = Tokenizer(context=23, merges=200, learned={"<face>": 3, "<hat>": 2})
    prompt = "a <face>, <hat><hat> (face)"
    words = words_of(tokenizer, prompt)
    texts = [word.text for word in words[1:-2]]
    assert texts == ["a", "<face>", ",", "<hat>", "<hat>", "(", "face", ")"]
    for said, at in [("<face>", [2]), ("<Face>,", [2]), ("face", [7]), ("<hat>", [4, 5])]:
        wanted = sorted(token for i in at for token in words[i].tokens)
        assert marked(tokenizer, prompt, [said]).nonzero()[:, 1].tolist() == wanted
    assert not marked(tokenizer, prompt, ["hat"]).any()


def test_numbers_and_joined_words_change_as_a_whole():
    source, target = "a man of 20 with red-brown hair", "a man of 30 with dark-brown hair"
    assert changed_words(WHOLE, source, target) == (["20", "red-brown"], ["30", "dark-brown"])
    row = weights_of(WHOLE, target, ["30=2", "dark-brown=3"])
    assert row[0, :10].tolist() == [1, 1, 1, 1, 2, 2, 1, 3, 3, 3]
