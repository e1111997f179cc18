"""MSE, PSNR and SSIM: known values, and an independent derivation window by window."""

import numpy as np
import pytest
import torch

from latentgeo.infer.pictures.closeness import compare, local_mean, mse, psnr, ssim
from latentgeo.models.perceptual import load_lpips

C_1, C_2 = 0.01**2, 0.03**2


def unit(x):
    """Return an image in [-1, 1] of one in [0, 1]."""
    return 2 * x - 1


def drawn(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_mse_and_psnr_of_a_known_offset():
    """Smooth Tab. 2: images 0.1 apart have MSE 0.01 and 20 dB; equal ones 100 dB."""
    x = drawn(2, 3, 37, 41) * 0.8
    torch.testing.assert_close(mse(unit(x), unit(x + 0.1)), torch.full((2,), 0.01).double())
    torch.testing.assert_close(psnr(unit(x), unit(x + 0.1)), torch.full((2,), 20.0).double())
    assert psnr(unit(x), unit(x)).tolist() == [100, 100]


def test_mse_is_per_image_and_of_one_pixel():
    """Smooth Tab. 2: one value of 3·37·41 off by 1/2, in the second image alone."""
    x = drawn(2, 3, 37, 41) * 0.5
    y = x.clone()
    y[1, 2, 5, 7] += 0.5
    torch.testing.assert_close(
        mse(unit(x), unit(y)), torch.tensor([0, 0.25 / (3 * 37 * 41)], dtype=torch.float64)
    )


def slow_ssim(x, y):
    """Return the mean over windows by numpy's weighted covariance of the 121 pixels in each."""
    along = np.arange(11) - 5
    weights = np.exp(-(along[:, None] ** 2 + along[None] ** 2) / (2 * 1.5**2)).ravel()
    found = []
    for a, b in zip(x, y, strict=True):  # channels
        for i in range(a.shape[0] - 10):
            for j in range(a.shape[1] - 10):
                pair = np.stack([w[i : i + 11, j : j + 11].ravel() for w in (a, b)])
                m = np.average(pair, axis=1, weights=weights)
                c = np.cov(pair, aweights=weights, ddof=0)
                luminance = (2 * m[0] * m[1] + C_1) / (m[0] ** 2 + m[1] ** 2 + C_1)
                found.append(luminance * (2 * c[0, 1] + C_2) / (c[0, 0] + c[1, 1] + C_2))
    return np.mean(found)


def test_ssim_is_that_of_weighted_covariances():
    """SSIM Eq. 13, SSIM Eq. 14, SSIM Eq. 15, SSIM Eq. 16, SSIM Eq. 17."""
    x, y = drawn(1, 3, 31, 37), drawn(1, 3, 31, 37, seed=1)
    y = 0.6 * x + 0.4 * y
    found = ssim(unit(x), unit(y)).item()
    assert found == pytest.approx(slow_ssim(x[0].numpy(), y[0].numpy()), abs=1e-12)
    assert 0.2 < found < 0.95


def test_ssim_of_known_images():
    """SSIM Eq. 13: constants a and b have (2 a b + C_1) / (a² + b² + C_1); equal images have 1."""
    a, b = (torch.full((1, 3, 31, 31), v, dtype=torch.float64) for v in (0.2, 0.7))
    expected = (2 * 0.14 + C_1) / (0.04 + 0.49 + C_1)
    assert ssim(unit(a), unit(b)).item() == pytest.approx(expected, abs=1e-9)
    x = drawn(2, 3, 37, 31)
    torch.testing.assert_close(ssim(unit(x), unit(x)), torch.ones(2).double())


def test_ssim_of_a_negative_is_negative():
    """SSIM Eq. 13: about 1/2, x and 1 - x have one mean and the covariance -σ²."""
    board = (torch.arange(31)[:, None] + torch.arange(37)).remainder(2).double()
    x = board.expand(1, 3, 31, 37)
    assert ssim(unit(x), unit(1 - x)).item() == pytest.approx((-0.5 + C_2) / (0.5 + C_2), abs=2e-3)


def test_window_is_a_gaussian_that_sums_to_one():
    """SSIM Eq. 14: a single point gives the window itself, 11 wide, σ = 1.5."""
    point = torch.zeros(1, 1, 21, 21, dtype=torch.float64)
    point[..., 10, 10] = 1
    found = local_mean(point)[0, 0]
    assert found.shape == (11, 11) and found.sum().item() == pytest.approx(1, abs=1e-12)
    assert local_mean(point.expand(2, 3, 21, 21)).shape == (2, 3, 11, 11)
    assert (found[5, 5] / found[5, 8]).item() == pytest.approx(np.exp(4.5 / 1.5**2), rel=1e-12)


def test_compare_has_every_measure_of_every_image():
    x, y = unit(drawn(2, 3, 32, 32)).float(), unit(drawn(2, 3, 32, 32, seed=1)).float()
    found = compare(x, y, load_lpips())
    assert list(found) == ["MSE", "LPIPS", "SSIM", "PSNR"]
    assert all(values.shape == (2,) for values in found.values())
    torch.testing.assert_close(found["PSNR"], -10 * found["MSE"].log10())


def test_images_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="wanted one shape"):
        ssim(torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 34))
    with pytest.raises(ValueError, match="sides of 31 or more"):
        ssim(torch.zeros(1, 3, 10, 32), torch.zeros(1, 3, 10, 32))
