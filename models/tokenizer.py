"""CLIP's byte-pair tokenizer: text to the token ids of Stable Diffusion's text encoder.

Paper: Learning Transferable Visual Models From Natural Language Supervision (CLIP), arXiv
2103.00020, Sec. 2.4.
Vocabulary: 256 byte symbols, the same 256 ending a word (`</w>`), one symbol per merge, and the two
special tokens. With all 48,894 merges these are CLIP's 49,408; with the first N, every id below
512 + N keeps its meaning.
Learned tokens (textual inversion) follow behind, each with as many ids as it has vectors.
Cleaning: NFC, runs of white space to one space, lower case, as Stable Diffusion's tokenizer does;
CLIP's own also repairs broken encodings and HTML entities.
"""

import gzip
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import repeat
from pathlib import Path

import tokenizers
import torch
from tokenizers import models, normalizers, pre_tokenizers
from torch import Tensor

from latentgeo.models.zoo.places import ZOO

MERGES = ZOO / "tokenizer" / "bpe_simple_vocab_16e6.txt.gz"
MERGE_COUNT = 49408 - 512 - 2  # of the file's 262,144, those CLIP uses
START, END = "<|startoftext|>", "<|endoftext|>"
WORD_END = "</w>"
READ = 1 << 19  # characters of the file of merges at a time
WORDS = r"<\|(start|end)oftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"


def byte_symbols() -> dict[int, str]:
    """Return the printable character that stands for each byte, in the order of the vocabulary."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = {byte: chr(byte) for byte in printable}
    return symbols | {byte: chr(256 + i) for i, byte in enumerate(others)}


def read_merges(path: Path, count: int) -> list[str]:
    """Return the first `count` merges of CLIP's file, two symbols with a space between them each.

    FileNotFoundError names the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"the merges of CLIP's tokenizer are not at {path}")
    text = ""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        while text.count("\n") <= count and (more := file.read(READ)):
            text += more
    lines = text.split("\n", count + 1)[1 : count + 1]  # the first line is a header
    if len(lines) != count or set(map(str.count, lines, repeat(" "))) - {1}:
        raise ValueError(f"{path}: wanted {count} merges of two symbols, got {len(lines)} lines")
    return lines


