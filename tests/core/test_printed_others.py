"""What the works behind the four papers print, beside ours, where the two are not one formula."""

import pytest
import scipy.linalg
import torch
import torch.nn.functional as F

from latentgeo.core import drag, null_text
from latentgeo.core import schedule as schedules
from latentgeo.core.adversarial import discriminator_loss
from latentgeo.core.ddpm import simple_loss
from latentgeo.core.gaussian import Gaussian, exact_eps, flow
from latentgeo.core.guidance import guide
from latentgeo.core.learned_variance import variance
from latentgeo.eval.audit.errors import differs
from latentgeo.eval.metrics.clip_score import clip_score
from latentgeo.eval.metrics.fid import feature_distance, frechet_distance, gaussian_of
from latentgeo.eval.metrics.kid import kernel_distance
from latentgeo.infer.pictures.closeness import local_mean
from latentgeo.models.adm_layers import ADMConfig, ResidualBlock
from latentgeo.models.lora.layer import Update

SCHEDULE = schedules.linear(1000)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_printed_sums():
    """DDPM Eq. 14, LDM Eq. 2, LDM Eq. 3, Drag Eq. 2: a squared norm is n times the mean."""
    eps, found = drawn(2, 5, 3, 7)
    printed = (eps - found).flatten(1).norm(dim=1).square().mean()
    assert differs(printed, simple_loss(eps, found)) == pytest.approx(3 * 7 - 1)


def test_printed_variance():
    """IDDPM Eq. 15: the same from t = 2 on; at t = 1 print takes the logarithm of β̃_1 = 0."""
    v, t = torch.rand(4, 1, dtype=torch.float64), torch.tensor([2, 3, 400, 1000])
    bar, beta = SCHEDULE.alpha_bar, SCHEDULE.beta
    small = (1 - bar[t - 1]) / (1 - bar[t]) * beta[t]
    printed = torch.exp(v * beta[t].log()[:, None] + (1 - v) * small.log()[:, None])
    assert differs(printed, variance(SCHEDULE, v, t)) < 1e-12
    first = variance(SCHEDULE, v[:1], torch.tensor([1]))
    assert differs(torch.zeros_like(first), first) == 1 and (first > 0).all()


def test_printed_norm():
    """ADM Sec. 3.1: y_s GroupNorm(h) + y_b, with y_s = 1 + scale of the layer's own condition."""
    shape = {"base": 3, "channels": (8,), "attention": (False,), "head_width": 8, "groups": 2}
    block = ResidualBlock(8, 8, ADMConfig(**shape)).double()
    seen = {}
    block.out_layers[0].register_forward_hook(lambda layer, x, y: seen.update(normed=y))
    block.out_layers[1].register_forward_pre_hook(lambda layer, x: seen.update(ours=x[0]))
    temb = drawn(2, 12, seed=1)
    block(drawn(2, 8, 4, 4), temb)
    scale, y_b = block.emb_layers(temb)[:, :, None, None].chunk(2, dim=1)
    y_s = 1 + scale
    assert differs(y_s * seen["normed"] + y_b, seen["ours"]) < 1e-12


def test_printed_flow():
    """DDIM Eq. 14: of σ = √((1-ᾱ)/ᾱ) and x̄ = x/√ᾱ, by Runge and Kutta's steps in σ."""
    data = Gaussian(*torch.tensor([0.3, 0.6], dtype=torch.float64))
    predict, x = exact_eps(data, SCHEDULE), drawn(1, 1)
    t, to = torch.tensor([600]), torch.tensor([400])
    sigma = (1 / SCHEDULE.alpha_bar - 1).sqrt()

    def slope(bar_x, s):  # ε of the exact network is known between the steps of the table too
        bar = 1 / (1 + s**2)
        spread = bar * 0.36 + 1 - bar
        return (1 - bar).sqrt() * (bar.sqrt() * bar_x - bar.sqrt() * 0.3) / spread

    printed, h = x / SCHEDULE.alpha_bar[t].sqrt(), (sigma[to] - sigma[t]) / 200
    for i in range(200):
        s = sigma[t] + i * h
        a = slope(printed, s)
        b = slope(printed + h / 2 * a, s + h / 2)
        c = slope(printed + h / 2 * b, s + h / 2)
        d = slope(printed + h * c, s + h)
        printed = printed + h / 6 * (a + 2 * b + 2 * c + d)
    torch.testing.assert_close(slope(x / SCHEDULE.alpha_bar[t].sqrt(), sigma[t]), predict(x, t))
    ours = flow(data, SCHEDULE, x, t, to)
    assert differs(printed * SCHEDULE.alpha_bar[to].sqrt(), ours) < 1e-8


