"""Sums per sample and the ratio of traces. Their derivatives are in test_wiring."""

import pytest
import torch

from latentgeo.kernels.reductions.op import sample_dot, sample_square_norm, trace_ratio
from tests.tensors import normal


@pytest.mark.parametrize("shape", [(5,), (5, 7), (2, 3, 5, 7)])
def test_sums_run_over_all_but_the_samples(shape):
    x, y = normal(*shape), normal(*shape, seed=1)
    wanted = torch.stack([torch.dot(a.flatten(), b.flatten()) for a, b in zip(x, y, strict=True)])
    torch.testing.assert_close(sample_dot(x, y), wanted)
    torch.testing.assert_close(
        sample_square_norm(x), x.flatten(1).norm(dim=1) ** 2 if x.ndim > 1 else x**2
    )


def test_memory_formats_may_differ():
    """A channels-last x and a contiguous y meet number by number."""
    x, y = normal(2, 3, 5, 7), normal(2, 3, 5, 7, seed=1)
    last = x.to(memory_format=torch.channels_last)
    torch.testing.assert_close(sample_dot(last, y), sample_dot(x, y))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_are_summed_in_float32(dtype):
    """101² times 64² does not fit float16, and in bfloat16 a sum of ones stops at 256."""
    x = torch.full((2, 101, 101), 64.0, dtype=dtype, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        square = sample_square_norm(x)
    (gradient,) = torch.autograd.grad(square.sum(), x)
    assert square.dtype == torch.float32 and gradient.dtype == dtype
    torch.testing.assert_close(square, torch.full((2,), 101.0**2 * 64**2))
    torch.testing.assert_close(gradient, 2 * x.detach())


def test_trace_ratio_of_an_explicit_matrix():
    """Iso Eq. 6: with every unit vector as a sample once, both sums over v are traces exactly."""
    n = 7
    jacobian, g = normal(5, n), 0.37
    r = jacobian.T @ jacobian / g
    probes = torch.eye(n, dtype=torch.float64)
    got = trace_ratio(probes @ r.T, probes @ jacobian.T / g**0.5) / n
    torch.testing.assert_close(got, torch.trace(r @ r) / torch.trace(r) ** 2)


def test_trace_ratio_is_least_for_an_isometry():
    """Iso Eq. 6: Tr(R²)/Tr(R)² ≥ 1/n, with equality and no gradient at R = c I, whatever c is."""
    n = 7
    probes = torch.eye(n, dtype=torch.float64)

    def ratio(jacobian):
        return trace_ratio(probes @ jacobian.T @ jacobian, probes @ jacobian.T) / n

    isometry = (3 * torch.linalg.qr(normal(11, n))[0]).requires_grad_()
    torch.testing.assert_close(ratio(isometry).item(), 1 / n)
    (gradient,) = torch.autograd.grad(ratio(isometry), isometry)
    assert gradient.abs().max() < 1e-12
    assert ratio(normal(11, n)) > 1.1 / n


def test_trace_ratio_takes_means_before_it_divides():
    """Iso Eq. 6: two samples of unequal size, of which the mean of ratios would be (1 + 1) / 2."""
    r, s = torch.tensor([[1.0], [4.0]]), torch.tensor([[1.0], [2.0]])
    torch.testing.assert_close(trace_ratio(r, s), torch.tensor(8.5 / 2.5**2))


def test_what_does_not_fit_is_an_error():
    x = normal(5, 7)
    for call, message in (
        (lambda: sample_dot(x, x[:, :6]), r"sample_dot: got x \(5, 7\) .* y \(5, 6\)"),
        (lambda: sample_dot(x, x.float()), "one shape and one dtype"),
        (lambda: sample_square_norm(x.sum()), r"sample_square_norm: got \(\)"),
        (lambda: sample_square_norm(x.long()), "wanted .*floating"),
        (lambda: trace_ratio(x, x[:4]), r"trace_ratio: got r \(5, 7\) .* s \(4, 7\)"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
