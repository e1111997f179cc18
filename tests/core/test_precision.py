"""Sums are in 32 bits at least, and in 64 where a device has them, whatever comes in."""

import ast
from pathlib import Path

import pytest
import torch

from latentgeo import core
from latentgeo.core import (
    adversarial,
    asyrp,
    attention_measure,
    bidiagonal,
    conditioning,
    contrastive,
    couplings,
    ddpm,
    drag,
    interpolate,
    isometry,
    linearize,
    local_basis,
    null_text,
    path_metrics,
    pix2pix_zero,
    prompt_to_prompt,
    separability,
    shooting,
    singular,
    sinkhorn,
    smooth,
    sphere,
    transport,
    variation_routes,
)
from latentgeo.core.dual import jvp
from latentgeo.core.precision import inner, norms, wide, widened, widest
from latentgeo.core.schedule import linear

SCHEDULE = linear()
HALF = [torch.float16, torch.bfloat16]
X = (7, 3, 5, 11)  # samples of 165 numbers
SUMS = {
    *("norm", "sum", "mean", "std", "var", "softmax", "logsumexp", "cosine_similarity", "svdvals"),
    *("svd", "qr", "cross_entropy", "avg_pool2d", "norms", "inner", "bmm", "baddbmm", "layer_norm"),
}


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_sums_are_in_float32_at_least(dtype):
    assert wide(dtype) == torch.float32 and wide(torch.float64) == torch.float64
    assert widened(torch.ones(2, dtype=dtype)).dtype == torch.float32


@pytest.mark.parametrize(
    ("device", "dtype"),
    [("cpu", torch.float64), ("cuda", torch.float64), ("mps", torch.float32)],
)
def test_metal_has_no_float64(device, dtype):
    assert widest(torch.device(device)) == dtype


def lengths_of_directions(x):
    """The lengths of unit directions in x's dtype, whose rounding so many numbers even out."""
    like = x.new_empty(7, 3, 64, 64)
    return norms(smooth.unit_direction(like, torch.Generator().manual_seed(3)))


def basis_of(u, values):
    """A local basis of two vectors."""
    left = torch.stack([u, u.flip(0)], 1)
    return singular.Singular(left, values[:, :2].abs(), left, values, values)


def goal_of(x, eps, target):
    """A step of null-text inversion."""
    now, prev = torch.full((7,), 700), torch.full((7,), 650)
    return null_text.Goal(SCHEDULE, x, eps, target, now, prev, 3.0)


def grown(x):
    """What is summed is large: its squares do not fit in float16."""
    return 256 * x  # exactly


