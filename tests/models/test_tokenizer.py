"""Tests of the tokenizer: known ids, and two other implementations."""

import gzip
import pickle
import re
import warnings
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from latentgeo.models.tokenizer import MERGES, Tokenizer, byte_symbols

TEXTS = [
    "a photo of a cat",
    "A Woman's  face,\n12 years!! she's (not) we'll",
    "café naïve 東京 🐱 ﬁn",
    "antidisestablishmentarianism xqzw",
    "",
    "   ",
    "don't 'tis 's",
    "3.14159 #hash_tag a/b",
]


@pytest.fixture(scope="module")
def full() -> Tokenizer:
    return Tokenizer()


def plain_bpe(text: str, merges: int) -> list[int]:
    """Merge the best pair of each word until none is left, on lists of symbols; ASCII text only."""
    with gzip.open(MERGES, "rt", encoding="utf-8") as file:
        pairs = [tuple(line.split()) for line in file.read().split("\n")[1 : merges + 1]]
    rank = {pair: i for i, pair in enumerate(pairs)}
    ids = {}
    for end in ("", "</w>"):
        for symbol in byte_symbols().values():
            ids[symbol + end] = len(ids)
    for first, second in pairs:
        ids[first + second] = len(ids)
    found = []
    pattern = r"'s|'t|'re|'ve|'m|'ll|'d|[a-z]+|[0-9]|[^\sa-z0-9]+"
    for word in re.findall(pattern, text.lower()):
        symbols = [*word[:-1], word[-1] + "</w>"]
        while True:
            options = [pair for pair in pairwise(symbols) if pair in rank]
            if not options:
                break
            best, merged, i = min(options, key=rank.__getitem__), [], 0
            while i < len(symbols):
                both = tuple(symbols[i : i + 2]) == best
                merged.append("".join(symbols[i : i + 2]) if both else symbols[i])
                i += 2 if both else 1
            symbols = merged
        found += [ids[symbol] for symbol in symbols]
    return found


def test_known_ids(full):
    """CLIP Sec. 2.4: ids that the published tokenizer gives."""
    assert full.encode("a photo of a cat") == [320, 1125, 539, 320, 2368]
    assert full.encode("Hello, world!") == [3306, 267, 1002, 256]
    assert (full.start, full.end, full.vocabulary_size) == (49406, 49407, 49408)


@pytest.mark.parametrize("merges", [0, 1, 997, 48894])
def test_equals_plain_byte_pair_merging(merges):
    """CLIP Sec. 2.4d: the same ids as merging the best pair of each word, one at a time."""
    tokenizer = Tokenizer(merges=merges)
    for text in (text for text in TEXTS if text.isascii()):
        assert tokenizer.encode(text) == plain_bpe(text, merges), text


def test_equals_the_tokenizer_of_stable_diffusion(full, tmp_path):
    """CLIP Sec. 2.4: the same ids as transformers' tokenizer built of the same merges."""
    transformers = pytest.importorskip("transformers")
    vocabulary = {symbol: i for i, symbol in enumerate(full.symbols)}
    theirs = transformers.CLIPTokenizer(vocab=vocabulary, merges=full.pairs)
    wanted = theirs(TEXTS, padding="max_length", max_length=77, truncation=True)["input_ids"]
    assert full(TEXTS).tolist() == wanted


def test_a_row_is_start_text_end_and_padding(full):
    """CLIP Sec. 2.4d: the text between two special tokens; the padding is the end token."""
    rows = Tokenizer(context=7)(["a cat", ""])
    assert rows.dtype == torch.int64
    assert rows.tolist() == [[49406, 320, 2368, 49407, 49407, 49407, 49407], [49406] + [49407] * 6]
    assert Tokenizer(context=7)([]).shape == (0, 7)


def test_fewer_merges_are_a_prefix_of_the_vocabulary(full):
    """CLIP Sec. 2.4: every symbol of the small vocabulary has its id in the full one."""
    small = Tokenizer(merges=1009)
    assert small.vocabulary_size == 512 + 1009 + 2
    assert small.symbols[:-2] == full.symbols[: 512 + 1009]
    assert small(["zebra crossing"]).max() == small.end == small.vocabulary_size - 1


@pytest.mark.parametrize("merges", [0, 1009, None])
def test_decode_undoes_encode(merges):
    """CLIP Sec. 2.4d: words, accents and emoji come back, in lower case."""
    tokenizer = Tokenizer(merges=merges)
    text = "a café in 東京 , with a 🐱 !"
    assert tokenizer.decode(tokenizer([text.upper()])[0]) == text
    assert tokenizer.decode([0]) == "!"
    for wrong in (-1, tokenizer.vocabulary_size):
        with pytest.raises(ValueError, match=f"ids .{wrong}. are outside 0 to"):
            tokenizer.decode([wrong])


def test_too_long_is_cut_with_one_warning():
    """CLIP Sec. 2.4d: start and end are kept, the warning counts, and the second call is silent."""
    tokenizer = Tokenizer(context=5)
    with pytest.warns(UserWarning, match="1 of 2 texts are longer than 5 tokens .* has 8"):
        rows = tokenizer(["a", "a b c d e f"])
    assert rows[1].tolist() == [49406, 320, 321, 322, 49407]
    tokenizer(["a b c d e f"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Tokenizer(context=5)(["a b c"])  # just fits


def test_special_tokens_in_a_text_count_as_such(full):
    """As in Stable Diffusion's tokenizer, a written-out end token is one id."""
    assert full.encode("a<|endoftext|>b") == [320, 49407, 321]


def test_survives_pickling(full):
    """A data loader's worker gets the tokenizer by pickle, before and after its first use."""
    for tokenizer in (Tokenizer(), full):
        assert pickle.loads(pickle.dumps(tokenizer)).encode("a cat") == [320, 2368]


def test_the_file_is_read_at_the_first_use(tmp_path):
    """A missing file is named when it is needed, and not before."""
    tokenizer = Tokenizer(path=tmp_path / "merges.gz")
    assert tokenizer.vocabulary_size == 49408
    with pytest.raises(FileNotFoundError, match=r"merges\.gz"):
        tokenizer(["a"])


def test_a_short_file_is_refused(tmp_path):
    """Fewer merges than wanted is an error that names the file."""
    path = Path(tmp_path / "short.gz")
    path.write_bytes(gzip.compress(b"header\ni n\n"))
    with pytest.raises(ValueError, match=r"short\.gz: wanted 2 merges"):
        Tokenizer(merges=2, path=path).encode("a")


def test_bad_input_is_refused(full):
    """What was got and what was wanted are in the message."""
    with pytest.raises(ValueError, match="text is a int, wanted a str"):
        full(["a", 3])
    with pytest.raises(ValueError, match="wanted a list of str"):
        full("a cat")
    with pytest.raises(ValueError, match="merges is 48895"):
        Tokenizer(merges=48895)
    with pytest.raises(ValueError, match="context is 1, wanted 2"):
        Tokenizer(context=1)
    with pytest.raises(ValueError, match=r"ids \[49408\] are outside"):
        full.decode([320, 49408])
