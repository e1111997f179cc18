"""Guidance against densities; what is run for it."""

import pytest
import torch

from latentgeo.core import schedule as schedules
from latentgeo.core.guidance import guide, guided
from latentgeo.core.parameterization import score_from_eps

SCHEDULE = schedules.linear()


@pytest.mark.parametrize("w", [0.0, 1.0, 2.5, 7.5])
def test_guidance_is_the_score_of_a_sharpened_density(w):
    """Smooth Eq. 5, CFG Eq. 6: the guided ε is that of p(x) (p(x|c) / p(x))^w, by autograd."""
    torch.manual_seed(0)
    t = torch.tensor([3, 400])
    x = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    mean = torch.randn(2, 5, dtype=torch.float64)
    log_cond = -((x - mean) ** 2).sum() / (2 * 0.49)
    log_null = -(x**2).sum() / (2 * 1.69)

    def eps_of(log_density):
        (score,) = torch.autograd.grad(log_density, x, retain_graph=True)
        return -score * (1 - SCHEDULE.bar(t, x)).sqrt()

    out = guide(eps_of(log_cond), eps_of(log_null), w)
    (expected,) = torch.autograd.grad(log_null + w * (log_cond - log_null), x)
    score = score_from_eps(SCHEDULE, x.detach(), out, t)
    torch.testing.assert_close(score, expected, rtol=1e-10, atol=1e-10)


def network(calls):
    def predict(x_t, t, context):
        calls.append(len(x_t))
        return x_t * context.mean(dim=(1, 2)).reshape(-1, 1) + t.reshape(-1, 1)

    return predict


@pytest.mark.parametrize(("w", "batch"), [(7.5, [6]), (1, [3]), (0, [3])])
def test_guided_runs_what_it_needs_as_one_batch(w, batch):
    """Smooth Eq. 5: the two terms from one batch of 2B; one term alone at w = 0 and w = 1."""
    torch.manual_seed(1)
    x, t = torch.randn(3, 5), torch.tensor([2, 7, 11])
    context, null = torch.randn(3, 2, 7), torch.randn(1, 2, 7)
    calls: list[int] = []
    out = guided(network(calls), context, null, w)(x, t)
    assert calls == batch
    one = network([])
    expected = w * one(x, t, context) + (1 - w) * one(x, t, null.expand(3, 2, 7))
    torch.testing.assert_close(out, expected, rtol=1e-5, atol=1e-5)


def test_a_context_of_the_wrong_batch_is_refused():
    with pytest.raises(ValueError, match="2 rows for a batch of 3"):
        guided(network([]), torch.zeros(2, 2, 7), torch.zeros(1, 2, 7), 3.0)(
            torch.zeros(3, 5), torch.zeros(3, dtype=torch.int64)
        )
