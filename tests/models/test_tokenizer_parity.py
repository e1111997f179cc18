"""Equal ids with transformers' CLIPTokenizer, on captions and on texts that nobody would write.

The judges are all the tokenizer classes for CLIP that the installed version has, made of the files
that we write. Which ids are right for a lone surrogate is not asked: it is no text.
"""

import random
import sys
import unicodedata
from pathlib import Path

import pytest

from latentgeo.models.formats.diffusers.tokenizer import write_tokenizer
from latentgeo.models.tokenizer import Tokenizer

CAPTIONS = Path(__file__).parents[3] / "shared" / "assets" / "prompts" / "8k_coco.txt"
COUNT = 2_000
SPACES = "\t\n\v\f\r \x1c\x85\xa0\u1680\u2003\u2028\u2029\u202f\u205f\u3000\u200b\u2060\ufeff"
TEXTS = {
    "empty": ["", " ", "\n", SPACES, "\u200b", "\ufeff"],
    "odd white space": [
        *(f"a{space}cat{space}" for space in SPACES),
        "  two   spaces\t\tand tabs \r\n lines\n\n",
    ],
    "control characters": [
        *(f"a{chr(code)}cat" for code in [*range(32), *range(0x7F, 0xA0), 0xAD]),
        "\x00", "\x1b[31mred\x1b[0m", "right\u202eto\u202cleft", "a\u2066b\u2069",
    ],
    "emoji": [
        "🐱", "a 🐱🐶 pair", "👩‍👩‍👧‍👦 family", "👍🏽 thumbs",
        "🇩🇪🇫🇷", "1️⃣ 2️⃣", "☃️ ❤️ ❤", "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
        "cat🐱cat", "🤷🏾‍♀️", "😀" * 100,
    ],
    "other scripts": [
        "東京の猫", "一只猫坐在垫子上。", "고양이 한 마리", "кошка И Собака", "γάτα ΚΑΙ ΣΚΥΛΟΣ",
        "قطة على السرير", "חתול",
        "बिल्ली", "แมว", "ネコﾈｺ", "「引用」、『括弧』", "Ⅷ ½ ² ٣ 四 Ⅻ", "𝔞𝕓𝒸 𝟙𝟚𝟛",
        "漢字かな交じり文 mixed English",
    ],
    "case": [
        "İSTANBUL ıI", "STRASSE Straße ẞ", "ΟΔΥΣΣΕΥΣ Σ", "ǅ ǆ Ǆ", "ﬁ ﬂ ﬀ", "K K Å Å", "ŒUVRE Æon",
    ],
    "apostrophes": [
        "it's IT'S it’s", "we'll they've I'm he'd you're don't 'tis", "'s 't 're 've 'm 'll 'd",
        "''s'''ll", "rock'n'roll o'clock", "S'S", "'S 'LL",
    ],
    "html": [
        "&amp; &lt;b&gt; &#39; &quot;", "<p class='x'>a&nbsp;cat</p>", "&notanentity; & &&",
        "&amp;amp;",
    ],
    "numbers and signs": [
        "3.14159 1,000,000 1e-5 0x1F", "#hash_tag @name a/b\\c", "!!! ??? ...", "~`^|{}[]<>",
        "$5 €5 £5 ¥5 ₿",
        "a_b __init__ snake_case", "2024-01-31T12:00", "C++ C# .NET", "-- — – −",
        "“quoted” „quoted‟ «quoted»",
    ],
    "specials": [
        "<|startoftext|>", "<|endoftext|>", "a <|endoftext|> b", "<|ENDOFTEXT|>", "< |endoftext|>",
        "<|startoftext|><|endoftext|>x", "a</w>b </w>", "<unk> [PAD] <pad>", "\ufffd \ue000",
    ],
    "long": [
        " ".join(f"word{i}" for i in range(500)), "cat " * 500, "a" * 5_000,
        "antidisestablishmentarianism" * 40,
        "!" * 500, "猫" * 500,
    ],
}  # fmt: skip
FORMS = ("NFC", "NFD", "NFKC", "NFKD")
ACCENTED = [
    "café naïve Zürich",
    "Ångström Å",
    "가각힣 고양이",
    "ế ự ở Việt Nam",
    "ﬁn ①② ㎏ ｆｕｌｌ",
    "q̣̇ q̣̇ s̱̈",
]


@pytest.fixture(scope="module")
def full() -> Tokenizer:
    tokenizer = Tokenizer()
    tokenizer.warned = True  # the texts that are cut are meant to be
    return tokenizer


@pytest.fixture(scope="module")
def judges(full, tmp_path_factory) -> list:
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("clip")
    write_tokenizer(full, folder)
    names = ("CLIPTokenizer", "CLIPTokenizerFast")
    kinds = {getattr(transformers, name) for name in names if hasattr(transformers, name)}
    return [kind.from_pretrained(folder) for kind in kinds]


def same_rows(full, judges, texts) -> None:
    """Compare whole rows, cut and padded, and whole texts."""
    ours = full(texts).tolist()
    for judge in judges:
        rows = judge(texts, padding="max_length", max_length=77, truncation=True).input_ids
        for text, mine, theirs in zip(texts, ours, rows, strict=True):
            assert mine == theirs, f"{text[:80]!r} {type(judge).__name__}"
            assert full.encode(text) == judge(text, add_special_tokens=False).input_ids, text[:80]


@pytest.mark.parametrize("kind", TEXTS)
def test_odd_texts(full, judges, kind):
    """CLIP Sec. 2.4: each on its own, and with words around it."""
    texts = TEXTS[kind]
    same_rows(full, judges, [*texts, *(f"A Photo of {text}, framed" for text in texts)])


@pytest.mark.parametrize("form", FORMS)
def test_normal_forms(full, judges, form):
    """CLIP Sec. 2.4: composed or not, a text has the ids of its NFC; compatibility forms do not."""
    texts = [unicodedata.normalize(form, text) for text in ACCENTED]
    same_rows(full, judges, texts)
    wanted = "NFKC" if "K" in form else "NFC"
    assert (
        full(texts).tolist()
        == full([unicodedata.normalize(wanted, text) for text in ACCENTED]).tolist()
    )


def test_captions(full, judges):
    """CLIP Sec. 2.4: 2,000 captions of COCO, the first and others spread over the file."""
    if not CAPTIONS.is_file():
        pytest.skip(f"{CAPTIONS.name} is not beside this checkout")
    lines = CAPTIONS.read_text(encoding="utf-8").splitlines()
    texts = lines[:: len(lines) // COUNT][:COUNT]
    assert len(texts) == COUNT
    same_rows(full, judges, texts)


def test_texts_of_random_characters(full, judges):
    """CLIP Sec. 2.4: of all assigned characters, and of those that a page of text has."""
    rng = random.Random(0)
    code = [c for c in range(sys.maxunicode) if unicodedata.category(chr(c)) not in ("Cs", "Cn")]
    page = [*range(0x20, 0x7F)] * 3 + [*range(0xA0, 0x250)] + [0x0A, 0x27, 0x2019]
    texts = [
        "".join(map(chr, rng.choices(pool, k=29))) for pool in (code, page) for _ in range(211)
    ]
    same_rows(full, judges, texts)