def test_printed_game():
    """LDM Eq. 25: log D + log(1 - D) of the logits, where the release has hinges."""
    real, fake = drawn(2, 5)
    printed = -(F.logsigmoid(real).mean() + F.logsigmoid(-fake).mean())
    assert differs(printed, discriminator_loss(real, fake)) > 0.1


@pytest.mark.parametrize(("alpha", "factor"), [(None, 1), (3.0, 1), (6.0, 2)])
def test_printed_update(alpha, factor):
    """LoRA Eq. 3, Smooth Eq. 6: B A x without α/r, which is 1 where α = r, and 2 where α = 2 r."""
    layer = Update(torch.nn.Linear(7, 5), 3, alpha).double()
    torch.nn.init.normal_(layer.B.weight)
    x = drawn(2, 7)
    printed = x @ layer.A.weight.T @ layer.B.weight.T
    assert differs(printed, layer(x)) == pytest.approx(1 - 1 / factor, abs=1e-12)


def test_printed_guidance():
    """CFG Eq. 6: (1 + w) ε(c) - w ε."""
    cond, free = drawn(2, 3, 7)
    assert differs((1 + 2.5) * cond - 2.5 * free, guide(cond, free, 1 + 2.5)) < 1e-14


def test_printed_descent():
    """NTI Alg. 1, Drag Eq. 4: a step along the gradient, where the release takes Adam's."""
    gradient = drawn(7)
    ours = null_text.adam_step(0.1 * gradient, 1e-3 * gradient**2, 1, 0.01)
    assert differs(0.01 * gradient, ours.abs() * gradient.sign()) > 0.1


def test_printed_score():
    """CLIPScore Sec. 3: w = 2.5, where 100 is what text-to-image papers report."""
    v, c = drawn(2, 5, 7)
    printed = 2.5 * F.cosine_similarity(v, c, dim=1).clamp(min=0)
    assert differs(40 * printed, clip_score(v, c)) < 1e-14
    assert differs(printed, clip_score(v, c)) == pytest.approx(1 - 1 / 40)


def test_printed_roots():
    """FID Eq. 6a, FID Eq. 6b: the root of the product of both covariances, by SciPy's sqrtm."""
    x, y = drawn(41, 7), drawn(41, 7, seed=1) * 1.5 + 0.2
    (m, c), (n, d) = gaussian_of(x), gaussian_of(y)
    root = torch.from_numpy(scipy.linalg.sqrtm((c @ d).numpy()).real)
    printed = (m - n).square().sum() + (c + d - 2 * root).trace()
    assert differs(printed, frechet_distance(m, c, n, d)) < 1e-9
    assert differs(printed, feature_distance(x, y)) < 1e-9


def test_printed_discrepancy():
    """KID Sec. 4: with pairs of one number in the last term, too; both are unbiased."""
    x, y = drawn(2, 11, 7)

    def k(a, b):
        return (a @ b.T / 7 + 1) ** 3

    apart = 1 - torch.eye(11, dtype=x.dtype)
    within = ((k(x, x) + k(y, y)) * apart).sum() / (11 * 10)
    printed = within - 2 * k(x, y).mean()
    assert differs(within - 2 * (k(x, y) * apart).sum() / (11 * 10), kernel_distance(x, y)) < 1e-12
    assert 0 < differs(printed, kernel_distance(x, y))


def test_printed_supervision():
    """Drag Eq. 3: the sum over channels, where the release divides it by their number."""
    features, handles = drawn(5, 13, 17), torch.tensor([[6.0, 7.0]], dtype=torch.float64)
    steps = torch.tensor([[0.6, 0.8]], dtype=torch.float64)
    printed = drag.motion_supervision(features, handles, steps, 1)
    ours = drag.motion_supervision_official(features, handles, steps, 1)
    assert differs(printed, ours) == pytest.approx(4)


def test_printed_spreads():
    """SSIM Eq. 15, SSIM Eq. 16: deviations from the mean of one window of 11 × 11."""
    x, y = torch.rand(2, 1, 1, 11, 11, generator=torch.Generator().manual_seed(0)).double()
    line = torch.exp(-(torch.arange(-5, 6, dtype=x.dtype) ** 2) / (2 * 1.5**2))
    w = torch.outer(line, line) / line.sum() ** 2
    mean = {"x": (w * x).sum(), "y": (w * y).sum()}
    for a, b, p, q in ((x, x, "x", "x"), (x, y, "x", "y")):
        printed = (w * (a - mean[p]) * (b - mean[q])).sum()
        ours = local_mean(a * b) - local_mean(a) * local_mean(b)
        assert differs(printed, ours) < 1e-6
