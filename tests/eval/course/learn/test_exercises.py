"""The lists of exercises: what they name is there, and tests judge it."""

import ast
import importlib
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from latentgeo.eval.audit.ledger import ROOT
from latentgeo.eval.audit.references import locate, split_reference
from latentgeo.eval.course.learn.blank import definition, is_kernel, needed
from latentgeo.eval.course.learn.exercises import (
    chapter_names,
    exercise_of,
    exercises,
    of_chapter,
)

ALL = exercises()
each = pytest.mark.parametrize("exercise", ALL, ids=lambda one: one.key)


def test_there_are_enough_and_each_has_a_name_of_its_own():
    assert len(ALL) >= 40 and len({one.key for one in ALL}) == len(ALL)
    assert len(chapter_names()) == 10
    assert sum(one.triton for one in ALL) >= 3
    page = (ROOT / "eval" / "course" / "LECTURERS.md").read_text()
    assert f" {len(ALL)} exercises" in page


@pytest.mark.parametrize("name", chapter_names())
def test_a_chapter_has_three_to_six_and_no_function_twice(name):
    own = of_chapter(name)
    names = [function for one in own for function in one.names]
    assert 3 <= len(own) <= 6 and len(set(names)) == len(names)


@each
def test_functions_are_there_and_tests_judge_each_of_their_rows(exercise):
    for reference in exercise.functions:
        assert is_kernel(definition(reference)) == exercise.triton
    assert exercise.rows and exercise.hint
    for row in exercise.rows:
        tests = exercise.tests(row)
        assert tests
        for test in tests:
            assert (ROOT / test).is_file() or locate(test)


@each
def test_what_is_given_is_in_its_file(exercise):
    names = {name for one in exercise.functions for _, name in needed(one, exercise.given)}
    assert set(exercise.given) <= names


def test_a_wrong_name_is_told_the_nearest():
    assert of_chapter("5") == of_chapter("smooth")
    with pytest.raises(ValueError, match="what: got 'smoth', wanted chapter smooth"):
        of_chapter("smoth")
    with pytest.raises(ValueError, match="what: got 'ddim-steps', wanted exercise ddim-step"):
        exercise_of("ddim-steps")


def given() -> list[str]:
    """Return the patterns of the tests that a wheel has."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "GIVEN":
            return ast.literal_eval(node.value)
    raise LookupError("setup.py has no GIVEN")


def test_a_wheel_has_the_tests_and_what_they_import():
    files = {split_reference(f"{test}::")[0] for one in ALL for row in one.rows
             for test in one.tests(row)}  # fmt: skip
    for file in sorted(files):
        for module in re.findall(r"^from (tests[\w.]*) import", (ROOT / file).read_text(), re.M):
            files.add(module.replace(".", "/") + ".py")
    assert not {file for file in files if not any(fnmatch(file, one) for one in given())}


def test_every_import_of_a_blank_is_there():
    for reference in {one for exercise in ALL for one in exercise.functions}:
        for module, name in needed(reference, ()):
            place = Path(ROOT / module.removeprefix("latentgeo.").replace(".", "/"))
            if module.startswith("latentgeo") and not place.is_dir():
                assert name.split(" ")[0] in place.with_suffix(".py").read_text()
            elif not module.startswith("latentgeo"):
                importlib.import_module(module)
