"""Kernel distance between two sets of images' features (KID: Bińkowski et al., arXiv 1801.01401).

A squared maximum mean discrepancy, estimated without bias: two sets of one distribution have 0 on
the mean at any n, where a Fréchet distance has what n makes of it. So it tells sets apart by a few
hundred images, and may be negative. As in `fid.py`, the published one is of Inception's features.
"""

import torch
from torch import Tensor

from latentgeo.eval.metrics.fid import check_features


def kernel_distance(features_1: Tensor, features_2: Tensor) -> float:
    """Return the unbiased squared discrepancy of features (n, D) and (m, D), in float64.

    KID Sec. 4   MMD² = 1/n(n-1) Σ_{i≠j} k(x_i, x_j) + 1/m(m-1) Σ_{i≠j} k(y_i, y_j)
                        - 2/nm Σ_ij k(x_i, y_j),   k(x, y) = (xᵀy / D + 1)³

    Raises ValueError for features of different widths, of one image, or not finite.
    """
    check_features(features_1)
    check_features(features_2)
    if features_1.shape[1] != features_2.shape[1]:
        widths = f"{features_1.shape[1]} and {features_2.shape[1]}"
        raise ValueError(f"features: got D = {widths}, wanted the same")
    x, y = features_1.double(), features_2.double()
    across = kernel(x, y).mean()
    return float(_without_diagonal(x) + _without_diagonal(y) - 2 * across)


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return k (n, m) of rows (n, D) and (m, D).

    KID Sec. 4   k(x, y) = (xᵀy / D + 1)³
    """
    return (x @ y.mT / x.shape[1] + 1) ** 3


def _without_diagonal(x: Tensor) -> Tensor:
    """Return the mean () of k over all pairs of different rows."""
    k = kernel(x, x)
    return (k.sum() - torch.trace(k)) / (len(x) * (len(x) - 1))