CASES = {  # what is called with normal numbers of these shapes, and what it covers besides
    "adversarial.discriminator_loss": (adversarial.discriminator_loss, [X, X]),
    "adversarial.generator_loss": (adversarial.generator_loss, [X]),
    "adversarial.adaptive_weight": (
        lambda a, b, w: adversarial.adaptive_weight((a * w).sum(), (b * w).sum(), w),
        [X, X, X],
    ),
    "asyrp.directional_similarity": (asyrp.directional_similarity, [(7, 31), (7, 31), 31, 31]),
    "asyrp.training_loss": (lambda d, a, b: asyrp.training_loss(d, a, b, 0.8, 2.7), [7, X, X]),
    "asyrp.scaled": (lambda a, b: asyrp.scaled([a, b], [1.5, -2.0], 40, 50), [X, X]),
    "asyrp.mean_delta": (asyrp.mean_delta, [X]),
    "asyrp.global_delta": (asyrp.global_delta, [X]),
    "attention_measure.attend": (
        lambda q, k, v, m: attention_measure.attend(grown(q), k, v, m.abs()),
        [(7, 11), (5, 11), (5, 3), 5],
    ),
    "bidiagonal.spectrum_ends": (
        lambda x: bidiagonal.spectrum_ends(widened, x, 2).values, [(7, 5)]
    ),
    "conditioning.pooled": (lambda h: conditioning.pooled(h[..., :4, :10], 2), [X]),
    "conditioning.all_values": (
        lambda x: conditioning.all_values(lambda x: widened(x) * torch.arange(5), x), [(7, 5)]
    ),
    "conditioning.variance_of_values": (conditioning.variance_of_values, [(7, 5)]),
    "contrastive.contrastive_loss": (
        lambda a, b, s: contrastive.contrastive_loss(a, b, s.abs()), [(7, 31), (7, 31), ()]
    ),
    "contrastive.prompt_loss": (
        lambda a, b, s: contrastive.prompt_loss(a, b, s.abs(), torch.arange(7) % 3),
        [X[:2], (5, 3), ()],
    ),
    "couplings.inner_costs": (couplings.inner_costs, [(3, 5, 7), (3, 5, 7)]),
    "ddpm.simple_loss": (lambda a, b: ddpm.simple_loss(grown(a), b), [X, X]),
    "drag.directions": (lambda a, b: drag.directions(grown(a), b), [(7, 2), (7, 2)]),
    "drag.motion_supervision": (
        lambda f: drag.motion_supervision(f, *at_cells(f), 1), [(3, 16, 16)]
    ),
    "drag.mask_penalty": (lambda a, b, m: drag.mask_penalty(a, b, (m > 0).to(a)), [X, X, X[2:]]),
    "drag.track": (lambda f, w: drag.track(f, w, at_cells(f)[0], 2, 1), [(3, 16, 16), (2, 3)]),
    "interpolate.slerp": (lambda a, b: interpolate.slerp(a, b, 0.3), [X, X]),
    "isometry.pullback": (lambda x: isometry.pullback(widened, x), [(7, 5)]),
    "isometry.exact_traces": (lambda x: isometry.exact_traces(widened, x, "plane"), [(7, 5)]),
    "isometry.metric_of": (lambda x: isometry.metric_of(grown(x), "plane"), [X]),
    "linearize.hutchinson": (
        lambda x, v: linearize.hutchinson(lambda x: 2 * widened(x), x, v), [X, (4, *X)]
    ),
    "local_basis.combined": (local_basis.combined, [X, (7, 3)]),
    "local_basis.arc": (local_basis.arc, [X, X]),
    "null_text.miss": (lambda *xs: goal_of(*xs[:3]).miss(xs[3]), [X, X, X, X]),
    "path_metrics.relative_lengths": (lambda h: path_metrics.relative_lengths(grown(h)), [X]),
    "precision.norms": (lambda x: norms(grown(x)), [X]),
    "precision.inner": (lambda a, b: inner(grown(a), b), [X, X]),
    "prompt_to_prompt.word_map": (
        lambda m, w: prompt_to_prompt.word_map(m, w, (3, 5)), [(7, 4, 15, 11), (7, 11)]
    ),
    "separability.conditional_entropy": (
        lambda p: separability.conditional_entropy(p.abs()), [(7, 2, 3)]
    ),
    "shooting.transported": (
        lambda u, s: shooting.transported(basis_of(u, s), u.flip(0)), [X, (7, 3)]
    ),
    "sinkhorn.squared_distances": (sinkhorn.squared_distances, [(3, 5, 7), (3, 4, 7)]),
    "smooth.unit_direction": (lengths_of_directions, [7]),
    "smooth.regularizer": (smooth.regularizer, [7, 7]),
    "smooth.global_ratio": (
        lambda a, b, c, d: smooth.global_ratio(grown(a), b, grown(c), d), [X, X, X, X]
    ),
    "sphere.radius": (
        lambda x: sphere.radius(SCHEDULE, grown(x), torch.full((7,), 900)), [X]
    ),
    "sphere.onto": (lambda x: sphere.onto(grown(x), torch.arange(1.0, 8)), [X]),
    "sphere.tangent": (lambda x, v: sphere.tangent(grown(x), v), [X, (4, *X)]),
    "sphere.unit_chart_inverse": (
        lambda z: sphere.unit_chart_inverse(z, torch.arange(1.0, 8)), [(7, 31)]
    ),
    "sphere.unit_metric": (lambda z: sphere.unit_metric(z, torch.arange(1.0, 8)), [(7, 31)]),
    "sphere.scaled_metric": (lambda z: sphere.scaled_metric(z, torch.arange(1.0, 8)), [(7, 31)]),
    "transport.cost": (
        lambda x, y: transport.cost(x, y, torch.tensor([[2, 0, 1]] * 7)), [X[:3], X[:3]]
    ),
    "transport.gaussian_squared_w2": (transport.gaussian_squared_w2, [(3, 5, 7), (3, 5, 7)]),
    "pix2pix_zero.edit_direction": (pix2pix_zero.edit_direction, [(5, 7, 11), (3, 7, 11)]),
    "pix2pix_zero.autocorrelation": (pix2pix_zero.autocorrelation, [(7, 3, 16, 16)]),
    "pix2pix_zero.divergence": (pix2pix_zero.divergence, [(7, 3, 16, 16)]),
    "pix2pix_zero.map_distance": (
        lambda a, b: pix2pix_zero.map_distance([a], [b]),
        [(7, 2, 5, 11), (7, 2, 5, 11)],
    ),
}  # fmt: skip
ROUNDED = {"bidiagonal.spectrum_ends"}  # numbers of vectors that f takes in its own dtype
ELSEWHERE = {  # sums that no input of half precision comes to
    "a number of counts or of weights": "contrastive.prompt_loss attention_measure.attend",
    "what is wide already": "bidiagonal._bidiagonalized bidiagonal._direction interpolate._unit "
    "interpolate._orthogonal isometry.isometry_loss isometry.isometry_loss_error "
    "isometry.standard_errors isometry.isometry_loss_per_sample linearize._square_norm "
    "linearize._mean singular._start singular._ritz separability.linear_separability "
    "sinkhorn.default_epsilon sinkhorn.sinkhorn sinkhorn.update sinkhorn.marginal_error "
    "transport.path_length transport.barycentre variation_routes.central_difference "
    "pix2pix_zero.pyramid",
    "counts": "prompt_to_prompt.align singular.top_singular drag.arrived",
    "below, through a network": "isometry._of_probe local_basis.local_basis null_text.gradient "
    "variation_routes.variation variation_routes.double_backward variation_routes._pull "
    "variation_routes.reverse_over_forward shooting._unit dual._layer_norm dual.written_out "
    "disentangle.fit pix2pix_zero._gradient",
    "no sum, but the mean of a step": "cycle_diffusion.encode cycle_diffusion.decode",
}


