"""The isometry loss against formed Jacobians in a chart, finite differences and closed forms."""

import pytest
import torch
from torch import nn

from latentgeo.core import isometry, sphere
from latentgeo.eval.audit.errors import deviates

B, C, SIDE, M = 3, 2, 3, 11
N = C * SIDE


@pytest.fixture
def net():
    torch.manual_seed(0)
    layers = nn.Conv1d(C, 5, 3, padding=1), nn.SiLU(), nn.Flatten(), nn.Linear(5 * SIDE, M)
    return nn.Sequential(*layers, nn.Tanh(), nn.Linear(M, M)).double()


@pytest.fixture
def x():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(B, C, SIDE, generator=generator, dtype=torch.float64)


def every_direction(x):
    """Probes whose average over any quadratic form in the tangent space is its exact trace."""
    basis = torch.eye(N, dtype=x.dtype).reshape(N, 1, C, SIDE)
    return basis.expand(-1, B, -1, -1) * N**0.5


def moving(net):
    """The weights that h's Jacobian depends on: all but the last bias."""
    return {name: weight for name, weight in net.named_parameters() if name != "5.bias"}


def in_the_chart(net, x, geometry):
    """Tr(R) and Tr(R²), R = JᵀJ G⁻¹ formed in the scaled chart; G = I in the plane."""
    r = x.flatten(1).norm(dim=1)
    z = sphere.scaled_chart(x, r)

    def f(one, i):
        return net(sphere.scaled_chart_inverse(one[None], r[i : i + 1]).reshape(1, C, SIDE))[0]

    formed = torch.autograd.functional.jacobian
    J = torch.stack([formed(lambda one, i=i: f(one, i), z[i]) for i in range(B)])
    G = sphere.scaled_metric(z, r) if geometry == "sphere" else torch.ones(B, dtype=x.dtype)
    R = J.mT @ J / G[:, None, None]
    return R.diagonal(dim1=1, dim2=2).sum(1), (R @ R).diagonal(dim1=1, dim2=2).sum(1)


def test_the_pullback_is_the_square_of_a_push(net, x):
    """Iso Eq. 4: uᵀRv = ⟨J P u, J P v⟩ for any u and v, by differences of h."""
    R = isometry.pullback(net, x)
    generator = torch.Generator().manual_seed(2)
    pair = torch.randn(2, B, C, SIDE, generator=generator, dtype=torch.float64)
    pushed = []
    for w in sphere.tangent(x, pair):
        pushed.append((net(x + 1e-6 * w) - net(x - 1e-6 * w)) / 2e-6)
    u, v = pair.flatten(2)
    found = torch.einsum("bi,bij,bj->b", u, R, v)
    torch.testing.assert_close(found, (pushed[0] * pushed[1]).sum(1), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("geometry", ["sphere", "plane"])
def test_traces_are_those_of_the_chart(net, x, geometry):
    """Iso Eq. 4, Iso Eq. 6: without a chart, as with Iso Eq. 2's coordinates and Iso Eq. 3."""
    wanted = in_the_chart(net, x, geometry)
    exact = isometry.exact_traces(net, x, geometry)
    probed = isometry.traces(net, x, every_direction(x), geometry)
    for one, two, three in zip(wanted, exact, probed, strict=True):
        torch.testing.assert_close(two, one, rtol=1e-10, atol=0)
        torch.testing.assert_close(three.mean(0), one, rtol=1e-10, atol=0)


@pytest.mark.parametrize("loss", [isometry.isometry_loss, isometry.isometry_loss_per_sample])
@pytest.mark.parametrize("geometry", ["sphere", "plane"])
def test_gradient_is_the_slope(net, x, loss, geometry):
    """Iso Eq. 6, by differences, in every weight; none has a gradient of zero."""
    generator = torch.Generator().manual_seed(2)
    probes = torch.randn(2, B, C, SIDE, generator=generator, dtype=torch.float64)
    weights = moving(net)
    value = loss(isometry.traces(net, x, probes, geometry))
    grads = torch.autograd.grad(value, weights.values())
    for name, grad in zip(weights, grads, strict=True):
        along = torch.randn(grad.shape, generator=generator, dtype=torch.float64)
        ends = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                weights[name] += step * along
            ends.append(loss(isometry.traces(net, x, probes, geometry, graph=False)).item())
            with torch.no_grad():
                weights[name] -= step * along
        slope = (ends[0] - ends[1]) / 2e-5
        assert (grad * along).sum().item() == pytest.approx(slope, rel=1e-6, abs=1e-9), name
        assert grad.abs().max() > 0, name


def test_gradient_is_that_of_the_formed_loss(net, x):
    """Iso Eq. 6: double backward through R itself, with probes that make the traces exact."""

    def formed():
        rows = torch.autograd.functional.jacobian(lambda y: net(y).sum(0), x, create_graph=True)
        J = sphere.tangent(x, rows).flatten(2).transpose(0, 1)  # (B, m, n)
        R = J.mT @ J
        return R.square().sum((1, 2)).mean() / R.diagonal(dim1=1, dim2=2).sum(1).mean() ** 2

    ours = isometry.isometry_loss(isometry.traces(net, x, every_direction(x)))
    theirs = formed()
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=0)
    weights = list(moving(net).values())
    for one, two in zip(
        torch.autograd.grad(ours, weights), torch.autograd.grad(theirs, weights), strict=True
    ):
        torch.testing.assert_close(one, two, rtol=1e-8, atol=1e-12)


