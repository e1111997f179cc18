"""CLIP's objective: which image of a batch goes with which text, and which text with which image.

Paper: Learning Transferable Visual Models From Natural Language Supervision (CLIP), arXiv
2103.00020, Sec. 2.3 and its Fig. 3.

Notation   I_e images (N, K), T_e texts (N, K) of unit length, row i of one belonging to row i of
           the other; scale = e^t, t the learned temperature parameter
Optimum    scale cos(I_i, T_j) = log p(i, j) / (p(i) p(j)) + const, also where a text is true of
           several images of the batch: those only raise the least loss that there is
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LARGEST_SCALE = 100.0  # CLIP Sec. 2.5: the logits are never scaled by more


def contrastive_loss(
    images: Tensor, texts: Tensor, scale: Tensor, negatives: Tensor | None = None
) -> Tensor:
    """Return the mean loss () in nats of I_e (N, K) and T_e (N, K) and e^t ().

    CLIP Sec. 2.3   a symmetric cross entropy over the cosines of all N × N pairs; as in Fig. 3
                    logits = I_e T_eᵀ e^t,   labels 0 … N-1,
                    loss = (cross_entropy over rows + cross_entropy over columns) / 2

    `negatives` (M, K) are texts that belong to no image: more columns for the rows to tell from
    their own (NegCLIP, Yuksekgonul et al., arXiv 2210.01936), and no row of the columns' term.
    Raises ValueError where the shapes differ.
    """
    if images.shape != texts.shape or images.ndim != 2:
        got = f"{tuple(images.shape)} and {tuple(texts.shape)}"
        raise ValueError(f"images and texts: got {got}, wanted one shape (N, K)")
    logits = scale * images @ texts.T
    rows = logits if negatives is None else torch.cat([logits, scale * images @ negatives.T], dim=1)
    labels = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(rows, labels) + F.cross_entropy(logits.T, labels)) / 2
