"""Content injection: the bottleneck of one image's trajectory added to that of another's.

Hahm et al. (arXiv 2407.11451), App. G, after Jeong et al. (WACV 2024). Three kinds of trajectories
run side by side in one batch: N images x as they are, M images x' as they are, and N M edits that
start from x's noise and are decoded with what the first two have in their bottlenecks at that time.

Notation  h_t, h'_t (B, ...) the bottlenecks of x_t and x'_t; skips those of the sample decoded
Cost      one pass of the network over N + M + N M samples per step
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from latentgeo.core.parameterization import Predict

Skips = tuple[Tensor, ...]
EncodeH = Callable[[Tensor, Tensor], tuple[Tensor, Skips]]  # x_t (B, ...), t (B,) to h, skips
DecodeH = Callable[[Tensor, Skips, Tensor], Tensor]  # h, skips, t to what the network predicts


def side_by_side(originals: Tensor, sources: Tensor) -> Tensor:
    """Return the batch (N + M + N M, ...) of x_T: originals, sources, and N M edits row by row.

    The edit of original i by source j is at N + M + i M + j, and starts from the original's noise.
    """
    return torch.cat([originals, sources, originals.repeat_interleave(len(sources), 0)])


def injected(
    encode: EncodeH, decode: DecodeH, originals: int, sources: int, weight: float = 1.5
) -> Predict:
    """Return the network as a function of (x_t, t) for the batch that `side_by_side` makes.

    Iso Sec. G   h̃_t = h_t + 1.5 h'_t in the place of h_t (Fig. VI), of the edits alone: h_t and
                 h'_t are of the two trajectories that are left as they are, the skips of the edit

    Raises ValueError for a batch of another size.
    """
    if originals < 1 or sources < 1:
        raise ValueError(f"originals, sources: got {originals} and {sources}, wanted 1 or more")
    wanted = originals + sources + originals * sources

    def predict(x_t: Tensor, t: Tensor) -> Tensor:
        if len(x_t) != wanted:
            raise ValueError(f"x_t: got {len(x_t)} samples, wanted {wanted}")
        h, skips = encode(x_t, t)
        ours, theirs = h[:originals], h[originals : originals + sources]
        edits = (ours.unsqueeze(1) + weight * theirs.unsqueeze(0)).flatten(0, 1)
        return decode(torch.cat([ours, theirs, edits]), skips, t)

    return predict
