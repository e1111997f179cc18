"""Shifts of ε and of other images: their places in a step, their sizes, their donors."""

from dataclasses import replace

import pytest
import torch

from latentgeo.core import asyrp
from latentgeo.core.schedule import batch_time
from latentgeo.eval.audit.errors import deviates, differs
from latentgeo.eval.semantic.shifts import (
    as_large,
    as_large_eps,
    donated,
    donated_eps,
    norms,
    own_shift,
    relative,
    relative_eps,
    shift_eps,
    variance_kept,
)
from latentgeo.infer.semantic.editing import Attribute, Editing, edit, editing_times
from latentgeo.models.bundles.delta_h import GlobalDirection
from tests.infer.semantic.test_editing import attribute, drawing, given


def ending(t_edit, **how):
    """What shifts of ε need of an edit: where it ends."""
    one = Attribute(direction=GlobalDirection(torch.zeros(1)), t_edit=t_edit, S=1)
    return Editing(attributes=[one], scales=torch.ones(3, 1), **how)


@torch.no_grad()
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("name", "layer"), [("ddpm", "h"), ("ldm", "h"), ("ddpm", "eps")])
def test_the_edits_own_shift_of_eps_is_the_edit(name, layer, both):
    """Asyrp Eq. 6, Asyrp Eq. 10: with Δε_t = ε(x_t | Δh_t) - ε(x_t), in P_t, and in D_t too."""
    model, x, _ = given(name)
    one, visited = attribute(model, 1, 400), editing_times(model.schedule, 5)
    if layer != "h":
        torch.manual_seed(1)
        table = GlobalDirection(torch.randn_like(x[0]))
        one = replace(one, direction=table, layer=layer)
    editing = Editing(attributes=[one], scales=torch.ones(3, 1), t_boost=300, both=both)
    wanted = edit(model, x, editing, visited, drawing())
    delta = own_shift(model, one, 5)
    found = shift_eps(model, x, delta, visited, editing, drawing())
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)
    assert (shift_eps(model, x, delta, visited, ending(1001)) - wanted).abs().max() > 1e-3
    boost, last = visited[1], visited[3]  # two times lie in both intervals
    for overlap in ("printed", "released", "boosted"):
        early = replace(editing, attributes=[replace(one, t_edit=last)], t_boost=boost)
        early = replace(early, overlap=overlap)
        wanted = edit(model, x, early, visited, drawing())
        found = shift_eps(model, x, delta, visited, early, drawing())
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@torch.no_grad()
def test_one_step_moves_by_the_factors_of_the_proof():
    """Asyrp Eq. 10, Asyrp Thm. 1: Δx is Δε times what the shift in P_t, and in both, leaves."""
    model, x, _ = given("ddpm")
    torch.manual_seed(1)
    delta = torch.randn_like(x)
    now, prev = batch_time(700, x), batch_time(650, x)
    factors = asyrp.shift(model.schedule, x, now, prev)
    plain = shift_eps(model, x, lambda *_: delta, (700, 650), ending(701))
    for both, factor in ((False, factors.in_P), (True, factors.in_P + factors.in_D)):
        acting = ending(700, both=both)
        moved = shift_eps(model, x, lambda *_: delta, (700, 650), acting) - plain
        torch.testing.assert_close(moved, factor * delta)


@torch.no_grad()
def test_pairs_share_what_their_donor_finds():
    """Asyrp Sec. 5.3b: donors go their own way, and the others get the donors' shift."""
    model, x, _ = given("ddpm")
    one, visited = attribute(model, 1, 400), editing_times(model.schedule, 4)
    pairs, seen = torch.cat([x, x.flip(0)]), []

    def watched(h, temb, t):
        seen.append(one.direction(h, temb, t))
        return seen[-1]

    shared = replace(one, direction=donated(watched))
    editing = Editing(attributes=[shared], scales=torch.ones(6, 1))
    found = edit(model, pairs, editing, visited)
    alone = edit(model, x, Editing(attributes=[one], scales=torch.ones(3, 1)), visited)
    torch.testing.assert_close(found[:3], alone)
    given_to = iter(seen)
    fixed = replace(one, direction=lambda h, temb, t: next(given_to))
    theirs = Editing(attributes=[fixed], scales=torch.ones(3, 1))
    torch.testing.assert_close(found[3:], edit(model, x.flip(0), theirs, visited))
    by_eps = shift_eps(model, pairs, donated_eps(own_shift(model, one, 4)), visited, ending(400))
    torch.testing.assert_close(by_eps[:3], alone)
    assert (by_eps[3:] - found[3:]).abs().max() > 1e-3


def test_the_variance_is_kept():
    """Asyrp Sec. D.2b: of ε ~ N(0, I) and z ~ σ N(0, I), whose printed variance σ leaves 1 + σ."""
    torch.manual_seed(0)
    n, sigma = 100_000, 0.5
    eps = torch.randn(2, n).double()
    shifted = eps + variance_kept(drawing(), sigma)(eps, eps, torch.tensor([1, 2]))
    spread = (2 / n) ** 0.5
    assert deviates(shifted.var(1), torch.ones(2), spread, n) < 4
    plain = eps + relative_eps(drawing(), sigma)(eps, eps, torch.tensor([1, 2]))
    torch.testing.assert_close(shifted * (1 + sigma**2) ** 0.5, plain)
    printed = (eps + sigma**0.5 * torch.randn(2, n).double()) / (1 + sigma**2) ** 0.5
    assert deviates(printed.var(1), (1 + sigma) / (1 + sigma**2) * torch.ones(2), spread, n) < 5
    assert abs(differs(printed.var(), shifted.var()) - 0.2) < 0.02


def test_random_shifts_have_the_size_asked_for():
    """Asyrp Sec. D.2, Asyrp Sec. 5.3b: of every sample by itself, in a direction of its own."""
    torch.manual_seed(0)
    h, t = torch.randn(3, 5, 2, 7).double(), torch.tensor([1, 2, 3])
    sizes = torch.tensor([0.5, 2.0, 3.0]).double()[:, None, None, None]
    wanted = 0.3 * h.flatten(1).norm(dim=1)
    for found in (
        relative(drawing(), 0.3)(h, h, t),
        relative_eps(drawing(), 0.3)(h, h, t),
    ):
        torch.testing.assert_close(found.flatten(1).norm(dim=1), wanted)
        cosine = torch.cosine_similarity(found.flatten(1), h.flatten(1))
        assert cosine.abs().max() < 0.5
    ones, temb = sizes * torch.ones_like(h), torch.randn(3, 11)

    def as_given(*given):
        """What was asked of the direction, or of the shift of ε."""
        assert all(mine is wanted for mine, wanted in zip(given, asked, strict=True))
        return ones

    for large, asked in ((as_large, (h, temb, t)), (as_large_eps, (2 * h, h, t))):
        torch.testing.assert_close(norms(large(as_given, drawing())(*asked)), norms(ones))
