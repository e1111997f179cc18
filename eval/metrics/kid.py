"""Kernel distance between two sets of images' features (KID: Bińkowski et al., arXiv 1801.01401).

A squared maximum mean discrepancy, estimated without bias: two sets of one distribution have 0 on
the mean at any n, where a Fréchet distance has what n makes of it. So it tells sets apart by a few
hundred images, and may be negative. As in `fid.py`, the published one is of Inception's features.
"""

from torch import Tensor

from latentgeo.eval.metrics.fid import check_features


def kernel_distance(features_1: Tensor, features_2: Tensor) -> float:
    """Return the unbiased squared discrepancy of features (n, D) and (n, D), in float64.

    KID Sec. 4   MMD² = 1/n(n-1) Σ_{i≠j} (k(x_i, x_j) + k(y_i, y_j) - 2 k(x_i, y_j)),
                 k(x, y) = (xᵀy / D + 1)³

    Image i of both sets may belong together, as by one caption: such pairs are left out of the
    last term too, which keeps it unbiased. Raises ValueError for sets of different shapes, of one
    image, or not finite.
    """
    check_features(features_1)
    check_features(features_2)
    if features_1.shape != features_2.shape:
        got = f"{tuple(features_1.shape)} and {tuple(features_2.shape)}"
        raise ValueError(f"features: got {got}, wanted one shape")
    x, y = features_1.double(), features_2.double()
    terms = kernel(x, x) + kernel(y, y) - 2 * kernel(x, y)
    return float((terms.sum() - terms.trace()) / (len(x) * (len(x) - 1)))


def kernel(x: Tensor, y: Tensor) -> Tensor:
    """Return k (n, m) of rows (n, D) and (m, D).

    KID Sec. 4   k(x, y) = (xᵀy / D + 1)³
    """
    return (x @ y.mT / x.shape[1] + 1) ** 3
