"""A class's marks."""

import csv

import pytest

from latentgeo.eval.course.learn.exercises import exercise_of
from latentgeo.eval.course.learn.marks import exercises_in, files_of, lacking, marks, table
from tests.eval.course.learn.answers import gone, here, written

POSTERIOR, GUIDANCE = exercise_of("posterior"), exercise_of("guidance")
OWN = {
    "guide": "def guide(c, u, w):\n    return w * (c - u) + u",
}


@pytest.fixture
def handed_in(tmp_path):
    """A class of three: one who copied, one who thought, one who handed in something else."""
    for place, functions in (("anna", here(POSTERIOR)), ("ben/going-back", OWN | gone(POSTERIOR))):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "exercise.py").write_text(written(POSTERIOR, functions))
    (tmp_path / "carl").mkdir()
    (tmp_path / "carl" / "exercise.py").write_text("no Python")
    (tmp_path / ".git").mkdir()
    return tmp_path


def test_the_table_is_the_same_twice_and_knows_the_package_s_code(handed_in, bench):
    told = []
    first, again = (table(marks(handed_in, bench, told.append)) for _ in range(2))
    assert first == again and [one.name for one in told] == 2 * ["anna", "ben", "carl"]
    rows = {row["student"]: row for row in csv.DictReader(first.splitlines())}
    assert rows["anna"]["right"] == rows["anna"]["as in the package"] == "1"
    assert rows["ben"]["right"] == "1" and rows["ben"]["as in the package"] == "0"
    assert rows["anna"]["posterior"] == rows["ben"]["guidance"] == "right"
    assert rows["anna"]["guidance"] == "open" and rows["ben"]["posterior"] == "wrong"
    assert rows["carl"]["right"] == "0" and rows["carl"]["posterior"] == ""
    assert not lacking(told) or "fence" not in first


def test_a_file_is_of_the_chapter_that_its_functions_are_of(tmp_path):
    path = tmp_path / "exercise.py"
    path.write_text("def slerp(): ...\ndef radius(): ...\ndef guide(): ...\n")
    assert exercises_in(path)[0].chapter == "sphere" and files_of(tmp_path) == [path]
    path.write_text("x = 1\n")
    with pytest.raises(ValueError, match="got no function of an exercise"):
        exercises_in(path)
    path.write_text("x = \n")
    with pytest.raises(ValueError, match=r"exercise\.py:1: invalid syntax"):
        exercises_in(path)
