"""The adversarial part of an autoencoder's training: two losses, and the weight of one.

Rombach et al., arXiv 2112.10752, App. G, after VQGAN (Esser et al., arXiv 2012.09841):

LDM Eq. 25   L = min_{E,D} max_ψ (L_rec(x, D(E(x))) - L_adv(D(E(x))) + log D_ψ(x) + L_reg(x; E, D))

Notation   D_ψ gives a logit to every patch; `real` and `fake` are the logits of x and of D(E(x))
Hinge      The released code has hinge losses in the place of the logarithms. Their best D_ψ is the
           sign of p(x) - p(D(E(x))), as that of the logarithms is the logit of their share.
"""

import torch
from torch import Tensor

from latentgeo.core.precision import widened

OFFSET = 1e-4  # δ of the weight, as released; VQGAN prints 1e-6
LARGEST = 1e4  # of the weight, as released


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Return what the discriminator makes small (), of logits (B, …) of real and fake patches.

    LDM Eq. 25   max_ψ (log D_ψ(x) - L_adv); released: ½ E max(0, 1 - real) + ½ E max(0, 1 + fake)
    """
    real, fake = widened(real), widened(fake)
    return 0.5 * ((1 - real).relu().mean() + (1 + fake).relu().mean())


def generator_loss(fake: Tensor) -> Tensor:
    """Return what the autoencoder makes small (), of logits (B, …) of its own patches.

    LDM Eq. 25   min_{E,D} (-L_adv(D(E(x)))); released: -E fake
    """
    return -widened(fake).mean()


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last: Tensor) -> Tensor:
    """Return the weight () that gives the adversarial loss the other one's pull on a layer.

    LDM Eq. 25   its factor, of VQGAN Eq. 7   λ = ‖∇_last L_rec‖ / (‖∇_last L_adv‖ + δ)

    At most 10⁴, and a constant: nothing is differentiated through it. `last` is the weight of the
    decoder's last layer, which both losses () depend on.
    """
    (like,) = torch.autograd.grad(reconstruction, last, retain_graph=True)
    (fooled,) = torch.autograd.grad(adversarial, last, retain_graph=True)
    return (widened(like).norm() / (widened(fooled).norm() + OFFSET)).clamp(max=LARGEST)
