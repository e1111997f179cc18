"""Kinds of mistakes, of mutants of the package itself."""

import pytest

from latentgeo.eval.audit.mutants import of_reference
from latentgeo.eval.course.learn.exercises import exercises
from latentgeo.eval.course.learn.kinds import kind_of

KNOWN = {
    "core/ddpm.py:q_sample: bar.sqrt() -> bar": "a missing root",
    "core/ddpm.py:q_sample: 1 - bar -> 1 + bar": "a sign",
    "core/ddpm.py:q_sample: 1 - bar -> 2 - bar": "a number",
    "core/ddpm.py:posterior: 1 - bar_prev -> 1 - bar": "a time, one step off",
    "core/ddpm.py:q_sample: bar.sqrt() * x_0 -> bar.sqrt() / x_0": (
        "a factor that divides, or the reverse"
    ),
    "core/sphere.py:scaled_metric: 2 * r ** 2 -> 2 * (r * 2)": "an exponent",
    "core/sphere.py:scaled_metric: r ** 2 -> r ** 3": "an exponent",
    "core/sphere.py:unit_chart: (:, :-1) -> (:, :-2)": "an index",
    "core/separability.py:linear_separability: -1 -> -2": "a dimension",
    "core/smooth.py:regularizer: a.detach() -> a": "a gradient that should stop",
    "core/isometry.py:pullback: J.mT @ J -> J @ J.mT": "the order of a product",
    "core/asyrp.py:phases: t >= t_edit -> t > t_edit": "a comparison",
    "core/asyrp.py:phases: ~edits -> edits": "a condition",
    "core/guidance.py:guide: 1 - w -> 0 - w": "a number",
}


def test_kinds_of_known_mutants():
    mutants = {
        mutant.key: kind_of(mutant)
        for exercise in exercises()
        for reference in exercise.functions
        for mutant in of_reference(reference, ())
    }
    found = {key: mutants.get(key) for key in KNOWN}
    assert {key: kind for key, kind in found.items() if kind} == {
        key: KNOWN[key] for key, kind in found.items() if kind
    }
    assert sum(kind is not None for kind in found.values()) >= 10, found


@pytest.mark.parametrize("exercise", exercises(), ids=lambda one: one.key)
def test_every_mutant_of_an_exercise_has_a_kind(exercise):
    for reference in exercise.functions:
        for mutant in of_reference(reference, ()):
            assert kind_of(mutant)
