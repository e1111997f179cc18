"""The tokenizer of a diffusers folder: checked against CLIP's own merges, which are in the package.

The folder has vocab.json and merges.txt, or both in one tokenizer.json. What they hold decides
which numbers the text encoder gets, so it is compared symbol by symbol and not trusted.
"""

import json
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path

from latentgeo.core.run.files import atomic_write
from latentgeo.core.run.text import read_text
from latentgeo.models.formats.files.json_kinds import TABLE, TEXT, Kind, several
from latentgeo.models.formats.files.json_object import read_json
from latentgeo.models.formats.files.json_settings import Reader
from latentgeo.models.tokenizer import END, START, Tokenizer

WHOLE, VOCABULARY, MERGES = "tokenizer.json", "vocab.json", "merges.txt"
MERGE = Kind("two symbols", lambda found: _merge(found))
HEADER = "#version: 0.2"  # first line of merges.txt


def check_tokenizer(folder: Path, ours: Tokenizer) -> None:
    """Raise unless the folder's tokenizer gives every text the ids that ours gives it.

    FileNotFoundError if there is none; ValueError names the first symbol or merge that differs, and
    tokens that were added to the vocabulary.
    """
    where, vocabulary, merges = _read(folder)
    added = _added(folder) - {START, END}
    if added:
        raise ValueError(
            f"{folder} adds the tokens {sorted(added)[:5]} to CLIP's; save them as a textual "
            "inversion, and the text encoder without them"
        )
    symbols = {symbol: i for i, symbol in enumerate(ours.symbols)}
    if vocabulary != symbols:
        other = next(
            (f"{s!r} is {vocabulary.get(s)}" for s, i in symbols.items() if vocabulary.get(s) != i),
            f"it has {len(vocabulary)} symbols",
        )
        raise ValueError(f"{where} is not CLIP's vocabulary of {len(symbols)} symbols: {other}")
    if merges != ours.lines:
        _check_merges(where, merges, ours.lines)
    _check_padding(folder)


def write_tokenizer(ours: Tokenizer, folder: Path) -> None:
    """Write vocab.json, merges.txt and the settings that transformers needs beside them."""
    vocabulary = {symbol: i for i, symbol in enumerate(ours.symbols)}
    lines = [HEADER, *ours.lines]
    specials = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": END}
    settings = {
        **specials,
        "add_prefix_space": False,
        "do_lower_case": True,
        "model_max_length": ours.context,
        "tokenizer_class": "CLIPTokenizer",
    }
    atomic_write(folder / VOCABULARY, json.dumps(vocabulary, ensure_ascii=False))
    atomic_write(folder / MERGES, "\n".join(lines) + "\n")
    atomic_write(folder / "special_tokens_map.json", json.dumps(specials, indent=2) + "\n")
    atomic_write(folder / "tokenizer_config.json", json.dumps(settings, indent=2) + "\n")


def _read(folder: Path) -> tuple[Path, dict[str, int], list[str]]:
    """Return the file, the vocabulary, and the merges as lines of two symbols."""
    if (folder / VOCABULARY).is_file() and (folder / MERGES).is_file():
        lines = read_text(folder / MERGES).split("\n")
        merges = [line for line in lines if line and not line.startswith("#version")]
        return folder / VOCABULARY, read_json(folder / VOCABULARY), merges
    if (folder / WHOLE).is_file():
        model = _whole(folder).take("model", {}, TABLE)
        inner = Reader(f"{folder / WHOLE}, model", dict(model))
        pairs = inner.take("merges", (), several(MERGE, least=0))
        return folder / WHOLE, inner.take("vocab", {}, TABLE), [*pairs]
    raise FileNotFoundError(
        f"no tokenizer in {folder}: wanted {VOCABULARY} and {MERGES}, or {WHOLE}"
    )


def _merge(found: object) -> str | None:
    """Return a merge as a line; files have it so, or as a list of its symbols."""
    symbols = several(TEXT).of(found)
    return found if isinstance(found, str) else None if symbols is None else " ".join(symbols)


def _check_merges(where: Path, merges: list[str], ours: list[str]) -> None:
    """Raise for the first merge that is not ours, however many spaces are in its line."""
    found = [line.split() for line in merges]
    if any(len(pair) != 2 for pair in found):
        raise ValueError(f"{where} has a merge that is not of two symbols")
    for i, (pair, line) in enumerate(zip_longest(found, ours)):
        if line is None or pair != line.split():
            raise ValueError(f"{where} does not have CLIP's merges: number {i + 1} differs")


def _added(folder: Path) -> set[str]:
    """Return the tokens that stand beside the vocabulary."""
    found: set[str] = set()
    if (folder / "added_tokens.json").is_file():
        found |= set(read_json(folder / "added_tokens.json"))
    if (folder / WHOLE).is_file():
        rows = _whole(folder).take("added_tokens", (), several(TABLE, least=0))
        where = f"{folder / WHOLE}, added_tokens"
        found |= {Reader(where, dict(row)).take("content", "", TEXT) for row in rows}
    return found


def _whole(folder: Path) -> Reader:
    return Reader(str(folder / WHOLE), read_json(folder / WHOLE))


def _check_padding(folder: Path) -> None:
    """Raise if texts are padded with another token than the one that ends them."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if not (folder / name).is_file():
            continue
        token = read_json(folder / name).get("pad_token", END)
        content = token.get("content") if isinstance(token, Mapping) else token
        if content not in (END, None):
            raise ValueError(f"{folder / name}: pad_token is {content!r}, wanted {END!r}")
