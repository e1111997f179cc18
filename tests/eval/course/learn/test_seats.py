"""Answers in the places of functions, wherever these have been taken to."""

import ast
import importlib
import sys

import pytest

from latentgeo.eval.course.learn.blank import definition
from latentgeo.eval.course.learn.seats import answers_of, seated, variant

SLERP, SWEEP = "core/interpolate.py:slerp", "core/interpolate.py:sweep"


@pytest.fixture
def fresh():
    """Modules and finders as they were, behind a test that loads some anew."""
    modules, finders = dict(sys.modules), list(sys.meta_path)
    yield
    sys.modules.clear()
    sys.modules.update(modules)
    sys.meta_path[:] = finders
    for name, module in modules.items():  # a package holds its modules, too
        package, _, own = name.rpartition(".")
        if package.startswith("latentgeo") and package in modules:
            setattr(modules[package], own, module)


def test_a_default_that_was_taken_before_has_the_answer(fresh):
    seats = seated([SLERP])
    interpolate = importlib.import_module("latentgeo.core.interpolate")
    seats.take(SLERP, lambda a, b, w: a + w)
    assert interpolate.sweep(interpolate.torch.zeros(1, 2), None, 3)[1].tolist() == [[0.5, 0.5]]
    assert seats.ours[SLERP].__name__ == "slerp" and interpolate.slerp.__doc__.startswith("Return")


def test_an_answer_is_a_module_of_its_own_and_the_other_exercises_are_ours(fresh):
    seats = seated([SLERP])
    text = (
        "from math import pi\ndef slerp(a, b, w):\n    return sweep, pi\ndef sweep():\n    1 / 0\n"
    )
    answers = answers_of(text, "a.py", seats, [SWEEP])
    ours = importlib.import_module("latentgeo.core.interpolate").sweep
    assert answers[SLERP](0, 0, 0)[0] is ours
    assert answers_of("x = 1\n", "a.py", seats, []) == {}


def test_a_variant_is_made_among_the_names_of_its_module():
    node = definition("core/guidance.py:guide")
    assert variant("core/guidance.py:guide", node)(3.0, 1.0, 2.0) == 5.0
    node = ast.parse("def guide(a, b, w):\n    return Tensor").body[0]
    assert variant("core/guidance.py:guide", node)(0, 0, 0).__name__ == "Tensor"