def test_scaled_isometry_has_the_least_loss(x):
    """Iso Eq. 4: h = c Q x with QᵀQ = I gives R = c² I and 1/(n-1); any other map gives more."""
    Q = torch.linalg.qr(torch.randn(M, N, dtype=torch.float64)).Q * 3.0

    def loss(encode):
        first, second = isometry.exact_traces(encode, x)
        return (second.mean() / first.mean() ** 2).item()

    assert loss(lambda x: x.flatten(1) @ Q.T) == pytest.approx(1 / (N - 1), rel=1e-12)
    Q[0] *= 1.1
    assert loss(lambda x: x.flatten(1) @ Q.T) > 1 / (N - 1) * (1 + 1e-6)


def test_fewer_numbers_than_directions_have_their_own_least_loss(x):
    """Iso Eq. 6: m < n - 1 orthonormal gradients give R m equal eigenvalues, and 1/m."""
    x, m = x[:1], N // 2
    normal = torch.cat([x.flatten(1).T, torch.randn(N, m, dtype=torch.float64)], 1)
    Q = torch.linalg.qr(normal).Q[:, 1:] * 3.0  # (N, m), across x

    def loss(Q):
        first, second = isometry.exact_traces(lambda x: x.flatten(1) @ Q, x)
        return (second.mean() / first.mean() ** 2).item()

    assert loss(Q) == pytest.approx(1 / m, rel=1e-12)
    assert loss(Q * torch.linspace(1, 1.1, m, dtype=torch.float64)) > 1 / m * (1 + 1e-6)


def test_ratio_of_means_is_not_the_mean_of_ratios(x):
    """Iso Eq. 6: one isometry per sample, each with its own c, is no scaled isometry."""
    Q = torch.linalg.qr(torch.randn(M, N, dtype=torch.float64)).Q
    c = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    found = isometry.traces(
        lambda x: c[: len(x), None] * (x.flatten(1) @ Q.T), x, every_direction(x), graph=False
    )
    assert isometry.isometry_loss_per_sample(found).item() == pytest.approx(1 / (N - 1))
    assert isometry.isometry_loss(found).item() == pytest.approx(
        (c**4).mean().item() / (c**2).mean().item() ** 2 / (N - 1)
    )


def test_probes_scatter_as_their_variance_says(net, x):
    """Iso Eq. 6, Iso Eq. 8: the mean over R probes is within 4 s/√R of the exact traces."""
    generator = torch.Generator().manual_seed(3)
    probes = torch.randn(401, B, C, SIDE, generator=generator, dtype=torch.float64)
    found = isometry.traces(net, x, probes, graph=False)
    for estimate, exact in zip(found, isometry.exact_traces(net, x), strict=True):
        error = estimate.std(0) / len(probes) ** 0.5
        assert ((estimate.mean(0) - exact).abs() < 4 * error).all()
        assert (error < 0.2 * exact).all()


