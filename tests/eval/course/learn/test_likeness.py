"""Which mutants say what an answer says."""

import ast

import torch

from latentgeo.core.gaussian import Gaussian, exact_eps
from latentgeo.core.guidance import guide
from latentgeo.core.schedule import linear
from latentgeo.eval.course.learn.likeness import CALLS, Enough, likeness, watched
from tests.tensors import normal

GUIDE, EXACT = "core/guidance.py:guide", "core/gaussian.py:exact_eps"


def likeness_of(reference, answer):
    """Return the likeness of a function without a file."""
    return likeness(reference, answer, ast.parse(""), {})


def test_a_repair_of_the_answer_has_its_line():
    text = "import torch\n\n\ndef guide(c, u, w):\n    gap = c + u\n    return u + w * gap\n"
    names = {}
    exec(text, names)
    state = likeness(GUIDE, names["guide"], ast.parse(text), names)
    state.mutants.clear()
    watched(guide, state, GUIDE)(normal(5), normal(5, seed=1), 2.0)
    assert state.kind() == "a sign" and state.lines() == [5]


def test_a_root_that_is_missing_is_put_in():
    text = "def guide(c, u, w):\n    return (w * w) * c + (1 - w) * u\n"
    names = {}
    exec(text, names)
    state = likeness(GUIDE, names["guide"], ast.parse(text), names)
    w = torch.tensor(2.5, dtype=torch.float64)
    watched(guide, state, GUIDE)(normal(5), normal(5, seed=1), w)
    assert state.kind() == "a missing root" and state.lines() == [2]


def test_the_mutants_that_agree_are_of_one_kind():
    state = likeness_of(GUIDE, lambda c, u, w: u + c * w + w * u)
    before = len(state.mutants)
    call = watched(guide, state, GUIDE)
    for seed in range(3):
        a, b = normal(5, seed=seed), normal(5, seed=seed + 9)
        assert torch.equal(call(a, b, 2.0), guide(a, b, 2.0))
    assert state.differs and 0 < len(state.mutants) < before
    assert state.kind() == "a sign" and 0 < state.error < 10
    assert state.calls == CALLS - 3


def test_a_right_answer_looks_like_nothing():
    state = likeness_of(GUIDE, lambda c, u, w: u + w * (c - u))
    watched(guide, state, GUIDE)(normal(5), normal(5, seed=1), 2.0)
    assert not state.differs and state.kind() == "" and state.error == 0


def test_a_function_that_is_returned_is_asked_too():
    def answer(data, schedule):
        def predict(x, t):
            mean = schedule.bar(t, x).sqrt() * data.mean
            variance = schedule.bar(t, x) * data.std**2 + 1 - schedule.bar(t, x)
            return (1 - schedule.bar(t, x)) * (x - mean) / variance

        return predict

    state = likeness_of(EXACT, answer)
    data = Gaussian(torch.tensor(0.3), torch.tensor(0.7))
    call = watched(exact_eps, state, EXACT)(data, linear())
    x, t = normal(2, 3), torch.tensor([5, 300])
    assert torch.equal(call(x, t), exact_eps(data, linear())(x, t))
    assert state.kind() == "a missing root"


def test_exceptions_and_loops_are_answers():
    def answer(c, u, w):
        while True:
            pass

    state = likeness_of(GUIDE, answer)
    state.mutants.clear()
    watched(guide, state, GUIDE)(normal(2), normal(2), 1.0)
    assert state.differs and state.error == float("inf") and state.kind() == ""


def test_inside_a_transform_nothing_is_compared():
    state = likeness_of(GUIDE, lambda c, u, w: c)
    call = watched(guide, state, GUIDE)
    torch.func.vmap(lambda c, u: call(c, u, 2.0))(normal(3, 2), normal(3, 2, seed=1))
    assert state.calls == CALLS and not state.differs


def test_the_tests_end_when_enough_was_seen():
    class Item:
        class session:
            shouldstop = ""

    state = likeness_of(GUIDE, guide)
    Enough([state]).pytest_runtest_teardown(Item)
    assert Item.session.shouldstop == ""
    state.calls = 0
    Enough([state]).pytest_runtest_teardown(Item)
    assert Item.session.shouldstop
