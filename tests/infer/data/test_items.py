"""Reasons, the record of refusals, captions, and paths that a file must not name."""

import pickle

import pytest

from latentgeo.infer.data.items import BadItem, Rejects, clean_caption, leaves_root


def test_rejects_warn_once_per_reason_and_count_items_once():
    """Ten bad items of two reasons are two warnings and one summary."""
    rejects = Rejects("skip")
    with pytest.warns(UserWarning) as caught:
        for _ in range(2):
            for i in range(5):
                rejects.add(BadItem(f"{i}.png", "too small" if i else "empty file"))
    assert len(caught) == 2
    assert rejects.summary() == "skipped 5 items: 4 too small, 1 empty file"
    with pytest.raises(ValueError, match="'skip' or 'fail'"):
        Rejects("ignore")


def test_captions_are_one_line_of_text():
    """White space is folded; text in any script passes."""
    assert clean_caption("a\n b\u00a0 c", "x") == "a b c"
    assert clean_caption("猫 🐈".encode(), "x") == "猫 🐈"


@pytest.mark.parametrize("path", ["a/b.png", "a..b/c.png", "...png", "C.png"])
def test_ordinary_paths_stay(path):
    """Dots inside a name are no way out."""
    assert not leaves_root(path)


@pytest.mark.parametrize("path", ["../a", "a/../b", "/a", "a\\..\\b", "C:a", "\\\\host\\a", "a\0"])
def test_paths_that_could_leave_are_refused(path):
    """Both separators, drives and hosts count on every system."""
    assert leaves_root(path)


def test_bad_item_survives_pickling():
    """It crosses from a worker process with its reason."""
    bad = pickle.loads(pickle.dumps(BadItem("a.png", "too small", "1 x 1")))
    assert str(bad) == "a.png: too small (1 x 1)" and bad.reason == "too small"
