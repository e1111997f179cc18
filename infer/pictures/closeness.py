"""How close a reconstructed image is to the original: MSE, PSNR, SSIM, LPIPS.

Papers: Smooth Diffusion, arXiv 2312.04410, Table 2 (which measures, on which inversions); SSIM is
Wang, Bovik, Sheikh & Simoncelli, Image Quality Assessment: From Error Visibility to Structural
Similarity, TIP 13(4), 2004; LPIPS is models/perceptual.py.

Images are (B, 3, H, W) in [-1, 1] and are compared as x, y in [0, 1] (data range 1), in float64,
one number per image. The paper does not state its scale: its MSE of 0.0148 beside a PSNR of 25.98
dB fits pixels in [-1, 1], whose MSE is four times the one here.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from latentgeo.models.perceptual import Lpips, check_shapes

WINDOW, SIGMA = 11, 1.5  # of SSIM's Gaussian, in pixels
K_1, K_2 = 0.01, 0.03
LEAST = 1e-10  # of the mean squared error in PSNR: equal images have 100 dB, not infinity


def mse(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean squared error (B,) of images x, y (B, 3, H, W) in [-1, 1].

    Smooth Tab. 2   MSE = mean over pixels and channels of (x - y)², in [0, 1]
    """
    return (_unit(x) - _unit(y)).square().flatten(1).mean(1)


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """Return the peak signal-to-noise ratio (B,) in dB of images x, y (B, 3, H, W) in [-1, 1].

    Smooth Tab. 2   PSNR = 10 log₁₀ (1² / MSE), 100 dB at most
    """
    return -10 * mse(x, y).clamp(min=LEAST).log10()


def ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the mean structural similarity (B,) of images x, y (B, 3, H, W) in [-1, 1].

    SSIM Eq. 13   SSIM(x, y) = (2 μ_x μ_y + C_1)(2 σ_xy + C_2) /
                               ((μ_x² + μ_y² + C_1)(σ_x² + σ_y² + C_2)),
                  C_1 = (0.01 L)², C_2 = (0.03 L)², L = 1 the data range
    SSIM Eq. 17   its mean over all windows of 11 × 11 that lie inside the image, and over the three
                  channels of RGB (the paper has grey images)

    Raises ValueError for images smaller than the window.
    """
    check_shapes(x, y)
    a, b = _unit(x), _unit(y)
    mean_a, mean_b = local_mean(a), local_mean(b)
    var_a, var_b = local_mean(a * a) - mean_a**2, local_mean(b * b) - mean_b**2
    covariance = local_mean(a * b) - mean_a * mean_b
    c_1, c_2 = K_1**2, K_2**2
    above = (2 * mean_a * mean_b + c_1) * (2 * covariance + c_2)
    below = (mean_a**2 + mean_b**2 + c_1) * (var_a + var_b + c_2)
    return (above / below).flatten(1).mean(1)


def local_mean(x: Tensor) -> Tensor:
    """Return the weighted mean (B, C, H - 10, W - 10) of x (B, C, H, W) in each whole window.

    SSIM Eq. 14   μ_x = Σ w_i x_i, w an 11 × 11 circular Gaussian of σ = 1.5 pixels, Σ w_i = 1
    SSIM Eq. 15   σ_x² = Σ w_i (x_i - μ_x)², as μ of x² less the square of μ (rearranged)
    SSIM Eq. 16   σ_xy = Σ w_i (x_i - μ_x)(y_i - μ_y), likewise
    """
    along = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - (WINDOW - 1) / 2
    bell = (-0.5 * (along / SIGMA) ** 2).exp()
    bell = bell / bell.sum()
    planes = x.flatten(0, 1).unsqueeze(1)  # (B C, 1, H, W)
    rows = F.conv2d(planes, bell.reshape(1, 1, WINDOW, 1))
    return F.conv2d(rows, bell.reshape(1, 1, 1, WINDOW)).squeeze(1).unflatten(0, x.shape[:2])


@torch.no_grad()
def compare(x: Tensor, y: Tensor, lpips: Lpips) -> dict[str, Tensor]:
    """Return every measure (B,) of reconstructions x against y, both (B, 3, H, W) in [-1, 1].

    Smooth Tab. 2   MSE, LPIPS, SSIM, PSNR
    """
    return {
        "MSE": mse(x, y),
        "LPIPS": lpips.distance(x, y).double(),
        "SSIM": ssim(x, y),
        "PSNR": psnr(x, y),
    }


def _unit(x: Tensor) -> Tensor:
    return (x.double() + 1) / 2
