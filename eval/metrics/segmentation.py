"""Segmentation consistency: whether an edit leaves each part of the picture where it was.

Asyrp (Kwon, Jeong & Uh, arXiv 2210.10960), App. K.2, names it and gives neither formula nor code.
Here it is defined twice, of the segmentations of the original and of the edit, and both are
reported: a large background makes the first high, a small part that goes makes the second low.

Notation   a, b part numbers (N, H, W), int64, of originals and their edits
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from latentgeo.eval.runs.statistics import Estimate, mean_interval


def pixel_agreement(a: Tensor, b: Tensor) -> Tensor:
    """Return the share (N,) of pixels with the same part, in [0, 1], float64.

    Asyrp Sec. K.2   segmentation consistency, as #{p : a_p = b_p} / (H W)
    """
    _check(a, b)
    return (a == b).flatten(1).double().mean(1)


def mean_iou(a: Tensor, b: Tensor, parts: int) -> Tensor:
    """Return the mean (N,) over parts of intersection over union, in [0, 1], float64.

    Asyrp Sec. K.2   segmentation consistency, as the mean over k of |a_k ∩ b_k| / |a_k ∪ b_k|,
                     a_k the pixels of part k; parts that neither picture has are left out
    """
    _check(a, b)
    both, either = intersections(a, b, parts)
    present = either > 0
    return (both / either.clamp(min=1)).sum(1) / present.sum(1)


def intersections(a: Tensor, b: Tensor, parts: int) -> tuple[Tensor, Tensor]:
    """Return |a_k ∩ b_k| and |a_k ∪ b_k| (N, parts), float64, of every part k of 0 … parts - 1.

    Raises ValueError for a number that is no part's.
    """
    for name, found in (("a", a), ("b", b)):
        if found.numel() and not 0 <= int(found.min()) <= int(found.max()) < parts:
            raise ValueError(
                f"{name}: got parts {int(found.min())} … {int(found.max())}, wanted 0 … {parts - 1}"
            )
    in_a, in_b = (
        torch.stack([(found == k).flatten(1) for k in range(parts)], dim=1) for found in (a, b)
    )  # (N, parts, H W)
    return (in_a & in_b).sum(2).double(), (in_a | in_b).sum(2).double()


@dataclass(frozen=True, kw_only=True)
class Consistency:
    """Segmentation consistency of N edits, each mean with its interval."""

    agreement: Estimate
    iou: Estimate
    by_part: Mapping[str, Estimate]  # intersection over union where either picture has the part


def compared(parts: tuple[str, ...], a: Tensor, b: Tensor) -> Consistency:
    """Return how far two segmentations agree, a and b (N, H, W) part numbers."""
    both, either = intersections(a, b, len(parts))
    shares = {
        name: (both[:, k] / either[:, k])[either[:, k] > 0].cpu() for k, name in enumerate(parts)
    }
    return Consistency(
        agreement=mean_interval(pixel_agreement(a, b).cpu()),
        iou=mean_interval(mean_iou(a, b, len(parts)).cpu()),
        by_part={name: mean_interval(found) for name, found in shares.items() if len(found)},
    )


def _check(a: Tensor, b: Tensor) -> None:
    if a.shape != b.shape or a.ndim != 3:
        got = f"{tuple(a.shape)} and {tuple(b.shape)}"
        raise ValueError(f"a and b: got {got}, wanted one shape (N, H, W)")
