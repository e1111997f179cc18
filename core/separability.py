"""Linear separability of a latent space: what a half-space leaves open of an attribute.

Hahm et al. (arXiv 2407.11451), Appendix D, after Karras et al. (StyleGAN, CVPR 2019).

Notation   X the class that a support vector machine sees in the latent, Y the class that a
           classifier, or an exact label, gives the image; H in nats
"""

from __future__ import annotations

import torch
from torch import Tensor


def conditional_entropy(joint: Tensor) -> Tensor:
    """Return H(Y|X) (...) in nats from counts or probabilities (..., K_Y, K_X) of Y and X together.

    Iso Eq. 9   H(Y|X) = -Σ p(x, y) ln (p(x, y) / p(x)), between 0 (X tells Y) and H(Y)

    Raises ValueError for counts that are negative or all 0.
    """
    if joint.ndim < 2 or bool((joint < 0).any()) or not bool((joint.sum((-2, -1)) > 0).all()):
        got = f"{tuple(joint.shape)} from {joint.min():g} on" if joint.numel() else "none"
        raise ValueError(f"joint: wanted counts (..., K_Y, K_X), some above 0, got {got}")
    p = joint.double() / joint.double().sum((-2, -1), keepdim=True)
    return -(torch.xlogy(p, p) - torch.xlogy(p, p.sum(-2, keepdim=True))).sum((-2, -1))


def linear_separability(entropies: Tensor) -> Tensor:
    """Return LS (...) of the conditional entropies (..., A) in nats of A attributes; 1 is the best.

    Iso Eq. 9   LS = exp(Σ_i H(Y_i|X_i))
    """
    return entropies.sum(-1).exp()
