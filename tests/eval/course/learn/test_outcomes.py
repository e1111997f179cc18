"""What calls say, and when two say the same."""

from typing import NamedTuple

import pytest
import torch

from latentgeo.eval.course.learn.outcomes import Said, copied, difference, raised, said, same
from tests.tensors import normal


class Pair(NamedTuple):
    first: torch.Tensor
    second: float


def test_rounding_is_no_difference_and_numbers_are():
    x = normal(3, 5)
    assert same(said(x), said(x * (1 + 1e-12)))
    assert not same(said(x), said(x * (1 + 1e-3)))
    assert same(said(x.float()), said(x.float() * (1 + 1e-6)))
    assert not same(said(x), said(x.float())) and not same(said(x), said(x[:2]))
    assert difference(said(x), said(2 * x)) == pytest.approx(1)


def test_collections_words_and_nothing():
    assert same(said(Pair(normal(2), 1.5)), said(Pair(normal(2), 1.5)))
    assert not same(said(Pair(normal(2), 1.5)), said(Pair(normal(2), 2.5)))
    assert same(said({"a": [1, None, "x"]}), said({"a": [1, None, "x"]}))
    assert not same(said((1, 2)), said((1, 2, 3))) and not same(said(True), said(1))
    assert difference(said((1, 2)), said((1, 2, 3))) == float("inf")
    assert difference(said((2.0, "x")), said((3.0, "x"))) == float("inf")


def test_infinite_and_undefined_numbers_are_values():
    x = torch.tensor([1.0, float("inf"), float("nan")])
    assert same(said(x), said(x.clone())) and not same(said(x), said(x.flip(0)))
    assert difference(said(x), said(x.clone())) == 0


def test_exceptions_are_known_by_type_and_message():
    assert raised(ValueError("f at 0x7f: 3")) == "ValueError: f at : 3"
    assert same(Said(raised="ValueError"), Said(raised="ValueError"))
    assert not same(Said(raised="ValueError"), Said(raised="TypeError"))
    assert not same(Said(raised="ValueError"), said(1.0))
    assert difference(said(1.0), Said(raised="ValueError")) == float("inf")


def test_gradients_are_part_of_what_is_said():
    a, v = normal(5).requires_grad_(), normal(5, seed=1).requires_grad_()
    assert not same(said((v - a).square().mean()), said((v - a.detach()).square().mean()))
    assert same(said((v - a).square().mean()), said(((a - v) ** 2).mean()))


def test_arguments_are_copied_with_the_state_of_their_generator():
    x, generator = normal(3).requires_grad_(), torch.Generator().manual_seed(3)
    (pair, options) = copied(((Pair(x, 1.0), [x]), {"generator": generator}))
    pair[0].first.data.zero_()
    assert x.abs().min() > 0 and pair[1][0].requires_grad and pair[1][0].is_leaf
    drawn = torch.rand(2, generator=options["generator"])
    assert torch.equal(drawn, torch.rand(2, generator=generator))
