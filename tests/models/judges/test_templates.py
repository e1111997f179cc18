"""The sentences around a text: their number, and that each has one place for it."""

from latentgeo.models.judges.templates import IMAGENET, PLAIN


def test_there_are_79_sentences_each_once():
    assert len(IMAGENET) == len(set(IMAGENET)) == 79
    assert all(sentence.count("{}") == 1 for sentence in (*IMAGENET, *PLAIN))
    assert "a photo of many {}." not in IMAGENET  # the eightieth of the CLIP code's
    examples = {
        "itap of my {}.",
        "a origami {}.",
        "a photo of a hard to see {}.",
        "the {} in a video game.",
    }
    assert examples <= {*IMAGENET}
