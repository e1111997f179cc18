"""Fréchet distance between two sets of images' features (FID: Heusel et al., arXiv 1706.08500).

The published FID takes the features of an Inception network, whose weights this package does not
embed (`eval/metrics/inception_fid.py` takes them by path); the embedded ones are LPIPS' AlexNet. A
distance over other features is another metric, so it is reported as "FD (AlexNet)" and never
compared with a published FID. Like every Fréchet distance it is biased upwards at small n: compare
two models only at the same n, and state it.

Notation: m, C are the mean (D,) and covariance (D, D) of the features (n, D), in float64.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

DEEPEST = 256  # channels of AlexNet's last convolution


def frechet_distance(mean_1: Tensor, cov_1: Tensor, mean_2: Tensor, cov_2: Tensor) -> float:
    """Return the squared Fréchet distance between two Gaussians; means (D,), covariances (D, D).

    FID Eq. 6a   d² = ‖m_1 - m_2‖² + Tr(C_1 + C_2 - 2 (C_1 C_2)^{1/2})

    Rearranged: C_1 C_2 is similar to the symmetric C_1^{1/2} C_2 C_1^{1/2}, so that the trace of
    its root is the sum of the roots of real eigenvalues >= 0. A general matrix root of C_1 C_2, the
    usual code, returns large imaginary parts when a covariance is singular (always, for n <= D).

    Raises ValueError for shapes that do not fit together.
    """
    _check_gaussian(mean_1, cov_1, "first")
    _check_gaussian(mean_2, cov_2, "second")
    if mean_1.shape != mean_2.shape:
        raise ValueError(f"means: got D = {len(mean_1)} and {len(mean_2)}, wanted the same")
    m_1, c_1, m_2, c_2 = (x.double() for x in (mean_1, cov_1, mean_2, cov_2))
    root = symmetric_sqrt(c_1)
    product = root @ c_2 @ root
    cross = torch.linalg.eigvalsh((product + product.mT) / 2).clamp(min=0).sqrt().sum()
    distance = (m_1 - m_2).square().sum() + c_1.trace() + c_2.trace() - 2 * cross
    return max(float(distance), 0.0)  # rounding leaves about -1e-12 for equal Gaussians


def symmetric_sqrt(cov: Tensor) -> Tensor:
    """Return the positive semi-definite root of a symmetric matrix (D, D), by its eigenvectors."""
    values, vectors = torch.linalg.eigh((cov + cov.mT) / 2)
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.mT


def gaussian_of(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (D,) and the unbiased covariance (D, D) of features (n, D), in float64."""
    check_features(features)
    x = features.double()
    return x.mean(0), torch.cov(x.mT).reshape(x.shape[1], x.shape[1])


def feature_distance(features_1: Tensor, features_2: Tensor) -> float:
    """Return the Fréchet distance between features (n, D) and (m, D).

    FID Eq. 6b   for n, m < D without a D × D matrix: with C = AᵀA, A the centred features over
                √(n - 1), the trace of (C_1 C_2)^{1/2} is the sum of the singular values of A_1 A_2ᵀ

    Raises ValueError for features of different widths, of one image, or not finite.
    """
    if max(len(features_1), len(features_2)) >= features_1.shape[-1]:
        return frechet_distance(*gaussian_of(features_1), *gaussian_of(features_2))
    (m_1, a_1), (m_2, a_2) = (factor_of(features) for features in (features_1, features_2))
    if m_1.shape != m_2.shape:
        raise ValueError(f"features: got D = {len(m_1)} and {len(m_2)}, wanted the same")
    cross = torch.linalg.svdvals(a_1 @ a_2.mT).sum()
    distance = (m_1 - m_2).square().sum() + a_1.square().sum() + a_2.square().sum() - 2 * cross
    return max(float(distance), 0.0)


def factor_of(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean (D,) and A (n, D) with AᵀA the unbiased covariance of features (n, D)."""
    check_features(features)
    x = features.double()
    return x.mean(0), (x - x.mean(0)) / (len(x) - 1) ** 0.5


@torch.no_grad()
def deep_features(
    features: Callable[[Tensor], Tensor], images: Iterable[Tensor], width: int = DEEPEST
) -> Tensor:
    """Return (n, width) on the CPU: the last columns of features(batch) (B, D), for all batches.

    `Lpips.features` lists five layers, shallowest first; the last 256 columns are its deepest. All
    1,152 would need that many images before their covariance has full rank. Raises ValueError where
    there are no images.
    """
    found = [features(batch)[:, -width:].cpu() for batch in images]
    if not found:
        raise ValueError("images: got none")
    return torch.cat(found)


def check_features(features: Tensor) -> None:
    """Raise unless features are finite and more than one row."""
    if features.ndim != 2 or len(features) < 2:
        raise ValueError(f"features: got {tuple(features.shape)}, wanted (n, D) with n >= 2")
    if not features.isfinite().all():
        raise ValueError("features: got values that are not finite")


def _check_gaussian(mean: Tensor, cov: Tensor, which: str) -> None:
    """Raise unless the covariance is (D, D) for the mean's D."""
    if mean.ndim != 1 or cov.shape != (len(mean), len(mean)):
        raise ValueError(
            f"{which} Gaussian: got mean {tuple(mean.shape)} and covariance {tuple(cov.shape)}, "
            "wanted (D,) and (D, D)"
        )