def test_standard_errors_are_the_scatter_of_repetitions(net, x):
    """Iso Eq. 8, Iso Eq. 6: 101 estimates by 17 probes each spread as they state."""
    generator = torch.Generator().manual_seed(4)
    probes = torch.randn(1717, B, C, SIDE, generator=generator, dtype=torch.float64)
    every = isometry.traces(net, x, probes, graph=False)
    pairs = zip(every.first.split(17), every.second.split(17), strict=True)
    runs = [isometry.Traces(*pair) for pair in pairs]
    for name in ("first", "second"):
        means = torch.stack([getattr(run, name).mean(0) for run in runs])
        stated = torch.stack([getattr(isometry.standard_errors(run), name) for run in runs])
        every_run = stated.square().mean(0).sqrt()
        assert deviates(means.std(0), every_run, every_run / (2 * 100) ** 0.5, 101) < 4
    alone = [isometry.Traces(run.first[:, :1], run.second[:, :1]) for run in runs]
    losses = torch.stack([isometry.isometry_loss(run) for run in alone])
    stated = torch.stack([isometry.isometry_loss_error(run) for run in alone])
    every_run = stated.square().mean().sqrt()
    assert deviates(losses.std(), every_run, every_run / (2 * 100) ** 0.5, 101) < 5


def test_error_of_the_loss_over_samples():
    """Iso Eq. 6, Iso Eq. 8: samples scatter too; one probe, or one sample, tells no error."""
    generator = torch.Generator().manual_seed(5)
    draw = 1 + torch.rand(3, 2, 300, 101, generator=generator, dtype=torch.float64)
    losses = [isometry.isometry_loss(isometry.Traces(*draw[:, :, i].unbind(1))) for i in range(300)]
    stated = isometry.isometry_loss_error(isometry.Traces(*draw[:, :, 0].unbind(1)))
    spread = stated / (2 * 299) ** 0.5  # of a standard deviation over 300 draws
    assert deviates(torch.stack(losses).std(), stated, spread, 300) < 4
    lone = isometry.Traces(draw[:1, 0, 0, :1], draw[:1, 1, 0, :1])
    assert isometry.isometry_loss_error(lone).isinf()
    assert all(one.isinf().all() for one in isometry.standard_errors(lone))
    pair = isometry.Traces(*(draw[:2, i, 0, :1].clone().requires_grad_() for i in (0, 1)))
    found = [*isometry.standard_errors(pair), isometry.isometry_loss_error(pair)]
    assert all(one.isfinite().all() and not one.requires_grad for one in found)


def test_per_sample_form_has_the_bias_that_it_states():
    """Iso Eq. 6 of a known R with one probe each, which no number of samples takes away."""
    values = 1 + torch.arange(101, dtype=torch.float64) / 50  # of R
    v = torch.randn(1, 40_009, 101, generator=torch.Generator().manual_seed(6)).double()
    found = isometry.Traces((v.square() * values).sum(2), (v.square() * values**2).sum(2))
    one, two, three = ((values**power).sum() for power in (1, 2, 3))
    bias = 6 * two / one**2 - 4 * three / (two * one)
    share = isometry.isometry_loss_per_sample(found) / (two / one**2) - 1
    ratios = (found.second / found.first.square()).flatten()
    spread = ratios.std() / len(ratios) ** 0.5 / (two / one**2)
    assert deviates(share, bias, spread, len(ratios)) < 4
    assert bias > 10 * spread
    assert abs(isometry.isometry_loss(found) / (two / one**2) - 1) < 0.1 * bias


def test_weight_starts_above_p_T():
    """Iso Eq. 7: λ for t > pT, otherwise 0."""
    found = isometry.weight(torch.tensor([1, 500, 501, 1000]), 1000, 0.5, 1e-4)
    torch.testing.assert_close(found, torch.tensor([0.0, 0.0, 1e-4, 1e-4]))


@pytest.mark.parametrize("graph", [True, False])
def test_x_is_held(net, x, graph):
    """Iso Sec. A.2: the traces have no gradient in x_t, only in the weights."""
    leaf = x.clone().requires_grad_()
    found = isometry.traces(net, leaf, x[None], graph=graph)
    assert found.first.requires_grad == graph
    if graph:
        (found.first.sum() + found.second.sum()).backward()
    assert leaf.grad is None


def test_bad_input_is_named(net, x):
    with pytest.raises(ValueError, match=r"probes: got \(3, 2, 3\), wanted \(R, 3, 2, 3\), R at"):
        isometry.traces(net, x, x)
    with pytest.raises(ValueError, match=r"probes: got \(0, 3, 2, 3\), wanted"):
        isometry.traces(net, x, x[None][:0])
    with pytest.raises(ValueError, match="geometry: got 'flat'"):
        isometry.traces(net, x, x[None], "flat")
