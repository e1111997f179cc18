"""Interpolation of two images by noising and denoising halfway frames: ANID, a baseline.

Paper: Interpolating between Images with Diffusion Models (Wang & Golland, arXiv 2307.12560), the
method that Smooth Diffusion's Fig. 3 calls ANID, without its pose control and textual inversion.

Notation  frames 0 … F-1, the two images first and last; a frame's parents are the two finished
          frames that it lies midway between; level 0 is the first frame so made
"""

from __future__ import annotations

from torch import Tensor

from latentgeo.core.ddpm import q_sample
from latentgeo.core.interpolate import slerp
from latentgeo.core.schedule import Schedule

STEPS = 200  # of DDIM
LEAST, MOST = 0.25, 0.5  # share of the steps that the last and the first level go up
Branch = tuple[int, int, int]  # parent, frame, parent


def branches(frames: int) -> list[list[Branch]]:
    """Return the frames of each level between their parents, coarse to fine.

    ANID Sec. 4.1   frame N/2 from 0 and N, then N/4 from 0 and N/2, 3N/4 from N/2 and N, and so on

    Where N = frames - 1 is no power of two, halves are rounded down. Raises ValueError for fewer
    than two frames.
    """
    if frames < 2:
        raise ValueError(f"frames must be at least 2, got {frames}")
    levels, gaps = [], [(0, frames - 1)]
    while gaps := [(a, b) for a, b in gaps if b - a > 1]:
        levels.append([(a, (a + b) // 2, b) for a, b in gaps])
        gaps = [half for a, m, b in levels[-1] for half in ((a, m), (m, b))]
    return levels


def shares(levels: int, least: float = LEAST, most: float = MOST) -> list[float]:
    """Return how far up each level goes, as a share of the steps: linear, the coarsest highest.

    ANID Sec. 4.1   timesteps t_1 < … < t_K between 25 % and at most 65 % of the schedule; level k
                    has t_{K-k}
    """
    if levels < 2:
        return [most] * levels
    return [most - (most - least) * k / (levels - 1) for k in range(levels)]


def halfway(
    schedule: Schedule, left: Tensor, right: Tensor, ratio: float, eps: Tensor, t: Tensor
) -> Tensor:
    """Return the noisy frame (B, C, h, w) at time t (B,) between two clean latents (B, C, h, w).

    ANID Sec. 4.1   both parents are diffused to t with one noise ε, then slerp; ratio 1/2 is midway
    """
    return slerp(q_sample(schedule, left, t, eps), q_sample(schedule, right, t, eps), ratio)
