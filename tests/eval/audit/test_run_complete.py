"""The ledger has every numbered equation, algorithm, theorem and table of the papers it covers."""

import re

import pytest

from latentgeo.eval.audit.ledger import rows

WHOLE = {  # what the papers number, and their unnumbered definitions
    "Smooth": "Eq. 1-15, Tab. 1-4, Sec. 4.1",
    "SmoothS": "Eq. 1-5, Sec. A.3",
    "Asyrp": (
        "Eq. 1-17, Alg. 1-2, Thm. 1, Tab. 1-3, Sec. 3.4, Sec. 4.1, Sec. 4.2, Sec. 5.3, Sec. J.1"
    ),
    "Iso": (
        "Eq. 1-11, Tab. 1-3, Tab. I, Sec. 3.1, Sec. 3.3, Sec. 4.1, Sec. 4.3, Sec. A.1, Sec. A.2, "
        "Sec. C, Sec. G"
    ),
    "OT": "Eq. 1-2, Sec. 2.1, Sec. 2.2, Sec. 3-5",
}
USED = {  # of works that these build on: what is used here
    "DDPM": "Eq. 2, Eq. 4, Eq. 6-7, Eq. 11, Eq. 14-15, Alg. 2, Sec. 3.3, Sec. 4",
    "IDDPM": "Eq. 15, Eq. 17, Eq. 19",
    "ADM": "Sec. 3.1",
    "DDIM": "Eq. 9, Eq. 12, Eq. 14, Eq. 16",
    "LDM": "Eq. 2-3, Eq. 25, Sec. 3.1, Sec. 3.3",
    "LoRA": "Eq. 3, Sec. 4.1",
    "CFG": "Eq. 6, Alg. 1",
    "NTI": "Alg. 1",
    "LPIPS": "Eq. 1",
    "KID": "Sec. 4",
    "FID": "Eq. 6",
    "SSIM": "Eq. 13-17",
    "CLIP": "Sec. 2.3-2.5",
    "Drag": "Eq. 2-5, Sec. 3.2, Sec. 3.4, Sec. 3.5",
    "SDEdit": "Alg. 1",
    "Cycle": "Alg. 1, Sec. 3.2",
    "P2P": "Sec. 3.2, Alg. 1",
    "PnP": "Alg. 1",
    "PixZero": "Alg. 1, Sec. 3.1-3.3",
    "Disentangle": "Sec. 4",
    "ANID": "Sec. 4.1",
    "GLU": "Eq. 5",
    "Adam": "Alg. 1",
    "CLIPScore": "Sec. 3",
}


def spread(words):
    """Return `Eq. 1-3, Sec. 4.1` as its single tags."""
    for word in words.split(", "):
        kind, number = word.split(" ")
        first, _, last = number.partition("-")
        stem, _, low = first.rpartition(".")
        high = (last or first).rpartition(".")[2]
        if not last:
            yield word
            continue
        for each in range(int(low), int(high) + 1):
            yield f"{kind} {stem}.{each}" if stem else f"{kind} {each}"


def test_spread():
    assert list(spread("Eq. 1-3, Sec. 2.3-2.4, Tab. I")) == [
        *("Eq. 1", "Eq. 2", "Eq. 3", "Sec. 2.3", "Sec. 2.4", "Tab. I")
    ]


@pytest.mark.parametrize("key", [*WHOLE, *USED])
def test_every_wanted_tag_has_a_row(key):
    known = {row.tag for row in rows(key)}
    known |= {re.sub(r"(?<=\d)[a-z]$", "", tag) for tag in known}
    missing = {f"{key} {tag}" for tag in spread((WHOLE | USED)[key])} - known
    assert not missing


def test_every_paper_is_listed():
    assert {row.key for row in rows()} == {*WHOLE, *USED}


def test_what_is_left_out_has_a_reason():
    left = {row.tag: row.notes for row in rows() if not row.implemented}
    assert all(left.values())
    assert set(left) == {"Asyrp Tab. 1", "Asyrp Sec. N.1"}