def at_cells(features):
    """Two handles and their steps, on whole cells, where nothing is interpolated."""
    points = torch.tensor([[4.0, 6], [9, 3]], dtype=torch.float32)
    return points, torch.tensor([[1.0, 0], [0, 1]])


def leaves(found):
    """The tensors of a result."""
    if isinstance(found, torch.Tensor):
        return [found]
    return [leaf for one in found for leaf in leaves(one)]


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", CASES)
def test_half_precision_is_rounded_once(name, dtype):
    """Of the same numbers in float64: numbers per sample and losses, which are wide, to 1e-4, and
    others to half of their last place.
    """
    function, shapes = CASES[name]
    generator = torch.Generator().manual_seed(1)
    shapes = [(shape,) if isinstance(shape, int) else shape for shape in shapes]
    given = [torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for s in shapes]
    exactly = [x.double() for x in given]
    found, wanted = (leaves(function(*(x.requires_grad_() for x in xs))) for xs in (given, exactly))
    for one, exact in zip(found, wanted, strict=True):
        off, size = (one.double() - exact).abs(), exact.abs()
        own = one.dtype == dtype
        assert one.ndim > 1 if own else one.dtype in (torch.float32, torch.float64)
        rounded = own or name in ROUNDED
        allowed = 0.51 * torch.finfo(dtype).eps * size if rounded else 0
        assert (off <= allowed + 1e-4 * size.max()).all(), (off / size).max()


def summing():
    """The functions of core that sum, as file.name."""
    for path in sorted(Path(core.__file__).parent.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef):
                continue
            called = {
                call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id
                for call in ast.walk(node)
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute | ast.Name)
            }
            if called & SUMS:
                yield f"{path.stem}.{node.name}"


def test_every_sum_of_core_is_looked_at():
    """A new norm or sum gets a row above, or its reason why none."""
    covered = set(CASES) | {name for names in ELSEWHERE.values() for name in names.split()}
    assert not set(summing()) - covered, sorted(set(summing()) - covered)
    reasons = covered - set(CASES)
    assert reasons <= set(summing()), sorted(reasons - set(summing()))


@pytest.mark.parametrize("dtype", HALF)
def test_points_lie_on_their_sphere(dtype):
    """Iso Sec. 3.1, Smooth Eq. 9: to a quarter of the last place at most, as the roundings of a
    multiple of x near a power of 2, here 3.97, lean one way.
    """
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 5, 3, 64, 64, generator=generator).to(dtype)
    r = torch.full((5,), 440.0)
    fourth = torch.finfo(dtype).eps / 4
    torch.testing.assert_close(norms(sphere.onto(x, r)), r, rtol=fourth, atol=0)
    unit = smooth.unit_direction(x, generator)
    torch.testing.assert_close(norms(unit), torch.ones(5), rtol=fourth / 4, atol=0)
    ratio = smooth.global_ratio(x, y, 3 * x.float(), 3 * y.float())
    torch.testing.assert_close(ratio, torch.full((5,), 3.0), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [*HALF, torch.float64])
def test_a_sample_of_zeros_has_no_direction(dtype):
    """Iso Sec. 3.1: NaN there, as documented, and nowhere else."""
    x = torch.randn(3, 2, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    x[1] = 0
    for found in (sphere.onto(x, torch.ones(3)), sphere.tangent(x, torch.ones_like(x))):
        assert found[1].isnan().all() and found[[0, 2]].isfinite().all()


@pytest.mark.parametrize("dtype", HALF)
def test_networks_in_half_precision_have_wide_traces(dtype):
    """Iso Eq. 6, Smooth Eq. 10, and layer norms of dual numbers: of what f takes and returns in
    half precision, the lengths are off by less than half of its last place.
    """
    generator = torch.Generator().manual_seed(0)
    x, v, eps = torch.randn(3, 4, 3, 32, 32, generator=generator).to(dtype)
    t = torch.tensor([100, 400, 700, 1000])
    exact = [one.double() for one in (x, v, eps)]
    half = torch.finfo(dtype).eps / 2

    def found(x, v, eps):
        traces = isometry.traces(lambda x: 2 * x, x, v[None], graph=False)
        given = (lambda x, t: 0.5 * x, SCHEDULE, x, eps, t, v)
        routes = [variation_routes.variation(*given)]
        routes += [one(*given).v for one in variation_routes.ROUTES.values()]
        normed = jvp(lambda x: torch.nn.functional.layer_norm(x, (32,)), x, v)
        return [*traces, *routes, *map(norms, normed)]

    for one, wanted in zip(found(x, v, eps), found(*exact), strict=True):
        assert one.dtype == torch.float32
        assert ((one - wanted) / wanted).abs().max() < half
