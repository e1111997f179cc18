"""The tokenizer of a folder is CLIP's own, symbol by symbol, or it is refused."""

import json

import pytest

from latentgeo.models.formats.diffusers.tokenizer import check_tokenizer, write_tokenizer
from latentgeo.models.tokenizer import Tokenizer

OURS = Tokenizer(merges=200)


@pytest.fixture
def folder(tmp_path):
    write_tokenizer(OURS, tmp_path)
    return tmp_path


def edit(path, change):
    table = json.loads(path.read_text(encoding="utf-8"))
    change(table)
    path.write_text(json.dumps(table), encoding="utf-8")


def whole(folder):
    """Put vocabulary and merges into one tokenizer.json, as transformers 5 does."""
    vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    lines = (folder / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]
    for name in ("vocab.json", "merges.txt"):
        (folder / name).unlink()
    table = {
        "added_tokens": [{"content": "<|startoftext|>"}, {"content": "<|endoftext|>"}],
        "model": {"vocab": vocabulary, "merges": [line.split() for line in lines]},
    }
    (folder / "tokenizer.json").write_text(json.dumps(table), encoding="utf-8")


@pytest.mark.parametrize("one_file", [False, True])
def test_what_we_write_is_clips(folder, one_file):
    if one_file:
        whole(folder)
    check_tokenizer(folder, OURS)


def test_the_full_vocabulary(tmp_path):
    write_tokenizer(Tokenizer(), tmp_path)
    check_tokenizer(tmp_path, Tokenizer())
    assert len(json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))) == 49408


def test_transformers_reads_what_we_write(folder):
    transformers = pytest.importorskip("transformers")
    theirs = transformers.CLIPTokenizer.from_pretrained(folder)
    for text in ("a smiling face", "Zwölf Boxkämpfer 🦊 jagen", "it's 1234!", ""):
        ids = theirs(text, padding="max_length", max_length=77, truncation=True).input_ids
        assert ids == OURS([text])[0].tolist()
    theirs.save_pretrained(folder / "again")
    check_tokenizer(folder / "again", OURS)


def test_another_vocabulary_is_refused(folder):
    def swap(table):
        table["a"], table["b"] = table["b"], table["a"]

    edit(folder / "vocab.json", swap)
    with pytest.raises(ValueError, match=r"is not CLIP's vocabulary of 714 symbols: 'a' is \d+"):
        check_tokenizer(folder, OURS)


def test_a_longer_vocabulary_is_refused(folder):
    edit(folder / "vocab.json", lambda table: table.update(extra=714))
    with pytest.raises(ValueError, match="it has 715 symbols"):
        check_tokenizer(folder, OURS)


def test_other_merges_are_refused(folder):
    path = folder / "merges.txt"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[3], lines[4] = lines[4], lines[3]
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ValueError, match="does not have CLIP's merges: number 3 differs"):
        check_tokenizer(folder, OURS)
    path.write_text("\n".join(lines[:-1]) + "\nonly-one\n", encoding="utf-8")
    with pytest.raises(ValueError, match="a merge that is not of two symbols"):
        check_tokenizer(folder, OURS)


@pytest.mark.parametrize("one_file", [False, True])
def test_added_tokens_are_refused_with_a_way_out(folder, one_file):
    if one_file:
        whole(folder)
        edit(
            folder / "tokenizer.json",
            lambda table: table["added_tokens"].append({"content": "<x>"}),
        )
    else:
        (folder / "added_tokens.json").write_text('{"<x>": 714}')
    with pytest.raises(ValueError, match=r"adds the tokens \['<x>'\] .* textual inversion"):
        check_tokenizer(folder, OURS)


@pytest.mark.parametrize("token", ["!", {"content": "!"}])
def test_other_padding_is_refused(folder, token):
    """Stable Diffusion 2 pads with `!`; the text encoder reads the padding."""
    edit(folder / "tokenizer_config.json", lambda table: table.update(pad_token=token))
    with pytest.raises(ValueError, match=r"tokenizer_config\.json: pad_token is '!'"):
        check_tokenizer(folder, OURS)


def test_no_tokenizer_names_the_files_wanted(tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"wanted vocab\.json and merges\.txt, or tokenizer"
    ):
        check_tokenizer(tmp_path, OURS)
