"""Patterns against layers: as PEFT matches them, and for a bounded time."""

import time

import pytest

from latentgeo.models.lora import patterns
from latentgeo.models.lora.patterns import first_matches

NAMES = ["to_q", "a.to_q", "down.0.attn1.to_q", "down.0.attn2.to_k", "down.1.xto_q", "mid.conv"]


@pytest.mark.parametrize(
    "given",
    [
        ["to_q"],
        ["o_q", "attn1.to_q", "to_q"],
        ["down.0.attn2.to_k", "down"],
        ["down.*to_q", "to_q"],
        [r"^down\.\d+\.(attn1|attn2)\.to_[qk]"],
        ["^to_q"],
        ["mid)|(down"],
        ["(?=down).*", "(?:a|mid)\\..+"],
        [""],
        [],
    ],
)
def test_the_first_pattern_is_the_one_that_peft_finds(given):
    """The package's own search of patterns is the judge, name by name."""
    other = pytest.importorskip("peft.utils.other")
    wanted = {name: other.get_pattern_key(given, name) for name in NAMES}
    found = first_matches(given, NAMES)
    assert {name: found.get(name, name) for name in NAMES} == wanted


@pytest.mark.parametrize("pattern", ["([a-z_0-9.]+)+X", "(a|a|[a-z]|.)*X{1,9}"])
def test_a_pattern_without_an_end_is_stopped(monkeypatch, pattern):
    """Of a process of its own, which is then gone; the second time at once."""
    monkeypatch.setattr(patterns, "SECONDS", 1)
    start = time.monotonic()
    for _ in range(2):
        with pytest.raises(ValueError, match=r"took more than 1 s to match, wanted simpler"):
            first_matches([pattern], ["down_blocks.0.attentions.0.transformer_blocks.0.attn1" * 2])
    assert time.monotonic() - start < 20


@pytest.mark.parametrize("pattern", ["(", "a{1,99999999999999999999}", "(" * 5000 + ")" * 5000])
def test_what_is_no_pattern_is_told(pattern):
    with pytest.raises(ValueError, match="is no pattern"):
        first_matches([pattern], NAMES)