class Tokenizer:
    """Text to token ids and back. `merges` None is CLIP's full vocabulary, N the first N merges.

    `learned` gives tokens beside the vocabulary and how many ids each stands for.

    CLIP Sec. 2.4d   lower-cased byte pair encoding, bracketed by [SOS] and [EOS]

    The file of merges is read at the first use. Raises ValueError on a context below 2, and on
    more merges than CLIP has.
    """

    def __init__(
        self,
        context: int = 77,
        merges: int | None = None,
        path: Path = MERGES,
        learned: Mapping[str, int] | None = None,
    ) -> None:
        if context < 2:
            raise ValueError(f"context is {context}, wanted 2 or more: the two special tokens")
        if merges is not None and not 0 <= merges <= MERGE_COUNT:
            raise ValueError(f"merges is {merges}, wanted None or 0 to {MERGE_COUNT}")
        self.context = context
        self.merges = MERGE_COUNT if merges is None else merges
        self.path = path
        self.learned = dict(learned or {})
        self.warned = False

    @property
    def start(self) -> int:
        """Id of <|startoftext|>, 49406 in the full vocabulary."""
        return 512 + self.merges

    @property
    def end(self) -> int:
        """Id of <|endoftext|>, 49407 in the full vocabulary; it is also the padding."""
        return self.start + 1

    @property
    def vocabulary_size(self) -> int:
        """Number of token ids, 49408 in the full vocabulary, learned tokens left out."""
        return self.end + 1

    @cached_property
    def learned_ids(self) -> dict[int, list[int]]:
        """The ids that a learned token stands for, by the one id that `bpe` gives it."""
        first, found = self.vocabulary_size, {}
        for i, vectors in enumerate(self.learned.values()):
            found[self.vocabulary_size + i] = [*range(first, first + vectors)]
            first += vectors
        return found

    @cached_property
    def symbols(self) -> list[str]:
        """The vocabulary in the order of the ids."""
        single = list(byte_symbols().values())
        merged = "\n".join(self.lines).replace(" ", "").split("\n") if self.lines else []
        return [*single, *(symbol + WORD_END for symbol in single), *merged, START, END]

    @cached_property
    def lines(self) -> list[str]:
        """The merges, first to last, as a file has them: two symbols with a space between."""
        return read_merges(self.path, self.merges)

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The merges, first to last."""
        return [(first, second) for first, second in map(str.split, self.lines)]

    @cached_property
    def bpe(self) -> tokenizers.Tokenizer:
        """The compiled tokenizer: cleaning, CLIP's word pattern, bytes, merges."""
        vocabulary = {symbol: i for i, symbol in enumerate(self.symbols)}
        bpe = tokenizers.Tokenizer(
            models.BPE(vocab=vocabulary, merges=self.pairs, end_of_word_suffix=WORD_END)
        )
        spaces = normalizers.Replace(tokenizers.Regex(r"\s+"), " ")
        bpe.normalizer = normalizers.Sequence([normalizers.NFC(), spaces, normalizers.Lowercase()])
        words = pre_tokenizers.Split(tokenizers.Regex(WORDS), behavior="removed", invert=True)
        as_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False)  # parts <|ENDOFTEXT|> once more
        bpe.pre_tokenizer = pre_tokenizers.Sequence([words, as_bytes])
        bpe.add_special_tokens([START, END])
        bpe.add_tokens([tokenizers.AddedToken(token, normalized=True) for token in self.learned])
        return bpe

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, nothing added, nothing cut.

        A special token that is written out in the text counts as one.
        """
        if not isinstance(text, str):
            raise ValueError(f"text is a {type(text).__name__}, wanted a str")
        ids = self.bpe.encode(text, add_special_tokens=False).ids
        return [each for i in ids for each in self.learned_ids.get(i, [i])]

    def decode(self, ids: Sequence[int] | Tensor) -> str:
        """Return the text of `ids`: lower case, words apart, special tokens left out."""
        listed = [int(i) for i in ids]
        wrong = [i for i in listed if not 0 <= i < self.vocabulary_size]
        if wrong:
            raise ValueError(f"ids {wrong[:5]} are outside 0 to {self.vocabulary_size - 1}")
        text = "".join(self.symbols[i] for i in listed if i < self.start)
        to_byte = {symbol: byte for byte, symbol in byte_symbols().items()}
        words = text.split(WORD_END)
        decoded = (bytes(to_byte[s] for s in word).decode("utf-8", "replace") for word in words)
        return " ".join(decoded).strip()

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """Return int64 ids (B, context): start, text, end, then padding with end.

        Too long a text is cut; the tokenizer warns of the first. Raises ValueError on other types.
        """
        if isinstance(texts, str):
            raise ValueError(f"texts is the str {texts[:40]!r}, wanted a list of str")
        encoded = [self.encode(text) for text in texts]
        self.warn_of_cut([len(ids) + 2 for ids in encoded])
        rows = [[self.start, *ids[: self.context - 2], self.end] for ids in encoded]
        padded = [row + [self.end] * (self.context - len(row)) for row in rows]
        return torch.tensor(padded, dtype=torch.int64).reshape(len(rows), self.context)

    def warn_of_cut(self, lengths: list[int]) -> None:
        """Warn, once per tokenizer, of texts that do not fit."""
        cut = [length for length in lengths if length > self.context]
        if cut and not self.warned:
            self.warned = True
            warnings.warn(
                f"{len(cut)} of {len(lengths)} texts are longer than {self.context} tokens "
                f"(the longest has {max(cut)}) and were cut; later ones will be cut without a word",
                stacklevel=3,
            )
