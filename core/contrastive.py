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

from latentgeo.core.precision import widened

LARGEST_SCALE = 100.0  # CLIP Sec. 2.5: the logits are never scaled by more


def contrastive_loss(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Return the mean loss () in nats of I_e (N, K) and T_e (N, K) and e^t ().

    CLIP Sec. 2.3b   a symmetric cross entropy over the cosines of all N × N pairs; as in Fig. 3
                    logits = I_e T_eᵀ e^t,   labels 0 … N-1,
                    loss = (cross_entropy over rows + cross_entropy over columns) / 2
    Raises ValueError where the shapes differ.
    """
    if images.shape != texts.shape or images.ndim != 2:
        got = f"{tuple(images.shape)} and {tuple(texts.shape)}"
        raise ValueError(f"images and texts: got {got}, wanted one shape (N, K)")
    logits = scale * widened(images) @ widened(texts).T
    labels = torch.arange(len(images), device=images.device)
    return (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2


def prompt_loss(images: Tensor, prompts: Tensor, scale: Tensor, labels: Tensor) -> Tensor:
    """Return the mean loss () of telling which of V prompts (V, K) each image (N, K) has.

    CLIP Sec. 2.3b   one direction of the same cross entropy, with texts that many images share:
                    logits = I_e P_eᵀ e^t; a label (N,) of -1 is of an image without any, left out
    """
    logits = scale * widened(images) @ widened(prompts).T
    said = (labels >= 0).sum().clamp(min=1)
    return F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum") / said
